//! Which fields a message can have, and of what kind: tables of the `Message` of FCM HTTP v1.
//!
//! Names may be in snake case or lower camel case, and `null` stands for a field that is not there, as in every Google
//! API. What a value means is not checked here.

use serde_json::{Map, Value};

use super::message::{Violation, invalid, unknown};

/// What a field can hold.
pub(super) enum Kind {
    Text,
    Bool,
    /// A number, or a text with one.
    Number,
    Texts,
    /// Any keys, each with a text.
    TextMap,
    /// Seconds with at most nine decimals and an `s`.
    Duration,
    Durations,
    /// One of these words, in any case; first the name of their type.
    Words(&'static str, &'static [&'static str]),
    /// A JSON object with fields of the customer's choice.
    Struct,
    Message(&'static [Field]),
}

/// A field and what it can hold.
type Field = (&'static str, Kind);

/// The fields of a request's `message`.
pub(super) const MESSAGE: &[Field] = &[
    ("name", Kind::Text),
    ("token", Kind::Text),
    ("fid", Kind::Text),
    ("topic", Kind::Text),
    ("condition", Kind::Text),
    ("data", Kind::TextMap),
    ("notification", Kind::Message(&[("title", Kind::Text), ("body", Kind::Text), ("image", Kind::Text)])),
    ("android", Kind::Message(ANDROID)),
    ("android_v2", Kind::Struct),
    ("apns", Kind::Message(APNS)),
    ("webpush", Kind::Message(WEBPUSH)),
    ("fcm_options", Kind::Message(&[("analytics_label", Kind::Text)])),
];

const ANDROID: &[Field] = &[
    ("collapse_key", Kind::Text),
    (
        "priority",
        Kind::Words("google.firebase.fcm.v1.AndroidConfig.AndroidMessagePriority", &["NORMAL", "HIGH"]),
    ),
    ("ttl", Kind::Duration),
    ("restricted_package_name", Kind::Text),
    ("data", Kind::TextMap),
    ("notification", Kind::Message(ANDROID_NOTIFICATION)),
    ("fcm_options", Kind::Message(&[("analytics_label", Kind::Text)])),
    ("direct_boot_ok", Kind::Bool),
    ("bandwidth_constrained_ok", Kind::Bool),
    ("restricted_satellite_ok", Kind::Bool),
];

const ANDROID_NOTIFICATION: &[Field] = &[
    ("title", Kind::Text),
    ("body", Kind::Text),
    ("icon", Kind::Text),
    ("color", Kind::Text),
    ("sound", Kind::Text),
    ("tag", Kind::Text),
    ("click_action", Kind::Text),
    ("body_loc_key", Kind::Text),
    ("body_loc_args", Kind::Texts),
    ("title_loc_key", Kind::Text),
    ("title_loc_args", Kind::Texts),
    ("channel_id", Kind::Text),
    ("ticker", Kind::Text),
    ("sticky", Kind::Bool),
    ("event_time", Kind::Text),
    ("local_only", Kind::Bool),
    (
        "notification_priority",
        Kind::Words(
            "google.firebase.fcm.v1.AndroidNotification.NotificationPriority",
            &[
                "PRIORITY_UNSPECIFIED",
                "PRIORITY_MIN",
                "PRIORITY_LOW",
                "PRIORITY_DEFAULT",
                "PRIORITY_HIGH",
                "PRIORITY_MAX",
            ],
        ),
    ),
    ("default_sound", Kind::Bool),
    ("default_vibrate_timings", Kind::Bool),
    ("default_light_settings", Kind::Bool),
    ("vibrate_timings", Kind::Durations),
    (
        "visibility",
        Kind::Words(
            "google.firebase.fcm.v1.AndroidNotification.Visibility",
            &["VISIBILITY_UNSPECIFIED", "PRIVATE", "PUBLIC", "SECRET"],
        ),
    ),
    ("notification_count", Kind::Number),
    ("light_settings", Kind::Message(LIGHT_SETTINGS)),
    ("image", Kind::Text),
    ("bypass_proxy_notification", Kind::Bool),
    (
        "proxy",
        Kind::Words(
            "google.firebase.fcm.v1.AndroidNotification.Proxy",
            &["PROXY_UNSPECIFIED", "ALLOW", "DENY", "IF_PRIORITY_LOWERED"],
        ),
    ),
];

const LIGHT_SETTINGS: &[Field] = &[
    (
        "color",
        Kind::Message(&[
            ("red", Kind::Number),
            ("green", Kind::Number),
            ("blue", Kind::Number),
            ("alpha", Kind::Number),
        ]),
    ),
    ("light_on_duration", Kind::Duration),
    ("light_off_duration", Kind::Duration),
];

const APNS: &[Field] = &[
    ("headers", Kind::TextMap),
    ("payload", Kind::Struct),
    ("fcm_options", Kind::Message(&[("analytics_label", Kind::Text), ("image", Kind::Text)])),
    ("live_activity_token", Kind::Text),
];

const WEBPUSH: &[Field] = &[
    ("headers", Kind::TextMap),
    ("data", Kind::TextMap),
    ("notification", Kind::Struct),
    ("fcm_options", Kind::Message(&[("link", Kind::Text), ("analytics_label", Kind::Text)])),
];

/// Checks the fields of a message at this place, such as `message.android`.
pub(super) fn check(place: &str, message: &Map<String, Value>, known: &[Field]) -> Result<(), Violation> {
    for (name, value) in message {
        let name = snake_case(name);
        let Some((_, kind)) = known.iter().find(|(field, _)| *field == name) else {
            return Err(unknown(place, &name));
        };
        if !value.is_null() {
            kind.check(&format!("{place}.{name}"), value)?;
        }
    }
    Ok(())
}

/// The value of a field, however its name is written; `None` for `null`.
pub(super) fn field<'a>(message: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let found = message.iter().find(|(other, _)| snake_case(other) == name);
    found.map(|(_, value)| value).filter(|value| !value.is_null())
}

impl Kind {
    fn check(&self, place: &str, value: &Value) -> Result<(), Violation> {
        let (holds, kind) = match self {
            Self::Text => (value.is_string(), "TYPE_STRING"),
            Self::Bool => (value.is_boolean(), "TYPE_BOOL"),
            Self::Number => {
                let is_number = |text: &str| text.parse::<f64>().is_ok();
                (value.is_number() || value.as_str().is_some_and(is_number), "TYPE_DOUBLE")
            }
            Self::Duration => {
                (value.as_str().and_then(seconds).is_some(), "type.googleapis.com/google.protobuf.Duration")
            }
            Self::Words(kind, words) => {
                let is_word = |text: &str| words.iter().any(|word| word.eq_ignore_ascii_case(text));
                if value.as_str().is_some_and(is_word) {
                    return Ok(());
                }
                return Err(invalid(place, &format!("type.googleapis.com/{kind}"), value));
            }
            Self::Texts => return check_list(place, value, &Self::Text),
            Self::Durations => return check_list(place, value, &Self::Duration),
            Self::TextMap => match value.as_object() {
                Some(map) => {
                    let at = |index| format!("{place}[{index}].value");
                    let mut values = map.values().enumerate();
                    return values.try_for_each(|(index, value)| Self::Text.check(&at(index), value));
                }
                None => (false, "TYPE_MESSAGE"),
            },
            Self::Struct => (value.is_object(), "TYPE_MESSAGE"),
            Self::Message(known) => match value.as_object() {
                Some(message) => return check(place, message, known),
                None => (false, "TYPE_MESSAGE"),
            },
        };
        if holds { Ok(()) } else { Err(invalid(place, kind, value)) }
    }
}

fn check_list(place: &str, value: &Value, kind: &Kind) -> Result<(), Violation> {
    let list = value.as_array().ok_or_else(|| invalid(place, "TYPE_MESSAGE", value))?;
    let mut values = list.iter().enumerate();
    values.try_for_each(|(index, value)| kind.check(&format!("{place}[{index}]"), value))
}

/// The seconds of a duration.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let digits = text.strip_suffix('s')?;
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(decimals) || decimals.len() > 9 {
        return None;
    }
    digits.parse().ok()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
