//! The bare loop over the same servers: take a message, POST once, write to Redis, ack. No row, no rules, no
//! audit: what the machine could do for a system that promises nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use fleet_broker::{Broker, Delivery, Handler, Queue, Verdict};
use fleet_domain::{ChallengeId, PortalName};
use fleet_keys::Keys;
use fleet_outcomes::{Outcomes, Told};
use fleet_telemetry::Readiness;
use gcp_auth::{CustomServiceAccount, TokenProvider as _};
use indicatif::ProgressBar;
use tokio::time::{Instant, interval};

use crate::Probe;
use crate::measured::Before;
use crate::surroundings::{PORTAL, Surroundings};

/// Deliveries in work at once, as many as push-worker takes.
const PREFETCH: u16 = 1_600;
/// HTTP/2 connections, as many as push-worker opens.
const CONNECTIONS: usize = 16;

/// A connection, and the requests that are under way on it.
struct Connection {
    http: reqwest::Client,
    busy: AtomicUsize,
}

struct Bare {
    connections: Vec<Connection>,
    url: String,
    token: String,
    outcomes: Outcomes,
    portal: PortalName,
    clock: fleet_lifecycle::Clock,
    /// How many there are; a message that comes again has the next one's turn.
    count: u64,
    begun: AtomicU64,
    done: Arc<AtomicU64>,
}

impl Bare {
    /// Posts on the least busy connection, as push-worker does.
    async fn post(&self, body: String) -> reqwest::Result<reqwest::Response> {
        let mut least = &self.connections[0];
        for connection in &self.connections {
            if connection.busy.load(Ordering::Relaxed) < least.busy.load(Ordering::Relaxed) {
                least = connection;
            }
        }
        least.busy.fetch_add(1, Ordering::Relaxed);
        let request = least.http.post(&self.url).bearer_auth(&self.token);
        let sent = request.header("content-type", "application/json").body(body).send().await;
        least.busy.fetch_sub(1, Ordering::Relaxed);
        sent
    }
}

impl Handler for Bare {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        let turn = self.begun.fetch_add(1, Ordering::Relaxed) % self.count;
        let body = format!(r#"{{"message":{{"token":"swarm-{turn}","data":{{"x":"y"}}}}}}"#);
        let sent = self.post(body).await;
        let Ok(Ok(_)) = sent.map(reqwest::Response::error_for_status) else {
            return Verdict::RetryIn(Duration::from_secs(2));
        };
        let now = self.clock.now();
        let id = delivery.message_id.as_deref().and_then(|id| ChallengeId::parse(id).ok());
        let told = Told {
            portal: self.portal.clone(),
            subject: id.unwrap_or_else(|| ChallengeId::from_parts(now, fleet_keys::random_bytes())).into(),
            seq: 1,
            json: r#"{"seq":1,"result":"approved"}"#.into(),
            terminal: false,
            collect_by: now.plus(Duration::from_mins(5)),
        };
        if self.outcomes.tell(told).await.is_err() {
            return Verdict::RetryIn(Duration::from_secs(2));
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        Verdict::Done
    }
}

pub(crate) async fn limit(
    count: u64,
    push_url: &str,
    credentials: &Path,
    probe: &Probe,
) -> anyhow::Result<()> {
    let surroundings = Surroundings::new()?;
    let settings = &surroundings.settings;
    let keys = Keys::from_settings(&settings.section("keys")?)?;
    let outcomes_settings = settings.section("outcomes")?;
    let outcomes =
        Outcomes::start(outcomes_settings, keys, &surroundings.context.tasks, &surroundings.metrics)?;
    let broker = Broker::start(
        &settings.section("broker")?,
        &surroundings.context,
        &surroundings.metrics,
        &Readiness::new(),
    )?;
    let done = Arc::new(AtomicU64::new(0));
    let connection = || {
        let builder = reqwest::Client::builder().http2_prior_knowledge().timeout(Duration::from_secs(10));
        builder.build().map(|http| Connection { http, busy: AtomicUsize::new(0) })
    };
    let handler = Bare {
        connections: (0..CONNECTIONS).map(|_| connection()).collect::<Result<Vec<_>, _>>()?,
        url: format!("{push_url}/v1/projects/demo-mfa/messages:send"),
        token: access_token(credentials).await?,
        outcomes,
        portal: PortalName::parse(PORTAL)?,
        clock: surroundings.context.clock.clone(),
        count: count.max(1),
        begun: AtomicU64::new(0),
        done: Arc::clone(&done),
    };
    let before = Before::read(probe, None).await?;
    broker.consume(Queue::ChallengePush, PREFETCH, handler);
    let curve = watch(count, &done).await;
    let seconds = curve.last().map_or(0.0, |(at, _)| *at);
    let mut measured = before.finish("limit", (count, seconds), probe, None).await?;
    measured.curve = curve;
    measured.write(&probe.out)
}

async fn access_token(credentials: &Path) -> anyhow::Result<String> {
    let account = CustomServiceAccount::from_file(credentials)?;
    let token = account.token(&["https://www.googleapis.com/auth/firebase.messaging"]).await?;
    Ok(token.as_str().to_owned())
}

async fn watch(count: u64, done: &AtomicU64) -> Vec<(f64, u64)> {
    let bar = ProgressBar::new(count);
    let mut ticks = interval(Duration::from_millis(20));
    let mut began = Instant::now();
    let mut curve = Vec::new();
    loop {
        ticks.tick().await;
        let so_far = done.load(Ordering::Relaxed);
        if so_far == 0 {
            began = Instant::now();
            continue;
        }
        curve.push((began.elapsed().as_secs_f64(), so_far));
        bar.set_position(so_far);
        if so_far >= count {
            bar.finish_and_clear();
            return curve;
        }
    }
}
