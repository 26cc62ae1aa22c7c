//! What a device signs: the claims of every message, word for word as the protocol names them.

use serde::Serialize;

use crate::activation::{Platform, Push};

/// A type of JWS with its claims.
pub(crate) trait Message: Serialize {
    /// The header's `typ`.
    const TYPE: &'static str;
}

#[derive(Serialize)]
pub(crate) struct ActivationClaims<'a> {
    pub(crate) aud: &'a str,
    pub(crate) iat: i64,
    pub(crate) code: &'a str,
    pub(crate) name: &'a str,
    pub(crate) platform: Platform,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) push: Option<&'a Push>,
}

#[derive(Serialize)]
pub(crate) struct RequestClaims<'a> {
    pub(crate) htm: &'a str,
    pub(crate) htu: &'a str,
    pub(crate) iat: i64,
    pub(crate) jti: String,
}

#[derive(Serialize)]
pub(crate) struct AnswerClaims<'a> {
    pub(crate) portal: &'a str,
    pub(crate) challenge_id: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) device_id: &'a str,
    pub(crate) decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uv: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    pub(crate) exp: i64,
}

#[derive(Serialize)]
pub(crate) struct PushAddressClaims<'a> {
    pub(crate) aud: &'a str,
    pub(crate) device_id: &'a str,
    pub(crate) iat: i64,
    pub(crate) version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) push: Option<&'a Push>,
}

#[derive(Serialize)]
pub(crate) struct RevocationClaims<'a> {
    pub(crate) aud: &'a str,
    pub(crate) device_id: &'a str,
    pub(crate) iat: i64,
}

impl Message for ActivationClaims<'_> {
    const TYPE: &'static str = "mfa-activation+jwt";
}

impl Message for RequestClaims<'_> {
    const TYPE: &'static str = "mfa-request+jwt";
}

impl Message for AnswerClaims<'_> {
    const TYPE: &'static str = "mfa-answer+jwt";
}

impl Message for PushAddressClaims<'_> {
    const TYPE: &'static str = "mfa-push-address+jwt";
}

impl Message for RevocationClaims<'_> {
    const TYPE: &'static str = "mfa-revocation+jwt";
}
