//! What a call is created from: the parameters in Twilio's order of validation.

use std::time::Duration;

use super::{Credentials, Form, Permissions, TwilioError};
use crate::call::{Detection, Event, Hook, Order, Report, Source};

/// Parameters that the API has. Those that this simulator does not act on are accepted in silence.
const KNOWN: &str = "To From Url Twiml ApplicationSid Method FallbackUrl FallbackMethod StatusCallback \
    StatusCallbackMethod StatusCallbackEvent SendDigits Timeout TimeLimit MachineDetection MachineDetectionTimeout \
    MachineDetectionSpeechThreshold MachineDetectionSpeechEndThreshold MachineDetectionSilenceTimeout AsyncAmd \
    AsyncAmdStatusCallback AsyncAmdStatusCallbackMethod CallerId CallReason CallToken Record RecordingChannels \
    RecordingTrack RecordingStatusCallback RecordingStatusCallbackMethod RecordingStatusCallbackEvent Trim Byoc \
    SipAuthUsername SipAuthPassword ClientNotificationUrl RecordingConfigurationId Passports";

/// The number from which test credentials may call.
const TEST_FROM: &str = "+15005550006";

/// Whether the API has this parameter.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.split_whitespace().any(|known| known == name)
}

/// The event of a `StatusCallbackEvent`.
pub(super) fn event(word: &str) -> Option<Event> {
    Event::ALL.into_iter().find(|event| event.word() == word)
}

/// Reads an order, or says what Twilio says.
pub(super) fn read(
    form: &Form,
    permissions: &Permissions,
    credentials: Credentials,
) -> Result<Order, TwilioError> {
    let to = form.get("To").ok_or(TwilioError::of(21201))?;
    // No application exists in this account.
    let without = if form.get("ApplicationSid").is_some() { 21218 } else { 21205 };
    let source = source(form)?.ok_or(TwilioError::of(without))?;
    let from = form.get("From").ok_or(TwilioError::of(21213))?;
    let from = caller(from, permissions, credentials)?;
    let to = callee(to)?;
    if to == from {
        return Err(TwilioError::about(21211, &to));
    }
    if credentials == Credentials::Live {
        permissions.check_callee(&to)?;
    }
    let send_digits = form.get("SendDigits").unwrap_or("").to_owned();
    let playable = |key: char| matches!(key, '0'..='9' | 'A'..='D' | '#' | '*' | 'w' | 'W');
    if send_digits.len() > 32 || !send_digits.chars().all(playable) {
        return Err(TwilioError::of(21206));
    }
    Ok(Order {
        to,
        from,
        source,
        fallback: hook(form, "FallbackUrl", "FallbackMethod")?,
        status_callback: hook(form, "StatusCallback", "StatusCallbackMethod")?,
        events: events(form),
        send_digits,
        ring_timeout: seconds(form, "Timeout", 60, 600)?,
        time_limit: seconds(form, "TimeLimit", 14_400, 86_400)?,
        detection: detection(form)?,
    })
}

/// The document: a URL, or else a text.
pub(super) fn source(form: &Form) -> Result<Option<Source>, TwilioError> {
    if let Some(url) = hook(form, "Url", "Method")? {
        return Ok(Some(Source::Url(url)));
    }
    match form.get("Twiml") {
        Some(text) if text.chars().count() > 4_000 => Err(TwilioError::of(32018)),
        text => Ok(text.map(|text| Source::Text(text.to_owned()))),
    }
}

/// A webhook's URL and method. Host names must be real ones, without underscores.
pub(super) fn hook(form: &Form, url_name: &str, method_name: &str) -> Result<Option<Hook>, TwilioError> {
    let method = form.method(method_name)?;
    let Some(url) = form.get(url_name) else { return Ok(None) };
    let parsed = reqwest::Url::parse(url).map_err(|_| TwilioError::of(21205))?;
    let host_is_real = parsed.host_str().is_some_and(|host| !host.contains('_'));
    if !matches!(parsed.scheme(), "http" | "https") || !host_is_real {
        return Err(TwilioError::of(21205));
    }
    Ok(Some(Hook { url: url.to_owned(), method }))
}

/// Values that are no event are ignored with a warning; without any event, there is only the last one.
fn events(form: &Form) -> Vec<Event> {
    let events: Vec<_> = form.all("StatusCallbackEvent").filter_map(event).collect();
    if events.is_empty() { vec![Event::Completed] } else { events }
}

fn seconds(form: &Form, name: &str, default: u64, max: u64) -> Result<Duration, TwilioError> {
    let Some(text) = form.get(name) else { return Ok(Duration::from_secs(default)) };
    match text.parse() {
        Ok(seconds) if (1..=max).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        Ok(_) | Err(_) => Err(TwilioError::of(21208)),
    }
}

fn detection(form: &Form) -> Result<Option<Detection>, TwilioError> {
    let until_message_end = match form.get("MachineDetection") {
        None => return Ok(None),
        Some("Enable") => false,
        Some("DetectMessageEnd") => true,
        Some(_) => return Err(TwilioError::of(21234)),
    };
    let ranges = [
        ("MachineDetectionTimeout", 3..=59),
        ("MachineDetectionSpeechThreshold", 1_000..=6_000),
        ("MachineDetectionSpeechEndThreshold", 500..=5_000),
        ("MachineDetectionSilenceTimeout", 2_000..=10_000),
    ];
    for (name, range) in ranges {
        let in_range = |text: &str| text.parse().is_ok_and(|value: u32| range.contains(&value));
        if !form.get(name).is_none_or(in_range) {
            return Err(TwilioError::of(21234));
        }
    }
    let report = hook(form, "AsyncAmdStatusCallback", "AsyncAmdStatusCallbackMethod")?;
    let is_async = form.get("AsyncAmd") == Some("true");
    let report = if is_async { Report::WhileTheCallGoesOn(report) } else { Report::BeforeTwiml };
    let timeout = form.get("MachineDetectionTimeout").and_then(|text| text.parse().ok()).unwrap_or(30);
    Ok(Some(Detection { until_message_end, timeout: Duration::from_secs(timeout), report }))
}

fn caller(number: &str, permissions: &Permissions, credentials: Credentials) -> Result<String, TwilioError> {
    let Some(number_read) = e164(number) else { return Err(TwilioError::about(21212, number)) };
    if number_read == "+15005550001" {
        return Err(TwilioError::about(21212, number));
    }
    let is_owned = match credentials {
        Credentials::Live => permissions.owns(&number_read),
        Credentials::Test => number_read == TEST_FROM,
    };
    if is_owned { Ok(number_read) } else { Err(TwilioError::about(21210, number)) }
}

fn callee(number: &str) -> Result<String, TwilioError> {
    let digits = number.trim_start_matches('+');
    if matches!(digits, "112" | "911" | "933" | "988") || number.starts_with("+1900") {
        return Err(TwilioError::about(21202, number));
    }
    let code = match e164(number).as_deref() {
        None => 21211,
        // The magic numbers, which nobody has.
        Some("+15005550001") => 21217,
        Some("+15005550002") => 21214,
        Some("+15005550003") => 21215,
        Some("+15005550004") => 21216,
        Some(number) => return Ok(number.to_owned()),
    };
    Err(TwilioError::about(code, number))
}

/// A number in E.164; ten digits are one of the North American plan.
fn e164(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.')).collect();
    let number = if plain.len() == 10 && !plain.starts_with('+') { format!("+1{plain}") } else { plain };
    let digits = number.strip_prefix('+')?;
    let well_formed = (8..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (!digits.starts_with('1') || digits.len() == 11);
    well_formed.then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "To=%2B14155550123&From=%2B15005550006&Url=https%3A%2F%2Fmfa.example.org%2Fvoice";

    fn refusal(form: &str, credentials: Credentials) -> Option<u32> {
        let permissions = Permissions::of(
            &["+15005550006"],
            &["+1", "+49"],
            &["+14155550123", "+493055501234", "+4930999"],
        );
        read(&Form::parse(form.as_bytes()), &permissions, credentials).err().map(|error| error.code)
    }

    #[test]
    fn parameters_are_validated_in_twilios_order() {
        let url = "Url=https%3A%2F%2Fmfa.example.org%2Fvoice";
        let table = [
            (String::new(), Some(21201)),
            ("To=%2B1415".to_owned(), Some(21205)),
            (format!("To=%2B1415&{url}"), Some(21213)),
            (format!("To=%2B1415&From=hello&{url}"), Some(21212)),
            (format!("To=%2B1415&From=%2B14155550999&{url}"), Some(21210)),
            (format!("To=%2B1415&From=%2B15005550006&{url}"), Some(21211)),
            (format!("To=5005550006&From=%2B15005550006&{url}"), Some(21211)),
            (format!("To=911&From=%2B15005550006&{url}"), Some(21202)),
            (format!("{BASE}&SendDigits=12x"), Some(21206)),
            (format!("{BASE}&SendDigits={}", "w".repeat(33)), Some(21206)),
            (format!("To=%2B442079460123&From=%2B15005550006&{url}&Timeout=0"), Some(21215)),
            (format!("To=%2B14155550199&From=%2B15005550006&{url}&Timeout=0"), Some(21219)),
            (format!("To=%2B493055501234&From=%2B15005550006&{url}"), None),
            (format!("{BASE}&Timeout=601"), Some(21208)),
            (format!("{BASE}&Timeout=0"), Some(21208)),
            (format!("{BASE}&Timeout=600"), None),
            (format!("{BASE}&Method=PUT"), Some(21209)),
            (format!("{BASE}&MachineDetection=yes"), Some(21234)),
            (format!("{BASE}&MachineDetection=Enable&MachineDetectionTimeout=2"), Some(21234)),
            (format!("{BASE}&StatusCallback=https%3A%2F%2Fmy_host%2Fstatus"), Some(21205)),
            (format!("To=4155550123&From=%2B15005550006&Twiml={}", "a".repeat(4_001)), Some(32018)),
            ("To=4155550123&From=%2B15005550006&ApplicationSid=AP1".to_owned(), Some(21218)),
            (BASE.to_owned(), None),
        ];
        for (form, code) in table {
            assert_eq!(refusal(&form, Credentials::Live), code, "{form:.120}");
        }
    }

    #[test]
    fn magic_numbers_have_their_codes() {
        let from =
            [("%2B15005550006", None), ("%2B15005550001", Some(21212)), ("%2B14155550999", Some(21210))];
        for (number, code) in from {
            let form = format!("To=%2B14155550123&From={number}&Twiml=x");
            assert_eq!(refusal(&form, Credentials::Test), code, "{number}");
        }
        for (last, code) in [(1, 21217), (2, 21214), (3, 21215), (4, 21216)] {
            let form = format!("To=%2B1500555000{last}&From=%2B15005550006&Twiml=x");
            assert_eq!(refusal(&form, Credentials::Test), Some(code), "{last}");
        }
    }

    #[test]
    fn only_a_repeated_parameter_subscribes_to_several_events() {
        let events = |form: &str| events(&Form::parse(form.as_bytes()));
        assert_eq!(events(""), [Event::Completed]);
        let two = "StatusCallbackEvent=ringing&StatusCallbackEvent=answered";
        assert_eq!(events(two), [Event::Ringing, Event::Answered]);
        let joined = "StatusCallbackEvent=ringing+answered";
        assert_eq!(events(joined), [Event::Completed]);
        assert_eq!(Form::parse(joined.as_bytes()).ignored(), ["StatusCallbackEvent=ringing answered"]);
    }
}
