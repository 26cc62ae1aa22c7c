//! One-time codes: HOTP (RFC 4226) and TOTP (RFC 6238), the secret they are made of, and the forms in which an app takes it.
//!
//! Codes of the fleet are what every app can make: SHA-1, 6 digits, 30 seconds. Whether a code counts is not for this file:
//! `TotpSecret::matching_step` says of which time step a code is, and whoever stores that step lets it count once.

use std::fmt::Write as _;

use ring::hmac;
use zeroize::Zeroizing;

use crate::digest::constant_time_eq;
use crate::{Error, Keys};

/// Seconds of one time step.
const PERIOD_S: u64 = 30;
/// Steps before and after the current one whose codes are taken: clocks of phones drift, and people type slowly.
const DRIFT: u64 = 1;
const DIGITS: u32 = 6;
/// What RFC 4226 recommends; it asks for 16 at least.
const NEW_LEN: usize = 20;
const LEN: std::ops::RangeInclusive<usize> = 16..=64;

/// RFC 4648, section 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The secret of a device's one-time codes. `Debug` masks it; it is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret(Zeroizing<Vec<u8>>);

/// The text or the bytes are no secret for one-time codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be Base32 (A to Z, 2 to 7) of 16 to 64 bytes")]
pub struct InvalidTotpSecret;

impl TotpSecret {
    /// Wraps a secret of 16 to 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidTotpSecret> {
        if LEN.contains(&bytes.len()) {
            Ok(Self(Zeroizing::new(bytes.to_vec())))
        } else {
            Err(InvalidTotpSecret)
        }
    }

    /// Reads Base32 as people write it: in either case, with blanks and hyphens, padded or not.
    pub fn from_base32(text: &str) -> Result<Self, InvalidTotpSecret> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() * 5 / 8));
        let (mut bits, mut count) = (0_u32, 0_u32);
        let digits = text.trim_end().trim_end_matches('=').bytes();
        for digit in digits.filter(|digit| !matches!(digit, b' ' | b'-')) {
            let upper = digit.to_ascii_uppercase();
            let value = (0..).zip(BASE32).find(|(_, have)| **have == upper).map(|(value, _)| value);
            bits = (bits << 5 | value.ok_or(InvalidTotpSecret)?) & 0xfff;
            count += 5;
            if count >= 8 {
                count -= 8;
                bytes.push(low_byte(bits >> count));
            }
        }
        Self::from_bytes(&bytes)
    }

    /// Base32 without padding: what a person types into an app who can't scan.
    pub fn base32(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len() * 8 / 5 + 1));
        for chunk in self.0.chunks(5) {
            let mut block = [0; 8];
            block[..chunk.len()].copy_from_slice(chunk);
            let bits = u64::from_be_bytes(block) >> 24;
            for digit in 0..(chunk.len() * 8).div_ceil(5) {
                let value = bits >> (35 - 5 * digit) & 31;
                text.extend(BASE32.get(usize::from(low_byte(value))).map(|digit| char::from(*digit)));
            }
        }
        text
    }

    /// The URI of the QR code, by the Key Uri Format. Issuer and account may be any text; colons, which would move the border
    /// between them, are left out.
    pub fn uri(&self, issuer: &str, account: &str) -> Zeroizing<String> {
        let (issuer, account) = (percent_encoded(issuer), percent_encoded(account));
        Zeroizing::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={PERIOD_S}",
            *self.base32()
        ))
    }

    /// The code that an app shows at this time, in seconds since 1970.
    pub fn code_at(&self, unix_s: u64) -> String {
        hotp(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0, unix_s / PERIOD_S, DIGITS)
    }

    /// The time step of which `code` is, where that is the current one or one beside it; the newest, should two have the same
    /// code. It takes the same time whether the code is right or wrong.
    pub fn matching_step(&self, code: &str, unix_s: u64) -> Option<u64> {
        let now = unix_s / PERIOD_S;
        let mut found = None;
        for step in now.saturating_sub(DRIFT)..=now + DRIFT {
            let expected = hotp(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0, step, DIGITS);
            if constant_time_eq(expected.as_bytes(), code.as_bytes()) {
                found = Some(step);
            }
        }
        found
    }
}

impl std::fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotpSecret(***)")
    }
}

impl Keys {
    /// A new secret of 20 random bytes.
    pub fn new_totp_secret() -> TotpSecret {
        TotpSecret(Zeroizing::new(crate::random_bytes::<NEW_LEN>().to_vec()))
    }

    /// The secret as it is stored for this device of this user; it opens for no other.
    pub fn seal_totp(&self, user: &str, device: &[u8; 16], secret: &TotpSecret) -> Vec<u8> {
        self.seal(&context(user, device), &secret.0)
    }

    /// Opens what [`Keys::seal_totp`] made.
    pub fn open_totp(&self, user: &str, device: &[u8; 16], sealed: &[u8]) -> Result<TotpSecret, Error> {
        let plain = Zeroizing::new(self.open(&context(user, device), sealed)?);
        TotpSecret::from_bytes(&plain).map_err(|InvalidTotpSecret| Error::Tampered)
    }
}

/// What the sealed bytes are and whose. A device's id has a fixed length, so the parts can't run together.
fn context(user: &str, device: &[u8; 16]) -> Vec<u8> {
    [b"totp\0", &device[..], user.as_bytes()].concat()
}

/// RFC 4226, section 5.3.
fn hotp(algorithm: hmac::Algorithm, secret: &[u8], counter: u64, digits: u32) -> String {
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), &counter.to_be_bytes());
    let tag = tag.as_ref();
    let offset = tag.last().map_or(0, |last| usize::from(last & 15));
    let mut chosen = [0; 4];
    // The shortest tag has 20 bytes, and 15 + 4 fit in it.
    chosen.iter_mut().zip(&tag[offset..]).for_each(|(to, from)| *to = *from);
    let number = (u32::from_be_bytes(chosen) & 0x7fff_ffff) % 10_u32.pow(digits);
    format!("{number:0width$}", width = digits as usize)
}

/// All but the unreserved characters of RFC 3986 as `%XX`, and no colon at all.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes().filter(|byte| *byte != b':') {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The lowest eight bits.
fn low_byte(bits: impl Into<u64>) -> u8 {
    let [.., low] = bits.into().to_be_bytes();
    low
}

#[cfg(test)]
mod tests;
