//! For every kind of change and every named point that it passes, a process dies there once and another one goes on: no
//! test is called twice, no change is lost or stored by half.

mod cell;
mod kinds;

use std::collections::BTreeMap;

use anyhow::Context as _;
use fleet_domain::{Change, EnrollmentPolicy};
use fleet_faults::report::{Grid, Scenario};
use fleet_lifecycle::CrashPoint;
use futures_util::future::try_join_all;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Stage, panics, stop_all};
use crate::audit::placed_calls;
use crate::people::Pace;
use crate::process::{Process, Recipe, Service};
use crate::site::{Plan, Site};
use cell::{Cell, Judged};
use kinds::{phones, points, policy};

/// Kinds that pass every point between them, for the short form.
const SHORT: [Change; 6] =
    [Change::Phone, Change::Pin, Change::Recovery, Change::Block, Change::DeviceLost, Change::DeviceActivate];

/// How many kinds a lane works on: each lane has connections of its own to PostgreSQL, which gives a hundred.
const KINDS_OF_A_LANE: usize = 4;
const KINDS_OF_A_SHORT_LANE: usize = 2;

/// Cells that are worked on one after the other, by processes and a portal of their own.
struct Lane {
    name: String,
    operators: bool,
    /// Whether calls ask for a PIN.
    pin: bool,
    kinds: Vec<Change>,
}

/// Kinds that are worked on at once; what a portal may do, and whether it asks for PINs, is one policy.
fn lanes(short: bool) -> Vec<Lane> {
    // Reading changes nothing, and ends in the commit that opens it.
    let wanted = |change: &Change| *change != Change::Read && (!short || SHORT.contains(change));
    let size = if short { KINDS_OF_A_SHORT_LANE } else { KINDS_OF_A_LANE };
    let mut lanes = Vec::new();
    for portal in ["persons", "pins", "operators"] {
        let is_its = |change: &Change| portal_of(*change) == portal;
        let kinds: Vec<Change> = Change::ALL.iter().copied().filter(wanted).filter(is_its).collect();
        for (number, kinds) in kinds.chunks(size).enumerate() {
            lanes.push(Lane {
                name: format!("enrollment-{portal}-{}", number + 1),
                operators: portal == "operators",
                pin: portal == "pins",
                kinds: kinds.to_vec(),
            });
        }
    }
    lanes
}

/// The portal that asks for it: an operators' one, one that asks for PINs, or any other.
fn portal_of(change: Change) -> &'static str {
    if change.is_operators() {
        "operators"
    } else if change == Change::Pin {
        "pins"
    } else {
        "persons"
    }
}

/// A lane's site, with the processes that carry its tests.
pub(crate) struct Ground<'a> {
    pub(crate) site: Site,
    pub(crate) policy: EnrollmentPolicy,
    pub(crate) pin: bool,
    stage: &'a Stage,
    /// The enrollment-worker.
    worker: Recipe,
    /// Everything else.
    others: Recipe,
}

/// Runs it.
pub(crate) async fn run(stage: &Stage) -> anyhow::Result<Scenario> {
    let lanes = lanes(stage.short);
    let total: usize = lanes.iter().flat_map(|lane| &lane.kinds).map(|change| points(*change).len()).sum();
    let style = ProgressStyle::with_template("  {elapsed_precise} [{bar:30}] {pos} of {len} deaths")?;
    let bar = ProgressBar::new(u64::try_from(total)?).with_style(style);
    let judged = try_join_all(lanes.iter().map(|lane| run_lane(stage, lane, &bar))).await?;
    bar.finish_and_clear();
    let (cells, violations): (Vec<_>, Vec<_>) = judged.into_iter().unzip();
    let cells: Vec<Judged> = cells.into_iter().flatten().collect();
    let mut scenario = Scenario {
        name: "enrollment".into(),
        challenges: u64::try_from(cells.len())?,
        kills: cells.iter().map(|cell| cell.kills).sum(),
        grid: Some(grid(&cells)),
        violations: violations.into_iter().flatten().collect(),
        ..Scenario::default()
    };
    for point in CrashPoint::OF_ENROLLMENTS {
        let deaths = cells.iter().filter(|judged| judged.cell.point == point && judged.died).count();
        scenario.crash_points.insert(point.name().into(), u64::try_from(deaths)?);
    }
    scenario.violations.extend(cells.iter().flat_map(|judged| &judged.violations).cloned());
    scenario.done = told(&cells);
    Ok(scenario)
}

/// Gives what came of each cell, and what went wrong beside them.
async fn run_lane(
    stage: &Stage,
    lane: &Lane,
    bar: &ProgressBar,
) -> anyhow::Result<(Vec<Judged>, Vec<String>)> {
    let cells =
        lane.kinds.iter().flat_map(|change| points(*change).into_iter().map(|point| (*change, point)));
    let cells: Vec<Cell> =
        cells.enumerate().map(|(number, (change, point))| Cell { change, point, number }).collect();
    let policy = policy(lane.operators)?;
    let plan = Plan {
        name: &lane.name,
        phones: &cells.iter().map(|cell| phones(*cell)).collect::<String>(),
        enrollment: Some(&policy),
        pin: lane.pin,
        pace: Pace { answer_s: 1 },
        speed: 10,
        ring_s: 60,
        gateways: 1,
        apps_answer: true,
        ..Plan::default()
    };
    let site = Site::open(plan, &stage.servers, &stage.folder).await?;
    let ground = Ground {
        worker: site.recipe("enrollment-worker", &[Service::Enrollment], usize::MAX),
        others: site.recipe("others", &[Service::Voice, Service::Push, Service::Gateway], 0),
        site,
        policy,
        pin: lane.pin,
        stage,
    };
    let mut others = ground.others.start(None)?;
    let mut judged = Vec::new();
    for cell in cells {
        let found = cell.run(&ground, &mut others).await.with_context(|| cell.to_string())?;
        bar.inc(1);
        judged.push(found);
    }
    let mut violations = stop_all(vec![others]).await?;
    violations.extend(doubled(&ground.site).await?);
    violations.extend(panics(&ground.site)?);
    ground.site.close().await;
    Ok((judged, violations))
}

/// Attempts that were called twice.
async fn doubled(site: &Site) -> anyhow::Result<Vec<String>> {
    let mut calls: BTreeMap<_, u32> = BTreeMap::new();
    for (id, attempt, _) in placed_calls(&site.facts().await?) {
        *calls.entry((id, attempt)).or_default() += 1;
    }
    let doubled = calls.into_iter().filter(|(_, count)| *count > 1);
    Ok(doubled
        .map(|((id, attempt), count)| format!("challenge {id}: attempt {attempt} was called {count} times"))
        .collect())
}

fn grid(cells: &[Judged]) -> Grid {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for change in Change::ALL {
        let of_change: Vec<&Judged> = cells.iter().filter(|judged| judged.cell.change == *change).collect();
        if of_change.is_empty() {
            continue;
        }
        let words = CrashPoint::OF_ENROLLMENTS.map(|point| {
            let at_point = of_change.iter().find(|judged| judged.cell.point == point);
            at_point.map_or("–", |judged| judged.word()).to_owned()
        });
        rows.push((change.to_string(), words.to_vec()));
    }
    let columns = CrashPoint::OF_ENROLLMENTS.map(|point| point.name().to_owned()).to_vec();
    Grid { of: "change".into(), columns, rows }
}

fn told(cells: &[Judged]) -> String {
    let kinds: std::collections::BTreeSet<_> = cells.iter().map(|judged| judged.cell.change).collect();
    format!(
        "{} kinds of changes, each once for every named point that it passes: a process died there, and another one went on. \
         Each change must then be done, once, with every version in the audit; its test must have been made once; at the moment \
         of death everything was stored or nothing; what a change ends must have ended; and Redis says what PostgreSQL says. \
         \"done\" stands for that, \"–\" for a point that the kind does not pass.",
        kinds.len()
    )
}

impl Ground<'_> {
    /// Runs SQL in the deployment's schema; gives the first column.
    pub(crate) async fn sql(&self, statement: &str) -> anyhow::Result<String> {
        let statement = format!("SET search_path TO {}; {statement}", self.site.schema());
        let said = self.stage.servers.postgresql(&statement).await?;
        Ok(said.strip_prefix("SET\n").unwrap_or(&said).trim().to_owned())
    }

    pub(crate) fn start_worker(&self, death: Option<crate::process::Death>) -> anyhow::Result<Process> {
        self.worker.start(death)
    }

    pub(crate) fn start_others(&self, death: Option<crate::process::Death>) -> anyhow::Result<Process> {
        self.others.start(death)
    }
}
