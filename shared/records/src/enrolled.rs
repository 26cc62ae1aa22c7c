//! Users, phones and devices as they are written, and a device as the gateway reads it.

use fleet_domain::{Channel, DeviceId, Extension, PhoneKind, PhoneNumber, PhoneRole, PushToken, UserId};
use fleet_keys::{DeviceAlg, TotpSecret};

/// A user to be stored, in place of whatever was stored under the id.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The user's id.
    pub id: UserId,
    /// The audience: which portals may challenge the user.
    pub audience: String,
    /// The method that the user chose.
    pub method: Channel,
    /// The phones, at most one of each role.
    pub phones: Vec<NewPhone>,
    /// The authenticator devices.
    pub devices: Vec<NewDevice>,
}

/// A phone to be stored.
#[derive(Clone, Debug)]
pub struct NewPhone {
    /// Which of the user's phones.
    pub role: PhoneRole,
    /// Where it stands.
    pub kind: PhoneKind,
    /// Its number.
    pub number: PhoneNumber,
    /// What is dialed after the answer.
    pub extension: Option<Extension>,
    /// Whether a live call to it has been answered and confirmed.
    pub verified: bool,
}

/// An active device to be stored.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// Its id.
    pub id: DeviceId,
    /// The algorithm of its key.
    pub alg: DeviceAlg,
    /// Its public key.
    pub public_key: Vec<u8>,
    /// Where its pushes go.
    pub push_token: Option<PushToken>,
    /// The secret of its one-time codes.
    pub totp: Option<TotpSecret>,
}

/// A device as its answers are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Its id.
    pub id: DeviceId,
    /// Whose it is.
    pub user: UserId,
    /// The algorithm of its key.
    pub alg: DeviceAlg,
    /// Its public key.
    pub public_key: Vec<u8>,
    /// What it may answer.
    pub standing: DeviceStanding,
}

/// What a device may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceStanding {
    /// Every challenge that its user's devices are asked.
    Active,
    /// Its own test, and nothing else yet.
    Untested,
    /// Nothing any more: it was given up, or lost.
    Out,
}

/// The code of an active device's state; any other means that it may not answer.
pub(crate) const ACTIVE: i16 = 1;
/// The code of a device that was lost or stolen.
pub(crate) const LOST: i16 = 3;
/// The code that stands for the state of a device that is not tested yet: it has a table of its own.
pub(crate) const UNTESTED: i16 = 0;

/// What a device in the state of this code may answer.
pub(crate) const fn standing_of(code: i16) -> DeviceStanding {
    match code {
        ACTIVE => DeviceStanding::Active,
        UNTESTED => DeviceStanding::Untested,
        _ => DeviceStanding::Out,
    }
}

/// The stored code of an algorithm. Never changes.
pub(crate) const fn code_of(alg: DeviceAlg) -> i16 {
    match alg {
        DeviceAlg::Es256 => 1,
        DeviceAlg::EdDsa => 2,
    }
}

/// The algorithm of a stored code.
pub(crate) const fn alg_of(code: u8) -> Option<DeviceAlg> {
    match code {
        1 => Some(DeviceAlg::Es256),
        2 => Some(DeviceAlg::EdDsa),
        _ => None,
    }
}
