//! FCM at its worst, for people with two devices each: it refuses, fails before and after it has delivered, and resets its
//! connections. Nobody is prompted more than twice on one device, and of two devices that answer one wins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleet_domain::ChallengeResult;
use fleet_faults::report::Scenario;
use serde_json::{Value, json};

use super::{Progress, Stage, conclude, stop_all};
use crate::audit::is_prompt;
use crate::load::{Going, Load, Seen};
use crate::people::{Conduct, Pace, people};
use crate::site::{Plan, Site};

/// How large the scenario is.
struct Size {
    pushes: usize,
    rate: f64,
}

const LONG: Size = Size { pushes: 5_000, rate: 100.0 };
const SHORT: Size = Size { pushes: 200, rate: 10.0 };

/// Challenges before those that count for the rate.
const WARM: usize = 10;

/// Long enough that FCM's shorter pauses end before anybody answers.
const PACE: Pace = Pace { answer_s: 8 };

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
    let recipes = site.recipes(2);
    let processes = recipes.iter().map(|recipe| recipe.start(None)).collect::<anyhow::Result<Vec<_>>>()?;
    let load = |count| Load {
        in_flight: count,
        at_least: count,
        at_most: count,
        rate: scale.rate,
        answer_within: Duration::from_mins(1),
    };
    let going = Arc::new(Going::default());
    let progress = Progress::show(scale.pushes + WARM, &going, String::new)?;
    // These wait for the queues to be declared: what came behind them would be answered all at once.
    let mut seen = load(WARM).run(&site, &people, &going, || true).await;
    seen.extend(load(scale.pushes).run(&site, &people, &going, || true).await);
    drop(progress);
    let (mut scenario, findings) = conclude(&site, &people, &seen, &going).await?;
    let facts = site.facts().await?;
    scenario.violations.extend(without_one_winner(&facts, &seen));
    scenario.violations.extend(stop_all(processes).await?);
    let struck = facts.iter().filter(|fact| fact["fact"] == "push" && !fact["fault"].is_null()).count();
    scenario.other_faults = u64::try_from(struck)?;
    scenario.done = told(scale, &facts, &seen, findings.not_as_decided);
    site.close().await;
    Ok(scenario)
}

/// One request in ten fails, half of those with a push that has been delivered; and now and then a connection is reset.
fn rules(seed: u64) -> Value {
    json!({ "seed": seed, "rules": [
        { "place": "push", "fault": "too_many", "retry_after": "1s", "share": 0.015 },
        { "place": "push", "fault": "too_many", "share": 0.01 },
        { "place": "push", "fault": "error_before", "status": 503, "retry_after": "2s", "share": 0.025 },
        { "place": "push", "fault": "error_after", "status": 503, "retry_after": "2s", "share": 0.025 },
        { "place": "push", "fault": "error_after", "status": 503, "share": 0.025 },
        { "place": "push", "fault": "reset_before", "share": 0.002 },
        { "place": "push", "fault": "reset_after", "share": 0.002 },
    ] })
}

/// Challenges that more devices than one were told to have decided, or one though it was not approved. An app whose answer's
/// answer got lost is told that the challenge has ended.
fn without_one_winner(facts: &[Value], seen: &[Seen]) -> Vec<String> {
    let mut winners: BTreeMap<&str, usize> = BTreeMap::new();
    for fact in facts.iter().filter(|fact| fact["fact"] == "app_answered" && fact["status"] == 200) {
        *winners.entry(fact["challenge"].as_str().unwrap_or_default()).or_default() += 1;
    }
    let wrong = seen.iter().filter_map(|seen| {
        let found = winners.get(seen.id.to_string().as_str()).copied().unwrap_or(0);
        let approved =
            seen.outcome.as_ref().is_some_and(|outcome| outcome.result == ChallengeResult::Approved);
        (found > usize::from(approved)).then(|| format!("{}: {found} devices have won", seen.id))
    });
    wrong.collect()
}

fn told(scale: &Size, facts: &[Value], seen: &[Seen], not_as_decided: u64) -> String {
    let prompts = facts.iter().filter(|fact| is_prompt(fact)).count();
    let count =
        |event: &str| facts.iter().filter(|fact| fact["event"] == event && fact["error"].is_null()).count();
    let resent = seen.iter().filter(|seen| {
        seen.outcome.as_ref().is_some_and(|outcome| outcome.attempts.iter().any(|attempt| attempt.resent))
    });
    format!(
        "{} pushes at {} per second to people with two devices each, of which both answer after {} s, while FCM answers one \
         request in ten with 429 or 503, before or after it has delivered, and resets a connection now and then. No device \
         may be prompted more than twice for a challenge, and one device decides it. {prompts} prompts were delivered, {} \
         challenges were sent once more, and {} devices were told that another one had answered. {not_as_decided} challenges \
         ended otherwise than their person decided.",
        scale.pushes,
        scale.rate,
        PACE.answer_s,
        resent.count(),
        count("ended"),
    )
}
