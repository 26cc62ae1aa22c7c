//! Tokens, messages and apps.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use fleet_simulator::{new_device_key, swarm_public_key, write_credentials};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

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
    let (_, sums) = answer(stage.client.get(format!("{}/sim/pushes", stage.url))).await;
    assert_eq!((&sums["accepted"], &sums["refused"]["INVALID_ARGUMENT"]), (&2.into(), &1.into()));
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
        let detail =
            json!({ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": fault });
        let expected = json!({ "code": code, "message": message, "status": status, "details": [detail] });
        assert_eq!((http, body), (code, json!({ "error": expected })));
    }
    let (http, body) =
        send(&stage, &stage.client, &token, json!({ "token": "x", "data": { "a": 42 } })).await;
    let text = "Invalid value at 'message.data[0].value' (TYPE_STRING), 42";
    assert_eq!((http, &body["error"]["message"]), (400, &text.into()));
    let violation = &body["error"]["details"][0]["fieldViolations"][0];
    assert_eq!(violation, &json!({ "field": "message.data[0].value", "description": text }));
}

/// The gateway's side of the app API: checks the device's signatures and lists one challenge.
struct Gateway {
    url: String,
    public_key: Vec<u8>,
    answers: mpsc::UnboundedSender<Value>,
}

impl Gateway {
    async fn open(public_key: &str) -> (String, mpsc::UnboundedReceiver<Value>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (answers, received) = mpsc::unbounded_channel();
        let public_key = URL_SAFE_NO_PAD.decode(public_key).unwrap();
        let gateway = Arc::new(Self { url: url.clone(), public_key, answers });
        let app = Router::new()
            .route("/app/challenges", get(list))
            .route("/app/challenges/{portal}/{challenge}/answer", post(take))
            .with_state(gateway);
        crate::stage::serve(listener, app);
        (url, received)
    }

    /// The header and the claims of a compact JWS whose signature holds.
    fn verified(&self, jws: &str) -> (Value, Value) {
        let (signed, signature) = jws.rsplit_once('.').unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public_key);
        key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let json = |part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        (json(header), json(claims))
    }
}

async fn list(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> axum::Json<Value> {
    let proof = headers["authorization"].to_str().unwrap().strip_prefix("Device ").unwrap();
    let (header, claims) = gateway.verified(proof);
    assert_eq!((&header["alg"], &header["typ"]), (&"ES256".into(), &"mfa-request+jwt".into()));
    assert_eq!(
        (&claims["htm"], &claims["htu"]),
        (&"GET".into(), &format!("{}/app/challenges", gateway.url).into())
    );
    assert!(claims["iat"].is_i64() && claims["jti"].is_string());
    axum::Json(json!({ "challenges": [
        { "portal": "operations", "challenge_id": "other", "nonce": "no", "answer_by": "2030-01-01T00:00:00Z" },
        { "portal": "operations", "challenge_id": "c1", "nonce": "n1", "answer_by": "2030-01-01T00:00:00Z",
          "application": "Payroll", "number_match": false },
    ] }))
}

async fn take(
    State(gateway): State<Arc<Gateway>>,
    Path((portal, challenge)): Path<(String, String)>,
    headers: HeaderMap,
    body: String,
) -> axum::Json<Value> {
    assert_eq!(headers["content-type"], "application/jose");
    let (header, mut claims) = gateway.verified(&body);
    claims["header"] = header;
    claims["path"] = format!("{portal}/{challenge}").into();
    gateway.answers.send(claims).unwrap();
    axum::Json(json!({ "result": "approved" }))
}

async fn received(answers: &mut mpsc::UnboundedReceiver<Value>) -> Value {
    tokio::time::timeout(Duration::from_secs(10), answers.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_app_fetches_its_challenge_and_answers_with_its_key() {
    let (private, public) = new_device_key().unwrap();
    let (app_url, mut answers) = Gateway::open(&public).await;
    let people = format!(
        "[[device]]\ndevice_id = \"{DEVICE}\"\nuser = \"grace\"\nfcm_token = \"grace-phone\"\n\
         private_key = \"{private}\"\npublic_key = \"{public}\"\ndenies = \"mistake\"\nafter = \"2s\"\n"
    );
    let stage = Stage::set(&format!("app_url = \"{app_url}/\""), &people).await;
    let token = access_token(&stage).await;
    let data = json!({ "portal": "operations", "challenge_id": "c1" });
    send(&stage, &stage.client, &token, json!({ "token": "grace-phone", "data": data })).await;
    let answer = received(&mut answers).await;
    let header = json!({ "alg": "ES256", "typ": "mfa-answer+jwt", "kid": DEVICE });
    let expected = json!({
        "portal": "operations", "challenge_id": "c1", "nonce": "n1", "decision": "deny", "reason": "mistake",
        "device_id": DEVICE, "exp": 1_893_456_000, "header": header, "path": "operations/c1",
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn the_swarm_answers_with_its_shared_key_and_numbered_ids() {
    let (app_url, mut answers) = Gateway::open(&swarm_public_key().unwrap()).await;
    let stage = Stage::set(&format!("app_url = \"{app_url}\"\ndevice_swarm = 1000"), "").await;
    let token = access_token(&stage).await;
    let data = json!({ "portal": "operations", "challenge_id": "c1" });
    send(&stage, &stage.client, &token, json!({ "token": "swarm-255", "data": data })).await;
    let answer = received(&mut answers).await;
    assert_eq!((&answer["decision"], &answer["reason"]), (&"approve".into(), &Value::Null));
    assert_eq!(answer["device_id"], "00000000-0000-8000-8000-0000000000ff");
}
