//! Everything about one person: told, and erased without harm to the seals.

use std::collections::{BTreeMap, BTreeSet};

use fleet_domain::{Channel, Event, Reason, UserId};
use fleet_keys::{Keys, Pin};
use fleet_records::testing::{Scratch, parts_of_a_person};
use fleet_records::{Actor, Cause, Erased, Erasure, Finding, Lane, NewUser, Note, Transition};

use crate::fixtures::{Process, ann, device_id, number, send};
use crate::seals::{fits, move_clock, trail, verify};

/// What no row may hold once ann is erased: her id, her device, her number, her calls, and what was said of her.
const TRACES: [&str; 6] =
    ["ann", "0192f6a0-0000-7000-8000-000000000001", "+1919", "Raleigh", "lost her phone", "192.0.2.7"];

/// Ann with all that can be known of her, and what is known of nobody else.
async fn known(scratch: &Scratch, process: &Process) -> UserId {
    let ann = ann();
    process.records.put_user(&ann).await.unwrap();
    let hash = Keys::for_tests().hash_pin("ann", &Pin::parse("8250").unwrap());
    process.records.set_pins(&[(ann.id.clone(), Some(hash))]).await.unwrap();
    let phone = process.records.user(&ann.id).await.unwrap().unwrap().phones.remove(0);
    let ended = trail(scratch, process).await;
    let cause = Cause::person(&ended[0].challenge.key, "she asked never to be called again");
    process.records.opt_out(&ann.id, &phone, &cause).await.unwrap();
    process.records.opt_in(&number(), &Cause::operator("lost her phone")).await.unwrap();
    ann.id
}

fn done(erasure: Erasure) -> Erased {
    match erasure {
        Erasure::Done(erased) => erased,
        other @ (Erasure::Unknown | Erasure::Unsettled(_)) => panic!("{other:?}"),
    }
}

/// Every row of every table as a text, with what is in bytes as text too.
async fn dump(scratch: &Scratch) -> String {
    let mut texts = Vec::new();
    for table in
        ["users", "phones", "devices", "lockouts", "acts", "audit", "challenges", "calls", "audit_salts"]
    {
        texts.extend(scratch.sql(&format!("SELECT t::text FROM {table} t")).await);
    }
    texts.extend(scratch.sql("SELECT encode(detail, 'escape') FROM audit").await);
    texts.extend(scratch.sql("SELECT encode(detail, 'hex') FROM audit").await);
    texts.extend(
        scratch.sql("SELECT encode(request, 'escape') || encode(live, 'escape') FROM challenges").await,
    );
    texts.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_stored_about_a_person_is_on_the_list() {
    let scratch = Scratch::new().await;
    let listed: BTreeMap<&str, Vec<&str>> =
        parts_of_a_person().into_iter().map(|(table, columns, _)| (table, columns)).collect();
    let stored = scratch
        .sql(
            "SELECT c.relname || ' ' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
             WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                AND a.attnum > 0 AND NOT a.attisdropped",
        )
        .await;
    let mut columns: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (table, column) in stored.iter().filter_map(|line| line.split_once(' ')) {
        columns.entry(table).or_default().insert(column);
    }
    for (table, columns) in columns {
        let Some(listed) = listed.get(table) else {
            // Challenges are told and erased by ways of their own.
            let is_a_persons = columns.contains("user_id") && table != "challenges";
            assert!(!is_a_persons, "table {table} names users and is not in person.rs");
            continue;
        };
        for column in columns {
            assert!(
                listed.contains(&column),
                "column {table}.{column} is neither shown nor kept back in person.rs"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_tells_everything_with_numbers_in_clear_and_without_secrets() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let ann = known(&scratch, &process).await;
    let person = process.records.person(&ann).await.unwrap().unwrap();
    let part = |name: &str| {
        let rows = person.parts.iter().find(|(known, _)| *known == name).map(|(_, rows)| rows);
        serde_json::Value::Array(rows.unwrap().clone())
    };
    assert_eq!(part("user")[0]["id"], "ann");
    assert_eq!(part("user")[0]["method"], "push");
    assert_eq!(part("user")[0]["has_pin"], true);
    assert_eq!(part("phones")[0]["number"], "+19195550100");
    assert_eq!(part("phones")[0]["role"], "primary");
    assert_eq!(part("phones")[0]["opted_out"], false);
    assert_eq!(part("devices")[0]["push_token"], "toke…");
    assert_eq!(part("devices")[0]["alg"], "EdDSA");
    let acts: Vec<_> = part("acts").as_array().unwrap().iter().map(|act| act["act"].clone()).collect();
    assert_eq!(acts, ["blocked", "unblocked", "opted_out", "opted_in"]);
    assert_eq!(person.challenges.len(), 5);
    assert!(person.challenges.iter().all(|challenge| challenge.history.len() == 3));
    let text = format!("{:?}", person.parts);
    for secret in ["argon2", "token-1", "sealed", "number_index"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let counts = process.records.count_person(&ann).await.unwrap();
    assert!(counts.contains(&("challenges", 5)) && counts.contains(&("acts", 4)), "{counts:?}");
    let stranger = UserId::parse("stranger").unwrap();
    assert!(process.records.person(&stranger).await.unwrap().is_none());
    assert_eq!(process.records.count_person(&stranger).await.unwrap(), []);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m7_an_erased_person_is_nowhere_and_the_seals_fit_all_the_same() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let ann = known(&scratch, &process).await;
    // One part of her was sealed before, another one was not.
    let sealed = process.records.seal_audit().await.unwrap();
    assert!(sealed.rows > 0);
    let before = dump(&scratch).await;
    assert!(TRACES.iter().filter(|trace| before.contains(*trace)).count() >= 5);

    process.records.block(&ann, None, &Cause::operator("leaves")).await.unwrap();
    let erased = done(process.records.erase(&ann, "asked for by letter").await.unwrap());
    assert_eq!((erased.challenges, erased.acts), (5, 5));
    assert_eq!(erased.deleted, [("devices", 1), ("phones", 1), ("user", 1)]);
    let after = dump(&scratch).await;
    let device = device_id().uuid().simple().to_string();
    for trace in TRACES.into_iter().chain([device.as_str()]) {
        assert!(!after.contains(trace), "{trace} in\n{after}");
    }
    let login = scratch.sql("SELECT session_user").await.remove(0);
    let acts = scratch
        .sql("SELECT act || ' ' || user_id || ' ' || actor || ' ' || reason FROM acts WHERE act = 'erased'");
    assert_eq!(acts.await, [format!("erased {} operator {login} asked for by letter", erased.pseudonym)]);
    let others =
        scratch.sql(&format!("SELECT count(*) FROM acts WHERE user_id <> '{}'", erased.pseudonym)).await;
    assert_eq!(others, ["0"]);

    let (rows, said) = verify(&process).await;
    assert_eq!((rows, said), (sealed.rows, Vec::new()));
    move_clock(&scratch, "15 minutes").await;
    let later = process.records.seal_audit().await.unwrap();
    assert!(later.rows >= 5, "erasing is in the trail too");
    assert_eq!(fits(&process).await, sealed.rows + later.rows);

    assert_eq!(process.records.erase(&ann, "again").await.unwrap(), Erasure::Unknown);
    let stranger = UserId::parse("stranger").unwrap();
    assert_eq!(process.records.erase(&stranger, "who?").await.unwrap(), Erasure::Unknown);
    assert_eq!(scratch.sql("SELECT count(*) FROM acts WHERE act = 'erased'").await, ["1"]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m7_what_is_left_of_an_erased_person_cannot_be_changed_and_nobody_else_can_erase() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let ann = known(&scratch, &process).await;
    process.records.seal_audit().await.unwrap();
    scratch.sql("CREATE TABLE kept AS TABLE audit").await;
    // The row of somebody, with the leaf that can be computed from salt and row, but without the fleet's mark.
    let forge =
        "UPDATE audit SET detail = '\\xf6'::bytea || '\\x5840'::bytea || sha256('leaf') || sha256('mark')
        WHERE version = 2 AND ctid = (SELECT min(ctid) FROM audit WHERE version = 2)";
    scratch.sql(forge).await;
    let (_, said) = verify(&process).await;
    assert!(
        said[0].findings.iter().any(|found| matches!(found, Finding::RowNotErasedByFleet(_))),
        "{said:?}"
    );
    scratch.sql("DELETE FROM audit; INSERT INTO audit TABLE kept").await;
    fits(&process).await;

    done(process.records.erase(&ann, "asked for").await.unwrap());
    fits(&process).await;
    scratch.sql("UPDATE audit SET event = 'approved' WHERE version = 2").await;
    let (_, said) = verify(&process).await;
    let findings: Vec<&Finding> = said.iter().flat_map(|check| &check.findings).collect();
    assert_eq!(findings.len(), 5);
    assert!(findings.iter().all(|found| matches!(found, Finding::RowNotErasedByFleet(_))), "{findings:?}");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_challenge_keeps_its_end_and_who_has_read_it_before_cannot_write_it_back() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    process.records.put_user(&ann()).await.unwrap();
    let stored = process.create(Channel::Push).await;
    let sent = process.apply(&stored, &send()).await;
    let ended = process.apply(&sent, &Event::Halt { reason: Reason::UserBlocked }).await;
    let key = ended.challenge.key.clone();
    done(process.records.erase(&ann().id, "asked for").await.unwrap());

    let mut late = ended.challenge.clone();
    late.version += 1;
    let note = Note { event: "late", actor: Actor::Provider };
    let late = Transition { before: &ended, after: &late, note, line: None };
    let committed = process.records.commit(Lane::Bulk, late).await.unwrap();
    assert_eq!(committed, fleet_records::Committed::Conflict);
    let left = process.records.load(&key).await.unwrap().unwrap();
    assert_eq!(left.challenge.result(), ended.challenge.result());
    assert_eq!(
        (left.challenge.version, left.told),
        (ended.challenge.version + 1, 0),
        "it is still to be told"
    );
    assert_eq!(left.challenge.request.user, None);
    let history = process.records.history(&key).await.unwrap();
    let events: Vec<&str> = history.iter().map(|row| row.event.as_str()).collect();
    assert_eq!(events, ["accepted", "tested", "tested", "erased"]);
    assert!(matches!(history[3].detail.actor, Actor::Operator(_)));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_an_open_challenge_is_erased_once_it_has_ended() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    process.records.put_user(&ann()).await.unwrap();
    let open = process.create(Channel::Push).await;
    let id = ann().id;
    let (erasure, ()) = tokio::join!(process.records.erase(&id, "asked for"), async {
        process.apply(&open, &Event::Cancel).await;
    });
    assert_eq!(done(erasure.unwrap()).challenges, 1);

    process.records.put_user(&ann()).await.unwrap();
    process.create(Channel::Push).await;
    assert_eq!(process.records.erase(&ann().id, "asked for").await.unwrap(), Erasure::Unsettled(1));
    assert!(process.records.user(&ann().id).await.unwrap().is_some());
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_somebody_else_has_too_stays_that_persons() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let ben = NewUser { id: UserId::parse("ben").unwrap(), devices: Vec::new(), ..ann() };
    process.records.put_user(&ben).await.unwrap();
    let ann = known(&scratch, &process).await;
    process.records.seal_audit().await.unwrap();
    done(process.records.erase(&ann, "asked for").await.unwrap());
    let acts: Vec<String> = process
        .records
        .standing(&ben.id)
        .await
        .unwrap()
        .unwrap()
        .acts
        .into_iter()
        .map(|act| act.act)
        .collect();
    assert_eq!(acts, ["opted_in"]);
    fits(&process).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_was_cut_off_is_done_to_its_end_by_the_next_one() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let ann = known(&scratch, &process).await;
    process.records.seal_audit().await.unwrap();
    // The last step fails.
    scratch.sql("ALTER TABLE acts ADD CONSTRAINT cut_off CHECK (act <> 'erased')").await;
    process.records.erase(&ann, "asked for").await.unwrap_err();
    assert!(process.records.user(&ann).await.unwrap().is_some());
    fits(&process).await;
    scratch.sql("ALTER TABLE acts DROP CONSTRAINT cut_off").await;
    done(process.records.erase(&ann, "asked for").await.unwrap());
    assert!(process.records.person(&ann).await.unwrap().is_none());
    fits(&process).await;
    process.stop().await;
}
