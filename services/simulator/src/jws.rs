//! Compact JWS (RFC 7515) with ES256, as a device signs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use serde::Serialize;

use crate::cast::Device;

#[derive(Serialize)]
struct Header {
    alg: &'static str,
    typ: &'static str,
    kid: uuid::Uuid,
}

/// Signs the claims as the device; `None` only when the system gives no random bytes.
pub(crate) fn sign(device: &Device, typ: &'static str, claims: &impl Serialize) -> Option<String> {
    let header = Header { alg: "ES256", typ, kid: device.id };
    let mut text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).ok()?);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).ok()?, &mut text);
    let signature = device.key.sign(&SystemRandom::new(), text.as_bytes()).ok()?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    Some(text)
}
