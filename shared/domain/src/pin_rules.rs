//! Which PINs may be set: how long, and none that an attacker tries first.
//!
//! What makes a PIN bad is told as a closed word whose meaning is a sentence for the person; neither quotes the PIN.
//! Whether a PIN was used before is not decided here, since of earlier ones only hashes are left.

use alloc::string::String;
use alloc::vec::Vec;

use crate::common_pins::COMMON_PINS;
use crate::portal::InvalidPolicy;
use crate::words::words;

/// A longer text is too long, whatever the rules say, and is not looked at.
const LONGEST: usize = 16;
/// A PIN of fewer digits could be mistaken for a command.
const SHORTEST: usize = 4;
/// How many digits of an own number in a row give a PIN away, if it has not more than twice as many.
const OWN_DIGITS: usize = 4;
/// How many further PINs a portal may refuse.
const REFUSED_MOST: usize = 1000;

/// A portal's rules for new PINs. Stored as JSON; a field that is absent has its default.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PinRules {
    /// The fewest digits of a PIN, 4 to 16.
    pub min_digits: u8,
    /// The most digits of a PIN, `min_digits` to 16.
    pub max_digits: u8,
    /// How many earlier PINs can't be used again, 0 to 24.
    pub history: u8,
    /// PINs that are refused besides the common ones, such as the organisation's own numbers: at most 1000 of 4 to 16 digits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

impl Default for PinRules {
    fn default() -> Self {
        Self { min_digits: 6, max_digits: 16, history: 5, refused: Vec::new() }
    }
}

impl PinRules {
    /// Checks every range that the fields promise.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        let digits = SHORTEST..=LONGEST;
        let are_pins =
            |pins: &[String]| pins.iter().all(|pin| digits.contains(&pin.len()) && digits_of(pin).is_some());
        let rules = [
            (digits.contains(&usize::from(self.min_digits)), "pin_rules.min_digits", "4 to 16 digits"),
            (
                (self.min_digits..=16).contains(&self.max_digits),
                "pin_rules.max_digits",
                "min_digits to 16 digits",
            ),
            (self.history <= 24, "pin_rules.history", "0 to 24 earlier PINs"),
            (
                self.refused.len() <= REFUSED_MOST && are_pins(&self.refused),
                "pin_rules.refused",
                "a list of at most 1000 PINs, each of 4 to 16 digits",
            ),
        ];
        match rules.into_iter().find(|(holds, _, _)| !holds) {
            None => Ok(()),
            Some((_, field, allowed)) => Err(InvalidPolicy { field, allowed }),
        }
    }
}

words! {
    /// Why a PIN may not be set.
    PinFlaw {
        /// A PIN has only the digits 0 to 9: leave out everything else.
        NotDigits = 1 "not_digits",
        /// This PIN is too short: choose one with more digits.
        TooShort = 2 "too_short",
        /// This PIN is too long: choose one with fewer digits.
        TooLong = 3 "too_long",
        /// This PIN is one digit again and again: choose one with different digits.
        Repeated = 4 "repeated",
        /// The digits of this PIN count up or down: choose digits that do not follow each other.
        Sequence = 5 "sequence",
        /// This PIN is a short pattern again and again: choose digits that do not repeat.
        Pattern = 6 "pattern",
        /// Many people use this PIN, or it is a year or a date: choose one that nobody would guess.
        Common = 7 "common",
        /// This PIN has digits of your own phone number in a row: choose digits that nobody can look up.
        OwnNumber = 8 "own_number",
    }
}

/// What is wrong with a PIN, if anything is. `own_numbers` are the person's phone numbers and extensions, old and new,
/// in any form that has their digits.
///
/// The answer is the same for every person but for `own_number`, and takes a bounded time whatever the texts are.
#[must_use]
pub fn weak_pin(pin: &str, rules: &PinRules, own_numbers: &[&str]) -> Option<PinFlaw> {
    if pin.len() > LONGEST && pin.bytes().all(|b| b.is_ascii_digit()) {
        return Some(PinFlaw::TooLong);
    }
    let Some(digits) = digits_of(pin) else { return Some(PinFlaw::NotDigits) };
    if digits.len() < usize::from(rules.min_digits) {
        return Some(PinFlaw::TooShort);
    }
    if digits.len() > usize::from(rules.max_digits) {
        return Some(PinFlaw::TooLong);
    }
    let checks: [(PinFlaw, bool); 5] = [
        (PinFlaw::Repeated, has_period(&digits, 1)),
        (PinFlaw::Sequence, counts(&digits)),
        (PinFlaw::Pattern, is_pattern(&digits)),
        (PinFlaw::Common, is_common(pin, &digits, rules)),
        (PinFlaw::OwnNumber, own_numbers.iter().any(|number| is_in(&digits, number))),
    ];
    checks.into_iter().find_map(|(flaw, holds)| holds.then_some(flaw))
}

/// The digits of a text that has nothing else.
fn digits_of(text: &str) -> Option<Vec<u8>> {
    if text.len() > LONGEST {
        return None;
    }
    text.bytes().map(|b| b.is_ascii_digit().then(|| b - b'0')).collect()
}

/// Whether every digit is the one that stands `period` before it.
fn has_period(digits: &[u8], period: usize) -> bool {
    digits.iter().zip(digits.iter().skip(period)).all(|(before, digit)| before == digit)
}

/// Whether the digits go up or down by one step all the way, past 9 and 0 as well: 890123, 987654, 246802.
fn counts(digits: &[u8]) -> bool {
    let mut steps = digits.windows(2).map(|pair| (pair[1] + 10 - pair[0]) % 10);
    steps.next().is_some_and(|first| first != 0 && steps.all(|step| step == first))
}

/// Whether the digits are a block again and again (121212, 123123, 1231231), or a sequence whose digits come in groups
/// of the same size (112233).
fn is_pattern(digits: &[u8]) -> bool {
    let again = (2..=digits.len() / 2).any(|period| has_period(digits, period));
    let grouped = (2..=digits.len() / 2).filter(|size| digits.len().is_multiple_of(*size)).any(|size| {
        let groups = digits.chunks(size);
        let heads: Vec<u8> = groups.clone().map(|group| group[0]).collect();
        groups.into_iter().all(|group| has_period(group, 1)) && counts(&heads)
    });
    again || grouped
}

fn is_common(pin: &str, digits: &[u8], rules: &PinRules) -> bool {
    COMMON_PINS.binary_search(&pin).is_ok() || rules.refused.iter().any(|one| one == pin) || is_date(digits)
}

/// Four digits that are a year, or eight that are a day: a fifth of all PINs of four digits begins with 19.
fn is_date(digits: &[u8]) -> bool {
    let number = |part: &[u8]| part.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit));
    let is_year = |part: &[u8]| (1900..2100).contains(&number(part));
    let is_day = |one: &[u8], other: &[u8]| {
        let (one, other) = (number(one), number(other));
        ((1..=12).contains(&one) && (1..=31).contains(&other))
            || ((1..=31).contains(&one) && (1..=12).contains(&other))
    };
    match digits.len() {
        4 => is_year(digits),
        8 => {
            (is_year(&digits[..4]) && is_day(&digits[4..6], &digits[6..]))
                || (is_year(&digits[4..]) && is_day(&digits[..2], &digits[2..4]))
        }
        _ => false,
    }
}

/// Whether four digits in a row, or half of the PIN where that is more, stand in the number, forwards or backwards.
fn is_in(digits: &[u8], number: &str) -> bool {
    // E.164 has 15 digits, an extension at most 32.
    let mut number: Vec<u8> = number.bytes().filter(u8::is_ascii_digit).take(64).map(|b| b - b'0').collect();
    let run = OWN_DIGITS.max(digits.len().div_ceil(2));
    let shares = |number: &[u8]| digits.windows(run).any(|part| number.windows(run).any(|own| own == part));
    if shares(&number) {
        return true;
    }
    number.reverse();
    shares(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [&str; 2] = ["+19195550182", "4711"];

    fn flaw(pin: &str) -> Option<&'static str> {
        weak_pin(pin, &PinRules { min_digits: 4, ..PinRules::default() }, &OWN).map(PinFlaw::as_str)
    }

    #[test]
    fn each_bad_pin_has_its_word() {
        for (word, pins) in [
            ("not_digits", &["12a4", "１２３４", "1234 ", "12#4", "-123", "😀😀😀😀😀"][..]),
            ("too_short", &["", "1", "123"]),
            (
                "too_long",
                &["82508250825082508", "00000000000000000000000000000000000000000000000000000000000"],
            ),
            ("repeated", &["0000", "777777", "9999999999999999"]),
            ("sequence", &["1234", "4321", "890123", "321098", "246802", "1357", "0987654321", "369258"]),
            (
                "pattern",
                &["1212", "8282", "121212", "123123", "1231231", "112233", "998877", "555666", "58205820"],
            ),
            ("common", &["2580", "8675309", "159753", "1984", "2031", "19861010", "31122004"]),
            ("own_number", &["5550", "9195", "0182", "5018", "2810", "550183", "475501", "4711", "1174"]),
        ] {
            for pin in pins {
                assert_eq!(flaw(pin), Some(word), "{pin}");
            }
        }
    }

    #[test]
    fn other_pins_are_good() {
        for pin in ["8250", "7063", "6093", "824193", "90251847", "20871345", "8250933716402958"] {
            assert_eq!(flaw(pin), None, "{pin}");
        }
        assert_eq!(weak_pin("550182", &PinRules::default(), &[]), None, "nobody's number");
        assert_eq!(
            weak_pin("501829", &PinRules::default(), &["", "+", "182"]),
            None,
            "three digits are no hint"
        );
    }

    #[test]
    fn the_lengths_are_the_rules_own() {
        let rules = PinRules { min_digits: 6, max_digits: 8, ..PinRules::default() };
        for (pin, flaw) in
            [("82509", Some(PinFlaw::TooShort)), ("825093", None), ("825093716", Some(PinFlaw::TooLong))]
        {
            assert_eq!(weak_pin(pin, &rules, &[]), flaw, "{pin}");
        }
    }

    #[test]
    fn a_portal_can_refuse_further_pins() {
        let rules = PinRules { refused: alloc::vec!["824193".into()], ..PinRules::default() };
        assert_eq!(rules.check(), Ok(()));
        assert_eq!(weak_pin("824193", &rules, &[]), Some(PinFlaw::Common));
    }

    #[test]
    fn half_of_a_long_pin_may_be_chance() {
        let rules = PinRules::default();
        assert_eq!(weak_pin("8250937105550918", &rules, &OWN), None, "five of sixteen");
        assert_eq!(weak_pin("8250939195550118", &rules, &OWN), Some(PinFlaw::OwnNumber), "eight of sixteen");
    }

    #[test]
    fn rules_out_of_range_name_their_field() {
        let default = PinRules::default;
        assert_eq!(default().check(), Ok(()));
        for (field, rules) in [
            ("pin_rules.min_digits", PinRules { min_digits: 3, ..default() }),
            ("pin_rules.min_digits", PinRules { min_digits: 17, ..default() }),
            ("pin_rules.max_digits", PinRules { max_digits: 5, ..default() }),
            ("pin_rules.max_digits", PinRules { max_digits: 17, ..default() }),
            ("pin_rules.history", PinRules { history: 25, ..default() }),
            ("pin_rules.refused", PinRules { refused: alloc::vec!["12x4".into()], ..default() }),
            ("pin_rules.refused", PinRules { refused: alloc::vec!["123".into()], ..default() }),
        ] {
            assert_eq!(rules.check().unwrap_err().field, field);
        }
    }

    #[test]
    fn the_common_pins_are_in_order_and_have_only_digits() {
        assert!(COMMON_PINS.is_sorted_by(|a, b| a < b));
        assert!(COMMON_PINS.iter().all(|pin| pin.len() >= SHORTEST && digits_of(pin).is_some()));
    }

    #[test]
    fn each_flaw_tells_the_person_what_to_do() {
        for flaw in PinFlaw::ALL {
            let meaning = flaw.meaning();
            assert!(meaning.ends_with('.') && meaning.contains(": "), "{meaning}");
        }
    }
}
