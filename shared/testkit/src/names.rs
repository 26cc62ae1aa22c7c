//! Names that no other test uses, so that tests can share a server, at the same time and one run after the other.

use std::hash::{BuildHasher, Hasher, RandomState};

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARS: usize = 10;

/// `prefix`, a hyphen and 10 random characters of `a-z0-9`. A prefix of up to 5 such characters makes a broker's namespace.
pub fn unique_name(prefix: &str) -> String {
    // The keys of a `RandomState` are the randomness that the standard library has.
    let mut rest = RandomState::new().build_hasher().finish();
    let mut name = format!("{prefix}-");
    for _ in 0..RANDOM_CHARS {
        let digit = usize::try_from(rest % 36).unwrap_or(0);
        name.push(char::from(DIGITS[digit]));
        rest /= 36;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_differ_and_are_plain() {
        let names: BTreeSet<String> = (0..1000).map(|_| unique_name("t")).collect();
        assert_eq!(names.len(), 1000);
        assert!(
            names
                .iter()
                .all(|name| name.len() == 12 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        );
    }
}
