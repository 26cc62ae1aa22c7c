//! The group commit: what shares a batch, what fails alone, what becomes of a lost answer.

use std::time::Duration;

use fleet_domain::{ChallengeResult, Channel, Event, Progress, Reason, step};
use fleet_records::testing::Scratch;
use fleet_records::{Actor, Committed, Created, Error, ErrorClass, Lane, Note, Stored, Transition};
use futures_util::future::join_all;

use crate::fixtures::{Process, challenge, dial, note, number, send, transition};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_transitions_take_at_most_three_commits_and_a_poison_row_among_them_fails_alone() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let stored = join_all((0..101).map(|_| process.create(Channel::Push))).await;
    let creates = process.metric("mfa_records_batch_jobs_count{lane=\"create\"}");
    assert!(creates <= 3, "{creates} batches of new challenges");

    let after: Vec<_> =
        stored.iter().map(|stored| step(&stored.challenge, &send(), process.now()).unwrap()).collect();
    let hundred = stored.iter().zip(&after).take(100);
    let committed =
        hundred.map(|(before, after)| process.records.commit(Lane::Bulk, transition(before, after, None)));
    for committed in join_all(committed).await {
        assert_eq!(committed.unwrap(), Committed::Done);
    }
    let commits = process.metric("mfa_records_batch_jobs_count{lane=\"bulk\"}");
    assert!(commits <= 3, "{commits} commits");

    // The next ones have one among them that PostgreSQL refuses: its event's word is too long.
    let poison = stored.len() - 1;
    let stored: Vec<Stored> = after
        .into_iter()
        .map(|challenge| Stored { challenge, told: 0 })
        .take(100)
        .chain([stored[poison].clone()])
        .collect();
    let next = stored.iter().enumerate().map(|(at, before)| {
        let event = if at == poison { send() } else { Event::Pushed { attempt: 1, devices: 1 } };
        step(&before.challenge, &event, process.now()).unwrap()
    });
    let next: Vec<_> = next.collect();
    let committed = stored.iter().zip(&next).enumerate().map(|(at, (before, after))| {
        let event = if at == poison { "a word that is longer than any" } else { "pushed" };
        let note = Note { event, actor: Actor::Provider };
        process.records.commit(Lane::Bulk, Transition { before, after, note, line: None })
    });
    for (at, committed) in join_all(committed).await.into_iter().enumerate() {
        if at == poison {
            let error = committed.unwrap_err();
            assert!(matches!(error, Error::Rejected(_)), "{error:?}");
            assert_eq!(error.class(), ErrorClass::Culprit);
        } else {
            assert_eq!(committed.unwrap(), Committed::Done);
        }
    }
    assert_eq!(process.metric("mfa_records_failures_total{cause=\"data\",lane=\"bulk\"}"), 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_events_of_one_challenge_in_one_batch_both_count_once_the_second_was_stepped_again() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let before = process.create(Channel::Push).await;
    let before = process.apply(&before, &send()).await;
    let before = process.apply(&before, &Event::Pushed { attempt: 1, devices: 1 }).await;
    let opened = step(&before.challenge, &Event::Opened, process.now()).unwrap();
    let canceled = step(&before.challenge, &Event::Cancel, process.now()).unwrap();
    let (first, second) = tokio::join!(
        process.records.commit(Lane::Bulk, transition(&before, &opened, None)),
        process.records.commit(Lane::Bulk, transition(&before, &canceled, None)),
    );
    assert_eq!((first.unwrap(), second.unwrap()), (Committed::Done, Committed::Conflict));
    let reloaded = process.records.load(&before.challenge.key).await.unwrap().unwrap();
    assert_eq!(reloaded.challenge, opened);
    let ended = process.apply(&reloaded, &Event::Cancel).await;
    assert_eq!(ended.challenge.version, before.challenge.version + 2);
    assert_eq!(ended.challenge.result(), ChallengeResult::Canceled);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_twice_finds_the_first_and_stores_nothing() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let first = challenge(Channel::Push, process.now(), None);
    let mut second = first.clone();
    second.live.tries = 2;
    let (one, two) = tokio::join!(
        process.records.create(&first, note("accepted")),
        process.records.create(&second, note("accepted")),
    );
    assert_eq!(one.unwrap(), Created::New);
    assert_eq!(two.unwrap(), Created::Exists(Stored { challenge: first.clone(), told: 0 }));
    let other = Process::start(&scratch).await;
    let again = other.records.create(&second, note("accepted")).await.unwrap();
    assert_eq!(again, Created::Exists(Stored { challenge: first.clone(), told: 0 }));
    assert_eq!(process.records.history(&first.key).await.unwrap().len(), 1);
    process.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_not_there_is_none_and_a_transition_of_it_a_conflict() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let before = Stored { challenge: challenge(Channel::Push, process.now(), None), told: 0 };
    assert_eq!(process.records.load(&before.challenge.key).await.unwrap(), None);
    let after = step(&before.challenge, &send(), process.now()).unwrap();
    let committed = process.records.commit(Lane::Urgent, transition(&before, &after, None)).await.unwrap();
    assert_eq!(committed, Committed::Conflict);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_takes_one_call_until_its_attempt_is_over_and_a_shared_one_a_call_from_each_number() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let line = |extension, from| records.line(&number(), extension, from);
    let dial_over = async |line| {
        let before = process.create(Channel::Voice).await;
        let after = step(&before.challenge, &dial(), process.now()).unwrap();
        let committed = records.commit(Lane::Bulk, transition(&before, &after, Some(line))).await.unwrap();
        (committed, before, Stored { challenge: after, told: 0 })
    };

    let (first, _, dialing) = dial_over(line(false, "+15005550006")).await;
    assert_eq!(first, Committed::Done);
    let (busy, before, _) = dial_over(line(false, "+15005550007")).await;
    assert_eq!(busy, Committed::LineBusy);
    assert_eq!(records.load(&before.challenge.key).await.unwrap(), Some(before), "nothing was stored");

    let refused = Event::NotPlaced {
        attempt: 1,
        reason: Reason::CarrierError,
        provider_code: Some(21_211),
        again_after: None,
    };
    process.apply(&dialing, &refused).await;
    let (after_it_was_freed, ..) = dial_over(line(false, "+15005550007")).await;
    assert_eq!(after_it_was_freed, Committed::Done);

    let other = fleet_domain::PhoneNumber::parse("+19195550199").unwrap();
    let shared = |from| records.line(&other, true, from);
    assert_eq!(dial_over(shared("+15005550006")).await.0, Committed::Done);
    assert_eq!(dial_over(shared("+15005550007")).await.0, Committed::Done);
    assert_eq!(dial_over(shared("+15005550006")).await.0, Committed::LineBusy);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn among_calls_to_one_phone_in_one_batch_one_gets_the_line() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let stored = join_all((0..20).map(|_| process.create(Channel::Voice))).await;
    let line = process.records.line(&number(), false, "+15005550006");
    let after: Vec<_> = stored.iter().map(|s| step(&s.challenge, &dial(), process.now()).unwrap()).collect();
    let committed = stored
        .iter()
        .zip(&after)
        .map(|(before, after)| process.records.commit(Lane::Bulk, transition(before, after, Some(line))));
    let committed: Vec<_> = join_all(committed).await.into_iter().map(Result::unwrap).collect();
    let done = committed.iter().filter(|committed| **committed == Committed::Done).count();
    assert_eq!(done, 1, "{committed:?}");
    assert!(committed.iter().all(|committed| *committed != Committed::Conflict));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_of_a_reserved_attempt_gives_way_to_the_row_with_its_line() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let mut before = process.create(Channel::Voice).await;
    // As a step does that falls back to a call which another process is to place.
    let mut reserved = before.challenge.clone();
    reserved.version += 1;
    let mut attempt = fleet_domain::Attempt::new(1, Channel::Voice, 0, 5);
    attempt.check_at = Some(process.now());
    reserved.live.attempts.push(attempt);
    let committed = process.records.commit(Lane::Bulk, transition(&before, &reserved, None)).await.unwrap();
    assert_eq!(committed, Committed::Done);
    before.challenge = reserved;

    let line = process.records.line(&number(), false, "+15005550006");
    let after = step(&before.challenge, &dial(), process.now()).unwrap();
    let committed =
        process.records.commit(Lane::Bulk, transition(&before, &after, Some(line))).await.unwrap();
    assert_eq!(committed, Committed::Done);
    let rows = scratch.sql("SELECT attempt || ' ' || (to_key IS NOT NULL) FROM calls").await;
    assert_eq!(rows, ["1 true"]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_connection_is_cut_half_way_is_told_truly() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    // The statement is slow at the place where the audit asks for the time, after the row was changed.
    scratch.sql("CREATE SEQUENCE pauses").await;
    let before = process.create(Channel::Push).await;
    let slow = "CREATE OR REPLACE FUNCTION fleet_now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN
        IF current_query() LIKE '%transition = l.transition%' AND nextval('pauses') = 1 THEN PERFORM pg_sleep(1.2); END IF;
        RETURN clock_timestamp(); END $$";
    scratch.sql(slow).await;
    let after = step(&before.challenge, &send(), process.now()).unwrap();
    let cut = async {
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE wait_event = 'PgSleep' AND query LIKE '%transition = l.transition%'";
        loop {
            if scratch.sql(kill).await == ["t"] {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let (committed, ()) =
        tokio::join!(process.records.commit(Lane::Urgent, transition(&before, &after, None)), cut);
    assert_eq!(process.metric("mfa_records_repeats_total{cause=\"lost\",lane=\"urgent\"}"), 1);
    let stored = process.records.load(&before.challenge.key).await.unwrap().unwrap();
    let rows = process.records.history(&before.challenge.key).await.unwrap().len();
    // The first run was rolled back. The second one stored it, unless the dying session still held the row.
    match committed.unwrap() {
        Committed::Done => assert_eq!((stored.challenge, rows), (after, 2)),
        Committed::Conflict => assert_eq!((stored, rows), (before, 1)),
        Committed::LineBusy => panic!("it needed no line"),
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_stored_but_whose_answer_was_lost_is_done_and_not_stored_twice() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let before = process.create(Channel::Push).await;
    // Between the proxy and PostgreSQL everything goes through, but the answer never comes back.
    let proxy = crate::processes::DeafProxy::start(scratch.settings()).await;
    let behind = Process::with(proxy.settings(scratch.settings())).await;
    let after = step(&before.challenge, &send(), process.now()).unwrap();
    proxy.lose_the_answer_to("transition = l.transition");
    let committed = behind.records.commit(Lane::Urgent, transition(&before, &after, None)).await;
    assert_eq!(committed.unwrap(), Committed::Done);
    let stored = process.records.load(&before.challenge.key).await.unwrap().unwrap();
    assert_eq!(stored.challenge, after);
    assert_eq!(process.records.history(&before.challenge.key).await.unwrap().len(), 2);
    behind.stop().await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_tells_who_did_what_and_how_it_ended() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let stored = process.create(Channel::Voice).await;
    let dialing = process.apply(&stored, &dial()).await;
    let sid = || "CA00000000000000000000000000000001".to_owned();
    let placed =
        Event::Placed { attempt: 1, sid: sid(), queue: Duration::ZERO, check_after: Duration::from_mins(1) };
    let placed = process.apply(&dialing, &placed).await;
    let failed = Event::CallEnded {
        attempt: 1,
        sid: sid(),
        reason: Some(Reason::Busy),
        sip: Some(486),
        duration_s: Some(0),
    };
    process.apply(&placed, &failed).await;

    let history = process.records.history(&stored.challenge.key).await.unwrap();
    let told: Vec<_> = history.iter().map(|row| (row.version, row.result, row.detail.progress)).collect();
    assert_eq!(
        told,
        [
            (1, ChallengeResult::Pending, Progress::Queued),
            (2, ChallengeResult::Pending, Progress::Dialing),
            (3, ChallengeResult::Pending, Progress::Dialing),
            (4, ChallengeResult::Failed, Progress::Ended),
        ]
    );
    assert_eq!(history[0].detail.previous, None);
    assert_eq!(history[2].detail.attempts[0].sid, Some(sid()));
    let end = &history[3].detail;
    assert_eq!((end.reason, end.previous), (Some(Reason::Busy), Some(ChallengeResult::Pending)));
    assert_eq!((end.attempts[0].sip, &end.attempts[0].sid), (Some(486), &None));
    assert!(history.windows(2).all(|rows| rows[0].at <= rows[1].at));
    process.stop().await;
}
