//! The key pair of an app: made, read, shown to the gateway, and signed with.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};

/// How an app signs: the `alg` of its JWS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Alg {
    /// ECDSA over P-256 with SHA-256.
    #[default]
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// A key pair.
pub(crate) enum DeviceKey {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// The public half as a JWK (RFC 7517, RFC 8037), with nothing that is not needed.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Jwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

impl DeviceKey {
    /// A new key, and its private half as PKCS#8 in Base64.
    pub(crate) fn generate(alg: Alg) -> Result<(Self, String), &'static str> {
        let random = SystemRandom::new();
        let pkcs8 = match alg {
            Alg::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
            Alg::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
        };
        let private = STANDARD.encode(pkcs8.map_err(|_| "the system gives no random bytes")?.as_ref());
        Ok((Self::parse(&private)?, private))
    }

    /// A key from PKCS#8 in Base64.
    pub(crate) fn parse(private: &str) -> Result<Self, &'static str> {
        let pkcs8 = STANDARD.decode(private).map_err(|_| "has a private_key that is not Base64")?;
        let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &SystemRandom::new());
        p256.map(Self::Es256)
            .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8).map(Self::EdDsa))
            .map_err(|_| "has a private_key that is neither a P-256 nor an Ed25519 key in PKCS#8")
    }

    /// What it signs with.
    pub(crate) fn alg(&self) -> Alg {
        match self {
            Self::Es256(_) => Alg::Es256,
            Self::EdDsa(_) => Alg::EdDsa,
        }
    }

    fn public_bytes(&self) -> &[u8] {
        match self {
            Self::Es256(key) => key.public_key().as_ref(),
            Self::EdDsa(key) => key.public_key().as_ref(),
        }
    }

    /// The public half in base64url: of P-256 the uncompressed point of SEC 1, of Ed25519 its 32 bytes.
    pub(crate) fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.public_bytes())
    }

    /// The public half as an activation shows it.
    pub(crate) fn jwk(&self) -> Jwk {
        let bytes = self.public_bytes();
        match self {
            Self::Es256(_) => {
                // One byte says that the point is uncompressed; then come 32 bytes of each coordinate.
                let (x, y) = bytes.get(1..).unwrap_or_default().split_at(32);
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), Some(URL_SAFE_NO_PAD.encode(y)));
                Jwk { kty: "EC", crv: "P-256", x, y }
            }
            Self::EdDsa(_) => Jwk { kty: "OKP", crv: "Ed25519", x: URL_SAFE_NO_PAD.encode(bytes), y: None },
        }
    }

    /// Signs; `None` only when the system gives no random bytes.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Es256(key) => {
                key.sign(&SystemRandom::new(), message).ok().map(|signature| signature.as_ref().to_vec())
            }
            Self::EdDsa(key) => Some(key.sign(message).as_ref().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_what_it_was_made_as() {
        for alg in [Alg::Es256, Alg::EdDsa] {
            let (key, private) = DeviceKey::generate(alg).unwrap();
            let read = DeviceKey::parse(&private).unwrap();
            assert_eq!((read.alg(), read.public()), (alg, key.public()));
        }
        assert!(DeviceKey::parse("AAAA").is_err() && DeviceKey::parse("not Base64").is_err());
    }

    #[test]
    fn the_jwk_of_rfc_8037_is_told_as_it_is_there() {
        // RFC 8037, appendix A.1: the seed, behind the fixed beginning of an Ed25519 key in PKCS#8.
        let pkcs8 = [
            STANDARD.decode("MC4CAQAwBQYDK2VwBCIEIA==").unwrap(),
            URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap(),
        ];
        let key = DeviceKey::parse(&STANDARD.encode(pkcs8.concat())).unwrap();
        let jwk = Jwk {
            kty: "OKP",
            crv: "Ed25519",
            x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned(),
            y: None,
        };
        assert_eq!(key.jwk(), jwk);
        // Appendix A.4: the same key's signature.
        let signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature =
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert_eq!(URL_SAFE_NO_PAD.encode(key.sign(signed).unwrap()), signature);
    }
}
