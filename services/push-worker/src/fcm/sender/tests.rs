//! The sender against an FCM that answers by script, and against servers that misbehave.

use axum::http::Version;
use fleet_lifecycle::{Stop, Tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::examples::{at, challenge, portal};
use crate::fcm::Http2;
use crate::fcm::settings::tests::settings;
use crate::fcm::stub::{Asked, FakeGoogle, Reply, credentials};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/", $name))
    };
}

const UNREGISTERED: Reply = Reply::Says(404, fixture!("unregistered.json"));
const UNAVAILABLE: Reply = Reply::Says(503, fixture!("unavailable.json"));
const INTERNAL: Reply = Reply::Says(500, fixture!("internal.json"));
const UNAUTHENTICATED: Reply = Reply::Says(401, fixture!("unauthenticated.json"));

/// A sender with what it needs, 60 s before its challenge's end.
struct Sender {
    fcm: Fcm,
    clock: Clock,
    metrics: Metrics,
    stop: Stop,
}

impl Sender {
    /// One that sends to `url` and has tokens from `token_uri`.
    fn to(url: &str, token_uri: &str, change: impl FnOnce(&mut Profile)) -> Self {
        fleet_keys::install_tls_provider();
        let mut settings = settings(url);
        settings.credentials = credentials(token_uri).into();
        let mut profile = settings.profile().unwrap();
        profile.request_timeout = Duration::from_secs(10);
        change(&mut profile);
        let stop = Stop::new();
        let clock = Clock::fixed_at(at(60));
        let context = Context { stop: stop.clone(), tasks: Tasks::new(stop.clone()), clock: clock.clone() };
        let metrics = Metrics::new();
        let fcm = Fcm::start(profile, &context, &metrics, &Readiness::new()).unwrap();
        Self { fcm, clock, metrics, stop }
    }

    fn with(google: &FakeGoogle) -> Self {
        Self::to(&google.url, &google.token_uri(), |_| {})
    }

    /// Waits for the first access token, then sends.
    async fn send(&self) -> Result<(), FcmError> {
        self.fcm.inner.tokens.current(Duration::from_secs(30)).await.unwrap();
        self.send_at_once().await
    }

    async fn send_at_once(&self) -> Result<(), FcmError> {
        let push = Push::prompt(&challenge(), Some(portal()));
        self.fcm.send(&push, &PushToken::new("device-token".into())).await
    }

    fn counts(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|counted| counted == line)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.request_hard();
    }
}

fn tokens(asked: &[Asked]) -> Vec<&str> {
    asked.iter().map(|asked| asked.headers["authorization"].to_str().unwrap()).collect()
}

#[tokio::test]
async fn a_push_is_posted_once_with_the_access_token() {
    let google = FakeGoogle::answering(&[]).await;
    let sender = Sender::with(&google);
    sender.send().await.unwrap();
    let asked = google.asked();
    assert_eq!(tokens(&asked), ["Bearer token-1"]);
    assert_eq!(asked[0].uri.path(), "/v1/projects/demo-mfa/messages:send");
    assert_eq!(asked[0].headers["content-type"], "application/json; charset=utf-8");
    assert_eq!(asked[0].version, Version::HTTP_11);
    let body: serde_json::Value = serde_json::from_slice(&asked[0].body).unwrap();
    let golden: serde_json::Value = serde_json::from_str(fixture!("message.json")).unwrap();
    assert_eq!(body, golden);
    assert!(sender.counts(r#"mfa_push_sends_total{result="accepted"} 1"#));
}

#[tokio::test]
async fn http_2_is_spoken_without_asking_where_the_settings_say_so() {
    let google = FakeGoogle::answering(&[]).await;
    let sender =
        Sender::to(&google.url, &google.token_uri(), |profile| profile.http2 = Http2::PriorKnowledge);
    sender.send().await.unwrap();
    assert_eq!(google.asked()[0].version, Version::HTTP_2);
}

#[tokio::test]
async fn a_refusal_is_final_and_nothing_is_sent_again() {
    let seconds = |s| Some(Duration::from_secs(s));
    let bad_gateway = FcmError::Unclear { http_status: Some(502) };
    for (reply, error) in [
        (UNREGISTERED, FcmError::Unregistered),
        (Reply::Says(400, fixture!("invalid_token.json")), FcmError::InvalidToken),
        (Reply::Says(400, fixture!("bad_payload.json")), FcmError::BadPayload),
        (Reply::Says(403, fixture!("sender_id_mismatch.json")), FcmError::SenderIdMismatch),
        (Reply::Says(401, fixture!("third_party_auth.json")), FcmError::ThirdPartyAuth),
        (
            Reply::Asks(429, "30", fixture!("quota_exceeded.json")),
            FcmError::QuotaExceeded { after: seconds(30) },
        ),
        (Reply::Says(502, fixture!("bad_gateway.html")), bad_gateway),
        (Reply::Says(404, fixture!("not_found.json")), FcmError::WrongProject),
        (Reply::Says(200, "<html>please log in</html>"), FcmError::Unclear { http_status: Some(200) }),
        (Reply::Says(429, fixture!("quota_exceeded.json")), FcmError::QuotaExceeded { after: None }),
    ] {
        let google = FakeGoogle::answering(&[reply]).await;
        let sender = Sender::with(&google);
        assert_eq!(sender.send().await, Err(error), "{reply:?}");
        assert_eq!((google.asked().len(), google.assertions().len()), (1, 1), "{reply:?}");
        let line = format!(r#"mfa_push_sends_total{{result="{}"}} 1"#, error.label());
        assert!(sender.counts(&line), "{line}");
    }
}

#[tokio::test]
async fn p7_what_fcm_may_have_delivered_is_not_sent_again_without_a_mark() {
    for (reply, error) in [
        (UNAVAILABLE, FcmError::Unavailable { after: None }),
        (Reply::Asks(503, "0", "<html>"), FcmError::Unavailable { after: Some(Duration::ZERO) }),
        (INTERNAL, FcmError::Internal),
    ] {
        let google = FakeGoogle::answering(&[reply]).await;
        let sender = Sender::with(&google);
        assert_eq!(sender.send().await, Err(error), "{reply:?}");
        assert_eq!(google.asked().len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn p10_what_fcm_refused_for_a_moment_is_sent_after_it_and_once_only() {
    let quota = Reply::Asks(429, "0", fixture!("quota_exceeded.json"));
    let exceeded = FcmError::QuotaExceeded { after: Some(Duration::ZERO) };
    for (replies, result) in [(&[quota][..], Ok(())), (&[quota, quota], Err(exceeded))] {
        let google = FakeGoogle::answering(replies).await;
        let sender = Sender::with(&google);
        assert_eq!(sender.send().await, result, "{replies:?}");
        let asked = google.asked();
        assert_eq!(asked.len(), 2, "{replies:?}");
        assert_eq!(asked[0].body, asked[1].body, "the same push, under the same collapse id");
    }
}

#[tokio::test]
async fn a_withdrawal_is_counted_apart_from_prompts() {
    let google = FakeGoogle::answering(&[UNREGISTERED]).await;
    let sender = Sender::with(&google);
    sender.fcm.inner.tokens.current(Duration::from_secs(30)).await.unwrap();
    let (push, token) = (Push::withdrawal(&challenge()), PushToken::new("device-token".into()));
    assert_eq!(sender.fcm.send(&push, &token).await, Err(FcmError::Unregistered));
    sender.fcm.send(&push, &token).await.unwrap();
    for result in ["unregistered", "accepted"] {
        let line = format!(r#"mfa_push_withdrawals_total{{result="{result}"}} 1"#);
        assert!(sender.counts(&line), "{line}");
    }
    assert!(sender.counts(r#"mfa_push_sends_total{result="accepted"} 0"#));
}

#[tokio::test]
async fn an_answer_that_never_comes_is_unclear_and_nothing_is_sent_again() {
    let google = FakeGoogle::answering(&[Reply::Hangs]).await;
    let sender = Sender::to(&google.url, &google.token_uri(), |profile| {
        profile.request_timeout = Duration::from_millis(600);
    });
    assert_eq!(sender.send().await, Err(FcmError::Unclear { http_status: None }));
    assert_eq!(google.asked().len(), 1);
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// The next connection, once a request has come over it.
async fn asked(listener: &TcpListener) -> TcpStream {
    let (mut connection, _) = listener.accept().await.unwrap();
    assert!(connection.read(&mut [0; 512]).await.unwrap() > 0);
    connection
}

#[tokio::test]
async fn a_connection_that_is_reset_after_sending_is_unclear_and_nothing_is_sent_again() {
    let google = FakeGoogle::answering(&[]).await;
    let (listener, url) = listener().await;
    let mut server = JoinSet::new();
    server.spawn(async move {
        drop(asked(&listener).await);
        listener.accept().await.unwrap();
        panic!("it was sent again");
    });
    let sender = Sender::to(&url, &google.token_uri(), |_| {});
    assert_eq!(sender.send().await, Err(FcmError::Unclear { http_status: None }));
    assert!(server.try_join_next().is_none(), "it was sent again");
}

#[tokio::test]
async fn e6_a_withdrawal_is_sent_once_more_after_a_reset_since_it_may_come_twice() {
    let google = FakeGoogle::answering(&[]).await;
    let (listener, url) = listener().await;
    let mut server = JoinSet::new();
    server.spawn(async move {
        drop(asked(&listener).await);
        let mut connection = asked(&listener).await;
        let accepted = b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"name\": \"1\"}";
        connection.write_all(accepted).await.unwrap();
        std::future::pending::<()>().await;
    });
    let sender = Sender::to(&url, &google.token_uri(), |_| {});
    sender.fcm.inner.tokens.current(Duration::from_secs(30)).await.unwrap();
    let (push, token) = (Push::withdrawal(&challenge()), PushToken::new("device-token".into()));
    sender.fcm.send(&push, &token).await.unwrap();
    assert!(sender.counts(r#"mfa_push_withdrawals_total{result="unclear"} 1"#));
}

#[tokio::test]
async fn without_a_connection_it_is_tried_once_more() {
    let google = FakeGoogle::answering(&[]).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let sender = Sender::to(&format!("http://{closed}"), &google.token_uri(), |_| {});
    assert_eq!(sender.send().await, Err(FcmError::NotConnected));
    assert!(sender.counts(r#"mfa_push_sends_total{result="not_connected"} 2"#));
}

#[tokio::test]
async fn a_refused_access_token_is_replaced_and_the_push_sent_with_the_new_one() {
    let google = FakeGoogle::answering(&[UNAUTHENTICATED]).await;
    let sender = Sender::with(&google);
    sender.send().await.unwrap();
    assert_eq!(tokens(&google.asked()), ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test]
async fn a_new_access_token_that_is_refused_as_well_is_not_replaced_again() {
    let google = FakeGoogle::answering(&[UNAUTHENTICATED, UNAUTHENTICATED, UNAUTHENTICATED]).await;
    let sender = Sender::with(&google);
    assert_eq!(sender.send().await, Err(FcmError::Unauthenticated));
    assert_eq!(sender.send().await, Err(FcmError::Unauthenticated));
    assert_eq!(tokens(&google.asked()), ["Bearer token-1", "Bearer token-2", "Bearer token-2"]);
    assert_eq!(google.assertions().len(), 2);
}

#[tokio::test]
async fn before_the_first_access_token_a_push_waits_as_long_as_it_may_take() {
    let google = FakeGoogle::with_tokens(&[], &[Reply::Hangs]).await;
    let sender = Sender::to(&google.url, &google.token_uri(), |profile| {
        profile.request_timeout = Duration::from_millis(500);
    });
    assert_eq!(sender.send_at_once().await, Err(FcmError::NoAccessToken));
    assert_eq!(google.asked().len(), 0);
}

#[tokio::test]
async fn p9_a_push_that_cannot_arrive_in_time_is_not_sent() {
    let google = FakeGoogle::answering(&[]).await;
    let sender = Sender::with(&google);
    sender.send().await.unwrap();
    sender.clock.advance(Duration::from_millis(54_001));
    assert_eq!(sender.send().await, Err(FcmError::TooLate));
    assert_eq!(google.asked().len(), 1);
    assert!(sender.counts(r#"mfa_push_sends_total{result="too_late"} 1"#));
}

#[test]
fn p10_the_pause_is_what_fcm_asked_for_and_jitter_and_leaves_time_for_the_try() {
    let millis = Duration::from_millis;
    for (after, left, random, expected) in [
        (0, 10_000, [0, 0], Some(0)),
        (0, 10_000, [255, 255], Some(1_000)),
        (3_000, 10_000, [255, 255], Some(4_000)),
        (0, 1_300, [255, 255], Some(300)),
        (0, 1_000, [255, 255], Some(0)),
        (0, 999, [0, 0], None),
        (9_001, 10_000, [0, 0], None),
        (60_000, 10_000, [0, 0], None),
    ] {
        let found = pause(millis(after), millis(left), random);
        assert_eq!(found, expected.map(millis), "{after} {left} {random:?}");
    }
}
