//! Points in time (microseconds since the Unix epoch) in the forms that the providers write them.

use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

fn at(micros: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// `Tue, 24 Nov 2026 10:15:00 +0000`, as Twilio writes dates.
pub(crate) fn rfc2822(micros: i64) -> String {
    at(micros - micros.rem_euclid(1_000_000)).format(&Rfc2822).unwrap_or_default()
}

/// `2026-11-24T10:15:00.25Z`, as the log writes times.
pub(crate) fn rfc3339(micros: i64) -> String {
    at(micros).format(&Rfc3339).unwrap_or_default()
}

/// `2026-11-24`, the day in UTC.
pub(crate) fn day(micros: i64) -> String {
    at(micros).date().to_string()
}

/// Microseconds of an RFC 3339 time; `None` when it is not one.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    i64::try_from(nanos / 1_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_providers_forms() {
        let instant = 1_795_428_900_250_000;
        assert_eq!(rfc2822(instant), "Mon, 23 Nov 2026 10:15:00 +0000");
        assert_eq!(rfc3339(instant), "2026-11-23T10:15:00.25Z");
        assert_eq!(day(instant), "2026-11-23");
        assert_eq!(parse_rfc3339("2026-11-23T10:15:00.25Z"), Some(instant));
        assert_eq!(parse_rfc3339("2026-11-23"), None);
    }
}
