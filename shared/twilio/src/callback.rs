//! The webhooks of a call, read from their decoded form fields. Unknown fields are ignored, absent and empty ones are alike.

use std::time::Duration;

use fleet_domain::Timestamp;
use fleet_settings::SecretString;

use crate::answer::rfc2822;
use crate::status::{AnsweredBy, CallStatus};

/// A status callback: how a call stands now. Callbacks may arrive twice, late and in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCallback {
    /// The carrier's id of the call.
    pub call_sid: String,
    /// How the call stands; none for a word that is not known.
    pub status: Option<CallStatus>,
    /// Place of this callback among those fired for the call, from 0.
    pub sequence_number: Option<u32>,
    /// When the status changed, to the second, by the carrier's clock.
    pub timestamp: Option<Timestamp>,
    /// How long the call lasted; when it is over.
    pub duration: Option<Duration>,
    /// SIP response of the far end; when the call is over.
    pub sip: Option<u16>,
    /// Who answered, where machine detection ran.
    pub answered_by: Option<AnsweredBy>,
}

impl StatusCallback {
    /// Reads the form fields. `None` without a `CallSid`.
    pub fn from_fields(fields: &[(String, String)]) -> Option<Self> {
        Some(Self {
            call_sid: first(fields, "CallSid")?.to_owned(),
            status: first(fields, "CallStatus").and_then(CallStatus::parse),
            sequence_number: number(fields, "SequenceNumber"),
            timestamp: first(fields, "Timestamp").and_then(rfc2822),
            duration: number(fields, "CallDuration").map(Duration::from_secs),
            sip: number(fields, "SipResponseCode"),
            answered_by: first(fields, "AnsweredBy").map(AnsweredBy::parse),
        })
    }
}

/// A request for TwiML: the call was answered, keys were pressed or not, or a document failed (`FallbackUrl`).
#[derive(Debug, Clone)]
pub struct VoiceRequest {
    /// The carrier's id of the call.
    pub call_sid: String,
    /// How the call stands; none for a word that is not known.
    pub status: Option<CallStatus>,
    /// What was keyed before the finishing key: a PIN or a number, so a secret. None when nothing was keyed but, at most, that key.
    pub digits: Option<SecretString>,
    /// The key that ended the entry. None when the entry was full or its time was over.
    pub finished_on_key: Option<char>,
    /// Who answered, where machine detection ran.
    pub answered_by: Option<AnsweredBy>,
    /// Why the last document failed; in requests to the `FallbackUrl`.
    pub error_code: Option<u32>,
}

impl VoiceRequest {
    /// Reads the form or query fields. `None` without a `CallSid`.
    pub fn from_fields(fields: &[(String, String)]) -> Option<Self> {
        Some(Self {
            call_sid: first(fields, "CallSid")?.to_owned(),
            status: first(fields, "CallStatus").and_then(CallStatus::parse),
            digits: first(fields, "Digits").map(SecretString::from),
            finished_on_key: first(fields, "FinishedOnKey").and_then(|key| key.chars().next()),
            answered_by: first(fields, "AnsweredBy").map(AnsweredBy::parse),
            error_code: number(fields, "ErrorCode"),
        })
    }
}

/// The fields that say what was keyed.
const ENTRY: [&str; 2] = ["Digits", "FinishedOnKey"];

/// Whether what was keyed may be hidden in other fields. A signature covers names and values in a row, without a mark
/// between them, so it holds as well for `Dig=its42` as for `Digits=42`, which would make a lone pound key of `42#`.
pub fn hides_entry(fields: &[(String, String)]) -> bool {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_unstable();
    let signed: String = sorted.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect();
    ENTRY
        .iter()
        .any(|entry| signed.matches(entry).count() != fields.iter().filter(|(name, _)| name == entry).count())
}

/// The first field of this name that is not empty.
fn first<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

fn number<N: std::str::FromStr>(fields: &[(String, String)], name: &str) -> Option<N> {
    first(fields, name)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_settings::ExposeSecret;

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_last_callback_is_read_whole() {
        let callback = StatusCallback::from_fields(&fields(&[
            ("CallSid", "CA0000000000000000000000000000000B"),
            ("AccountSid", "AC00000000000000000000000000000001"),
            ("CallStatus", "no-answer"),
            ("Timestamp", "Thu, 18 Jun 2026 09:00:01 +0000"),
            ("CallbackSource", "call-progress-events"),
            ("SequenceNumber", "3"),
            ("CallDuration", "17"),
            ("Duration", "1"),
            ("SipResponseCode", "487"),
            ("AnsweredBy", "machine_start"),
            ("ToZip", ""),
        ]));
        let expected = StatusCallback {
            call_sid: "CA0000000000000000000000000000000B".into(),
            status: Some(CallStatus::NoAnswer),
            sequence_number: Some(3),
            timestamp: Some(Timestamp::from_micros(1_781_773_201_000_000)),
            duration: Some(Duration::from_secs(17)),
            sip: Some(487),
            answered_by: Some(AnsweredBy::Machine),
        };
        assert_eq!(callback, Some(expected));
    }

    #[test]
    fn only_the_call_sid_is_needed_and_nonsense_counts_as_absent() {
        let callback = StatusCallback::from_fields(&fields(&[
            ("CallSid", "CA1"),
            ("CallStatus", "warming-up"),
            ("Timestamp", "yesterday"),
            ("SequenceNumber", "-1"),
            ("CallDuration", ""),
            ("SipResponseCode", "99999"),
        ]));
        let expected = StatusCallback {
            call_sid: "CA1".into(),
            status: None,
            sequence_number: None,
            timestamp: None,
            duration: None,
            sip: None,
            answered_by: None,
        };
        assert_eq!(callback, Some(expected));
        assert_eq!(StatusCallback::from_fields(&fields(&[("CallStatus", "ringing")])), None);
        assert_eq!(StatusCallback::from_fields(&fields(&[("CallSid", "")])), None);
    }

    #[test]
    fn an_entry_is_told_from_a_lone_key_and_from_silence() {
        for (pairs, digits, key) in [
            (&[("Digits", "1234"), ("FinishedOnKey", "#")][..], Some("1234"), Some('#')),
            (&[("Digits", "12"), ("FinishedOnKey", "")], Some("12"), None),
            (&[("Digits", ""), ("FinishedOnKey", "#")], None, Some('#')),
            (&[("FinishedOnKey", "#")], None, Some('#')),
            (&[("Digits", ""), ("FinishedOnKey", ""), ("msg", "Gather End")], None, None),
            (&[], None, None),
        ] {
            let mut all = fields(pairs);
            all.push(("CallSid".into(), "CA1".into()));
            let request = VoiceRequest::from_fields(&all).unwrap();
            assert_eq!(request.digits.as_ref().map(ExposeSecret::expose_secret), digits, "{pairs:?}");
            assert_eq!(request.finished_on_key, key, "{pairs:?}");
        }
    }

    #[test]
    fn an_entry_that_other_fields_hide_is_found() {
        for (pairs, hides) in [
            (&[("CallerZip", "27601"), ("Digits", "42"), ("FinishedOnKey", "#")][..], false),
            (&[("Digits", ""), ("FinishedOnKey", "#"), ("msg", "Gather End")], false),
            (&[("ErrorUrl", "https://mfa.example.org/twilio/calls/a/b/1/c/input/1")], false),
            (&[("Digits", "42"), ("Digits", "42"), ("FinishedOnKey", "#")], false),
            (&[("Digits42", ""), ("FinishedOnKey", "#")], true),
            (&[("Dig", "its42"), ("FinishedOnKey", "#")], true),
            (&[("CallerZip", "27601Digits42"), ("FinishedOnKey", "#")], true),
            (&[("CallerZip27601Digits42", ""), ("FinishedOnKey", "#")], true),
            (&[("Digits", ""), ("DirectionFinishedOnKey#", "")], true),
        ] {
            assert_eq!(hides_entry(&fields(pairs)), hides, "{pairs:?}");
        }
    }

    #[test]
    fn a_fallback_request_tells_its_error() {
        let request = VoiceRequest::from_fields(&fields(&[
            ("CallSid", "CA1"),
            ("ErrorCode", "11200"),
            ("ErrorUrl", "x"),
        ]));
        assert_eq!(request.unwrap().error_code, Some(11_200));
    }

    #[test]
    fn debug_output_shows_no_digits() {
        let request =
            VoiceRequest::from_fields(&fields(&[("CallSid", "CA1"), ("Digits", "428913")])).unwrap();
        assert!(!format!("{request:?}").contains("428913"));
    }
}
