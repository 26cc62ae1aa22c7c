//! `asyncapi.yaml` names what the code has, and everything that it refers to exists.

use std::collections::BTreeSet;

use fleet_contracts::EventType;
use serde_json::Value;

use crate::documents;

fn document() -> Value {
    serde_saphyr::from_str(&documents::read("asyncapi.yaml")).unwrap()
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn i1_every_reference_resolves() {
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let exists = match reference.strip_prefix('#') {
            Some(pointer) => document.pointer(pointer).is_some(),
            None => documents::path(reference).is_file(),
        };
        assert!(exists, "{reference}");
    }
}

#[test]
fn i1_the_messages_are_the_types_of_events_and_the_outcome() {
    let document = document();
    let mut named = BTreeSet::new();
    for (key, message) in document["components"]["messages"].as_object().unwrap() {
        let name = message["name"].as_str().unwrap();
        assert!(named.insert(name.to_owned()), "{name} twice");
        let schema = &message["payload"]["schema"];
        if name == "outcome" || name == "enrollment-outcome" {
            assert_eq!(schema["$ref"], format!("schemas/{name}.json"));
            continue;
        }
        let own = &schema["allOf"][1]["properties"];
        assert_eq!(own["type"]["const"], name, "{key}");
        assert_eq!(own["data"]["$ref"], data_schema(name), "{key}");
    }
    let types = EventType::ALL.iter().map(|event_type| event_type.as_str().to_owned());
    assert_eq!(named, types.chain(["outcome".to_owned(), "enrollment-outcome".to_owned()]).collect());
}

/// Where the schema of the whole message finds that of the type's `data`.
fn data_schema(name: &str) -> String {
    let event: Value = serde_json::from_str(&documents::read("schemas/event.json")).unwrap();
    let branches = event["allOf"].as_array().unwrap();
    let branch = branches.iter().find(|branch| branch["if"]["properties"]["type"]["const"] == name).unwrap();
    format!("schemas/{}", branch["then"]["properties"]["data"]["$ref"].as_str().unwrap())
}

#[test]
fn every_message_has_a_channel_and_every_channel_an_operation() {
    let document = document();
    let names = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let channels = document["channels"].as_object().unwrap();
    let carried: BTreeSet<String> =
        channels.values().flat_map(|channel| names(&channel["messages"])).collect();
    assert_eq!(carried, names(&document["components"]["messages"]));

    let operations = document["operations"].as_object().unwrap();
    let used: BTreeSet<&str> =
        operations.values().map(|operation| operation["channel"]["$ref"].as_str().unwrap()).collect();
    let expected: Vec<String> = channels.keys().map(|name| format!("#/channels/{name}")).collect();
    assert_eq!(used, expected.iter().map(String::as_str).collect());
}
