//! Faults on demand in FCM and in the OAuth endpoint before it.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::push::{access_token, send};
use crate::stage::Stage;

/// As HTTP writes dates.
const DATE: &str = "Tue, 24 Nov 2026 10:15:00 GMT";

/// A message of this challenge to the swarm's first device.
fn message(challenge: &str) -> Value {
    json!({ "token": "swarm-0", "data": { "portal": "operations", "challenge_id": challenge } })
}

async fn stage() -> (Stage, String) {
    // Nobody listens there: a woken app says so in the log.
    let settings = "device_swarm = 2\napp_url = \"http://127.0.0.1:1\"";
    let stage = Stage::set(settings, "").await;
    let token = access_token(&stage).await;
    (stage, token)
}

fn request(stage: &Stage, token: &str, challenge: &str) -> reqwest::RequestBuilder {
    let url = format!("{}/v1/projects/demo-mfa/messages:send", stage.url);
    stage.client.post(url).bearer_auth(token).json(&json!({ "message": message(challenge) }))
}

#[tokio::test]
async fn a_push_fails_in_googles_words_and_is_delivered_or_not() {
    let (stage, token) = stage().await;
    // the fault and its rule's other fields, HTTP status, FCM's code, Retry-After, whether it was delivered
    let table = [
        ("too_many", json!({}), 429, Some("QUOTA_EXCEEDED"), None, false),
        ("too_many", json!({ "retry_after": "9s" }), 429, Some("QUOTA_EXCEEDED"), Some("9"), false),
        ("too_many", json!({ "retry_after": DATE }), 429, Some("QUOTA_EXCEEDED"), Some(DATE), false),
        ("error_before", json!({}), 500, Some("INTERNAL"), None, false),
        ("error_before", json!({ "status": 503 }), 503, Some("UNAVAILABLE"), None, false),
        (
            "error_before",
            json!({ "status": 503, "retry_after": "2s" }),
            503,
            Some("UNAVAILABLE"),
            Some("2"),
            false,
        ),
        ("error_after", json!({ "status": 503 }), 503, Some("UNAVAILABLE"), None, true),
        ("error_after", json!({ "status": 502 }), 502, None, None, true),
        ("refused", json!({ "code": "UNREGISTERED" }), 404, Some("UNREGISTERED"), None, false),
        ("refused", json!({ "code": "SENDER_ID_MISMATCH" }), 403, Some("SENDER_ID_MISMATCH"), None, false),
    ];
    let mut woken = 0;
    for (index, (fault, fields, status, code, retry_after, is_delivered)) in table.into_iter().enumerate() {
        // An app that is busy with a challenge is not woken for it again.
        let challenge = format!("c{index}");
        let mut rule = json!({ "place": "push", "fault": fault, "count": 1 });
        rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        stage.set_faults(json!([rule])).await;
        let response = request(&stage, &token, &challenge).send().await.unwrap();
        let wait = response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!((response.status().as_u16(), wait.as_deref()), (status, retry_after), "{rule}");
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
        assert_eq!(body["error"]["details"][0]["errorCode"].as_str(), code, "{rule}");
        let logged = stage.facts("push").await.pop().unwrap();
        assert_eq!(
            (&logged["token"], &logged["challenge"], &logged["portal"], &logged["fault"]),
            (&"swarm-0".into(), &challenge.into(), &"operations".into(), &fault.into()),
            "{rule}"
        );
        assert_eq!(
            (logged["name"].is_string(), logged["error"].is_null()),
            (is_delivered, is_delivered),
            "{rule}"
        );
        woken += usize::from(is_delivered);
    }
    stage.until_logged("app_listed", woken).await;
    assert_eq!(stage.facts("app_listed").await.len(), woken, "what was not delivered wakes no app");
    assert_eq!(request(&stage, &token, "c1").send().await.unwrap().status(), 200, "the counts are used up");
}

#[tokio::test]
async fn a_push_that_is_never_answered_or_reset_is_delivered_or_not() {
    let (stage, token) = stage().await;
    let table =
        [("timeout_before", false), ("timeout_after", true), ("reset_before", false), ("reset_after", true)];
    for (number, (fault, is_delivered)) in table.into_iter().enumerate() {
        stage.set_faults(json!([{ "place": "push", "fault": fault, "count": 1 }])).await;
        let (mut sending, hangs) = (request(&stage, &token, "c1"), fault.starts_with("timeout"));
        if hangs {
            sending = sending.timeout(Duration::from_millis(400));
        }
        let error = sending.send().await.unwrap_err();
        assert_eq!(error.is_timeout(), hangs, "{fault}: {error:?}");
        let logged = stage.until_logged("push", number + 1).await.pop().unwrap();
        assert_eq!((&logged["fault"], logged["name"].is_string()), (&fault.into(), is_delivered), "{logged}");
    }
    assert_eq!(send(&stage, &stage.client, &token, message("c1")).await.0, 200);
}

#[tokio::test]
async fn a_slow_push_is_delivered_before_it_is_answered() {
    let (stage, token) = stage().await;
    let rule = json!({ "place": "push", "fault": "slow", "delay": "500ms", "count": 1 });
    stage.set_faults(json!([rule])).await;
    let began = Instant::now();
    assert_eq!(send(&stage, &stage.client, &token, message("c1")).await.0, 200);
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
    assert_eq!(stage.facts("push").await[0]["fault"], "slow");
}

#[tokio::test]
async fn access_tokens_are_refused_and_given_again() {
    let (stage, _) = stage().await;
    stage
        .set_faults(json!([
            { "place": "token", "fault": "too_many", "count": 1, "retry_after": "3s" },
            { "place": "token", "fault": "error_before", "status": 503, "count": 1 },
            { "place": "token", "fault": "reset_before", "count": 1 },
        ]))
        .await;
    let url = format!("{}/token", stage.url);
    let refused = stage.client.post(&url).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()[RETRY_AFTER].to_str().unwrap()), (429, "3"));
    assert_eq!(stage.client.post(&url).send().await.unwrap().status(), 503);
    assert!(stage.client.post(&url).send().await.is_err());
    access_token(&stage).await;
}
