//! How long single challenges take while the fleet is loaded at a fixed rate.
//!
//! The push's arrival is read from the simulator's log, the outcome is what the portal hears from Redis.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use fleet_domain::{ChallengeId, PortalName, Timestamp};
use fleet_lifecycle::Clock;
use fleet_outcomes::{Notice, Watcher};
use futures_util::StreamExt as _;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use crate::Probe;
use crate::measured::Before;
use crate::portal;
use crate::surroundings::{PORTAL, Surroundings};

/// How long an outcome is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is published.
pub(crate) struct Load {
    pub(crate) rate: u64,
    pub(crate) seconds: u64,
    pub(crate) users: u64,
}

pub(crate) async fn paced(load: Load, simulator_log: &Path, probe: &Probe) -> anyhow::Result<()> {
    let surroundings = Surroundings::new()?;
    let records = surroundings.records().await?;
    let publisher = portal::publisher(&surroundings)?;
    let portal_side =
        Watcher::start(&surroundings.settings.section("outcomes")?, &surroundings.context.tasks)?;
    let clock = Clock::system();
    let count = load.rate * load.seconds;
    let bar = ProgressBar::new(count);
    let before = Before::read(probe, Some(&records)).await?;
    let began = Instant::now();
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(load.rate)?);
    let mut waiting = JoinSet::new();
    for index in 0..count {
        ticks.tick().await;
        let now = clock.now();
        let (id, message) = portal::request(index % load.users, now)?;
        let (publisher, portal_side, clock) = (publisher.clone(), portal_side.clone(), clock.clone());
        waiting.spawn(async move {
            let heard = outcome(&portal_side, id, &clock);
            let (sent, heard) = tokio::join!(publisher.publish(message), heard);
            sent?;
            anyhow::Ok((id, now, heard?))
        });
        bar.set_position(index);
    }
    let mut asked_at = HashMap::new();
    let mut to_outcome = Histogram::<u64>::new(3)?;
    while let Some(done) = waiting.join_next().await {
        let (id, at, heard) = done??;
        asked_at.insert(id.to_string(), at);
        to_outcome.record(micros(heard.since(at)))?;
    }
    bar.finish_and_clear();
    let to_provider = arrivals(simulator_log, &asked_at)?;
    let seconds = began.elapsed().as_secs_f64();
    let mut measured = before.finish("paced", (count, seconds), probe, Some(&records)).await?;
    measured.latencies =
        vec![latency("publish to provider", &to_provider), latency("publish to outcome", &to_outcome)];
    measured.write(&probe.out)
}

/// When the portal heard that the challenge has ended.
async fn outcome(watcher: &Watcher, id: ChallengeId, clock: &Clock) -> anyhow::Result<Timestamp> {
    let portal = PortalName::parse(PORTAL)?;
    let mut notices = watcher.subscribe(&portal, id);
    let heard = async {
        while let Some(notice) = notices.next().await {
            let document = match notice {
                Notice::Document(document) => Some(document),
                Notice::Listening => watcher.get(&portal, id).await?.map(|document| document.json),
                Notice::Refused(error) => return Err(error.into()),
            };
            if document.is_some_and(|document| !document.contains("\"result\":\"pending\"")) {
                return Ok(clock.now());
            }
        }
        anyhow::bail!("the portal stopped listening")
    };
    timeout(PATIENCE, heard).await.map_err(|_| anyhow::anyhow!("no outcome of {id} in {PATIENCE:?}"))?
}

#[derive(Deserialize)]
struct Line<'a> {
    at: &'a str,
    #[serde(default)]
    fact: &'a str,
    #[serde(default)]
    challenge: Option<&'a str>,
}

/// How long after its publishing each push arrived at the provider.
fn arrivals(log: &Path, published: &HashMap<String, Timestamp>) -> anyhow::Result<Histogram<u64>> {
    let mut histogram = Histogram::new(3)?;
    let text = fs::read_to_string(log)?;
    for line in text.lines() {
        let Ok(line) = serde_json::from_str::<Line<'_>>(line) else { continue };
        let Some(published_at) = line.challenge.and_then(|id| published.get(id)) else { continue };
        if line.fact == "push"
            && let Some(arrived_at) = timestamp(line.at)
        {
            histogram.record(micros(arrived_at.since(*published_at)))?;
        }
    }
    Ok(histogram)
}

fn timestamp(text: &str) -> Option<Timestamp> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    i64::try_from(nanos / 1_000).ok().map(Timestamp::from_micros)
}

fn latency(name: &str, histogram: &Histogram<u64>) -> (String, f64, f64) {
    #[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^52 microseconds")]
    let millis = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
    (name.to_owned(), millis(0.5), millis(0.99))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
