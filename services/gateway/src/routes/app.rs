//! What the routes of the app share: who signed a request, and how one is refused.
//!
//! A device proves itself with the key that it registered, in a JWS over the request or over its answer.
//! Whatever is wrong with the proof, the answer is the same, so that nobody learns which devices exist.

pub(super) mod activate;
pub(super) mod challenges;
mod claims;
#[cfg(test)]
mod claims_tests;
mod device_claims;
pub(super) mod push_address;
pub(super) mod revoke;
#[cfg(test)]
mod vectors_tests;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use fleet_domain::{Challenge, DeviceId, Step, UserId};
use fleet_keys::Jws;
use fleet_records::{DeviceRecord, DeviceStanding};
use serde::Serialize;

use self::claims::Unproved;
use super::body::{Unread, is_of_type, whole_body};
use crate::error::{Because, Setback};
use crate::gateway::Gateway;

/// The scheme of the header `Authorization`.
const SCHEME: &str = "Device ";

/// After how many seconds an app should try again.
const RETRY_AFTER_S: &str = "1";

/// Why an app's request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AppRefusal {
    /// Not proved to come from an active device of the user.
    Unproved(Unproved),
    /// A part of the request breaks its rule.
    Malformed(&'static str),
    /// The body is not a JWS.
    NotJose,
    /// The body can't be had.
    Unread(Unread),
    /// The device was not asked for this challenge.
    NotAsked,
    /// The user has no such challenge.
    Unknown,
    /// The challenge has ended, or its time is over.
    Ended,
    /// The activation code was mistyped.
    Mistyped,
    /// There is no such activation code.
    ActivationUnknown,
    /// The activation code was used by another device.
    ActivationUsed,
    /// The activation code is too old, or void.
    ActivationExpired,
    /// A later push address is stored already.
    StaleVersion,
    /// The fleet could not do it.
    Setback(Setback),
}

impl AppRefusal {
    const fn status(self) -> StatusCode {
        match self {
            Self::Unproved(_) => StatusCode::UNAUTHORIZED,
            Self::Malformed(_) | Self::Mistyped | Self::Unread(Unread::CutOff) => StatusCode::BAD_REQUEST,
            Self::NotJose | Self::Unread(Unread::Encoded) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unread(Unread::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unread(Unread::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::NotAsked => StatusCode::FORBIDDEN,
            Self::Unknown | Self::ActivationUnknown => StatusCode::NOT_FOUND,
            Self::Ended | Self::ActivationUsed | Self::StaleVersion => StatusCode::CONFLICT,
            Self::ActivationExpired => StatusCode::GONE,
            Self::Setback(setback) => match setback {
                Setback::Unknown => StatusCode::NOT_FOUND,
                Setback::Unavailable | Setback::Contended => StatusCode::SERVICE_UNAVAILABLE,
                Setback::Fault => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Unproved(_) => "unauthorized",
            Self::Malformed(_) => "malformed",
            Self::NotJose => "not_jose",
            Self::Unread(unread) => unread.label(),
            Self::NotAsked => "not_asked",
            Self::Unknown => "unknown",
            Self::Ended => "ended",
            Self::Mistyped => "code_mistyped",
            Self::ActivationUnknown => "activation_unknown",
            Self::ActivationUsed => "activation_used",
            Self::ActivationExpired => "activation_expired",
            Self::StaleVersion => "stale_version",
            Self::Setback(setback) => match setback {
                Setback::Unknown => "unknown",
                Setback::Unavailable | Setback::Contended => "unavailable",
                Setback::Fault => "internal",
            },
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Unproved(_) => {
                "the request is not signed, just now, by the key of a device that may send it"
            }
            Self::Malformed(rule) => rule,
            Self::NotJose => "the body must be a compact JWS of type application/jose",
            Self::Mistyped => {
                "the code was mistyped: it has 12 letters and digits, without 0, 1, I, L, O and U"
            }
            Self::ActivationUnknown => "there is no such activation code",
            Self::ActivationUsed => "another device has used the activation code: ask for a new one",
            Self::ActivationExpired => "the activation code counts no more: ask for a new one",
            Self::StaleVersion => "a push address of this version or a later one is stored already",
            Self::Unread(Unread::TooLarge) => "the body is larger than any answer",
            Self::Unread(Unread::TooSlow) => "the body did not arrive in time",
            Self::Unread(Unread::Encoded) => "the body must not be compressed",
            Self::Unread(Unread::CutOff) => "the body was cut off",
            Self::NotAsked => "this device was not asked for this challenge",
            Self::Unknown => "there is no such challenge",
            Self::Ended => "this challenge has ended",
            Self::Setback(setback) => match setback {
                Setback::Unknown => "there is no such challenge",
                Setback::Unavailable | Setback::Contended => "try again in a moment",
                Setback::Fault => "this challenge cannot be answered",
            },
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Unproved(unproved) => unproved.label(),
            Self::Malformed(_)
            | Self::NotJose
            | Self::Unread(_)
            | Self::NotAsked
            | Self::Unknown
            | Self::Ended
            | Self::Mistyped
            | Self::ActivationUnknown
            | Self::ActivationUsed
            | Self::ActivationExpired
            | Self::StaleVersion => self.code(),
            Self::Setback(setback) => setback.label(),
        }
    }
}

impl From<Unread> for AppRefusal {
    fn from(unread: Unread) -> Self {
        Self::Unread(unread)
    }
}

impl From<Unproved> for AppRefusal {
    fn from(unproved: Unproved) -> Self {
        Self::Unproved(unproved)
    }
}

impl From<Setback> for AppRefusal {
    fn from(setback: Setback) -> Self {
        Self::Setback(setback)
    }
}

impl From<fleet_engine::Error> for AppRefusal {
    fn from(error: fleet_engine::Error) -> Self {
        Self::Setback(error.into())
    }
}

impl From<fleet_records::Error> for AppRefusal {
    fn from(error: fleet_records::Error) -> Self {
        Self::Setback(error.into())
    }
}

#[derive(Serialize)]
struct Body {
    error: Fault,
}

#[derive(Serialize)]
struct Fault {
    code: &'static str,
    message: &'static str,
}

impl IntoResponse for AppRefusal {
    fn into_response(self) -> Response {
        let body = Body { error: Fault { code: self.code(), message: self.message() } };
        let because = Extension(Because(self.label()));
        let status = self.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            (status, because, [(RETRY_AFTER, RETRY_AFTER_S)], Json(body)).into_response()
        } else {
            (status, because, Json(body)).into_response()
        }
    }
}

/// The device that signed the request in its header `Authorization: Device <JWS>`, and whose it is.
pub(super) struct Signer {
    /// The device.
    device: DeviceId,
    /// Its user.
    user: UserId,
    /// What it may answer.
    standing: DeviceStanding,
}

impl FromRequestParts<Arc<Gateway>> for Signer {
    type Rejection = AppRefusal;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, AppRefusal> {
        let jws = Jws::parse(proof(&parts.headers)?).map_err(|_| Unproved::Malformed)?;
        let url = format!("{}{}", gateway.engine.links().public_url(), parts.uri.path());
        let device = claims::signer_of_request(&jws, (parts.method.as_str(), &url), gateway.now()?)?;
        let record = gateway.engine.records().device(device).await?;
        let record = proved(&jws, record)?;
        Ok(Self { device, user: record.user, standing: record.standing })
    }
}

fn proof(headers: &HeaderMap) -> Result<&str, Unproved> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or(Unproved::Missing)?;
    header.strip_prefix(SCHEME).ok_or(Unproved::Missing)
}

/// The device's record, if it may answer and has signed this.
fn proved(jws: &Jws<'_>, record: Option<DeviceRecord>) -> Result<DeviceRecord, Unproved> {
    let record = record.ok_or(Unproved::UnknownDevice)?;
    if record.standing == DeviceStanding::Out {
        return Err(Unproved::InactiveDevice);
    }
    signed_by(jws, Some(record))
}

/// The device's record, if it has signed this, whatever it may answer.
fn signed_by(jws: &Jws<'_>, record: Option<DeviceRecord>) -> Result<DeviceRecord, Unproved> {
    let record = record.ok_or(Unproved::UnknownDevice)?;
    if jws.verify(record.alg, &record.public_key) { Ok(record) } else { Err(Unproved::Signature) }
}

/// The body of a request that is a JWS.
async fn jose_body(request: Request, gateway: &Gateway) -> Result<Bytes, AppRefusal> {
    if !is_of_type(request.headers(), "application/jose") {
        return Err(AppRefusal::NotJose);
    }
    Ok(whole_body(request, gateway).await?)
}

/// A body as a compact JWS whose form was checked.
fn jose(body: &[u8]) -> Result<Jws<'_>, AppRefusal> {
    let malformed = AppRefusal::Malformed("the body is not a compact JWS with ES256 or EdDSA");
    let text = str::from_utf8(body).map_err(|_| malformed)?;
    Jws::parse(text).map_err(|_| malformed)
}

/// Whether the device may see and answer the challenge: a push was begun, to all devices or to this one. One that is not
/// tested yet is asked nothing but what names it, which is its test.
fn is_asked(challenge: &Challenge, device: DeviceId, standing: DeviceStanding) -> bool {
    let begun = challenge.request.steps.iter().take(usize::from(challenge.live.step) + 1);
    challenge.has_push()
        && begun.into_iter().any(|step| match step {
            Step::Push { device: None, .. } => standing == DeviceStanding::Active,
            Step::Push { device: Some(only), .. } => *only == device,
            Step::Voice { .. } | Step::Totp { .. } => false,
        })
}
