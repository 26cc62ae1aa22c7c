//! The shapes of Twilio's answers, field for field: calls in each state, pages, errors.

use serde_json::{Value, json};

use crate::stage::{ACCOUNT, AUTH_TOKEN, FROM, Stage, answer};

const ALICE: &str = "+19195550101";
const SETTINGS: &str = "numbers = [\"+19195550100\"]\ngeo_permissions = [\"+1\"]\n\
                        trial_verified = [\"+19195550101\", \"+442079460123\"]";
const UNKNOWN: &str = "CA00000000000000000000000000000009";

fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/it/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).expect(&path)).unwrap()
}

/// The body with the places of the fixtures in place of what differs from call to call, once each has its form.
fn normal(mut call: Value) -> Value {
    let sid = call["sid"].as_str().unwrap().to_owned();
    assert!(sid.len() == 34 && sid.starts_with("CA"), "{sid}");
    for name in ["date_created", "date_updated", "start_time", "end_time"] {
        if let Some(date) = call[name].as_str() {
            // Tue, 24 Nov 2026 08:13:42 +0000
            let form: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            assert!(
                form.ends_with(" 0000 00:00:00 +0000") && form.chars().nth(3) == Some(','),
                "{name}: {date}"
            );
            call[name] = "DATE".into();
        }
    }
    if let Some(seconds) = call["duration"].as_str() {
        assert!(seconds.parse::<u64>().is_ok(), "{seconds}");
        call["duration"] = "SECONDS".into();
    }
    if let Some(price) = call["price"].as_str() {
        assert!(price.starts_with('-') && price.parse::<f64>().is_ok(), "{price}");
        call["price"] = "PRICE".into();
    }
    serde_json::from_str(&call.to_string().replace(&sid, "CALL")).unwrap()
}

async fn people(stage: &Stage, script: &Value) {
    let mut person = json!({ "number": ALICE });
    person.as_object_mut().unwrap().extend(script.as_object().unwrap().clone());
    assert_eq!(stage.control("people", &json!({ "person": [person] })).await, 204);
}

/// The call once it has this status.
async fn fetched(stage: &Stage, path: &str, status: &str) -> Value {
    loop {
        let (_, call) = stage.get(path).await;
        if call["status"] == status {
            return call;
        }
    }
}

#[tokio::test]
async fn a_call_has_twilios_fields_nulls_and_strings_in_every_state() {
    let stage = Stage::set(SETTINGS, "").await;
    let form = [
        ("To", ALICE),
        ("From", FROM),
        ("Twiml", "<Response><Say>Good bye.</Say></Response>"),
        ("MachineDetection", "Enable"),
        ("Timeout", "600"),
    ];
    let table = [
        (json!({ "answers": { "after": "5000s" } }), "ringing"),
        (json!({}), "completed"),
        (json!({ "busy": true }), "busy"),
    ];
    for (script, status) in table {
        people(&stage, &script).await;
        let (created, call) = stage.post("Calls.json", &form).await;
        assert_eq!((created, normal(call.clone())), (201, fixture("call_created")));
        let path = format!("Calls/{}.json", call["sid"].as_str().unwrap());
        let call = fetched(&stage, &path, status).await;
        assert_eq!(normal(call), fixture(&format!("call_{status}")));
        if status == "ringing" {
            let (updated, call) = stage.post(&path, &[("Status", "canceled")]).await;
            assert_eq!((updated, normal(call)), (200, fixture("call_canceled")));
        }
    }
}

#[tokio::test]
async fn pages_link_to_each_other_and_keep_the_filters() {
    let stage = Stage::set(SETTINGS, "").await;
    let page = async |uri: &str| {
        let request = stage.client.get(format!("{}{uri}", stage.url));
        answer(request.basic_auth(ACCOUNT, Some(AUTH_TOKEN))).await.1
    };
    let first_uri =
        |size: u32| format!("/2010-04-01/Accounts/{ACCOUNT}/Calls.json?To=%2B19195550101&PageSize={size}");
    assert_eq!(page(first_uri(50).trim_end_matches("&PageSize=50")).await, fixture("page_empty"));
    for _ in 0..2 {
        let form = [("To", ALICE), ("From", FROM), ("Twiml", "<Response/>")];
        assert_eq!(stage.post("Calls.json", &form).await.0, 201);
    }
    let mut first = page(&first_uri(1)).await;
    let sid = first["calls"][0]["sid"].as_str().unwrap().to_owned();
    let mut last = page(first["next_page_uri"].as_str().unwrap()).await;
    for (page, name) in [(&mut first, "page_first"), (&mut last, "page_last")] {
        assert_eq!(page["calls"].as_array().unwrap().len(), 1);
        page["calls"] = json!(["…"]);
        let text = page.to_string().replace(&sid, "CALL");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), fixture(name));
    }
}

#[tokio::test]
async fn errors_have_their_status_code_and_words() {
    let stage = Stage::set(SETTINGS, "").await;
    let create = async |to: &str, from: &str, twiml: &str| {
        stage.post("Calls.json", &[("To", to), ("From", from), ("Twiml", twiml)]).await
    };
    let request = |method: &str, path: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        stage.client.request(method, stage.api(path)).basic_auth(ACCOUNT, Some(AUTH_TOKEN))
    };
    let (status, call) = create(ALICE, FROM, "<Response/>").await;
    assert_eq!(status, 201);
    let ended = format!("Calls/{}.json", call["sid"].as_str().unwrap());
    fetched(&stage, &ended, "completed").await;
    let unknown = format!("Calls/{UNKNOWN}.json");
    let strangers = [
        stage.client.get(stage.api(&unknown)),
        stage.client.get(stage.api(&unknown)).basic_auth(ACCOUNT, Some("wrong")),
        stage.client.get(stage.api(&unknown)).basic_auth("AC1", Some(AUTH_TOKEN)),
        stage.client.post(stage.api("Calls.json")).form(&[("To", "")]),
    ];
    for stranger in strangers {
        let response = stranger.send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Basic realm=\"Twilio API\"");
        assert_eq!(
            (response.status().as_u16(), response.json::<Value>().await.unwrap()),
            (401, fixture("authenticate"))
        );
    }
    let table = [
        (create("", FROM, "x").await, "no_to"),
        (create("+1415", "", "").await, "no_url"),
        (create(ALICE, "+14155550999", "x").await, "unverified_caller"),
        (create("+442079460123", FROM, "x").await, "geo_permissions"),
        (create("+19195550199", FROM, "x").await, "trial_callee"),
        (stage.get(&unknown).await, "call_not_found"),
        (stage.post(&unknown, &[("Status", "canceled")]).await, "call_not_found"),
        (answer(request("DELETE", &unknown)).await, "call_not_found"),
        (stage.get("Messages.json").await, "path_not_found"),
        (stage.post(&ended, &[("Status", "completed")]).await, "call_not_in_progress"),
        (stage.post(&ended, &[("Twiml", "<Response/>")]).await, "call_not_in_progress"),
        (answer(request("PUT", "Calls.json")).await, "method_not_allowed"),
        (answer(request("PATCH", &ended)).await, "method_not_allowed"),
    ];
    for ((status, body), name) in table {
        let expected = fixture(name);
        assert_eq!((json!(status), &body), (expected["status"].clone(), &expected), "{name}");
    }
}

#[tokio::test]
async fn what_is_accepted_with_a_warning_is_in_the_log() {
    let stage = Stage::set(SETTINGS, "").await;
    let form = [
        ("To", ALICE),
        ("From", FROM),
        ("Url", "http://127.0.0.1:1/voice"),
        ("Twiml", "<Response/>"),
        ("MachineDetection", "Enable"),
        ("AsyncAmd", "true"),
        ("StatusCallbackEvent", "ringing answered"),
        ("Url2", "x"),
    ];
    assert_eq!(stage.post("Calls.json", &form).await.0, 201);
    let notes = stage.until_logged("notification", 2).await;
    assert_eq!([&notes[0]["code"], &notes[1]["code"]], [32019, 21262]);
    let ignored = &stage.facts("ignored").await[0]["parameters"];
    assert_eq!(ignored, &json!(["Url2", "StatusCallbackEvent=ringing answered"]));
}
