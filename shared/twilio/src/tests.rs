//! The client against a small HTTP server that answers with recorded bodies, and against servers that misbehave.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use fleet_domain::{FailureClass, PhoneNumber, Reason, Timestamp};
use fleet_telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::settings::tests::settings;
use crate::{AnsweredBy, CallError, CallErrorKind, CallStatus, Carrier, CreateCall, Ended};

const AUTH_TOKEN: &str = "4f9c1d7e2ab84c06b3d5e8f7a1902c6d";
const SID: &str = "CA00000000000000000000000000000007";

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../tests/fixtures/", $name))
    };
}

#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<(u16, HeaderMap, String)>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Debug, Clone)]
struct Request {
    method: Method,
    uri: Uri,
    authorization: String,
    body: String,
}

/// A carrier that gives its answers in order, and keeps what it was asked.
struct FakeCarrier {
    url: String,
    script: Script,
    _server: JoinSet<()>,
}

impl FakeCarrier {
    async fn answering(answers: &[(u16, &str)]) -> Self {
        Self::answering_with_headers(&[], answers).await
    }

    async fn answering_with_headers(
        headers: &[(&'static str, &'static str)],
        answers: &[(u16, &str)],
    ) -> Self {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let script = Script::default();
        *script.answers.lock().unwrap() =
            answers.iter().map(|(status, body)| (*status, headers.clone(), (*body).to_owned())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(script.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, script, _server: server }
    }

    fn requests(&self) -> Vec<Request> {
        self.script.requests.lock().unwrap().clone()
    }
}

async fn answer(
    State(script): State<Script>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    let authorization = headers["authorization"].to_str().unwrap().to_owned();
    let body = String::from_utf8(body.to_vec()).unwrap();
    script.requests.lock().unwrap().push(Request { method, uri, authorization, body });
    let next = script.answers.lock().unwrap().pop_front();
    let (status, headers, body) = next.unwrap_or((599, HeaderMap::new(), "no answer left".into()));
    (StatusCode::from_u16(status).unwrap(), headers, body)
}

fn carrier(url: &str) -> Carrier {
    carrier_with(url, &Metrics::new())
}

fn carrier_with(url: &str, metrics: &Metrics) -> Carrier {
    fleet_keys::install_tls_provider();
    let mut profile = settings(url).profile().unwrap();
    profile.connect_timeout = Duration::from_millis(300);
    profile.request_timeout = Duration::from_millis(500);
    Carrier::new(profile, metrics).unwrap()
}

fn number(text: &str) -> PhoneNumber {
    PhoneNumber::parse(text).unwrap()
}

fn call() -> CreateCall {
    CreateCall::new(
        number("+14155550123"),
        number("+15005550006"),
        "https://mfa.example.org/twilio/t0ken/voice",
        "https://mfa.example.org/twilio/t0ken/status#rc=3&rp=all",
        Duration::from_secs(25),
    )
}

async fn failure(status: u16, body: &str) -> CallError {
    let fake = FakeCarrier::answering(&[(status, body)]).await;
    let error = carrier(&fake.url).create_call(&call()).await.unwrap_err();
    assert_eq!(fake.requests().len(), 1, "a create is sent once");
    error
}

#[tokio::test]
async fn a_created_call_is_placed_though_most_fields_are_null() {
    let fake = FakeCarrier::answering(&[(201, fixture!("call_created.json"))]).await;
    let placed = carrier(&fake.url).create_call(&call()).await.unwrap();
    assert_eq!((placed.sid.as_str(), placed.status), (SID, Some(CallStatus::Queued)));
    assert_eq!(placed.queue_time, Some(Duration::from_millis(1500)));

    let [request] = &fake.requests()[..] else { panic!("one request") };
    assert_eq!(request.method, Method::POST);
    assert_eq!(request.uri, "/2010-04-01/Accounts/AC00000000000000000000000000000001/Calls.json");
    // Base64 of the account's SID, a colon and the auth token.
    assert_eq!(
        request.authorization,
        concat!(
            "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTo0ZjljMWQ3ZTJhYjg0YzA2YjNkNWU4Zjdh",
            "MTkwMmM2ZA=="
        )
    );
    assert_eq!(
        request.body,
        concat!(
            "To=%2B14155550123&From=%2B15005550006&Url=https%3A%2F%2Fmfa.example.org%2Ftwilio%2Ft0ken%2Fvoice&Method=POST",
            "&StatusCallback=https%3A%2F%2Fmfa.example.org%2Ftwilio%2Ft0ken%2Fstatus%23rc%3D3%26rp%3Dall",
            "&StatusCallbackMethod=POST&StatusCallbackEvent=initiated&StatusCallbackEvent=ringing",
            "&StatusCallbackEvent=answered&StatusCallbackEvent=completed&Timeout=25&TimeLimit=120"
        )
    );
}

#[tokio::test]
async fn an_answer_with_nothing_but_a_sid_is_enough() {
    let fake =
        FakeCarrier::answering(&[(201, r#"{"sid":"0195f3a2-7c1e-7000-8000-00000000c0de","status":7}"#)])
            .await;
    let placed = carrier(&fake.url).create_call(&call()).await.unwrap();
    assert_eq!((placed.status, placed.queue_time), (None, None));
}

#[tokio::test]
async fn a_success_that_cannot_be_read_may_have_placed_the_call() {
    for body in ["", "{}", "[]", "<html>", r#"{"sid":null}"#, r#"{"sid":"../../x"}"#, r#"{"sid":"CA1""#] {
        let error = failure(201, body).await;
        assert_eq!(
            (error.kind(), error.class()),
            (CallErrorKind::Unclear, FailureClass::MaybeHappened),
            "{body}"
        );
    }
}

#[tokio::test]
async fn an_answer_of_endless_length_is_cut_and_unclear() {
    let body = format!(r#"{{"sid":"{SID}","padding":"{}"}}"#, "x".repeat(2 * 1024 * 1024));
    assert_eq!(failure(201, &body).await.kind(), CallErrorKind::Unclear);
}

#[tokio::test]
async fn recorded_errors_are_understood() {
    for (status, body, kind, code, reason) in [
        (
            400,
            fixture!("invalid_number.json"),
            CallErrorKind::InvalidNumber,
            Some(21_211),
            Reason::InvalidNumber,
        ),
        (
            401,
            fixture!("authenticate.json"),
            CallErrorKind::Misconfigured,
            Some(20_003),
            Reason::Misconfigured,
        ),
        (400, fixture!("trial_account.json"), CallErrorKind::OurMistake, None, Reason::Internal),
        (
            422,
            fixture!("somleng_error.json"),
            CallErrorKind::CallerIdRejected,
            Some(21_210),
            Reason::CarrierRejectedCallerId,
        ),
        (502, fixture!("bad_gateway.html"), CallErrorKind::Unclear, None, Reason::ProviderUnavailable),
        (503, "", CallErrorKind::Unclear, None, Reason::ProviderUnavailable),
    ] {
        let error = failure(status, body).await;
        assert_eq!((error.kind(), error.code(), error.http_status()), (kind, code, Some(status)), "{body}");
        assert_eq!(error.reason(), reason, "{body}");
    }
}

#[tokio::test]
async fn the_pause_that_the_carrier_asks_for_is_read() {
    for (retry_after, after) in [("7", Some(Duration::from_secs(7))), ("Thu, 18 Jun 2026 09:00:16 GMT", None)]
    {
        let fake = FakeCarrier::answering_with_headers(
            &[("retry-after", retry_after)],
            &[(429, r#"{"code":20429}"#)],
        )
        .await;
        let error = carrier(&fake.url).create_call(&call()).await.unwrap_err();
        assert_eq!(error.class(), FailureClass::Throttled { after }, "{retry_after}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let fake =
            FakeCarrier::answering_with_headers(&[("location", "/elsewhere")], &[(status, ""), (201, "{}")])
                .await;
        let error = carrier(&fake.url).create_call(&call()).await.unwrap_err();
        assert_eq!((error.kind(), fake.requests().len()), (CallErrorKind::Misconfigured, 1), "{status}");
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let refusing = {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        closed.local_addr().unwrap()
    };
    for url in [
        format!("http://{refusing}"),
        "http://carrier.invalid".to_owned(),
        // The kernel accepts, nobody shakes hands: TLS is a part of connecting.
        format!("https://{silent}"),
    ] {
        let error = carrier(&url).create_call(&call()).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (CallErrorKind::NotSent, FailureClass::Transient), "{url}");
        assert_eq!(error.http_status(), None);
    }
}

#[tokio::test]
async fn without_an_answer_a_call_may_have_been_placed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let error = carrier(&url).create_call(&call()).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (CallErrorKind::Unclear, FailureClass::MaybeHappened));
}

#[tokio::test]
async fn a_connection_lost_after_sending_is_unclear() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move {
        loop {
            // Closing with the request unread resets the connection.
            let (stream, _) = listener.accept().await.unwrap();
            stream.readable().await.unwrap();
        }
    });
    let carrier = carrier(&url);
    let error = carrier.create_call(&call()).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (CallErrorKind::Unclear, FailureClass::MaybeHappened));
    let error = carrier.fetch_call(SID).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (CallErrorKind::Unavailable, FailureClass::Transient));
}

#[tokio::test]
async fn a_call_is_ended_once_and_again() {
    let fake = FakeCarrier::answering(&[
        (200, fixture!("call_completed.json")),
        (400, fixture!("call_not_in_progress.json")),
        (404, fixture!("call_not_found.json")),
        (503, ""),
    ])
    .await;
    let carrier = carrier(&fake.url);
    assert_eq!(carrier.end_call(SID).await.unwrap(), Ended::Now);
    assert_eq!(carrier.end_call(SID).await.unwrap(), Ended::Before);
    assert_eq!(carrier.end_call(SID).await.unwrap(), Ended::NotFound);
    assert_eq!(carrier.end_call(SID).await.unwrap_err().class(), FailureClass::Transient);
    let path = format!("/2010-04-01/Accounts/AC00000000000000000000000000000001/Calls/{SID}.json");
    for request in fake.requests() {
        assert_eq!((request.method, request.uri.path()), (Method::POST, path.as_str()));
        assert_eq!(request.body, "Status=completed");
    }
}

#[tokio::test]
async fn a_queued_call_is_taken_back() {
    let fake = FakeCarrier::answering(&[(200, fixture!("call_completed.json"))]).await;
    assert_eq!(carrier(&fake.url).cancel_call(SID).await.unwrap(), Ended::Now);
    assert_eq!(fake.requests()[0].body, "Status=canceled");
}

#[tokio::test]
async fn only_the_carriers_own_word_counts_for_a_call_that_is_not_there() {
    let strange = [(404, ""), (404, "<html>not found</html>"), (404, r#"{"code":21617}"#), (410, "{}")];
    let fake = FakeCarrier::answering(&strange).await;
    let carrier = carrier(&fake.url);
    for (status, body) in strange {
        let error = carrier.end_call(SID).await.unwrap_err();
        assert_eq!(error.http_status(), Some(status), "{body}");
        assert!(!error.is_no_such_call(), "{status} {body}");
    }
}

#[tokio::test]
async fn a_call_is_looked_up() {
    let fake = FakeCarrier::answering(&[
        (200, fixture!("call_completed.json")),
        (404, fixture!("call_not_found.json")),
        (200, "{}"),
    ])
    .await;
    let carrier = carrier(&fake.url);
    let call = carrier.fetch_call(SID).await.unwrap();
    assert_eq!((call.sid.as_str(), call.status), (SID, Some(CallStatus::Completed)));
    assert_eq!(call.created_at, Some(Timestamp::from_micros(1_781_773_201_000_000)));
    assert_eq!(call.started_at, Some(Timestamp::from_micros(1_781_773_216_000_000)));
    assert_eq!(call.ended_at, Some(Timestamp::from_micros(1_781_773_231_000_000)));
    assert_eq!((call.duration, call.answered_by), (Some(Duration::from_secs(15)), Some(AnsweredBy::Machine)));
    assert_eq!((call.price.as_deref(), call.price_unit.as_deref()), (Some("-0.03000"), Some("USD")));

    let error = carrier.fetch_call(SID).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (CallErrorKind::NotFound, Some(20_404)));
    assert_eq!(carrier.fetch_call(SID).await.unwrap_err().kind(), CallErrorKind::Unavailable);
}

#[tokio::test]
async fn a_sid_that_would_change_the_path_is_refused_unsent() {
    let fake = FakeCarrier::answering(&[]).await;
    let carrier = carrier(&fake.url);
    for sid in ["", "..", "CA1/../../x", "CA1?x=1", "CA1%2F", &"C".repeat(65)] {
        assert_eq!(carrier.fetch_call(sid).await.unwrap_err().kind(), CallErrorKind::OurMistake, "{sid}");
        assert_eq!(carrier.end_call(sid).await.unwrap_err().kind(), CallErrorKind::OurMistake, "{sid}");
    }
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn a_search_follows_its_pages() {
    let fake =
        FakeCarrier::answering(&[(200, fixture!("page_first.json")), (200, fixture!("page_last.json"))])
            .await;
    let since = Timestamp::from_micros(1_781_773_201_000_000);
    let list = carrier(&fake.url)
        .list_calls(&number("+14155550123"), &number("+15005550006"), Some(since))
        .await
        .unwrap();
    let found: Vec<_> = list.calls.iter().map(|call| (&call.sid[33..], call.status)).collect();
    assert_eq!(
        found,
        [
            ("2", Some(CallStatus::InProgress)),
            ("1", Some(CallStatus::NoAnswer)),
            ("0", Some(CallStatus::Completed))
        ]
    );
    assert_eq!(list.calls[2].price.as_deref(), Some("-0.03"));
    assert!(list.complete);
    let queries: Vec<_> =
        fake.requests().iter().map(|request| request.uri.query().unwrap_or_default().to_owned()).collect();
    assert_eq!(
        queries,
        [
            "To=%2B14155550123&From=%2B15005550006&PageSize=100&StartTime%3E=2026-06-18",
            "PageSize=100&Page=1&PageToken=PACA01",
        ]
    );
}

#[tokio::test]
async fn a_search_without_end_says_that_it_is_incomplete() {
    let fake = FakeCarrier::answering(&[(200, fixture!("page_first.json")); 9]).await;
    let list =
        carrier(&fake.url).list_calls(&number("+14155550123"), &number("+15005550006"), None).await.unwrap();
    assert_eq!((list.calls.len(), list.complete, fake.requests().len()), (10, false, 5));
}

#[tokio::test]
async fn a_search_fails_when_it_cannot_be_read_or_leads_elsewhere() {
    for body in [
        "",
        "{}",
        r#"{"calls":{}}"#,
        r#"{"calls":[],"next_page_uri":"https://evil.example/x"}"#,
        r#"{"calls":[],"next_page_uri":"//evil.example/x"}"#,
    ] {
        let fake = FakeCarrier::answering(&[(200, body)]).await;
        let result =
            carrier(&fake.url).list_calls(&number("+14155550123"), &number("+15005550006"), None).await;
        assert!(result.is_err(), "{body}");
        assert_eq!(fake.requests().len(), 1, "{body}");
    }
}

#[tokio::test]
async fn a_base_url_may_have_a_path() {
    let fake = FakeCarrier::answering(&[(200, fixture!("call_completed.json"))]).await;
    carrier(&format!("{}/api/laml/", fake.url)).fetch_call(SID).await.unwrap();
    assert!(fake.requests()[0].uri.path().starts_with("/api/laml/2010-04-01/Accounts/AC"));
}

#[tokio::test]
async fn neither_token_nor_number_nor_callback_url_is_ever_shown() {
    let refusing = {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        closed.local_addr().unwrap()
    };
    let carrier = carrier(&format!("http://{refusing}"));
    let transport = carrier.create_call(&call()).await.unwrap_err();
    let search =
        carrier.list_calls(&number("+14155550123"), &number("+15005550006"), None).await.unwrap_err();
    let answered = failure(400, fixture!("invalid_number.json")).await;
    let mut shown = format!("{carrier:?}");
    for error in [&transport, &search, &answered] {
        write!(shown, "{error} {error:?} {error:#?}").unwrap();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            write!(shown, "{cause} {cause:?}").unwrap();
            source = cause.source();
        }
    }
    for secret in [AUTH_TOKEN, "4155550123", "5005550006", "t0ken", "QUMwMDAw"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[tokio::test]
async fn every_request_is_counted_with_its_result() {
    let metrics = Metrics::new();
    let fake = FakeCarrier::answering(&[
        (201, fixture!("call_created.json")),
        (400, fixture!("invalid_number.json")),
        (400, fixture!("call_not_in_progress.json")),
    ])
    .await;
    let carrier = carrier_with(&fake.url, &metrics);
    carrier.create_call(&call()).await.unwrap();
    carrier.create_call(&call()).await.unwrap_err();
    carrier.end_call(SID).await.unwrap();
    let text = metrics.render();
    for line in [
        r#"mfa_twilio_requests_total{operation="create_call",result="ok"} 1"#,
        r#"mfa_twilio_requests_total{operation="create_call",result="invalid_number"} 1"#,
        r#"mfa_twilio_requests_total{operation="end_call",result="ok"} 1"#,
        r#"mfa_twilio_request_seconds_count{operation="create_call"} 2"#,
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}
