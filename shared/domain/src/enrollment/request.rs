//! What a portal asked for (`EnrollmentAsk`), and what the fleet made of it (`Enrollment`).
//!
//! What is to be changed is a [`Patch`]: everything that the change comes to, ready to be stored, with numbers sealed and
//! PIN and answers hashed. It waits in the request's row until its test has passed and is then stored as one whole.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::seen::{Seen, SeenApp};
use super::words::{Authority, Change, EnrollmentReason, EnrollmentResult, EnrollmentState, NextStep};
use crate::challenge::Unreadable;
use crate::ids::{ChallengeId, DeviceId, RequestKey, UserId};
use crate::portal::Portal;
use crate::request::Step;
use crate::time::Timestamp;
use crate::user::{Phone, User};
use crate::words::{CallMode, Channel, PhoneRole, Reason};

/// A portal's request after its form was checked and its secrets were opened.
#[derive(Clone, Debug)]
pub struct EnrollmentAsk {
    /// Portal and request id.
    pub key: RequestKey,
    /// Whose enrollment.
    pub user: UserId,
    /// The audience of a user who is new; the portal's only one if absent.
    pub audience: Option<String>,
    /// What is to be changed.
    pub change: Change,
    /// To what.
    pub wanted: Wanted,
    /// The test that begins with the request, where it needs one.
    pub test: NewTest,
    /// The locale for prompts and help (BCP 47).
    pub locale: Option<String>,
    /// A keyed hash of the JCS form (RFC 8785) of the request's `data`.
    pub body_hash: [u8; 32],
}

/// What a request wants, as far as it says; which parts it has follows from its kind of change.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The method.
    pub method: Option<Channel>,
    /// Which phone is changed, removed or tested.
    pub role: Option<PhoneRole>,
    /// The phone for that role, or the primary one.
    pub phone: Option<Phone>,
    /// A backup phone beside it.
    pub backup: Option<Phone>,
    /// The hash of a PIN.
    pub pin: Option<String>,
    /// Answers to security questions, hashed.
    pub answers: Vec<StoredAnswer>,
    /// A device.
    pub device: Option<DeviceId>,
    /// The questions that are asked for a recovery.
    pub asked: Vec<String>,
    /// Until when a block holds.
    pub until: Option<Timestamp>,
    /// For how many seconds a bypass holds.
    pub seconds: Option<u16>,
    /// Who asks and why, where an operator does.
    pub cause: Option<OperatorCause>,
}

/// Who asks for something at a help desk, and why.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct OperatorCause {
    /// Who.
    #[n(0)]
    pub actor: String,
    /// Why.
    #[n(1)]
    pub reason: String,
    /// The help desk's own number of the case.
    #[n(2)]
    pub ticket: Option<String>,
}

/// An answer to a security question as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct StoredAnswer {
    /// The question's id in the portal's list.
    #[n(0)]
    pub question: String,
    /// The hash of the answer.
    #[n(1)]
    pub hash: String,
}

/// A test that is about to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewTest {
    /// The id of its challenge.
    pub id: ChallengeId,
    /// The keyed hash of the digits that the portal shows, if it shows any.
    pub number_match: Option<[u8; 16]>,
}

/// What is known of a user whose enrollment is to be changed.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The user; `None` where there is none of that id.
    pub user: Option<User>,
    /// The questions that the user has answered.
    pub questions: Vec<String>,
    /// Until when no answers are taken after too many wrong ones.
    pub answers_locked_until: Option<Timestamp>,
    /// Bypasses that the user was given within the last year.
    pub bypasses: u8,
    /// Whether the user has ever had a device, also one that was lost or given up since.
    pub had_devices: bool,
    /// The active devices, with what their user calls them.
    pub apps: Vec<SeenApp>,
}

impl Account {
    /// Whether the user has, or once had, anything that could prove who asks. Who has lost it all does not begin anew with a
    /// password alone: that takes security questions or an operator.
    #[must_use]
    pub fn is_enrolled(&self) -> bool {
        let has = |user: &User| !user.devices.is_empty() || user.phones.iter().any(|phone| phone.verified);
        self.had_devices || !self.questions.is_empty() || self.user.as_ref().is_some_and(has)
    }

    /// What this portal may know of it: a user whom it does not serve looks like one that does not exist.
    #[must_use]
    pub fn seen_by(&self, portal: &Portal) -> Self {
        let serves = |user: &&User| portal.audiences.contains(&user.audience);
        match self.user.as_ref().filter(serves) {
            Some(user) => Self { user: Some(user.clone()), ..self.clone() },
            None => Self::default(),
        }
    }
}

/// What a change comes to. Stored as a whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Patch {
    /// The method.
    #[n(0)]
    pub method: Option<Channel>,
    /// Phones, each in the place of the one of its role.
    #[n(1)]
    pub phones: Vec<Phone>,
    /// Whether the backup phone goes.
    #[n(2)]
    pub without_backup: bool,
    /// The hash of the PIN.
    #[n(3)]
    pub pin: Option<String>,
    /// All answers, in the place of those before; none where they stay.
    #[n(4)]
    pub answers: Vec<StoredAnswer>,
    /// Devices that may not answer any more.
    #[n(5)]
    pub devices: Option<DevicesOut>,
    /// A block or its end.
    #[n(6)]
    pub standing: Option<StandingChange>,
    /// For how many seconds a challenge is approved unasked, once.
    #[n(7)]
    pub bypass_s: Option<u16>,
    /// Whether the user is removed.
    #[n(8)]
    pub delete: bool,
    /// Whether a device is added: the one on which the app is activated for this request.
    #[n(9)]
    #[cbor(default)]
    pub activates: bool,
}

/// Devices that may not answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct DevicesOut {
    /// Which one; all where none is named.
    #[n(0)]
    pub device: Option<DeviceId>,
    /// Whether it was lost or stolen, and not given up.
    #[n(1)]
    pub lost: bool,
}

/// A block or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum StandingChange {
    /// Blocked until then, or until somebody lifts it.
    #[n(0)]
    Block(#[n(0)] Option<Timestamp>),
    /// Not blocked, nor locked out, any more.
    #[n(1)]
    Unblock,
}

/// How a change is tested.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct TestPlan {
    /// The call or the push.
    #[n(0)]
    pub step: Step,
    /// What a called person keys.
    #[n(1)]
    pub mode: CallMode,
    /// The hash of the PIN that is asked for, where it is not the user's own yet.
    #[n(2)]
    pub pin: Option<String>,
}

/// A request as it was accepted. Never changes.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct EnrollmentRequest {
    /// Whose enrollment.
    #[n(0)]
    pub user: UserId,
    /// The audience of a user who is new.
    #[n(1)]
    pub audience: String,
    /// What is changed.
    #[n(2)]
    pub change: Change,
    /// To what.
    #[n(3)]
    pub patch: Patch,
    /// How that is tested; `None` where it takes effect at once, or nothing is there to be tested yet.
    #[n(4)]
    pub test: Option<TestPlan>,
    /// What allowed it.
    #[n(5)]
    pub authority: Authority,
    /// Who asked and why, where an operator did.
    #[n(6)]
    pub cause: Option<OperatorCause>,
    /// The questions that are asked for a recovery.
    #[n(7)]
    pub asked: Vec<String>,
    /// The user's method before.
    #[n(8)]
    pub method_before: Option<Channel>,
    /// The phones that were told of by masked numbers before, as they are to be notified.
    #[n(9)]
    pub phones_before: Vec<String>,
    /// Active devices before.
    #[n(10)]
    pub devices_before: u16,
    /// When it was accepted.
    #[n(11)]
    pub accepted_at: Timestamp,
    /// Until when its test must have passed.
    #[n(12)]
    pub respond_by: Timestamp,
    /// Until when the outcome can be collected.
    #[n(13)]
    pub collect_by: Timestamp,
    /// The locale for prompts and help.
    #[n(14)]
    pub locale: String,
    /// What the user should do after this has taken effect.
    #[n(15)]
    pub afterwards: Option<NextStep>,
    /// A keyed hash of the JCS form of the request's `data`.
    #[n(16)]
    #[cbor(with = "minicbor::bytes")]
    pub body_hash: [u8; 32],
    /// What was enrolled when it was accepted, where that was asked for.
    #[n(17)]
    pub seen: Option<Seen>,
}

/// A request in one version of its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrollment {
    /// Portal and id.
    pub key: RequestKey,
    /// The row's version: 1 when it was accepted, one more with each transition.
    pub version: u32,
    /// What was asked.
    pub request: Arc<EnrollmentRequest>,
    /// What has become of it.
    pub live: EnrollmentLive,
}

/// Everything about a request that changes.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct EnrollmentLive {
    /// How far it has come.
    #[n(0)]
    pub state: EnrollmentState,
    /// What comes next.
    #[n(1)]
    pub next_step: Option<NextStep>,
    /// All tests, oldest first; at most one is under way.
    #[n(2)]
    pub tests: Vec<Test>,
    /// How it ended; `None` while it is open.
    #[n(3)]
    pub end: Option<EnrollmentEnd>,
    /// When this version was made.
    #[n(4)]
    pub at: Timestamp,
    /// The activation of a device, where the request needs one.
    #[n(5)]
    pub activation: Option<Activation>,
}

/// The activation of a device for a request. Its code follows from the request's id and the counter.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Activation {
    /// Which of the request's codes counts, from 1: those before it are void.
    #[n(0)]
    pub counter: u8,
    /// Until when it does.
    #[n(1)]
    pub expires_at: Timestamp,
    /// The device that it was activated on.
    #[n(2)]
    pub device: Option<ActivatedDevice>,
}

/// A device on which the app was activated.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct ActivatedDevice {
    /// Its id.
    #[n(0)]
    pub id: DeviceId,
    /// What its user calls it.
    #[n(1)]
    pub name: String,
    /// `android`, `ios` or `other`.
    #[n(2)]
    pub platform: String,
}

/// One live test: a challenge whose purpose is `enrollment_test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Test {
    /// The challenge's id.
    #[n(0)]
    pub id: ChallengeId,
    /// The keyed hash of the digits that the portal shows.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub number_match: Option<[u8; 16]>,
    /// How it ended.
    #[n(2)]
    pub ended: Option<Reason>,
}

/// How a request ended. Frozen.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct EnrollmentEnd {
    /// Why.
    #[n(0)]
    pub reason: EnrollmentReason,
    /// The field at fault, where one is.
    #[n(1)]
    pub field: Option<String>,
    /// The rule that it breaks, a clause that follows the field's name.
    #[n(2)]
    pub rule: Option<String>,
    /// When.
    #[n(3)]
    pub at: Timestamp,
    /// The version with which it ended.
    #[n(4)]
    pub version: u32,
}

/// A rule that what was asked for breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The word for it.
    pub reason: EnrollmentReason,
    /// The path of the field.
    pub field: String,
    /// What is allowed, a clause that follows the field's name. Never a value.
    pub rule: String,
}

impl Enrollment {
    /// Whether it has not ended yet.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.live.end.is_none()
    }

    /// What has become of it.
    #[must_use]
    pub fn result(&self) -> EnrollmentResult {
        self.live.end.as_ref().map_or(EnrollmentResult::Pending, |end| end.reason.result())
    }

    /// The test that is under way.
    #[must_use]
    pub fn live_test(&self) -> Option<&Test> {
        self.live.tests.last().filter(|test| test.ended.is_none())
    }

    /// The device that was activated for it, if one was.
    #[must_use]
    pub fn activated(&self) -> Option<DeviceId> {
        self.live.activation.as_ref()?.device.as_ref().map(|device| device.id)
    }

    /// Whole seconds that were left for the test when this version was made; 0 once it has ended.
    #[must_use]
    pub fn seconds_left(&self) -> u32 {
        let left = self.request.respond_by.since(self.live.at);
        if self.is_open() { u32::try_from(left.as_secs()).unwrap_or(u32::MAX) } else { 0 }
    }

    /// The changing part in its stored form: CBOR (RFC 8949), arrays with numbered fields.
    #[must_use]
    pub fn encode_live(&self) -> Vec<u8> {
        crate::challenge::encode(&self.live)
    }

    /// The request in its stored form.
    #[must_use]
    pub fn encode_request(&self) -> Vec<u8> {
        crate::challenge::encode(&*self.request)
    }

    /// Reads a stored row.
    pub fn decode(key: RequestKey, version: u32, request: &[u8], live: &[u8]) -> Result<Self, Unreadable> {
        let unreadable = |e: minicbor::decode::Error| Unreadable(alloc::format!("{e}"));
        Ok(Self {
            key,
            version,
            request: Arc::new(minicbor::decode(request).map_err(unreadable)?),
            live: minicbor::decode(live).map_err(unreadable)?,
        })
    }
}

impl Flaw {
    /// A flaw of this field.
    #[must_use]
    pub fn new(reason: EnrollmentReason, field: &str, rule: impl Into<String>) -> Self {
        Self { reason, field: field.into(), rule: rule.into() }
    }
}

/// How long an outcome can be collected after the time for its test is over.
pub const COLLECT_ENROLLMENT: Duration = Duration::from_mins(30);
