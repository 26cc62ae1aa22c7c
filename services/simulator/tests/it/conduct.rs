//! What apps do with a challenge, by each word of their scripts.

use serde_json::{Value, json};

use crate::activation::{activated, app, push};
use crate::gateway::{FAR, Gateway, Seen};
use crate::stage::Stage;

/// An app at the token `t` with this script.
async fn with(script: Value) -> (Stage, Gateway, String) {
    let (stage, gateway) = (Stage::set("", "").await, Gateway::open().await);
    let mut more = script;
    more["fcm_token"] = "t".into();
    let device = activated(&stage, &gateway, "code", more).await;
    (stage, gateway, device)
}

async fn pushed(stage: &Stage, event: &str, challenge: &str) {
    assert_eq!(push(stage, json!({ "token": "t" }), event, challenge).await.0, 200);
}

/// The claims of the answer that comes next.
async fn answered(gateway: &mut Gateway) -> Value {
    gateway.next("answer").await.claims
}

#[tokio::test]
async fn a_number_is_typed_where_one_is_asked_for_and_the_verification_is_told_of() {
    let (stage, mut gateway, _) = with(json!({ "types": "47", "uv": "biometric" })).await;
    gateway.asks("asked", true, FAR);
    gateway.asks("not asked", false, FAR);
    pushed(&stage, "challenge", "asked").await;
    let claims = answered(&mut gateway).await;
    assert_eq!(
        (&claims["decision"], &claims["number"], &claims["uv"]),
        (&"approve".into(), &"47".into(), &"biometric".into())
    );
    pushed(&stage, "challenge", "not asked").await;
    let claims = answered(&mut gateway).await;
    assert_eq!((&claims["number"], &claims["uv"]), (&Value::Null, &"biometric".into()));
}

#[tokio::test]
async fn a_person_reads_the_number_later_and_a_second_push_changes_nothing() {
    let (stage, mut gateway, device) = with(json!({ "types": "wait" })).await;
    gateway.asks("c1", true, FAR);
    gateway.asks("c2", true, FAR);
    pushed(&stage, "challenge", "c1").await;
    stage.until_logged("app_listed", 1).await;
    pushed(&stage, "challenge", "c1").await;
    let types = format!("/{device}/types");
    assert_eq!(app(&stage, &types, &json!({ "number": "31" })).await.0, 204);
    let claims = answered(&mut gateway).await;
    assert_eq!((&claims["challenge_id"], &claims["number"]), (&"c1".into(), &"31".into()));
    // Also one that was read before the push came.
    assert_eq!(app(&stage, &types, &json!({ "number": "32" })).await.0, 204);
    pushed(&stage, "challenge", "c2").await;
    let claims = answered(&mut gateway).await;
    assert_eq!((&claims["challenge_id"], &claims["number"]), (&"c2".into(), &"32".into()));
    let other = activated(&stage, &gateway, "another", json!({ "types": "47" })).await;
    assert_eq!(app(&stage, &format!("/{other}/types"), &json!({ "number": "31" })).await.0, 409);
}

#[tokio::test]
async fn what_has_ended_elsewhere_is_withdrawn_from_an_app_that_has_not_answered() {
    let (stage, mut gateway, device) = with(json!({ "types": "wait" })).await;
    gateway.asks("c1", true, FAR);
    gateway.asks("c2", true, FAR);
    pushed(&stage, "challenge", "c1").await;
    stage.until_logged("app_listed", 1).await;
    pushed(&stage, "ended", "c1").await;
    let withdrawn = stage.until_logged("app_withdrawn", 1).await.remove(0);
    assert_eq!((&withdrawn["device"], &withdrawn["challenge"]), (&device.as_str().into(), &"c1".into()));
    assert_eq!(withdrawn["waited"], true);
    // The number goes to the next challenge: nobody waits for it in the first one.
    assert_eq!(app(&stage, &format!("/{device}/types"), &json!({ "number": "31" })).await.0, 204);
    pushed(&stage, "challenge", "c2").await;
    assert_eq!(answered(&mut gateway).await["challenge_id"], "c2");
    stage.until_logged("app_answered", 1).await;
    pushed(&stage, "ended", "c2").await;
    assert_eq!(stage.until_logged("app_withdrawn", 2).await[1]["waited"], false, "it had answered");
    assert_eq!(stage.facts("push").await.last().unwrap()["event"], "ended");
    assert!(gateway.rest().iter().all(|seen| seen.route != "answer"));
}

#[tokio::test]
async fn a_push_without_an_event_is_a_challenge_and_one_of_another_event_is_nothing() {
    let (stage, mut gateway, _) = with(json!({})).await;
    gateway.asks("c1", false, FAR);
    pushed(&stage, "news", "c1").await;
    let message = json!({ "token": "t", "data": { "portal": "operations", "challenge_id": "c1" } });
    let token = crate::push::access_token(&stage).await;
    assert_eq!(crate::push::send(&stage, &stage.client, &token, message).await.0, 200);
    answered(&mut gateway).await;
    stage.until_logged("app_answered", 1).await;
    assert_eq!(stage.facts("app_listed").await.len(), 1);
}

#[tokio::test]
async fn an_app_tells_that_the_person_is_looking_before_it_answers() {
    let (stage, mut gateway, device) = with(json!({ "opens": true, "after": "20s" })).await;
    gateway.asks("c1", false, FAR);
    pushed(&stage, "challenge", "c1").await;
    let routes = async {
        let mut routes = Vec::new();
        while routes.last() != Some(&"answer") {
            routes.extend(gateway.rest().into_iter().map(|seen| seen.route));
            tokio::task::yield_now().await;
        }
        routes
    };
    let routes = tokio::time::timeout(std::time::Duration::from_secs(20), routes).await.unwrap();
    assert_eq!(routes, ["activate", "list", "opened", "answer"]);
    let opened = &stage.until_logged("app_opened", 1).await[0];
    assert_eq!((&opened["device"], &opened["status"]), (&device.as_str().into(), &204.into()));
    assert_eq!((&opened["portal"], &opened["challenge"]), (&"operations".into(), &"c1".into()));
}

#[tokio::test]
async fn a_person_can_look_and_never_answer() {
    let (stage, mut gateway) = (Stage::set("", "").await, Gateway::open().await);
    let order = json!({ "url": gateway.url, "code": "c", "ignores": true, "opens": true, "fcm_token": "t" });
    assert_eq!(app(&stage, "", &order).await.0, 201);
    gateway.asks("c1", false, FAR);
    pushed(&stage, "challenge", "c1").await;
    let Seen { path, claims, .. } = gateway.next("opened").await;
    let url = format!("{}/app/challenges/operations/c1/opened", gateway.url);
    assert_eq!(
        (path.as_str(), &claims["htm"], &claims["htu"]),
        ("operations/c1", &"POST".into(), &url.into())
    );
    stage.until_logged("app_opened", 1).await;
    // An answer to the first one would be there before the second one is looked at.
    gateway.asks("c2", false, FAR);
    pushed(&stage, "challenge", "c2").await;
    stage.until_logged("app_opened", 2).await;
    assert!(gateway.rest().iter().all(|seen| seen.route != "answer"));
    assert!(stage.facts("app_answered").await.is_empty());
}

#[tokio::test]
async fn an_answer_can_be_signed_by_another_key() {
    let (stage, mut gateway, _) = with(json!({ "signs_badly": true })).await;
    gateway.asks("c1", false, FAR);
    pushed(&stage, "challenge", "c1").await;
    assert!(gateway.next("list").await.is_signed, "only the answer is not");
    let answered = gateway.next("answer").await;
    assert_eq!((answered.is_signed, answered.status), (false, 401));
    assert_eq!(stage.until_logged("app_answered", 1).await[0]["result"], "unauthorized");
}

#[tokio::test]
async fn an_answer_can_be_sent_again_and_to_the_next_challenge() {
    let (stage, mut gateway, _) = with(json!({ "replays": true })).await;
    gateway.asks("c1", false, FAR);
    gateway.asks("c2", false, FAR);
    pushed(&stage, "challenge", "c1").await;
    stage.until_logged("app_answered", 2).await;
    pushed(&stage, "challenge", "c2").await;
    let logged = stage.until_logged("app_answered", 5).await;
    let logged: Vec<_> =
        logged.iter().map(|fact| (fact["replayed"] == true, fact["result"].as_str().unwrap())).collect();
    let expected =
        [(false, "approved"), (true, "ended"), (true, "malformed"), (false, "approved"), (true, "ended")];
    assert_eq!(logged, expected);
    let sent: Vec<_> = gateway.rest().into_iter().filter(|seen| seen.route == "answer").collect();
    let sent: Vec<_> =
        sent.iter().map(|seen| (seen.path.as_str(), seen.claims["challenge_id"].as_str().unwrap())).collect();
    let (first, second) = ("operations/c1", "operations/c2");
    assert_eq!(sent, [(first, "c1"), (first, "c1"), (second, "c1"), (second, "c2"), (second, "c2")]);
}

#[tokio::test]
async fn a_late_answer_is_sent_when_its_time_has_passed() {
    let (stage, mut gateway, _) = with(json!({ "answers_late": true })).await;
    let now = || stage.context.clock.now().as_micros().div_euclid(1_000_000);
    let answer_by = now() + 1;
    let text = time::OffsetDateTime::from_unix_timestamp(answer_by).unwrap();
    gateway.asks("c1", false, &text.format(&time::format_description::well_known::Rfc3339).unwrap());
    pushed(&stage, "challenge", "c1").await;
    let claims = answered(&mut gateway).await;
    assert!(now() >= answer_by);
    assert_eq!(claims["exp"], answer_by);
}

#[tokio::test]
async fn a_device_of_the_file_has_the_same_words() {
    let mut gateway = Gateway::open().await;
    let (private, public) = fleet_simulator::new_device_key().unwrap();
    let device = "6f9619ff-8b86-4011-b42d-00c04fc964ff";
    gateway.knows(device, &public);
    gateway.asks("c1", true, FAR);
    let people = format!(
        "[[device]]\ndevice_id = \"{device}\"\nprivate_key = \"{private}\"\napproves = true\ntypes = \"47\"\nuv = \"pin\"\n\
         polls = \"2s\"\nafter = \"0s\"\n"
    );
    let stage = Stage::set(&format!("app_url = \"{}\"", gateway.url), &people).await;
    let claims = answered(&mut gateway).await;
    assert_eq!((&claims["number"], &claims["uv"]), (&"47".into(), &"pin".into()));
    let misspelt = json!({ "device_id": device, "private_key": private, "denise": "not_me" });
    assert_eq!(stage.control("people", &json!({ "device": [misspelt] })).await, 422);
    let script = json!({ "device_id": device, "private_key": private, "fcm_token": "t", "denies": "not_me", "after": "0s" });
    assert_eq!(stage.control("people", &json!({ "device": [script] })).await, 204);
    gateway.asks("c2", true, FAR);
    pushed(&stage, "challenge", "c2").await;
    let claims = answered(&mut gateway).await;
    assert_eq!((&claims["challenge_id"], &claims["reason"]), (&"c2".into(), &"not_me".into()));
}
