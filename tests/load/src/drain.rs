//! How fast a backlog drains: the queues are full, then the fleet starts.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, interval, timeout};

use crate::Probe;
use crate::measured::Before;
use crate::scrape::{Page, Scraper};
use crate::surroundings::Surroundings;

/// How often the fleet's counters are read.
const LOOK: Duration = Duration::from_millis(50);
/// The longest that a drain may take.
const LONGEST: Duration = Duration::from_mins(5);
/// Counts the challenges that have ended, by result.
const ENDED: &str = "mfa_challenges_ended_total";

/// What is waited for.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Until {
    /// The push service took the push and that is committed.
    Dispatched,
    /// The challenge has ended.
    Complete,
}

impl Until {
    fn name(self) -> &'static str {
        match self {
            Self::Dispatched => "dispatched",
            Self::Complete => "complete",
        }
    }

    fn count(self, page: &Page) -> u64 {
        match self {
            Self::Dispatched => page.sum("mfa_accept_to_ringing_seconds_count", "channel=\"push\""),
            Self::Complete => page.sum(ENDED, "result=\"approved\""),
        }
    }
}

pub(crate) async fn drain(until: Until, count: u64, probe: &Probe) -> anyhow::Result<()> {
    let surroundings = Surroundings::new()?;
    let records = surroundings.records().await?;
    let scraper = Scraper::new(&probe.metrics_url)?;
    let bar = ProgressBar::new(count);
    bar.set_style(ProgressStyle::with_template("{msg:>12} {wide_bar} {pos}/{len} {per_sec}")?);
    bar.set_message(until.name());
    let before = Before::read(probe, Some(&records)).await?;
    let curve = timeout(LONGEST, watch(until, count, (&scraper, &bar))).await;
    let curve = curve.with_context(|| {
        format!(
            "after {LONGEST:?} {} of {count} challenges were {}: the fleet's log says why",
            bar.position(),
            until.name()
        )
    })??;
    bar.finish_and_clear();
    let seconds = curve.last().map_or(0.0, |(at, _)| *at);
    let first = curve.first().map_or(0, |(_, done)| *done);
    let mut measured = before.finish(until.name(), (count - first, seconds), probe, Some(&records)).await?;
    measured.curve = curve;
    measured.write(&probe.out)
}

/// From the first reading that shows work to the one that shows all of it done.
async fn watch(
    until: Until,
    count: u64,
    (scraper, bar): (&Scraper, &ProgressBar),
) -> anyhow::Result<Vec<(f64, u64)>> {
    let mut ticks = interval(LOOK);
    let mut curve = Vec::new();
    let mut began = Instant::now();
    loop {
        ticks.tick().await;
        // Before the fleet answers there is nothing to read.
        let Ok(page) = scraper.read().await else { continue };
        let done = until.count(&page);
        if done == 0 {
            began = Instant::now();
            continue;
        }
        curve.push((began.elapsed().as_secs_f64(), done));
        bar.set_position(done);
        if done >= count {
            return Ok(curve);
        }
        let ended = page.sum(ENDED, "");
        ensure!(
            ended < count,
            "all {count} challenges have ended, and only {done} of them were {}: the fleet's log says why",
            until.name()
        );
    }
}
