//! Each form reads what its schema admits, and nothing else.

use fleet_domain::{ChallengeId, PortalName, Target, Timestamp, UserId};

use super::*;
use crate::asked::NumberMatch;

const UUID: &str = "5f0c9a52-1d7e-4b36-9a41-c2e8d07b6f13";
const UUID7: &str = "01a20ce4-05c0-7c3f-9d2e-4b5a6c7d8e9f";

fn agree<T: Form>(good: &[&str], bad: &[&str]) {
    let schema = jsonschema::options().should_validate_formats(true).build(&T::schema().to_value()).unwrap();
    for text in good {
        let read = T::parse(text).unwrap_or_else(|| panic!("{text:?} {}", T::rule()));
        assert!(schema.is_valid(&(*text).into()), "{text:?} by its schema");
        let written = Shown(&read).to_string();
        assert!(T::parse(&written).is_some(), "{written:?} is not read back");
    }
    for text in bad {
        assert!(T::parse(text).is_none(), "{text:?}");
        assert!(!schema.is_valid(&(*text).into()), "{text:?} by its schema");
    }
}

#[test]
fn ids_and_names_are_read_as_their_schemas_say() {
    agree::<ChallengeId>(
        &[UUID7],
        &["", UUID, &UUID7.to_uppercase(), &UUID7.replace('-', ""), &format!("{UUID7}\n")],
    );
    agree::<AnyUuid>(
        &[UUID7, UUID, &UUID.to_uppercase()],
        &["", &UUID[1..], &format!("{{{UUID}}}"), &UUID.replace('-', "_")],
    );
    agree::<Target>(
        &["primary", "backup", UUID, &UUID.to_uppercase()],
        &["", "Primary", "primary ", "office", &UUID[1..]],
    );
    agree::<PortalName>(&["operations", "-", "a2"], &["", "Operations", "a.b", "a/b", &"x".repeat(33)]);
    agree::<UserId>(
        &["avery.lee", "日本語", &"😀".repeat(128)],
        &["", "avery lee", "a\u{a0}b", "a\u{3000}b", "a\u{2028}b", "a\u{7f}b", "a\0b", &"😀".repeat(129)],
    );
    agree::<FieldName>(&["office", "floor_4", "_"], &["", "Office", "floor-4", "ö", &"x".repeat(33)]);
}

#[test]
fn texts_are_read_as_their_schemas_say() {
    agree::<Label<0, 4>>(
        &["", "a b", "日本語", "😀😀😀😀", "a\u{200f}b"],
        &["abcde", "a\nb", "a\u{9b}b", "\u{202e}b", "\u{2066}"],
    );
    agree::<Label<1, 4>>(&["a"], &["", "abcde"]);
    agree::<Locale>(
        &["en", "en-US", "zh-Hant-TW", "sl-rozaj-biske-1994", "es-419"],
        &[
            "",
            "e",
            "en_US",
            "en-",
            "-en",
            "en--US",
            "12",
            "en-abcdefghi",
            "en-aaaaaaaa-bbbbbbbb-cccccccc-dddddd",
        ],
    );
    agree::<ClientIp>(
        &["198.51.100.24", "0.0.0.0", "::", "2001:db8::7", "::ffff:198.51.100.24"],
        &[
            "",
            "198.51.100",
            "198.51.100.256",
            "198.51.100.24:443",
            "[::1]",
            "2001:db8::7::1",
            "fe80::1%eth0",
            "localhost",
        ],
    );
    agree::<NumberMatch>(&["47", "004711"], &["", "4", "4711471", "4a", " 47", "４７", "-1"]);
    agree::<SpecVersion>(&["1.0"], &["", "1", "1.1"]);
    agree::<JsonContent>(&["application/json"], &["", "application/xml", "application/cloudevents+json"]);
}

#[test]
fn times_are_read_as_their_schema_says() {
    agree::<Timestamp>(
        &[
            "2026-11-24T09:30:00Z",
            "2026-11-24t09:30:00.5z",
            "2026-11-24T09:30:00.123456789123+05:30",
            "0001-01-01T00:00:00-12:00",
            "9999-12-31T23:59:59.999Z",
            "2028-02-29T00:00:00Z",
        ],
        &[
            "",
            "2026-11-24",
            "2026-11-24T09:30:00",
            "2026-11-24 09:30:00Z",
            "2026-11-24T09:30Z",
            "2026-13-24T09:30:00Z",
            "2026-02-29T09:30:00Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24T09:30:00.Z",
            "2026-11-24T09:30:00+0530",
            "2026-11-24T09:30:00+24:00",
            "2026-11-24T09:30:00Z ",
        ],
    );
}

#[test]
fn traces_are_read_as_their_schema_says() {
    agree::<Traceparent>(
        &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
        &[
            "",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ],
    );
}

#[test]
fn words_are_read_as_their_schemas_say() {
    fn all<T: Form>(words: &[&str]) {
        agree::<T>(words, &["", "Voice", "pending ", "other word"]);
    }
    macro_rules! all {
        ($($word:ty),+) => {$(
            all::<$word>(&<$word>::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>());
        )+};
    }
    all!(
        Assurance,
        AttemptState,
        CallerIdStep,
        ChallengeResult,
        Channel,
        Detection,
        Progress,
        Purpose,
        Reason,
        Refusal
    );
    all!(crate::envelope::EventType);
}

#[test]
fn a_time_is_written_in_utc_with_milliseconds() {
    let written = |micros| Shown(&Timestamp::from_micros(micros)).to_string();
    assert_eq!(written(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(written(1_795_512_600_123_999), "2026-11-24T09:30:00.123Z");
    assert_eq!(written(-1), "1969-12-31T23:59:59.999Z");
    assert_eq!(written(i64::MIN), "0000-01-01T00:00:00.000Z");
    assert_eq!(written(i64::MAX), "9999-12-31T23:59:59.999Z");
}

#[test]
fn a_time_is_read_with_its_offset_to_the_microsecond() {
    let read = |text| <Timestamp as Form>::parse(text).map(Timestamp::as_micros);
    assert_eq!(read("2026-11-24T09:30:00.1239999Z"), Some(1_795_512_600_123_999));
    assert_eq!(read("2026-11-24T15:00:00+05:30"), Some(1_795_512_600_000_000));
    assert_eq!(read("2016-12-31T23:59:60Z"), Some(1_483_228_799_999_999));
}
