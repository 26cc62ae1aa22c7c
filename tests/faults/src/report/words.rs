//! Numbers, durations and foreign text as they are written into the report.

use std::time::Duration;

/// `12,345`.
pub(super) fn number(value: u64) -> String {
    grouped(&value.to_string())
}

/// The same for digits, which may have a fraction.
pub(super) fn grouped(digits: &str) -> String {
    let whole = digits.find('.').unwrap_or(digits.len());
    let mut grouped = String::with_capacity(digits.len() + whole / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && index < whole && (whole - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count for a figure or a rate.
#[expect(clippy::cast_precision_loss, reason = "what is counted here is far below 2^52")]
pub(super) fn float(value: u64) -> f64 {
    value as f64
}

/// `1 kill`, `2 kills`.
pub(super) fn count(value: u64, one: &str) -> String {
    format!("{} {one}{}", number(value), if value == 1 { "" } else { "s" })
}

/// In the unit that reads best: `0.8 ms`, `340 ms`, `4.2 s`, `12 min 5 s`, `1 h 3 min`. Whole seconds and minutes
/// stand alone.
pub(super) fn duration(value: Duration) -> String {
    // Rounded first, or 59.96 s would read as 60.0 s.
    let tenths = (value.as_millis() + 50) / 100;
    let seconds = (value.as_millis() + 500) / 1_000;
    match value.as_millis() {
        0 if value.is_zero() => "0 s".to_owned(),
        0..=9 => format!("{:.1} ms", value.as_secs_f64() * 1_000.0),
        millis @ 10..=999 => format!("{millis} ms"),
        _ if tenths < 600 && tenths.is_multiple_of(10) => format!("{} s", tenths / 10),
        _ if tenths < 600 => format!("{}.{} s", tenths / 10, tenths % 10),
        _ if seconds < 3_600 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ if seconds < 3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ if seconds % 3_600 < 60 => format!("{} h", seconds / 3_600),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// A percentage with two significant digits below ten.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.1..1.0 => format!("{percent:.2} %"),
        1.0..10.0 => format!("{percent:.1} %"),
        10.0.. => format!("{percent:.0} %"),
        _ => format!("{percent:.4} %"),
    }
}

/// For text of one line in Markdown, in a table too: nothing in it is taken for markup.
pub(super) fn markdown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&' => {
                safe.extend(['\\', character]);
            }
            control if control.is_control() => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

/// For text and attributes in XML.
pub(super) fn xml(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // XML has no way to write most of these, nor these two non-characters.
            control if control.is_control() => safe.push(' '),
            '\u{FFFE}' | '\u{FFFF}' => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

/// For a file's name and a heading's anchor.
pub(super) fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let words =
        lower.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-");
    if slug.is_empty() { "scenario".to_owned() } else { slug.chars().take(60).collect() }
}

/// At most `most` characters, the last an ellipsis where some are missing.
pub(super) fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}
