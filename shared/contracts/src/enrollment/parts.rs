//! Parts of an enrollment request: what proves who asks, and the sealed box.

use core::fmt;

use fleet_domain::{ChallengeId, RequestId};
use schemars::{JsonSchema, Schema, json_schema};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::form::{Form, OptionalText, Text};
use crate::invalid::Fault;
use crate::object::Object;

/// What proves that the user is the one who asks: exactly one of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Proof {
    /// A sign-in challenge of this user that was approved a short while ago. It proves one request.
    #[serde(with = "OptionalText::<ChallengeId>", default, skip_serializing_if = "Option::is_none")]
    pub challenge_id: Option<ChallengeId>,
    /// An enrollment request of this user whose test has just passed, or a recovery. It proves one request.
    #[serde(with = "OptionalText::<RequestId>", default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

/// Secrets, sealed to the fleet's enrollment key (libsodium's `crypto_box_seal`).
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Sealed {
    /// The id of the key: the first 16 hex digits of its SHA-256.
    #[serde(with = "Text::<KeyId>")]
    pub key_id: KeyId,
    /// The sealed box, base64url without padding; what it opens to is described by `enrollment-secrets.json`.
    #[serde(rename = "box", with = "Text::<BoxText>")]
    pub sealed: BoxText,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("key_id", &self.key_id.0).finish_non_exhaustive()
    }
}

/// The id of an enrollment key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyId(pub String);

/// A sealed box in base64url.
#[derive(Clone, PartialEq, Eq)]
pub struct BoxText(pub String);

/// The longest box that is taken, in characters: room for sixteen answers.
const MAX_BOX: usize = 16_384;

impl Form for KeyId {
    fn rule() -> String {
        "must be the id of an enrollment key: 16 hex digits".into()
    }

    fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 16 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{16}$" })
    }
}

impl Form for BoxText {
    fn rule() -> String {
        format!("must be a sealed box in base64url without padding, at most {MAX_BOX} characters")
    }

    fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        ((1..=MAX_BOX).contains(&text.len()) && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": MAX_BOX })
    }
}

impl Proof {
    /// A challenge as proof.
    #[must_use]
    pub const fn challenge(id: ChallengeId) -> Self {
        Self { challenge_id: Some(id), request_id: None }
    }

    /// A request as proof.
    #[must_use]
    pub const fn request(id: RequestId) -> Self {
        Self { challenge_id: None, request_id: Some(id) }
    }

    pub(super) fn read(raw: &RawValue, path: String) -> Result<Self, Fault> {
        let object = Object::read(raw.get(), path.clone())?.only(&["challenge_id", "request_id"])?;
        let proof = Self {
            challenge_id: object.optional("challenge_id")?,
            request_id: object.optional("request_id")?,
        };
        if proof.challenge_id.is_some() == proof.request_id.is_some() {
            return Err(Fault::new(path, "must have one of challenge_id and request_id"));
        }
        Ok(proof)
    }
}

impl Sealed {
    pub(super) fn read(raw: &RawValue, path: String) -> Result<Self, Fault> {
        let object = Object::read(raw.get(), path)?.only(&["key_id", "box"])?;
        Ok(Self { key_id: object.required("key_id")?, sealed: object.required("box")? })
    }
}
