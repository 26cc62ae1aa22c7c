//! How PostgreSQL goes about the hot statements, and what the schema promises.

use std::time::Duration;

use fleet_records::Records;
use fleet_records::testing::Scratch;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::fixtures::Process;

#[tokio::test(flavor = "multi_thread")]
async fn on_empty_partitions_every_hot_statement_goes_through_the_right_index_row_by_row() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let expected = [
        ("create", vec!["hashed SubPlan"]),
        (
            "commit",
            vec![
                "_pkey",
                "Index Cond: ((id = g.id)",
                "Index Cond: ((id = l",
                "hashed SubPlan",
                "calls_attempt",
            ],
        ),
        ("load", vec!["_pkey", "Index Cond: ((id = k.id)"]),
        ("users", vec!["users_pkey", "lockouts_pkey"]),
        ("phones", vec!["phones_pkey", "opted_out_pkey"]),
        ("devices", vec!["devices_pkey", "untested_devices_pkey"]),
        ("mark", vec!["_pkey", "Index Cond: ((id = g.id)", "Index Cond: ((id = l"]),
        ("overdue", vec!["answer_by_idx", "Index Cond: ((answer_by > $1)"]),
        ("due", vec!["calls_check_at", "calls_attempt"]),
        ("untold", vec!["_at_idx1", "_pkey", "Index Cond: ((id = a"]),
        ("open_of", vec!["user_id_idx", "Index Cond: (user_id = $0)"]),
        ("retelling", vec!["answer_by_idx", "Index Cond: ((answer_by >= $1)"]),
    ];
    for ((name, plan), (expected_name, parts)) in scratch.plans().await.into_iter().zip(expected) {
        assert_eq!(name, expected_name);
        for part in parts {
            assert!(plan.contains(part), "{name}: no {part} in\n{plan}");
        }
        for bad in ["Seq Scan on", "Hash Join", "Merge Join", "Materialize"] {
            assert!(!plan.contains(bad), "{name}: {bad} in\n{plan}");
        }
        // Yesterday's partition, and with it all older ones.
        let prunes = !["create", "due", "untold", "users", "phones", "devices"].contains(&name);
        assert!(!prunes || plan.contains("Subplans Removed: 1"), "{name}:\n{plan}");
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_empty_tables_every_statement_for_an_enrollment_request_goes_through_the_right_index() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let expected = [
        ("enrollment", vec!["enrollments_pkey"]),
        ("of_test", vec!["enrollments_test"]),
        ("open_of_user", vec!["enrollments_open"]),
        ("update", vec!["enrollments_pkey"]),
        ("due_ones", vec!["enrollments_open", "_pkey"]),
        ("untold_ones", vec!["enrollments_untold"]),
        ("to_collect", vec!["enrollments_collect_by", "Index Cond: (collect_by >= $1"]),
        ("mark_told", vec!["enrollments_pkey"]),
        ("bypasses", vec!["acts_user"]),
        ("pins", vec!["users_pkey", "earlier_pins_pkey"]),
        ("activation", vec!["activations_pkey"]),
        ("untested", vec!["untested_devices_pkey"]),
        ("activated", vec!["devices_pkey", "untested_devices_pkey"]),
        ("refresh", vec!["devices_pkey", "untested_devices_pkey"]),
        ("revoke", vec!["devices_pkey", "untested_devices_pkey"]),
    ];
    for ((name, plan), (expected_name, parts)) in scratch.enrollment_plans().await.into_iter().zip(expected) {
        assert_eq!(name, expected_name);
        for part in parts {
            assert!(plan.contains(part), "{name}: no {part} in\n{plan}");
        }
        assert!(!plan.contains("Seq Scan on"), "{name}: in\n{plan}");
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_day_from_yesterday_to_three_ahead_has_its_partitions_and_old_days_are_dropped() {
    let scratch = Scratch::new().await;
    let mut settings = scratch.settings().clone();
    settings.days_kept = 1;
    let process = Process::with(settings.clone()).await;
    let count = "SELECT count(*)::text FROM pg_inherits WHERE inhparent IN ('challenges'::regclass, 'audit'::regclass)
        AND inhrelid::regclass::text ~ '_[0-9]{8}$'";
    assert_eq!(scratch.sql(count).await, ["10"]);
    scratch
        .sql(
            "CREATE OR REPLACE FUNCTION fleet_now() RETURNS timestamptz LANGUAGE sql
        AS $$ SELECT clock_timestamp() + interval '3 days' $$",
        )
        .await;
    let later = Process::with(settings).await;
    // As many days as before, three later, and challenges a day longer: the older ones were dropped, which is an act.
    assert_eq!(scratch.sql(count).await, ["11"]);
    assert_eq!(scratch.sql("SELECT count(*) FROM acts WHERE act LIKE 'dropped %'").await, ["3"]);
    process.stop().await;
    later.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_migrate_at_once_apply_everything_once() {
    let scratch = Scratch::new().await;
    scratch.sql("DROP TABLE challenges, audit, calls, low_water, portals, phones, devices, lockouts, opted_out, acts, carriers, waiting_calls, audit_seals, audit_salts, activations, untested_devices, enrollments, spent_proofs, answers, earlier_pins, bypasses, users, refinery_schema_history CASCADE;
        DROP FUNCTION fleet_now, make_partitions, drop_partitions, first_id_of, slot_spacing, lock_carrier, take_slots,
            claim_slots").await;
    let migrated = join_all((0..4).map(|_| Records::migrate(scratch.settings()))).await;
    let mut applied: Vec<usize> = migrated.into_iter().map(|names| names.unwrap().len()).collect();
    applied.sort_unstable();
    let known = scratch.sql("SELECT count(*) FROM refinery_schema_history").await;
    assert_eq!((&applied[..3], applied[3].to_string()), (&[0; 3][..], known[0].clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_follows_fleet_now() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    assert!(process.context.clock.offset().abs() < 200_000, "one machine has one clock");
    scratch
        .sql(
            "CREATE OR REPLACE FUNCTION fleet_now() RETURNS timestamptz LANGUAGE sql
        AS $$ SELECT clock_timestamp() + interval '1 hour' $$",
        )
        .await;
    let hour = 3_600_000_000;
    let begun = Instant::now();
    while (process.context.clock.offset() - hour).abs() > 200_000 {
        assert!(begun.elapsed() < Duration::from_secs(5), "{}", process.context.clock.offset());
        tokio::task::yield_now().await;
    }
    process.stop().await;
}
