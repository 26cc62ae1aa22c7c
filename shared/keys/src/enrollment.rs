//! Sealed boxes: how a portal hands the fleet a secret of an enrollment through the broker.
//!
//! They are libsodium's `crypto_box_seal` (X25519, XSalsa20-Poly1305, nonce = BLAKE2b of both public keys), so that a
//! portal in any language has them. Whoever has the public key can seal; only the enrollment-worker can open. The box
//! says nothing of who sealed it: that is for the broker to prove.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use crypto_box::aead::OsRng;
use crypto_box::{PublicKey, SecretKey};
use fleet_settings::{ExposeSecret, NotAllowed, SecretString};
use ring::agreement;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::settings::{decode_base64, decode_hex};

/// The defaults and the reference of `[enrollment_keys]`.
pub const ENROLLMENT_KEY_DEFAULTS: &str = include_str!("../enrollment_keys.toml");

const KEY_LEN: usize = 32;
const KEY_ID_LEN: usize = 16;

/// The public key to which portals seal secrets of an enrollment. `Display` is what they are given: base64url without
/// padding.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrollmentPublicKey {
    key: PublicKey,
    id: String,
}

/// The text is not a public key to seal to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an X25519 public key: 32 bytes in base64url without padding")]
pub struct InvalidEnrollmentKey;

impl EnrollmentPublicKey {
    /// Reads what `Display` wrote. Refuses also the few points with which every secret would be known to everybody.
    pub fn parse(text: &str) -> Result<Self, InvalidEnrollmentKey> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidEnrollmentKey)?;
        let bytes: [u8; KEY_LEN] = bytes.try_into().map_err(|_| InvalidEnrollmentKey)?;
        if hides_a_secret(&bytes) {
            Ok(Self::of(PublicKey::from_bytes(bytes)))
        } else {
            Err(InvalidEnrollmentKey)
        }
    }

    fn of(key: PublicKey) -> Self {
        let mut id = crate::sha256_hex(key.as_bytes());
        id.truncate(KEY_ID_LEN);
        Self { key, id }
    }

    /// The name of the key, to be sent beside what was sealed to it: the first 16 hex digits of its SHA-256.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Seals `plain`, 48 bytes longer than it. Each box has a key of its own, so equal texts give different boxes.
    ///
    /// # Panics
    /// Where the operating system has no randomness to give.
    #[expect(clippy::expect_used, reason = "XSalsa20 refuses only messages above 256 GiB")]
    pub fn seal(&self, plain: &[u8]) -> Vec<u8> {
        self.key.seal(&mut OsRng, plain).expect("a message that fits into memory")
    }
}

/// A point of low order gives everybody the same shared secret, zero; `ring` refuses to agree on that.
fn hides_a_secret(key: &[u8; KEY_LEN]) -> bool {
    let rng = ring::rand::SystemRandom::new();
    let Ok(own) = agreement::EphemeralPrivateKey::generate(&agreement::X25519, &rng) else { return false };
    agreement::agree_ephemeral(own, &agreement::UnparsedPublicKey::new(&agreement::X25519, key), |_| ())
        .is_ok()
}

impl fmt::Display for EnrollmentPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.key.as_bytes()))
    }
}

impl fmt::Debug for EnrollmentPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EnrollmentPublicKey").field(&self.id).finish()
    }
}

/// Why a sealed box was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoxError {
    /// The key id names none of our keys: sealed to a key that was removed, or to another fleet's.
    #[error("sealed to a key that this fleet does not have; fetch the fleet's current key and seal again")]
    UnknownKey,
    /// The box was cut, altered, or sealed to another key than the one it names.
    #[error("the sealed box does not open under the key that it names")]
    NotOpened,
}

/// The fleet's private keys, the current one first; only the enrollment-worker has them. A clone is another handle on
/// the same keys, which are wiped from memory with the last one.
#[derive(Clone)]
pub struct EnrollmentKeys(Arc<Pairs>);

struct Pairs {
    current: Pair,
    previous: Vec<Pair>,
}

struct Pair {
    secret: SecretKey,
    public: EnrollmentPublicKey,
}

impl Pair {
    fn of(secret: SecretKey) -> Self {
        let public = EnrollmentPublicKey::of(secret.public_key());
        Self { secret, public }
    }
}

impl EnrollmentKeys {
    /// Reads the keys. Fails with the name of the setting that can't be used.
    pub fn from_settings(settings: &EnrollmentKeySettings) -> Result<Self, NotAllowed> {
        let current = pair(&settings.current).ok_or_else(|| {
            NotAllowed::new(
                "enrollment_keys.current",
                "hex or base64 of exactly 32 random bytes; it has no default",
            )
        })?;
        let previous = settings.previous.iter().map(pair).collect::<Option<_>>().ok_or_else(|| {
            NotAllowed::new(
                "enrollment_keys.previous",
                "a list of keys, each hex or base64 of exactly 32 bytes, or empty",
            )
        })?;
        Ok(Self(Arc::new(Pairs { current, previous })))
    }

    /// A key that everybody knows, the same in every process. For tests only: it protects nothing.
    pub fn for_tests() -> Self {
        let secret = SecretKey::from_bytes(crate::sha256(b"an enrollment key that everybody knows"));
        Self(Arc::new(Pairs { current: Pair::of(secret), previous: Vec::new() }))
    }

    /// The public half of the current key: what portals are to seal to.
    pub fn current(&self) -> EnrollmentPublicKey {
        self.0.current.public.clone()
    }

    /// Opens what was sealed to one of the keys; the bytes are wiped from memory when they are dropped.
    pub fn open(&self, key_id: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BoxError> {
        let mut pairs = std::iter::once(&self.0.current).chain(&self.0.previous);
        let pair = pairs.find(|pair| pair.public.id == key_id).ok_or(BoxError::UnknownKey)?;
        pair.secret.unseal(sealed).map(Zeroizing::new).map_err(|_| BoxError::NotOpened)
    }
}

impl fmt::Debug for EnrollmentKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrollmentKeys").finish_non_exhaustive()
    }
}

fn pair(text: &SecretString) -> Option<Pair> {
    let text = text.expose_secret().trim();
    let bytes = Zeroizing::new(decode_hex(text).or_else(|| decode_base64(text))?);
    Some(Pair::of(SecretKey::from_slice(&bytes).ok()?))
}

/// Settings `[enrollment_keys]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollmentKeySettings {
    /// The private key to whose public half portals seal: 32 random bytes as hex or base64.
    pub current: SecretString,
    /// Earlier private keys that still open what was sealed to them.
    #[serde(default)]
    pub previous: Vec<SecretString>,
}

impl EnrollmentKeySettings {
    /// Fails with the name of the first setting that can't be used.
    pub fn check(&self) -> Result<(), NotAllowed> {
        EnrollmentKeys::from_settings(self).map(|_| ())
    }
}

/// A new private key for `enrollment_keys.current`, in base64.
pub fn new_enrollment_key() -> String {
    STANDARD.encode(crate::random_bytes::<KEY_LEN>())
}

#[cfg(test)]
mod tests;
