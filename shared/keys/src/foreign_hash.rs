//! Hashes of PINs that other systems made: which forms are read, what they may cost, and how digits are compared.
//!
//! Read are PHC strings (argon2id, argon2i, pbkdf2-sha256 and -sha512, scrypt), the two forms of passlib that differ
//! from them, and bcrypt's. The costs stand in the hash, so whoever makes one says how long each comparison takes: they
//! are bounded here, and again each time a hash is read.

use argon2::{Algorithm, Argon2, Version};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::num::NonZeroU32;

use crate::{bcrypt, constant_time_eq};

/// The text is no hash that can be imported. Never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPinHash {
    /// None of the forms that are read.
    #[error(
        "must be a PHC string of argon2id, argon2i, pbkdf2-sha256, pbkdf2-sha512 or scrypt, or a bcrypt hash ($2a$, $2b$, $2y$)"
    )]
    Form,
    /// A known form with a part that cannot be read.
    #[error("has a {0} that cannot be read")]
    Part(&'static str),
    /// Each comparison would take too long or too much memory.
    #[error("costs too much to compare: allowed is {0}")]
    TooCostly(&'static str),
    /// Our own form, but made for another user or under another master key.
    #[error("was made for another user or by another fleet")]
    NotOurs,
}

const LONGEST: usize = 512;
/// No form is made of more digits than a PIN has.
const DIGITS_MOST: usize = 16;
/// 128 MiB, as OWASP advises for scrypt; and four passes over as much.
const MEMORY_KIB: u64 = 128 * 1024;
const MEMORY_PASSES_KIB: u64 = 4 * MEMORY_KIB;
const MEMORY_HARD: &str = "128 MiB, and passes over 512 MiB in all";
const ITERATIONS_MOST: u32 = 2_000_000;
const BCRYPT_COST: std::ops::RangeInclusive<u8> = 4..=14;

/// Last bits that say nothing are not always zero.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::RequireNone)
    .with_decode_allow_trailing_bits(true);
const PHC_BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::BCRYPT, LENIENT);

/// A hash whose form and costs were checked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ForeignHash {
    scheme: Scheme,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Argon2 { algorithm: Algorithm, version: Version, memory_kib: u32, passes: u32, lanes: u32 },
    Pbkdf2 { sha512: bool, iterations: NonZeroU32 },
    Scrypt { log_n: u8, r: u32, p: u32 },
    Bcrypt { cost: u8 },
}

impl ForeignHash {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPinHash> {
        if text.len() > LONGEST {
            return Err(InvalidPinHash::Form);
        }
        let parts: Vec<&str> = text.strip_prefix('$').ok_or(InvalidPinHash::Form)?.split('$').collect();
        match parts.as_slice() {
            ["argon2id", rest @ ..] => argon2(Algorithm::Argon2id, rest),
            ["argon2i", rest @ ..] => argon2(Algorithm::Argon2i, rest),
            ["pbkdf2-sha256", costs, salt, hash] => pbkdf2(false, costs, (salt, hash)),
            ["pbkdf2-sha512", costs, salt, hash] => pbkdf2(true, costs, (salt, hash)),
            ["scrypt", costs, salt, hash] => scrypt_of(costs, (salt, hash)),
            ["2a" | "2b" | "2y", cost, salt_and_hash] => bcrypt_of(cost, salt_and_hash),
            _ => Err(InvalidPinHash::Form),
        }
    }

    /// Whether the hash was made of these digits.
    pub(crate) fn matches(&self, digits: &str) -> bool {
        let is_pin = digits.len() <= DIGITS_MOST && digits.bytes().all(|b| b.is_ascii_digit());
        is_pin && self.compute(digits.as_bytes()).is_some_and(|found| constant_time_eq(&found, &self.hash))
    }

    fn compute(&self, digits: &[u8]) -> Option<Vec<u8>> {
        let mut found = vec![0; self.hash.len()];
        match self.scheme {
            Scheme::Argon2 { algorithm, version, memory_kib, passes, lanes } => {
                let params = argon2::Params::new(memory_kib, passes, lanes, Some(found.len())).ok()?;
                Argon2::new(algorithm, version, params)
                    .hash_password_into(digits, &self.salt, &mut found)
                    .ok()?;
            }
            Scheme::Pbkdf2 { sha512, iterations } => {
                let algorithm =
                    if sha512 { ring::pbkdf2::PBKDF2_HMAC_SHA512 } else { ring::pbkdf2::PBKDF2_HMAC_SHA256 };
                ring::pbkdf2::derive(algorithm, iterations, &self.salt, digits, &mut found);
            }
            Scheme::Scrypt { log_n, r, p } => {
                let params = scrypt::Params::new(log_n, r, p).ok()?;
                scrypt::scrypt(digits, &self.salt, &params, &mut found).ok()?;
            }
            Scheme::Bcrypt { cost } => {
                let salt = self.salt.as_slice().try_into().ok()?;
                found = bcrypt::hash(cost, salt, digits).to_vec();
            }
        }
        Some(found)
    }
}

fn argon2(algorithm: Algorithm, parts: &[&str]) -> Result<ForeignHash, InvalidPinHash> {
    let (version, costs, salt, hash) = match parts {
        ["v=19", costs, salt, hash] => (Version::V0x13, costs, salt, hash),
        ["v=16", costs, salt, hash] | [costs, salt, hash] => (Version::V0x10, costs, salt, hash),
        _ => return Err(InvalidPinHash::Form),
    };
    let [memory_kib, passes, lanes] = numbers(costs, ["m", "t", "p"])?;
    let memory = u64::from(memory_kib);
    let cheap = memory <= MEMORY_KIB
        && memory.saturating_mul(u64::from(passes)) <= MEMORY_PASSES_KIB
        && passes <= 1000
        && lanes <= 16;
    if !cheap {
        return Err(InvalidPinHash::TooCostly(MEMORY_HARD));
    }
    let scheme = Scheme::Argon2 { algorithm, version, memory_kib, passes, lanes };
    let whole = ForeignHash { scheme, ..plain(salt, hash)? };
    argon2::Params::new(memory_kib, passes, lanes, Some(whole.hash.len()))
        .map_err(|_| InvalidPinHash::Part("list of costs"))?;
    Ok(whole)
}

fn pbkdf2(sha512: bool, costs: &str, (salt, hash): (&str, &str)) -> Result<ForeignHash, InvalidPinHash> {
    // passlib writes the number alone, and a '.' for each '+'.
    let (iterations, length) = match costs.split_once(",l=") {
        Some((iterations, length)) => (iterations, Some(number(length)?)),
        None => (costs, None),
    };
    let iterations = iterations.strip_prefix("i=").unwrap_or(iterations);
    let iterations = number(iterations)?;
    let iterations = NonZeroU32::new(iterations).ok_or(InvalidPinHash::Part("list of costs"))?;
    if iterations.get() > ITERATIONS_MOST {
        return Err(InvalidPinHash::TooCostly("2000000 iterations"));
    }
    let whole = plain(&salt.replace('.', "+"), &hash.replace('.', "+"))?;
    if length.is_some_and(|length| length as usize != whole.hash.len()) {
        return Err(InvalidPinHash::Part("hash of another length"));
    }
    Ok(ForeignHash { scheme: Scheme::Pbkdf2 { sha512, iterations }, ..whole })
}

fn scrypt_of(costs: &str, (salt, hash): (&str, &str)) -> Result<ForeignHash, InvalidPinHash> {
    let [log_n, r, p] = numbers(costs, ["ln", "r", "p"])?;
    let too_costly = InvalidPinHash::TooCostly(MEMORY_HARD);
    let log_n = u8::try_from(log_n).ok().filter(|log_n| *log_n <= 24).ok_or(too_costly)?;
    // 128 bytes for each of n × r, and p times as many passes.
    let memory = (u64::from(r) << log_n) / 8;
    if memory > MEMORY_KIB || memory.saturating_mul(u64::from(p)) > MEMORY_PASSES_KIB || r > 64 || p > 64 {
        return Err(too_costly);
    }
    if log_n == 0 || scrypt::Params::new(log_n, r, p).is_err() {
        return Err(InvalidPinHash::Part("list of costs"));
    }
    Ok(ForeignHash { scheme: Scheme::Scrypt { log_n, r, p }, ..plain(salt, hash)? })
}

fn bcrypt_of(cost: &str, salt_and_hash: &str) -> Result<ForeignHash, InvalidPinHash> {
    let cost = u8::try_from(number(cost)?).map_err(|_| InvalidPinHash::Part("cost"))?;
    if !BCRYPT_COST.contains(&cost) {
        return Err(InvalidPinHash::TooCostly("4 to 14 for bcrypt"));
    }
    let (salt, hash) = salt_and_hash.split_at_checked(22).ok_or(InvalidPinHash::Part("salt"))?;
    let decoded = |text: &str, name, length| {
        let bytes = BCRYPT_BASE64.decode(text).ok().filter(|bytes| bytes.len() == length);
        bytes.ok_or(InvalidPinHash::Part(name))
    };
    Ok(ForeignHash {
        scheme: Scheme::Bcrypt { cost },
        salt: decoded(salt, "salt", bcrypt::SALT_LEN)?,
        hash: decoded(hash, "hash", bcrypt::HASH_LEN)?,
    })
}

/// Salt and hash, with a scheme that is set by the caller.
fn plain(salt: &str, hash: &str) -> Result<ForeignHash, InvalidPinHash> {
    let decoded = |text: &str, name, lengths: std::ops::RangeInclusive<usize>| {
        let bytes = PHC_BASE64.decode(text).ok().filter(|bytes| lengths.contains(&bytes.len()));
        bytes.ok_or(InvalidPinHash::Part(name))
    };
    Ok(ForeignHash {
        scheme: Scheme::Bcrypt { cost: 0 },
        salt: decoded(salt, "salt", 8..=64)?,
        hash: decoded(hash, "hash", 16..=64)?,
    })
}

/// The numbers under these names, in this order and no others.
fn numbers<const N: usize>(costs: &str, names: [&str; N]) -> Result<[u32; N], InvalidPinHash> {
    let unreadable = InvalidPinHash::Part("list of costs");
    let mut found = [0; N];
    let mut parts = costs.split(',');
    for (name, place) in names.into_iter().zip(&mut found) {
        let (have, value) = parts.next().and_then(|part| part.split_once('=')).ok_or(unreadable)?;
        if have != name {
            return Err(unreadable);
        }
        *place = number(value)?;
    }
    if parts.next().is_some() { Err(unreadable) } else { Ok(found) }
}

fn number(text: &str) -> Result<u32, InvalidPinHash> {
    let digits = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return Err(InvalidPinHash::Part("list of costs"));
    }
    // A number that is no u32 is surely too much.
    text.parse().or(Ok(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the PIN 8250, made by argon2-cffi, hashlib and bcrypt in Python; the forms of PBKDF2 without `i=` are passlib's.
    const MADE_ELSEWHERE: &str = include_str!("../tests/imported_pins.txt");
    const SALT: &str = "MDEyMzQ1Njc4OWFiY2RlZg";

    fn refused(text: &str) -> InvalidPinHash {
        ForeignHash::parse(text).err().unwrap_or_else(|| panic!("{text} was read"))
    }

    #[test]
    fn what_other_libraries_made_fits_its_pin_only() {
        assert_eq!(MADE_ELSEWHERE.lines().count(), 11);
        for text in MADE_ELSEWHERE.lines() {
            let hash = ForeignHash::parse(text).unwrap();
            assert!(hash.matches("8250"), "{text}");
            for other in ["8251", "825", "82500", "", "8250\0", "825O", "11111111111111111"] {
                assert!(!hash.matches(other), "{text} {other}");
            }
        }
    }

    #[test]
    fn what_would_take_too_long_or_too_much_memory_is_refused() {
        let hash = "A".repeat(43);
        for (costs, fine) in [
            (format!("$argon2id$v=19$m=65536,t=3,p=4${SALT}${hash}"), true),
            (format!("$argon2id$v=19$m=131072,t=4,p=1${SALT}${hash}"), true),
            (format!("$argon2id$v=19$m=131073,t=1,p=1${SALT}${hash}"), false),
            (format!("$argon2id$v=19$m=131072,t=5,p=1${SALT}${hash}"), false),
            (format!("$argon2id$v=19$m=8,t=4294967295,p=1${SALT}${hash}"), false),
            (format!("$argon2id$v=19$m=99999999999,t=1,p=1${SALT}${hash}"), false),
            (format!("$argon2id$v=19$m=4294967295,t=1,p=1${SALT}${hash}"), false),
            (format!("$scrypt$ln=17,r=8,p=1${SALT}${hash}"), true),
            (format!("$scrypt$ln=17,r=8,p=5${SALT}${hash}"), false),
            (format!("$scrypt$ln=18,r=8,p=1${SALT}${hash}"), false),
            (format!("$scrypt$ln=63,r=8,p=1${SALT}${hash}"), false),
            (format!("$scrypt$ln=1,r=4294967295,p=1${SALT}${hash}"), false),
            (format!("$scrypt$ln=10,r=1,p=4294967295${SALT}${hash}"), false),
            (format!("$pbkdf2-sha256$i=2000000${SALT}${hash}"), true),
            (format!("$pbkdf2-sha256$i=2000001${SALT}${hash}"), false),
            (format!("$pbkdf2-sha512$4294967295${SALT}${hash}"), false),
            (format!("$2b$14${}", "a".repeat(53)), true),
            (format!("$2b$15${}", "a".repeat(53)), false),
            (format!("$2b$31${}", "a".repeat(53)), false),
        ] {
            match ForeignHash::parse(&costs) {
                Ok(_) => assert!(fine, "{costs}"),
                Err(why) => assert!(!fine && matches!(why, InvalidPinHash::TooCostly(_)), "{costs}: {why}"),
            }
        }
    }

    #[test]
    fn what_cannot_be_read_says_which_part_and_never_the_text() {
        let hash = "A".repeat(43);
        for (text, word) in [
            (String::new(), "must be"),
            ("8250".into(), "must be"),
            ("$".repeat(500), "must be"),
            (format!("$argon2d$v=19$m=1024,t=1,p=1${SALT}${hash}"), "must be"),
            (format!("$2x$10${}", "a".repeat(53)), "must be"),
            (format!("$1${SALT}${hash}"), "must be"),
            (format!("$argon2id$v=19$m=1024,t=1,p=1${SALT}${}", "A".repeat(600)), "must be"),
            (format!("$argon2id$v=18$m=1024,t=1,p=1${SALT}${hash}"), "must be"),
            (format!("$argon2id$v=19$m=1024,t=1${SALT}${hash}"), "costs"),
            (format!("$argon2id$v=19$t=1,m=1024,p=1${SALT}${hash}"), "costs"),
            (format!("$argon2id$v=19$m=1024,t=1,p=1,x=1${SALT}${hash}"), "costs"),
            (format!("$argon2id$v=19$m=+1024,t=1,p=1${SALT}${hash}"), "costs"),
            (format!("$argon2id$v=19$m=1024,t=0,p=1${SALT}${hash}"), "costs"),
            (format!("$argon2id$v=19$m=1,t=1,p=1${SALT}${hash}"), "costs"),
            (format!("$argon2id$v=19$m=1024,t=1,p=1$AAAA${hash}"), "salt"),
            (format!("$argon2id$v=19$m=1024,t=1,p=1${SALT}$AAAA"), "hash"),
            (format!("$argon2id$v=19$m=1024,t=1,p=1${SALT}${hash}="), "hash"),
            (format!("$scrypt$ln=0,r=8,p=1${SALT}${hash}"), "costs"),
            (format!("$scrypt$ln=10,r=0,p=1${SALT}${hash}"), "costs"),
            (format!("$pbkdf2-sha256$i=0${SALT}${hash}"), "costs"),
            (format!("$pbkdf2-sha256$i=1000,x=1${SALT}${hash}"), "costs"),
            (format!("$pbkdf2-sha256$i=1000,l=16${SALT}${hash}"), "length"),
            ("$2b$10$short".into(), "salt"),
            (format!("$2b$10${}", "a".repeat(52)), "hash"),
            (format!("$2b$10${}é{}", "a".repeat(21), "a".repeat(30)), "salt"),
            (format!("$2b$10${}", "-".repeat(53)), "salt"),
        ] {
            let said = refused(&text).to_string();
            assert!(said.contains(word), "{text}: {said}");
            assert!(!said.contains(SALT) && !said.contains("aaaa"), "{said}");
        }
    }
}
