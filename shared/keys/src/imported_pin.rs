//! PINs that come from another system as hashes.
//!
//! Such a hash was made of the bare digits, so whoever has it has the PIN in minutes, whatever it cost to make. It is
//! therefore sealed at rest for its user, compared as it is, and replaced by our own form at the first right answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::foreign_hash::{ForeignHash, InvalidPinHash};
use crate::{Keys, PinHash, Zeroizing};

/// How the stored form of an imported hash begins: what follows is the sealed hash in base64.
const SEALED: &str = "imported:";
/// How a hash of our own form is written outside the fleet: it was made of a MAC, not of digits.
const OWN: &str = "fleet:";

impl PinHash {
    /// Whether it is another system's.
    pub fn is_imported(&self) -> bool {
        self.as_str().starts_with(SEALED)
    }
}

impl Keys {
    /// What is to be stored of a PIN of which another system, or an export of this fleet, has this hash.
    pub fn imported_pin(&self, user: &str, hash: &str) -> Result<PinHash, InvalidPinHash> {
        if let Some(own) = hash.strip_prefix(OWN) {
            // Ours are made for one user under one master, which nobody sees on them: the export's seal tells.
            let plain = self.opened(&exported(user), own).ok_or(InvalidPinHash::NotOurs)?;
            let hash = std::str::from_utf8(&plain).map_err(|_| InvalidPinHash::NotOurs)?;
            return Ok(PinHash::from_stored(hash.to_owned()));
        }
        ForeignHash::parse(hash)?;
        let sealed = self.seal(&imported(user), hash.as_bytes());
        Ok(PinHash::from_stored(format!("{SEALED}{}", STANDARD_NO_PAD.encode(sealed))))
    }

    /// The hash as [`Keys::imported_pin`] reads it, for an export of the user: one of our own only under the same master
    /// key, another system's anywhere, as it came. None where it cannot be opened.
    pub fn exported_pin(&self, user: &str, hash: &PinHash) -> Option<Zeroizing<String>> {
        if hash.is_imported() {
            return self.foreign(user, hash);
        }
        let sealed = self.seal(&exported(user), hash.as_str().as_bytes());
        Some(Zeroizing::new(format!("{OWN}{}", STANDARD_NO_PAD.encode(sealed))))
    }

    /// Whether an imported hash was made of these digits.
    pub(crate) fn imported_pin_matches(&self, user: &str, digits: &str, hash: &PinHash) -> bool {
        let foreign = self.foreign(user, hash).and_then(|text| ForeignHash::parse(&text).ok());
        foreign.is_some_and(|foreign| foreign.matches(digits))
    }

    fn foreign(&self, user: &str, hash: &PinHash) -> Option<Zeroizing<String>> {
        let plain = self.opened(&imported(user), hash.as_str().strip_prefix(SEALED)?)?;
        Some(Zeroizing::new(std::str::from_utf8(&plain).ok()?.to_owned()))
    }

    fn opened(&self, aad: &[u8], base64: &str) -> Option<Zeroizing<Vec<u8>>> {
        let sealed = STANDARD_NO_PAD.decode(base64).ok()?;
        self.open(aad, &sealed).ok().map(Zeroizing::new)
    }
}

/// What the sealed bytes are and whose. A user's id has no control characters, so the parts can't run together.
fn imported(user: &str) -> Vec<u8> {
    format!("imported pin\0{user}").into_bytes()
}

fn exported(user: &str) -> Vec<u8> {
    format!("exported pin\0{user}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pin;
    use crate::pin::OWN_FORM;

    const MADE_ELSEWHERE: &str = include_str!("../tests/imported_pins.txt");

    #[test]
    fn an_imported_pin_is_compared_and_says_that_it_is_to_be_replaced() {
        let keys = Keys::for_tests();
        for text in MADE_ELSEWHERE.lines() {
            let hash = keys.imported_pin("alice", text).unwrap();
            assert!(hash.is_imported() && hash.needs_rehash());
            assert!(keys.pin_matches("alice", "8250", &hash), "{text}");
            assert!(!keys.pin_matches("alice", "8251", &hash), "{text}");
            assert!(!keys.pin_matches("bob", "8250", &hash), "it is sealed for its user");
        }
    }

    #[test]
    fn what_is_stored_of_an_imported_pin_shows_nothing_of_its_hash() {
        let keys = Keys::for_tests();
        let text = MADE_ELSEWHERE.lines().next().unwrap();
        let hash = keys.imported_pin("alice", text).unwrap();
        let secret = text.rsplit('$').next().unwrap();
        assert!(!hash.as_str().contains(secret) && !hash.as_str().contains('$'), "{}", hash.as_str());
        assert_ne!(hash, keys.imported_pin("alice", text).unwrap());
    }

    #[test]
    fn an_export_reads_back_for_its_user_under_its_master_only() {
        let keys = Keys::for_tests();
        let own = keys.hash_pin("alice", &Pin::parse("8250").unwrap());
        let exported = keys.exported_pin("alice", &own).unwrap();
        assert_eq!(keys.imported_pin("alice", &exported).unwrap(), own);
        assert_eq!(keys.imported_pin("bob", &exported), Err(InvalidPinHash::NotOurs));
        assert_eq!(keys.imported_pin("alice", "fleet:AAAA"), Err(InvalidPinHash::NotOurs));
        // In clear it would look like another system's, and never match.
        assert!(!exported.contains(OWN_FORM));
        let text = MADE_ELSEWHERE.lines().next().unwrap();
        let imported = keys.imported_pin("alice", text).unwrap();
        assert_eq!(keys.exported_pin("alice", &imported).unwrap().as_str(), text, "as it came");
        assert_eq!(keys.exported_pin("bob", &imported), None);
    }

    #[test]
    fn a_stored_form_that_was_cut_fits_nothing() {
        let keys = Keys::for_tests();
        let hash = keys.imported_pin("alice", MADE_ELSEWHERE.lines().next().unwrap()).unwrap();
        for len in [SEALED.len(), SEALED.len() + 1, hash.as_str().len() - 1] {
            let cut = PinHash::from_stored(hash.as_str()[..len].to_owned());
            assert!(!keys.pin_matches("alice", "8250", &cut), "{len}");
            assert_eq!(keys.exported_pin("alice", &cut), None);
        }
    }

    #[test]
    fn a_hash_of_other_costs_is_to_be_replaced_too() {
        assert!(!PinHash::from_stored(format!("{OWN_FORM}AAAA$BBBB")).needs_rehash());
        assert!(PinHash::from_stored("$argon2id$v=19$m=8192,t=1,p=1$AAAA$BBBB".into()).needs_rehash());
    }
}
