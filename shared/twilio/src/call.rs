//! Calls as a carrier's answers describe them.

use std::time::Duration;

use fleet_domain::Timestamp;

use crate::answer::Fields;
use crate::status::{AnsweredBy, CallStatus};

/// A call that the carrier has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedCall {
    /// The carrier's id of the call.
    pub sid: String,
    /// How it stands, usually queued.
    pub status: Option<CallStatus>,
    /// How long the carrier expects to queue it because of its calls per second.
    pub queue_time: Option<Duration>,
}

/// What became of the wish to end a call. All three mean that the wish need not be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The carrier ends it now.
    Now,
    /// It was over already.
    Before,
    /// The carrier knows no such call.
    NotFound,
}

/// A call as it was looked up. The carrier is only eventually consistent; callbacks are ahead of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The carrier's id of the call.
    pub sid: String,
    /// How it stands; none for a word that is not known.
    pub status: Option<CallStatus>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// When it was answered; absent while it is queued.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How long it lasted.
    pub duration: Option<Duration>,
    /// Who answered, where machine detection ran.
    pub answered_by: Option<AnsweredBy>,
    /// What it cost, as the carrier writes it: negative, filled minutes after the end.
    pub price: Option<String>,
    /// Currency of the price.
    pub price_unit: Option<String>,
}

/// Calls that match a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallList {
    /// What was found, newest first.
    pub calls: Vec<Call>,
    /// False when there are more than were read: then absence from the list proves nothing.
    pub complete: bool,
}

impl PlacedCall {
    /// `None` without a SID.
    pub(crate) fn from_fields(fields: &Fields) -> Option<Self> {
        Some(Self {
            sid: fields.sid()?,
            status: fields.text("status").as_deref().and_then(CallStatus::parse),
            queue_time: fields.number("queue_time").map(Duration::from_millis),
        })
    }
}

impl Call {
    /// `None` without a SID.
    pub(crate) fn from_fields(fields: &Fields) -> Option<Self> {
        Some(Self {
            sid: fields.sid()?,
            status: fields.text("status").as_deref().and_then(CallStatus::parse),
            created_at: fields.time("date_created"),
            started_at: fields.time("start_time"),
            ended_at: fields.time("end_time"),
            duration: fields.number("duration").map(Duration::from_secs),
            answered_by: fields.text("answered_by").as_deref().map(AnsweredBy::parse),
            price: fields.text("price"),
            price_unit: fields.text("price_unit"),
        })
    }
}
