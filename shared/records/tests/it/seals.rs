//! Seals over the audit trail: how they come to be, and what is found by them.

use std::time::Duration;

use fleet_domain::{Channel, Event};
use fleet_records::testing::Scratch;
use fleet_records::{Cause, Finding, SealCheck, Stored};
use futures_util::future::join_all;

use crate::fixtures::{Process, ann, send};

/// Moves the database's clock for good, so that what was written is closed.
pub(crate) async fn move_clock(scratch: &Scratch, by: &str) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION fleet_now() RETURNS timestamptz LANGUAGE sql
         AS $$ SELECT clock_timestamp() + interval '{by}' $$"
    );
    scratch.sql(&sql).await;
}

/// Some challenges of ann's and an act, all of them closed. Each challenge has three versions.
pub(crate) async fn trail(scratch: &Scratch, process: &Process) -> Vec<Stored> {
    process.records.put_user(&ann()).await.unwrap();
    let mut ended = Vec::new();
    for _ in 0..5 {
        let stored = process.create(Channel::Push).await;
        let sent = process.apply(&stored, &send()).await;
        ended.push(process.apply(&sent, &Event::Cancel).await);
    }
    process.records.block(&ann().id, None, &Cause::operator("lost her phone")).await.unwrap();
    process.records.unblock(&ann().id, &Cause::operator("found it")).await.unwrap();
    move_clock(scratch, "5 minutes").await;
    ended
}

/// Checks every seal, and gives those of which something is to be said.
pub(crate) async fn verify(process: &Process) -> (u64, Vec<SealCheck>) {
    let mut verification = process.records.verify_audit(None).await.unwrap();
    let (mut rows, mut said) = (0, Vec::new());
    let mut checked = 0;
    while let Some(check) = verification.next().await.unwrap() {
        checked += 1;
        rows += check.rows;
        if !check.findings.is_empty() || check.dropped > 0 {
            said.push(check);
        }
    }
    assert_eq!(checked, verification.total());
    (rows, said)
}

pub(crate) async fn fits(process: &Process) -> u64 {
    let (rows, said) = verify(process).await;
    assert_eq!(said, []);
    rows
}

async fn one_finding(process: &Process) -> Finding {
    let (_, mut said) = verify(process).await;
    assert_eq!(said.len(), 1, "{said:?}");
    let mut findings = said.remove(0).findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn m7_every_row_is_sealed_once_it_is_closed_and_the_chain_fits() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    process.records.put_user(&ann()).await.unwrap();
    process.create(Channel::Push).await;
    let young = process.records.seal_audit().await.unwrap();
    assert_eq!(young.rows, 0, "it may not be whole yet");
    trail(&scratch, &process).await;
    let sealed = process.records.seal_audit().await.unwrap();
    assert_eq!((sealed.rows, sealed.behind), (1 + 5 * 3 + 2, false));
    assert_eq!(fits(&process).await, sealed.rows);
    let again = process.records.seal_audit().await.unwrap();
    assert_eq!(again.seals, 0, "nothing more is closed");

    let newest = process.records.audit_seals(2).await.unwrap();
    assert_eq!(newest[0].since, newest[1].until);
    let until = process.metric("mfa_records_sealed_until_seconds");
    assert_eq!(i64::try_from(until).unwrap(), newest[0].until.as_secs());
    let salts = scratch.sql("SELECT subject FROM audit_salts").await;
    assert_eq!(salts, ["ann"], "one salt for a person");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_range_is_sealed_after_ten_minutes_and_what_is_put_into_it_is_found() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    // Ranges end with the hour too: it is half past.
    let half_past =
        "SELECT date_trunc('hour', clock_timestamp()) + interval '30 minutes' - clock_timestamp()";
    let half_past = scratch.sql(half_past).await.remove(0);
    move_clock(&scratch, &half_past).await;
    process.records.seal_audit().await.unwrap();
    let before = process.records.audit_seals(1).await.unwrap().remove(0);
    move_clock(&scratch, &format!("{half_past}' + interval '9 minutes")).await;
    assert_eq!(process.records.seal_audit().await.unwrap().seals, 0);
    move_clock(&scratch, &format!("{half_past}' + interval '11 minutes")).await;
    assert_eq!(process.records.seal_audit().await.unwrap().seals, 1);
    let sealed = process.records.audit_seals(1).await.unwrap().remove(0);
    assert_eq!((sealed.number, sealed.audit_rows, sealed.acts_rows), (before.number + 1, 0, 0));
    assert_eq!(fits(&process).await, 0);
    scratch
        .sql(
            "INSERT INTO acts (at, act, user_id, actor, reason)
             SELECT until - interval '1 minute', 'unblocked', 'ann', 'operator eve', 'never happened' FROM audit_seals
             ORDER BY number DESC LIMIT 1",
        )
        .await;
    let Finding::RowInserted(row) = one_finding(&process).await else { panic!("it was inserted") };
    assert_eq!(row.what, "act unblocked by operator eve, about ann");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m7_one_altered_one_removed_and_one_inserted_row_are_found_and_named() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let ended = trail(&scratch, &process).await;
    process.records.seal_audit().await.unwrap();
    let key = ended[1].challenge.key.clone();
    let of = |version: u32| format!("id = '{}' AND version = {version}", key.id);
    scratch.sql("CREATE TABLE kept AS TABLE audit; CREATE TABLE kept_acts AS TABLE acts").await;
    let restore =
        "DELETE FROM audit; INSERT INTO audit TABLE kept; DELETE FROM acts; INSERT INTO acts TABLE kept_acts";

    scratch.sql(&format!("UPDATE audit SET event = 'approved' WHERE {}", of(2))).await;
    let Finding::RowAltered(row) = one_finding(&process).await else { panic!("it was altered") };
    assert_eq!(row.what, format!("version 2 (approved) of challenge {key}"));

    scratch.sql(restore).await;
    let at = scratch
        .sql(&format!("SELECT (extract(epoch FROM at) * 1000000)::int8 FROM audit WHERE {}", of(3)))
        .await;
    scratch.sql(&format!("DELETE FROM audit WHERE {}", of(3))).await;
    let Finding::RowRemoved(row) = one_finding(&process).await else { panic!("it was removed") };
    assert_eq!(row.at.as_micros().to_string(), at[0]);

    scratch.sql(restore).await;
    scratch
        .sql(&format!(
            "INSERT INTO audit SELECT at + interval '1 microsecond', id, portal, 9, result, event, detail FROM audit WHERE {}",
            of(3)
        ))
        .await;
    let Finding::RowInserted(row) = one_finding(&process).await else { panic!("it was inserted") };
    assert_eq!(row.what, format!("version 9 (tested) of challenge {key}"));

    scratch.sql(restore).await;
    assert_eq!(fits(&process).await, 5 * 3 + 2);
    scratch.sql("UPDATE acts SET actor = 'operator eve' WHERE act = 'unblocked'").await;
    let Finding::RowAltered(row) = one_finding(&process).await else { panic!("it was altered") };
    assert_eq!(row.what, "act unblocked by operator eve, about ann");

    scratch.sql(restore).await;
    scratch.sql(&format!("UPDATE challenges SET user_id = 'ben' WHERE id = '{}'", key.id)).await;
    let (_, said) = verify(&process).await;
    assert_eq!(said[0].findings.len(), 3, "the versions of a challenge that is somebody else's now");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m7_a_chain_that_was_computed_anew_without_the_fleets_key_is_found() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    trail(&scratch, &process).await;
    process.records.seal_audit().await.unwrap();
    let newest = process.records.audit_seals(1).await.unwrap().remove(0);
    assert!(newest.number > 2);

    // Who can write to the database makes everything fit that can be made to fit without the key.
    scratch.sql("CREATE TABLE kept AS TABLE audit_seals").await;
    scratch.sql("UPDATE audit_seals SET sealed_at = sealed_at + interval '1 second' WHERE number = 2").await;
    assert_eq!(one_finding(&process).await, Finding::SealAltered);
    let hash = "sha256(convert_to('mfa-fleet seal 1', 'UTF8') || int8send(number)
        || (SELECT b.hash FROM audit_seals b WHERE b.number = s.number - 1)
        || int8send((extract(epoch FROM since) * 1000000)::int8) || int8send((extract(epoch FROM until) * 1000000)::int8)
        || int8send((extract(epoch FROM sealed_at) * 1000000)::int8)
        || int4send(audit_rows) || audit_hash || int4send(acts_rows) || acts_hash)";
    for number in 2..=newest.number {
        scratch.sql(&format!("UPDATE audit_seals s SET hash = {hash} WHERE number = {number}")).await;
    }
    let (_, said) = verify(&process).await;
    assert!(said.iter().all(|check| check.findings == [Finding::SealForged]), "{said:?}");
    assert_eq!(said.len() as u64, newest.number - 1);

    scratch.sql("DELETE FROM audit_seals; INSERT INTO audit_seals TABLE kept").await;
    fits(&process).await;
    scratch.sql("DELETE FROM audit_seals WHERE number IN (2, 3)").await;
    let mut verification = process.records.verify_audit(None).await.unwrap();
    let mut findings = Vec::new();
    while let Some(check) = verification.next().await.unwrap() {
        findings.extend(check.findings);
    }
    assert_eq!(findings, [Finding::SealsMissing { from: 2, to: 3 }]);

    scratch
        .sql("UPDATE audit_seals SET mac = sha256(mac) WHERE number = (SELECT max(number) FROM audit_seals)")
        .await;
    move_clock(&scratch, "20 minutes").await;
    let refused = process.records.seal_audit().await.unwrap_err();
    assert!(std::error::Error::source(&refused).unwrap().to_string().contains("keys.master"), "{refused:?}");

    scratch.sql("DELETE FROM audit_seals WHERE number > 1").await;
    process.records.seal_audit().await.unwrap();
    assert_eq!(process.metric("mfa_records_seals_lost_total"), 1, "the process remembers the chain");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m7_a_later_part_of_the_chain_is_verified_by_itself() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    trail(&scratch, &process).await;
    process.records.seal_audit().await.unwrap();
    let newest = process.records.audit_seals(1).await.unwrap().remove(0);
    let mut verification = process.records.verify_audit(Some(newest.since)).await.unwrap();
    assert_eq!(verification.total(), 1);
    let check = verification.next().await.unwrap().unwrap();
    assert_eq!((check.seal, check.findings), (newest, Vec::new()));
    assert_eq!(verification.next().await.unwrap(), None);
    let mut nothing =
        process.records.verify_audit(Some(process.now().plus(Duration::from_hours(1)))).await.unwrap();
    assert_eq!(nothing.total(), 0);
    assert_eq!(nothing.next().await.unwrap(), None);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m7_two_processes_that_seal_at_once_make_one_chain() {
    let scratch = Scratch::new().await;
    let processes =
        [Process::start(&scratch).await, Process::start(&scratch).await, Process::start(&scratch).await];
    trail(&scratch, &processes[0]).await;
    let rounds = join_all((0..4).flat_map(|_| &processes).map(|process| process.records.seal_audit())).await;
    let mut rows: u64 = rounds.into_iter().map(|sealed| sealed.unwrap().rows).sum();
    // Who found the lock taken has left the rest to whoever held it.
    rows += processes[0].records.seal_audit().await.unwrap().rows;
    assert_eq!(rows, 5 * 3 + 2, "every row once");
    assert_eq!(fits(&processes[1]).await, rows);
    for process in processes {
        assert_eq!(process.metric("mfa_records_seals_lost_total"), 0);
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m7_a_process_that_dies_while_it_seals_leaves_nothing_and_keeps_nobody_from_it() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    trail(&scratch, &process).await;
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('mfa-fleet seals of ' || current_schema(), 0))";
    let dying = scratch
        .hold(&format!(
            "{lock}; INSERT INTO audit_salts (subject, salt) VALUES ('ann', sha256('')); INSERT INTO audit_seals
             SELECT 1, 'epoch', fleet_now(), fleet_now(), 0, '', 0, '', '', '', NULL, ''"
        ))
        .await;
    let busy = process.records.seal_audit().await.unwrap();
    assert_eq!(busy.seals, 0, "one at a time");
    dying.abandon().await;
    assert_eq!(process.records.seal_audit().await.unwrap().rows, 5 * 3 + 2);
    fits(&process).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m7_what_a_slow_transaction_adds_is_waited_for_and_sealed() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    process.records.put_user(&ann()).await.unwrap();
    let slow = scratch
        .hold("INSERT INTO acts (at, act, user_id, actor, reason) VALUES (fleet_now(), 'blocked', 'ann', 'fleet', 'slow')")
        .await;
    move_clock(&scratch, "5 minutes").await;
    let sealed = process.records.seal_audit().await.unwrap();
    assert!(sealed.behind && sealed.seals == 0, "{sealed:?}");
    // Who writes elsewhere is not waited for.
    slow.commit().await;
    let elsewhere = scratch.hold("INSERT INTO audit_salts (subject, salt) VALUES ('x', '')").await;
    assert_eq!(process.records.seal_audit().await.unwrap().rows, 1);
    elsewhere.abandon().await;
    assert_eq!(fits(&process).await, 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m7_seals_made_while_rows_are_written_cover_every_row_once() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    process.records.put_user(&ann()).await.unwrap();
    // An hour passes in a few seconds, so that ranges close under the writers' feet.
    scratch
        .sql(
            "CREATE TABLE begun AS SELECT clock_timestamp() AS at;
             CREATE OR REPLACE FUNCTION fleet_now() RETURNS timestamptz LANGUAGE sql
             AS $$ SELECT clock_timestamp() + 600 * (clock_timestamp() - (SELECT at FROM begun)) $$",
        )
        .await;
    let until = tokio::time::Instant::now() + Duration::from_secs(4);
    let write = async {
        let mut written = 0;
        while tokio::time::Instant::now() < until {
            let made = join_all((0..20).map(|_| process.create(Channel::Voice))).await;
            written += made.len() as u64;
        }
        written
    };
    let seal = async {
        let (mut rows, mut rounds) = (0, 0);
        while tokio::time::Instant::now() < until {
            let sealed = process.records.seal_audit().await.unwrap();
            rows += sealed.rows;
            rounds += u32::from(sealed.rows > 0);
        }
        (rows, rounds)
    };
    let (written, (mut sealed, rounds)) = tokio::join!(write, seal);
    assert!(rounds > 2, "seals were made meanwhile: {rounds}");
    while sealed < written {
        sealed += process.records.seal_audit().await.unwrap().rows;
    }
    assert_eq!(sealed, written);
    assert_eq!(fits(&process).await, written);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m7_a_dropped_day_leaves_the_chain_and_a_removed_one_does_not() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    trail(&scratch, &process).await;
    process.records.seal_audit().await.unwrap();
    move_clock(&scratch, "3 days").await;
    scratch.sql("SELECT make_partitions(3); SELECT drop_partitions(1)").await;
    process.records.seal_audit().await.unwrap();
    let (_, said) = verify(&process).await;
    let dropped: u64 = said.iter().map(|check| check.dropped).sum();
    assert_eq!(dropped, 5 * 3);
    assert!(said.iter().all(|check| check.findings.is_empty()), "{said:?}");
    let marks = scratch
        .sql("SELECT count(*) FROM audit_seals WHERE audit_marks IS NOT NULL AND audit_rows > 0")
        .await;
    assert_eq!(marks, ["0"], "what names rows goes with them");

    move_clock(&scratch, "3 days 5 minutes").await;
    process.records.seal_audit().await.unwrap();
    scratch.sql("DELETE FROM acts WHERE act LIKE 'dropped %'").await;
    let (_, said) = verify(&process).await;
    let findings: Vec<&Finding> = said.iter().flat_map(|check| &check.findings).collect();
    assert!(findings.iter().any(|finding| matches!(finding, Finding::DayRemoved { .. })), "{findings:?}");
    assert!(
        findings.iter().any(|finding| matches!(finding, Finding::RowRemoved(_))),
        "the acts too: {findings:?}"
    );
    process.stop().await;
}
