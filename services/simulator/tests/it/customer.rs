//! The customer's server: serves TwiML by path, records every request, and checks its signature by itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::stage::AUTH_TOKEN;

/// A request that came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) url: String,
    pub(crate) path: String,
    pub(crate) form: BTreeMap<String, String>,
    /// Whether the signature is the auth token's.
    pub(crate) is_signed: bool,
    pub(crate) signature: String,
    pub(crate) idempotency_token: String,
    pub(crate) signature_settings: String,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.form.get(name).map_or("(absent)", String::as_str)
    }
}

pub(crate) struct Customer {
    pub(crate) url: String,
    seen: mpsc::UnboundedReceiver<Seen>,
}

struct Desk {
    base_url: String,
    pages: HashMap<String, String>,
    /// Requests so far, by path.
    counts: Mutex<HashMap<String, u32>>,
    seen: mpsc::UnboundedSender<Seen>,
}

const BYE: &str = "<Response><Hangup/></Response>";

impl Customer {
    /// Serves these pages as `text/xml`. `/status` answers 204, `/answers/N` the status N, `/recovers/N` 503 to the first
    /// N requests and then a hang-up, `/hangs` nothing ever, and everything else 404.
    pub(crate) async fn open(pages: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, seen) = mpsc::unbounded_channel();
        let pages = pages.iter().map(|(path, page)| ((*path).to_owned(), (*page).to_owned())).collect();
        let desk = Arc::new(Desk { base_url: url.clone(), pages, counts: Mutex::default(), seen: sender });
        let app = Router::new().fallback(serve).with_state(desk);
        crate::stage::serve(listener, app);
        Self { url, seen }
    }

    /// The next request, whichever it is.
    pub(crate) async fn next(&mut self) -> Seen {
        let next = tokio::time::timeout(Duration::from_secs(10), self.seen.recv()).await;
        next.expect("no request came within ten seconds").unwrap()
    }

    /// Reads on until the last status callback and all before it have come, in whatever order.
    pub(crate) async fn until_the_end(&mut self) -> Vec<Seen> {
        let mut all = Vec::new();
        loop {
            all.push(self.next().await);
            let callbacks = all.iter().filter(|seen| seen.path == "/status").count();
            let last = all.iter().position(|seen| seen.form.contains_key("CallDuration"));
            if let Some(last) =
                last.filter(|last| all[*last].field("SequenceNumber") == (callbacks - 1).to_string())
            {
                let last = all.remove(last);
                all.push(last);
                return all;
            }
        }
    }

    /// What has come and was not read yet.
    pub(crate) fn so_far(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.seen.try_recv().ok()).collect()
    }

    /// Reads on to the status callback of this status.
    pub(crate) async fn until(&mut self, status: &str) -> Seen {
        loop {
            let seen = self.next().await;
            if seen.path == "/status" && seen.field("CallStatus") == status {
                return seen;
            }
        }
    }
}

async fn serve(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let url = format!("{}{uri}", desk.base_url);
    let seen = Seen {
        path: uri.path().to_owned(),
        is_signed: header("x-twilio-signature") == signature(&url, &pairs),
        signature: header("x-twilio-signature"),
        url,
        form: pairs.into_iter().collect(),
        idempotency_token: header("i-twilio-idempotency-token"),
        signature_settings: header("x-twilio-webhooks-signature-settings"),
    };
    desk.seen.send(seen).unwrap();
    let xml = |page: &str| ([("content-type", "text/xml; charset=utf-8")], page.to_owned()).into_response();
    if let Some(page) = desk.pages.get(uri.path()) {
        return xml(page);
    }
    match uri.path().split('/').collect::<Vec<_>>().as_slice() {
        ["", "status"] => StatusCode::NO_CONTENT.into_response(),
        ["", "answers", status] => StatusCode::from_bytes(status.as_bytes()).unwrap().into_response(),
        ["", "recovers", failures] if desk.count(uri.path()) <= failures.parse().unwrap() => {
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        ["", "recovers", _] => xml(BYE),
        ["", "hangs"] => std::future::pending().await,
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Desk {
    /// Which request for this path this is, from 1.
    fn count(&self, path: &str) -> u32 {
        let mut counts = self.counts.lock().unwrap();
        let count = counts.entry(path.to_owned()).or_default();
        *count += 1;
        *count
    }
}

/// What Twilio documents, written again: the URL, then each name with its value in the order of the names.
fn signature(url: &str, pairs: &[(String, String)]) -> String {
    let mut sorted = pairs.to_vec();
    sorted.sort();
    sorted.dedup();
    let text = sorted.iter().fold(url.to_owned(), |text, (name, value)| text + name + value);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, AUTH_TOKEN.as_bytes());
    STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}
