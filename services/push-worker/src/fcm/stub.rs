//! An FCM and a token endpoint for the tests, which answer by script and keep what they were asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, Version};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The key of a service account whose tokens come from `token_uri`.
pub(crate) fn credentials(token_uri: &str) -> String {
    include_str!("../../tests/fixtures/service_account.json")
        .replace("https://oauth2.googleapis.com/token", token_uri)
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// A status and a body.
    Says(u16, &'static str),
    /// A status with `Retry-After` and a body.
    Asks(u16, &'static str, &'static str),
    /// None, ever.
    Hangs,
}

/// A request for a push.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Clone, Default)]
struct Script {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    tokens: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    assertions: Arc<Mutex<Vec<String>>>,
}

/// Both servers at one port. Without a script pushes are taken, and tokens are good for an hour.
pub(crate) struct FakeGoogle {
    /// The base URL of FCM.
    pub(crate) url: String,
    script: Script,
    _server: JoinSet<()>,
}

impl FakeGoogle {
    /// One that gives these answers to pushes.
    pub(crate) async fn answering(replies: &[Reply]) -> Self {
        Self::with_tokens(replies, &[]).await
    }

    /// One that gives these answers to pushes and to requests for tokens.
    pub(crate) async fn with_tokens(replies: &[Reply], tokens: &[Reply]) -> Self {
        let script = Script::default();
        script.replies.lock().unwrap().extend(replies);
        script.tokens.lock().unwrap().extend(tokens);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/token", post(give)).fallback(answer).with_state(script.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, script, _server: server }
    }

    /// Its token endpoint.
    pub(crate) fn token_uri(&self) -> String {
        format!("{}/token", self.url)
    }

    /// The requests for pushes so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().unwrap().clone()
    }

    /// The form bodies with which tokens were asked for so far.
    pub(crate) fn assertions(&self) -> Vec<String> {
        self.script.assertions.lock().unwrap().clone()
    }
}

async fn give(State(script): State<Script>, body: String) -> (StatusCode, HeaderMap, String) {
    let number = {
        let mut assertions = script.assertions.lock().unwrap();
        assertions.push(body);
        assertions.len()
    };
    let scripted = script.tokens.lock().unwrap().pop_front();
    match scripted {
        Some(reply) => play(reply).await,
        None => (
            StatusCode::OK,
            HeaderMap::new(),
            format!(r#"{{"access_token":"token-{number}","expires_in":3599,"token_type":"Bearer"}}"#),
        ),
    }
}

async fn answer(
    State(script): State<Script>,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    script.asked.lock().unwrap().push(Asked { uri, version, headers, body });
    let reply = script.replies.lock().unwrap().pop_front();
    play(reply.unwrap_or(Reply::Says(200, include_str!("../../tests/fixtures/success.json")))).await
}

async fn play(reply: Reply) -> (StatusCode, HeaderMap, String) {
    let mut headers = HeaderMap::new();
    let (status, body) = match reply {
        Reply::Says(status, body) => (status, body),
        Reply::Asks(status, after, body) => {
            headers.insert("retry-after", after.parse().unwrap());
            (status, body)
        }
        Reply::Hangs => std::future::pending().await,
    };
    (StatusCode::from_u16(status).unwrap(), headers, body.to_owned())
}
