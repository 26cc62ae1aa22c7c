//! The body of `messages:send`: which fields there are, and what FCM says of wrong ones.
//!
//! Field names may be in snake case or lower camel case, as in every Google API.

use serde_json::{Map, Value};

use crate::journal::PushFact;

const MAX_DATA_BYTES: usize = 4_096;
const MAX_TTL_SECONDS: f64 = 2_419_200.0;

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) field: String,
    pub(crate) description: String,
}

/// A message, as far as the simulator cares.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) target: Target<'a>,
    pub(super) validate_only: bool,
    data: Option<&'a Map<String, Value>>,
}

/// Whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// A registration token or installation id.
    Token(&'a str),
    /// A topic or condition: nobody in this world has subscribed.
    Topic,
}

impl<'a> Message<'a> {
    /// A value of `data`.
    pub(super) fn data(&self, key: &str) -> Option<&'a str> {
        self.data?.get(key)?.as_str()
    }

    /// What the log says of it, whatever becomes of it.
    pub(super) fn fact(&self) -> PushFact<'a> {
        PushFact {
            token: match self.target {
                Target::Token(token) => Some(token),
                Target::Topic => None,
            },
            event: self.data("event"),
            portal: self.data("portal"),
            challenge: self.data("challenge_id"),
            ..PushFact::default()
        }
    }
}

/// Reads a message or says which field is wrong.
pub(super) fn read(body: &Value) -> Result<Message<'_>, Violation> {
    let body = body.as_object().ok_or_else(|| violation("message", "Request body must be an object."))?;
    let mut validate_only = false;
    let mut message = None;
    for (name, value) in body {
        match name.as_str() {
            "message" => message = Some(object("message", value)?),
            "validate_only" | "validateOnly" => {
                validate_only =
                    value.as_bool().ok_or_else(|| invalid("validate_only", "TYPE_BOOL", value))?;
            }
            other => return Err(unknown("", other)),
        }
    }
    let message = message.ok_or_else(|| violation("message", "Message is required."))?;
    let mut target = None;
    let mut data = None;
    for (name, value) in message {
        let aimed = match name.as_str() {
            "token" | "fid" => Some(Target::Token(text(&format!("message.{name}"), value)?)),
            "topic" | "condition" => text(&format!("message.{name}"), value).map(|_| Some(Target::Topic))?,
            "data" => {
                data = Some(check_data("message.data", value)?);
                None
            }
            "android" => check_android(object("message.android", value)?).map(|()| None)?,
            "apns" => check_apns(object("message.apns", value)?).map(|()| None)?,
            "notification" | "webpush" | "fcm_options" | "fcmOptions" => {
                object(&format!("message.{name}"), value).map(|_| None)?
            }
            "name" | "android_v2" | "androidV2" => None,
            other => return Err(unknown("message", other)),
        };
        if aimed.is_some() && target.is_some() {
            let text = format!(
                "Invalid value at 'message' (oneof), oneof field 'target' is already set. Cannot set '{name}'"
            );
            return Err(violation("message", &text));
        }
        target = target.or(aimed);
    }
    let target = target.ok_or_else(|| violation("message.token", "Recipient of the message is not set."))?;
    Ok(Message { target, validate_only, data })
}

fn check_data<'a>(field: &str, value: &'a Value) -> Result<&'a Map<String, Value>, Violation> {
    let data = object(field, value)?;
    let mut size_bytes = 0;
    for (place, (key, value)) in data.iter().enumerate() {
        let Some(text) = value.as_str() else {
            return Err(invalid(&format!("{field}[{place}].value"), "TYPE_STRING", value));
        };
        let is_reserved = matches!(key.as_str(), "from" | "message_type")
            || key.starts_with("google.")
            || key.starts_with("gcm.notification.");
        if is_reserved {
            return Err(violation(field, &format!("Invalid data payload key: {key}")));
        }
        size_bytes += key.len() + text.len();
    }
    if size_bytes > MAX_DATA_BYTES {
        return Err(violation(field, "Android message is too big"));
    }
    Ok(data)
}

fn check_android(android: &Map<String, Value>) -> Result<(), Violation> {
    for (name, value) in android {
        match name.as_str() {
            "priority" => {
                let priority = value.as_str().unwrap_or_default();
                if !["NORMAL", "HIGH"].iter().any(|known| known.eq_ignore_ascii_case(priority)) {
                    let ty =
                        "type.googleapis.com/google.firebase.fcm.v1.AndroidConfig.AndroidMessagePriority";
                    return Err(invalid("message.android.priority", ty, value));
                }
            }
            "ttl" => check_ttl(value)?,
            "data" => check_data("message.android.data", value).map(drop)?,
            "notification" => object("message.android.notification", value).map(drop)?,
            "collapse_key" | "collapseKey" | "restricted_package_name" | "restrictedPackageName" => {
                text(&format!("message.android.{name}"), value).map(drop)?;
            }
            "direct_boot_ok" | "directBootOk" | "fcm_options" | "fcmOptions" => {}
            other => return Err(unknown("message.android", other)),
        }
    }
    Ok(())
}

/// Seconds with at most nine decimals and an `s`, from zero to four weeks.
fn check_ttl(value: &Value) -> Result<(), Violation> {
    let field = "message.android.ttl";
    let seconds = value.as_str().and_then(|text| text.strip_suffix('s')).filter(|digits| {
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        all_digits(whole) && all_digits(decimals) && decimals.len() <= 9
    });
    let Some(seconds) = seconds.and_then(|digits| digits.parse::<f64>().ok()) else {
        return Err(invalid(field, "type.googleapis.com/google.protobuf.Duration", value));
    };
    if seconds > MAX_TTL_SECONDS {
        return Err(violation(field, "Invalid TTL: must be between 0 and 2,419,200 seconds"));
    }
    Ok(())
}

fn check_apns(apns: &Map<String, Value>) -> Result<(), Violation> {
    for (name, value) in apns {
        match name.as_str() {
            "headers" => {
                for (place, (_, value)) in object("message.apns.headers", value)?.iter().enumerate() {
                    text(&format!("message.apns.headers[{place}].value"), value)?;
                }
            }
            "payload" => object("message.apns.payload", value).map(drop)?,
            "fcm_options" | "fcmOptions" | "live_activity_token" | "liveActivityToken" => {}
            other => return Err(unknown("message.apns", other)),
        }
    }
    Ok(())
}

fn object<'a>(field: &str, value: &'a Value) -> Result<&'a Map<String, Value>, Violation> {
    value.as_object().ok_or_else(|| invalid(field, "TYPE_MESSAGE", value))
}

fn text<'a>(field: &str, value: &'a Value) -> Result<&'a str, Violation> {
    value.as_str().ok_or_else(|| invalid(field, "TYPE_STRING", value))
}

fn invalid(field: &str, kind: &str, value: &Value) -> Violation {
    violation(field, &format!("Invalid value at '{field}' ({kind}), {value}"))
}

fn unknown(parent: &str, name: &str) -> Violation {
    let place = if parent.is_empty() { String::new() } else { format!(" at '{parent}'") };
    violation(
        parent,
        &format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field."),
    )
}

fn violation(field: &str, description: &str) -> Violation {
    Violation { field: field.to_owned(), description: description.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(message: &Value) -> Option<String> {
        read(&json!({ "message": message })).err().map(|violation| violation.description)
    }

    #[test]
    fn a_message_of_the_fleet_is_accepted() {
        let body = json!({ "message": {
            "token": "t",
            "data": { "portal": "operations", "challenge_id": "c" },
            "android": { "priority": "HIGH", "ttl": "60s", "collapse_key": "c" },
            "apns": { "headers": { "apns-priority": "10", "apns-push-type": "alert" }, "payload": { "aps": {} } },
        }, "validateOnly": false });
        let message = read(&body).unwrap();
        assert_eq!((message.target, message.data("portal")), (Target::Token("t"), Some("operations")));
        assert_eq!(read(&json!({ "message": { "fid": "f" } })).unwrap().target, Target::Token("f"));
    }

    #[test]
    fn each_wrong_field_is_named() {
        let number = "Invalid value at 'message.data[0].value' (TYPE_STRING), 42";
        assert_eq!(refusal(&json!({ "token": "t", "data": { "a": 42 } })).as_deref(), Some(number));
        let both = refusal(&json!({ "token": "t", "topic": "n" })).unwrap();
        assert!(both.contains("oneof field 'target' is already set"));
        let table = [
            json!({ "data": {} }),
            json!({ "token": 7 }),
            json!({ "token": "t", "to": "x" }),
            json!({ "token": "t", "data": { "from": "x" } }),
            json!({ "token": "t", "data": { "google.c": "x" } }),
            json!({ "token": "t", "data": { "a": "x".repeat(4_096) } }),
            json!({ "token": "t", "android": { "ttl": "60" } }),
            json!({ "token": "t", "android": { "ttl": "-1s" } }),
            json!({ "token": "t", "android": { "ttl": "2419201s" } }),
            json!({ "token": "t", "android": { "priority": "urgent" } }),
            json!({ "token": "t", "apns": { "headers": { "apns-priority": 10 } } }),
        ];
        for message in table {
            assert!(refusal(&message).is_some(), "{message:.80}");
        }
        for ttl in ["0s", "3.5s", "2419200s"] {
            assert_eq!(refusal(&json!({ "token": "t", "android": { "ttl": ttl } })), None, "{ttl}");
        }
    }
}
