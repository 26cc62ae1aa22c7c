//! Calls per second, counted where the carrier takes them.

use std::fmt::Write as _;
use std::time::Duration;

use fleet_domain::{Reason, Timestamp};
use fleet_records::Cause;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::world::{Service, World, until};

/// A second, less what calls may seem nearer to each other at the carrier than they were sent.
const WINDOW: Duration = Duration::from_millis(980);

fn number(index: usize) -> String {
    format!("+1919557{index:04}")
}

/// People who press the key at once, and a carrier whose calls are paced from the first one on.
async fn world(people: usize, calls_per_second: u16) -> World {
    let mut script = String::new();
    for index in 0..people {
        write!(script, "[[person]]\nname = \"{index}\"\nnumber = \"{}\"\npresses = [\"#\"]\n", number(index))
            .unwrap();
    }
    let mut world = World::new(&script).await;
    world.set("FLEET_TWILIO__CALLS_PER_SECOND", &calls_per_second.to_string());
    world
}

/// When the carrier took each call, in order.
async fn taken(world: &World) -> Vec<Timestamp> {
    let calls = world.facts("call_created").await;
    let time = |call: &Value| {
        let at = OffsetDateTime::parse(call["at"].as_str().unwrap(), &Rfc3339).unwrap();
        Timestamp::from_micros(i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap())
    };
    let mut at: Vec<_> = calls.iter().map(time).collect();
    at.sort_unstable();
    at
}

/// The most calls within any second.
fn most_in_a_second(at: &[Timestamp]) -> usize {
    let within = |from: &Timestamp| at.iter().filter(|at| *at >= from && at.since(*from) < WINDOW).count();
    at.iter().map(within).max().unwrap_or(0)
}

/// Calls per second, from the first of these to the last.
fn rate(at: &[Timestamp]) -> f64 {
    let (Some(first), Some(last)) = (at.first(), at.last()) else { return 0.0 };
    f64::from(u32::try_from(at.len() - 1).unwrap()) / last.since(*first).as_secs_f64()
}

/// How much of a rate is used depends on the machine: it is printed, `-- --nocapture three_workers` shows it.
#[tokio::test(flavor = "multi_thread")]
async fn three_workers_never_give_a_carrier_more_calls_in_a_second_than_it_takes() {
    const COUNT: usize = 200;
    let world = world(COUNT, 20).await;
    let mut users = Vec::new();
    for index in 0..COUNT {
        users.push(world.caller(&format!("caller-{index}"), &number(index)).await);
    }
    let gateway = world.start(&[Service::Gateway]).await;
    let workers = [
        world.start(&[Service::Voice]).await,
        world.start(&[Service::Voice]).await,
        world.start(&[Service::Voice]).await,
    ];
    let drafts: Vec<_> = users.iter().map(|user| world.portal.draft(user.clone())).collect();
    stream::iter(&drafts)
        .for_each_concurrent(50, |draft| async {
            world.ask(draft).await;
        })
        .await;
    until("three seconds of calls", || async { taken(&world).await.len() >= 60 }).await;
    let slow = taken(&world).await;
    let changed_at = world.records.now().unwrap();
    assert!(world.records.set_rate("twilio", 40, &Cause::operator("a test")).await.unwrap());
    for draft in &drafts {
        let outcome = world.portal.wait(draft.id(), crate::world::PATIENCE).await.unwrap();
        assert_eq!(outcome.reason, Some(Reason::OkKey), "whoever waited had its turn");
    }
    let all = taken(&world).await;
    assert_eq!(all.len(), COUNT);
    assert!(most_in_a_second(&slow) <= 20, "{slow:?}");
    assert!(most_in_a_second(&all) <= 40, "{all:?}");
    let soon = changed_at.plus(Duration::from_secs(1));
    let window = soon..soon.plus(Duration::from_secs(2));
    let fast: Vec<_> = all.iter().copied().filter(|at| window.contains(at)).collect();
    println!("given to the carrier: {:.1} of 20 calls per second", rate(&slow));
    println!("in the two seconds from one second after the change on: {:.1} of 40", rate(&fast));
    for running in workers {
        assert!(running.stop().await);
    }
    assert!(gateway.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_turn_would_come_too_late_is_throttled_and_told_when_to_try_again() {
    const COUNT: usize = 12;
    let world = world(COUNT, 1).await;
    let running = world.start(&crate::world::ALL).await;
    let mut drafts = Vec::new();
    for index in 0..COUNT {
        let user = world.caller(&format!("caller-{index}"), &number(index)).await;
        drafts.push(world.portal.draft(user).answer_within(Duration::from_secs(10)));
    }
    for draft in &drafts {
        world.ask(draft).await;
    }
    let mut throttled = Vec::new();
    for draft in &drafts {
        let outcome = world.portal.wait(draft.id(), crate::world::PATIENCE).await.unwrap();
        match outcome.reason {
            Some(Reason::OkKey) => assert_eq!(outcome.retry_after_s, None),
            Some(Reason::Throttled) => throttled.push(outcome.retry_after_s.unwrap()),
            other => panic!("{other:?}"),
        }
    }
    // Half of their ten seconds are for the answer: about five had their turn.
    assert!((4..=9).contains(&throttled.len()), "{throttled:?}");
    assert!(throttled.iter().all(|seconds| (1..=9).contains(seconds)), "{throttled:?}");
    assert!(running.stop().await);
}
