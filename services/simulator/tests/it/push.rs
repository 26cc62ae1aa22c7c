//! Tokens, messages and apps.

use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use fleet_simulator::{new_device_key, swarm_public_key, write_credentials};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use crate::gateway::{FAR, Gateway};
use crate::stage::{Stage, answer};

const DEVICE: &str = "6f9619ff-8b86-4011-b42d-00c04fc964ff";

/// The claims of an assertion, signed with the key of the credentials.
fn assertion(stage: &Stage, change: impl Fn(&mut Value)) -> String {
    let path = stage.folder.0.join("credentials.json");
    write_credentials(&path, "demo-mfa", &stage.url).unwrap();
    let account: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!((&account["type"], &account["project_id"]), (&"service_account".into(), &"demo-mfa".into()));
    let pem = account["private_key"].as_str().unwrap();
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
    let now = stage.context.clock.now().as_micros() / 1_000_000;
    let mut claims = json!({
        "iss": account["client_email"],
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": account["token_uri"],
        "iat": now,
        "exp": now + 3600,
    });
    change(&mut claims);
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": account["private_key_id"] });
    // With padding, as some libraries write it.
    let signed = format!("{}.{}", URL_SAFE.encode(header.to_string()), URL_SAFE.encode(claims.to_string()));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn exchange(stage: &Stage, assertion: &str) -> (u16, Value) {
    let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion)];
    answer(stage.client.post(format!("{}/token", stage.url)).form(&form)).await
}

pub(crate) async fn access_token(stage: &Stage) -> String {
    let (status, body) = exchange(stage, &assertion(stage, |_| {})).await;
    assert_eq!((status, &body["token_type"], &body["expires_in"]), (200, &"Bearer".into(), &3599.into()));
    body["access_token"].as_str().unwrap().to_owned()
}

pub(crate) async fn send(
    stage: &Stage,
    client: &reqwest::Client,
    token: &str,
    message: Value,
) -> (u16, Value) {
    let url = format!("{}/v1/projects/demo-mfa/messages:send", stage.url);
    answer(client.post(url).bearer_auth(token).json(&json!({ "message": message }))).await
}

#[tokio::test]
async fn only_a_true_and_fresh_assertion_becomes_a_token() {
    let stage = Stage::set("", "").await;
    let (status, body) = exchange(
        &stage,
        &assertion(&stage, |claims| claims["aud"] = "https://oauth2.googleapis.com/token".into()),
    )
    .await;
    assert_eq!(status, 200, "{body}");
    let wrong: [fn(&mut Value); 4] = [
        |claims| claims["iss"] = "somebody@example.org".into(),
        |claims| claims["aud"] = "https://example.org/token".into(),
        |claims| claims["exp"] = (claims["iat"].as_i64().unwrap() + 7200).into(),
        |claims| claims["iat"] = (claims["iat"].as_i64().unwrap() - 7200).into(),
    ];
    for change in wrong {
        let (status, body) = exchange(&stage, &assertion(&stage, change)).await;
        assert_eq!((status, &body["error"]), (400, &"invalid_grant".into()), "{body}");
    }
    for scope in ["https://www.googleapis.com/auth/devstorage.read_only", ""] {
        let (status, body) =
            exchange(&stage, &assertion(&stage, |claims| claims["scope"] = scope.into())).await;
        let description = "Invalid OAuth scope or ID token audience provided.";
        assert_eq!(
            (status, body),
            (400, json!({ "error": "invalid_scope", "error_description": description }))
        );
    }
    let mut forged = assertion(&stage, |_| {});
    forged.replace_range(forged.len() - 6.., "AAAAAA");
    let (_, body) = exchange(&stage, &forged).await;
    assert_eq!(body, json!({ "error": "invalid_grant", "error_description": "Invalid JWT Signature." }));
}

#[tokio::test]
async fn messages_are_accepted_over_http_1_and_http_2_on_one_port() {
    let stage = Stage::set("device_swarm = 2\nswarm = \"ignores\"", "").await;
    let token = access_token(&stage).await;
    let h2 =
        reqwest::Client::builder().http2_prior_knowledge().timeout(Duration::from_secs(5)).build().unwrap();
    for client in [&stage.client, &h2] {
        let (status, body) = send(&stage, client, &token, json!({ "token": "swarm-1", "data": {} })).await;
        assert_eq!(status, 200, "{body}");
        assert!(body["name"].as_str().unwrap().starts_with("projects/demo-mfa/messages/0:"));
    }
    let (status, body) = send(&stage, &h2, &token, json!({ "token": "swarm-2" })).await;
    assert_eq!((status, &body["error"]["details"][0]["errorCode"]), (400, &"INVALID_ARGUMENT".into()));
    let (status, body) = send(&stage, &h2, "ya29.9999999999.AAAA", json!({ "token": "swarm-1" })).await;
    assert_eq!((status, &body["error"]["status"]), (401, &"UNAUTHENTICATED".into()));
    let other = format!("{}/v1/projects/other/messages:send", stage.url);
    let (status, body) = answer(stage.client.post(other).bearer_auth(&token).json(&json!({}))).await;
    assert_eq!((status, &body["error"]["details"]), (404, &Value::Null), "nothing that condemns a token");
    let by_number = format!("{}/v1/projects/100000000002/messages:send", stage.url);
    let message = json!({ "message": { "token": "swarm-1" } });
    let (status, body) = answer(stage.client.post(by_number).bearer_auth(&token).json(&message)).await;
    assert_eq!(status, 200, "{body}");
    assert!(body["name"].as_str().unwrap().starts_with("projects/demo-mfa/messages/0:"), "{body}");
    let (_, sums) = answer(stage.client.get(format!("{}/sim/pushes", stage.url))).await;
    assert_eq!((&sums["accepted"], &sums["refused"]["INVALID_ARGUMENT"]), (&3.into(), &1.into()));
}

#[tokio::test]
async fn every_refusal_has_googles_shape() {
    let faults = [
        ("UNREGISTERED", 404, "NOT_FOUND", "Requested entity was not found."),
        ("SENDER_ID_MISMATCH", 403, "PERMISSION_DENIED", "SenderId mismatch"),
        ("QUOTA_EXCEEDED", 429, "RESOURCE_EXHAUSTED", "Quota exceeded."),
        ("UNAVAILABLE", 503, "UNAVAILABLE", "The service is currently unavailable."),
        ("INTERNAL", 500, "INTERNAL", "Internal error encountered."),
        ("THIRD_PARTY_AUTH_ERROR", 401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service"),
    ];
    let (private, _) = new_device_key().unwrap();
    let mut people = String::new();
    for (n, (fault, ..)) in faults.iter().enumerate() {
        let _ = write!(
            people,
            "[[device]]\ndevice_id = \"00000000-0000-4000-8000-00000000000{n}\"\nfcm_token = \"{fault}\"\n\
             private_key = \"{private}\"\ntoken_fault = \"{fault}\"\n"
        );
    }
    let stage = Stage::set("", &people).await;
    let token = access_token(&stage).await;
    for (fault, code, status, message) in faults {
        let (http, body) = send(&stage, &stage.client, &token, json!({ "token": fault })).await;
        let expected =
            json!({ "code": code, "message": message, "status": status, "details": [of_code(fault)] });
        assert_eq!((http, body), (code, json!({ "error": expected })));
    }
    refusals_beyond_fcms_codes(&stage, &token).await;
    let (http, body) =
        send(&stage, &stage.client, &token, json!({ "token": "x", "data": { "a": 42 } })).await;
    let text = "Invalid value at 'message.data[0].value' (TYPE_STRING), 42";
    let violation = |field: &str, text: &str| {
        json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{ "field": field, "description": text }],
        })
    };
    assert_eq!((http, &body["error"]["message"]), (400, &text.into()));
    assert_eq!(body["error"]["details"], json!([violation("message.data[0].value", text)]));
    let (http, body) = send(&stage, &stage.client, &token, json!({ "data": {} })).await;
    let text = "Recipient of the message is not set.";
    assert_eq!((http, &body["error"]["message"]), (400, &text.into()));
    assert_eq!(body["error"]["details"], json!([violation("message", text), of_code("INVALID_ARGUMENT")]));
    let headers = json!({ "apns-collapse-id": "x".repeat(65) });
    let (http, body) =
        send(&stage, &stage.client, &token, json!({ "token": "x", "apns": { "headers": headers } })).await;
    let details = json!([of_code("INVALID_ARGUMENT"), of_apple(400, "BadCollapseId")]);
    assert_eq!((http, &body["error"]["details"]), (400, &details));
}

fn of_code(code: &str) -> Value {
    json!({ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code })
}

fn of_apple(status: u16, reason: &str) -> Value {
    let kind = "type.googleapis.com/google.firebase.fcm.v1.ApnsError";
    json!({ "@type": kind, "statusCode": status, "reason": reason })
}

/// Those that come by rule alone, and say more or less than one of FCM's codes.
async fn refusals_beyond_fcms_codes(stage: &Stage, token: &str) {
    let refused = async |code: &str| {
        stage.set_faults(json!([{ "place": "push", "fault": "refused", "code": code }])).await;
        let (http, body) = send(stage, &stage.client, token, json!({ "token": "x" })).await;
        (http, body["error"].clone())
    };
    let (http, error) = refused("APNS_UNREGISTERED").await;
    let expected = json!({
        "code": 400, "message": "APNs device token is disabled.", "status": "INVALID_ARGUMENT",
        "details": [of_code("INVALID_ARGUMENT"), of_apple(410, "Unregistered")],
    });
    assert_eq!((http, error), (400, expected));
    let (http, error) = refused("DEVICE_QUOTA_EXCEEDED").await;
    assert_eq!((http, &error["details"][0]), (429, &of_code("QUOTA_EXCEEDED")));
    assert_eq!(error["details"][1]["@type"], "type.googleapis.com/google.rpc.QuotaFailure");
    for (code, status, word, reason) in [
        ("PROJECT_QUOTA_EXCEEDED", 429, "RESOURCE_EXHAUSTED", json!("RATE_LIMIT_EXCEEDED")),
        ("PERMISSION_DENIED", 403, "PERMISSION_DENIED", json!("SERVICE_DISABLED")),
        ("UNAUTHENTICATED", 401, "UNAUTHENTICATED", Value::Null),
    ] {
        let (http, error) = refused(code).await;
        let detail = &error["details"][0];
        assert_eq!((http, &error["status"], &detail["reason"]), (status, &word.into(), &reason), "{code}");
        assert_eq!(detail["errorCode"], Value::Null, "{code}: nothing that speaks of a token");
    }
    stage.set_faults(json!([])).await;
}

#[tokio::test]
async fn an_app_fetches_its_challenge_and_answers_with_its_key() {
    let (private, public) = new_device_key().unwrap();
    let mut gateway = Gateway::open().await;
    gateway.knows(DEVICE, &public);
    gateway.asks("other", false, FAR);
    gateway.asks("c1", false, FAR);
    let people = format!(
        "[[device]]\ndevice_id = \"{DEVICE}\"\nuser = \"grace\"\nfcm_token = \"grace-phone\"\n\
         private_key = \"{private}\"\npublic_key = \"{public}\"\ndenies = \"mistake\"\nafter = \"2s\"\n"
    );
    let stage = Stage::set(&format!("app_url = \"{}/\"", gateway.url), &people).await;
    let token = access_token(&stage).await;
    let data = json!({ "portal": "operations", "challenge_id": "c1" });
    send(&stage, &stage.client, &token, json!({ "token": "grace-phone", "data": data })).await;
    let listed = gateway.next("list").await;
    assert_eq!(listed.header, json!({ "alg": "ES256", "typ": "mfa-request+jwt", "kid": DEVICE }));
    let url = format!("{}/app/challenges", gateway.url);
    assert_eq!((&listed.claims["htm"], &listed.claims["htu"]), (&"GET".into(), &url.into()));
    assert!(listed.claims["iat"].is_i64() && listed.claims["jti"].is_string());
    let answer = gateway.next("answer").await;
    let expected = json!({
        "portal": "operations", "challenge_id": "c1", "nonce": "nonce of c1", "decision": "deny", "reason": "mistake",
        "device_id": DEVICE, "exp": 253_402_214_400_i64,
    });
    assert_eq!((answer.claims, answer.path.as_str()), (expected, "operations/c1"));
    assert_eq!(answer.header, json!({ "alg": "ES256", "typ": "mfa-answer+jwt", "kid": DEVICE }));
}

#[tokio::test]
async fn the_swarm_answers_with_its_shared_key_and_numbered_ids() {
    let device = "00000000-0000-8000-8000-0000000000ff";
    let mut gateway = Gateway::open().await;
    gateway.knows(device, &swarm_public_key().unwrap());
    gateway.asks("c1", false, FAR);
    let stage = Stage::set(&format!("app_url = \"{}\"\ndevice_swarm = 1000", gateway.url), "").await;
    let token = access_token(&stage).await;
    let data = json!({ "portal": "operations", "challenge_id": "c1" });
    send(&stage, &stage.client, &token, json!({ "token": "swarm-255", "data": data })).await;
    let answer = gateway.next("answer").await.claims;
    assert_eq!((&answer["decision"], &answer["reason"]), (&"approve".into(), &Value::Null));
    assert_eq!(answer["device_id"], device);
}

#[tokio::test]
async fn an_installation_id_is_a_target_of_its_own_and_stands_for_a_token_too() {
    let (private, _) = new_device_key().unwrap();
    let people = format!(
        "[[device]]\ndevice_id = \"{DEVICE}\"\nfcm_token = \"t\"\nfid = \"f\"\nprivate_key = \"{private}\"\nignores = true\n"
    );
    let stage = Stage::set("", &people).await;
    let token = access_token(&stage).await;
    for (message, status) in [
        (json!({ "token": "t" }), 200),
        (json!({ "fid": "f" }), 200),
        (json!({ "token": "f" }), 200),
        (json!({ "fid": "t" }), 400),
    ] {
        assert_eq!(send(&stage, &stage.client, &token, message.clone()).await.0, status, "{message}");
    }
    let pushes = stage.facts("push").await;
    let (fid, device) = (&pushes[1]["fid"], &pushes[1]["device"]);
    assert_eq!((fid, device, &pushes[1]["token"]), (&"f".into(), &DEVICE.into(), &Value::Null));
}

#[tokio::test]
async fn a_dry_run_is_checked_and_delivered_to_nobody() {
    let stage = Stage::set("device_swarm = 1", "").await;
    let token = access_token(&stage).await;
    let url = format!("{}/v1/projects/demo-mfa/messages:send", stage.url);
    let dry = json!({ "message": { "token": "swarm-0" }, "validate_only": true });
    let (status, body) = answer(stage.client.post(url).bearer_auth(&token).json(&dry)).await;
    assert_eq!((status, body), (200, json!({ "name": "projects/demo-mfa/messages/fake_message_id" })));
    assert!(stage.facts("push").await.is_empty());
    let (_, sums) = answer(stage.client.get(format!("{}/sim/pushes", stage.url))).await;
    assert_eq!(sums["accepted"], 0);
}

#[tokio::test]
async fn access_tokens_end_and_a_revoked_key_takes_its_tokens_with_it() {
    let stage = Stage::set("device_swarm = 1\nswarm = \"ignores\"", "").await;
    let works = async |token: &str| send(&stage, &stage.client, token, json!({ "token": "swarm-0" })).await.0;
    let token = access_token(&stage).await;
    assert_eq!(works(&token).await, 200);
    assert_eq!(stage.control("google", &json!({ "key_revoked": true })).await, 204);
    let (status, body) = exchange(&stage, &assertion(&stage, |_| {})).await;
    assert_eq!((status, &body["error"]), (400, &"invalid_grant".into()));
    assert_eq!(works(&token).await, 401);
    assert_eq!(stage.control("google", &json!({ "token_lifetime": "0s" })).await, 204);
    assert_eq!(works(&token).await, 401, "revoked for good");
    let (_, body) = exchange(&stage, &assertion(&stage, |_| {})).await;
    assert_eq!(body["expires_in"], 0);
    assert_eq!(works(body["access_token"].as_str().unwrap()).await, 401, "not good for a second");
    assert_eq!(stage.control("google", &json!({})).await, 204);
    assert_eq!(works(&access_token(&stage).await).await, 200);
}
