//! What a request becomes, and bodies that no JSON Schema can tell of: repeated names, broken JSON, depth.

use std::time::Duration;

use fleet_contracts::{ChallengeRefused, Event, EventType, Message, canonical, event_id, parse};
use fleet_domain::{
    AskedStep, Channel, DeviceId, NotOpened, PortalName, Purpose, Refusal, Target, Timestamp,
};

use crate::documents;

const ID: &str = "01a20ce4-05c0-7c3f-9d2e-4b5a6c7d8e9f";

fn request(example: &str) -> fleet_contracts::ChallengeRequest {
    let text = documents::read(&format!("examples/{example}.json"));
    let message = parse(text.as_bytes()).unwrap().event.message;
    let Message::ChallengeRequested(request) = message else { panic!("{message:?}") };
    request
}

fn ask(example: &str) -> fleet_domain::Ask {
    let portal = PortalName::parse("operations").unwrap();
    let hash = |digits: &str| {
        let mut hash = [0; 16];
        hash[..digits.len()].copy_from_slice(digits.as_bytes());
        hash
    };
    request(example).into_ask(portal, Some(Channel::Push), [9; 32], hash)
}

#[test]
fn a_full_request_becomes_an_ask() {
    let ask = ask("challenge-request");
    assert_eq!(ask.key.to_string(), format!("operations/{ID}"));
    assert_eq!((ask.user.as_str(), ask.purpose, ask.target), ("avery.lee", Purpose::SignIn, Target::Primary));
    assert_eq!((ask.channel, ask.body_hash), (Some(Channel::Push), [9; 32]));
    assert_eq!(&ask.number_match.unwrap()[..2], b"47");
    assert_eq!(ask.answer_by, Some(Timestamp::from_micros(1_795_512_720_000_000)));
    assert_eq!(ask.context.application.as_deref(), Some("Payroll"));
    let names: Vec<_> = ask.context.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["browser", "office"]);
}

#[test]
fn what_a_request_leaves_out_has_its_default() {
    let ask = ask("challenge-request-least");
    assert_eq!((ask.purpose, ask.target, ask.number_match), (Purpose::SignIn, Target::Primary, None));
    assert_eq!((ask.workflow.len(), ask.answer_by, ask.locale), (0, None, None));
}

#[test]
fn a_workflow_becomes_steps_in_its_order() {
    let device = DeviceId::parse("5f0c9a52-1d7e-4b36-9a41-c2e8d07b6f13").unwrap();
    let expected = [
        AskedStep {
            channel: Channel::Push,
            target: Target::Device(device),
            timeout: Some(Duration::from_secs(45)),
        },
        AskedStep { channel: Channel::Voice, target: Target::Backup, timeout: None },
    ];
    assert_eq!(ask("challenge-request-workflow").workflow, expected);
}

#[test]
fn m8_the_digits_of_a_request_are_never_printed() {
    let printed = format!("{:?}", request("challenge-request-workflow"));
    assert!(printed.contains("NumberMatch(***)") && !printed.contains("203941"), "{printed}");
}

#[test]
fn o8_the_same_request_written_otherwise_has_the_same_canonical_form() {
    let one = documents::read("examples/challenge-request.json");
    let compact = parse(one.as_bytes()).unwrap().event.to_json();
    let hash = |text: &str| canonical(parse(text.as_bytes()).unwrap().data).unwrap();
    assert_eq!(hash(&one), hash(&compact));
    assert_ne!(hash(&one), hash(&one.replace("\"47\"", "\"48\"")));
}

#[test]
fn what_is_no_whole_json_object_is_named_as_such() {
    let message = |data: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"1","source":"/p","type":"mfa.challenge.requested.v1","data":{data}}}"#
        )
    };
    let right = format!(r#"{{"challenge_id":"{ID}","user_id":"a"}}"#);
    assert!(parse(message(&right).as_bytes()).is_ok());
    let deep = "[".repeat(100_000);
    let cases: [(&str, Vec<u8>); 13] = [
        ("body must be a JSON object", b"".into()),
        ("body must be a JSON object", b"[]".into()),
        ("body must be a JSON object", message(&right)[1..].into()),
        ("body must be a JSON object", format!("{} x", message(&right)).into()),
        ("body must be a JSON object", format!("\u{feff}{}", message(&right)).into()),
        ("body must be a JSON object", message(&right).replace("\"1\"", "\"1\0\"").into()),
        ("body must be a JSON object", format!("{{\"a\":{deep}").into()),
        ("body must be UTF-8", b"{\"id\":\"\xff\"}".into()),
        ("body must not have two fields of one name", message(&right).replace("\"id\"", "\"source\"").into()),
        (
            "data must not have two fields of one name",
            message(&right.replace("user_id", "challenge_id")).into(),
        ),
        ("data.user_id must be 1 to 128 characters without spaces or control characters", {
            message(&right.replace("\"a\"", r#""\ud800""#)).into()
        }),
        ("data.context must be a JSON object", {
            message(&right.replace("\"a\"", &format!("\"a\",\"context\":{deep}{}", "]".repeat(100_000))))
                .into()
        }),
        ("data.workflow[0].timeout_s must be a whole number from 5 to 300", {
            message(&right.replace("\"a\"", r#""a","workflow":[{"channel":"push","timeout_s":1e999}]"#))
                .into()
        }),
    ];
    for (expected, body) in cases {
        assert_eq!(parse(&body).unwrap_err().to_string(), expected, "{}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn depth_in_what_is_passed_over_costs_nothing() {
    let depth = 100_000;
    let text = documents::read("examples/cancel-request.json").replacen(
        '{',
        &format!("{{\"ext\":{}{},", "[".repeat(depth), "]".repeat(depth)),
        1,
    );
    assert_eq!(parse(text.as_bytes()).unwrap().event.message.event_type(), EventType::CancelRequested);
}

#[test]
fn an_invalid_body_tells_its_id_and_known_fields() {
    let text = documents::read("examples/challenge-request-least.json");
    let unknown =
        text.replace("avery.lee\"", "avery.lee\",\"avery\":1").replace("\"id\"", "\"own\":1,\"id\"");
    let invalid = parse(unknown.as_bytes()).unwrap_err();
    assert_eq!(invalid.challenge_id.as_deref(), Some(ID));
    assert_eq!(
        invalid.known_fields,
        ["specversion", "id", "source", "type", "data", "data.challenge_id", "data.user_id"]
    );

    let future = parse(text.replace("requested.v1", "requested.v2").as_bytes()).unwrap_err();
    assert_eq!((future.field.as_str(), future.challenge_id.as_deref()), ("type", Some(ID)));

    let open = parse(text.trim_end().trim_end_matches('}').as_bytes()).unwrap_err();
    assert_eq!((open.field.as_str(), open.challenge_id.as_deref()), ("body", Some(ID)));

    let cut = parse(text.split("user_id").next().unwrap().as_bytes()).unwrap_err();
    assert_eq!((cut.field.as_str(), cut.challenge_id.as_deref()), ("body", None));
    assert_eq!(cut.known_fields, ["specversion", "id", "source", "type"]);
}

#[test]
fn i1_a_refusal_can_be_made_wherever_the_id_is_a_uuid() {
    let text = documents::read("examples/challenge-request-least.json");
    let other = "F47AC10B-58CC-4372-A567-0E02B2C3D479";
    let invalid = parse(text.replace(ID, other).as_bytes()).unwrap_err();
    let refused = ChallengeRefused::of_invalid(&invalid).unwrap();
    assert_eq!((refused.challenge_id.as_str(), refused.reason), (other, Refusal::InvalidRequest));
    assert_eq!(refused.field, "data.challenge_id");

    let none = parse(text.replace(ID, "order 66").as_bytes()).unwrap_err();
    assert_eq!(ChallengeRefused::of_invalid(&none), None);

    let id = request("challenge-request").challenge_id;
    let stale = NotOpened { refusal: Refusal::StaleId, field: "challenge_id", rule: "must be newer" };
    let refused = ChallengeRefused::of_not_opened(id, &stale);
    assert_eq!((refused.field.as_str(), refused.reason), ("data.challenge_id", Refusal::StaleId));
}

#[test]
fn an_event_of_the_fleet_has_the_id_of_its_version() {
    let portal = PortalName::parse("operations").unwrap();
    let message = request("challenge-request");
    let id = event_id(&portal, message.challenge_id, 8);
    assert_eq!(id, format!("operations/{ID}/8"));
    let event = Event::new(id, "/p", Timestamp::from_micros(0), Message::ChallengeRequested(message));
    assert_eq!(parse(event.to_json().as_bytes()).unwrap().event, event);
}
