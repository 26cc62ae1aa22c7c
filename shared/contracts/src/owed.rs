//! What the fleet's services hand to each other: that something is owed for a challenge. What exactly, its
//! row says; a message that came twice or late finds there that nothing is left to do.

use fleet_domain::{ChallengeId, ChallengeKey, PortalName};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::form::Text;
use crate::invalid::Fault;
use crate::object::Object;

/// Something is owed for this challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Owed {
    /// The portal that asked for the challenge.
    #[serde(with = "Text::<PortalName>")]
    pub portal: PortalName,
    /// The challenge.
    #[serde(with = "Text::<ChallengeId>")]
    pub challenge_id: ChallengeId,
}

impl Owed {
    pub(crate) const FIELDS: &[&str] = &["portal", "challenge_id"];

    /// Portal and id as one.
    #[must_use]
    pub fn key(&self) -> ChallengeKey {
        ChallengeKey { id: self.challenge_id, portal: self.portal.clone() }
    }

    pub(crate) fn read(data: &RawValue) -> Result<Self, Fault> {
        let object = Object::read(data.get(), "data")?.only(Self::FIELDS)?;
        Ok(Self { portal: object.required("portal")?, challenge_id: object.required("challenge_id")? })
    }
}

impl From<ChallengeKey> for Owed {
    fn from(key: ChallengeKey) -> Self {
        Self { portal: key.portal, challenge_id: key.id }
    }
}
