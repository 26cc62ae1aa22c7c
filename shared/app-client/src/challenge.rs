//! Challenges as the gateway lists them, and what can be said to one.

use std::fmt;

use fleet_domain::{Timestamp, UserVerification};
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A challenge that waits for an answer. `Debug` masks its nonce.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Challenge {
    /// The portal's name.
    pub portal: String,
    /// The organisation, to be shown.
    pub portal_title: String,
    /// The challenge's id.
    pub challenge_id: String,
    pub(crate) nonce: String,
    /// Until when an answer counts.
    #[serde(deserialize_with = "rfc3339")]
    pub answer_by: Timestamp,
    /// When it was asked.
    #[serde(deserialize_with = "rfc3339")]
    pub accepted_at: Timestamp,
    /// `sign_in`, or `enrollment_test` when the person is enrolling.
    pub purpose: String,
    /// Whether the number on the portal's page is to be typed. Never offer a choice of numbers.
    pub number_match: bool,
    /// How to make sure of who holds the app before an approval is sent.
    #[serde(default)]
    pub require_user_verification: UserVerification,
    /// What the portal tells about the sign-in, to be shown.
    pub context: Shown,
}

/// What the portal tells about the sign-in. It comes from outside: show it as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Shown {
    /// The application that is signed in to.
    pub application: Option<String>,
    /// The address from which somebody signs in.
    pub client_ip: Option<String>,
    /// Where that is.
    pub place: Option<String>,
    /// The portal's own fields, in its order.
    #[serde(default)]
    pub fields: Vec<Field>,
}

/// A field of the portal's own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The whole list.
#[derive(Deserialize)]
pub(crate) struct Listed {
    pub(crate) challenges: Vec<Challenge>,
}

/// How the app has made sure of who holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// By its PIN.
    Pin,
    /// By fingerprint or face.
    Biometric,
}

/// Why a person says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Somebody else is signing in: reports fraud, and blocks the account where the portal's policy says so.
    NotMe,
    /// Asked for by mistake.
    Mistake,
    /// Not wanted any more.
    Canceled,
}

/// What a challenge came to by the answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Decided {
    /// `approved` or `denied`; both are final.
    pub result: String,
    /// Why, such as `ok_push` or `number_mismatch`.
    pub reason: String,
}

impl Verified {
    pub(crate) const fn claim(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Biometric => "biometric",
        }
    }
}

impl Denial {
    pub(crate) const fn claim(self) -> &'static str {
        match self {
            Self::NotMe => "not_me",
            Self::Mistake => "mistake",
            Self::Canceled => "canceled",
        }
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenge")
            .field("portal", &self.portal)
            .field("challenge_id", &self.challenge_id)
            .field("answer_by", &self.answer_by)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

fn rfc3339<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(from)?;
    let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(serde::de::Error::custom)?;
    let micros = i64::try_from(time.unix_timestamp_nanos() / 1_000).map_err(serde::de::Error::custom)?;
    Ok(Timestamp::from_micros(micros))
}
