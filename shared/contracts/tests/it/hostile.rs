//! Arbitrary and mutated bodies: nothing panics, parser and schema agree, and no value is ever repeated.

use std::sync::LazyLock;

use fleet_contracts::{Envelope, EventType, Outcome, Secrets, canonical, parse};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::documents;

/// A text that stands nowhere in the contracts.
const CANARY: &str = "canary-919-555-0100";

static MESSAGES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let examples = documents::folder("examples").into_iter();
    examples.filter(|(name, _)| !name.starts_with("outcome-")).map(|(_, message)| message).collect()
});
static EVENT: LazyLock<jsonschema::Validator> = LazyLock::new(|| documents::validator("event.json"));

/// What a sealed box opens to, with everything that it can hold.
static SECRETS: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "request_id": "01a20ce4-05c0-7c3f-9d2e-4b5a6c7d8e9f",
        "user_id": "avery.lee",
        "phone": { "number": "+19195550100", "extension": ",,42", "kind": "office" },
        "backup": { "number": "+19195550111" },
        "pin": "820571",
        "answers": [{ "question": "pet", "answer": "Rex" }, { "question": "city", "answer": "Raleigh" }],
    })
});
static SECRETS_SCHEMA: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| documents::validator("enrollment-secrets.json"));

/// Where a value can be put: every field and item, and a field that is not there yet.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.push(format!("{at}/unknown_field"));
            for (name, value) in fields {
                found.push(format!("{at}/{name}"));
                places(value, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                found.push(format!("{at}/{index}"));
                places(value, &format!("{at}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The message with another value, or none, at one of its places.
fn changed(message: &Value, place: prop::sample::Index, value: Option<Value>) -> Value {
    let mut found = Vec::new();
    places(message, "", &mut found);
    let (parent, name) = place.get(&found).rsplit_once('/').unwrap();
    let mut message = message.clone();
    match (message.pointer_mut(parent).unwrap(), value) {
        (Value::Object(fields), Some(value)) => drop(fields.insert(name.to_owned(), value)),
        (Value::Object(fields), None) => drop(fields.remove(name)),
        (Value::Array(items), Some(value)) => items[name.parse::<usize>().unwrap()] = value,
        (Value::Array(items), None) => drop(items.remove(name.parse().unwrap())),
        (other, _) => panic!("{other} has no places"),
    }
    message
}

/// Texts near the rules.
const TEXTS: &[&str] = &[
    "",
    "voice",
    "push",
    "totp",
    "primary",
    "backup",
    "sign_in",
    "47",
    "1234567",
    "en-US",
    "en_US",
    "::1",
    "1.2.3.4",
    "1.2.3.400",
    "2026-11-24T09:30:00Z",
    "2026-02-30T09:30:00Z",
    "2026-11-24T09:30:00",
    "operations",
    "Operations",
    "01a20ce4-05c0-7c3f-9d2e-4b5a6c7d8e9f",
    "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "a b",
    "\u{202e}",
    "\0",
    "1.0",
    "mfa.challenge.requested.v1",
    "mfa.voice.dial_owed.v1",
    "mfa.challenge.requested.v9",
    "application/json",
];

/// Values near the rules, and others.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        prop::sample::select(TEXTS).prop_map(str::to_owned),
        ".{0,140}",
        prop::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter),
    ];
    let leaf = prop_oneof![
        8 => text.prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        2 => (-2_i64..400).prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => prop::sample::select(&[5.0, 30.0, 300.0, 300.5, 1e300][..]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..7).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,8}|channel|target|timeout_s|place", inner, 0..24)
                .prop_map(|fields| json!(fields)),
        ]
    })
}

/// What the fleet tells is read generously, so that it may grow: there the schema says more.
fn is_told(message: &Value) -> bool {
    let told = [
        EventType::ChallengeResolved,
        EventType::ChallengeRefused,
        EventType::EnrollmentChanged,
        EventType::EnrollmentRefused,
    ];
    told.iter().any(|event_type| message["type"] == event_type.as_str())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
        let _ = Outcome::from_json(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_message_with_broken_bytes_never_panics(
        message in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = message.get(&MESSAGES).to_string().into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = parse(&bytes);
        let _ = parse(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn parser_and_schema_agree_about_every_changed_message(
        message in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        value in prop::option::weighted(0.9, value()),
    ) {
        let message = changed(message.get(&MESSAGES), place, value);
        let text = message.to_string();
        match parse(text.as_bytes()) {
            _ if is_told(&message) => {}
            Ok(Envelope { event, data }) => {
                prop_assert!(EVENT.is_valid(&message), "taken against the schema: {}", message);
                prop_assert!(canonical(data).is_ok());
                let written = event.to_json();
                prop_assert!(EVENT.is_valid(&serde_json::from_str(&written).unwrap()), "{}", written);
            }
            Err(invalid) => prop_assert!(!EVENT.is_valid(&message), "{}: {}", invalid, message),
        }
    }

    #[test]
    fn m8_no_refusal_repeats_a_value(
        message in any::<prop::sample::Index>(),
        places in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..4), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut message = message.get(&MESSAGES).clone();
        for (place, shape) in places {
            let canary = match shape {
                0 => json!(CANARY),
                1 => json!([CANARY]),
                2 => json!({ CANARY: CANARY }),
                _ => json!(format!("{CANARY}\0{}", CANARY.repeat(20))),
            };
            message = changed(&message, place, Some(canary));
        }
        let text = message.to_string();
        let end = cut.map_or(text.len(), |cut| cut.index(text.len()));
        if let Err(invalid) = parse(&text.as_bytes()[..end]) {
            let told = format!("{invalid} {invalid:?}");
            prop_assert!(!told.contains(CANARY), "{}", told);
        }
    }

    #[test]
    fn opened_boxes_of_arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Secrets::read(&bytes);
    }

    #[test]
    fn parser_and_schema_agree_about_every_changed_opened_box(
        place in any::<prop::sample::Index>(),
        value in prop::option::weighted(0.9, value()),
    ) {
        let changed = changed(&SECRETS, place, value);
        match Secrets::read(changed.to_string().as_bytes()) {
            Ok(secrets) => {
                prop_assert!(SECRETS_SCHEMA.is_valid(&changed), "taken against the schema: {}", changed);
                let again = Secrets::read(secrets.to_json().as_bytes()).unwrap();
                prop_assert!(again == secrets, "{}", changed);
            }
            Err(invalid) => prop_assert!(!SECRETS_SCHEMA.is_valid(&changed), "{}: {}", invalid, changed),
        }
    }

    #[test]
    fn m8_no_refusal_of_an_opened_box_repeats_a_value_or_a_name_of_its_own(
        places in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..4), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut secrets = SECRETS.clone();
        for (place, shape) in places {
            let canary = match shape {
                0 => json!(CANARY),
                1 => json!([CANARY]),
                2 => json!({ CANARY: CANARY }),
                _ => json!(format!("{CANARY}\0{}", CANARY.repeat(40))),
            };
            secrets = changed(&secrets, place, Some(canary));
        }
        let text = secrets.to_string();
        let end = cut.map_or(text.len(), |cut| cut.index(text.len()));
        match Secrets::read(&text.as_bytes()[..end]) {
            Ok(secrets) => {
                let shown = format!("{secrets:?}");
                prop_assert!(!shown.contains(CANARY), "{}", shown);
            }
            Err(invalid) => {
                let told = format!("{invalid} {invalid:?}");
                for secret in [CANARY, "820571", "5550100", "5550111", "Raleigh"] {
                    prop_assert!(!told.contains(secret), "{}", told);
                }
            }
        }
    }
}
