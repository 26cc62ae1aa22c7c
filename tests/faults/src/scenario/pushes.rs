//! FCM at its worst, for people with two devices each: it refuses for every reason that it has, fails before and after it has
//! delivered, and resets its connections, while the workers die. What must come of it all the same is in `pushes/oracle.rs`.

mod oracle;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleet_faults::report::Scenario;
use fleet_lifecycle::CrashPoint;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::kills::count_deaths;
use super::{Progress, Stage, conclude, stop_all};
use crate::chaos::{Chaos, Goal, Tally};
use crate::load::{Going, Load};
use crate::people::{Conduct, Pace, people};
use crate::process::Recipe;
use crate::site::{Plan, Site};
use oracle::Figures;

/// How large the scenario is.
struct Size {
    pushes: usize,
    rate: f64,
    /// How many sendings are around their request in one process at the most, and die with it.
    in_one_process: u64,
    /// When, after the load has begun, other programs take the processors.
    busy_after: Option<Duration>,
    goal: Goal,
}

/// Around the requests to FCM and what is stored of them.
const POINTS: [CrashPoint; 4] =
    [CrashPoint::Committed, CrashPoint::Posting, CrashPoint::Posted, CrashPoint::Stored];

const LONG: Size = Size {
    pushes: 5_000,
    rate: 100.0,
    in_one_process: 30,
    // Answers come as fast as challenges by then.
    busy_after: Some(Duration::from_secs(30)),
    goal: Goal { points: &POINTS, deaths: 5, kills: 5, kill_every: Duration::from_secs(5) },
};
const SHORT: Size = Size {
    pushes: 200,
    rate: 10.0,
    in_one_process: 3,
    busy_after: None,
    goal: Goal { points: &POINTS, deaths: 1, kills: 1, kill_every: Duration::from_secs(5) },
};

/// How long other programs take the processors: longer than any statement or request may take.
const BUSY: Duration = Duration::from_secs(10);
/// As many threads as that, for each processor.
const BUSY_THREADS: usize = 2;

/// Challenges before those that count for the rate.
const WARM: usize = 10;

/// Longer than the longest pause before a re-send that is made: until then every challenge is open.
const PACE: Pace = Pace { answer_s: 20 };

/// Runs it.
pub(crate) async fn run(stage: &Stage) -> anyhow::Result<Scenario> {
    let scale = if stage.short { &SHORT } else { &LONG };
    let mut people = people(scale.pushes * 2)?;
    people.retain(|person| person.conduct == Conduct::Approves);
    for person in &mut people {
        person.devices = 2;
    }
    let plan = Plan {
        name: "pushes",
        people: &people,
        pace: PACE,
        speed: 1,
        ring_s: 20,
        gateways: 2,
        apps_answer: true,
        ..Plan::default()
    };
    let site = Site::open(plan, &stage.servers, &stage.folder).await?;
    site.faults(&rules(stage.seed)).await?;
    let (gateways, workers): (Vec<_>, Vec<_>) = site.recipes(2).into_iter().partition(Recipe::is_gateway);
    let gateways = gateways.iter().map(|recipe| recipe.start(None)).collect::<anyhow::Result<Vec<_>>>()?;
    let (going, tally) = (Arc::new(Going::default()), Tally::default());
    let (going_on, tallied) = (Arc::clone(&going), tally.clone());
    let chaos =
        Chaos { goal: scale.goal, recipes: workers, seed: stage.seed, going: going_on, tally: tallied };
    let load = |count| Load {
        in_flight: count,
        at_least: count,
        at_most: count,
        rate: scale.rate,
        answer_within: Duration::from_mins(1),
    };
    let progress = Progress::show(scale.pushes + WARM, &going, String::new)?;
    let over = AtomicBool::new(false);
    let asking = async {
        // These wait for the queues to be declared: what came behind them would be answered all at once.
        let mut seen = load(WARM).run(&site, &people, &going, || true).await;
        let all = load(scale.pushes);
        let (rest, ()) = tokio::join!(all.run(&site, &people, &going, || true), busy(scale.busy_after));
        seen.extend(rest);
        over.store(true, Ordering::Relaxed);
        seen
    };
    let (seen, workers) = tokio::join!(asking, chaos.reign(|| over.load(Ordering::Relaxed)));
    drop(progress);
    let (mut scenario, findings) = conclude(&site, &people, &seen, &going).await?;
    count_deaths(&mut scenario, scale.goal, tally.done());
    let lost_most = scenario.kills * scale.in_one_process;
    let (figures, violations) = oracle::judge(&site, &people, &seen, lost_most).await?;
    println!("  {figures}");
    scenario.violations.extend(violations);
    scenario.violations.extend(stop_all(workers?.into_iter().chain(gateways).collect()).await?);
    scenario.other_faults = figures.struck;
    scenario.done = told(scale, &figures, findings.not_as_decided);
    site.close().await;
    Ok(scenario)
}

/// Other programs take the processors for a while. A fleet that is slow then must not stay so.
async fn busy(after: Option<Duration>) {
    let Some(after) = after else { return };
    sleep(after).await;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let until = Instant::now() + BUSY;
    for _ in 0..processors * BUSY_THREADS {
        std::thread::spawn(move || {
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        });
    }
}

/// One request in eight fails: half of those whose answer says nothing certain have been delivered, some condemn the token, some
/// speak of the fleet's own setup; and now and then a connection is reset.
fn rules(seed: u64) -> Value {
    let refused =
        |code: &str, share: f64| json!({ "place": "push", "fault": "refused", "code": code, "share": share });
    json!({ "seed": seed, "rules": [
        { "place": "push", "fault": "too_many", "retry_after": "1s", "share": 0.015 },
        { "place": "push", "fault": "too_many", "share": 0.01 },
        { "place": "push", "fault": "error_before", "status": 503, "retry_after": "2s", "share": 0.025 },
        { "place": "push", "fault": "error_after", "status": 503, "retry_after": "2s", "share": 0.025 },
        { "place": "push", "fault": "error_after", "status": 503, "share": 0.025 },
        { "place": "push", "fault": "reset_before", "share": 0.002 },
        { "place": "push", "fault": "reset_after", "share": 0.002 },
        refused("UNREGISTERED", 0.005),
        refused("APNS_UNREGISTERED", 0.005),
        refused("SENDER_ID_MISMATCH", 0.005),
        refused("THIRD_PARTY_AUTH_ERROR", 0.005),
        refused("UNAUTHENTICATED", 0.005),
        refused("PERMISSION_DENIED", 0.005),
    ] })
}

fn told(scale: &Size, figures: &Figures, not_as_decided: u64) -> String {
    format!(
        "{} pushes at {} per second to people with two devices each, of which both answer after {} s, while FCM fails at one \
         request in eight in each of thirteen ways, before or after it has delivered, resets a connection now and then, \
         workers die around their requests{}. Each device must be pushed to; no more than twice for a challenge, and once more \
         where the first push may have been lost; whoever was asked decides; one device wins, and the others are told; and a \
         token is retired where FCM says that it is gone, and for nothing else. {figures}. {not_as_decided} challenges ended \
         otherwise than their person decided.",
        scale.pushes,
        scale.rate,
        PACE.answer_s,
        scale.busy_after.map_or("", |_| ", and other programs take the processors for ten seconds"),
    )
}
