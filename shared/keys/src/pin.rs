//! PINs: how one is written, and the hash that is stored instead of it.
//!
//! A PIN has few digits, so a hash alone would be found by trying all of them. What is hashed (Argon2id) is a MAC of
//! user and PIN under a key that never leaves the fleet: a stolen table is worth nothing without the master key, and a
//! hash is good for its own user only. How often a PIN may be guessed is limited where it is asked for.

use std::fmt;
use std::ops::RangeInclusive;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::Keys;

/// How many digits a PIN has. Commands that are keyed in a call have one, so that they can't be mistaken.
const DIGITS: RangeInclusive<usize> = 4..=16;

/// How a hash begins that was made with the costs of [`argon2`].
pub(crate) const OWN_FORM: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// A person's PIN. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(String);

/// The text is not a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 4 to 16 digits")]
pub struct InvalidPin;

impl Pin {
    /// Checks the text and wraps it. Whether the PIN is a good one is for others to say.
    pub fn parse(text: &str) -> Result<Self, InvalidPin> {
        let valid = DIGITS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidPin) }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(***)")
    }
}

/// What is stored of a PIN: an Argon2id hash as a PHC string, with its salt and costs; or, until the person has keyed the
/// PIN, what another system stored of it, sealed (`imported_pin.rs`).
#[derive(Clone, PartialEq, Eq)]
pub struct PinHash(String);

impl PinHash {
    /// The hash as it was stored.
    pub fn from_stored(phc: String) -> Self {
        Self(phc)
    }

    /// The hash as it is to be stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is to be replaced by [`Keys::hash_pin`] as soon as the PIN is known: another system made it, or its
    /// costs are not those of today.
    pub fn needs_rehash(&self) -> bool {
        !self.0.starts_with(OWN_FORM)
    }
}

impl fmt::Debug for PinHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinHash(***)")
    }
}

impl Keys {
    /// The hash to store of a user's PIN, with a new salt. Takes some 20 ms of processor time and 19 MiB: not for an
    /// async task.
    pub fn hash_pin(&self, user: &str, pin: &Pin) -> PinHash {
        PinHash(hashed(&self.pin_mac(user, &pin.0), &crate::random_bytes()))
    }

    /// Whether these digits are the user's PIN, compared in constant time. Costs as much as [`Keys::hash_pin`],
    /// whatever the digits are; for an imported hash what its own costs say, at most about a second and 128 MiB. A hash
    /// that cannot be read fits no digits.
    pub fn pin_matches(&self, user: &str, digits: &str, hash: &PinHash) -> bool {
        if hash.is_imported() {
            return self.imported_pin_matches(user, digits, hash);
        }
        matches(&self.pin_mac(user, digits), hash.as_str())
    }
}

/// Whether the hash was made of this MAC.
pub(crate) fn matches(mac: &[u8; 16], hash: &str) -> bool {
    argon2().verify_password(mac, hash).is_ok()
}

/// The PHC string of a MAC.
#[expect(clippy::expect_used, reason = "salt and input have lengths that Argon2 takes")]
pub(crate) fn hashed(mac: &[u8; 16], salt: &[u8; 16]) -> String {
    argon2().hash_password_with_salt(mac, salt).expect("16 bytes each").to_string()
}

/// 19 MiB, two passes, one lane: the least that OWASP's Password Storage Cheat Sheet advises. Stored hashes keep the
/// costs that they were made with.
#[expect(clippy::expect_used, reason = "constants that Argon2 takes")]
fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).expect("costs within their ranges");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac` and `argon2-cffi`, independently of this crate.
    const STORED: &str = include_str!("../tests/pin.phc");

    #[test]
    fn a_pin_is_four_to_sixteen_digits() {
        for good in ["0000", "8250", "1234567890123456"] {
            assert!(Pin::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "123", "12345678901234567", "12 4", "12a4", "１２３４", "1234#"] {
            assert_eq!(Pin::parse(bad), Err(InvalidPin), "{bad}");
        }
    }

    #[test]
    fn a_hash_fits_its_pin_and_its_user_only() {
        let keys = Keys::for_tests();
        let hash = keys.hash_pin("alice", &Pin::parse("8250").unwrap());
        assert!(hash.as_str().starts_with(OWN_FORM), "{}", hash.as_str());
        assert!(!hash.needs_rehash());
        assert!(keys.pin_matches("alice", "8250", &hash));
        for (user, digits) in [("alice", "8251"), ("alice", ""), ("alice", "82500"), ("bob", "8250")] {
            assert!(!keys.pin_matches(user, digits, &hash), "{user} {digits}");
        }
        let again = keys.hash_pin("alice", &Pin::parse("8250").unwrap());
        assert_ne!(hash, again, "each hash has a salt of its own");
    }

    #[test]
    fn a_hash_made_elsewhere_is_read_and_a_broken_one_fits_nothing() {
        let keys = Keys::for_tests();
        assert!(keys.pin_matches("alice", "8250", &PinHash::from_stored(STORED.trim().to_owned())));
        for broken in ["", "8250", "$argon2id$v=19$m=19456,t=2,p=1$AAAA"] {
            assert!(!keys.pin_matches("alice", "8250", &PinHash::from_stored(broken.to_owned())), "{broken}");
        }
    }

    #[test]
    fn neither_a_pin_nor_its_hash_is_printed() {
        let hash = PinHash::from_stored(STORED.trim().to_owned());
        assert_eq!(format!("{:?} {hash:?}", Pin::parse("8250").unwrap()), "Pin(***) PinHash(***)");
    }
}
