//! The schemas on disk are those of the types, and their lists are the domain's.

use std::collections::BTreeSet;

use fleet_contracts::EventType;
use fleet_domain::{
    Assurance, AttemptState, Authority, CallerIdStep, ChallengeResult, Change, Channel, Detection,
    EnrollmentReason, EnrollmentResult, EnrollmentState, NextStep, PhoneKind, PhoneRole, Progress, Purpose,
    Reason, Refusal,
};
use serde_json::{Value, json};

use crate::documents;

#[test]
fn the_files_are_what_the_types_say() {
    let made = fleet_contracts::schemas();
    for (file, text) in &made {
        let stale = !documents::path("schemas").join(file).exists()
            || documents::read(&format!("schemas/{file}")) != *text;
        assert!(!stale, "schemas/{file} is stale; run: cargo run -p fleet-tests --bin generate");
    }
    let made: BTreeSet<_> = made.iter().map(|(file, _)| file.trim_end_matches(".json").to_owned()).collect();
    let have: BTreeSet<_> = documents::folder("schemas").into_iter().map(|(name, _)| name).collect();
    assert_eq!(have, made, "schemas/ has a file that no type makes, or lacks one");
}

#[test]
fn i1_every_schema_is_one_of_draft_2020_12() {
    for (name, schema) in documents::folder("schemas") {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        documents::validator(&format!("{name}.json"));
    }
}

macro_rules! words {
    ($word:ty) => {
        json!(<$word>::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>())
    };
}
/// A file, a place in it, and the list of words that stands there.
type List = (&'static str, &'static str, Value);

fn of_challenges() -> Vec<List> {
    vec![
        ("event", "/properties/type", words!(EventType)),
        ("challenge-request", "/properties/purpose", words!(Purpose)),
        ("challenge-request", "/properties/workflow/items/properties/channel", words!(Channel)),
        ("challenge-refused", "/properties/reason", words!(Refusal)),
        ("fraud-reported", "/properties/channel", words!(Channel)),
        ("outcome", "/properties/result", words!(ChallengeResult)),
        ("outcome", "/properties/progress", words!(Progress)),
        ("outcome", "/properties/reason", words!(Reason)),
        ("outcome", "/properties/assurance", words!(Assurance)),
        ("outcome", "/properties/purpose", words!(Purpose)),
        ("outcome", "/properties/attempts/items/properties/channel", words!(Channel)),
        ("outcome", "/properties/skipped/items/properties/channel", words!(Channel)),
        ("outcome", "/properties/skipped/items/properties/reason", words!(Reason)),
        ("outcome", "/properties/attempts/items/properties/amd", words!(Detection)),
        ("outcome", "/properties/attempts/items/properties/state", words!(AttemptState)),
        ("outcome", "/properties/attempts/items/properties/reason", words!(Reason)),
        ("outcome", "/properties/attempts/items/properties/caller_id/properties/step", words!(CallerIdStep)),
        ("outcome", "/properties/caller_id/properties/step", words!(CallerIdStep)),
        ("outcome", "/properties/alternatives/items/properties/channel", words!(Channel)),
    ]
}

fn of_enrollments() -> Vec<List> {
    vec![
        ("enrollment-request", "/properties/change", words!(Change)),
        ("enrollment-request", "/properties/method", words!(Channel)),
        ("enrollment-request", "/properties/phone", words!(PhoneRole)),
        ("enrollment-continue", "/properties/with", json!(["test", "answers", "activation", "cancel"])),
        ("enrollment-refused", "/properties/reason", words!(Refusal)),
        ("enrollment-secrets", "/properties/phone/properties/kind", words!(PhoneKind)),
        ("enrollment-secrets", "/properties/backup/properties/kind", words!(PhoneKind)),
        ("enrollment-outcome", "/properties/result", words!(EnrollmentResult)),
        ("enrollment-outcome", "/properties/state", words!(EnrollmentState)),
        ("enrollment-outcome", "/properties/reason", words!(EnrollmentReason)),
        ("enrollment-outcome", "/properties/next_step", words!(NextStep)),
        ("enrollment-outcome", "/properties/change", words!(Change)),
        ("enrollment-outcome", "/properties/authority", words!(Authority)),
        ("enrollment-outcome", "/properties/method/properties/before", words!(Channel)),
        ("enrollment-outcome", "/properties/method/properties/after", words!(Channel)),
        ("enrollment-outcome", "/properties/enrolled/properties/method", words!(Channel)),
        (
            "enrollment-outcome",
            "/properties/enrolled/properties/phones/items/properties/phone",
            words!(PhoneRole),
        ),
        (
            "enrollment-outcome",
            "/properties/enrolled/properties/phones/items/properties/kind",
            words!(PhoneKind),
        ),
        ("enrollment-outcome", "/properties/phones/items/properties/phone", words!(PhoneRole)),
        ("enrollment-outcome", "/properties/tests/items/properties/reason", words!(Reason)),
    ]
}

#[test]
fn o3_the_lists_in_the_schemas_are_the_domains() {
    let expected = [of_challenges(), of_enrollments()].concat();
    let mut lists = 0;
    for (name, schema) in documents::folder("schemas") {
        for (file, pointer, words) in &expected {
            if *file == name {
                assert_eq!(schema.pointer(&format!("{pointer}/enum")), Some(words), "{name} {pointer}");
            }
        }
        lists += count_lists(&schema);
    }
    assert_eq!(lists, expected.len(), "a schema has a list of words that this test does not know");
}

fn count_lists(schema: &Value) -> usize {
    match schema {
        Value::Object(fields) => {
            usize::from(fields.contains_key("enum")) + fields.values().map(count_lists).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(count_lists).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
