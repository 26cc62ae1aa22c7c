//! TwiML: from what the customer's server answered to verbs that a conversation can perform.
//!
//! A document that Twilio would refuse is a `Failure` with Twilio's code; what it would only warn of is a note.

use std::time::Duration;

use roxmltree::{Document as Xml, Node};

use super::gather::Rules;
use super::webhook::Method;

/// TwiML longer than this is refused.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// The languages of `Say` in Twilio's SDK.
const LANGUAGES: &str = "af-ZA am-ET ar-AE ar-XA arb bg-BG bn-IN ca-ES cmn-CN cmn-TW cs-CZ cy-GB da-DK de-AT de-DE \
    el-GR en-AU en-CA en-GB en-GB-WLS en-IE en-IN en-NZ en-US en-ZA es-ES es-MX es-US fi-FI fil-PH fr-BE fr-CA fr-FR \
    gu-IN he-IL hi-IN hu-HU id-ID is-IS it-IT ja-JP kn-IN ko-KR lv-LV ml-IN mr-IN ms-MY nb-NO nl-BE nl-NL pa-IN pl-PL \
    pt-BR pt-PT ro-RO ru-RU sk-SK sr-RS sv-SE ta-IN te-IN th-TH tr-TR uk-UA vi-VN yue-HK zh-CN zh-HK zh-TW";

/// Something for Twilio's debugger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) code: u32,
    pub(super) text: String,
}

/// Why a document can't be performed.
pub(super) type Failure = Note;

/// What is performed, top to bottom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) verbs: Vec<Verb>,
    pub(super) notes: Vec<Note>,
}

/// One verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Say, Play or Pause: all that matters of a sound is how long it lasts.
    Sound(Duration),
    Gather(Gather),
    Redirect {
        url: String,
        method: Method,
    },
    /// Hangup, and Reject, which on an answered call is the same.
    Hangup,
}

/// A Gather.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gather {
    pub(super) rules: Rules,
    /// `None`: the URL of the document itself.
    pub(super) action: Option<String>,
    pub(super) method: Method,
    pub(super) action_on_empty_result: bool,
    /// How long its nested prompts last.
    pub(super) prompts: Duration,
}

/// Longer than any call.
const FOREVER: Duration = Duration::from_hours(7 * 24);

/// Reads an answer to a TwiML request by its content type.
pub(super) fn read(content_type: Option<&str>, body: &[u8]) -> Result<Document, Failure> {
    let media_type =
        content_type.and_then(|text| text.split(';').next()).unwrap_or("").trim().to_ascii_lowercase();
    if body.len() > MAX_BYTES {
        return Err(note(11750, "TwiML response body too large"));
    }
    match media_type.as_str() {
        "text/xml" | "application/xml" | "text/html" => {
            let text = std::str::from_utf8(body).map_err(|_| note(12100, "document is not UTF-8"))?;
            parse(text)
        }
        "text/plain" => Ok(sounds(spoken(&String::from_utf8_lossy(body)))),
        audio if audio.starts_with("audio/") => Ok(sounds(PLAYED)),
        _ => Err(note(12300, "invalid Content-Type")),
    }
}

/// Parses a document.
pub(super) fn parse(text: &str) -> Result<Document, Failure> {
    if text.trim().is_empty() {
        return Err(note(11770, "empty TwiML response body"));
    }
    let xml = Xml::parse(text).map_err(|error| Note { code: 12100, text: error.to_string() })?;
    let root = xml.root_element();
    if root.tag_name().name() != "Response" {
        return Err(note(12102, "root element must be Response"));
    }
    let mut document = Document::default();
    for element in root.children().filter(Node::is_element) {
        let verb = match element.tag_name().name() {
            "Gather" => Some(Verb::Gather(gather(element, &mut document.notes))),
            "Redirect" => Some(Verb::Redirect {
                url: content(element).trim().to_owned(),
                method: method(element, &mut document.notes),
            }),
            "Hangup" | "Reject" => Some(Verb::Hangup),
            _ => sound(element, &mut document.notes)?.map(Verb::Sound),
        };
        document.verbs.extend(verb);
    }
    Ok(document)
}

fn sounds(duration: Duration) -> Document {
    Document { verbs: vec![Verb::Sound(duration)], notes: Vec::new() }
}

fn gather(element: Node<'_, '_>, notes: &mut Vec<Note>) -> Gather {
    let finish_on_key = match element.attribute("finishOnKey") {
        None => Some('#'),
        Some("") => None,
        Some(text) => one_key(text).or_else(|| {
            notes.push(note(13310, "invalid finishOnKey value"));
            Some('#')
        }),
    };
    let timeout = number(element, "timeout", 13313, notes).unwrap_or(5);
    let num_digits = number(element, "numDigits", 13314, notes).filter(|count| *count > 0);
    let mut prompts = Duration::ZERO;
    for nested in element.children().filter(Node::is_element) {
        // A prompt that can't be spoken fails alone; the Gather still listens.
        match sound(nested, notes) {
            Ok(duration) => prompts += duration.unwrap_or_default(),
            Err(failure) => notes.push(failure),
        }
    }
    Gather {
        rules: Rules {
            timeout: Duration::from_secs(timeout),
            num_digits: num_digits.and_then(|count| usize::try_from(count).ok()),
            finish_on_key,
        },
        action: element.attribute("action").filter(|url| !url.is_empty()).map(str::to_owned),
        method: method(element, notes),
        action_on_empty_result: element.attribute("actionOnEmptyResult") == Some("true"),
        prompts: prompts.min(FOREVER),
    }
}

/// How long a Say, Play or Pause lasts; `None` for a verb that is skipped.
fn sound(element: Node<'_, '_>, notes: &mut Vec<Note>) -> Result<Option<Duration>, Failure> {
    let duration = match element.tag_name().name() {
        "Say" => say(element, notes)?,
        "Play" => {
            let keys = element.attribute("digits").map(|digits| Duration::from_millis(500) * length(digits));
            looped(element, keys.unwrap_or(PLAYED), notes)
        }
        "Pause" => {
            let seconds = number(element, "length", 13610, notes).filter(|seconds| *seconds > 0);
            Duration::from_secs(seconds.unwrap_or(1))
        }
        other => {
            notes.push(Note {
                code: 12200,
                text: format!("{other} is skipped: not played by this simulator"),
            });
            return Ok(None);
        }
    };
    Ok(Some(duration))
}

fn say(element: Node<'_, '_>, notes: &mut Vec<Note>) -> Result<Duration, Failure> {
    let text = content(element);
    let voice = element.attribute("voice").unwrap_or("man");
    let language = element.attribute("language").unwrap_or("en-US");
    let limit = if voice.starts_with("Polly.") { 3_000 } else { 4_096 };
    if length(&text) > limit {
        return Err(note(13521, "Say: text too long"));
    }
    if !LANGUAGES.split_whitespace().any(|known| known == language) {
        return Err(note(13511, "Say: invalid language"));
    }
    if text.trim().is_empty() {
        notes.push(note(13520, "Say: empty text"));
    }
    Ok(looped(element, spoken(&text), notes))
}

/// What an unknown recording lasts.
const PLAYED: Duration = Duration::from_secs(3);

/// Speech runs at about fifteen characters a second.
fn spoken(text: &str) -> Duration {
    Duration::from_millis(1_000 / 15) * length(text.trim())
}

fn looped(element: Node<'_, '_>, once: Duration, notes: &mut Vec<Note>) -> Duration {
    match number(element, "loop", 13510, notes).unwrap_or(1) {
        0 => FOREVER,
        times => once * u32::try_from(times.min(1_000)).unwrap_or(1_000),
    }
}

fn content(element: Node<'_, '_>) -> String {
    element.descendants().filter(Node::is_text).filter_map(|node| node.text()).collect()
}

fn method(element: Node<'_, '_>, notes: &mut Vec<Note>) -> Method {
    let Some(text) = element.attribute("method") else { return Method::Post };
    Method::parse(text).unwrap_or_else(|| {
        notes.push(note(12200, "invalid method"));
        Method::Post
    })
}

fn number(element: Node<'_, '_>, name: &str, code: u32, notes: &mut Vec<Note>) -> Option<u64> {
    let text = element.attribute(name)?;
    // numDigits="unlimited" and timeout="auto" are spelled-out defaults.
    let parsed = text.trim().parse().ok();
    if parsed.is_none() && !matches!(text, "unlimited" | "auto") {
        notes.push(Note { code, text: format!("invalid {name} value") });
    }
    parsed
}

fn one_key(text: &str) -> Option<char> {
    let mut keys = text.chars();
    keys.next().filter(|key| keys.next().is_none() && (key.is_ascii_digit() || matches!(key, '#' | '*')))
}

fn length(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

fn note(code: u32, text: &str) -> Note {
    Note { code, text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only_gather(text: &str) -> Gather {
        match parse(text).unwrap().verbs.as_slice() {
            [Verb::Gather(gather)] => gather.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_gather_has_twilios_defaults_and_takes_what_is_written() {
        let plain = only_gather("<Response><Gather/></Response>");
        assert_eq!(plain.rules.timeout, Duration::from_secs(5));
        assert_eq!((plain.rules.num_digits, plain.rules.finish_on_key), (None, Some('#')));
        assert_eq!((plain.action, plain.method, plain.action_on_empty_result), (None, Method::Post, false));
        let written = only_gather(
            r#"<?xml version="1.0" encoding="UTF-8"?><Response><Gather action="/a?b=1&amp;c=2" method="GET" timeout="7"
               numDigits="4" finishOnKey="" actionOnEmptyResult="true"><Say>fifteen letters</Say><Pause length="2"/>
               </Gather></Response>"#,
        );
        assert_eq!(written.action.as_deref(), Some("/a?b=1&c=2"));
        assert_eq!((written.rules.num_digits, written.rules.finish_on_key), (Some(4), None));
        assert_eq!((written.method, written.action_on_empty_result), (Method::Get, true));
        assert_eq!(written.prompts, Duration::from_millis(66 * 15 + 2_000));
    }

    #[test]
    fn a_document_that_twilio_refuses_has_its_code() {
        let long = format!("<Response><Say>{}</Say></Response>", "a".repeat(4_097));
        let huge = format!("<Response>{}</Response>", " ".repeat(MAX_BYTES));
        let table: [(Option<&str>, &str, u32); 10] = [
            (Some("text/xml"), "", 11770),
            (Some("text/xml; charset=utf-8"), "<Response>", 12100),
            (Some("text/xml"), " <?xml version=\"1.0\"?><Response/>", 12100),
            (Some("application/xml"), "<response/>", 12102),
            (Some("application/json"), "<Response/>", 12300),
            (None, "<Response/>", 12300),
            (Some("text/xml"), &huge, 11750),
            (Some("text/xml"), &long, 13521),
            (Some("text/xml"), "<Response><Say language=\"xx-XX\">a</Say></Response>", 13511),
            (Some("text/xml"), "<!DOCTYPE a [<!ENTITY b \"c\">]><Response/>", 12100),
        ];
        for (content_type, body, code) in table {
            assert_eq!(read(content_type, body.as_bytes()).unwrap_err().code, code, "{body:.60}");
        }
    }

    #[test]
    fn text_is_spoken_and_audio_is_played() {
        assert_eq!(read(Some("text/plain"), b"abc").unwrap(), sounds(Duration::from_millis(198)));
        assert_eq!(read(Some("audio/mpeg"), b"...").unwrap(), sounds(PLAYED));
    }

    #[test]
    fn verbs_of_other_products_and_bad_values_are_noted_and_passed_over() {
        let document = parse(
            "<Response><Dial>+1</Dial><Gather timeout=\"soon\" finishOnKey=\"##\"/><Hangup/></Response>",
        )
        .unwrap();
        assert_eq!(document.verbs.len(), 2);
        let codes: Vec<_> = document.notes.iter().map(|note| note.code).collect();
        assert_eq!(codes, [12200, 13310, 13313]);
    }
}
