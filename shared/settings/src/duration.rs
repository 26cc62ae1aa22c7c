//! Durations as people write them: a whole number and `ms`, `s`, `m`, `h` or `d`.
//!
//! A module for `#[serde(with = "fleet_settings::duration")]`.

use std::{fmt, time::Duration};

use serde::{Deserializer, Serializer, de::Error, de::Visitor};

/// Units and their milliseconds, smallest first.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const FORM: &str = "a duration such as 250ms, 2s, 5m, 1h or 1d";

/// The text is no duration, or one of more than 2^64 milliseconds.
#[derive(Clone, Copy, Debug, thiserror::Error, Eq, PartialEq)]
#[error("expected {FORM}")]
pub struct NotADuration;

/// Reads a duration such as `250ms`.
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit()).ok_or(NotADuration)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| NotADuration)?;
    let (_, unit_millis) = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or(NotADuration)?;
    number.checked_mul(*unit_millis).map(Duration::from_millis).ok_or(NotADuration)
}

/// Writes a duration in the largest unit that is exact; parts of a millisecond are cut off.
pub fn format(duration: Duration) -> String {
    let millis = duration.as_millis();
    let exact = UNITS.iter().rev().find(|(_, unit)| millis != 0 && millis.is_multiple_of(u128::from(*unit)));
    exact.map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", millis / u128::from(*unit)))
}

/// For serde.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// For serde.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(Text)
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORM)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis, written) in [
            ("250ms", 250, "250ms"),
            ("2s", 2000, "2s"),
            (" 90s ", 90_000, "90s"),
            ("120 s", 120_000, "2m"),
            ("5m", 300_000, "5m"),
            ("48h", 172_800_000, "2d"),
            ("0ms", 0, "0s"),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(format(duration), written);
        }
    }

    #[test]
    fn other_texts_are_no_durations() {
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "5 minutes",
            "5sec",
            "1m30s",
            "99999999999999999999s",
            "18446744073709551615s",
        ] {
            assert_eq!(parse(text), Err(NotADuration), "{text}");
        }
    }
}
