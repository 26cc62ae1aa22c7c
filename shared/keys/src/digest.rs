//! Hashes, message authentication codes and comparison in constant time, as free functions.

use std::fmt::Write;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// SHA-256 of `bytes` as 64 lower-case hex digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

/// Base64 of HMAC-SHA1. Only for `X-Twilio-Signature`, whose algorithm is not ours to choose.
pub fn hmac_sha1_base64(key: &[u8], message: &[u8]) -> String {
    hmac_base64(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key, message)
}

/// HMAC-SHA256 of `message` under a key that is not the fleet's, such as the salt of one person.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut tag = [0; 32];
    tag.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref());
    tag
}

/// Base64 of HMAC-SHA256.
pub fn hmac_sha256_base64(key: &[u8], message: &[u8]) -> String {
    hmac_base64(hmac::HMAC_SHA256, key, message)
}

fn hmac_base64(algorithm: hmac::Algorithm, key: &[u8], message: &[u8]) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(algorithm, key), message))
}

/// Whether `a` equals `b`, in a time that depends on their lengths only.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    // `ring` promises constant time for MACs only. Under a key that nobody knows, equal MACs mean equal inputs.
    static BLIND: LazyLock<hmac::Key> =
        LazyLock::new(|| hmac::Key::new(hmac::HMAC_SHA256, &crate::random_bytes::<32>()));
    hmac::verify(&BLIND, b, hmac::sign(&BLIND, a).as_ref()).is_ok()
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_matches_the_published_example() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn hmac_matches_the_published_examples() {
        // RFC 2202 and RFC 4231, test case 2 of each.
        let (key, message) = (b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hmac_sha1_base64(key, message), "7/zfauXrL6LSdBbV8YTfnCWafHk=");
        let published = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";
        assert_eq!(hmac_sha256_base64(key, message), published);
        assert_eq!(STANDARD.encode(hmac_sha256(key, message)), published);
    }

    #[test]
    fn only_equal_bytes_compare_equal() {
        for (a, b, equal) in
            [("", "", true), ("a", "a", true), ("a", "b", false), ("a", "", false), ("aa", "a", false)]
        {
            assert_eq!(constant_time_eq(a.as_bytes(), b.as_bytes()), equal, "{a:?} {b:?}");
        }
    }
}
