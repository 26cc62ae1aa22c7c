//! What an app signs, and the rules for it that need no database: pure.
//!
//! Fields that are not known are ignored, so that newer apps can say more; a known field that comes twice is
//! refused, since two readers could disagree on it.

use std::borrow::Cow;
use std::time::Duration;

use fleet_domain::{Assurance, ChallengeKey, Decision, DeviceId, Timestamp};
use fleet_keys::Jws;
use fleet_settings::SecretString;
use serde::Deserialize;

use super::AppRefusal;

/// The `typ` of a signed request.
const REQUEST_TYPE: &str = "mfa-request+jwt";
/// The `typ` of a signed answer.
const ANSWER_TYPE: &str = "mfa-answer+jwt";
/// How far the time of a signed request may be from now.
const REQUEST_AGE: Duration = Duration::from_mins(1);

/// Why a proof is none. Only metrics tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::routes) enum Unproved {
    /// There is no proof.
    Missing,
    /// Not a JWS of the one form that is accepted, or not of the right type.
    Malformed,
    /// Signed for another request.
    OtherRequest,
    /// Signed too long ago, or ahead of time.
    Stale,
    /// No such device.
    UnknownDevice,
    /// The device may not answer any more.
    InactiveDevice,
    /// Not signed by the device.
    Signature,
    /// The device is another user's.
    OtherUser,
}

impl Unproved {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Missing => "proof_missing",
            Self::Malformed => "proof_malformed",
            Self::OtherRequest => "proof_for_other_request",
            Self::Stale => "proof_stale",
            Self::UnknownDevice => "device_unknown",
            Self::InactiveDevice => "device_inactive",
            Self::Signature => "signature",
            Self::OtherUser => "device_of_other_user",
        }
    }
}

#[derive(Deserialize)]
struct RequestClaims<'a> {
    #[serde(borrow)]
    htm: Cow<'a, str>,
    #[serde(borrow)]
    htu: Cow<'a, str>,
    iat: i64,
    #[serde(borrow)]
    jti: Cow<'a, str>,
}

/// The device that says to have signed this very request, just now. That it has is to be verified.
pub(super) fn signer_of_request(
    jws: &Jws<'_>,
    (method, url): (&str, &str),
    now: Timestamp,
) -> Result<DeviceId, Unproved> {
    let device = signer(jws, REQUEST_TYPE).ok_or(Unproved::Malformed)?;
    let claims: RequestClaims<'_> = serde_json::from_slice(jws.payload()).map_err(|_| Unproved::Malformed)?;
    if claims.jti.is_empty() {
        return Err(Unproved::Malformed);
    }
    if claims.htm != method || claims.htu != url {
        return Err(Unproved::OtherRequest);
    }
    if is_now(claims.iat, now) { Ok(device) } else { Err(Unproved::Stale) }
}

/// Whether something was signed just now.
pub(super) fn is_now(iat: i64, now: Timestamp) -> bool {
    let signed_at = timestamp(iat);
    signed_at.since(now) <= REQUEST_AGE && now.since(signed_at) <= REQUEST_AGE
}

/// The device that says to have signed a message of this type.
pub(super) fn signer(jws: &Jws<'_>, typ: &str) -> Option<DeviceId> {
    let header = jws.header();
    let kid = header.kid.as_deref().filter(|_| header.typ.as_deref() == Some(typ))?;
    DeviceId::parse(kid).ok()
}

/// A NumericDate (RFC 7519) of whole seconds.
fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}

#[derive(Deserialize)]
struct AnswerClaims<'a> {
    #[serde(borrow)]
    portal: Cow<'a, str>,
    #[serde(borrow)]
    challenge_id: Cow<'a, str>,
    #[serde(borrow)]
    nonce: Cow<'a, str>,
    #[serde(borrow)]
    decision: Cow<'a, str>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    number: Option<SecretString>,
    #[serde(borrow)]
    device_id: Cow<'a, str>,
    #[serde(borrow)]
    uv: Option<Cow<'a, str>>,
    exp: i64,
}

/// What a device says to a challenge.
#[derive(Debug)]
pub(super) struct Answer {
    /// The device that says to have signed it.
    pub(super) device: DeviceId,
    /// Until when it is good.
    pub(super) good_until: Timestamp,
    /// What it says.
    pub(super) saying: Saying,
}

/// Yes or no, as the app says it.
#[derive(Debug)]
pub(super) enum Saying {
    /// Yes.
    Approve {
        /// The digits that were typed.
        number: Option<SecretString>,
        /// How the app has made sure of who holds it.
        verified: Verified,
    },
    /// "It is not me."
    NotMe,
    /// No, by mistake or without a reason.
    Decline {
        /// Whether there was a reason that is not known here.
        unknown_reason: bool,
    },
    /// "I do not want this any more."
    Cancel,
}

/// How an app has made sure of who holds it (user verification).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verified {
    /// Not at all, or in a way that is not known here.
    Not,
    /// By the app's PIN.
    Pin,
    /// By fingerprint or face.
    Biometric,
}

/// Reads an answer to this challenge. Whether the device has signed it is to be verified.
pub(super) fn answer(
    jws: &Jws<'_>,
    key: &ChallengeKey,
    (now, is_nonce): (Timestamp, impl FnOnce(&str) -> bool),
) -> Result<Answer, AppRefusal> {
    let malformed = AppRefusal::Malformed;
    let device = signer(jws, ANSWER_TYPE)
        .ok_or(malformed("the JWS must have the typ mfa-answer+jwt and the device's id as kid"))?;
    let claims: AnswerClaims<'_> = serde_json::from_slice(jws.payload())
        .map_err(|_| malformed("a claim is missing, given twice, or of the wrong type"))?;
    if claims.portal != key.portal.as_str() || claims.challenge_id != key.id.to_string() {
        return Err(malformed("portal and challenge_id must be those of the URL"));
    }
    if DeviceId::parse(&claims.device_id) != Ok(device) {
        return Err(malformed("device_id must be the kid"));
    }
    if !is_nonce(&claims.nonce) {
        return Err(malformed("nonce must be that of the challenge"));
    }
    let good_until = timestamp(claims.exp);
    if good_until < now {
        return Err(AppRefusal::Ended);
    }
    Ok(Answer { device, good_until, saying: saying(claims)? })
}

fn saying(claims: AnswerClaims<'_>) -> Result<Saying, AppRefusal> {
    match &*claims.decision {
        "approve" => Ok(Saying::Approve { number: claims.number, verified: verified(claims.uv.as_deref()) }),
        "deny" => Ok(match claims.reason.as_deref() {
            Some("not_me") => Saying::NotMe,
            Some("canceled") => Saying::Cancel,
            Some("mistake") | None => Saying::Decline { unknown_reason: false },
            Some(_) => Saying::Decline { unknown_reason: true },
        }),
        _ => Err(AppRefusal::Malformed("decision must be approve or deny")),
    }
}

fn verified(uv: Option<&str>) -> Verified {
    match uv {
        Some("pin") => Verified::Pin,
        Some("biometric") => Verified::Biometric,
        Some(_) | None => Verified::Not,
    }
}

impl Saying {
    /// The decision, with the digits compared. `is_number` says whether they are the ones on the portal's page,
    /// `None` where it shows none.
    pub(super) fn decision(&self, is_number: impl FnOnce(&SecretString) -> Option<bool>) -> Decision {
        match self {
            Self::Approve { number, verified } => {
                let number = number.as_ref().and_then(is_number);
                Decision::Approve { number, assurance: assurance(number == Some(true), *verified) }
            }
            Self::NotMe => Decision::NotMe,
            Self::Decline { .. } => Decision::Decline,
            Self::Cancel => Decision::Cancel,
        }
    }
}

const fn assurance(number_matched: bool, verified: Verified) -> Assurance {
    match (number_matched, verified) {
        (false, Verified::Not) => Assurance::Approve,
        (false, Verified::Pin) => Assurance::ApprovePin,
        (false, Verified::Biometric) => Assurance::ApproveBiometric,
        (true, Verified::Not) => Assurance::NumberMatch,
        (true, Verified::Pin) => Assurance::NumberMatchPin,
        (true, Verified::Biometric) => Assurance::NumberMatchBiometric,
    }
}
