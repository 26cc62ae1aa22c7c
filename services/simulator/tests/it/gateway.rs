//! A gateway of the tests' own: the app's protocol as `shared/contracts/app/README.md` has it, with one code for each
//! activation and a list of challenges that the test fills.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// The secret of RFC 6238's examples.
pub(crate) const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// Until when the challenges that tests do not care about can be answered.
pub(crate) const FAR: &str = "9999-12-31T00:00:00Z";

/// A request that has come: which route, the JWS's header and claims, whether it was signed by the key that it names,
/// and what was answered.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) route: &'static str,
    pub(crate) path: String,
    pub(crate) header: Value,
    pub(crate) claims: Value,
    pub(crate) is_signed: bool,
    pub(crate) status: u16,
}

pub(crate) struct Gateway {
    pub(crate) url: String,
    desk: Arc<Desk>,
    seen: mpsc::UnboundedReceiver<Seen>,
}

#[derive(Default)]
struct Known {
    challenges: Vec<Value>,
    /// Public keys by device id: the `alg`, and the bytes.
    keys: HashMap<String, (String, Vec<u8>)>,
    /// The key that used a code, and its device id.
    codes: HashMap<String, (Value, String)>,
    versions: HashMap<String, i64>,
    answered: HashSet<String>,
}

struct Desk {
    known: Mutex<Known>,
    seen: mpsc::UnboundedSender<Seen>,
}

impl Gateway {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, seen) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk { known: Mutex::default(), seen: sender });
        let app = Router::new()
            .route("/app/activate", post(activate))
            .route("/app/push-address", post(push_address))
            .route("/app/revoke", post(revoke))
            .route("/app/challenges", get(list))
            .route("/app/challenges/{portal}/{challenge}/opened", post(opened))
            .route("/app/challenges/{portal}/{challenge}/answer", post(answer))
            .with_state(Arc::clone(&desk));
        crate::stage::serve(listener, app);
        Self { url, desk, seen }
    }

    /// Knows this device's P-256 key, the uncompressed point in base64url.
    pub(crate) fn knows(&self, device: &str, public_key: &str) {
        let key = ("ES256".to_owned(), URL_SAFE_NO_PAD.decode(public_key).unwrap());
        self.desk.known.lock().unwrap().keys.insert(device.to_owned(), key);
    }

    /// Lists this challenge of the portal `operations` from now on, to every device.
    pub(crate) fn asks(&self, challenge: &str, number_match: bool, answer_by: &str) {
        self.desk.known.lock().unwrap().challenges.push(json!({
            "portal": "operations", "portal_title": "Operations Portal", "challenge_id": challenge,
            "nonce": format!("nonce of {challenge}"), "answer_by": answer_by, "accepted_at": "2026-11-24T09:30:00.120Z",
            "purpose": "sign_in", "number_match": number_match, "context": { "fields": [] },
        }));
    }

    /// The next request of this route; those of others are passed over.
    pub(crate) async fn next(&mut self, route: &str) -> Seen {
        let reading = async {
            loop {
                let seen = self.seen.recv().await.unwrap();
                if seen.route == route {
                    return seen;
                }
            }
        };
        let seen = tokio::time::timeout(Duration::from_secs(20), reading).await;
        seen.unwrap_or_else(|_| panic!("nothing has come to {route}"))
    }

    /// Everything that has come so far and was not read yet.
    pub(crate) fn rest(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.seen.try_recv().ok()).collect()
    }
}

/// A part of a JWS.
fn part(text: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap()
}

/// The key of a JWK that has exactly the members of its kind.
fn key_of(jwk: &Value) -> (String, Vec<u8>) {
    let members: Vec<_> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
    match jwk["crv"].as_str().unwrap() {
        "P-256" => {
            assert_eq!((members, &jwk["kty"]), (vec!["crv", "kty", "x", "y"], &"EC".into()));
            ("ES256".to_owned(), [vec![4], bytes(&jwk["x"]), bytes(&jwk["y"])].concat())
        }
        other => {
            assert_eq!((members, other, &jwk["kty"]), (vec!["crv", "kty", "x"], "Ed25519", &"OKP".into()));
            ("EdDSA".to_owned(), bytes(&jwk["x"]))
        }
    }
}

impl Desk {
    /// Reads a JWS, and notes it with the answer that is made of it.
    fn take(
        &self,
        route: &'static str,
        path: &str,
        jws: &str,
        reply: impl FnOnce(&mut Known, &Value, &Value) -> (u16, Value),
    ) -> Response<Body> {
        let (signed, signature) = jws.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let (header, claims) = (part(header), part(claims));
        let mut known = self.known.lock().unwrap();
        let holder = if header["jwk"].is_object() {
            Some(key_of(&header["jwk"]))
        } else {
            known.keys.get(header["kid"].as_str().unwrap()).cloned()
        };
        let is_signed = holder.is_some_and(|(alg, key)| {
            let with: &dyn VerificationAlgorithm =
                if alg == "ES256" { &ECDSA_P256_SHA256_FIXED } else { &ED25519 };
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            header["alg"] == alg
                && UnparsedPublicKey::new(with, key).verify(signed.as_bytes(), &signature).is_ok()
        });
        let (status, body) =
            if is_signed { reply(&mut known, &header, &claims) } else { (401, error("unauthorized")) };
        drop(known);
        let path = path.to_owned();
        self.seen.send(Seen { route, path, header, claims, is_signed, status }).unwrap();
        let body = if status == 204 { Body::empty() } else { Body::from(body.to_string()) };
        Response::builder().status(status).body(body).unwrap()
    }
}

fn error(code: &str) -> Value {
    json!({ "error": { "code": code, "message": "as the protocol says" } })
}

async fn activate(State(desk): State<Arc<Desk>>, headers: HeaderMap, jws: String) -> Response<Body> {
    assert_eq!(headers["content-type"], "application/jose");
    desk.take("activate", "", &jws, |known, header, claims| {
        let code = claims["code"].as_str().unwrap().to_owned();
        if code == "expired" {
            return (410, error("activation_expired"));
        }
        let fresh = (header["jwk"].clone(), format!("00000000-0000-4000-8000-{:012}", known.codes.len()));
        let status = if known.codes.contains_key(&code) { 200 } else { 201 };
        let (jwk, device) = known.codes.entry(code).or_insert(fresh).clone();
        if jwk != header["jwk"] {
            return (409, error("activation_used"));
        }
        known.keys.insert(device.clone(), key_of(&jwk));
        (status, json!({
            "device_id": device, "portal": "operations", "portal_title": "Operations Portal", "account": "avery.lee",
            "totp": { "uri": "otpauth://totp/…", "secret": SECRET, "algorithm": "SHA1", "digits": 6, "period": 30 },
        }))
    })
}

async fn push_address(State(desk): State<Arc<Desk>>, headers: HeaderMap, jws: String) -> Response<Body> {
    assert_eq!(headers["content-type"], "application/jose");
    desk.take("push-address", "", &jws, |known, _, claims| {
        let version = claims["version"].as_i64().unwrap();
        let stored = known.versions.entry(claims["device_id"].to_string()).or_default();
        if version <= *stored {
            return (409, error("stale_version"));
        }
        *stored = version;
        (204, Value::Null)
    })
}

async fn revoke(State(desk): State<Arc<Desk>>, headers: HeaderMap, jws: String) -> Response<Body> {
    assert_eq!(headers["content-type"], "application/jose");
    desk.take("revoke", "", &jws, |known, header, _| {
        known.keys.remove(header["kid"].as_str().unwrap());
        (204, Value::Null)
    })
}

fn proof(headers: &HeaderMap) -> &str {
    headers["authorization"].to_str().unwrap().strip_prefix("Device ").unwrap()
}

async fn list(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response<Body> {
    desk.take("list", "", proof(&headers), |known, _, _| (200, json!({ "challenges": known.challenges })))
}

async fn opened(
    State(desk): State<Arc<Desk>>,
    Path((portal, challenge)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response<Body> {
    desk.take("opened", &format!("{portal}/{challenge}"), proof(&headers), |_, _, _| (204, Value::Null))
}

async fn answer(
    State(desk): State<Arc<Desk>>,
    Path((portal, challenge)): Path<(String, String)>,
    headers: HeaderMap,
    jws: String,
) -> Response<Body> {
    assert_eq!(headers["content-type"], "application/jose");
    desk.take("answer", &format!("{portal}/{challenge}"), &jws, |known, _, claims| {
        if claims["challenge_id"] != challenge {
            (400, error("malformed"))
        } else if known.answered.insert(challenge) {
            (200, json!({ "result": "approved", "reason": "approved" }))
        } else {
            (409, error("ended"))
        }
    })
}
