//! What accepting a challenge has to know of a user.
//!
//! Numbers and keys are opaque here: records opens them where they are used.

use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::{DeviceId, UserId};
use crate::time::Timestamp;
use crate::words::{Channel, PhoneKind, PhoneRole, Reason};

/// A user with everything that can be challenged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// Which portals may challenge the user: those that name this audience.
    pub audience: String,
    /// The method that the user chose.
    pub method: Channel,
    /// Whether help desk or a fraud report has blocked the user, as of when the user was read.
    pub blocked: bool,
    /// Whether the user has set a PIN.
    pub has_pin: bool,
    /// Until when no PIN is taken after too many wrong ones; `None` where it is.
    pub pin_locked_until: Option<Timestamp>,
    /// Until when no one-time code is taken after too many wrong ones; `None` where it is.
    pub totp_locked_until: Option<Timestamp>,
    /// Whether an operator has given the user a challenge that is approved unasked. Only who takes it from the records may use it.
    pub bypass: bool,
    /// Phones whose number asked never to be called again.
    pub opted_out: Vec<PhoneRole>,
    /// The user's phones, at most one of each role.
    pub phones: Vec<Phone>,
    /// The user's active devices.
    pub devices: Vec<Device>,
}

impl User {
    /// The user's verified phone of this role.
    #[must_use]
    pub fn phone(&self, role: PhoneRole) -> Option<&Phone> {
        self.phones.iter().find(|phone| phone.role == role && phone.verified)
    }

    /// Whether one-time codes of this device, or of any, can be checked.
    #[must_use]
    pub fn has_totp(&self, device: Option<DeviceId>) -> bool {
        self.devices.iter().any(|have| have.has_totp && device.is_none_or(|device| device == have.id))
    }

    /// Why nobody may call this phone, if that is so.
    #[must_use]
    pub fn barred(&self, role: PhoneRole) -> Option<Reason> {
        if self.blocked {
            Some(Reason::UserBlocked)
        } else {
            self.opted_out.contains(&role).then_some(Reason::NumberOptedOut)
        }
    }
}

/// A phone, its number sealed.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Phone {
    /// Which of the user's phones.
    #[n(0)]
    pub role: PhoneRole,
    /// Where it stands.
    #[n(1)]
    pub kind: PhoneKind,
    /// Whether a live call to it has been answered and confirmed.
    #[n(2)]
    pub verified: bool,
    /// The number and extension, encrypted; records opens it.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub sealed: Vec<u8>,
    /// The number with its middle hidden, for outcomes.
    #[n(4)]
    pub masked: String,
    /// Whether an extension is dialed after the answer.
    #[n(5)]
    pub has_extension: bool,
}

/// An activated authenticator device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The device's id.
    pub id: DeviceId,
    /// Where its pushes go; `None` for an app that only polls.
    pub push_token: Option<PushToken>,
    /// Whether it has no push token because the app was gone when the last one was used, and not because it only polls.
    pub push_gone: bool,
    /// Whether its one-time codes can be checked: its secret is stored.
    pub has_totp: bool,
}

/// An FCM registration token or Firebase installation id. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PushToken {
    text: String,
    is_fid: bool,
}

impl PushToken {
    /// Wraps a registration token.
    #[must_use]
    pub const fn new(token: String) -> Self {
        Self { text: token, is_fid: false }
    }

    /// Wraps a Firebase installation id.
    #[must_use]
    pub const fn fid(fid: String) -> Self {
        Self { text: fid, is_fid: true }
    }

    /// The token itself, for the request to the push service and nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Whether it is a Firebase installation id.
    #[must_use]
    pub const fn is_fid(&self) -> bool {
        self.is_fid
    }
}

impl core::fmt::Debug for PushToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PushToken(***)")
    }
}
