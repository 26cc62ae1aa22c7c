//! Calls per second: what is above the rate waits, and what waits can be canceled.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::customer::Customer;
use crate::stage::{FROM, Stage};

const BUSY: &str = "[[person]]\nnumber = \"+19195550103\"\nbusy = true\n";
const FORM: [(&str, &str); 3] = [("To", "+19195550103"), ("From", FROM), ("Twiml", "<Response/>")];

async fn place(stage: &Stage) -> Value {
    let (status, call) = stage.post("Calls.json", &FORM).await;
    assert_eq!((status, &call["status"]), (201, &"queued".into()));
    call
}

fn queue_time(call: &Value) -> u64 {
    call["queue_time"].as_str().unwrap().parse().unwrap()
}

fn micros(fact: &Value) -> i128 {
    OffsetDateTime::parse(fact["at"].as_str().unwrap(), &Rfc3339).unwrap().unix_timestamp_nanos() / 1_000
}

#[tokio::test]
async fn calls_above_the_rate_are_queued_and_start_in_order_never_too_many_in_a_second() {
    let stage = Stage::set("calls_per_second = 5", BUSY).await;
    let mut calls = Vec::new();
    for _ in 0..13 {
        calls.push(place(&stage).await);
    }
    assert_eq!(queue_time(&calls[0]), 0);
    let times: Vec<_> = calls.iter().map(queue_time).collect();
    assert!((1..=2_400).contains(&times[12]), "12 beats of 200 ms, less what has passed: {times:?}");
    let started = stage.until_logged("initiated", 13).await;
    let sids = |facts: &[Value]| facts.iter().map(|fact| fact["sid"].clone()).collect::<Vec<_>>();
    assert_eq!(sids(&started), sids(&calls));
    let starts: Vec<_> = started.iter().map(micros).collect();
    for begin in &starts {
        let second = starts.iter().filter(|start| (*begin..begin + 1_000_000).contains(start));
        assert!(second.count() <= 5, "{starts:?}");
    }
    let took = starts[12] - starts[0];
    assert!(took >= 2_300_000, "12 beats of 200 ms: {took}");
    let last = &started[12];
    assert!(last["queued_ms"].as_u64().unwrap() > 0, "{last}");
    let created = stage.facts("call_created").await;
    assert_eq!(created[12]["queue_ms"], times[12]);
}

#[tokio::test]
async fn a_queued_call_has_not_started_and_can_be_canceled_without_taking_a_turn() {
    let (stage, mut customer) = (Stage::set("calls_per_second = 1", BUSY).await, Customer::open(&[]).await);
    place(&stage).await;
    // A call has no other status than queued until it rings.
    stage.until_logged("ended", 1).await;
    let callback = format!("{}/status", customer.url);
    let form = [FORM.as_slice(), &[("StatusCallback", &*callback)]].concat();
    let (_, queued) = stage.post("Calls.json", &form).await;
    let last = place(&stage).await;
    let path = format!("Calls/{}.json", queued["sid"].as_str().unwrap());
    let (_, waiting) = stage.get(&path).await;
    assert_eq!((&waiting["status"], &waiting["start_time"]), (&"queued".into(), &Value::Null));
    assert_eq!(stage.get("Calls.json?Status=queued").await.1["calls"].as_array().unwrap().len(), 2);
    assert_eq!(stage.post(&path, &[("Status", "canceled")]).await.1["status"], "canceled");
    assert_eq!(customer.next().await.field("CallStatus"), "canceled");
    let started = stage.until_logged("initiated", 2).await;
    assert_eq!(started[1]["sid"], last["sid"]);
    let between = micros(&started[1]) - micros(&started[0]);
    assert!((1_000_000..1_950_000).contains(&between), "the turn of the canceled call: {between}");
    assert_eq!(stage.post(&path, &[("Status", "canceled")]).await.1["code"], 21220);
}

#[tokio::test]
async fn the_rate_can_be_changed_while_calls_wait() {
    let stage = Stage::set("calls_per_second = 1", BUSY).await;
    for _ in 0..30 {
        place(&stage).await;
    }
    let url = format!("{}/sim/account", stage.url);
    let shown: Value = stage.client.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(shown, json!({ "calls_per_second": 1 }));
    assert_eq!(stage.control("account", &json!({ "calls_per_second": 0 })).await, 204);
    // At one a second this would take longer than it is waited for.
    stage.until_logged("initiated", 30).await;
    assert_eq!(queue_time(&place(&stage).await), 0);
    assert_eq!(stage.control("account", &json!({ "calls_per_minute": 5 })).await, 422);
}

#[tokio::test]
async fn a_call_is_canceled_that_has_waited_for_a_day() {
    // At this speed a day is 864 ms, and the second call's turn comes after a second.
    let stage = Stage::set("calls_per_second = 1\nspeed = 100000.0", BUSY).await;
    place(&stage).await;
    let second = place(&stage).await;
    let ended = stage.until_logged("ended", 2).await;
    let of_second = ended.iter().find(|fact| fact["sid"] == second["sid"]).unwrap();
    assert_eq!((&of_second["status"], &of_second["by"]), (&"canceled".into(), &"queue".into()));
    assert_eq!(stage.facts("initiated").await.len(), 1);
}
