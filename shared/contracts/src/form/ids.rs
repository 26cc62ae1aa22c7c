//! Forms of ids and names.

use core::fmt;

use fleet_domain::{ChallengeId, DeviceId, PortalName, RequestId, Target, UserId};
use schemars::{Schema, json_schema};
use uuid::Uuid;

use super::Form;

macro_rules! uuid_v7_forms {
    ($($id:ty,)+) => {$(
        impl Form for $id {
            fn rule() -> String {
                "must be a UUIDv7 (RFC 9562) in its usual form of 36 characters, in lower case".into()
            }

            fn parse(text: &str) -> Option<Self> {
                // The id is part of the outcome's key in Redis, where case matters.
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return None;
                }
                Self::parse(text).ok()
            }

            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }

            fn schema() -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
                })
            }
        }
    )+};
}

uuid_v7_forms! { ChallengeId, RequestId, }

/// The text of a UUID of any version, as it was sent.
pub(crate) struct AnyUuid(pub(crate) String);

/// For `#[serde(deserialize_with = "any_uuid")]`.
pub(crate) fn any_uuid<'de, D: serde::Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(d)?;
    AnyUuid::parse(&text).map(|id| id.0).ok_or_else(|| serde::de::Error::custom(AnyUuid::rule()))
}

const ANY_UUID: &str = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";

impl Form for AnyUuid {
    fn rule() -> String {
        "must be a UUID in its usual form of 36 characters".into()
    }

    fn parse(text: &str) -> Option<Self> {
        (text.len() == 36 && Uuid::try_parse(text).is_ok()).then(|| Self(text.to_owned()))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": format!("^{ANY_UUID}$") })
    }
}

impl Form for DeviceId {
    fn rule() -> String {
        "must be a UUID in its usual form of 36 characters".into()
    }

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": format!("^{ANY_UUID}$") })
    }
}

impl Form for UserId {
    fn rule() -> String {
        "must be 1 to 128 characters without spaces or control characters".into()
    }

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }

    fn schema() -> Schema {
        // Unicode's White_Space and Cc, written out: `\s` means something else in every dialect.
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": 128,
            "pattern": r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*$",
        })
    }
}

impl Form for PortalName {
    fn rule() -> String {
        "must be 1 to 32 of a-z, 0-9 and '-'".into()
    }

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z0-9-]{1,32}$" })
    }
}

impl Form for Target {
    fn rule() -> String {
        "must be primary, backup or a device's UUID in its usual form of 36 characters".into()
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "primary" => Some(Self::Primary),
            "backup" => Some(Self::Backup),
            device => DeviceId::parse(device).ok().map(Self::Device),
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("primary"),
            Self::Backup => f.write_str("backup"),
            Self::Device(id) => fmt::Display::fmt(id, f),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": format!("^(primary|backup|{ANY_UUID})$") })
    }
}

/// The name of a portal's own field.
pub(crate) struct FieldName(pub(crate) String);

impl Form for FieldName {
    fn rule() -> String {
        "must be named with 1 to 32 of a-z, 0-9 and '_'".into()
    }

    fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        ((1..=32).contains(&text.len()) && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z0-9_]{1,32}$" })
    }
}
