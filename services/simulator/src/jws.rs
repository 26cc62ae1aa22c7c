//! Compact JWS (RFC 7515), as an app signs: exactly the header members of its protocol.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use uuid::Uuid;

use crate::device_key::{Alg, DeviceKey, Jwk};

#[derive(Serialize)]
struct Header {
    alg: Alg,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwk: Option<Jwk>,
}

/// Signs the claims, as this device or, where the app has no device id yet, as the holder of the key; `None` only
/// when the system gives no random bytes.
pub(crate) fn sign(
    key: &DeviceKey,
    device: Option<Uuid>,
    typ: &'static str,
    claims: &impl Serialize,
) -> Option<String> {
    let jwk = device.is_none().then(|| key.jwk());
    let header = Header { alg: key.alg(), typ, kid: device, jwk };
    let mut text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).ok()?);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).ok()?, &mut text);
    let signature = key.sign(text.as_bytes())?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    Some(text)
}
