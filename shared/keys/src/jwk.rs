//! The public key of a device as a JWK (RFC 7517; RFC 8037 for Ed25519), as it stands in the header of an activation.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::device::DeviceAlg;

/// The length of a coordinate of P-256, and of an Ed25519 key.
const PART_LEN: usize = 32;

/// A device's public key with its algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceKey {
    /// The algorithm of its signatures.
    pub alg: DeviceAlg,
    /// The key, in the form that [`DeviceAlg`] names.
    pub public_key: Vec<u8>,
}

/// Members that say nothing about the key itself, such as `use`, are passed over.
#[derive(Deserialize)]
pub(crate) struct RawJwk {
    kty: String,
    crv: String,
    x: String,
    y: Option<String>,
    d: Option<IgnoredAny>,
}

impl RawJwk {
    /// The key; none for another kind of key, and for a private one, which nobody but its device may have.
    pub(crate) fn key(&self) -> Option<DeviceKey> {
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == PART_LEN);
        if self.d.is_some() {
            return None;
        }
        match (self.kty.as_str(), self.crv.as_str(), &self.y) {
            ("EC", "P-256", Some(y)) => {
                let public_key = [&[4], &*part(&self.x)?, &*part(y)?].concat();
                Some(DeviceKey { alg: DeviceAlg::Es256, public_key })
            }
            ("OKP", "Ed25519", None) => Some(DeviceKey { alg: DeviceAlg::EdDsa, public_key: part(&self.x)? }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515, appendix A.3.1, and RFC 8037, appendix A.2.
    const P256: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    const ED25519: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"sig"}"#;

    fn key(json: &str) -> Option<DeviceKey> {
        serde_json::from_str::<RawJwk>(json).ok()?.key()
    }

    #[test]
    fn the_keys_of_the_rfcs_are_read() {
        let p256 = key(P256).unwrap();
        assert!(p256.alg == DeviceAlg::Es256 && p256.alg.is_key(&p256.public_key));
        let ed25519 = key(ED25519).unwrap();
        assert!(ed25519.alg == DeviceAlg::EdDsa && ed25519.alg.is_key(&ed25519.public_key));
    }

    #[test]
    fn private_keys_and_other_kinds_are_none() {
        for json in [
            P256.replace("P-256", "P-384"),
            P256.replace("EC", "OKP"),
            P256.replace(r#""y":"x_"#, r#""y":"x_x_"#),
            P256.replace(r#"{"kty""#, r#"{"d":"AA","kty""#),
            ED25519.replace("Ed25519", "X25519"),
            ED25519.replace("11qY", ""),
            r#"{"kty":"RSA","n":"AA","e":"AQAB"}"#.to_owned(),
            r#"{"kty":"oct","k":"AA"}"#.to_owned(),
        ] {
            assert_eq!(key(&json), None, "{json}");
        }
    }
}
