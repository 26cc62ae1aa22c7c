//! Faults on demand in the Calls API and in status callbacks, seen from the customer.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::customer::Customer;
use crate::stage::{ACCOUNT, AUTH_TOKEN, FROM, Stage, answer};

const TO: &str = "+19195550103";
const BUSY: &str = "[[person]]\nnumber = \"+19195550103\"\nbusy = true\n\n\
                    [[person]]\nnumber = \"+19195550110\"\nanswers = { after = \"500s\" }\n";
const FORM: [(&str, &str); 3] = [("To", TO), ("From", FROM), ("Twiml", "<Response/>")];

async fn placed(stage: &Stage) -> usize {
    stage.facts("call_created").await.len()
}

#[tokio::test]
async fn a_create_fails_in_the_carriers_words_and_is_carried_out_or_not() {
    let stage = Stage::set("", BUSY).await;
    // the fault and its rule's other fields, HTTP status, Twilio's code, Retry-After, whether a call was placed
    let table = [
        ("too_many", json!({}), 429, json!(20429), None, false),
        ("too_many", json!({ "retry_after": "1500ms" }), 429, json!(20429), Some("2"), false),
        ("error_before", json!({}), 500, json!(20500), None, false),
        ("error_before", json!({ "status": 503, "retry_after": "7s" }), 503, json!(20503), Some("7"), false),
        ("error_before", json!({ "status": 502 }), 502, Value::Null, None, false),
        ("error_after", json!({}), 500, json!(20500), None, true),
        ("error_after", json!({ "status": 503 }), 503, json!(20503), None, true),
        ("error_after", json!({ "status": 504 }), 504, Value::Null, None, true),
        ("refused", json!({ "code": 10004 }), 429, json!(10004), None, false),
        ("refused", json!({ "code": 20003 }), 401, json!(20003), None, false),
        ("refused", json!({ "code": 21210 }), 400, json!(21210), None, false),
    ];
    let mut calls = 0;
    for (fault, fields, status, code, retry_after, is_placed) in table {
        let mut rule = json!({ "place": "call_create", "fault": fault, "count": 1 });
        rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        stage.set_faults(json!([rule])).await;
        let response = stage.create(&FORM).send().await.unwrap();
        let wait = response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!((response.status().as_u16(), wait.as_deref()), (status, retry_after), "{rule}");
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
        assert_eq!(body["code"], code, "{rule}");
        calls += usize::from(is_placed);
        assert_eq!(placed(&stage).await, calls, "{rule}");
        let logged = stage.facts("api_call").await.pop().unwrap();
        assert_eq!((&logged["fault"], &logged["to"]), (&fault.into(), &TO.into()), "{rule}");
        assert_eq!(logged["status"], if is_placed { 201 } else { status }, "what carrying it out came to");
    }
    assert_eq!(stage.create(&FORM).send().await.unwrap().status(), 201, "the counts are used up");
}

#[tokio::test]
async fn a_create_that_is_never_answered_or_reset_is_carried_out_or_not() {
    let stage = Stage::set("", BUSY).await;
    let table =
        [("timeout_before", false), ("timeout_after", true), ("reset_before", false), ("reset_after", true)];
    let mut calls = 0;
    for (fault, is_placed) in table {
        stage.set_faults(json!([{ "place": "call_create", "fault": fault, "count": 1 }])).await;
        let error = stage.create(&FORM).timeout(Duration::from_millis(400)).send().await.unwrap_err();
        assert_eq!(error.is_timeout(), fault.starts_with("timeout"), "{fault}: {error:?}");
        assert!(error.is_request() || error.is_timeout(), "{fault}: {error:?}");
        calls += usize::from(is_placed);
        assert_eq!(placed(&stage).await, calls, "{fault}");
        let logged = stage.facts("api_call").await.pop().unwrap();
        let status = if is_placed { json!(201) } else { Value::Null };
        assert_eq!((&logged["fault"], &logged["status"]), (&fault.into(), &status));
    }
    let (_, listed) = stage.get("Calls.json?To=%2B19195550103").await;
    assert_eq!(listed["calls"].as_array().unwrap().len(), 2, "a list finds what an answer did not tell");
    assert_eq!(stage.create(&FORM).send().await.unwrap().status(), 201, "the counts are used up");
}

#[tokio::test]
async fn a_slow_answer_comes_after_its_delay_and_the_call_goes_on_meanwhile() {
    let (stage, mut customer) = (Stage::set("", BUSY).await, Customer::open(&[]).await);
    let rule = json!({ "place": "call_create", "fault": "slow", "delay": "600ms", "count": 1 });
    stage.set_faults(json!([rule])).await;
    let callback = format!("{}/status", customer.url);
    let form = [FORM.as_slice(), &[("StatusCallback", &*callback)]].concat();
    let began = Instant::now();
    let request = async { (stage.create(&form).send().await.unwrap().status(), began.elapsed()) };
    let ((status, took), ended) = tokio::join!(request, customer.next());
    assert_eq!((status.as_u16(), ended.field("CallStatus")), (201, "busy"));
    assert!(took >= Duration::from_millis(600), "{took:?}");
}

#[tokio::test]
async fn hang_ups_look_ups_and_lists_fail_each_on_its_own() {
    let stage = Stage::set("", BUSY).await;
    let ringing = [("To", "+19195550110"), ("From", FROM), ("Twiml", "<Response/>"), ("Timeout", "600")];
    let created = stage.post("Calls.json", &ringing).await.1;
    let path = format!("Calls/{}.json", created["sid"].as_str().unwrap());
    let hang_up = [("Status", "canceled")];
    stage.set_faults(json!([{ "place": "call_fetch", "fault": "error_before" }])).await;
    assert_eq!((stage.get(&path).await.0, stage.get("Calls.json").await.0), (500, 200));
    stage.set_faults(json!([{ "place": "call_list", "fault": "too_many", "retry_after": "1s" }])).await;
    assert_eq!((stage.get(&path).await.0, stage.get("Calls.json").await.0), (200, 429));
    stage.set_faults(json!([{ "place": "call_read", "fault": "error_after", "status": 503 }])).await;
    assert_eq!((stage.get(&path).await.0, stage.get("Calls.json").await.0), (503, 503));
    let not_done = [
        json!({ "place": "call_update", "fault": "too_many", "count": 1 }),
        json!({ "place": "call_update", "fault": "error_before", "count": 1 }),
        json!({ "place": "call_update", "fault": "refused", "code": 20404, "count": 1 }),
    ];
    stage.set_faults(json!(not_done)).await;
    for status in [429, 500, 404] {
        assert_eq!(stage.post(&path, &hang_up).await.0, status);
        assert_eq!(stage.get(&path).await.1["status"], "ringing");
    }
    stage.set_faults(json!([{ "place": "call_update", "fault": "error_after", "count": 1 }])).await;
    assert_eq!(stage.post(&path, &hang_up).await.0, 500);
    assert_eq!(stage.get(&path).await.1["status"], "canceled", "carried out all the same");
    for (fault, place) in [("reset_before", "call_update"), ("timeout_before", "call_fetch")] {
        stage.set_faults(json!([{ "place": place, "fault": fault }])).await;
        let request = if place == "call_fetch" {
            stage.client.get(stage.api(&path))
        } else {
            stage.client.post(stage.api(&path)).form(&hang_up)
        };
        let request = request.basic_auth(ACCOUNT, Some(AUTH_TOKEN)).timeout(Duration::from_millis(300));
        assert!(request.send().await.is_err(), "{fault} at {place}");
    }
}

#[tokio::test]
async fn a_share_strikes_the_same_requests_in_each_run_of_a_seed() {
    let stage = Stage::set("", BUSY).await;
    let run = async |seed: u64| {
        let rules = [json!({ "place": "call_list", "fault": "too_many", "share": 0.4 })];
        assert_eq!(stage.control("faults", &json!({ "seed": seed, "rules": rules })).await, 204);
        let mut statuses = Vec::new();
        for _ in 0..40 {
            statuses.push(stage.get("Calls.json").await.0);
        }
        statuses
    };
    let (first, again, other) = (run(11).await, run(11).await, run(12).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert!(first.contains(&200) && first.contains(&429), "{first:?}");
}

#[tokio::test]
async fn a_rule_that_makes_no_sense_is_refused_with_its_number_and_the_reason() {
    let stage = Stage::set("", BUSY).await;
    let rules = json!([{ "place": "push", "fault": "too_many" }, { "place": "push", "fault": "slow" }]);
    let url = format!("{}/sim/faults", stage.url);
    let refused = stage.client.post(&url).json(&json!({ "rules": rules })).send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &*refused.text().await.unwrap()),
        (422, "rule 1: slow needs a delay")
    );
    let in_force = answer(stage.client.get(&url)).await.1;
    assert_eq!(in_force["rules"], json!([]), "all of them or none");
}

/// Places a call to somebody busy with these events and returns its sid.
async fn busy_call(stage: &Stage, customer: &Customer, events: &[&str]) -> String {
    let callback = format!("{}/status", customer.url);
    let mut form = [FORM.as_slice(), &[("StatusCallback", &*callback)]].concat();
    form.extend(events.iter().map(|event| ("StatusCallbackEvent", *event)));
    stage.post("Calls.json", &form).await.1["sid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn callbacks_can_be_lost_and_doubled() {
    let (stage, mut customer) = (Stage::set("", BUSY).await, Customer::open(&[]).await);
    stage
        .set_faults(json!([
            { "place": "callback_completed", "fault": "lost", "count": 1 },
            { "place": "callback_completed", "fault": "doubled", "count": 1 },
        ]))
        .await;
    busy_call(&stage, &customer, &["initiated", "completed"]).await;
    assert_eq!(customer.next().await.field("SequenceNumber"), "0");
    let lost = &stage.until_logged("callback", 2).await;
    let lost = lost.iter().find(|fact| fact["event"] == "completed").unwrap();
    assert_eq!((&lost["fault"], &lost["tries"], &lost["status"]), (&"lost".into(), &0.into(), &Value::Null));
    busy_call(&stage, &customer, &["completed"]).await;
    let (one, two) = (customer.next().await, customer.next().await);
    assert_eq!(one.form, two.form);
    assert_eq!(one.idempotency_token, two.idempotency_token, "the same webhook twice");
}

#[tokio::test]
async fn a_callback_can_come_after_its_successor() {
    let (stage, mut customer) = (Stage::set("", BUSY).await, Customer::open(&[]).await);
    stage.set_faults(json!([{ "place": "callback_initiated", "fault": "reordered", "count": 1 }])).await;
    busy_call(&stage, &customer, &["initiated", "completed"]).await;
    let order = [customer.next().await, customer.next().await];
    assert_eq!(order.each_ref().map(|seen| seen.field("SequenceNumber")), ["1", "0"]);
    let faults: Vec<_> =
        stage.until_logged("callback", 2).await.iter().map(|fact| fact["fault"].clone()).collect();
    assert!(faults.contains(&"reordered".into()), "{faults:?}");
}

#[tokio::test]
async fn a_late_callback_comes_by_its_delay_of_carrier_time() {
    let (stage, mut customer) = (Stage::set("", BUSY).await, Customer::open(&[]).await);
    // At the stage's speed of 200, 100 s are half a second.
    let rule = json!({ "place": "callback_initiated", "fault": "late", "delay": "100s", "count": 1 });
    stage.set_faults(json!([rule])).await;
    let began = Instant::now();
    busy_call(&stage, &customer, &["initiated", "completed"]).await;
    let order = [customer.next().await, customer.next().await];
    assert_eq!(order.each_ref().map(|seen| seen.field("CallStatus")), ["busy", "initiated"]);
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
}
