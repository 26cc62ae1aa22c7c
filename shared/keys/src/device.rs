//! Signatures made by a person's device with the key that it registered.

use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

/// Length of an uncompressed P-256 point.
pub(crate) const P256_POINT_LEN: usize = 65;
/// Length of an Ed25519 public key.
const ED25519_KEY_LEN: usize = 32;
/// Both algorithms' signatures are this long.
pub(crate) const SIGNATURE_LEN: usize = 64;

/// The algorithm of a device's key, by its JWS names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceAlg {
    /// ECDSA over P-256 with SHA-256. Key: uncompressed point, 65 bytes. Signature: `r || s`, 64 bytes.
    Es256,
    /// Ed25519. Key: 32 bytes. Signature: 64 bytes.
    EdDsa,
}

impl DeviceAlg {
    /// The name in a JWS header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of a JWS header's `alg`; none for any other name, `none` included.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Es256, Self::EdDsa].into_iter().find(|alg| alg.as_str() == name)
    }

    /// Whether `public_key` has the form of this algorithm: to be checked when a device registers.
    pub fn is_key(self, public_key: &[u8]) -> bool {
        match self {
            Self::Es256 => public_key.len() == P256_POINT_LEN && public_key[0] == 4,
            Self::EdDsa => public_key.len() == ED25519_KEY_LEN,
        }
    }
}

/// Whether `signature` over `message` was made with the private half of `public_key`. Never fails: whatever is malformed is not a signature.
pub fn verify_device(alg: DeviceAlg, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    if !alg.is_key(public_key) || signature.len() != SIGNATURE_LEN {
        return false;
    }
    match alg {
        DeviceAlg::Es256 => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key).verify(message, signature)
        }
        DeviceAlg::EdDsa => UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature),
    }
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    const MESSAGE: &[u8] = b"approve";

    fn signed(alg: DeviceAlg) -> (Vec<u8>, Vec<u8>) {
        let rng = SystemRandom::new();
        match alg {
            DeviceAlg::Es256 => {
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
                let pair =
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
                (pair.public_key().as_ref().to_vec(), pair.sign(&rng, MESSAGE).unwrap().as_ref().to_vec())
            }
            DeviceAlg::EdDsa => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(&rng).unwrap();
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
                (pair.public_key().as_ref().to_vec(), pair.sign(MESSAGE).as_ref().to_vec())
            }
        }
    }

    #[test]
    fn a_signature_is_good_for_its_key_and_message_only() {
        for alg in [DeviceAlg::Es256, DeviceAlg::EdDsa] {
            let (key, signature) = signed(alg);
            let (other_key, _) = signed(alg);
            assert!(verify_device(alg, &key, MESSAGE, &signature));
            assert!(!verify_device(alg, &key, b"deny", &signature));
            assert!(!verify_device(alg, &other_key, MESSAGE, &signature));
            assert!(!verify_device(alg, &key, MESSAGE, &signature[..63]));
            assert!(!verify_device(alg, &key, MESSAGE, &[0; 64]));
            assert!(!verify_device(alg, &[], MESSAGE, &signature));
            assert!(!verify_device(alg, &key, MESSAGE, &[]));
        }
    }

    #[test]
    fn a_key_of_one_algorithm_is_no_key_of_the_other() {
        let (key, signature) = signed(DeviceAlg::Es256);
        assert!(!verify_device(DeviceAlg::EdDsa, &key, MESSAGE, &signature));
        let (key, signature) = signed(DeviceAlg::EdDsa);
        assert!(!verify_device(DeviceAlg::Es256, &key, MESSAGE, &signature));
    }

    #[test]
    fn only_the_two_algorithms_have_names() {
        assert_eq!(DeviceAlg::parse("ES256"), Some(DeviceAlg::Es256));
        assert_eq!(DeviceAlg::parse("EdDSA"), Some(DeviceAlg::EdDsa));
        for name in ["none", "es256", "HS256", "RS256", ""] {
            assert_eq!(DeviceAlg::parse(name), None, "{name}");
        }
    }
}
