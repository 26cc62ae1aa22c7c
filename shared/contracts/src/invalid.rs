//! Why a body was not taken, in words that may be logged, parked and told: field paths and rules, never a
//! value that was sent.

use crate::envelope::{self, EventType};
use crate::form::{AnyUuid, Form};
use crate::object;

/// A body breaks its contract.
///
/// `Display` is one line of path and rule. Nothing in here repeats what was sent, but for the challenge's
/// id where it is a UUID, and the names of fields that the contract knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct Invalid {
    /// The path of the field at fault, such as `data.context.client_ip`; `body` where it is not even a JSON
    /// object.
    pub field: String,
    /// The rule that it breaks, a clause that follows the field's name.
    pub rule: String,
    /// `data.challenge_id`, where it can be read and is a UUID of any version.
    pub challenge_id: Option<String>,
    /// `data.request_id`, likewise.
    pub request_id: Option<String>,
    /// The paths of the contract's fields that the body has, down to the fields of `data`.
    pub known_fields: Vec<String>,
}

/// The first rule that was found broken.
#[derive(Debug)]
pub(crate) struct Fault {
    field: String,
    rule: String,
}

impl Fault {
    pub(crate) fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }

    /// Adds what else can be read of the body, however broken it is.
    pub(crate) fn in_body(self, body: &[u8]) -> Invalid {
        let (challenge_id, request_id, known_fields) = survey(body);
        Invalid { field: self.field, rule: self.rule, challenge_id, request_id, known_fields }
    }

    /// Where nothing else is to be said.
    pub(crate) fn alone(self) -> Invalid {
        Invalid {
            field: self.field,
            rule: self.rule,
            challenge_id: None,
            request_id: None,
            known_fields: Vec::new(),
        }
    }
}

fn survey(body: &[u8]) -> (Option<String>, Option<String>, Vec<String>) {
    let text = match str::from_utf8(body) {
        Ok(text) => text,
        Err(e) => str::from_utf8(&body[..e.valid_up_to()]).unwrap_or_default(),
    };
    let (pairs, _) = object::pairs(text);
    let value = |name: &str| pairs.iter().find(|(have, _)| have == name).map(|(_, raw)| *raw);
    let event_type = value("type").and_then(object::text).and_then(|text| EventType::from_text(&text));
    let (inner, _) = value("data").map(|raw| object::pairs(raw.get())).unwrap_or_default();

    let mut known = Vec::new();
    for name in envelope::FIELDS {
        if value(name).is_some() {
            known.push((*name).to_owned());
        }
    }
    for name in event_type.map_or(&["challenge_id", "request_id"] as &[&str], EventType::fields) {
        if inner.iter().any(|(have, _)| have == name) {
            known.push(format!("data.{name}"));
        }
    }
    let id = |field: &str| {
        let raw = inner.iter().find(|(name, _)| name == field).map(|(_, raw)| *raw);
        raw.and_then(object::text).and_then(|text| AnyUuid::parse(&text)).map(|id| id.0)
    };
    (id("challenge_id"), id("request_id"), known)
}
