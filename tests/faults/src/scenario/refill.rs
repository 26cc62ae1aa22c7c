//! Redis comes back empty while many challenges are open: how long until all of them can be read again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fleet_domain::ChallengeId;
use fleet_faults::report::{Scenario, StoreFault};
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep};

use super::{Stage, stop_all};
use crate::load::Going;
use crate::people::{Conduct, Pace, Person, people};
use crate::site::{Plan, Site};

/// How long they stay open: no longer than a portal may ask for.
const ANSWER_WITHIN: Duration = Duration::from_secs(590);
/// Open challenges.
const OPEN: usize = 50_000;
/// The promise.
const WITHIN: Duration = Duration::from_secs(5);
/// How long it is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
/// Requests that wait for their confirm at once.
const AT_ONCE: usize = 500;
/// Outcomes that are read one by one.
const SAMPLE: usize = 500;

/// Runs it.
pub(crate) async fn run(stage: &Stage) -> anyhow::Result<(Scenario, Vec<StoreFault>)> {
    let open = if stage.short { OPEN / 50 } else { OPEN };
    let mut people = people(open.min(4_000))?;
    people.retain(|person| person.conduct == Conduct::Approves);
    let plan = Plan {
        name: "refill",
        people: &people,
        pace: Pace { answer_s: 1 },
        speed: 2,
        ring_s: 20,
        gateways: 0,
        apps_answer: false,
        ..Plan::default()
    };
    let site = Site::open(plan, &stage.servers, &stage.folder).await?;
    let processes =
        site.recipes(2).iter().map(|recipe| recipe.start(None)).collect::<anyhow::Result<Vec<_>>>()?;
    // What other scenarios have left there is not to be counted.
    stage.servers.redis(&["FLUSHALL"]).await?;
    let ids = fill(&site, &people, open).await?;
    until_there(stage, open)
        .await?
        .with_context(|| format!("{open} outcomes did not come to Redis at all"))?;
    stage.servers.stack("wipe", &["redis"]).await?;
    let back = Instant::now();
    let took = until_there(stage, open).await?.map(|()| back.elapsed());
    let mut violations = stop_all(processes).await?;
    violations.extend(missing(&site, &ids).await);
    match took {
        Some(took) if took <= WITHIN => {}
        Some(took) => {
            violations.push(format!("all outcomes were there again after {took:?}, not {WITHIN:?}"));
        }
        None => violations.push(format!("not all outcomes were there again within {PATIENCE:?}")),
    }
    site.close().await;
    let scenario = Scenario {
        name: "refill".into(),
        done: format!(
            "{open} challenges were open when Redis was killed and started again without its data. Every one of them was \
             there again {} after it answered again; the promise is {WITHIN:?} for 50,000.",
            took.map_or_else(|| "never".into(), |took| format!("{took:.2?}")),
        ),
        challenges: u64::try_from(ids.len())?,
        other_faults: 1,
        violations,
        ..Scenario::default()
    };
    let row = StoreFault {
        fault: format!("Redis loses {open} open outcomes"),
        stall: took.unwrap_or(PATIENCE),
        recovered_after: took,
        ..StoreFault::default()
    };
    Ok((scenario, vec![row]))
}

/// Asks for so many challenges that nobody answers.
async fn fill(site: &Site, people: &[Person], open: usize) -> anyhow::Result<Vec<ChallengeId>> {
    let going = Arc::new(Going::default());
    let _progress = super::Progress::show(open, &going, || ", which nobody answers".into())?;
    let asking = stream::iter(people.iter().cycle().take(open)).map(|person| {
        let going = Arc::clone(&going);
        async move {
            let draft = site.portal.draft(person.user.clone()).answer_within(ANSWER_WITHIN);
            while site.portal.challenge(&draft).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
            going.asked.fetch_add(1, Ordering::Relaxed);
            draft.id()
        }
    });
    Ok(asking.buffer_unordered(AT_ONCE).collect().await)
}

/// Those of a sample that Redis does not have.
async fn missing(site: &Site, ids: &[ChallengeId]) -> Vec<String> {
    let mut missing = Vec::new();
    for id in ids.iter().step_by((ids.len() / SAMPLE).max(1)) {
        if site.portal.outcome(*id).await.ok().flatten().is_none() {
            missing.push(format!("{id}: is not in Redis"));
        }
    }
    missing
}

/// Waits until Redis has as many documents; `None` where that takes too long.
async fn until_there(stage: &Stage, count: usize) -> anyhow::Result<Option<()>> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let size = stage.servers.redis(&["DBSIZE"]).await?;
        let size: usize = size.trim().parse().with_context(|| format!("DBSIZE said {size:?}"))?;
        ensure!(size <= count * 2 + 10, "{size} keys: somebody else writes to this Redis");
        // One key more: the mark that tells of a loss.
        if size > count {
            return Ok(Some(()));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(None)
}
