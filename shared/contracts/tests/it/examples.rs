//! The golden examples, valid and invalid, by schema and by parser; and those in README.md.

use std::collections::{BTreeMap, BTreeSet};

use fleet_contracts::{EnrollmentOutcome, EventType, Outcome, parse};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::documents;

fn check_message(name: &str, message: &Value, schema: &jsonschema::Validator) -> EventType {
    if let Err(e) = schema.validate(message) {
        panic!("{name}: {e}");
    }
    let text = message.to_string();
    let read = parse(text.as_bytes()).unwrap_or_else(|invalid| panic!("{name}: {invalid}"));
    let written = read.event.to_json();
    let mut expected = message.clone();
    // The one attribute that is written whether or not it was sent.
    expected["datacontenttype"] = "application/json".into();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected, "{name}");
    assert_eq!(parse(written.as_bytes()).unwrap().event, read.event, "{name}");
    read.event.message.event_type()
}

fn check_enrollment(name: &str, document: &Value, schema: &jsonschema::Validator) {
    if let Err(e) = schema.validate(document) {
        panic!("{name}: {e}");
    }
    let outcome =
        EnrollmentOutcome::from_json(&document.to_string()).unwrap_or_else(|| panic!("{name} is not read"));
    assert_eq!(serde_json::from_str::<Value>(&outcome.to_json()).unwrap(), *document, "{name}");
}

fn check_outcome(name: &str, document: &Value, schema: &jsonschema::Validator) {
    if let Err(e) = schema.validate(document) {
        panic!("{name}: {e}");
    }
    let outcome = Outcome::from_json(&document.to_string()).unwrap_or_else(|| panic!("{name} is not read"));
    assert_eq!(serde_json::from_str::<Value>(&outcome.to_json()).unwrap(), *document, "{name}");
}

#[test]
fn i1_every_example_is_valid_and_written_as_it_was_read() {
    let (event, outcome) = (documents::validator("event.json"), documents::validator("outcome.json"));
    let enrollment = documents::validator("enrollment-outcome.json");
    let mut seen = BTreeSet::new();
    for (name, document) in documents::folder("examples") {
        if name.starts_with("enrollment-outcome-") {
            check_enrollment(&name, &document, &enrollment);
        } else if name.starts_with("outcome-") {
            check_outcome(&name, &document, &outcome);
        } else {
            seen.insert(check_message(&name, &document, &event));
        }
    }
    let all: BTreeSet<_> = EventType::ALL.iter().copied().collect();
    assert_eq!(seen, all, "types of events without an example");
}

#[test]
fn p6_every_invalid_example_names_its_field_and_rule_and_fails_its_schema_too() {
    let schema = documents::validator("event.json");
    for (name, example) in documents::folder("examples/invalid") {
        // The text as it stands there: own fields are named by their position.
        let text = documents::read(&format!("examples/invalid/{name}.json"));
        let raw: BTreeMap<String, &RawValue> = serde_json::from_str(&text).unwrap();
        let Err(invalid) = parse(raw["message"].get().as_bytes()) else { panic!("{name} is taken") };
        assert_eq!(
            (invalid.field.as_str(), invalid.rule.as_str()),
            (example["field"].as_str().unwrap(), example["rule"].as_str().unwrap()),
            "{name}"
        );
        assert!(!schema.is_valid(&example["message"]), "{name} is valid by the schema");
    }
}

#[test]
fn the_readme_shows_the_golden_examples() {
    let readme = documents::read("README.md");
    let blocks: Vec<Value> = readme
        .split("```json\n")
        .skip(1)
        .map(|rest| serde_json::from_str(rest.split("```").next().unwrap()).unwrap())
        .collect();
    let golden = [
        "challenge-request",
        "outcome-approved",
        "code-entered",
        "enrollment-request",
        "enrollment-outcome-waiting",
    ]
    .map(|name| documents::read(&format!("examples/{name}.json")))
    .map(|text| serde_json::from_str::<Value>(&text).unwrap());
    assert_eq!(blocks, golden);
}

#[test]
fn the_readme_names_the_fields_of_every_change_as_the_schema_does() {
    let schema: Value = serde_json::from_str(&documents::read("schemas/enrollment-request.json")).unwrap();
    let readme = documents::read("README.md");
    let always = ["request_id", "user_id", "change", "locale", "actor", "reason", "ticket"];
    let cell = |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let rules = schema["allOf"].as_array().unwrap();
    assert!(rules.len() >= 15);
    for rule in rules {
        let change = rule["if"]["properties"]["change"]["const"].as_str().unwrap();
        let must: Vec<&str> =
            rule["then"]["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let absent = rule["then"]["properties"].as_object().unwrap();
        let starts = format!("| `{change}` |");
        let line =
            readme.lines().find(|line| line.starts_with(&starts)).unwrap_or_else(|| panic!("no {change}"));
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells[2], cell(must.clone()), "{change}");
        let mut may: Vec<&str> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .filter(|name| !always.contains(name) && !must.contains(name) && !absent.contains_key(*name))
            .collect();
        let mut told: Vec<&str> = cells[3].split(", ").map(|name| name.trim_matches('`')).collect();
        told.retain(|name| !name.is_empty());
        may.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, may, "{change}");
    }
}
