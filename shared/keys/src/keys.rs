//! `Keys`: one derived key per purpose, and what is computed with each.

use std::fmt;
use std::sync::Arc;

use fleet_settings::NotAllowed;
use ring::hkdf;
use ring::hmac;

use crate::digest::{constant_time_eq, hex};
use crate::outcome::OutcomeSigner;
use crate::seal::Sealer;
use crate::{Error, Settings};

/// Fixed for ever: another salt would be another set of keys.
const SALT: &[u8] = b"mfa-fleet/keys/1";

/// The keys of the fleet. A clone is another handle on the same keys.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    attempt_token: hmac::Key,
    app_nonce: hmac::Key,
    phone_index: hmac::Key,
    lease_index: hmac::Key,
    keyed_hash: hmac::Key,
    pin: hmac::Key,
    answer: hmac::Key,
    audit: hmac::Key,
    activation: hmac::Key,
    sealer: Sealer,
    signer: OutcomeSigner,
}

impl Keys {
    /// Derives the keys. Fails with the name of the setting that can't be used.
    pub fn from_settings(settings: &Settings) -> Result<Self, NotAllowed> {
        Ok(Self::derive(&settings.master_bytes()?, settings.signer()?))
    }

    /// Keys that everybody knows, the same in every process. For tests only: they protect nothing.
    pub fn for_tests() -> Self {
        Self::derive(b"a master key that everybody knows", OutcomeSigner::for_tests())
    }

    fn derive(master: &[u8], signer: OutcomeSigner) -> Self {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(master);
        let mac = |purpose| hmac::Key::new(hmac::HMAC_SHA256, &derived::<32>(&prk, purpose));
        let [key_id] = derived::<1>(&prk, "key-id");
        Self(Arc::new(Inner {
            attempt_token: mac("attempt-token"),
            app_nonce: mac("app-nonce"),
            phone_index: mac("phone-index"),
            lease_index: mac("lease-index"),
            keyed_hash: mac("keyed-hash"),
            pin: mac("pin"),
            answer: mac("answer"),
            audit: mac("audit"),
            activation: mac("activation"),
            sealer: Sealer::new(&derived(&prk, "seal"), key_id),
            signer,
        }))
    }

    /// The token in an attempt's callback URLs: 32 lower-case hex digits that only the fleet can compute.
    pub fn attempt_token(&self, portal: &str, challenge: &[u8; 16], attempt: u16) -> String {
        hex(&keyed(&self.0.attempt_token, &[portal.as_bytes(), challenge, &attempt.to_be_bytes()]))
    }

    /// Whether `candidate` is the token of this attempt, compared in constant time.
    pub fn attempt_token_matches(
        &self,
        portal: &str,
        challenge: &[u8; 16],
        attempt: u16,
        candidate: &str,
    ) -> bool {
        constant_time_eq(self.attempt_token(portal, challenge, attempt).as_bytes(), candidate.as_bytes())
    }

    /// The nonce that an app signs with its answer: 32 lower-case hex digits that only the fleet can compute.
    pub fn app_nonce(&self, portal: &str, challenge: &[u8; 16]) -> String {
        hex(&keyed(&self.0.app_nonce, &[portal.as_bytes(), challenge]))
    }

    /// Whether `candidate` is the nonce of this challenge, compared in constant time.
    pub fn app_nonce_matches(&self, portal: &str, challenge: &[u8; 16], candidate: &str) -> bool {
        constant_time_eq(self.app_nonce(portal, challenge).as_bytes(), candidate.as_bytes())
    }

    /// The index under which a number is looked up at rest; it can't be turned back without the master.
    pub fn phone_index(&self, e164: &str) -> [u8; 16] {
        keyed(&self.0.phone_index, &[e164.as_bytes()])
    }

    /// The index of a lease, whose parts may be numbers (say, To and From).
    pub fn lease_index(&self, parts: &[&str]) -> [u8; 16] {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        keyed(&self.0.lease_index, &parts)
    }

    /// The stored form of a short-lived secret, such as the digits of a number match.
    /// Include what it belongs to in `parts`: few digits alone would give equal hashes in different challenges.
    pub fn keyed_hash(&self, purpose: &'static str, parts: &[&[u8]]) -> [u8; 16] {
        let parts: Vec<&[u8]> = std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()).collect();
        keyed(&self.0.keyed_hash, &parts)
    }

    /// The stored form of a text that may hold a short-lived secret, compared and never turned back. One bit is always set: zeros are
    /// left to those who have nothing to compare.
    pub fn keyed_digest(&self, purpose: &'static str, parts: &[&[u8]]) -> [u8; 32] {
        let parts: Vec<&[u8]> = std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()).collect();
        let mut digest = mac(&self.0.keyed_hash, &parts);
        digest[31] |= 1;
        digest
    }

    /// The fleet's own mark on its audit trail: who can write to the database but has no master can't make one.
    pub fn audit_mac(&self, purpose: &'static str, parts: &[&[u8]]) -> [u8; 32] {
        let parts: Vec<&[u8]> = std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()).collect();
        mac(&self.0.audit, &parts)
    }

    /// One half of an activation's secret.
    pub(crate) fn activation_mac(&self, parts: &[&[u8]]) -> [u8; 16] {
        keyed(&self.0.activation, parts)
    }

    /// What is hashed of a user's PIN.
    pub(crate) fn pin_mac(&self, user: &str, digits: &str) -> [u8; 16] {
        keyed(&self.0.pin, &[user.as_bytes(), digits.as_bytes()])
    }

    /// What is hashed of a user's answer to a question.
    pub(crate) fn answer_mac(&self, user: &str, question: &str, answer: &str) -> [u8; 16] {
        keyed(&self.0.answer, &[user.as_bytes(), question.as_bytes(), answer.as_bytes()])
    }

    /// Encrypts `plain` so that it opens only with the same `aad` (what the bytes are and whose: not secret, not stored in the result).
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        self.0.sealer.seal(aad, plain)
    }

    /// Decrypts what [`Keys::seal`] made. Fails where the bytes or `aad` are not the same, or the master is another one.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.sealer.open(aad, sealed)
    }

    /// A detached JWS (`header..signature`, ES256, `b64: false`) over the exact bytes of an outcome. Check it with [`crate::verify_outcome`].
    pub fn sign_outcome(&self, exact_bytes: &[u8]) -> String {
        self.0.signer.sign(exact_bytes)
    }

    /// The public key of outcome signatures as a JWK in JSON, for portals.
    pub fn outcome_jwk(&self) -> String {
        self.0.signer.jwk()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[expect(clippy::expect_used, reason = "HKDF-SHA256 refuses only more than 255 × 32 bytes")]
fn derived<const N: usize>(prk: &hkdf::Prk, purpose: &str) -> [u8; N] {
    let mut bytes = [0; N];
    prk.expand(&[purpose.as_bytes()], Length(N)).and_then(|okm| okm.fill(&mut bytes)).expect("N is small");
    bytes
}

/// The first 128 bits of HMAC-SHA256 over the parts.
fn keyed(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 16] {
    let mut start = [0; 16];
    start.copy_from_slice(&mac(key, parts)[..16]);
    start
}

/// HMAC-SHA256 over the parts, each with its length in front.
fn mac(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut whole = [0; 32];
    whole.copy_from_slice(context.sign().as_ref());
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

    /// Computed with Python's `hmac`, independently of `ring`; a change would orphan every stored index and every URL on its way.
    #[test]
    fn derived_values_never_change() {
        let keys = Keys::for_tests();
        let golden = include_str!("../tests/derived.txt");
        let found = [
            format!("attempt_token {}", keys.attempt_token("vpn", &CHALLENGE, 1)),
            format!("app_nonce {}", keys.app_nonce("vpn", &CHALLENGE)),
            format!("phone_index {}", hex(&keys.phone_index("+14155550123"))),
            format!("lease_index {}", hex(&keys.lease_index(&["+14155550123", "+15005550006"]))),
            format!("keyed_hash {}", hex(&keys.keyed_hash("number_match", &[b"42", &CHALLENGE]))),
            format!("keyed_digest {}", hex(&keys.keyed_digest("body", &[b"42", &CHALLENGE]))),
            format!("pin_mac {}", hex(&keys.pin_mac("alice", "8250"))),
            format!("answer_mac {}", hex(&keys.answer_mac("alice", "pet", "senor whiskers"))),
            format!("audit_mac {}", hex(&keys.audit_mac("seal", &[b"42"]))),
            format!("key_id {:02x}", keys.seal(b"", b"")[1]),
        ];
        assert_eq!(found.join("\n"), golden.trim());
    }

    #[test]
    fn a_token_is_good_for_its_own_attempt_only() {
        let keys = Keys::for_tests();
        let token = keys.attempt_token("vpn", &CHALLENGE, 1);
        assert!(keys.attempt_token_matches("vpn", &CHALLENGE, 1, &token));
        assert!(!keys.attempt_token_matches("vpn", &CHALLENGE, 2, &token));
        assert!(!keys.attempt_token_matches("vpm", &CHALLENGE, 1, &token));
        assert!(!keys.attempt_token_matches("vpn", &[0; 16], 1, &token));
        assert!(!keys.attempt_token_matches("vpn", &CHALLENGE, 1, &token.to_uppercase()));
        assert!(!keys.attempt_token_matches("vpn", &CHALLENGE, 1, &token[..31]));
        assert!(!keys.attempt_token_matches("vpn", &CHALLENGE, 1, ""));
    }

    #[test]
    fn a_nonce_is_good_for_its_own_challenge_and_is_no_token() {
        let keys = Keys::for_tests();
        let nonce = keys.app_nonce("vpn", &CHALLENGE);
        assert!(keys.app_nonce_matches("vpn", &CHALLENGE, &nonce));
        assert!(!keys.app_nonce_matches("vpn", &[0; 16], &nonce));
        assert!(!keys.app_nonce_matches("erp", &CHALLENGE, &nonce));
        assert_ne!(nonce, keys.attempt_token("vpn", &CHALLENGE, 0));
    }

    #[test]
    fn moving_a_byte_between_fields_changes_the_result() {
        let keys = Keys::for_tests();
        assert_ne!(keys.lease_index(&["+1415", "5550123"]), keys.lease_index(&["+141", "55550123"]));
        assert_ne!(keys.lease_index(&["a", ""]), keys.lease_index(&["a"]));
        assert_ne!(keys.lease_index(&["", "a"]), keys.lease_index(&["a", ""]));
        assert_ne!(keys.keyed_hash("ab", &[b"c"]), keys.keyed_hash("a", &[b"bc"]));
        assert_ne!(keys.keyed_hash("a", &[b"b", b"c"]), keys.keyed_hash("a", &[b"bc"]));
    }

    #[test]
    fn another_master_gives_other_values_and_opens_nothing() {
        let other = Keys::derive(&[9; 32], OutcomeSigner::for_tests());
        let keys = Keys::for_tests();
        assert_ne!(keys.phone_index("+14155550123"), other.phone_index("+14155550123"));
        assert!(other.open(b"", &keys.seal(b"", b"x")).is_err());
    }

    #[test]
    fn debug_output_shows_no_key() {
        assert_eq!(format!("{:?}", Keys::for_tests()), "Keys { .. }");
    }
}
