//! What portals are told as events about enrollments.

use fleet_domain::{Enrollment, NotOpened, Portal, Refusal, RequestId};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::outcome::EnrollmentOutcome;
use crate::form::{AnyUuid, Text, any_uuid};
use crate::invalid::Invalid;

/// An enrollment has changed: `data` of `mfa.enrollment.changed.v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnrollmentChanged {
    /// The outcome, the same document as in Redis.
    #[schemars(schema_with = "outcome_schema")]
    pub outcome: EnrollmentOutcome,
    /// The numbers that were verified before, their middle hidden: whoever has those phones is to be notified.
    pub notify_phones: Vec<String>,
    /// How many active devices the user had before: they are to be notified too.
    pub notify_devices: u16,
}

fn outcome_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "$ref": "enrollment-outcome.json" })
}

/// A request was refused before it existed: `data` of `mfa.enrollment.refused.v1`. There is no outcome in Redis for it, or
/// that of an earlier request of the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnrollmentRefusedEvent {
    /// The id that the request carried, as it was sent.
    #[serde(deserialize_with = "any_uuid")]
    #[schemars(with = "Text<AnyUuid>")]
    pub request_id: String,
    /// Why.
    #[schemars(with = "Text<Refusal>")]
    pub reason: Refusal,
    /// The path of the field at fault.
    pub field: String,
    /// The rule that it breaks, a clause that follows the field's name.
    pub rule: String,
}

impl EnrollmentChanged {
    pub(crate) const FIELDS: &[&str] = &["outcome", "notify_phones", "notify_devices"];

    /// What is told of this version.
    #[must_use]
    pub fn of(enrollment: &Enrollment, portal: &Portal) -> Self {
        Self {
            outcome: EnrollmentOutcome::of(enrollment, portal),
            notify_phones: enrollment.request.phones_before.clone(),
            notify_devices: enrollment.request.devices_before,
        }
    }
}

impl EnrollmentRefusedEvent {
    pub(crate) const FIELDS: &[&str] = &["request_id", "reason", "field", "rule"];

    /// The refusal of a body that breaks its contract; `None` where its id could not be read.
    #[must_use]
    pub fn of_invalid(invalid: &Invalid) -> Option<Self> {
        Some(Self {
            request_id: invalid.request_id.clone()?,
            reason: Refusal::InvalidRequest,
            field: invalid.field.clone(),
            rule: invalid.rule.clone(),
        })
    }

    /// The refusal of a request that the domain did not open.
    #[must_use]
    pub fn of_not_opened(id: RequestId, not_opened: &NotOpened) -> Self {
        Self {
            request_id: id.to_string(),
            reason: not_opened.refusal,
            field: format!("data.{}", not_opened.field),
            rule: not_opened.rule.to_owned(),
        }
    }
}
