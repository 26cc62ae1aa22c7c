//! What is enrolled of a user, as the change `read` tells it.

use fleet_domain::{Channel, DeviceId, PhoneKind, PhoneRole, Seen, SeenApp, SeenPhone, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::form::{OptionalText, Text, not_null};

/// What is enrolled of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct EnrolledReport {
    /// The method.
    #[schemars(with = "Text<Channel>")]
    pub method: Channel,
    /// The phones.
    pub phones: Vec<EnrolledPhone>,
    /// The ids of the active devices.
    #[schemars(with = "Vec<Text<DeviceId>>")]
    #[serde(with = "device_ids")]
    pub devices: Vec<DeviceId>,
    /// The same devices, with what their user calls them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<EnrolledApp>,
    /// Whether a PIN is set.
    pub pin: bool,
    /// The ids of the security questions that are answered.
    pub questions: Vec<String>,
    /// Whether the user is blocked.
    pub blocked: bool,
}

/// A phone that is enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct EnrolledPhone {
    /// Which one.
    #[schemars(with = "Text<PhoneRole>")]
    pub phone: PhoneRole,
    /// Where it stands.
    #[schemars(with = "Text<PhoneKind>")]
    pub kind: PhoneKind,
    /// Its number, the middle hidden.
    pub number: String,
    /// Whether it is verified; until then it is not called in a sign-in.
    pub verified: bool,
    /// Whether an extension is dialed after the answer.
    pub extension: bool,
}

/// A device with the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct EnrolledApp {
    /// The device.
    #[serde(with = "Text::<DeviceId>")]
    pub device_id: DeviceId,
    /// What its user calls it; absent for one that was not activated by a code.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub name: Option<String>,
    /// `android`, `ios` or `other`; absent likewise.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub platform: Option<String>,
    /// When it was activated; absent likewise.
    #[serde(with = "OptionalText::<Timestamp>", default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
}

mod device_ids {
    use fleet_domain::DeviceId;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(ids: &[DeviceId], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(ids.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<DeviceId>, D::Error> {
        let texts = Vec::<String>::deserialize(d)?;
        texts.iter().map(|text| DeviceId::parse(text).map_err(D::Error::custom)).collect()
    }
}

impl From<&Seen> for EnrolledReport {
    fn from(seen: &Seen) -> Self {
        let phone = |phone: &SeenPhone| EnrolledPhone {
            phone: phone.role,
            kind: phone.kind,
            number: phone.masked.clone(),
            verified: phone.verified,
            extension: phone.has_extension,
        };
        let app = |app: &SeenApp| EnrolledApp {
            device_id: app.device,
            name: app.name.clone(),
            platform: app.platform.clone(),
            activated_at: app.activated_at,
        };
        Self {
            method: seen.method,
            phones: seen.phones.iter().map(phone).collect(),
            devices: seen.devices.clone(),
            apps: seen.apps.iter().map(app).collect(),
            pin: seen.has_pin,
            questions: seen.questions.clone(),
            blocked: seen.blocked,
        }
    }
}
