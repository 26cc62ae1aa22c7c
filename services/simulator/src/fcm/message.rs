//! The body of `messages:send`: whom it is for, and what FCM says of wrong fields.

use serde_json::{Map, Value};

use super::FcmError;
use super::apns::{self, Rest};
use super::fields::{self, field, seconds};
use crate::app::Notice;
use crate::cast::Address;
use crate::journal::PushFact;

const MAX_DATA_BYTES: usize = 4_096;
const MAX_TOPIC_DATA_BYTES: usize = 2_048;
const MAX_TTL_SECONDS: f64 = 2_419_200.0;
const TARGETS: [&str; 4] = ["token", "fid", "topic", "condition"];

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) field: String,
    pub(crate) description: String,
}

/// What is found by the tables of fields alone.
impl From<Violation> for FcmError {
    fn from(violation: Violation) -> Self {
        Self::Malformed(violation)
    }
}

/// A message, as far as the simulator cares.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) target: Target,
    pub(super) validate_only: bool,
    data: Option<&'a Map<String, Value>>,
}

/// Whom it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    App(Address),
    /// A topic or condition: nobody in this world has subscribed.
    Topic,
}

impl<'a> Message<'a> {
    /// A value of `data`.
    fn data(&self, key: &str) -> Option<&'a str> {
        self.data?.get(key)?.as_str()
    }

    /// What the app reads in it.
    pub(super) fn notice(&self) -> Notice<'a> {
        let (event, portal) = (self.data("event"), self.data("portal"));
        Notice { event, portal, challenge: self.data("challenge_id") }
    }

    /// What the log says of it, whatever becomes of it.
    pub(super) fn fact(&self) -> PushFact<'_> {
        let (token, fid) = match &self.target {
            Target::App(Address::Token(token)) => (Some(token.as_str()), None),
            Target::App(Address::Fid(fid)) => (None, Some(fid.as_str())),
            Target::Topic => (None, None),
        };
        let Notice { event, portal, challenge } = self.notice();
        PushFact { token, fid, event, portal, challenge, ..PushFact::default() }
    }
}

/// Reads a message or says what FCM says of it.
pub(super) fn read(body: &Value) -> Result<Message<'_>, FcmError> {
    let body = body.as_object().ok_or_else(|| violation("message", "Request body must be an object."))?;
    let mut validate_only = false;
    let mut message = None;
    for (name, value) in body {
        match name.as_str() {
            "message" => {
                let object = value.as_object();
                message = Some(object.ok_or_else(|| invalid("message", "TYPE_MESSAGE", value))?);
            }
            "validate_only" | "validateOnly" => {
                validate_only =
                    value.as_bool().ok_or_else(|| invalid("validate_only", "TYPE_BOOL", value))?;
            }
            other => return Err(unknown("", other).into()),
        }
    }
    let message = message.ok_or_else(|| unfit("message", "Message is required."))?;
    fields::check("message", message, fields::MESSAGE)?;
    let target = target(message)?;
    let part = |name: &str| field(message, name).and_then(Value::as_object);
    let (data, notification, android) = (part("data"), part("notification"), part("android"));
    if android.is_some() && part("android_v2").is_some() {
        return Err(unfit("message", "Only one of android and android_v2 can be set."));
    }
    let android_data = android.and_then(|android| field(android, "data")).and_then(Value::as_object);
    for (place, data) in [("message.data", data), ("message.android.data", android_data)] {
        check_keys(place, data)?;
    }
    if let Some(android) = android {
        check_ttl(android)?;
    }
    if let Some(apns) = part("apns") {
        apns::check(apns, &Rest { notification, data })?;
    }
    let most = if target == Target::Topic { MAX_TOPIC_DATA_BYTES } else { MAX_DATA_BYTES };
    if texts_bytes(android_data.or(data)) + texts_bytes(notification) > most {
        return Err(FcmError::TooBig);
    }
    Ok(Message { target, validate_only, data })
}

fn target(message: &Map<String, Value>) -> Result<Target, FcmError> {
    let mut aims = TARGETS.iter().filter_map(|name| Some((*name, field(message, name)?.as_str()?)));
    let (name, text) = aims.next().ok_or_else(|| unfit("message", "Recipient of the message is not set."))?;
    if let Some((other, _)) = aims.next() {
        let text = format!(
            "Invalid value at 'message' (oneof), oneof field 'target' is already set. Cannot set '{other}'"
        );
        return Err(violation("message", &text).into());
    }
    Ok(match name {
        "token" => Target::App(Address::Token(text.to_owned())),
        "fid" => Target::App(Address::Fid(text.to_owned())),
        _ => Target::Topic,
    })
}

/// Refuses keys that FCM uses itself.
fn check_keys(place: &str, data: Option<&Map<String, Value>>) -> Result<(), FcmError> {
    let is_reserved = |key: &str| {
        matches!(key, "from" | "message_type")
            || key.starts_with("google.")
            || key.starts_with("gcm.notification.")
    };
    match data.and_then(|data| data.keys().find(|key| is_reserved(key))) {
        Some(key) => Err(unfit(place, &format!("Invalid data payload key: {key}"))),
        None => Ok(()),
    }
}

fn check_ttl(android: &Map<String, Value>) -> Result<(), FcmError> {
    let ttl = field(android, "ttl").and_then(Value::as_str).and_then(seconds);
    if ttl.is_some_and(|ttl| ttl > MAX_TTL_SECONDS) {
        let text = "Invalid TTL: must be between 0 and 2,419,200 seconds";
        return Err(unfit("message.android.ttl", text));
    }
    Ok(())
}

/// The size of keys and texts.
fn texts_bytes(object: Option<&Map<String, Value>>) -> usize {
    object.map_or(0, |object| {
        object.iter().map(|(key, value)| key.len() + value.as_str().unwrap_or_default().len()).sum()
    })
}

pub(super) fn invalid(field: &str, kind: &str, value: &Value) -> Violation {
    violation(field, &format!("Invalid value at '{field}' ({kind}), {value}"))
}

pub(super) fn unknown(parent: &str, name: &str) -> Violation {
    let place = if parent.is_empty() { String::new() } else { format!(" at '{parent}'") };
    violation(
        parent,
        &format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field."),
    )
}

fn unfit(field: &str, description: &str) -> FcmError {
    FcmError::Unfit(violation(field, description))
}

fn violation(field: &str, description: &str) -> Violation {
    Violation { field: field.to_owned(), description: description.to_owned() }
}

#[cfg(test)]
mod tests;
