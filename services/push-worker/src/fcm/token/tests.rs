//! The refresher against tokens by script, with the clock moved by hand, and against a token endpoint.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use fleet_telemetry::{Metrics, Readiness};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;
use crate::fcm::stub::{FakeGoogle, Reply, credentials};

const HOUR: Duration = Duration::from_hours(1);

#[derive(Clone, Copy, Debug)]
enum Answer {
    Gives(Duration),
    Refuses,
    Hangs,
}
use Answer::{Gives, Hangs, Refuses};

/// Answers in order, the last one for ever.
#[derive(Clone)]
struct FakeSource {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    fetches: Arc<AtomicUsize>,
}

impl TokenSource for FakeSource {
    async fn fetch(&self) -> Result<Fetched, TokenError> {
        let number = self.fetches.fetch_add(1, Ordering::Relaxed) + 1;
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            if answers.len() > 1 { answers.pop_front().unwrap() } else { *answers.front().unwrap() }
        };
        match answer {
            Gives(lifetime) => {
                Ok(Fetched { authorization: format!("token-{number}").parse().unwrap(), lifetime })
            }
            Refuses => Err(gcp_auth::Error::Str("token request failed").into()),
            Hangs => std::future::pending().await,
        }
    }
}

struct Running {
    tokens: Tokens,
    source: FakeSource,
    readiness: Readiness,
    metrics: Metrics,
    _task: JoinSet<anyhow::Result<()>>,
}

impl Running {
    fn with(answers: &[Answer]) -> Self {
        let source = FakeSource {
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
            fetches: Arc::default(),
        };
        let (readiness, metrics) = (Readiness::new(), Metrics::new());
        let token_metrics = TokenMetrics::new(&metrics, Clock::fixed_at(Timestamp::from_micros(0)));
        let (refresher, tokens) = Refresher::new(source.clone(), token_metrics, readiness.check("fcm"));
        let mut task = JoinSet::new();
        task.spawn(refresher.run(Stop::new()));
        Self { tokens, source, readiness, metrics, _task: task }
    }

    async fn current(&self) -> Option<String> {
        self.tokens.current(Duration::from_secs(10)).await.map(|token| text(&token))
    }

    fn fetches(&self) -> usize {
        self.source.fetches.load(Ordering::Relaxed)
    }
}

fn text(token: &AccessToken) -> String {
    token.authorization().to_str().unwrap().to_owned()
}

#[test]
fn a_token_is_replaced_five_minutes_early_or_after_half_of_a_short_life() {
    for (lifetime_s, after_s) in [(3_600, 3_300), (3_599, 3_299), (600, 300), (400, 200), (1, 1), (0, 1)] {
        let found = refresh_after(Duration::from_secs(lifetime_s));
        assert_eq!(found, Duration::from_secs(after_s), "{lifetime_s}");
    }
}

#[test]
fn pauses_between_failed_fetches_grow_to_half_a_minute() {
    let pauses: Vec<_> = [1, 2, 3, 5, 6, 99].map(|failures| pause_after(failures).as_secs()).into();
    assert_eq!(pauses, [1, 2, 4, 16, 30, 30]);
}

#[tokio::test(start_paused = true)]
async fn the_token_is_replaced_before_it_expires() {
    let running = Running::with(&[Gives(HOUR)]);
    assert_eq!(running.current().await.as_deref(), Some("token-1"));
    sleep(Duration::from_mins(54)).await;
    assert_eq!(running.current().await.as_deref(), Some("token-1"));
    sleep(Duration::from_mins(2)).await;
    assert_eq!(running.current().await.as_deref(), Some("token-2"));
    assert!(running.readiness.is_ready());
    let shown = running.metrics.render();
    assert!(shown.contains("mfa_push_access_token_expires_timestamp_seconds 3600\n"), "{shown}");
    assert!(shown.contains("mfa_push_access_token_refreshes_total{result=\"ok\"} 2\n"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn the_old_token_stays_in_use_while_no_new_one_is_to_be_had() {
    for trouble in [Refuses, Hangs] {
        let running = Running::with(&[Gives(HOUR), trouble]);
        assert_eq!(running.current().await.as_deref(), Some("token-1"));
        sleep(Duration::from_mins(59)).await;
        assert!(running.fetches() > 3, "{trouble:?}: it is tried again");
        assert_eq!(running.current().await.as_deref(), Some("token-1"));
        assert!(running.readiness.is_ready(), "{trouble:?}: the token is still good");
        sleep(Duration::from_mins(2)).await;
        assert_eq!(running.current().await.as_deref(), Some("token-1"), "FCM decides");
        assert_eq!(running.readiness.failing()[0].check, "fcm", "{trouble:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_becomes_ready_once_a_token_is_to_be_had_again() {
    let running = Running::with(&[Refuses, Hangs, Gives(HOUR)]);
    assert!(!running.readiness.is_ready());
    assert_eq!(running.current().await.as_deref(), Some("token-3"));
    assert!(running.readiness.is_ready());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_for_the_first_token_than_he_may() {
    let running = Running::with(&[Hangs]);
    let begun = Instant::now();
    assert!(running.tokens.current(Duration::from_secs(3)).await.is_none());
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn many_refusals_of_one_token_make_one_fetch() {
    let running = Running::with(&[Gives(HOUR)]);
    let first = running.tokens.current(HOUR).await.unwrap();
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let (tokens, first) = (running.tokens.clone(), first.clone());
        asking.spawn(async move { tokens.instead_of(&first, HOUR).await.map(|token| text(&token)) });
    }
    for found in asking.join_all().await {
        assert_eq!(found.as_deref(), Some("token-2"));
    }
    let second = running.tokens.current(HOUR).await.unwrap();
    assert!(running.tokens.instead_of(&second, HOUR).await.is_none(), "a new one would fare no better");
    sleep(REFUSAL_PAUSE).await;
    assert_eq!(running.fetches(), 2);
    let third = running.tokens.instead_of(&second, HOUR).await.unwrap();
    assert_eq!(text(&third), "token-3");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_that_cannot_be_replaced_is_told_at_once() {
    let running = Running::with(&[Gives(HOUR), Refuses]);
    let first = running.tokens.current(HOUR).await.unwrap();
    assert!(running.tokens.instead_of(&first, HOUR).await.is_none());
    assert_eq!(running.fetches(), 2);
}

#[tokio::test]
async fn a_service_account_asks_its_token_endpoint_with_a_signed_assertion() {
    let google = FakeGoogle::answering(&[]).await;
    let account = ServiceAccount::parse(credentials(&google.token_uri()).into()).unwrap();
    assert_eq!(account.project(), Some("demo-mfa"));
    let fetched = account.fetch().await.unwrap();
    assert_eq!(fetched.authorization, "Bearer token-1");
    assert!(!format!("{:?}", fetched.authorization).contains("token-1"), "it prints the token");
    let seconds = fetched.lifetime.as_secs();
    assert!((3_500..=3_599).contains(&seconds), "{seconds}");
    // A second fetch is a new token, not the one that is still good.
    assert_eq!(account.fetch().await.unwrap().authorization, "Bearer token-2");
    let assertion = &google.assertions()[0];
    assert!(
        assertion
            .starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey")
    );
}

#[tokio::test]
async fn a_token_endpoint_that_refuses_hangs_or_talks_nonsense_gives_no_token() {
    let refusal =
        Reply::Says(400, r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#);
    let many = [refusal; 5];
    let newline = Reply::Says(200, r#"{"access_token":"a\nb","expires_in":60}"#);
    for (replies, error) in [
        (&many[..], "the token endpoint gave none"),
        (&[Reply::Says(200, "<html>")], "the token endpoint gave none"),
        (&[newline], "what the token endpoint gave is no token"),
    ] {
        let google = FakeGoogle::with_tokens(&[], replies).await;
        let account = ServiceAccount::parse(credentials(&google.token_uri()).into()).unwrap();
        let found = account.fetch().await.err().unwrap();
        assert_eq!(found.to_string(), error);
    }
    let google = FakeGoogle::with_tokens(&[], &[Reply::Hangs]).await;
    let account = ServiceAccount::parse(credentials(&google.token_uri()).into()).unwrap();
    let metrics = TokenMetrics::new(&Metrics::new(), Clock::system());
    let (refresher, tokens) = Refresher::new(account, metrics, Readiness::new().check("fcm"));
    let mut task = JoinSet::new();
    task.spawn(refresher.with_fetch_timeout(Duration::from_millis(300)).run(Stop::new()));
    assert!(tokens.current(Duration::from_secs(5)).await.is_some(), "the hung request was not given up");
}
