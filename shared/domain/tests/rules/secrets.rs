//! What holds for any PIN and any answer.

use fleet_domain::{ANSWER_BYTES_MAX, NormalAnswer, PinFlaw, PinRules, weak_pin};
use proptest::prelude::*;

fn rules() -> PinRules {
    PinRules { min_digits: 4, ..PinRules::default() }
}

/// The digits from the first one on, each this much further than the one before.
fn counted(first: u8, step: u8, length: usize) -> String {
    let digits = std::iter::successors(Some(first), |digit| Some((digit + step) % 10));
    digits.take(length).map(|digit| char::from(b'0' + digit)).collect()
}

proptest! {
    #[test]
    fn no_text_is_too_much_for_the_rules(pin in any::<String>(), number in any::<String>()) {
        let flaw = weak_pin(&pin, &rules(), &[&number]);
        let is_pin = (4..=16).contains(&pin.len()) && pin.bytes().all(|b| b.is_ascii_digit());
        prop_assert!(is_pin || flaw.is_some());
    }

    #[test]
    fn every_sequence_is_found(first in 0..10_u8, step in 1..10_u8, length in 4..=16_usize) {
        let flaw = weak_pin(&counted(first, step, length), &rules(), &[]);
        prop_assert_eq!(flaw, Some(PinFlaw::Sequence));
    }

    #[test]
    fn every_repeated_block_is_found(block in "[0-9]{1,4}", times in 2..=4_usize) {
        let pin = block.repeat(times);
        prop_assume!(pin.len() >= 4);
        prop_assert!(weak_pin(&pin, &rules(), &[]).is_some(), "{}", pin);
    }

    #[test]
    fn every_part_of_an_own_number_is_found(number in "[1-9][0-9]{7,14}", from in 0..5_usize, length in 4..=8_usize) {
        let part = number[from..].chars().take(length).collect::<String>();
        prop_assume!(part.len() >= 4);
        let e164 = format!("+{number}");
        prop_assert!(weak_pin(&part, &rules(), &[&e164]).is_some());
        let backwards: String = part.chars().rev().collect();
        prop_assert!(weak_pin(&backwards, &rules(), &[&e164]).is_some());
    }

    #[test]
    fn an_answer_normalised_again_is_the_same(answer in any::<String>()) {
        if let Ok(once) = NormalAnswer::of(&answer) {
            prop_assume!(once.reveal().len() <= ANSWER_BYTES_MAX);
            let again = NormalAnswer::of(once.reveal()).unwrap();
            prop_assert_eq!(again.reveal(), once.reveal());
            prop_assert!(!once.reveal().starts_with(' ') && !once.reveal().ends_with(' '));
        }
    }

    #[test]
    fn case_and_spare_white_space_make_no_other_answer(words in prop::collection::vec("[a-zà-öß]{1,8}", 1..5)) {
        let plain = NormalAnswer::of(&words.join(" ")).unwrap();
        let loud = NormalAnswer::of(&format!("\t{} ", words.join("  ").to_uppercase())).unwrap();
        prop_assert_eq!(plain.reveal(), loud.reveal());
    }
}
