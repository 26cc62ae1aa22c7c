//! What sweeps find, and how several processes share it.
//!
//! `untold` stays behind any commit under way in the database, that of another test too: hence the loops over it.

use std::collections::HashSet;
use std::time::Duration;

use fleet_domain::{Channel, Event, Timestamp, UserId, step};
use fleet_records::testing::Scratch;
use fleet_records::{Committed, Lane, Stored};
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::fixtures::{Process, ann, challenge, dial, note, send, transition};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn overdue_challenges_are_found_oldest_first_again_and_again_until_they_have_ended() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let now = process.now();
    let deadlines = [30, 10, 20, 300].map(|seconds| now.plus(SECOND * seconds));
    let stored = join_all(deadlines.map(|at| process.create_until(Channel::Push, Some(at)))).await;
    assert_eq!(records.overdue(now, 10).await.unwrap(), []);

    // A minute later, as the database's clock would tell.
    let later = now.plus(SECOND * 60);
    let order = [&stored[1], &stored[2], &stored[0]];
    let keys = |found: &[Stored]| found.iter().map(|s| s.challenge.key.clone()).collect::<Vec<_>>();
    let all = order.map(|stored| stored.challenge.key.clone());
    assert_eq!(keys(&records.overdue(later, 2).await.unwrap()), all[..2]);
    assert_eq!(keys(&records.overdue(later, 10).await.unwrap()), all);

    let expired = step(&stored[2].challenge, &Event::Expire, later).unwrap();
    let committed = records.commit(Lane::Bulk, transition(&stored[2], &expired, None)).await.unwrap();
    assert_eq!(committed, Committed::Done);
    assert_eq!(
        keys(&records.overdue(later.plus(SECOND), 10).await.unwrap()),
        [all[0].clone(), all[2].clone()]
    );

    // A process that starts now begins where the first one has come to, and misses nothing.
    records.overdue(later.plus(SECOND * 20), 10).await.unwrap();
    let mark = scratch.sql("SELECT (answer_by > now() - interval '1 hour')::text FROM low_water").await;
    assert_eq!(mark, ["true"]);
    let other = Process::start(&scratch).await;
    let found = other.records.overdue(later.plus(SECOND), 10).await.unwrap();
    assert_eq!(keys(&found), [all[0].clone(), all[2].clone()]);
    process.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_that_is_due_goes_to_one_process_and_comes_again_after_five_seconds() {
    let scratch = Scratch::new().await;
    let processes = [Process::start(&scratch).await, Process::start(&scratch).await];
    let stored = join_all((0..40).map(|_| processes[0].create(Channel::Voice))).await;
    join_all(stored.iter().map(|stored| async {
        processes[0].apply(stored, &dial()).await;
    }))
    .await;
    let due_at = processes[0].now().plus(SECOND * 10);
    let sweep = async |now: Timestamp| {
        let sweeps = (0..8).map(|at| processes[at % 2].records.due((now, now), 10));
        join_all(sweeps).await.into_iter().flat_map(Result::unwrap).collect::<Vec<_>>()
    };
    assert!(sweep(due_at.minus(SECOND * 5)).await.is_empty());
    let due = sweep(due_at).await;
    let distinct: HashSet<_> = due.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!((due.len(), distinct.len()), (40, 40));
    assert!(sweep(due_at.plus(SECOND * 4)).await.is_empty());
    assert_eq!(sweep(due_at.plus(SECOND * 5)).await.len(), 40);
    for process in processes {
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_over_is_not_due_any_more() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let stored = process.create(Channel::Push).await;
    let sending = process.apply(&stored, &Event::Send { check_after: Some(SECOND) }).await;
    let due_at = process.now().plus(SECOND * 2);
    let due = process.records.due((due_at, due_at), 10).await.unwrap();
    assert_eq!(due, [(stored.challenge.key.clone(), 1)]);
    process.apply(&sending, &Event::Pushed { attempt: 1, devices: 1 }).await;
    let later = due_at.plus(SECOND * 60);
    assert!(process.records.due((later, later), 10).await.unwrap().is_empty());
    assert_eq!(scratch.sql("SELECT count(*) FROM calls").await, ["0"]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_due_is_left_for_a_while_to_those_who_can_look_at_it() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let push = process.create(Channel::Push).await;
    process.apply(&push, &Event::Send { check_after: Some(SECOND * 10) }).await;
    let (placed, reserved) = (process.create(Channel::Voice).await, process.create(Channel::Voice).await);
    process.apply(&placed, &dial()).await;
    let dialing = process.apply(&reserved, &dial()).await;
    let later = Event::NotPlaced {
        attempt: 1,
        reason: fleet_domain::Reason::ProviderUnavailable,
        provider_code: None,
        again_after: Some(SECOND * 10),
    };
    process.apply(&dialing, &later).await;

    let due_at = process.now().plus(SECOND * 11);
    let left = records.due((due_at, due_at.minus(SECOND * 11)), 10).await.unwrap();
    assert_eq!(left, [(push.challenge.key.clone(), 1)], "the two calls are left alone");
    let due = records.due((due_at, due_at), 10).await.unwrap();
    let calls: HashSet<_> = due.into_iter().collect();
    let expected = [(placed.challenge.key.clone(), 1), (reserved.challenge.key.clone(), 2)];
    assert_eq!(calls, HashSet::from(expected));
    // Whoever took them has died.
    let again = due_at.plus(SECOND * 7);
    assert_eq!(records.due((again, again.minus(SECOND * 2)), 10).await.unwrap().len(), 3);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_that_are_not_marked_as_told_are_handed_out_once_per_cursor_in_the_order_of_time() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let mut ended = Vec::new();
    for _ in 0..5 {
        let stored = process.create(Channel::Push).await;
        ended.push(process.apply(&stored, &Event::Cancel).await);
    }
    process.create(Channel::Push).await;
    let mut cursor = records.told_cursor(process.now());
    let keys = |found: &[Stored]| found.iter().map(|s| s.challenge.key.clone()).collect::<Vec<_>>();
    let all = keys(&ended);
    assert!(records.untold(&mut cursor, process.now().minus(SECOND * 5), 10).await.unwrap().is_empty());

    let later = process.now().plus(SECOND * 10);
    let mut found = Vec::new();
    while found.len() < all.len() {
        let some = records.untold(&mut cursor, later, 2).await.unwrap();
        assert!(some.len() <= 2);
        found.extend(keys(&some));
    }
    assert_eq!(found, all);
    assert!(records.untold(&mut cursor, later, 2).await.unwrap().is_empty());

    for stored in &ended[..3] {
        records.mark_told(&stored.challenge.key, stored.challenge.version);
    }
    let begun = Instant::now();
    while process.metric("mfa_records_told_marks_total{outcome=\"stored\"}") < 3 {
        assert!(begun.elapsed() < SECOND * 5);
        tokio::task::yield_now().await;
    }
    let mut fresh = records.told_cursor(process.now());
    let mut found = Vec::new();
    while found.len() < 2 {
        found.extend(keys(&records.untold(&mut fresh, later, 10).await.unwrap()));
    }
    assert_eq!(found, all[3..]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_whose_commit_is_still_under_way_holds_the_cursor_back() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let first = process.create(Channel::Push).await;
    let second = process.create(Channel::Push).await;
    let mut cursor = records.told_cursor(process.now());
    // The first end is written but not committed, while a later one is.
    let end = format!(
        "INSERT INTO audit SELECT fleet_now(), id, portal, 2, 4, 'canceled', '' FROM challenges WHERE id = '{}';
         UPDATE challenges SET version = 2, result = 4 WHERE id = '{0}'",
        first.challenge.key.id
    );
    let hold = scratch.hold(&end).await;
    process.apply(&second, &Event::Cancel).await;
    let later = process.now().plus(SECOND * 10);
    let found = records.untold(&mut cursor, later, 10).await.unwrap();
    assert!(found.is_empty(), "the cursor would pass the first one: {found:?}");
    hold.commit().await;
    let mut found = Vec::new();
    while found.len() < 2 {
        found.extend(records.untold(&mut cursor, later, 10).await.unwrap());
    }
    assert_eq!(found[0].challenge.key, first.challenge.key);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_are_written_before_the_stop() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let stored = process.create(Channel::Push).await;
    let ended = process.apply(&stored, &Event::Cancel).await;
    process.records.mark_told(&ended.challenge.key, ended.challenge.version);
    process.stop().await;
    assert_eq!(scratch.sql("SELECT told FROM challenges").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_is_marked_with_the_next_transition_and_never_goes_back() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let stored = process.create(Channel::Push).await;
    let told = Stored { told: 1, ..stored };
    let sending = process.apply(&told, &send()).await;
    let unaware = Stored { told: 0, ..sending };
    process.apply(&unaware, &Event::Pushed { attempt: 1, devices: 1 }).await;
    assert_eq!(process.records.load(&unaware.challenge.key).await.unwrap().unwrap().told, 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_open_challenges_are_listed_newest_first_without_ended_and_overdue_ones() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let mut stored = Vec::new();
    for seconds in [3, 2, 1] {
        let challenge = challenge(Channel::Push, process.now().minus(SECOND * seconds), None);
        process.records.create(&challenge, note("accepted")).await.unwrap();
        stored.push(Stored { challenge, told: 0 });
    }
    process.apply(&stored[1], &Event::Cancel).await;
    let soon = process.now().plus(SECOND);
    process.create_until(Channel::Push, Some(soon)).await;
    let open = process.records.open_challenges_of(&ann().id, soon).await.unwrap();
    assert_eq!(open, [stored[2].clone(), stored[0].clone()]);
    let other = UserId::parse("ben").unwrap();
    assert!(process.records.open_challenges_of(&other, soon).await.unwrap().is_empty());
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_users_open_challenges_the_newest_two_hundred_are_listed() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let mut stored = Vec::new();
    for before in (0..205).rev() {
        let challenge = challenge(Channel::Push, process.now().minus(SECOND * before / 20), None);
        process.records.create(&challenge, note("accepted")).await.unwrap();
        stored.insert(0, Stored { challenge, told: 0 });
    }
    let open = process.records.open_challenges_of(&ann().id, process.now()).await.unwrap();
    assert_eq!(open, stored[..200]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_given_back_is_due_after_a_second_and_a_forgotten_one_never() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let stored = process.create(Channel::Voice).await;
    process.apply(&stored, &dial()).await;
    let key = &stored.challenge.key;
    let now = process.now().plus(SECOND * 10);
    assert_eq!(records.due((now, now), 10).await.unwrap().len(), 1);
    records.release(key, 1, now).await.unwrap();
    let before = now.plus(SECOND / 2);
    assert!(records.due((before, before), 10).await.unwrap().is_empty());
    let again = now.plus(SECOND);
    assert_eq!(records.due((again, again), 10).await.unwrap().len(), 1);
    // Not by whoever had it before.
    records.forget(key, 1, now).await.unwrap();
    assert_eq!(scratch.sql("SELECT count(*) FROM calls").await, ["1"]);
    records.forget(key, 1, again).await.unwrap();
    assert_eq!(scratch.sql("SELECT count(*) FROM calls").await, ["0"]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_still_to_be_collected_is_handed_out_once_by_one_process_at_a_time() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let now = process.now();
    let mut stored = Vec::new();
    for seconds in [10, 20, 30, 40, 50] {
        stored.push(process.create_until(Channel::Push, Some(now.plus(SECOND * seconds))).await);
    }
    stored[2] = process.apply(&stored[2], &Event::Cancel).await;
    // Five minutes after the second deadline nobody collects the first two any more.
    let later = now.plus(SECOND * 321);
    let mut retelling = records.retelling(later).await.unwrap().unwrap();
    assert!(records.retelling(later).await.unwrap().is_none(), "it is under way");
    let mut found = Vec::new();
    while let Some(page) = retelling.next_page(2).await.unwrap() {
        assert!(page.len() <= 2);
        found.extend(page);
    }
    assert_eq!(found, stored[2..]);
    drop(retelling);
    let unfinished = records.retelling(later).await.unwrap();
    assert!(unfinished.is_some(), "it is over");
    drop(unfinished);
    let begun = Instant::now();
    while records.retelling(later).await.unwrap().is_none() {
        assert!(begun.elapsed() < SECOND * 5, "a dropped one holds the lock");
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_measured_clock_there_is_no_time_and_no_portal() {
    let scratch = Scratch::new().await;
    let mut settings = scratch.settings().clone();
    settings.url = "postgresql://nobody@127.0.0.1:1/nothing".into();
    let process = Process::with(settings).await;
    assert!(process.records.now().is_err());
    assert!(!process.records.knows_portals());
    process.stop().await;
    let process = Process::start(&scratch).await;
    assert!(process.records.now().is_ok());
    process.stop().await;
}
