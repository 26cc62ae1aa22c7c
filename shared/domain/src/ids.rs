//! Names of things: portals, users, challenges, devices.

use alloc::sync::Arc;
use core::fmt;
use uuid::Uuid;

use crate::time::Timestamp;

/// Why a text is not a valid id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Not a portal's name.
    #[error("must be 1 to 32 of a-z, 0-9 and '-'")]
    Portal,
    /// A name that stands for something of the fleet's own.
    #[error(
        "is taken: queues and exchanges of the fleet begin with it, and a portal owns whatever begins with its \
         name and a dot; choose another name"
    )]
    TakenPortal,
    /// Not a user's id.
    #[error("must be 1 to 128 characters without spaces or control characters")]
    User,
    /// Not a challenge's id.
    #[error("must be a UUIDv7 (RFC 9562) in its usual form of 36 characters")]
    Challenge,
    /// Not a request's id.
    #[error("must be a UUIDv7 (RFC 9562) in its usual form of 36 characters")]
    Request,
    /// Not a device's id.
    #[error("must be a UUID in its usual form of 36 characters")]
    Device,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and wraps it.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> Result<(), InvalidId> = $check;
                check(text).map(|()| Self(text.into()))
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                Self::parse(d.str()?).map_err(minicbor::decode::Error::message)
            }
        }
    };
}

text_id!(
    /// A portal's name: the RabbitMQ user under which it publishes. 1 to 32 of `a-z`, `0-9`, `-`, and none of
    /// [`TAKEN_NAMES`].
    PortalName,
    |text| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=32).contains(&text.len()) || !text.bytes().all(plain) {
            Err(InvalidId::Portal)
        } else if TAKEN_NAMES.contains(&text) {
            Err(InvalidId::TakenPortal)
        } else {
            Ok(())
        }
    }
);

/// The first words of the names of the fleet's queues and exchanges, and `amq`, that of RabbitMQ's own. A portal
/// may declare, fill and empty everything in RabbitMQ that is named after it.
pub const TAKEN_NAMES: [&str; 10] =
    ["amq", "challenge", "control", "dead", "delay", "enrollment", "mfa", "parked", "push", "voice"];

text_id!(
    /// A user's id, as the portals name the user. 1 to 128 characters, no spaces, no control characters.
    UserId,
    |text| {
        let fits = (1..=128).contains(&text.chars().count())
            && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if fits { Ok(()) } else { Err(InvalidId::User) }
    }
);

macro_rules! uuid_v7_id {
    ($(#[$doc:meta])* $name:ident, $invalid:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Reads the usual form of 36 characters.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                if text.len() != 36 {
                    return Err(InvalidId::$invalid);
                }
                Uuid::try_parse(text).ok().and_then(Self::from_uuid).ok_or(InvalidId::$invalid)
            }

            /// Wraps a UUID; `None` unless it is a version 7 of the RFC 9562 variant.
            #[must_use]
            pub fn from_uuid(uuid: Uuid) -> Option<Self> {
                (uuid.get_version_num() == 7 && uuid.get_variant() == uuid::Variant::RFC4122).then_some(Self(uuid))
            }

            /// Makes an id from its time and 74 random bits (the surplus bits of `random` are ignored).
            #[must_use]
            pub fn from_parts(at: Timestamp, random: [u8; 10]) -> Self {
                let millis = u64::try_from(at.as_millis()).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }

            /// The UUID.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }

            /// The 16 bytes of the UUID.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The time inside the id, to the millisecond (RFC 9562, section 5.7).
            #[must_use]
            pub fn created_at(self) -> Timestamp {
                let millis = self.0.as_bytes().iter().take(6).fold(0_i64, |sum, byte| (sum << 8) | i64::from(*byte));
                Timestamp::from_micros(millis * 1_000)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(self.0.as_bytes())?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                let uuid = Uuid::from_slice(d.bytes()?).map_err(minicbor::decode::Error::message)?;
                Self::from_uuid(uuid).ok_or_else(|| minicbor::decode::Error::message("no UUIDv7"))
            }
        }
    };
}

uuid_v7_id!(
    /// A challenge's id: a UUIDv7 that the portal chose, whose time says when it asked.
    ChallengeId,
    Challenge
);

uuid_v7_id!(
    /// The id of a request to change an enrollment: a UUIDv7 that the portal chose, whose time says when it asked.
    RequestId,
    Request
);

/// An authenticator device's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Uuid);

impl DeviceId {
    /// Reads the usual form of 36 characters.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if text.len() != 36 {
            return Err(InvalidId::Device);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidId::Device)
    }

    /// Wraps any UUID.
    #[must_use]
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<C> minicbor::Encode<C> for DeviceId {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(self.0.as_bytes())?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for DeviceId {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Uuid::from_slice(d.bytes()?).map(Self).map_err(minicbor::decode::Error::message)
    }
}

/// What identifies a challenge: portals are strangers to each other, so the portal is part of the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChallengeKey {
    /// The challenge's id.
    pub id: ChallengeId,
    /// The portal that asked.
    pub portal: PortalName,
}

/// What identifies a request to change an enrollment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey {
    /// The request's id.
    pub id: RequestId,
    /// The portal that asked.
    pub portal: PortalName,
}

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.portal, self.id)
    }
}

impl fmt::Display for ChallengeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.portal, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portal_name_is_short_and_plain() {
        for good in ["operations", "a", "portal-2"] {
            assert!(PortalName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "Operations", "a.b", "a/b", "ü", "a b", &"x".repeat(33)] {
            assert_eq!(PortalName::parse(bad), Err(InvalidId::Portal), "{bad}");
        }
    }

    #[test]
    fn a_portal_is_not_named_after_what_is_the_fleets() {
        for taken in TAKEN_NAMES {
            let refused = PortalName::parse(taken).unwrap_err();
            assert_eq!(refused, InvalidId::TakenPortal, "{taken}");
            assert!(alloc::format!("{refused}").contains("choose another"), "{refused}");
            assert!(PortalName::parse(&alloc::format!("{taken}-2")).is_ok(), "{taken}");
        }
    }

    #[test]
    fn a_challenge_id_is_a_version_7_uuid_and_tells_its_time() {
        let at = Timestamp::from_micros(1_790_000_000_123_000);
        let id = ChallengeId::from_parts(at, [7; 10]);
        assert_eq!(id.created_at(), at);
        assert_eq!(ChallengeId::parse(&alloc::format!("{id}")), Ok(id));
        assert!(ChallengeId::parse("f47ac10b-58cc-4372-a567-0e02b2c3d479").is_err());
        assert!(ChallengeId::parse(&alloc::format!("{{{id}}}")).is_err());
    }
}
