//! The device's side: a key pair of its own, and the compact JWS that it signs. The fleet's side is `jws` and `device`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::device::DeviceAlg;

/// The key pair of an authenticator device. `Debug` masks it; its stored form is wiped when it is dropped.
pub struct DeviceKeyPair {
    pair: Pair,
    pkcs8: Zeroizing<Vec<u8>>,
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// How a JWS names the key that signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer<'a> {
    /// By the id under which the fleet knows the device.
    Kid(&'a str),
    /// By the public key itself, which the fleet does not know yet.
    Jwk,
}

/// The bytes are no private key of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no private key for ES256 or EdDSA")]
pub struct InvalidDeviceKey;

impl DeviceKeyPair {
    /// A new key pair.
    ///
    /// # Panics
    /// Where the operating system has no randomness to give.
    #[expect(clippy::expect_used, reason = "a process without randomness must not make keys")]
    pub fn generate(alg: DeviceAlg) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = match alg {
            DeviceAlg::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
            DeviceAlg::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
        };
        let pkcs8 = pkcs8.expect("the operating system gives randomness");
        Self::from_pkcs8(pkcs8.as_ref()).expect("a key that was just made is one")
    }

    /// Reads the stored form, PKCS#8 in DER; the bytes say which algorithm it is for.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, InvalidDeviceKey> {
        let es256 =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new()).ok();
        let pair = es256.map(Pair::Es256).or_else(|| Ed25519KeyPair::from_pkcs8(pkcs8).ok().map(Pair::EdDsa));
        Ok(Self { pair: pair.ok_or(InvalidDeviceKey)?, pkcs8: Zeroizing::new(pkcs8.to_vec()) })
    }

    /// Reads a private JWK (RFC 7517; RFC 8037 for Ed25519), as the protocol's test vectors have them.
    pub fn from_jwk(jwk: &str) -> Result<Self, InvalidDeviceKey> {
        let jwk: PrivateJwk<'_> = serde_json::from_str(jwk).map_err(|_| InvalidDeviceKey)?;
        Self::from_pkcs8(&jwk.pkcs8().ok_or(InvalidDeviceKey)?)
    }

    /// The stored form: PKCS#8 in DER, good for [`DeviceKeyPair::from_pkcs8`]. A secret.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The algorithm of its signatures.
    pub const fn alg(&self) -> DeviceAlg {
        match &self.pair {
            Pair::Es256(_) => DeviceAlg::Es256,
            Pair::EdDsa(_) => DeviceAlg::EdDsa,
        }
    }

    /// The public half, in the form that [`DeviceAlg`] names.
    pub fn public_key(&self) -> &[u8] {
        match &self.pair {
            Pair::Es256(pair) => pair.public_key().as_ref(),
            Pair::EdDsa(pair) => pair.public_key().as_ref(),
        }
    }

    /// The public half as a JWK, as it stands in the header of an activation.
    pub fn jwk(&self) -> String {
        self.jwk_value().to_string()
    }

    fn jwk_value(&self) -> Value {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = self.public_key();
        match &self.pair {
            // 0x04, then both coordinates.
            Pair::Es256(_) => {
                let (x, y) = public[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": part(x), "y": part(y) })
            }
            Pair::EdDsa(_) => json!({ "kty": "OKP", "crv": "Ed25519", "x": part(public) }),
        }
    }

    /// A compact JWS of this type over these claims, JSON.
    pub fn sign(&self, typ: &str, signer: Signer<'_>, claims: &str) -> String {
        let mut header = json!({ "alg": self.alg().as_str(), "typ": typ });
        match signer {
            Signer::Kid(kid) => header["kid"] = json!(kid),
            Signer::Jwk => header["jwk"] = self.jwk_value(),
        }
        self.sign_raw(&header.to_string(), claims)
    }

    /// A compact JWS with exactly this header: also one that no reader takes, for tests of readers.
    ///
    /// # Panics
    /// Where the operating system has no randomness to give.
    #[expect(clippy::expect_used, reason = "ECDSA signing fails only without randomness")]
    pub fn sign_raw(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = match &self.pair {
            Pair::Es256(pair) => {
                let signed = pair.sign(&SystemRandom::new(), input.as_bytes());
                URL_SAFE_NO_PAD.encode(signed.expect("the operating system gives randomness"))
            }
            Pair::EdDsa(pair) => URL_SAFE_NO_PAD.encode(pair.sign(input.as_bytes())),
        };
        format!("{input}.{signature}")
    }
}

impl std::fmt::Debug for DeviceKeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceKeyPair(***)")
    }
}

/// Borrowed, so that the private half is copied nowhere.
#[derive(Deserialize)]
struct PrivateJwk<'a> {
    kty: &'a str,
    crv: &'a str,
    d: &'a str,
    x: &'a str,
    y: Option<&'a str>,
}

/// RFC 5208 and RFC 5915: a P-256 key with its public half; what follows `d` is the tag of the public point.
const P256_HEAD: &[u8] =
    b"\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\
    \x03\x01\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20";
const P256_POINT: &[u8] = b"\xa1\x44\x03\x42\x00\x04";
/// RFC 8410 with the public key of RFC 5958, as ring itself writes it.
const ED25519_HEAD: &[u8] = b"\x30\x51\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
const ED25519_KEY: &[u8] = b"\x81\x21\x00";

impl PrivateJwk<'_> {
    fn pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        let part = |text: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == 32)?;
            Some(Zeroizing::new(bytes))
        };
        let (d, x) = (part(self.d)?, part(self.x)?);
        match (self.kty, self.crv, self.y) {
            ("EC", "P-256", Some(y)) => {
                Some(Zeroizing::new([P256_HEAD, &*d, P256_POINT, &*x, &*part(y)?].concat()))
            }
            ("OKP", "Ed25519", None) => Some(Zeroizing::new([ED25519_HEAD, &*d, ED25519_KEY, &*x].concat())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jws::Jws;

    /// RFC 7515, appendix A.3.1, and RFC 8037, appendix A.1.
    const P256: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
    const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    #[test]
    fn what_a_key_signs_the_fleet_verifies_and_a_stored_key_is_the_same_one() {
        for alg in [DeviceAlg::Es256, DeviceAlg::EdDsa] {
            let made = DeviceKeyPair::generate(alg);
            let stored = DeviceKeyPair::from_pkcs8(made.pkcs8()).unwrap();
            assert_eq!((stored.alg(), stored.public_key()), (alg, made.public_key()));
            assert!(alg.is_key(made.public_key()));
            let text = stored.sign("mfa-request+jwt", Signer::Kid("d1"), r#"{"iat":1}"#);
            let jws = Jws::parse(&text).unwrap();
            assert_eq!(jws.payload(), br#"{"iat":1}"#);
            assert_eq!(
                (jws.header().typ.as_deref(), jws.header().kid.as_deref()),
                (Some("mfa-request+jwt"), Some("d1"))
            );
            assert!(jws.verify(alg, made.public_key()));
            assert!(!jws.verify(alg, DeviceKeyPair::generate(alg).public_key()));
        }
    }

    #[test]
    fn the_private_keys_of_the_rfcs_are_read_and_sign_as_the_rfc_says() {
        let p256 = DeviceKeyPair::from_jwk(P256).unwrap();
        assert_eq!(
            p256.jwk(),
            r#"{"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#
        );
        let ed25519 = DeviceKeyPair::from_jwk(ED25519).unwrap();
        // Appendix A.4: Ed25519 signatures are deterministic.
        let signed = ed25519.sign_raw(r#"{"alg":"EdDSA"}"#, "Example of Ed25519 signing");
        assert!(signed.ends_with(
            ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        ));
    }

    #[test]
    fn what_is_no_private_key_of_ours_is_refused_and_a_key_never_shown() {
        for bad in [
            P256.replace("P-256", "P-384"),
            P256.replace("jpsQ", "AAAA"),
            P256.replace(r#""d""#, r#""e""#),
            ED25519.replace("nWGx", ""),
            ED25519.replace("11qY", "AAAA"),
        ] {
            assert_eq!(DeviceKeyPair::from_jwk(&bad).err(), Some(InvalidDeviceKey), "{bad}");
        }
        assert!(DeviceKeyPair::from_pkcs8(&[]).is_err());
        let key = DeviceKeyPair::generate(DeviceAlg::EdDsa);
        assert_eq!(format!("{key:?}"), "DeviceKeyPair(***)");
    }
}
