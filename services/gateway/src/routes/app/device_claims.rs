//! What an app signs about its own device: its activation, where its pushes go, and that it gives up. Pure.

use std::borrow::Cow;

use fleet_domain::{DeviceId, PushToken, Timestamp, TypedCode, misleads};
use fleet_keys::{DeviceKey, Jws};
use fleet_records::ShownCode;
use fleet_settings::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::AppRefusal;
use super::claims::{Unproved, is_now, signer};
use crate::error::Setback;
use crate::gateway::Gateway;

const ACTIVATION_TYPE: &str = "mfa-activation+jwt";
const PUSH_ADDRESS_TYPE: &str = "mfa-push-address+jwt";
const REVOCATION_TYPE: &str = "mfa-revocation+jwt";

/// The length of the code in a QR code. One that is typed is shorter, however it is grouped.
const LONG_CODE: usize = 22;
const NAME_CHARACTERS_MAX: usize = 64;
const PUSH_BYTES_MAX: usize = 1_024;
/// The highest version of a push address: what every language's JSON can say (RFC 8259, section 6).
const VERSION_MAX: i64 = (1 << 53) - 1;

/// For whom a message is, and now.
#[derive(Clone, Copy)]
pub(super) struct Here<'a> {
    /// The base URL that apps are given.
    pub(super) url: &'a str,
    /// The fleet's time.
    pub(super) now: Timestamp,
}

impl<'a> Here<'a> {
    /// For this gateway.
    pub(super) fn of(gateway: &'a Gateway) -> Result<Self, Setback> {
        Ok(Self { url: gateway.engine.links().public_url(), now: gateway.now()? })
    }

    fn check(self, aud: &str, iat: i64) -> Result<(), Unproved> {
        if aud.trim_end_matches('/') != self.url {
            return Err(Unproved::OtherRequest);
        }
        if is_now(iat, self.now) { Ok(()) } else { Err(Unproved::Stale) }
    }
}

/// What an app asks for that holds an activation code.
pub(super) struct Activation {
    /// The key with which it says to have signed.
    pub(super) key: DeviceKey,
    /// The code.
    pub(super) code: ShownCode,
    /// What its user calls the device.
    pub(super) name: String,
    /// `android`, `ios` or `other`.
    pub(super) platform: String,
    /// Where its pushes go.
    pub(super) push: Option<PushToken>,
}

#[derive(Deserialize)]
struct ActivationClaims<'a> {
    #[serde(borrow)]
    aud: Cow<'a, str>,
    iat: i64,
    code: SecretString,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    platform: Cow<'a, str>,
    push: Option<PushClaim>,
}

#[derive(Deserialize)]
struct PushClaim {
    token: Option<SecretString>,
    fid: Option<SecretString>,
}

/// Reads an activation. Whether it was signed with the key that it shows is to be verified.
pub(super) fn activation(jws: &Jws<'_>, here: Here<'_>) -> Result<Activation, AppRefusal> {
    let header = jws.header();
    let key = header.jwk.clone().filter(|_| header.typ.as_deref() == Some(ACTIVATION_TYPE));
    let key = key.ok_or(malformed(
        "the JWS must have the typ mfa-activation+jwt and the device's public key as jwk",
    ))?;
    let claims: ActivationClaims<'_> = claims_of(jws)?;
    here.check(&claims.aud, claims.iat)?;
    let is_name = (1..=NAME_CHARACTERS_MAX).contains(&claims.name.chars().count())
        && !claims.name.contains(misleads)
        && !claims.name.trim().is_empty();
    if !is_name {
        return Err(malformed("name must have 1 to 64 characters, none of which controls or turns text"));
    }
    if !matches!(&*claims.platform, "android" | "ios" | "other") {
        return Err(malformed("platform must be android, ios or other"));
    }
    Ok(Activation {
        key,
        code: shown_code(claims.code.expose_secret())?,
        name: claims.name.into_owned(),
        platform: claims.platform.into_owned(),
        push: claims.push.as_ref().map(push_token).transpose()?,
    })
}

fn shown_code(code: &str) -> Result<ShownCode, AppRefusal> {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if code.len() == LONG_CODE && code.bytes().all(is_base64url) {
        return Ok(ShownCode::Long(code.to_owned()));
    }
    TypedCode::parse(code).map(ShownCode::Typed).map_err(|_| AppRefusal::Mistyped)
}

fn push_token(claim: &PushClaim) -> Result<PushToken, AppRefusal> {
    let rule = malformed("push must be a token or a fid of 1 to 1024 visible ASCII characters");
    let text = |secret: &SecretString| {
        let text = secret.expose_secret();
        let is_right =
            (1..=PUSH_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        is_right.then(|| text.to_owned()).ok_or(rule)
    };
    match (&claim.token, &claim.fid) {
        (Some(token), None) => text(token).map(PushToken::new),
        (None, Some(fid)) => text(fid).map(PushToken::fid),
        (Some(_), Some(_)) | (None, None) => Err(rule),
    }
}

/// Where a device's pushes go from now on.
pub(super) struct PushAddress {
    /// The device that says to have signed.
    pub(super) device: DeviceId,
    /// Orders refreshes: only a version above the stored one counts.
    pub(super) version: i64,
    /// `None` for an app that only polls from now on.
    pub(super) push: Option<PushToken>,
}

#[derive(Deserialize)]
struct PushAddressClaims<'a> {
    #[serde(borrow)]
    aud: Cow<'a, str>,
    #[serde(borrow)]
    device_id: Cow<'a, str>,
    iat: i64,
    version: i64,
    push: Option<PushClaim>,
}

/// Reads a push address. Whether the device has signed it is to be verified.
pub(super) fn push_address(jws: &Jws<'_>, here: Here<'_>) -> Result<PushAddress, AppRefusal> {
    let claims: PushAddressClaims<'_> = claims_of(jws)?;
    let device = own(jws, PUSH_ADDRESS_TYPE, &claims.device_id)?;
    here.check(&claims.aud, claims.iat)?;
    if !(1..=VERSION_MAX).contains(&claims.version) {
        return Err(malformed("version must be a whole number from 1 to 9007199254740991"));
    }
    Ok(PushAddress {
        device,
        version: claims.version,
        push: claims.push.as_ref().map(push_token).transpose()?,
    })
}

#[derive(Deserialize)]
struct RevocationClaims<'a> {
    #[serde(borrow)]
    aud: Cow<'a, str>,
    #[serde(borrow)]
    device_id: Cow<'a, str>,
    iat: i64,
}

/// The device that says to give itself up. That it has signed it is to be verified.
pub(super) fn revocation(jws: &Jws<'_>, here: Here<'_>) -> Result<DeviceId, AppRefusal> {
    let claims: RevocationClaims<'_> = claims_of(jws)?;
    let device = own(jws, REVOCATION_TYPE, &claims.device_id)?;
    here.check(&claims.aud, claims.iat)?;
    Ok(device)
}

/// The device of a message about itself.
fn own(jws: &Jws<'_>, typ: &str, claimed: &str) -> Result<DeviceId, AppRefusal> {
    let device = signer(jws, typ)
        .ok_or(malformed("the JWS must have the typ of its message and the device's id as kid"))?;
    if DeviceId::parse(claimed) == Ok(device) {
        Ok(device)
    } else {
        Err(malformed("device_id must be the kid"))
    }
}

fn claims_of<'a, T: Deserialize<'a>>(jws: &'a Jws<'_>) -> Result<T, AppRefusal> {
    serde_json::from_slice(jws.payload())
        .map_err(|_| malformed("a claim is missing, given twice, or of the wrong type"))
}

const fn malformed(rule: &'static str) -> AppRefusal {
    AppRefusal::Malformed(rule)
}
