//! Hostile messages among good ones: each hostile one ends as it must, and the good ones take no longer for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use fleet_broker::LetterBox;
use fleet_faults::report::{Latencies, Scenario};
use fleet_hostile::{Answer, Attacker, Expected, Hostile};
use tokio::time::{Instant, sleep};

use super::{Progress, Stage, conclude, stop_all};
use crate::load::{Going, Load, Seen};
use crate::people::{Conduct, Pace, people};
use crate::site::{Plan, Site};

/// How long the last of them may take to be parked.
const PATIENCE: Duration = Duration::from_secs(30);

/// How large the scenario is.
struct Size {
    /// Good challenges in each half, the one without hostile messages and the one with them.
    good: usize,
    rate: f64,
    hostile: usize,
}

impl Size {
    fn load(&self) -> Load {
        Load {
            in_flight: self.good,
            at_least: self.good,
            at_most: self.good,
            rate: self.rate,
            answer_within: Duration::from_mins(1),
        }
    }
}

const LONG: Size = Size { good: 5_000, rate: 150.0, hostile: 1_000 };
const SHORT: Size = Size { good: 300, rate: 50.0, hostile: 100 };

/// Runs it.
pub(crate) async fn run(stage: &Stage) -> anyhow::Result<Scenario> {
    let scale = if stage.short { &SHORT } else { &LONG };
    let mut people = people(scale.good * 2)?;
    people.retain(|person| person.conduct == Conduct::Approves);
    let plan = Plan {
        name: "hostile",
        people: &people,
        pace: Pace { answer_s: 1 },
        speed: 2,
        ring_s: 20,
        gateways: 1,
        apps_answer: true,
        ..Plan::default()
    };
    let site = Site::open(plan, &stage.servers, &stage.folder).await?;
    let recipes = site.recipes(2);
    let processes = recipes.iter().map(|recipe| recipe.start(None)).collect::<anyhow::Result<Vec<_>>>()?;
    let load = scale.load();
    let going = Arc::new(Going::default());
    let progress = Progress::show(scale.good * 2, &going, String::new)?;
    // The first ones wait for the queues to be declared, and count for nothing.
    let warm = Load { at_least: 20, at_most: 20, ..scale.load() };
    let mut seen = warm.run(&site, &people, &going, || true).await;
    let alone = load.run(&site, &people, &going, || true).await;
    let now_ms = u64::try_from(site.records.now()?.as_micros() / 1_000)?;
    let user = site.registered.name.as_str().to_owned();
    let hostile = fleet_hostile::messages(stage.seed, scale.hostile, now_ms, &user);
    let span = Duration::from_secs_f64(float(scale.good) / scale.rate);
    let attacking = attack(stage, &site, &hostile, span);
    let (among, attacked) = tokio::join!(load.run(&site, &people, &going, || true), attacking);
    attacked?;
    drop(progress);
    let violations = parked(&site, &hostile).await?;
    let latencies =
        vec![latencies("without hostile messages", &alone), latencies("among hostile messages", &among)];
    seen.extend(alone);
    seen.extend(among);
    let (scenario, findings) = conclude(&site, &people, &seen, &going).await?;
    let mut scenario = Scenario {
        latencies,
        // Three loads one after the other have no time in common.
        timeline: None,
        other_faults: u64::try_from(hostile.len())?,
        ..scenario
    };
    scenario.violations.extend(violations);
    scenario.violations.extend(stop_all(processes).await?);
    scenario.done = told(scale, &hostile, findings.not_as_decided);
    site.close().await;
    Ok(scenario)
}

fn told(scale: &Size, hostile: &[Hostile], not_as_decided: u64) -> String {
    let kinds: BTreeSet<_> = hostile.iter().map(|hostile| hostile.kind.as_str()).collect();
    format!(
        "{} good challenges by push at {} per second, first alone, then as many among {} hostile messages of {} kinds: \
         bodies that are no JSON, of wrong types, deep, huge, stale or of unknown versions; forged headers, senders and \
         properties. Each hostile one must be parked with its own reason, refused, or not be taken at all. {not_as_decided} \
         good ones ended otherwise than their person decided.",
        scale.good * 2,
        scale.rate,
        hostile.len(),
        kinds.len(),
    )
}

fn latencies(phase: &str, seen: &[Seen]) -> Latencies {
    let each = seen.iter().filter_map(|seen| seen.ended?.checked_sub(seen.asked));
    Latencies { phase: phase.into(), each: each.collect() }
}

/// Publishes them all, evenly over the time; the broker refuses exactly those that it must.
async fn attack(stage: &Stage, site: &Site, hostile: &[Hostile], span: Duration) -> anyhow::Result<()> {
    let mut attacker = Attacker::connect(&stage.servers.amqp_url).await?;
    let exchange = format!("{}.mfa.requests", site.namespace);
    let start = Instant::now();
    let count = float(hostile.len());
    for (number, hostile) in hostile.iter().enumerate() {
        tokio::time::sleep_until(start + span.mul_f64(float(number) / count)).await;
        let answer = attacker.publish(&exchange, &hostile.message).await?;
        let taken = hostile.expected != Expected::NotTaken;
        ensure!((answer == Answer::Stored) == taken, "{answer:?} to a message with {}", hostile.kind);
    }
    Ok(())
}

/// Those that were not parked with the reason that they must be parked with.
async fn parked(site: &Site, hostile: &[Hostile]) -> anyhow::Result<Vec<String>> {
    let until = Instant::now() + PATIENCE;
    loop {
        let letters = site.broker.browse(LetterBox::Parked, 2 * hostile.len()).await?;
        let reasons: BTreeMap<_, _> =
            letters.into_iter().filter_map(|letter| Some((letter.message_id?, letter.reason))).collect();
        let wrong: Vec<_> = hostile.iter().filter_map(|hostile| wrong(hostile, &reasons)).collect();
        if wrong.is_empty() || Instant::now() > until {
            return Ok(wrong);
        }
        sleep(Duration::from_millis(500)).await;
    }
}

fn wrong(hostile: &Hostile, reasons: &BTreeMap<String, String>) -> Option<String> {
    let Expected::Parked(reason) = hostile.expected else { return None };
    let id = String::from_utf8_lossy(hostile.message.properties.message_id.as_deref()?).into_owned();
    let found = reasons.get(&id).map(String::as_str);
    (found != Some(reason)).then(|| format!("{id} ({}): parked as {found:?}, not {reason}", hostile.kind))
}

#[expect(clippy::cast_precision_loss, reason = "counts of messages are far below 2^52")]
fn float(count: usize) -> f64 {
    count as f64
}
