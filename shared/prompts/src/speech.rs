//! How long it takes to say a text, and what of a text can be said at all.

use std::time::Duration;

/// The longest that a call may say in one go.
pub const LONGEST: Duration = Duration::from_secs(20);
/// The longest part of a portal's title that is spoken, in characters.
pub const LONGEST_TITLE: usize = 80;

/// 150 words a minute, which is slow for a synthetic voice.
const WORD: Duration = Duration::from_millis(400);
/// 900 characters a minute: words of five letters at that pace, which is what long words are measured by.
const CHARACTERS_PER_SECOND: u32 = 15;
/// The breath after a sentence.
const BREATH: Duration = Duration::from_millis(300);

/// About how long a synthetic voice takes for a text: 150 words or 900 characters a minute, whichever is slower, and 300 ms
/// after each sentence. A digit counts as a word, since digits may be said one by one, and so does a character of a script
/// that writes no spaces.
#[must_use]
pub fn speaking_time(text: &str) -> Duration {
    let alone = |c: &char| c.is_ascii_digit() || *c >= '\u{2e80}';
    let words = text
        .split_whitespace()
        .filter(|word| word.chars().any(|c| c.is_alphanumeric() && !alone(&c)))
        .count();
    let words = count(words + text.chars().filter(alone).count());
    let sentences = count(text.chars().filter(|c| matches!(c, '.' | '!' | '?' | '。')).count());
    let by_words = WORD.saturating_mul(words);
    let by_characters = Duration::from_secs(count(text.chars().count()).into()) / CHARACTERS_PER_SECOND;
    by_words.max(by_characters) + BREATH.saturating_mul(sentences)
}

/// More than 4 billion of anything takes too long in any case.
fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether a character can be said: not what XML 1.0 cannot hold, escaped or not, and no line break.
pub(crate) fn is_speakable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_long_words_digits_and_scripts_without_spaces_take_their_time() {
        for (text, ms) in [
            ("", 0),
            ("one two three four five", 2_000),
            ("otorrinolaringología", 1_333),
            ("0 1 2 3 4", 2_000),
            ("01234", 2_000),
            ("press 9.", 1_100),
            ("请按井号键", 2_000),
        ] {
            assert_eq!(speaking_time(text).as_millis(), ms, "{text}");
        }
    }
}
