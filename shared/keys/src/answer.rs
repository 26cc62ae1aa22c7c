//! Answers to security questions: the hash that is stored instead of one.
//!
//! Like a PIN (`pin.rs`), an answer is guessed sooner than a hash is computed often, so what is hashed is a MAC under a
//! key that never leaves the fleet. User and question are in it: the same answer of two people, or to two questions, has
//! hashes that tell nothing of each other.

use std::fmt;

use crate::Keys;
use crate::pin::{hashed, matches};

/// What is stored of an answer: an Argon2id hash as a PHC string, with its salt and costs.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerHash(String);

impl AnswerHash {
    /// The hash as it was stored.
    pub fn from_stored(phc: String) -> Self {
        Self(phc)
    }

    /// The hash as it is to be stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AnswerHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerHash(***)")
    }
}

impl Keys {
    /// The hash to store of a user's normalised answer to a question, with a new salt. Takes some 20 ms of processor time
    /// and 19 MiB: not for an async task.
    pub fn hash_answer(&self, user: &str, question: &str, answer: &str) -> AnswerHash {
        AnswerHash(hashed(&self.answer_mac(user, question, answer), &crate::random_bytes()))
    }

    /// Whether this normalised answer is the one that was stored, compared in constant time. Costs as much as
    /// [`Keys::hash_answer`], whatever the answer is. A hash that cannot be read fits none.
    pub fn answer_matches(&self, user: &str, question: &str, answer: &str, hash: &AnswerHash) -> bool {
        matches(&self.answer_mac(user, question, answer), hash.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac` and `argon2-cffi`, independently of this crate.
    const STORED: &str = include_str!("../tests/answer.phc");

    #[test]
    fn a_hash_fits_its_answer_its_question_and_its_user_only() {
        let keys = Keys::for_tests();
        let hash = keys.hash_answer("alice", "pet", "senor whiskers");
        assert!(keys.answer_matches("alice", "pet", "senor whiskers", &hash));
        for (user, question, answer) in [
            ("alice", "pet", "senor whisker"),
            ("alice", "pet", ""),
            ("alice", "city", "senor whiskers"),
            ("bob", "pet", "senor whiskers"),
        ] {
            assert!(!keys.answer_matches(user, question, answer, &hash), "{user} {question} {answer}");
        }
        assert_ne!(
            hash,
            keys.hash_answer("alice", "pet", "senor whiskers"),
            "each hash has a salt of its own"
        );
    }

    #[test]
    fn a_hash_made_elsewhere_is_read_and_a_broken_one_fits_nothing() {
        let keys = Keys::for_tests();
        let matches = |stored: &str| {
            keys.answer_matches("alice", "pet", "senor whiskers", &AnswerHash::from_stored(stored.to_owned()))
        };
        assert!(matches(STORED.trim()));
        assert!(!matches("") && !matches("senor whiskers"));
        let pin = keys.hash_pin("alice", &crate::Pin::parse("8250").unwrap());
        let as_answer = AnswerHash::from_stored(pin.as_str().to_owned());
        assert!(!keys.answer_matches("alice", "", "8250", &as_answer), "a PIN's hash is no answer's");
    }

    #[test]
    fn a_hash_is_not_printed() {
        assert_eq!(format!("{:?}", AnswerHash::from_stored("secret".into())), "AnswerHash(***)");
    }
}
