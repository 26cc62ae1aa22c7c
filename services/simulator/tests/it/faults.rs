//! Faults on demand, seen from the customer.

use serde_json::json;

use crate::customer::Customer;
use crate::stage::{ACCOUNT, AUTH_TOKEN, FROM, Stage};

const TO: &str = "+19195550103";
const BUSY: &str = "[[person]]\nnumber = \"+19195550103\"\nbusy = true\n";

#[tokio::test]
async fn an_error_after_placing_leaves_a_call_that_a_list_finds() {
    let stage = Stage::set("", BUSY).await;
    stage.set_faults(json!([{ "place": "call_create", "fault": "error_after", "count": 1 }])).await;
    let form = [("To", TO), ("From", FROM), ("Twiml", "<Response/>")];
    let (status, body) = stage.post("Calls.json", &form).await;
    assert_eq!((status, &body["code"]), (500, &20500.into()));
    let (_, listed) = stage.get("Calls.json?To=%2B19195550103").await;
    assert_eq!(listed["calls"].as_array().unwrap().len(), 1);
    assert_eq!(stage.post("Calls.json", &form).await.0, 201, "the count is used up");
}

#[tokio::test]
async fn a_reset_or_a_refusal_before_accepting_places_nothing() {
    let stage = Stage::set("", BUSY).await;
    stage
        .set_faults(json!([
            { "place": "call_create", "fault": "reset_before", "count": 1 },
            { "place": "call_create", "fault": "too_many", "count": 1 },
        ]))
        .await;
    let form = [("To", TO), ("From", FROM), ("Twiml", "<Response/>")];
    let request =
        stage.client.post(stage.api("Calls.json")).basic_auth(ACCOUNT, Some(AUTH_TOKEN)).form(&form);
    let error = request.send().await.unwrap_err();
    assert!(error.is_request(), "{error:?}");
    let (status, body) = stage.post("Calls.json", &form).await;
    assert_eq!((status, &body["code"]), (429, &20429.into()));
    assert_eq!(stage.get("Calls.json").await.1["calls"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn callbacks_can_be_lost_doubled_and_reordered() {
    let (stage, mut customer) = (Stage::set("", BUSY).await, Customer::open(&[]).await);
    stage
        .set_faults(json!([
            { "place": "callback_completed", "fault": "lost", "count": 1 },
            { "place": "callback_completed", "fault": "doubled", "count": 1 },
            { "place": "callback", "fault": "reordered", "count": 1 },
        ]))
        .await;
    let callback = format!("{}/status", customer.url);
    let mut form = vec![("To", TO), ("From", FROM), ("Twiml", "<Response/>"), ("StatusCallback", &callback)];
    form.extend([("StatusCallbackEvent", "initiated"), ("StatusCallbackEvent", "completed")]);
    // The first event is kept back, its successor is lost, and then it comes late.
    stage.post("Calls.json", &form).await;
    assert_eq!(customer.next().await.field("SequenceNumber"), "0");
    stage.post("Calls.json", &form).await;
    let mut numbers = Vec::new();
    for _ in 0..3 {
        numbers.push(customer.next().await.field("SequenceNumber").to_owned());
    }
    numbers.sort();
    assert_eq!(numbers, ["0", "1", "1"]);
    let faults = stage.log().await.into_iter().filter(|fact| fact["fact"] == "callback");
    let faults: Vec<_> = faults.map(|fact| fact["fault"].as_str().unwrap_or("none").to_owned()).collect();
    assert!(["lost", "reordered"].iter().all(|fault| faults.contains(&(*fault).to_owned())), "{faults:?}");
}
