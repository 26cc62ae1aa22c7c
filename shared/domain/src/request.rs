//! What a portal asked for (`Ask`), and what the fleet made of it at acceptance (`Request`).
//!
//! A `Request` never changes again: its row column is written once, and everything that a later process
//! needs to carry the challenge on stands in it.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::ids::{ChallengeKey, DeviceId, UserId};
use crate::time::Timestamp;
use crate::user::Phone;
use crate::words::{CallMode, Channel, PhoneRole, Purpose, Reason, UserVerification};

/// A portal's request after its form was checked, before anything is known about the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Portal and challenge id.
    pub key: ChallengeKey,
    /// Whom to challenge.
    pub user: UserId,
    /// What for.
    pub purpose: Purpose,
    /// The channel of the routing key; `None` for the policy's workflow, or the user's own method.
    pub channel: Option<Channel>,
    /// Which phone or device.
    pub target: Target,
    /// The order of channels, if the portal gave one; it takes precedence over `channel`.
    pub workflow: Vec<AskedStep>,
    /// The keyed hash of the digits that the portal shows, if it shows any.
    pub number_match: Option<[u8; 16]>,
    /// When the answer must be there; the policy's default if absent.
    pub answer_by: Option<Timestamp>,
    /// The locale for prompts and help (BCP 47).
    pub locale: Option<String>,
    /// What the app and the prompts may show about the sign-in.
    pub context: Context,
    /// A keyed hash of the JCS form (RFC 8785) of the request's `data`; never zeros.
    pub body_hash: [u8; 32],
}

/// One step of the order of channels that a portal asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedStep {
    /// The channel.
    pub channel: Channel,
    /// Which phone or device.
    pub target: Target,
    /// When to go on to the next step.
    pub timeout: Option<Duration>,
}

/// Which of the user's phones or devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum Target {
    /// The primary phone; all devices.
    #[default]
    #[n(0)]
    Primary,
    /// The backup phone.
    #[n(1)]
    Backup,
    /// One device.
    #[n(2)]
    Device(#[n(0)] DeviceId),
}

impl Target {
    /// The phone of this target; `None` for a device.
    #[must_use]
    pub const fn phone(self) -> Option<PhoneRole> {
        match self {
            Self::Primary => Some(PhoneRole::Primary),
            Self::Backup => Some(PhoneRole::Backup),
            Self::Device(_) => None,
        }
    }

    /// The one device of this target; `None` for all of them.
    #[must_use]
    pub const fn device(self) -> Option<DeviceId> {
        match self {
            Self::Device(device) => Some(device),
            Self::Primary | Self::Backup => None,
        }
    }
}

/// What the portal tells about the sign-in, shown to the person. Lengths are checked when it arrives.
#[derive(Clone, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Context {
    /// The application that is signed in to.
    #[n(0)]
    pub application: Option<String>,
    /// The address from which the person signs in.
    #[n(1)]
    pub client_ip: Option<String>,
    /// Where that is.
    #[n(2)]
    pub place: Option<String>,
    /// The portal's own fields, at most 20, in its order.
    #[n(3)]
    pub fields: Vec<Field>,
}

/// A field of the portal's own.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Field {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// Its value.
    #[n(1)]
    pub value: String,
}

/// An accepted request, with the way that was chosen for it.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Request {
    /// Whom to challenge; `None` only for a cancel that came before its request.
    #[n(0)]
    pub user: Option<UserId>,
    /// What for.
    #[n(1)]
    pub purpose: Purpose,
    /// The steps in order; empty when the challenge ended at acceptance.
    #[n(2)]
    pub steps: Vec<Step>,
    /// What a called person is asked to key.
    #[n(3)]
    pub mode: CallMode,
    /// The keyed hash of the digits that the portal shows.
    #[n(4)]
    #[cbor(with = "minicbor::bytes")]
    pub number_match: Option<[u8; 16]>,
    /// When it was accepted.
    #[n(5)]
    pub accepted_at: Timestamp,
    /// When the answer must be there.
    #[n(6)]
    pub answer_by: Timestamp,
    /// Until when the outcome can be collected.
    #[n(7)]
    pub collect_by: Timestamp,
    /// The locale for prompts and help.
    #[n(8)]
    pub locale: String,
    /// What the portal tells about the sign-in.
    #[n(9)]
    pub context: Context,
    /// What the user could try instead, were this to fail.
    #[n(10)]
    pub alternatives: Vec<Alternative>,
    /// How often a call's prompt is played.
    #[n(11)]
    pub prompts: u8,
    /// A keyed hash of the JCS form of the request's `data`; zeros for a cancel that came before its request.
    #[n(12)]
    #[cbor(with = "minicbor::bytes")]
    pub body_hash: [u8; 32],
    /// The hash of the PIN that a called person keys, where it is one that is being tested and not the user's own yet.
    #[n(13)]
    pub pin: Option<String>,
    /// How an app must make sure of who holds it before it approves.
    #[n(14)]
    #[cbor(default)]
    pub user_verification: UserVerification,
    /// The steps that were asked for and that this user cannot go.
    #[n(15)]
    #[cbor(default)]
    pub skipped: Vec<Skipped>,
}

/// A step that was left out at acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Skipped {
    /// The channel.
    #[n(0)]
    pub channel: Channel,
    /// Which phone or device.
    #[n(1)]
    pub target: Target,
    /// Why the user cannot go it.
    #[n(2)]
    pub reason: Reason,
}

/// One way to reach the person, ready to be gone.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum Step {
    /// A call.
    #[n(0)]
    Voice {
        /// The phone to call.
        #[n(0)]
        phone: Phone,
        /// How long it rings, in seconds: as long as a phone rings for this portal, and no longer than the step lasts.
        #[n(1)]
        ring_s: u8,
    },
    /// A push to all active devices, or to one.
    #[n(1)]
    Push {
        /// The one device, if the portal named it.
        #[n(0)]
        device: Option<DeviceId>,
        /// After how many milliseconds without an answer the next step follows.
        #[n(1)]
        timeout_ms: Option<u32>,
    },
    /// A wait for a one-time code of any active device that has a secret, or of one.
    #[n(2)]
    Totp {
        /// The one device, if the portal named it.
        #[n(0)]
        device: Option<DeviceId>,
        /// After how many milliseconds in which nothing was typed the next step follows.
        #[n(1)]
        timeout_ms: Option<u32>,
    },
}

impl Step {
    /// The step's channel.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        match self {
            Self::Voice { .. } => Channel::Voice,
            Self::Push { .. } => Channel::Push,
            Self::Totp { .. } => Channel::Totp,
        }
    }

    /// Whether it is a push that this device gets.
    #[must_use]
    pub fn asks(&self, device: DeviceId) -> bool {
        matches!(self, Self::Push { device: only, .. } if only.is_none_or(|only| only == device))
    }

    /// After what time without an answer the next step follows, where the step says so.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match self {
            Self::Push { timeout_ms, .. } | Self::Totp { timeout_ms, .. } => {
                timeout_ms.map(|ms| Duration::from_millis(u64::from(ms)))
            }
            // A call ends by itself.
            Self::Voice { .. } => None,
        }
    }
}

/// Something that the user could try instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Alternative {
    /// By which channel.
    #[n(0)]
    pub channel: Channel,
    /// To which phone or device.
    #[n(1)]
    pub target: Target,
}
