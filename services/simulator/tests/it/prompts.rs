//! Gather, from what the callee does to what the customer hears.

use serde_json::{Value, json};

use crate::customer::Customer;
use crate::stage::{FROM, Stage};

const ALICE: &str = "+19195550101";
const BYE: &str = "<Response><Hangup/></Response>";

/// What the customer is asked after the prompt.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// The action, with these digits and the key that ended them.
    Action(String, String),
    /// Whatever comes after the Gather.
    Next,
    /// Nothing more.
    Nothing,
}

async fn script(stage: &Stage, presses: &Value) {
    let person = json!({ "number": ALICE, "presses": presses });
    assert_eq!(stage.control("people", &json!({ "person": [person] })).await, 204);
}

/// Has alice called with this document; returns what came after it and how long the call lasted.
async fn conversation(stage: &Stage, document: &str) -> (Asked, u64) {
    let pages = [("/voice", document), ("/digits", BYE), ("/next", BYE)];
    let mut customer = Customer::open(&pages).await;
    let (url, status) = (format!("{}/voice", customer.url), format!("{}/status", customer.url));
    let form = [("To", ALICE), ("From", FROM), ("Url", &*url), ("StatusCallback", &*status)];
    assert_eq!(stage.post("Calls.json", &form).await.0, 201);
    let seen = customer.until_the_end().await;
    let seconds = seen.last().unwrap().field("CallDuration").parse().unwrap();
    let after = seen.iter().find(|seen| matches!(&*seen.path, "/digits" | "/next"));
    let asked = match after {
        Some(seen) if seen.path == "/digits" => {
            assert_eq!(seen.field("msg"), "Gather End");
            Asked::Action(seen.field("Digits").to_owned(), seen.field("FinishedOnKey").to_owned())
        }
        Some(_) => Asked::Next,
        None => Asked::Nothing,
    };
    (asked, seconds)
}

#[tokio::test]
async fn a_gather_hears_what_its_attributes_say() {
    let stage = Stage::set("", "").await;
    let action = |digits: &str, key: &str| Asked::Action(digits.to_owned(), key.to_owned());
    // attributes, what alice presses, what is asked next
    let table = [
        ("", "1234#", action("1234", "#")),
        ("", "1234", action("1234", "")),
        ("", "12*4#", action("12*4", "#")),
        ("", "#", Asked::Next),
        ("", "", Asked::Next),
        ("actionOnEmptyResult=\"true\"", "#", action("", "#")),
        ("actionOnEmptyResult=\"true\"", "", action("", "")),
        ("actionOnEmptyResult=\"false\"", "#", Asked::Next),
        ("numDigits=\"4\"", "123456", action("1234", "")),
        ("numDigits=\"4\"", "12#", action("12", "#")),
        ("numDigits=\"1\"", "#", Asked::Next),
        ("numDigits=\"1\" finishOnKey=\"\"", "#", action("#", "")),
        ("finishOnKey=\"\"", "1#*", action("1#*", "")),
        ("finishOnKey=\"*\"", "1#*", action("1#", "*")),
        ("finishOnKey=\"5\"", "125", action("12", "5")),
        ("finishOnKey=\"##\"", "12#", action("12", "#")),
        ("timeout=\"soon\"", "12#", action("12", "#")),
    ];
    for (attributes, keys, expected) in table {
        script(&stage, &if keys.is_empty() { json!([]) } else { json!([keys]) }).await;
        let document = format!(
            "<Response><Gather action=\"/digits\" {attributes}><Say>Press.</Say></Gather><Redirect>/next</Redirect></Response>"
        );
        assert_eq!(conversation(&stage, &document).await.0, expected, "{attributes} {keys}");
    }
}

#[tokio::test]
async fn a_key_stops_the_prompt_and_silence_waits_for_its_end() {
    let stage = Stage::set("", "").await;
    let long =
        "<Response><Gather action=\"/digits\" timeout=\"100\"><Pause length=\"1000\"/></Gather></Response>";
    script(&stage, &json!(["12#"])).await;
    let (asked, seconds) = conversation(&stage, long).await;
    assert_eq!(asked, Asked::Action("12".to_owned(), "#".to_owned()));
    assert!(seconds < 900, "the keys came after a second and cut the prompt short: {seconds}");
    script(&stage, &json!([])).await;
    let (asked, seconds) = conversation(&stage, long).await;
    assert_eq!(asked, Asked::Nothing, "no verb follows: the call ends");
    assert!(seconds >= 1_100, "the prompt, then the silence: {seconds}");
}

#[tokio::test]
async fn a_gather_without_action_asks_for_its_own_document_again() {
    let (stage, mut customer) = (
        Stage::set("", "").await,
        Customer::open(&[("/voice", "<Response><Gather numDigits=\"1\"/></Response>")]).await,
    );
    script(&stage, &json!(["7"])).await;
    let (url, status) = (format!("{}/voice?step=1", customer.url), format!("{}/status", customer.url));
    let form = [("To", ALICE), ("From", FROM), ("Url", &*url), ("StatusCallback", &*status)];
    assert_eq!(stage.post("Calls.json", &form).await.0, 201);
    let seen = customer.until_the_end().await;
    let asked: Vec<_> = seen.iter().filter(|seen| seen.path == "/voice").collect();
    assert_eq!(asked.iter().map(|seen| seen.field("Digits")).collect::<Vec<_>>(), ["(absent)", "7"]);
    assert!(asked.iter().all(|seen| seen.url == url && seen.is_signed), "{asked:#?}");
}

#[tokio::test]
async fn an_action_in_a_document_given_as_text_must_be_absolute() {
    let (stage, mut customer) = (Stage::set("", "").await, Customer::open(&[("/digits", BYE)]).await);
    let status = format!("{}/status", customer.url);
    for (action, is_asked) in [("/digits".to_owned(), false), (format!("{}/digits", customer.url), true)] {
        script(&stage, &json!(["1#"])).await;
        let document = format!("<Response><Gather action=\"{action}\"/></Response>");
        let form = [("To", ALICE), ("From", FROM), ("Twiml", &*document), ("StatusCallback", &*status)];
        assert_eq!(stage.post("Calls.json", &form).await.0, 201);
        let seen = customer.until_the_end().await;
        assert_eq!(seen.iter().any(|seen| seen.path == "/digits"), is_asked, "{action}");
    }
    assert_eq!(stage.facts("notification").await[0]["code"], 11100);
}

#[tokio::test]
async fn the_action_hears_of_a_callee_who_hangs_up_only_if_so_set() {
    let document = "<Response><Gather action=\"/digits\"><Say>Press.</Say></Gather><Redirect>/next</Redirect></Response>";
    for (settings, is_told) in [("", false), ("hang_up_calls_action = true", true)] {
        let stage = Stage::set(settings, "").await;
        script(&stage, &json!([{ "hang_up_after": "3s" }])).await;
        let mut customer = Customer::open(&[("/voice", document), ("/digits", BYE), ("/next", BYE)]).await;
        let url = format!("{}/voice", customer.url);
        assert_eq!(stage.post("Calls.json", &[("To", ALICE), ("From", FROM), ("Url", &url)]).await.0, 201);
        let ended = stage.until_logged("ended", 1).await.remove(0);
        let how = (&ended["by"], &ended["status"], &ended["sip"]);
        assert_eq!(how, (&"callee".into(), &"completed".into(), &200.into()));
        if is_told {
            stage.until_logged("fetched", 2).await;
        }
        // After this nothing is on its way any more.
        stage.strike().await;
        let asked: Vec<_> = customer
            .so_far()
            .iter()
            .map(|seen| format!("{} {}", seen.path, seen.field("CallStatus")))
            .collect();
        let expected: &[_] = &["/voice in-progress", "/digits completed"];
        assert_eq!(asked, expected[..if is_told { 2 } else { 1 }]);
    }
}
