//! What is enrolled of a user, as a portal may show it.

use alloc::string::String;
use alloc::vec::Vec;

use super::request::Account;
use crate::ids::DeviceId;
use crate::time::Timestamp;
use crate::user::Phone;
use crate::words::{Channel, PhoneKind, PhoneRole};

/// What is enrolled, as a portal may show it to its user: no number in clear.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Seen {
    /// The method.
    #[n(0)]
    pub method: Channel,
    /// The phones: role, masked number, whether verified, whether it has an extension.
    #[n(1)]
    pub phones: Vec<SeenPhone>,
    /// The active devices.
    #[n(2)]
    pub devices: Vec<DeviceId>,
    /// Whether a PIN is set.
    #[n(3)]
    pub has_pin: bool,
    /// The questions that are answered.
    #[n(4)]
    pub questions: Vec<String>,
    /// Whether the user is blocked.
    #[n(5)]
    pub blocked: bool,
    /// The active devices, with what their user calls them.
    #[n(6)]
    #[cbor(default)]
    pub apps: Vec<SeenApp>,
}

/// A device as a portal may show it.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct SeenApp {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// What its user calls it; `None` for one that was not activated by a code. So are the others.
    #[n(1)]
    pub name: Option<String>,
    /// `android`, `ios` or `other`.
    #[n(2)]
    pub platform: Option<String>,
    /// When it was activated.
    #[n(3)]
    pub activated_at: Option<Timestamp>,
}

/// A phone as a portal may show it.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct SeenPhone {
    /// Which one.
    #[n(0)]
    pub role: PhoneRole,
    /// Where it stands.
    #[n(1)]
    pub kind: PhoneKind,
    /// Its number, the middle hidden.
    #[n(2)]
    pub masked: String,
    /// Whether a live call to it has been answered and confirmed.
    #[n(3)]
    pub verified: bool,
    /// Whether an extension is dialed after the answer.
    #[n(4)]
    pub has_extension: bool,
}

impl Seen {
    /// What there is to be shown; `None` where there is no user.
    #[must_use]
    pub fn of(account: &Account) -> Option<Self> {
        let user = account.user.as_ref()?;
        let phone = |phone: &Phone| SeenPhone {
            role: phone.role,
            kind: phone.kind,
            masked: phone.masked.clone(),
            verified: phone.verified,
            has_extension: phone.has_extension,
        };
        Some(Self {
            method: user.method,
            phones: user.phones.iter().map(phone).collect(),
            devices: user.devices.iter().map(|device| device.id).collect(),
            has_pin: user.has_pin,
            questions: account.questions.clone(),
            blocked: user.blocked,
            apps: account.apps.clone(),
        })
    }
}
