//! What portals are told as events. Their readers pass over fields that they do not know, so that a newer
//! fleet can tell more than an older portal understands.

use fleet_domain::{ChallengeId, Channel, NotOpened, PortalName, Refusal, Timestamp, UserId};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::form::{AnyUuid, OptionalText, Text, any_uuid};
use crate::invalid::{Fault, Invalid};
use crate::outcome::Outcome;

/// A challenge has ended: `data` of `mfa.challenge.resolved.v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resolved {
    /// The challenge.
    #[serde(with = "Text::<ChallengeId>")]
    pub challenge_id: ChallengeId,
    /// Who was challenged; absent where the portal called the challenge off before it had asked for it.
    #[serde(with = "OptionalText::<UserId>", default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The outcome, the same document as in Redis.
    #[schemars(schema_with = "outcome_schema")]
    pub outcome: Outcome,
}

fn outcome_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "$ref": "outcome.json" })
}

/// A request was refused before a challenge existed: `data` of `mfa.challenge.refused.v1`. There is no
/// outcome in Redis for it, or that of an earlier request of the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChallengeRefused {
    /// The id that the request carried, as it was sent.
    #[serde(deserialize_with = "any_uuid")]
    #[schemars(with = "Text<AnyUuid>")]
    pub challenge_id: String,
    /// Why.
    #[schemars(with = "Text<Refusal>")]
    pub reason: Refusal,
    /// The path of the field at fault, such as `data.context.client_ip`.
    pub field: String,
    /// The rule that it breaks, a clause that follows the field's name.
    pub rule: String,
}

/// A person reported that somebody else signs in as they: `data` of `mfa.fraud.reported.v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FraudReported {
    /// The challenge in which it was reported.
    #[serde(with = "Text::<ChallengeId>")]
    pub challenge_id: ChallengeId,
    /// The portal that asked for it.
    #[serde(with = "Text::<PortalName>")]
    pub portal: PortalName,
    /// Who was challenged.
    #[serde(with = "Text::<UserId>")]
    pub user_id: UserId,
    /// By what the person was reached.
    #[schemars(with = "Text<Channel>")]
    pub channel: Channel,
    /// When it was reported.
    #[serde(with = "Text::<Timestamp>")]
    pub reported_at: Timestamp,
    /// Until when the user is blocked for it; absent where the portal's policy does not block.
    #[serde(with = "OptionalText::<Timestamp>", default, skip_serializing_if = "Option::is_none")]
    pub blocked_until: Option<Timestamp>,
}

impl FraudReported {
    pub(crate) const FIELDS: &[&str] =
        &["challenge_id", "portal", "user_id", "channel", "reported_at", "blocked_until"];
}

impl Resolved {
    pub(crate) const FIELDS: &[&str] = &["challenge_id", "user_id", "outcome"];
}

impl ChallengeRefused {
    pub(crate) const FIELDS: &[&str] = &["challenge_id", "reason", "field", "rule"];

    /// The refusal of a body that breaks its contract; `None` where its id could not be read.
    #[must_use]
    pub fn of_invalid(invalid: &Invalid) -> Option<Self> {
        Some(Self {
            challenge_id: invalid.challenge_id.clone()?,
            reason: Refusal::InvalidRequest,
            field: invalid.field.clone(),
            rule: invalid.rule.clone(),
        })
    }

    /// The refusal of a request that the domain did not open.
    #[must_use]
    pub fn of_not_opened(id: ChallengeId, not_opened: &NotOpened) -> Self {
        Self {
            challenge_id: id.to_string(),
            reason: not_opened.refusal,
            field: format!("data.{}", not_opened.field),
            rule: not_opened.rule.to_owned(),
        }
    }
}

/// Reads what the fleet tells. The one fault is of the whole, since no portal can do anything about a part.
pub(crate) fn read<T: DeserializeOwned>(data: &RawValue) -> Result<T, Fault> {
    serde_json::from_str(data.get()).map_err(|_| Fault::new("data", "must be as the schema of its type says"))
}
