//! Activation codes: what a person types, and what a code brings about in its request.

use core::fmt;
use core::time::Duration;

use super::request::{ActivatedDevice, Enrollment};
use super::step::EnrollmentRefused;
use super::words::{EnrollmentState, NextStep};
use crate::time::Timestamp;

/// For how long an activation code can be used.
pub const ACTIVATION: Duration = Duration::from_mins(10);
/// Codes that one request may ask for.
pub const MAX_CODES: u8 = 10;

/// Digits and letters that no two people read differently: neither `0`, `1`, `I`, `L`, `O` nor `U`.
const ALPHABET: &[u8; 30] = b"23456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters before the check character: 54 bits.
const CHARACTERS: usize = 11;

/// An activation code to be typed: eleven characters and a check character. `Debug` masks it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TypedCode([u8; CHARACTERS + 1]);

/// A text that is no activation code: a character is wrong or missing, or two have changed places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the code was mistyped: it has 12 letters and digits, without 0, 1, I, L, O and U")]
pub struct MistypedCode;

impl TypedCode {
    /// The code of a number, of which the lowest 54 bits or so count.
    #[must_use]
    pub fn of(mut number: u128) -> Self {
        let mut code = [0; CHARACTERS + 1];
        for character in &mut code[..CHARACTERS] {
            *character = ALPHABET[usize::try_from(number % 30).unwrap_or(0)];
            number /= 30;
        }
        code[CHARACTERS] = check_character(&code[..CHARACTERS]);
        Self(code)
    }

    /// Reads what was typed. Small letters, blanks and hyphens make no difference.
    pub fn parse(text: &str) -> Result<Self, MistypedCode> {
        let mut code = [0; CHARACTERS + 1];
        let mut places = code.iter_mut();
        for character in text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
            let place = places.next().ok_or(MistypedCode)?;
            *place = character.to_ascii_uppercase();
        }
        let is_whole = places.next().is_none() && code.iter().all(|byte| ALPHABET.contains(byte));
        if is_whole && check_character(&code[..CHARACTERS]) == code[CHARACTERS] {
            Ok(Self(code))
        } else {
            Err(MistypedCode)
        }
    }

    /// Its characters, without hyphens.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// As it is shown: three groups of four.
impl fmt::Display for TypedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if index > 0 && index.is_multiple_of(4) {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*byte))?;
        }
        Ok(())
    }
}

impl fmt::Debug for TypedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedCode(***)")
    }
}

/// ISO/IEC 7064, hybrid system, here MOD 31,30: finds every character that is wrong, and nearly all that have changed places.
fn check_character(characters: &[u8]) -> u8 {
    let value = |character: &u8| ALPHABET.iter().position(|known| known == character).unwrap_or(0);
    let product = characters.iter().map(value).fold(30, |product, value| {
        let sum = (product + value) % 30;
        let sum = if sum == 0 { 30 } else { sum };
        sum * 2 % 31
    });
    ALPHABET[(31 - product) % 30]
}

/// Also where a device was activated and no test is under way: it may be the wrong one, or have lost its key. It is let go.
pub(super) fn new_code(next: &mut Enrollment, now: Timestamp) -> Result<(), EnrollmentRefused> {
    let respond_by = next.request.respond_by;
    let is_due = matches!(
        next.live.next_step,
        Some(NextStep::ActivateDevice | NextStep::BeginTest | NextStep::RetryTest)
    );
    let activation =
        next.live.activation.as_mut().filter(|activation| is_due && activation.counter < MAX_CODES);
    let activation = activation.ok_or(EnrollmentRefused::NotNow)?;
    activation.counter += 1;
    activation.expires_at = now.plus(ACTIVATION).min(respond_by);
    activation.device = None;
    next.live.state = EnrollmentState::PendingUserData;
    next.live.next_step = Some(NextStep::ActivateDevice);
    Ok(())
}

pub(super) fn activated(
    next: &mut Enrollment,
    (counter, device): (u8, &ActivatedDevice),
    now: Timestamp,
) -> Result<(), EnrollmentRefused> {
    let activation = next.live.activation.as_mut().ok_or(EnrollmentRefused::NotNow)?;
    if activation.counter != counter || (now > activation.expires_at && activation.device.is_none()) {
        return Err(EnrollmentRefused::CodeOver);
    }
    if activation.device.is_some() {
        return Err(EnrollmentRefused::CodeUsed);
    }
    activation.device = Some(device.clone());
    next.live.state = EnrollmentState::AwaitingTest;
    next.live.next_step = Some(NextStep::BeginTest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString};

    use super::*;

    #[test]
    fn a_code_is_read_as_it_is_shown_and_as_people_type_it() {
        let code = TypedCode::of(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let shown = code.to_string();
        assert_eq!(shown.len(), 14);
        for typed in [shown.clone(), shown.to_lowercase(), shown.replace('-', ""), shown.replace('-', " ")] {
            assert_eq!(TypedCode::parse(&typed), Ok(code), "{typed}");
        }
        assert_eq!(format!("{code:?}"), "TypedCode(***)");
    }

    #[test]
    fn every_wrong_character_is_found() {
        let shown = TypedCode::of(987_654_321_012_345).to_string().replace('-', "");
        for place in 0..shown.len() {
            for other in ALPHABET.iter().map(|byte| char::from(*byte)) {
                let mut typed: String = shown.clone();
                typed.replace_range(place..=place, &other.to_string());
                assert_eq!(TypedCode::parse(&typed).is_ok(), typed == shown, "{typed}");
            }
        }
    }

    #[test]
    fn what_is_too_short_too_long_or_of_other_characters_is_no_code() {
        let shown = TypedCode::of(42).to_string();
        for typed in
            ["", "-", &shown[1..], &format!("{shown}2"), &shown.replace(&shown[..1], "O"), "ÄÖÜÄÖÜÄÖÜÄÖÜ"]
        {
            assert_eq!(TypedCode::parse(typed), Err(MistypedCode), "{typed}");
        }
    }
}
