//! The form of points in time: RFC 3339, read with any offset, written in UTC with milliseconds.

use core::fmt;

use fleet_domain::Timestamp;
use schemars::{Schema, json_schema};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Form;

impl Form for Timestamp {
    fn rule() -> String {
        "must be a time with its offset (RFC 3339), such as 2026-09-21T14:13:20.123Z".into()
    }

    fn parse(text: &str) -> Option<Self> {
        // The library takes any character between date and time; the grammar of RFC 3339 has only this one.
        if !matches!(text.as_bytes().get(10), Some(b'T' | b't')) {
            return None;
        }
        let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
        i64::try_from(nanos.div_euclid(1_000)).ok().map(Self::from_micros)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = *b"0000-00-00T00:00:00.000Z";
        write_utc(*self, &mut text);
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }

    fn schema() -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
        })
    }
}

/// Fills in the digits of an RFC 3339 time in UTC with milliseconds; a time outside of the years 0 to 9999
/// becomes the nearest one inside.
fn write_utc(at: Timestamp, text: &mut [u8; 24]) {
    const FIRST: i64 = -62_167_219_200_000_000;
    const LAST: i64 = 253_402_300_799_999_999;
    let micros = i128::from(at.as_micros().clamp(FIRST, LAST));
    let at = OffsetDateTime::from_unix_timestamp_nanos(micros * 1_000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second, millis) = at.to_hms_milli();
    write_digits(&mut text[0..4], at.year().unsigned_abs());
    write_digits(&mut text[5..7], u8::from(at.month()).into());
    write_digits(&mut text[8..10], at.day().into());
    write_digits(&mut text[11..13], hour.into());
    write_digits(&mut text[14..16], minute.into());
    write_digits(&mut text[17..19], second.into());
    write_digits(&mut text[20..23], millis.into());
}

fn write_digits(place: &mut [u8], mut value: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}
