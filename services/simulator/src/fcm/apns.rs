//! What Apple's service takes: the headers of a notification and the size of its payload.
//!
//! FCM hands `apns` on as it is, and a notification that Apple refuses comes back as `INVALID_ARGUMENT` with what Apple said.
//! Here it is checked for every target, as a token does not tell which phone it is.

use serde_json::{Map, Value};

use super::FcmError;
use super::fields::field;

/// Of `apns-collapse-id`.
const MAX_COLLAPSE_ID_BYTES: usize = 64;
/// Of the payload, and of that of a call over IP.
const MAX_PAYLOAD_BYTES: usize = 4_096;
const MAX_VOIP_PAYLOAD_BYTES: usize = 5_120;

const PRIORITIES: [&str; 3] = ["1", "5", "10"];
const PUSH_TYPES: [&str; 11] = [
    "alert",
    "background",
    "complication",
    "controls",
    "fileprovider",
    "liveactivity",
    "location",
    "mdm",
    "pushtotalk",
    "voip",
    "widgets",
];
/// What a background notification must not show.
const SHOWN: [&str; 3] = ["alert", "badge", "sound"];

/// What else of the message becomes a part of the payload.
pub(super) struct Rest<'a> {
    pub(super) notification: Option<&'a Map<String, Value>>,
    pub(super) data: Option<&'a Map<String, Value>>,
}

/// Checks the `apns` of a message.
pub(super) fn check(apns: &Map<String, Value>, rest: &Rest<'_>) -> Result<(), FcmError> {
    let headers = field(apns, "headers").and_then(Value::as_object);
    let header = |name: &str| headers?.get(name)?.as_str();
    let payload = field(apns, "payload").and_then(Value::as_object);
    let part = |key: &str| payload?.get("aps")?.get(key);
    let shows = rest.notification.is_some() || SHOWN.iter().any(|key| part(key).is_some());
    let is_silent = part("content-available").is_some_and(|flag| *flag == 1);
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let push_type = header("apns-push-type");
    let is_background = push_type == Some("background");
    let rules = [
        (header("apns-priority").is_none_or(|text| PRIORITIES.contains(&text)), "BadPriority"),
        (push_type.is_none_or(|text| PUSH_TYPES.contains(&text)), "InvalidPushType"),
        (header("apns-expiration").is_none_or(is_digits), "BadExpirationDate"),
        (
            header("apns-collapse-id").is_none_or(|text| (1..=MAX_COLLAPSE_ID_BYTES).contains(&text.len())),
            "BadCollapseId",
        ),
        // Apple: a background notification has priority 5 always, `content-available`, and nothing to show.
        (!is_background || header("apns-priority") == Some("5"), "BadPriority"),
        (!is_background || (is_silent && !shows), "InvalidPushType"),
    ];
    if let Some((_, reason)) = rules.into_iter().find(|(holds, _)| !holds) {
        return Err(FcmError::Apple { http_status: 400, reason });
    }
    let most = if push_type == Some("voip") { MAX_VOIP_PAYLOAD_BYTES } else { MAX_PAYLOAD_BYTES };
    if payload_bytes(payload, rest) > most {
        return Err(FcmError::Apple { http_status: 413, reason: "PayloadTooLarge" });
    }
    Ok(())
}

/// The size of what FCM makes of the message for Apple: the payload, with `data` beside `aps` and the notification in it.
fn payload_bytes(payload: Option<&Map<String, Value>>, rest: &Rest<'_>) -> usize {
    let mut whole = payload.cloned().unwrap_or_default();
    if let Some(data) = rest.data {
        whole.extend(data.clone());
    }
    if let (Some(notification), Some(dictionary)) =
        (rest.notification, whole.entry("aps").or_insert_with(|| Map::new().into()).as_object_mut())
    {
        dictionary.entry("alert").or_insert_with(|| notification.clone().into());
    }
    Value::Object(whole).to_string().len()
}
