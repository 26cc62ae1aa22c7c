//! Calls from the order to the last callback.

use crate::customer::{Customer, Seen};
use crate::stage::{ACCOUNT, FROM, Stage, answer};

const ALICE: &str = "+19195550101";
const PEOPLE: &str = r##"
[[person]]
name = "alice"
number = "+19195550101"
answers = { after = "2s" }
presses = ["#"]

[[person]]
name = "bob"
number = "+19195550102"
no_answer = true

[[person]]
name = "carol"
number = "+19195550103"
busy = true

[[person]]
name = "dave"
number = "+19195550104"
presses = [{ hang_up_after = "3s" }]

[[person]]
name = "erin"
number = "+19195550105"

[[person]]
name = "pat, who has a PIN"
number = "+19195550106"
presses = [{ silent = true }, "1234#"]

[[person]]
name = "nobody there"
number = "+19195550107"
unreachable = true

[[person]]
name = "declines"
number = "+19195550108"
rejects = true

[[person]]
name = "a machine"
number = "+19195550109"
voicemail = true

[[person]]
name = "slow"
number = "+19195550110"
answers = { after = "500s" }

[[person]]
name = "abroad"
number = "+19195550111"
api_error = 21215
"##;

const VOICE: &str = r##"<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Gather action="/digits?step=1&amp;t=x" timeout="5" actionOnEmptyResult="false" finishOnKey="#"><Say>Press pound.</Say></Gather>
  <Redirect>/silence</Redirect>
</Response>"##;
const ON_EMPTY: &str = r#"<Response><Gather action="/digits" actionOnEmptyResult="true"><Say>Press pound.</Say></Gather></Response>"#;
const BYE: &str = "<Response><Say>Goodbye.</Say><Hangup/></Response>";

async fn stage() -> (Stage, Customer) {
    let pages = [
        ("/voice", VOICE),
        ("/empty", ON_EMPTY),
        ("/digits", BYE),
        ("/bye", BYE),
        ("/silence", BYE),
        ("/bad", "<Response>"),
    ];
    (Stage::set("", PEOPLE).await, Customer::open(&pages).await)
}

/// Places a call with all events; returns its sid.
async fn call(stage: &Stage, customer: &Customer, to: &str, path: &str, extra: &[(&str, &str)]) -> String {
    let (url, status) = (format!("{}{path}", customer.url), format!("{}/status", customer.url));
    let mut form = vec![("To", to), ("From", FROM), ("Url", &url), ("StatusCallback", &status)];
    form.extend(
        ["initiated", "ringing", "answered", "completed"].map(|event| ("StatusCallbackEvent", event)),
    );
    form.extend_from_slice(extra);
    let (status, body) = stage.post("Calls.json", &form).await;
    assert_eq!(status, 201, "{body}");
    body["sid"].as_str().unwrap().to_owned()
}

/// `path status` of each request, in the order of arrival but for callbacks, which may overtake each other.
fn steps(seen: &[Seen]) -> Vec<String> {
    let mut callbacks: Vec<_> = seen.iter().filter(|seen| seen.path == "/status").collect();
    callbacks.sort_by_key(|seen| seen.field("SequenceNumber").to_owned());
    let fetches = seen.iter().filter(|seen| seen.path != "/status");
    let callbacks = callbacks.iter().map(|seen| seen.field("CallStatus").to_owned());
    fetches.map(|seen| seen.path.clone()).chain(callbacks).collect()
}

#[tokio::test]
async fn a_pressed_key_reaches_the_action_and_every_request_is_signed() {
    let (stage, mut customer) = stage().await;
    let sid = call(&stage, &customer, ALICE, "/empty", &[]).await;
    let seen = customer.until_the_end().await;
    assert_eq!(steps(&seen), ["/empty", "/digits", "initiated", "ringing", "in-progress", "completed"]);
    assert!(seen.iter().all(|seen| seen.is_signed), "{seen:#?}");
    assert!(seen.iter().all(|seen| seen.field("CallSid") == sid && !seen.idempotency_token.is_empty()));
    let digits = seen.iter().find(|seen| seen.path == "/digits").unwrap();
    assert_eq!((digits.field("Digits"), digits.field("FinishedOnKey")), ("", "#"));
    assert_eq!((digits.field("msg"), digits.field("CallStatus")), ("Gather End", "in-progress"));
    let last = seen.last().unwrap();
    assert_eq!((last.field("SipResponseCode"), last.field("SequenceNumber")), ("200", "3"));
    assert_eq!((last.field("Duration"), last.field("CallbackSource")), ("1", "call-progress-events"));
    let (_, call) = stage.get(&format!("Calls/{sid}.json")).await;
    assert_eq!((&call["status"], &call["direction"]), (&"completed".into(), &"outbound-api".into()));
    assert_eq!(call["duration"].as_str(), Some(last.field("CallDuration")));
}

#[tokio::test]
async fn silence_falls_through_to_the_redirect() {
    let (stage, mut customer) = stage().await;
    call(&stage, &customer, "+19195550105", "/voice", &[]).await;
    let seen = customer.until_the_end().await;
    assert_eq!(steps(&seen), ["/voice", "/silence", "initiated", "ringing", "in-progress", "completed"]);
    // The pound key alone is no input either, unless the Gather says otherwise.
    call(&stage, &customer, ALICE, "/voice", &[]).await;
    assert!(steps(&customer.until_the_end().await).contains(&"/silence".to_owned()));
}

#[tokio::test]
async fn a_pin_after_a_silent_prompt_arrives_without_the_finishing_key() {
    let pages = [
        ("/voice", r#"<Response><Gather action="/digits"/><Redirect>/voice</Redirect></Response>"#),
        ("/digits", BYE),
    ];
    let (stage, mut customer) = (Stage::set("", PEOPLE).await, Customer::open(&pages).await);
    call(&stage, &customer, "+19195550106", "/voice", &[]).await;
    let seen = customer.until_the_end().await;
    assert_eq!(steps(&seen)[..3], ["/voice", "/voice", "/digits"]);
    let digits = seen.iter().find(|seen| seen.path == "/digits").unwrap();
    assert_eq!((digits.field("Digits"), digits.field("FinishedOnKey")), ("1234", "#"));
}

#[tokio::test]
async fn every_way_not_to_reach_somebody_has_its_status_and_sip_code() {
    let (stage, mut customer) = stage().await;
    let table = [
        ("+19195550102", "no-answer", "487"),
        ("+19195550103", "busy", "486"),
        ("+19195550107", "failed", "480"),
        ("+19195550108", "no-answer", "603"),
    ];
    for (to, status, sip) in table {
        let sid = call(&stage, &customer, to, "/voice", &[("Timeout", "20")]).await;
        let seen = customer.until_the_end().await;
        let last = seen.last().unwrap();
        assert_eq!((last.field("CallStatus"), last.field("SipResponseCode")), (status, sip), "{to}");
        assert_eq!((last.field("CallDuration"), last.field("Duration")), ("0", "(absent)"), "{to}");
        assert!(seen.iter().all(|seen| seen.path == "/status"), "{to}: no TwiML without an answer");
        assert_eq!(stage.get(&format!("Calls/{sid}.json")).await.1["status"], status);
    }
}

#[tokio::test]
async fn hanging_up_at_the_prompt_completes_the_call_and_calls_no_action() {
    let (stage, mut customer) = stage().await;
    call(&stage, &customer, "+19195550104", "/voice", &[]).await;
    let seen = customer.until_the_end().await;
    assert_eq!(steps(&seen), ["/voice", "initiated", "ringing", "in-progress", "completed"]);
    let ended = stage.log().await.into_iter().find(|fact| fact["fact"] == "ended").unwrap();
    assert_eq!(ended["by"], "callee");
    assert!(ended["seconds"].as_u64().unwrap() >= 3, "{ended}");
}

#[tokio::test]
async fn a_ringing_call_can_be_canceled_once() {
    let (stage, mut customer) = stage().await;
    let sid = call(&stage, &customer, "+19195550110", "/voice", &[("Timeout", "600")]).await;
    customer.until("ringing").await;
    let path = format!("Calls/{sid}.json");
    let (status, body) = stage.post(&path, &[("Status", "canceled")]).await;
    assert_eq!((status, &body["status"]), (200, &"canceled".into()));
    assert_eq!(customer.until("canceled").await.field("SipResponseCode"), "487");
    let (status, body) = stage.post(&path, &[("Status", "canceled")]).await;
    assert_eq!((status, &body["code"]), (400, &21220.into()));
    assert_eq!(body["message"], "Call is not in-progress. Cannot redirect.");
}

#[tokio::test]
async fn an_answered_call_survives_cancel_follows_a_redirect_and_can_be_hung_up() {
    let waits = r#"<Response><Pause length="900"/></Response>"#;
    let mut customer = Customer::open(&[("/voice", waits), ("/other", waits)]).await;
    let stage = Stage::set("", PEOPLE).await;
    let sid = call(&stage, &customer, ALICE, "/voice", &[]).await;
    customer.until("in-progress").await;
    let path = format!("Calls/{sid}.json");
    assert_eq!(stage.post(&path, &[("Status", "canceled")]).await.1["status"], "in-progress");
    let other = format!("{}/other", customer.url);
    assert_eq!(stage.post(&path, &[("Url", &other)]).await.0, 200);
    while customer.next().await.path != "/other" {}
    assert_eq!(stage.post(&path, &[("Status", "completed")]).await.1["status"], "completed");
    customer.until("completed").await;
    assert_eq!(
        stage
            .client
            .delete(stage.api(&path))
            .basic_auth(ACCOUNT, Some(crate::stage::AUTH_TOKEN))
            .send()
            .await
            .unwrap()
            .status(),
        204
    );
    assert_eq!(stage.get(&path).await.0, 404);
}

#[tokio::test]
async fn broken_twiml_goes_to_the_fallback_with_its_error_code() {
    let (stage, mut customer) = stage().await;
    let fallback = format!("{}/bye", customer.url);
    call(&stage, &customer, ALICE, "/bad", &[("FallbackUrl", &fallback)]).await;
    let seen = customer.until_the_end().await;
    assert_eq!(steps(&seen)[..2], ["/bad", "/bye"]);
    let fallback = seen.iter().find(|seen| seen.path == "/bye").unwrap();
    assert_eq!(
        (fallback.field("ErrorCode"), fallback.field("ErrorUrl")),
        ("12100", &*format!("{}/bad", customer.url))
    );
    // Without a fallback Twilio says so and hangs up: completed, not failed.
    call(&stage, &customer, ALICE, "/missing", &[]).await;
    assert_eq!(customer.until_the_end().await.last().unwrap().field("CallStatus"), "completed");
    let codes: Vec<_> = stage
        .log()
        .await
        .into_iter()
        .filter(|fact| fact["fact"] == "notification")
        .map(|fact| fact["code"].clone())
        .collect();
    assert_eq!(codes, [12100, 11200]);
}

#[tokio::test]
async fn machine_detection_puts_who_answered_on_the_first_request() {
    let (stage, mut customer) = stage().await;
    for (to, who) in [("+19195550109", "machine_start"), (ALICE, "human")] {
        call(&stage, &customer, to, "/bye", &[("MachineDetection", "Enable")]).await;
        let seen = customer.until_the_end().await;
        assert_eq!(seen.iter().find(|seen| seen.path == "/bye").unwrap().field("AnsweredBy"), who);
    }
    // Digits to send switch it off.
    call(&stage, &customer, ALICE, "/bye", &[("MachineDetection", "Enable"), ("SendDigits", "ww12#")]).await;
    let seen = customer.until_the_end().await;
    assert_eq!(seen.iter().find(|seen| seen.path == "/bye").unwrap().field("AnsweredBy"), "(absent)");
}

#[tokio::test]
async fn only_the_last_event_is_told_by_default() {
    let (stage, mut customer) = stage().await;
    let (url, status) = (format!("{}/bye", customer.url), format!("{}/status#rc=3&rp=all", customer.url));
    let form = [("To", ALICE), ("From", FROM), ("Url", &*url), ("StatusCallback", &*status)];
    assert_eq!(stage.post("Calls.json", &form).await.0, 201);
    let seen = customer.until_the_end().await;
    assert_eq!(steps(&seen), ["/bye", "completed"]);
    assert_eq!(seen[1].field("SequenceNumber"), "0");
    assert!(seen[1].is_signed, "the fragment is not signed");
}

#[tokio::test]
async fn a_fresh_call_has_twilios_nulls_and_strings_and_headers() {
    let (stage, customer) = stage().await;
    let url = format!("{}/bye", customer.url);
    let form = [("To", ALICE), ("From", FROM), ("Url", &*url)];
    let request =
        stage.client.post(stage.api("Calls.json")).basic_auth(ACCOUNT, Some(crate::stage::AUTH_TOKEN));
    let response = request.form(&form).send().await.unwrap();
    assert!(response.headers()["twilio-request-id"].to_str().unwrap().starts_with("RQ"));
    assert_eq!(response.headers()["x-home-region"], "us1");
    let call: serde_json::Value = response.json().await.unwrap();
    for name in [
        "date_created",
        "date_updated",
        "start_time",
        "end_time",
        "duration",
        "price",
        "answered_by",
        "annotation",
    ] {
        assert!(call[name].is_null(), "{name}: {}", call[name]);
    }
    assert_eq!((&call["status"], &call["queue_time"]), (&"queued".into(), &"0".into()));
    assert_eq!((&call["to_formatted"], &call["trunk_sid"]), (&"(919) 555-0101".into(), &"".into()));
    assert_eq!(call["sid"].as_str().unwrap().len(), 34);
    assert_eq!(call["subresource_uris"].as_object().unwrap().len(), 9);
    let (_, later) = stage.get(&format!("Calls/{}.json", call["sid"].as_str().unwrap())).await;
    assert!(later["date_created"].as_str().unwrap().ends_with("+0000"));
}

#[tokio::test]
async fn errors_have_their_code_status_and_words() {
    let (stage, customer) = stage().await;
    let url = format!("{}/bye", customer.url);
    let (status, body) = stage.post("Calls.json", &[("To", "+1415"), ("From", FROM), ("Url", &url)]).await;
    assert_eq!(status, 400);
    assert_eq!(
        body,
        serde_json::json!({
            "code": 21211,
            "message": "The phone number you are attempting to call, +1415, is not valid.",
            "more_info": "https://www.twilio.com/docs/errors/21211",
            "status": 400,
        })
    );
    let geo = stage.post("Calls.json", &[("To", "+19195550111"), ("From", FROM), ("Url", &url)]).await;
    assert_eq!((geo.0, &geo.1["code"]), (400, &21215.into()));
    let stranger = answer(stage.client.get(stage.api("Calls.json")).basic_auth(ACCOUNT, Some("wrong"))).await;
    assert_eq!((stranger.0, &stranger.1["code"]), (401, &20003.into()));
    let missing = stage.get("Calls/CA00.json").await;
    assert_eq!((missing.0, &missing.1["code"]), (404, &20404.into()));
    assert!(missing.1["message"].as_str().unwrap().contains("/Calls/CA00.json"));
}

#[tokio::test]
async fn lists_filter_by_number_status_and_day_and_page_by_their_own_links() {
    let (stage, mut customer) = stage().await;
    for to in ["+19195550103", "+19195550103", "+19195550103", "+19195550107"] {
        call(&stage, &customer, to, "/voice", &[]).await;
        customer.until_the_end().await;
    }
    let count = async |query: &str| {
        stage.get(&format!("Calls.json?{query}")).await.1["calls"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 4);
    assert_eq!(count("To=%2B19195550103").await, 3);
    assert_eq!(count("Status=failed").await, 1);
    assert_eq!(count("From=%2B19195550199").await, 0);
    assert_eq!(count("StartTime%3E=2026-01-01").await, 4);
    assert_eq!(count("StartTime%3C=2026-01-01").await, 0);
    let (_, first) = stage.get("Calls.json?To=%2B19195550103&PageSize=2").await;
    assert!(first["previous_page_uri"].is_null());
    let next = format!("{}{}", stage.url, first["next_page_uri"].as_str().unwrap());
    let (_, second) =
        answer(stage.client.get(next).basic_auth(ACCOUNT, Some(crate::stage::AUTH_TOKEN))).await;
    assert_eq!((second["calls"].as_array().unwrap().len(), &second["page"]), (1, &1.into()));
    assert!(second["next_page_uri"].is_null());
    assert_ne!(second["calls"][0]["sid"], first["calls"][1]["sid"]);
}

#[tokio::test]
async fn test_credentials_validate_and_place_nothing() {
    let other = "AC00000000000000000000000000000002";
    let settings = format!("test_account_sid = \"{other}\"\ntest_auth_token = \"t\"");
    let stage = Stage::set(&settings, PEOPLE).await;
    let url = format!("{}/2010-04-01/Accounts/{other}/Calls.json", stage.url);
    let create = async |from: &str| {
        let form = [("To", ALICE), ("From", from), ("Twiml", "<Response/>")];
        answer(stage.client.post(&url).basic_auth(other, Some("t")).form(&form)).await
    };
    assert_eq!(create("+15005550006").await.0, 201);
    assert_eq!(create(FROM).await.1["code"], 21210);
    let listed = answer(stage.client.get(&url).basic_auth(other, Some("t"))).await;
    assert_eq!((listed.0, &listed.1["code"]), (403, &20008.into()));
    assert_eq!(stage.get("Calls.json").await.1["calls"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_script_can_be_changed_between_calls() {
    let (stage, mut customer) = stage().await;
    let person = serde_json::json!({ "person": [{ "number": ALICE, "busy": true }] });
    let changed = stage.client.post(format!("{}/sim/people", stage.url)).json(&person).send().await.unwrap();
    assert_eq!(changed.status(), 204);
    call(&stage, &customer, ALICE, "/voice", &[]).await;
    assert_eq!(customer.until_the_end().await.last().unwrap().field("CallStatus"), "busy");
    let nonsense = serde_json::json!({ "person": [{ "number": ALICE, "busy": true, "no_answer": true }] });
    let refused =
        stage.client.post(format!("{}/sim/people", stage.url)).json(&nonsense).send().await.unwrap();
    assert_eq!(refused.status(), 422);
}

#[tokio::test]
async fn a_blocked_caller_is_turned_away_by_twilio_or_without_any_ringing_by_a_network() {
    let (stage, mut customer) = stage().await;
    let person = serde_json::json!({ "person": [{
        "number": ALICE,
        "blocks": [{ "from": "+4420", "code": 21210 }, { "from": FROM, "sip": 603, "after": "4s" }],
    }] });
    let changed = stage.client.post(format!("{}/sim/people", stage.url)).json(&person).send().await.unwrap();
    assert_eq!(changed.status(), 204);
    let form = [("To", ALICE), ("From", "+442079460000"), ("Twiml", "<Response/>")];
    let (status, refused) = stage.post("Calls.json", &form).await;
    assert_eq!((status, &refused["code"]), (400, &21210.into()));
    assert!(refused["message"].as_str().unwrap().contains("+442079460000"), "{refused}");
    call(&stage, &customer, ALICE, "/voice", &[]).await;
    let seen = customer.until_the_end().await;
    assert_eq!(steps(&seen), ["initiated", "no-answer"]);
    assert_eq!(seen.last().unwrap().field("SipResponseCode"), "603");
    let free = [("To", ALICE), ("From", "+19195550177"), ("Twiml", "<Response/>")];
    assert_eq!(stage.post("Calls.json", &free).await.0, 201);
}

#[tokio::test]
async fn the_people_of_the_demo_can_be_played() {
    let stage = Stage::set("", include_str!("../../../../ops/demo-data/people.toml")).await;
    let mut customer = Customer::open(&[]).await;
    for (to, status) in [("+19195550102", "no-answer"), ("+19195550103", "busy")] {
        call(&stage, &customer, to, "/voice", &[("Timeout", "5")]).await;
        assert_eq!(customer.until_the_end().await.last().unwrap().field("CallStatus"), status);
    }
}
