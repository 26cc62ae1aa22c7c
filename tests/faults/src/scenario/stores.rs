//! Each store killed, frozen, emptied and cut off in the midst of a steady load: one load per store, one fault after
//! the other. What the faults are is in `stores/hurts.rs`.

mod hurts;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fleet_faults::report::{Scenario, StoreFault};
use tokio::time::{Instant, sleep_until};

use super::{Progress, Stage, conclude, stop_all};
use crate::audit::{Findings, Kind};
use crate::load::{Going, Load, Seen};
use crate::people::{Pace, people};
use crate::site::{Plan, Site};

pub(crate) use hurts::Store;
use hurts::{Hurt, hurts};

/// In the short form: challenges asked for from one fault to the next, and how long that is.
const SHORT_WINDOW: (usize, Duration) = (120, Duration::from_secs(12));
/// From the start of a window to its fault.
const BEFORE: Duration = Duration::from_secs(4);
/// A request that was under way when PostgreSQL went away may still be finished: its commit was made before.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// A fault as it went. Times count from the load's start.
struct Went {
    fault: &'static str,
    done: Duration,
    undone: Duration,
    /// Calls that were placed while it lasted, where none may be.
    calls_meanwhile: usize,
}

/// Runs the faults of one store.
pub(crate) async fn run(stage: &Stage, store: Store) -> anyhow::Result<(Scenario, Vec<StoreFault>)> {
    if store != Store::Cluster {
        return run_on(stage, store).await;
    }
    let servers = stage.servers.cluster().await?;
    let stage = Stage { servers, folder: stage.folder.clone(), seed: stage.seed, short: stage.short };
    let ran = run_on(&stage, store).await;
    stage.servers.stack("down", &[]).await?;
    ran
}

async fn run_on(stage: &Stage, store: Store) -> anyhow::Result<(Scenario, Vec<StoreFault>)> {
    let hurts = hurts(store, stage.short);
    let (per_fault, window) = if stage.short { SHORT_WINDOW } else { store.window() };
    let count = per_fault * hurts.len();
    let people = people(count)?;
    let plan = Plan {
        name: store.name(),
        people: &people,
        pace: Pace { answer_s: 4 },
        // A call outlasts a quarter of a minute without PostgreSQL, and no more of it than that may be gone through here.
        speed: if store == Store::Postgresql { 1 } else { 2 },
        ring_s: 20,
        gateways: 2,
        apps_answer: true,
        ..Plan::default()
    };
    let site = Site::open(plan, &stage.servers, &stage.folder).await?;
    let going = Arc::new(Going::default());
    let recipes = site.recipes(2);
    let processes = recipes.iter().map(|recipe| recipe.start(None)).collect::<anyhow::Result<Vec<_>>>()?;
    let load = Load {
        in_flight: count,
        at_least: count,
        at_most: count,
        rate: f64::from(u32::try_from(per_fault)?) / window.as_secs_f64(),
        answer_within: Duration::from_secs(90),
    };
    let progress = Progress::show(count, &going, String::new)?;
    let hurting = hurt_all(stage, (&site, store), (&hurts, window), &going);
    let (seen, went) = tokio::join!(load.run(&site, &people, &going, || true), hurting);
    drop(progress);
    let went = went?;
    let (mut scenario, findings) = conclude(&site, &people, &seen, &going).await?;
    scenario.violations.extend(stop_all(processes).await?);
    scenario.violations.extend(went.iter().filter(|went| went.calls_meanwhile > 0).map(|went| {
        format!("{}: {} calls were placed while PostgreSQL was away", went.fault, went.calls_meanwhile)
    }));
    scenario.other_faults = u64::try_from(went.len())?;
    scenario.done = told((&load, window), (&seen, &went), &findings);
    let rows = rows(&seen, &went, &findings);
    site.close().await;
    Ok((scenario, rows))
}

fn told((load, window): (&Load, Duration), (seen, went): (&[Seen], &[Went]), findings: &Findings) -> String {
    let confirmed = seen.iter().map(|seen| seen.confirmed_after).max().unwrap_or_default();
    format!(
        "{} challenges at a steady {:.1} per second against two workers and two gateways, and every {window:?} a fault: {}. \
         The portal waited {confirmed:.2?} at most for the confirm of a request. {} challenges ended otherwise than their \
         person decided. Ends by reason: {}.",
        seen.len(),
        load.rate,
        went.iter().map(|went| went.fault).collect::<Vec<_>>().join("; "),
        findings.not_as_decided,
        findings.reasons_in_words(),
    )
}

/// What became of the challenges from shortly before each fault to shortly before the next.
fn rows(seen: &[Seen], went: &[Went], findings: &Findings) -> Vec<StoreFault> {
    let ends = ends(seen);
    let row = |(number, fault): (usize, &Went)| {
        let until = went.get(number + 1).map_or(Duration::MAX, |next| next.done);
        let in_window = |seen: &&Seen| (fault.done..until).contains(&(seen.asked + BEFORE));
        let ids: BTreeSet<_> = seen.iter().filter(in_window).map(|seen| seen.id).collect();
        let broken = |kind| {
            let broken = findings.violations.iter().filter(|v| v.kind == kind && ids.contains(&v.id));
            u64::try_from(broken.count()).unwrap_or(u64::MAX)
        };
        StoreFault {
            fault: fault.fault.to_owned(),
            stall: longest_gap(&ends, fault.done, until),
            recovered_after: ends.iter().find_map(|end| end.checked_sub(fault.undone)),
            lost: broken(Kind::Lost),
            doubled: broken(Kind::Doubled),
            late: broken(Kind::Late),
        }
    };
    went.iter().enumerate().map(row).collect()
}

/// Does one after the other what is to be done, and undoes it.
async fn hurt_all(
    stage: &Stage,
    (site, store): (&Site, Store),
    (hurts, window): (&[Hurt], Duration),
    going: &Going,
) -> anyhow::Result<Vec<Went>> {
    let start = Instant::now();
    let mut went = Vec::new();
    let mut from = start;
    for hurt in hurts {
        sleep_until(from + BEFORE).await;
        let done = start.elapsed();
        going.mark(done, hurt.name);
        (hurt.act)(stage, site, true).await?;
        let held = start + done + hurt.hold;
        let mut calls_meanwhile = 0;
        if store == Store::Postgresql && hurt.away {
            sleep_until(start + done + UNDER_WAY).await;
            let before = calls(site).await?;
            sleep_until(held).await;
            calls_meanwhile = calls(site).await? - before;
        }
        sleep_until(held).await;
        (hurt.act)(stage, site, false).await?;
        let undone = start.elapsed();
        going.mark(undone, "back");
        went.push(Went { fault: hurt.name, done, undone, calls_meanwhile });
        // A server that is slow to come back has a longer window.
        from = (from + window).max(Instant::now() + BEFORE);
    }
    Ok(went)
}

async fn calls(site: &Site) -> anyhow::Result<usize> {
    Ok(site.facts().await?.iter().filter(|fact| fact["fact"] == "call_created").count())
}

/// When ends were seen, in order.
fn ends(seen: &[Seen]) -> Vec<Duration> {
    let mut ends: Vec<_> = seen.iter().filter_map(|seen| seen.ended).collect();
    ends.sort_unstable();
    ends
}

/// The longest time without an event from `since` on, until the first one after `until` at the latest.
fn longest_gap(events: &[Duration], since: Duration, until: Duration) -> Duration {
    let mut last = since;
    let mut longest = Duration::ZERO;
    for event in events.iter().copied().filter(|event| *event >= since) {
        longest = longest.max(event.saturating_sub(last));
        last = event;
        if event > until {
            break;
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_from_the_fault_and_only_to_the_next_one() {
        let events = [0, 1, 2, 9, 10, 30].map(Duration::from_secs);
        let gap = |since, until| longest_gap(&events, Duration::from_secs(since), Duration::from_secs(until));
        assert_eq!(gap(3, 10), Duration::from_secs(20), "the first one after it closes the last gap");
        assert_eq!(gap(3, 9), Duration::from_secs(6));
        assert_eq!(gap(0, 1), Duration::from_secs(1));
        assert_eq!(gap(40, 50), Duration::ZERO);
    }
}
