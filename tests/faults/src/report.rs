//! The report of a run: a folder with `report.md` and a figure per scenario. What went into it is plain data,
//! defined here; `markdown` words it, `timeline` and `latency` draw it. Nothing here measures.

mod axis;
mod latency;
mod markdown;
mod markers;
mod svg;
#[cfg(test)]
mod tests;
mod timeline;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

/// All that a report tells.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The heading.
    pub title: String,
    /// When the run began, as it is to be read.
    pub date: String,
    /// What the run's choices were drawn from: the same seed makes the same choices.
    pub seed: u64,
    /// How long the run took.
    pub took: Duration,
    /// What else one needs to judge or repeat it, in this order: the command, the machine, the versions of servers
    /// and crates.
    pub facts: Vec<(String, String)>,
    /// In the order in which they ran.
    pub scenarios: Vec<Scenario>,
    /// What the fleet did while a store was away. May be empty.
    pub store_faults: Vec<StoreFault>,
}

/// What one scenario did and saw.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// A short name, different from the others.
    pub name: String,
    /// What was done, in one paragraph of Markdown.
    pub done: String,
    /// Challenges whose whole story was checked.
    pub challenges: u64,
    /// Processes killed, those at crash points included.
    pub kills: u64,
    /// Faults other than kills: cuts, resets, hostile messages.
    pub other_faults: u64,
    /// How often each crash point was hit; one that was armed and never reached is here with 0.
    pub crash_points: BTreeMap<String, u64>,
    /// Each broken promise in a sentence, with the challenge's id.
    pub violations: Vec<String>,
    /// The longest that an outcome came after the moment it was promised by. None where none was late.
    pub worst_lateness: Option<Duration>,
    /// How long the scenario took.
    pub took: Duration,
    /// What happened over time, drawn where it is given.
    pub timeline: Option<Timeline>,
    /// Latencies of challenges in phases that are to be compared, drawn where there are any.
    pub latencies: Vec<Latencies>,
    /// What came of each of many things under each of many conditions, where there is such a thing.
    pub grid: Option<Grid>,
}

/// A table of things by conditions.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    /// What the things are.
    pub of: String,
    /// The conditions, in order.
    pub columns: Vec<String>,
    /// The things, each with a word for each condition.
    pub rows: Vec<(String, Vec<String>)>,
}

/// What happened over time, in buckets of equal length from the scenario's start.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// The length of a bucket: 250 ms is usual.
    pub bucket: Duration,
    /// Outcomes told, per bucket.
    pub outcomes: Vec<u32>,
    /// Challenges in flight at the end of each bucket.
    pub in_flight: Vec<u32>,
    /// Kills and faults.
    pub markers: Vec<Marker>,
}

/// A moment of a timeline that is drawn as a vertical line.
#[derive(Clone, Debug)]
pub struct Marker {
    /// Since the scenario's start.
    pub at: Duration,
    /// A few words: "kill push-worker". Markers with the same label may be drawn as one group.
    pub label: String,
}

/// Latencies of one phase.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// What the phase was: "without hostile messages".
    pub phase: String,
    /// One for each challenge, in any order.
    pub each: Vec<Duration>,
}

/// What the fleet did while a store was away.
#[derive(Clone, Debug, Default)]
pub struct StoreFault {
    /// What was done to which store: "Redis frozen for 10 s".
    pub fault: String,
    /// How long no outcome was told.
    pub stall: Duration,
    /// How long after the store's return the fleet told outcomes again. None where it did not.
    pub recovered_after: Option<Duration>,
    /// Challenges without an outcome.
    pub lost: u64,
    /// Challenges whose person was called or pushed to once too often.
    pub doubled: u64,
    /// Challenges whose outcome was late.
    pub late: u64,
}

impl Scenario {
    /// All faults of this scenario.
    pub fn faults(&self) -> u64 {
        self.kills + self.other_faults
    }
}

impl StoreFault {
    /// Whether nothing was lost or doubled, and the fleet came back.
    fn kept(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.recovered_after.is_some()
    }
}

impl Report {
    /// Whether every scenario checked at least one challenge and saw no violation, and no store fault lost or
    /// doubled a challenge.
    pub fn passed(&self) -> bool {
        let proved = |scenario: &Scenario| scenario.challenges > 0 && scenario.violations.is_empty();
        !self.scenarios.is_empty()
            && self.scenarios.iter().all(proved)
            && self.store_faults.iter().all(StoreFault::kept)
    }

    /// Writes `report.md` and its figures into `folder`, which is created where it is missing, and returns the path
    /// of `report.md`. Files of the same names are replaced.
    pub fn write(&self, folder: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(folder)?;
        for (index, scenario) in self.scenarios.iter().enumerate() {
            if let Some(timeline) = &scenario.timeline {
                let figure = timeline::draw(&scenario.name, timeline);
                fs::write(folder.join(figure_name(index, scenario, "timeline")), figure)?;
            }
            if !scenario.latencies.is_empty() {
                let figure = latency::draw(&scenario.name, &scenario.latencies);
                fs::write(folder.join(figure_name(index, scenario, "latency")), figure)?;
            }
        }
        let path = folder.join("report.md");
        fs::write(&path, markdown::write(self))?;
        Ok(path)
    }
}

/// The number keeps figures of scenarios with similar names apart.
fn figure_name(index: usize, scenario: &Scenario, kind: &str) -> String {
    format!("{:02}-{}-{kind}.svg", index + 1, words::slug(&scenario.name))
}
