//! The routes of the app.

use fleet_broker::Queue;
use fleet_domain::{
    AskedStep, Assurance, Channel, Event, Policy, Progress, Reason, Target, UserVerification,
};
use serde_json::{Value, json};

use crate::phone::Phone;
use crate::support::{Fleet, SID, TITLE, by, path_of};

const PUSH: &[AskedStep] = &[AskedStep { channel: Channel::Push, target: Target::Primary, timeout: None }];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_sees_its_challenge_and_approves_it_once() {
    let fleet = Fleet::start().await;
    let phone = Phone::new();
    let user = fleet.enroll("ada", &[&phone]).await;
    let key = fleet.pushed(&user, PUSH, None).await;

    let list = fleet.get("/app/challenges", &phone).await;
    assert_eq!((list.status, list.header("cache-control")), (200, "no-store"));
    let listed = &list.json()["challenges"];
    let stored = fleet.stored(&key).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    for (field, expected) in [
        ("portal", json!("operations")),
        ("portal_title", json!(TITLE)),
        ("challenge_id", json!(key.id.to_string())),
        ("nonce", json!(fleet.engine.keys().app_nonce("operations", key.id.as_bytes()))),
        ("purpose", json!("sign_in")),
        ("number_match", json!(false)),
        ("context", json!({ "application": "Payroll", "fields": [] })),
    ] {
        assert_eq!(listed[0][field], expected, "{field}");
    }
    assert!(listed[0]["answer_by"].as_str().unwrap().ends_with('Z'));
    assert!(stored.is_open());

    let claims = fleet.answer_claims(&key, &phone, &json!({ "uv": "biometric" })).await;
    let jws = phone.sign("mfa-answer+jwt", &claims);
    let approved = fleet.post_answer(&key, &jws).await;
    assert_eq!(
        (approved.status, approved.json()),
        (200, json!({ "result": "approved", "reason": "ok_push" }))
    );
    let end = fleet.stored(&key).await.live.end.unwrap();
    assert_eq!((end.assurance, end.device), (Some(Assurance::ApproveBiometric), Some(phone.id)));

    for jws in [jws, phone.sign("mfa-answer+jwt", &json_with(&claims, &json!({ "decision": "deny" })))] {
        let replayed = fleet.post_answer(&key, &jws).await;
        assert_eq!((replayed.status, &replayed.json()["error"]["code"]), (409, &json!("ended")));
    }
    assert_eq!(fleet.stored(&key).await.live.end.unwrap(), end);
    assert_eq!(fleet.get("/app/challenges", &phone).await.json(), json!({ "challenges": [] }));
    fleet.end().await;
}

fn json_with(claims: &Value, changes: &Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_its_result() {
    let fleet = Fleet::start().await;
    let phone = Phone::new();
    let user = fleet.enroll("ada", &[&phone]).await;
    for (number, changes, result, reason) in [
        (Some("42"), json!({ "number": "42" }), "approved", "ok_push"),
        (Some("42"), json!({ "number": "42", "uv": "pin" }), "approved", "ok_push"),
        (Some("42"), json!({ "number": "43" }), "denied", "number_mismatch"),
        (Some("42"), json!({}), "denied", "number_mismatch"),
        (None, json!({ "number": "42" }), "approved", "ok_push"),
        (None, json!({ "decision": "deny", "reason": "mistake" }), "denied", "user_declined"),
        (None, json!({ "decision": "deny", "reason": "canceled" }), "denied", "user_canceled"),
        (None, json!({ "decision": "deny" }), "denied", "user_declined"),
        (None, json!({ "decision": "deny", "reason": "bored" }), "denied", "user_declined"),
        // The last one: it blocks the user.
        (None, json!({ "decision": "deny", "reason": "not_me" }), "denied", "fraud_reported"),
    ] {
        let key = fleet.pushed(&user, PUSH, number).await;
        let reply = fleet.answer(&key, &phone, &changes).await;
        assert_eq!(reply.json(), json!({ "result": result, "reason": reason }), "{changes}");
        assert_eq!(fleet.stored(&key).await.live.end.unwrap().reason.as_str(), reason);
    }
    assert_eq!(fleet.metric("mfa_gateway_unknown_deny_reasons_total"), 1);
    // A1: also on push.
    fleet
        .until(|fleet| fleet.metric("mfa_fraud_reports_total{channel=\"push\",done=\"blocked\"}") == 1)
        .await;
    assert!(fleet.engine.records().user(&user).await.unwrap().unwrap().blocked);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_what_the_portal_demands_is_listed_and_an_approval_without_it_is_denied() {
    let fleet = Fleet::start().await;
    let phone = Phone::new();
    let user = fleet.enroll("ada", &[&phone]).await;
    fleet.policy(Policy { user_verification: UserVerification::Biometric, ..Policy::default() }).await;
    for (number, changes, result, reason) in [
        (None, json!({}), "denied", "verification_missing"),
        (None, json!({ "uv": "pin" }), "denied", "verification_missing"),
        (None, json!({ "uv": "telepathy" }), "denied", "verification_missing"),
        (None, json!({ "uv": "biometric" }), "approved", "ok_push"),
        (Some("42"), json!({ "number": "42" }), "denied", "verification_missing"),
        (Some("42"), json!({ "number": "43" }), "denied", "number_mismatch"),
        (Some("42"), json!({ "number": "43", "uv": "biometric" }), "denied", "number_mismatch"),
        (Some("42"), json!({ "number": "42", "uv": "biometric" }), "approved", "ok_push"),
        (None, json!({ "decision": "deny" }), "denied", "user_declined"),
    ] {
        let key = fleet.pushed(&user, PUSH, number).await;
        let listed = fleet.get("/app/challenges", &phone).await.json();
        assert_eq!(listed["challenges"][0]["require_user_verification"], "biometric");
        let reply = fleet.answer(&key, &phone, &changes).await;
        assert_eq!(reply.json(), json!({ "result": result, "reason": reason }), "{changes}");
        let end = fleet.stored(&key).await.live.end.unwrap();
        assert_eq!((end.reason.as_str(), end.assurance.is_some()), (reason, result == "approved"));
    }
    // What was accepted before the policy changed is held to what it was accepted under.
    let before = fleet.pushed(&user, PUSH, None).await;
    fleet.policy(Policy::default()).await;
    assert_eq!(fleet.answer(&before, &phone, &json!({})).await.json()["reason"], "verification_missing");
    let after = fleet.pushed(&user, PUSH, None).await;
    let listed = fleet.get("/app/challenges", &phone).await.json();
    assert_eq!(listed["challenges"][0].get("require_user_verification"), None);
    assert_eq!(fleet.answer(&after, &phone, &json!({})).await.json()["reason"], "ok_push");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_an_active_device_of_the_user_gets_one_and_the_same_answer() {
    let fleet = Fleet::start().await;
    let (own, foreign, unknown, revoked) = (Phone::new(), Phone::new(), Phone::new(), Phone::new());
    let user = fleet.enroll("ada", &[&own, &revoked]).await;
    fleet.enroll("eve", &[&foreign]).await;
    let revoke = format!("UPDATE devices SET state = 2 WHERE id = '{}'", revoked.id);
    fleet.scratch.as_ref().unwrap().sql(&revoke).await;
    let key = fleet.pushed(&user, PUSH, None).await;

    let mut bodies = Vec::new();
    for phone in [&foreign, &unknown, &revoked] {
        let reply = fleet.answer(&key, phone, &json!({})).await;
        assert_eq!(reply.status, 401, "{reply:?}");
        bodies.push(reply.body);
    }
    for phone in [&unknown, &revoked] {
        let reply = fleet.get("/app/challenges", phone).await;
        assert_eq!(reply.status, 401, "{reply:?}");
        bodies.push(reply.body);
    }
    let no_proof = fleet.stranger(&path_of(&key, "opened")).await;
    assert_eq!(no_proof.status, 401);
    bodies.push(no_proof.body);
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert_eq!(fleet.get("/app/challenges", &foreign).await.json(), json!({ "challenges": [] }));
    assert!(fleet.stored(&key).await.is_open());
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flipped_bit_of_an_answer_is_taken() {
    let fleet = Fleet::start().await;
    let phone = Phone::new();
    let user = fleet.enroll("ada", &[&phone]).await;
    let key = fleet.pushed(&user, PUSH, None).await;
    let claims = fleet.answer_claims(&key, &phone, &json!({})).await;
    let jws = phone.sign("mfa-answer+jwt", &claims);
    let before = fleet.stored(&key).await;
    for at in 0..jws.len() {
        let mut bytes = jws.clone().into_bytes();
        bytes[at] ^= 1;
        let reply = fleet.post_answer(&key, str::from_utf8(&bytes).unwrap()).await;
        assert!([400, 401, 409].contains(&reply.status), "{at}: {reply:?}");
    }
    assert_eq!(fleet.stored(&key).await, before);
    assert_eq!(fleet.post_answer(&key, &jws).await.status, 200);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_for_one_challenge_and_one_time() {
    let fleet = Fleet::start().await;
    let phone = Phone::new();
    let user = fleet.enroll("ada", &[&phone]).await;
    let (key, other) = (fleet.pushed(&user, PUSH, None).await, fleet.pushed(&user, PUSH, None).await);
    let now = fleet.engine.now().as_secs();
    let for_other = fleet.answer_claims(&other, &phone, &json!({})).await;
    for (changes, status, code) in [
        (json!({ "exp": now - 1 }), 409, "ended"),
        (json!({ "exp": now + 3600 }), 400, "malformed"),
        (json!({ "nonce": for_other["nonce"] }), 400, "malformed"),
        (json!({ "challenge_id": for_other["challenge_id"] }), 400, "malformed"),
        (json!({ "decision": "maybe" }), 400, "malformed"),
    ] {
        let reply = fleet.answer(&key, &phone, &changes).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (status, &json!(code)), "{changes}");
        assert!(!reply.json()["error"]["message"].as_str().unwrap().is_empty());
    }
    let as_request = phone.sign("mfa-request+jwt", &fleet.answer_claims(&key, &phone, &json!({})).await);
    assert_eq!(fleet.post_answer(&key, &as_request).await.status, 400);
    let missing = fleet.answer(&key, &phone, &json!({ "exp": null })).await;
    assert_eq!(missing.status, 400);
    assert!(fleet.stored(&key).await.is_open() && fleet.stored(&other).await.is_open());

    fleet.apply(&key, Event::Cancel).await;
    assert_eq!(fleet.answer(&key, &phone, &json!({})).await.status, 409);
    assert_eq!(fleet.stored(&key).await.live.end.unwrap().reason, Reason::CallerCanceled);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_for_one_device_is_not_for_the_users_others() {
    let fleet = Fleet::start().await;
    let (named, other) = (Phone::new(), Phone::new());
    let user = fleet.enroll("ada", &[&named, &other]).await;
    let step = AskedStep { channel: Channel::Push, target: Target::Device(named.id), timeout: None };
    let key = fleet.pushed(&user, &[step], None).await;
    assert_eq!(fleet.get("/app/challenges", &other).await.json(), json!({ "challenges": [] }));
    assert_eq!(fleet.post_signed(&path_of(&key, "opened"), &other).await.status, 403);
    assert_eq!(fleet.answer(&key, &other, &json!({})).await.status, 403);
    assert_eq!(fleet.get("/app/challenges", &named).await.json()["challenges"].as_array().unwrap().len(), 1);
    assert_eq!(fleet.answer(&key, &named, &json!({})).await.status, 200);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_the_app_shows_a_challenge_is_noted_once() {
    let fleet = Fleet::start().await;
    let (phone, foreign) = (Phone::new(), Phone::new());
    let user = fleet.enroll("ada", &[&phone]).await;
    fleet.enroll("eve", &[&foreign]).await;
    let key = fleet.pushed(&user, PUSH, None).await;
    let opened = path_of(&key, "opened");
    assert_eq!(fleet.post_signed(&opened, &foreign).await.status, 404);
    assert_eq!(fleet.stored(&key).await.progress(), Progress::Pushed);
    assert_eq!(fleet.post_signed(&opened, &phone).await.status, 204);
    let version = fleet.stored(&key).await.version;
    assert_eq!(fleet.stored(&key).await.progress(), Progress::Opened);
    assert_eq!(fleet.post_signed(&opened, &phone).await.status, 204);
    assert_eq!(fleet.stored(&key).await.version, version);
    assert_eq!(fleet.answer(&key, &phone, &json!({})).await.status, 200);
    assert_eq!(fleet.post_signed(&opened, &phone).await.status, 409);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_by_the_app_hands_the_end_of_a_live_call_over() {
    let fleet = Fleet::start().await;
    let phone = Phone::new();
    let user = fleet.enroll("ada", &[&phone]).await;
    let key = fleet.challenge(&user, &[by(Channel::Push), by(Channel::Voice)], None).await;
    fleet.apply(&key, Event::Send { check_after: None }).await;
    let failed = Event::PushFailed {
        attempt: 1,
        round: 1,
        reason: Reason::DeviceUnregistered,
        provider_code: Some(404),
    };
    fleet.apply(&key, failed).await;
    fleet.dial(&key).await;
    fleet.apply(&key, Event::Ringing { attempt: 2, sid: SID.into() }).await;
    assert_eq!(fleet.answer(&key, &phone, &json!({})).await.status, 200);
    assert!(fleet.handed_over(Queue::VoiceHangup, &key).await);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_an_app_is_asked_to_come_back() {
    let fleet = Fleet::without_database().await;
    let reply = fleet.get("/app/challenges", &Phone::new()).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"));
    assert_eq!(reply.json()["error"]["code"], "unavailable");
    fleet.end().await;
}
