//! What a Gather hears: a pure function of its rules, the length of its prompts, and the keys with their times.

use std::time::Duration;

/// The rules of one Gather.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// Silence after the prompts, or after a key, that ends it.
    pub(super) timeout: Duration,
    /// Digits that end it; `None` for any number.
    pub(super) num_digits: Option<usize>,
    /// The key that ends it; `None` collects every key.
    pub(super) finish_on_key: Option<char>,
}

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// When it ended, from the start of the prompts.
    pub(super) after: Duration,
    pub(super) digits: String,
    /// The key that ended it; `None` when the number of digits or silence did.
    pub(super) finished_on: Option<char>,
}

/// Listens. The clock starts when the prompts end or at the first key, which stops them; each key restarts it.
pub(super) fn listen(rules: &Rules, prompts: Duration, keys: &[(Duration, char)]) -> Heard {
    let mut digits = String::new();
    let mut silence_ends = prompts.saturating_add(rules.timeout);
    for (at, key) in keys {
        if *at >= silence_ends {
            break;
        }
        if rules.finish_on_key == Some(*key) {
            return Heard { after: *at, digits, finished_on: Some(*key) };
        }
        digits.push(*key);
        if rules.num_digits.is_some_and(|limit| digits.len() >= limit) {
            return Heard { after: *at, digits, finished_on: None };
        }
        silence_ends = at.saturating_add(rules.timeout);
    }
    Heard { after: silence_ends, digits, finished_on: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(tenths: u64) -> Duration {
        Duration::from_millis(tenths * 100)
    }

    #[test]
    fn a_gather_ends_by_key_by_count_or_by_silence() {
        let rules = Rules { timeout: secs(50), num_digits: None, finish_on_key: Some('#') };
        let four = Rules { num_digits: Some(4), ..rules.clone() };
        let no_key = Rules { finish_on_key: None, ..rules.clone() };
        let star = Rules { finish_on_key: Some('*'), ..rules.clone() };
        // rules, keys that come every 0.2 s from 1 s on, when it ends, digits, the key that ended it
        let table = [
            (&rules, "1234#", 18, "1234", Some('#')),
            (&rules, "#", 10, "", Some('#')),
            (&rules, "", 80, "", None),
            (&rules, "12", 62, "12", None),
            (&four, "123456", 16, "1234", None),
            (&four, "12#", 14, "12", Some('#')),
            (&no_key, "1#*", 64, "1#*", None),
            (&star, "1#*2", 14, "1#", Some('*')),
        ];
        for (rules, keys, tenths, digits, finished_on) in table {
            let keys: Vec<_> = (0..).zip(keys.chars()).map(|(n, key)| (secs(10 + 2 * n), key)).collect();
            let expected = Heard { after: secs(tenths), digits: digits.to_owned(), finished_on };
            assert_eq!(listen(rules, secs(30), &keys), expected, "{rules:?} {keys:?}");
        }
    }

    #[test]
    fn the_clock_starts_when_the_prompts_end_or_at_the_first_key() {
        let rules = Rules { timeout: secs(50), num_digits: None, finish_on_key: Some('#') };
        let late = [(secs(79), '1')];
        assert_eq!(listen(&rules, secs(30), &late).digits, "1");
        let too_late = [(secs(80), '1')];
        assert_eq!(
            listen(&rules, secs(30), &too_late),
            Heard { after: secs(80), digits: String::new(), finished_on: None }
        );
        let slow = [(secs(10), '1'), (secs(61), '2')];
        assert_eq!(listen(&rules, secs(300), &slow).after, secs(60));
    }
}
