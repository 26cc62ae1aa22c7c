//! Processes die at every named point and at random moments, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleet_faults::report::Scenario;
use fleet_lifecycle::CrashPoint;
use serde_json::{Value, json};

use super::{Progress, Stage, conclude, stop_all};
use crate::audit::Findings;
use crate::chaos::{Chaos, Done, Goal, Tally, wanting};
use crate::load::{Going, Load, Seen};
use crate::people::{Conduct, Pace, Person, people};
use crate::site::{Plan, Site};

/// How large the scenario is.
struct Size {
    challenges: usize,
    /// The most that are asked for while a point is still wanting.
    at_most: usize,
    in_flight: usize,
    goal: Goal,
}

const LONG: Size = Size {
    challenges: 2_000,
    at_most: 40_000,
    in_flight: 500,
    goal: Goal {
        points: &CrashPoint::OF_CHALLENGES,
        deaths: 10,
        kills: 30,
        kill_every: Duration::from_secs(2),
    },
};

const SHORT: Size = Size {
    challenges: 300,
    at_most: 4_000,
    in_flight: 100,
    goal: Goal {
        points: &CrashPoint::OF_CHALLENGES,
        deaths: 1,
        kills: 5,
        kill_every: Duration::from_millis(2_500),
    },
};

/// What the carrier and the push service do wrong meanwhile, each in so many of a hundred requests.
fn provider_faults(seed: u64) -> Value {
    let rules = [
        ("call_create", "error_after", 0.03),
        ("call_create", "error_before", 0.02),
        ("call_create", "reset_before", 0.02),
        ("call_create", "too_many", 0.02),
        ("callback", "lost", 0.05),
        ("callback", "late", 0.03),
        ("callback", "doubled", 0.05),
        ("callback", "reordered", 0.05),
        ("push", "error_before", 0.02),
    ];
    let rules = rules.map(|(place, fault, share)| json!({ "place": place, "fault": fault, "share": share }));
    json!({ "seed": seed, "rules": rules })
}

/// Runs it.
pub(crate) async fn run(stage: &Stage) -> anyhow::Result<Scenario> {
    let scale = if stage.short { &SHORT } else { &LONG };
    // So many more than are asked at once that whoever is asked again has been free for long: a call may hold its line
    // for a while after its challenge is over.
    let mut people = people(scale.in_flight * 10)?;
    let with_apps = people.iter_mut().filter(|person| person.conduct == Conduct::Approves);
    with_apps.step_by(5).for_each(Person::type_codes);
    let plan = Plan {
        name: "kills",
        people: &people,
        pace: Pace { answer_s: 6 },
        speed: 2,
        ring_s: 20,
        gateways: 2,
        apps_answer: true,
        ..Plan::default()
    };
    let site = Site::open(plan, &stage.servers, &stage.folder).await?;
    site.faults(&provider_faults(stage.seed)).await?;
    let (going, tally) = (Arc::new(Going::default()), Tally::default());
    let chaos = Chaos {
        goal: scale.goal,
        recipes: site.recipes(3),
        seed: stage.seed,
        going: Arc::clone(&going),
        tally: tally.clone(),
    };
    let load = Load {
        in_flight: scale.in_flight,
        at_least: scale.challenges,
        at_most: scale.at_most,
        rate: 200.0,
        answer_within: Duration::from_secs(90),
    };
    let progress = show(scale, &going, &tally)?;
    let over = AtomicBool::new(false);
    let asking = async {
        let seen = load.run(&site, &people, &going, || tally.meets(scale.goal)).await;
        over.store(true, Ordering::Relaxed);
        seen
    };
    let (seen, processes) = tokio::join!(asking, chaos.reign(|| over.load(Ordering::Relaxed)));
    drop(progress);
    let processes = processes?;
    let (mut scenario, findings) = conclude(&site, &people, &seen, &going).await?;
    scenario.violations.extend(stop_all(processes).await?);
    site.close().await;
    scenario.done = told(scale, (&seen, &findings), &tally.done());
    count_deaths(&mut scenario, scale.goal, tally.done());
    Ok(scenario)
}

fn show(scale: &'static Size, going: &Arc<Going>, tally: &Tally) -> anyhow::Result<Progress> {
    let tally = tally.clone();
    Progress::show(scale.challenges, going, move || {
        let done = tally.done();
        let points = scale.goal.points.len();
        let often_enough = points - wanting(&done, scale.goal).count();
        let deaths: u32 = done.deaths.values().sum();
        format!(
            ", {} SIGKILLs, {deaths} deaths at points, {often_enough} of {points} points often enough",
            done.kills
        )
    })
}

/// Writes down how often processes died, and which points of the goal too few came to.
pub(super) fn count_deaths(scenario: &mut Scenario, goal: Goal, done: Done) {
    scenario.kills = u64::from(done.kills) + done.deaths.values().copied().map(u64::from).sum::<u64>();
    for point in goal.points {
        let deaths = done.deaths.get(point.name()).copied().unwrap_or(0);
        scenario.crash_points.insert(point.name().into(), deaths.into());
    }
    scenario.violations.extend(
        wanting(&done, goal)
            .map(|point| format!("too few processes died at {}: the run shows nothing of it", point.name())),
    );
    scenario.violations.extend(done.violations);
}

fn told(scale: &Size, (seen, findings): (&[Seen], &Findings), done: &Done) -> String {
    format!(
        "{} challenges by phone, push and code, up to {} people at once, against three workers and two gateways behind a load \
         balancer. Whoever types codes signs in twice at once, mistypes, and types one code into both: it was taken once, and \
         every wrong one counted once. Processes died at fourteen named points and {} times by SIGKILL at random moments, and \
         were started anew at once; one gateway was always left alone. Meanwhile the carrier and the push service failed at 2 to 5 of a \
         hundred requests and callbacks, in each of nine ways. {} calls and {} pushes were made. {} challenges took more \
         than one attempt; {} ended otherwise than their person decided. Ends by reason: {}.",
        seen.len(),
        scale.in_flight,
        done.kills,
        findings.calls,
        findings.pushes,
        findings.more_than_one_attempt,
        findings.not_as_decided,
        findings.reasons_in_words(),
    )
}
