//! Slots for calls, and who waits for one.

use std::time::Duration;

use fleet_domain::{ChallengeKey, Channel, Event, Timestamp};
use fleet_records::testing::Scratch;
use fleet_records::{Cause, Claimed, PacedCarrier, SLOTS_AHEAD, Slot, SlotAsk, Stored};
use futures_util::future::join_all;

use crate::fixtures::Process;

fn carrier(calls_per_second: u16) -> PacedCarrier {
    PacedCarrier { name: "twilio".into(), calls_per_second }
}

/// The distance of two slots, less the microsecond that rounding may take.
fn spacing(calls_per_second: f64) -> Duration {
    Duration::from_secs_f64(1.0 / (0.97 * calls_per_second)).saturating_sub(Duration::from_micros(1))
}

fn ask(carrier: &PacedCarrier, stored: &Stored) -> SlotAsk {
    SlotAsk {
        carrier: carrier.clone(),
        key: stored.challenge.key.clone(),
        attempt: 1,
        begin_by: stored.challenge.request.answer_by,
        missed: false,
    }
}

async fn take(process: &Process, ask: &SlotAsk) -> Slot {
    process.records.take_slot(ask.clone()).await.unwrap()
}

async fn calls(process: &Process, count: usize) -> Vec<Stored> {
    join_all((0..count).map(|_| process.create(Channel::Voice))).await
}

/// From now on the database's clock is so far ahead.
async fn shift_clock(scratch: &Scratch, millis: u64) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION fleet_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
         AS 'SELECT clock_timestamp() + {millis} * interval ''1 ms'''"
    );
    scratch.sql(&sql).await;
}

/// Takes slots for all of them at the same time, in their order; gives those that wait.
async fn take_all(process: &Process, carrier: &PacedCarrier, calls: &[Stored]) -> Vec<ChallengeKey> {
    let asks: Vec<SlotAsk> = calls.iter().map(|stored| ask(carrier, stored)).collect();
    let slots = join_all(asks.iter().map(|ask| take(process, ask))).await;
    let waiting = asks.into_iter().zip(slots).filter(|(_, slot)| matches!(slot, Slot::Waits(_)));
    waiting.map(|(ask, _)| ask.key).collect()
}

fn keys(claimed: &[Claimed]) -> Vec<ChallengeKey> {
    claimed.iter().map(|claimed| claimed.key.clone()).collect()
}

fn slots(claimed: &[Claimed]) -> Vec<Timestamp> {
    let slots = claimed.iter().filter_map(|claimed| match claimed.slot {
        Slot::At(slot) => Some(slot),
        Slot::Waits(_) | Slot::TooLate(_) => None,
    });
    slots.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slots_of_a_carrier_lie_evenly_apart_over_all_processes() {
    let scratch = Scratch::new().await;
    let processes = [Process::start(&scratch).await, Process::start(&scratch).await];
    let carrier = carrier(200);
    let calls = calls(&processes[0], 60).await;
    let taking = calls.iter().zip(processes.iter().cycle()).map(|(stored, process)| {
        let ask = ask(&carrier, stored);
        async move { take(process, &ask).await }
    });
    let mut at: Vec<Timestamp> = join_all(taking)
        .await
        .into_iter()
        .map(|slot| match slot {
            Slot::At(slot) => slot,
            other @ (Slot::Waits(_) | Slot::TooLate(_)) => panic!("{other:?}"),
        })
        .collect();
    at.sort_unstable();
    for pair in at.windows(2) {
        assert!(pair[1].since(pair[0]) >= spacing(200.0), "{pair:?}");
    }
    for process in processes {
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_slot_waits_and_is_claimed_in_order_when_its_turn_is_near() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let carrier = carrier(10);
    let calls = calls(&process, 12).await;
    let waiting = take_all(&process, &carrier, &calls).await;
    let at_once = calls.len() - waiting.len();
    assert!((5..10).contains(&at_once), "those within {SLOTS_AHEAD:?} need not wait: {at_once}");
    assert_eq!(waiting, calls[at_once..].iter().map(|c| c.challenge.key.clone()).collect::<Vec<_>>());
    // Who asks again keeps its place, and one that comes later does not overtake.
    let Slot::Waits(first) = take(&process, &ask(&carrier, &calls[at_once])).await else { panic!() };
    let Slot::Waits(last) = take(&process, &ask(&carrier, &calls[11])).await else { panic!() };
    let between = u32::try_from(waiting.len() - 1).unwrap();
    assert!(last.since(first) >= spacing(10.0) * between, "{first:?} {last:?}");
    shift_clock(&scratch, 700).await;
    let claimed = process.records.claim_slots(&carrier, 100, &[]).await.unwrap();
    assert!(!claimed.is_empty());
    assert_eq!(keys(&claimed), waiting[..claimed.len()]);
    for pair in slots(&claimed).windows(2) {
        assert!(pair[1].since(pair[0]) >= spacing(10.0), "{pair:?}");
    }
    let rest = process.records.claim_slots(&carrier, 100, &[]).await.unwrap();
    assert_eq!(keys(&rest), waiting[claimed.len()..][..rest.len()], "nobody is claimed twice");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_process_has_died_is_claimed_again_unless_its_place_was_given_up() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let carrier = carrier(1);
    let calls = calls(&process, 3).await;
    let waiting = take_all(&process, &carrier, &calls).await;
    assert_eq!(waiting.len(), 2);
    shift_clock(&scratch, 3_000).await;
    let first = process.records.claim_slots(&carrier, 1, &[]).await.unwrap();
    shift_clock(&scratch, 6_000).await;
    let second = process.records.claim_slots(&carrier, 1, &[]).await.unwrap();
    assert_eq!([keys(&first), keys(&second)].concat(), waiting);
    shift_clock(&scratch, 30_000).await;
    let again = process.records.claim_slots(&carrier, 9, &[first[0].place]).await.unwrap();
    assert_eq!(keys(&again), waiting[1..], "only the one that nobody has done anything about");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_challenge_has_ended_leaves_without_a_slot_and_whose_turn_is_too_late_is_told_so() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let carrier = carrier(1);
    let calls = calls(&process, 4).await;
    let waiting = take_all(&process, &carrier, &calls[..3]).await;
    assert_eq!(waiting.len(), 2);
    let hurried =
        SlotAsk { begin_by: process.now().plus(Duration::from_secs(2)), ..ask(&carrier, &calls[3]) };
    let Slot::TooLate(expected) = take(&process, &hurried).await else { panic!("there are two before it") };
    assert!(expected > hurried.begin_by);
    process.apply(&calls[1], &Event::Cancel).await;
    shift_clock(&scratch, 3_000).await;
    let claimed = process.records.claim_slots(&carrier, 9, &[]).await.unwrap();
    assert_eq!(keys(&claimed), waiting[1..]);
    assert_eq!(slots(&claimed).len(), 1);
    shift_clock(&scratch, 600_000).await;
    let late = process.records.claim_slots(&carrier, 9, &[]).await.unwrap();
    assert_eq!((keys(&late), slots(&late).len()), (waiting[1..].to_vec(), 0), "{late:?}");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_rate_counts_for_those_who_wait_already_and_its_operator_is_noted() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let carrier = carrier(2);
    let cause = Cause::operator("more contracted");
    assert!(!process.records.set_rate("twilio", 40, &cause).await.unwrap(), "nobody has dialed by it yet");
    let waiting = take_all(&process, &carrier, &calls(&process, 20).await).await;
    assert!(waiting.len() >= 18);
    assert!(process.records.set_rate("twilio", 40, &cause).await.unwrap());
    shift_clock(&scratch, 1_000).await;
    let claimed = process.records.claim_slots(&carrier, 100, &[]).await.unwrap();
    assert_eq!(keys(&claimed), waiting, "twenty slots are half a second now");
    let known = process.records.carriers().await.unwrap();
    let changed = known[0].changed.clone().unwrap();
    assert_eq!((known[0].calls_per_second, changed.2.as_str()), (40, "more contracted"));
    assert!(changed.1.starts_with("operator "), "{changed:?}");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_missed_its_slot_gets_the_next_one_whoever_waits() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let carrier = carrier(1);
    let calls = calls(&process, 3).await;
    assert_eq!(take_all(&process, &carrier, &calls).await.len(), 2);
    let missed = SlotAsk { missed: true, ..ask(&carrier, &calls[0]) };
    assert!(matches!(take(&process, &missed).await, Slot::At(_)));
    process.stop().await;
}
