//! Apps that get their account from a gateway, change their push address, and give the account up.

use serde_json::{Value, json};

use crate::gateway::{FAR, Gateway, SECRET, Seen};
use crate::push::{access_token, send};
use crate::stage::{Stage, answer};

/// `POST /sim/apps` and the like.
pub(crate) async fn app(stage: &Stage, path: &str, body: &Value) -> (u16, Value) {
    answer(stage.client.post(format!("{}/sim/apps{path}", stage.url)).json(body)).await
}

/// Pushes this challenge to a device; returns the status and FCM's code.
pub(crate) async fn push(stage: &Stage, target: Value, event: &str, challenge: &str) -> (u16, Value) {
    let token = access_token(stage).await;
    let mut message = target;
    message["data"] = json!({ "event": event, "portal": "operations", "challenge_id": challenge });
    let (status, body) = send(stage, &stage.client, &token, message).await;
    (status, body["error"]["details"][0]["errorCode"].clone())
}

/// Activates an app with these further fields, and returns its device id.
pub(crate) async fn activated(stage: &Stage, gateway: &Gateway, code: &str, more: Value) -> String {
    let mut order = json!({ "url": gateway.url, "code": code, "approves": true, "after": "0s" });
    order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, body) = app(stage, "", &order).await;
    assert_eq!(status, 201, "{body}");
    body["device_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_app_shows_its_key_once_and_signs_with_it_from_then_on() {
    let (stage, mut gateway) = (Stage::set("", "").await, Gateway::open().await);
    gateway.asks("c1", false, FAR);
    for (alg, code) in [("ES256", "0f9ZvDk0TRiZ6YbRk1PTcg"), ("EdDSA", "7KQ2-9XWM-4RTB")] {
        let qr = format!("mfa-fleet://activate?v=1&url={}&code={code}", gateway.url.replace(':', "%3A"));
        let order = json!({
            "qr": qr, "name": "Avery's phone", "platform": "ios", "fcm_token": alg, "alg": alg,
            "denies": "canceled", "after": "0s",
        });
        let (status, body) = app(&stage, "", &order).await;
        assert_eq!(
            (status, &body["totp"]["secret"], &body["account"]),
            (201, &SECRET.into(), &"avery.lee".into())
        );
        let Seen { header, claims, .. } = gateway.next("activate").await;
        let members: Vec<_> = header.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!((members, &header["alg"]), (vec!["alg", "jwk", "typ"], &alg.into()));
        assert_eq!(header["typ"], "mfa-activation+jwt");
        let expected = json!({
            "aud": gateway.url, "iat": claims["iat"], "code": code, "name": "Avery's phone", "platform": "ios",
            "push": { "token": alg },
        });
        assert_eq!(claims, expected);
        assert_eq!(push(&stage, json!({ "token": alg }), "challenge", "c1").await.0, 200);
        let answered = gateway.next("answer").await;
        assert!(answered.is_signed);
        assert_eq!((&answered.header["alg"], &answered.header["kid"]), (&alg.into(), &body["device_id"]));
    }
    let logged = stage.until_logged("app_activated", 2).await;
    assert_eq!((&logged[1]["status"], &logged[1]["error"]), (&201.into(), &Value::Null));
    assert!(!stage.log().await.iter().any(|fact| fact.to_string().contains(SECRET)), "the log has no secret");
}

#[tokio::test]
async fn two_apps_race_for_one_code_and_the_same_key_gets_the_same_device_again() {
    let (stage, gateway) = (Stage::set("", "").await, Gateway::open().await);
    let order = json!({ "url": gateway.url, "code": "one", "ignores": true });
    let (first, second) = tokio::join!(app(&stage, "", &order), app(&stage, "", &order));
    let mut statuses = [first.0, second.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    let late = if first.0 == 409 { first.1 } else { second.1 };
    assert_eq!(late["error"]["code"], "activation_used");
    let (private, _) = fleet_simulator::new_device_key().unwrap();
    let order = json!({ "url": gateway.url, "code": "two", "ignores": true, "private_key": private });
    let (first, again) = (app(&stage, "", &order).await, app(&stage, "", &order).await);
    assert_eq!((first.0, again.0, first.1["device_id"] == again.1["device_id"]), (201, 200, true));
}

#[tokio::test]
async fn what_the_gateway_refuses_is_passed_on_and_an_order_that_makes_no_sense_is_not_sent() {
    let (stage, mut gateway) = (Stage::set("", "").await, Gateway::open().await);
    let refused = app(&stage, "", &json!({ "url": gateway.url, "code": "expired", "approves": true })).await;
    assert_eq!((refused.0, &refused.1["error"]["code"]), (410, &"activation_expired".into()));
    let logged = &stage.facts("app_activated").await[0];
    assert_eq!((&logged["device"], &logged["error"]), (&Value::Null, &"activation_expired".into()));
    gateway.rest();
    for order in [
        json!({ "code": "c", "approves": true }),
        json!({ "qr": "https://example.org", "approves": true }),
        json!({ "url": gateway.url, "code": "c" }),
        json!({ "url": gateway.url, "code": "c", "approves": true, "fcm_token": "t", "fid": "f" }),
        json!({ "url": gateway.url, "code": "c", "approves": true, "private_key": "AAAA" }),
        json!({ "url": gateway.url, "code": "c", "approves": true, "pols": "2s" }),
    ] {
        assert_eq!(app(&stage, "", &order).await.0, 422, "{order}");
    }
    assert!(gateway.rest().is_empty());
}

#[tokio::test]
async fn an_app_without_an_address_asks_by_itself() {
    let (stage, mut gateway) = (Stage::set("", "").await, Gateway::open().await);
    let device = activated(&stage, &gateway, "c", json!({ "polls": "2s" })).await;
    assert_eq!(gateway.next("activate").await.claims["push"], Value::Null);
    gateway.next("list").await;
    gateway.asks("c1", false, FAR);
    assert_eq!(gateway.next("answer").await.claims["challenge_id"], "c1");
    assert_eq!(stage.until_logged("app_answered", 1).await[0]["result"], "approved");
    let (status, _) = app(&stage, &format!("/{device}/revoke"), &json!({})).await;
    assert_eq!(status, 204);
    gateway.next("revoke").await;
    gateway.asks("c2", false, FAR);
    let order = json!({ "url": gateway.url, "code": "another", "ignores": true, "polls": "2s" });
    let (_, other) = app(&stage, "", &order).await;
    let mut lists = (0, 0);
    while lists.1 < 4 {
        let asked = gateway.next("list").await;
        lists.0 += usize::from(asked.header["kid"] == device);
        lists.1 += usize::from(asked.header["kid"] == other["device_id"]);
    }
    assert!(lists.0 <= 1, "one request may have been on its way, and others go on asking: {lists:?}");
    assert_eq!(stage.facts("app_answered").await.len(), 1, "who has no account answers nothing");
}

#[tokio::test]
async fn an_address_that_was_rotated_away_is_unregistered_and_the_gateway_hears_of_the_new_one() {
    let (stage, mut gateway) = (Stage::set("", "").await, Gateway::open().await);
    gateway.asks("c1", false, FAR);
    let device = activated(&stage, &gateway, "c", json!({ "fcm_token": "first" })).await;
    let (status, rotated) = app(&stage, &format!("/{device}/rotate"), &json!({})).await;
    assert_eq!((status, &rotated["refreshes"][0]["status"]), (200, &204.into()));
    let told = gateway.next("push-address").await;
    assert_eq!(told.header, json!({ "alg": "ES256", "typ": "mfa-push-address+jwt", "kid": device }));
    let expected = json!({
        "aud": gateway.url, "device_id": device, "iat": told.claims["iat"], "version": told.claims["version"],
        "push": rotated["push"],
    });
    assert_eq!(told.claims, expected);
    assert_eq!(
        push(&stage, json!({ "token": "first" }), "challenge", "c1").await,
        (404, "UNREGISTERED".into())
    );
    let second = rotated["push"]["token"].clone();
    assert_eq!(push(&stage, json!({ "token": second }), "challenge", "c1").await.0, 200);
    gateway.next("answer").await;
    let (_, late) = app(&stage, &format!("/{device}/rotate"), &json!({ "late": true, "fid": "third" })).await;
    let (newer, older) = (gateway.next("push-address").await, gateway.next("push-address").await);
    assert!(newer.claims["version"].as_i64() > older.claims["version"].as_i64());
    assert_eq!((newer.status, older.status, &newer.claims["push"]["fid"]), (204, 409, &"third".into()));
    assert_eq!(late["refreshes"][1]["body"]["error"]["code"], "stale_version");
    assert_eq!(push(&stage, json!({ "token": second }), "challenge", "c1").await.0, 404);
    assert_eq!(push(&stage, json!({ "fid": "third" }), "challenge", "c1").await.0, 200);
    let (_, silent) = app(&stage, &format!("/{device}/rotate"), &json!({ "silent": true })).await;
    assert_eq!(
        (&silent["push"], &gateway.next("push-address").await.claims["push"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(push(&stage, json!({ "fid": "third" }), "challenge", "c1").await.0, 404);
    let logged = stage.facts("push_address_sent").await;
    assert_eq!(logged.len(), 4);
    assert_eq!((&logged[2]["status"], &logged[2]["error"]), (&409.into(), &"stale_version".into()));
}

#[tokio::test]
async fn who_removes_the_account_tells_the_gateway_and_hears_no_push_any_more() {
    let (stage, mut gateway) = (Stage::set("", "").await, Gateway::open().await);
    gateway.asks("c1", false, FAR);
    let device = activated(&stage, &gateway, "c", json!({ "fcm_token": "t" })).await;
    assert_eq!(app(&stage, &format!("/{device}/revoke"), &json!({})).await.0, 204);
    let told = gateway.next("revoke").await;
    assert_eq!(told.header, json!({ "alg": "ES256", "typ": "mfa-revocation+jwt", "kid": device }));
    assert_eq!(told.claims, json!({ "aud": gateway.url, "device_id": device, "iat": told.claims["iat"] }));
    assert_eq!(
        push(&stage, json!({ "token": "t" }), "challenge", "c1").await.0,
        200,
        "the app is still there"
    );
    let (status, again) = app(&stage, &format!("/{device}/revoke"), &json!({})).await;
    assert_eq!((status, &again["error"]["code"]), (401, &"unauthorized".into()));
    assert!(gateway.rest().iter().all(|seen| seen.route == "revoke"), "the push woke nobody");
    let unknown = "/6f9619ff-8b86-4011-b42d-00c04fc964ff/revoke";
    assert_eq!(app(&stage, unknown, &json!({})).await.0, 404);
}

#[tokio::test]
async fn an_activated_app_shows_one_time_codes() {
    let (stage, gateway) = (Stage::set("", "").await, Gateway::open().await);
    let device = activated(&stage, &gateway, "c", json!({})).await;
    let totp = |device: &str| stage.client.get(format!("{}/sim/apps/{device}/totp", stage.url));
    let (status, shown) = answer(totp(&device)).await;
    let code = shown["code"].as_str().unwrap();
    assert_eq!((status, code.len(), code.parse::<u32>().is_ok()), (200, 6, true));
    assert!((1..=30).contains(&shown["valid_for_s"].as_i64().unwrap()), "{shown}");
    assert_eq!(answer(totp("6f9619ff-8b86-4011-b42d-00c04fc964ff")).await.0, 404);
}
