//! The client against a stub that answers as it is told: what is tried again, and what each answer means.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleet_keys::DeviceAlg;
use serde_json::{Value, json};

use super::*;
use crate::error::Refusal;

/// A gateway that gives these answers, one after the other, and keeps what it was sent.
#[derive(Clone, Default)]
struct Stub {
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
    sent: Arc<Mutex<Vec<String>>>,
}

async fn take(State(stub): State<Stub>, body: String) -> Response {
    stub.sent.lock().unwrap().push(body);
    let (status, body) = stub.answers.lock().unwrap().pop_front().expect("an answer for each request");
    let status = StatusCode::from_u16(status).unwrap();
    if status.is_redirection() {
        return (status, [(LOCATION, "/elsewhere")]).into_response();
    }
    (status, body.as_str().map_or_else(|| body.to_string(), str::to_owned)).into_response()
}

#[expect(clippy::disallowed_methods, reason = "the stub ends with its test's runtime")]
fn serve(listener: tokio::net::TcpListener, routes: Router) {
    drop(tokio::spawn(async move { axum::serve(listener, routes).await }));
}

impl Stub {
    /// Its base URL, and the stub.
    async fn start(answers: Vec<(u16, Value)>) -> (String, Self) {
        let stub = Self { answers: Arc::new(Mutex::new(answers.into())), ..Self::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(take).with_state(stub.clone());
        serve(listener, routes);
        (url, stub)
    }

    /// Header and claims of everything that was sent.
    fn sent(&self) -> Vec<(Value, Value)> {
        let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
        let split = |jws: &String| {
            let mut parts = jws.split('.');
            (part(parts.next().unwrap()), part(parts.next().unwrap()))
        };
        self.sent.lock().unwrap().iter().map(split).collect()
    }
}

fn error(code: &str) -> Value {
    json!({ "error": { "code": code, "message": "for people who write apps" } })
}

fn activated() -> Value {
    json!({
        "device_id": "5f0c2f6e-8a34-4c55-9b0a-0d9a7f3f2b11", "portal": "operations",
        "portal_title": "Operations Portal", "account": "avery.lee", "later": 1,
        "totp": { "uri": "otpauth://totp/x", "secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "digits": 6 },
    })
}

async fn activate(url: &str) -> Result<Device, Error> {
    let text = format!("mfa-fleet://activate?v=1&url={url}&code=0f9ZvDk0TRiZ6YbRk1PTcg");
    let activation = Activation::scan(&text).unwrap();
    Device::activate(
        &activation,
        DeviceKeyPair::generate(DeviceAlg::EdDsa),
        ("laptop", Platform::Other),
        None,
    )
    .await
}

#[tokio::test]
async fn s21_an_activation_is_tried_again_with_the_same_key_until_it_is_answered() {
    let (url, stub) =
        Stub::start(vec![(503, error("unavailable")), (503, error("unavailable")), (200, activated())]).await;
    let device = activate(&url).await.unwrap();
    assert_eq!(device.account(), ("Operations Portal", "avery.lee"));
    assert_eq!(device.one_time_code().unwrap().digits.len(), 6);
    let sent = stub.sent();
    assert_eq!(sent.len(), 3);
    for (header, claims) in &sent {
        assert_eq!((&header["jwk"], &header["typ"]), (&sent[0].0["jwk"], &json!("mfa-activation+jwt")));
        assert_eq!((&claims["aud"], &claims["platform"]), (&json!(url), &json!("other")));
    }
    let shown = format!("{device:?}");
    assert!(!shown.contains("GEZD") && shown.contains("5f0c2f6e"), "{shown}");
}

#[tokio::test]
async fn every_refusal_is_told_apart_and_none_is_tried_again() {
    for (status, body, refusal) in [
        (400, error("code_mistyped"), Some(Refusal::CodeMistyped)),
        (404, error("activation_unknown"), Some(Refusal::ActivationUnknown)),
        (409, error("activation_used"), Some(Refusal::ActivationUsed)),
        (410, error("activation_expired"), Some(Refusal::ActivationExpired)),
        (418, error("teapot"), Some(Refusal::Other("teapot".into()))),
        (404, json!("<html>nothing here</html>"), None),
        (307, json!(null), None),
        (200, json!("<html>hello</html>"), None),
    ] {
        let (url, stub) = Stub::start(vec![(status, body)]).await;
        match (activate(&url).await.unwrap_err(), refusal) {
            (Error::Refused { refusal: found, .. }, Some(expected)) => assert_eq!(found, expected),
            (Error::NotOurs { status: found }, None) => assert_eq!(found, status),
            (other, _) => panic!("{status}: {other:?}"),
        }
        assert_eq!(stub.sent().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn e9_each_push_address_has_a_higher_version_than_the_one_before() {
    let (url, stub) = Stub::start(vec![
        (201, activated()),
        (204, json!("")),
        (409, error("stale_version")),
        (204, json!("")),
    ])
    .await;
    let mut device = activate(&url).await.unwrap();
    let push = Push::Fid("firebase-installation-id".into());
    device.push_address(Some(&push)).await.unwrap();
    let stale = device.push_address(Some(&push)).await.unwrap_err();
    assert!(matches!(stale, Error::Refused { refusal: Refusal::StaleVersion, .. }), "{stale:?}");
    device.push_address(None).await.unwrap();
    let sent = stub.sent();
    let versions: Vec<u64> =
        sent[1..].iter().map(|(_, claims)| claims["version"].as_u64().unwrap()).collect();
    assert!(versions[0] < versions[1] && versions[1] < versions[2], "{versions:?}");
    assert_eq!(sent[1].1["push"], json!({ "fid": "firebase-installation-id" }));
    assert_eq!(sent[3].1.get("push"), None);
    assert_eq!(sent[1].0["kid"], json!(device.id()));
}

/// A file that is not there, in a folder that is.
fn new_file(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("app-client-{name}-{}.new", std::process::id()))
}

async fn activate_in(path: &Path, url: &str, code: &str) -> Result<Device, Error> {
    let text = format!("mfa-fleet://activate?v=1&url={url}&code={code}");
    let activation = Activation::scan(&text).unwrap();
    Device::activate_in(path, &activation, DeviceAlg::Es256, ("laptop", Platform::Other), None).await
}

const CODE: &str = "0f9ZvDk0TRiZ6YbRk1PTcg";
const OTHER_CODE: &str = "1f9ZvDk0TRiZ6YbRk1PTcg";

#[tokio::test]
async fn s21_an_activation_whose_answer_was_lost_goes_on_with_the_key_in_its_file() {
    let path = new_file("lost");
    let (url, stub) = Stub::start(vec![
        // The code has counted, and nobody can read the answer.
        (200, json!("<html>bad gateway</html>")),
        (410, error("activation_expired")),
        (500, error("internal")),
        (200, activated()),
    ])
    .await;
    let lost = activate_in(&path, &url, CODE).await.unwrap_err();
    assert!(matches!(&lost, Error::Unfinished { path: kept, .. } if *kept == path), "{lost:?}");
    let early = Device::load(&path).unwrap_err().to_string();
    assert!(early.contains("is not activated yet"), "{early}");
    // Another code says nothing about the first one.
    for code in [OTHER_CODE, CODE] {
        let again = activate_in(&path, &url, code).await.unwrap_err();
        assert!(matches!(again, Error::Unfinished { .. }), "{again:?}");
    }
    let device = activate_in(&path, &url, CODE).await.unwrap();
    assert_eq!(Device::load(&path).unwrap().id(), device.id());
    let keys: Vec<_> = stub.sent().into_iter().map(|(header, _)| header["jwk"].clone()).collect();
    assert!(keys.len() == 4 && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let twice = activate_in(&path, &url, CODE).await.unwrap_err().to_string();
    assert!(twice.contains("is a device already"), "{twice}");
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn a_code_that_is_refused_for_good_leaves_no_file_and_one_that_can_t_be_kept_is_not_sent() {
    let path = new_file("refused");
    let (url, stub) = Stub::start(vec![(409, error("activation_used"))]).await;
    let refused = activate_in(&path, &url, CODE).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { refusal: Refusal::ActivationUsed, .. }), "{refused:?}");
    assert!(!path.exists());
    // No folder can be made below a file.
    std::fs::write(&path, "").unwrap();
    let unkept = activate_in(&path.join("device.json"), &url, CODE).await.unwrap_err();
    assert!(matches!(unkept, Error::Store { .. }), "{unkept:?}");
    assert_eq!(stub.sent().len(), 1);
    std::fs::remove_file(path).unwrap();
}
