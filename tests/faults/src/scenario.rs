//! The scenarios, and what all of them do alike: set a deployment up, load it, hurt it, audit what is left.

pub(crate) mod enrollment;
pub(crate) mod hostile;
pub(crate) mod kills;
pub(crate) mod pushes;
pub(crate) mod refill;
pub(crate) mod stores;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fleet_faults::report::{Marker, Scenario, Timeline};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::audit::{Findings, audit};
use crate::load::{Going, Seen};
use crate::people::Person;
use crate::process::Process;
use crate::servers::Servers;
use crate::site::Site;

/// The buckets of a figure.
const BUCKET: Duration = Duration::from_millis(250);

/// What every scenario gets.
pub(crate) struct Stage {
    pub(crate) servers: Servers,
    /// Where logs and figures go.
    pub(crate) folder: PathBuf,
    pub(crate) seed: u64,
    /// The form that fits into a test run: the same, smaller.
    pub(crate) short: bool,
}

/// A line that tells how far a load is, until it is dropped.
pub(crate) struct Progress(tokio::task::JoinHandle<()>);

impl Progress {
    /// `rest` is what the scenario tells beside the counts.
    #[expect(clippy::disallowed_methods, reason = "a line on the terminal; it ends with this value")]
    pub(crate) fn show(
        total: usize,
        going: &Arc<Going>,
        rest: impl Fn() -> String + Send + 'static,
    ) -> anyhow::Result<Self> {
        let style = ProgressStyle::with_template("  {elapsed_precise} [{bar:30}] {msg}")?;
        let bar = ProgressBar::new(u64::try_from(total)?).with_style(style);
        let going = Arc::clone(going);
        Ok(Self(tokio::spawn(async move {
            loop {
                let (asked, ended) = (going.asked(), going.ended());
                bar.set_position(u64::try_from(ended).unwrap_or(0));
                bar.set_message(format!("{ended} of {asked} ended{}", rest()));
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Stops what is left of the fleet; says what went wrong with that.
pub(crate) async fn stop_all(processes: Vec<Process>) -> anyhow::Result<Vec<String>> {
    let mut violations = Vec::new();
    let stopping: Vec<_> = processes.into_iter().map(Process::stop).collect();
    for (number, clean) in futures_util::future::join_all(stopping).await.into_iter().enumerate() {
        if !clean? {
            violations.push(format!("process {number} did not stop cleanly when asked"));
        }
    }
    Ok(violations)
}

/// Audits, looks through the logs, and makes the scenario's part of the report.
pub(crate) async fn conclude(
    site: &Site,
    people: &[Person],
    seen: &[Seen],
    going: &Going,
) -> anyhow::Result<(Scenario, Findings)> {
    let findings = audit(site, people, seen).await?;
    write_outcomes(site, people, seen)?;
    let broken = seen.iter().filter_map(|seen| Some(format!("{}: {}", seen.id, seen.broken.as_ref()?)));
    let violations = findings.violations.iter().map(ToString::to_string).chain(broken).chain(panics(site)?);
    let scenario = Scenario {
        name: site.name.clone(),
        challenges: u64::try_from(seen.len())?,
        violations: violations.collect(),
        worst_lateness: (!findings.latest.is_zero()).then_some(findings.latest),
        timeline: Some(timeline(seen, going)),
        ..Scenario::default()
    };
    Ok((scenario, findings))
}

/// Every outcome with its person, one JSON object per line: for whoever wants to know more than the report tells.
fn write_outcomes(site: &Site, people: &[Person], seen: &[Seen]) -> anyhow::Result<()> {
    let mut lines = String::new();
    for seen in seen {
        let conduct = people.get(seen.person).map(|person| format!("{:?}", person.conduct));
        let line = json!({
            "challenge": seen.id.to_string(),
            "person": conduct,
            "asked_ms": seen.asked.as_millis(),
            "ended_ms": seen.ended.map(|ended| ended.as_millis()),
            "outcome": seen.outcome,
        });
        // Writing to a text can't fail.
        let _ = writeln!(lines, "{line}");
    }
    std::fs::write(site.folder.join("outcomes.jsonl"), lines).context("the report's folder")
}

/// Panics in the processes' logs.
fn panics(site: &Site) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&site.folder).context("the logs")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.extend(
                text.lines()
                    .filter(|line| line.contains("panicked at"))
                    .map(|line| format!("{name}: {line}")),
            );
        }
    }
    Ok(found)
}

/// Outcomes and challenges in flight over time.
fn timeline(seen: &[Seen], going: &Going) -> Timeline {
    let bucket_of = |at: Duration| usize::try_from(at.as_millis() / BUCKET.as_millis()).unwrap_or(0);
    let length = seen.iter().filter_map(|seen| seen.ended).map(bucket_of).max().unwrap_or(0) + 1;
    let (mut outcomes, mut change) = (vec![0_u32; length], vec![0_i64; length]);
    for seen in seen {
        if let Some(slot) = change.get_mut(bucket_of(seen.asked)) {
            *slot += 1;
        }
        if let Some(ended) = seen.ended.map(bucket_of) {
            outcomes[ended] += 1;
            change[ended] -= 1;
        }
    }
    let mut open = 0_i64;
    let in_flight = change.into_iter().map(|change| {
        open += change;
        u32::try_from(open).unwrap_or(0)
    });
    let markers = going.marks().into_iter().map(|(at, label)| Marker { at, label });
    Timeline { bucket: BUCKET, outcomes, in_flight: in_flight.collect(), markers: markers.collect() }
}
