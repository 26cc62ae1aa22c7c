//! What a change of an enrollment stores: all of it in the commit that makes its request `enrolled`, or nothing.

use fleet_domain::{
    Authority, Change, Channel, DeviceId, EnrollmentEvent, EnrollmentReason, EnrollmentResult, Factor,
    PhoneRole, StoredAnswer, UserId, Wanted, step_enrollment,
};
use fleet_records::testing::Scratch;
use fleet_records::{CommittedEnrollment, ErrorClass, GuessLimit, OpenedEnrollment};
use futures_util::future::join_all;

use crate::enrollments::{phone, user_of};
use crate::fixtures::{Process, ann, device_id};

fn answer(question: &str, hash: &str) -> StoredAnswer {
    StoredAnswer { question: question.into(), hash: hash.into() }
}

/// Everything that is stored of users.
async fn everything(scratch: &Scratch) -> Vec<String> {
    let tables = ["users", "phones", "devices", "answers", "earlier_pins", "bypasses", "lockouts"];
    let rows = tables.map(|table| format!("SELECT '{table}' || row_to_json(t)::text FROM {table} t"));
    scratch.sql(&format!("{} ORDER BY 1", rows.join(" UNION ALL "))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrollment_stores_method_phones_pin_and_answers_in_one_commit_and_not_before() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let user = UserId::parse("newcomer").unwrap();
    let wanted = Wanted {
        method: Some(Channel::Voice),
        phone: Some(phone(&process, &user, PhoneRole::Primary, "+19195550102")),
        backup: Some(phone(&process, &user, PhoneRole::Backup, "+19195550103")),
        pin: Some("a hash".into()),
        answers: vec![answer("street", "hash 1"), answer("pet", "hash 2")],
        ..Wanted::default()
    };
    let new = process.ask_for(&user, Change::Enroll, wanted).await;
    process.store(&new).await;
    let passed = process.pass(&new).await;
    assert_eq!(everything(&scratch).await, Vec::<String>::new(), "nothing before it takes effect");
    process.next(&passed, &EnrollmentEvent::Apply).await;
    let stored = user_of(&process, &user).await.unwrap();
    assert_eq!((stored.method, stored.has_pin, stored.phones.len()), (Channel::Voice, true, 2));
    let verified: Vec<_> = stored.phones.iter().map(|phone| (phone.role, phone.verified)).collect();
    assert_eq!(verified, [(PhoneRole::Primary, true), (PhoneRole::Backup, false)]);
    let (number, _) = process.records.reveal(&user, &stored.phones[1]).unwrap();
    assert_eq!(number.e164(), "+19195550103");
    assert_eq!(process.records.account(&user).await.unwrap().questions, ["pet", "street"]);
    let acts =
        scratch.sql("SELECT act || ' by ' || actor || ' for ' || reason FROM acts ORDER BY version").await;
    assert_eq!(
        acts,
        [
            "enroll awaiting_test by operator pat at operations for asked at the desk",
            "enroll test_passed by operator pat at operations for asked at the desk",
            "enroll enrolled by operator pat at operations for ok: asked at the desk",
        ]
    );
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_which_one_part_cant_be_stored_stores_nothing_and_its_request_goes_on_to_fail() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    process.records.put_user(&ann()).await.unwrap();
    let other = UserId::parse("ben").unwrap();
    let before = everything(&scratch).await;
    let good = || phone(&process, &ann().id, PhoneRole::Primary, "+19195550102");
    for wanted in [
        // Sealed for somebody else, so that nobody can read it.
        Wanted {
            phone: Some(phone(&process, &other, PhoneRole::Primary, "+19195550102")),
            ..Wanted::default()
        },
        // The second answer finds the first one in its place, after phone and PIN were stored.
        Wanted {
            phone: Some(good()),
            pin: Some("a hash".into()),
            answers: vec![answer("street", "hash 1"), answer("street", "hash 2")],
            ..Wanted::default()
        },
        // PostgreSQL takes no text with this in it.
        Wanted { phone: Some(good()), pin: Some("a \0 hash".into()), ..Wanted::default() },
    ] {
        let wanted = Wanted { method: Some(Channel::Voice), ..wanted };
        let new = process.ask(Change::Enroll, wanted).await;
        process.store(&new).await;
        let passed = process.pass(&new).await;
        let done = step_enrollment(&passed, &EnrollmentEvent::Apply, process.now()).unwrap();
        let error = process.records.commit_enrollment(&passed, &done).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Culprit, "{error}");
        assert!(!error.to_string().contains("hash"), "{error}");
        assert_eq!(everything(&scratch).await, before);
        assert_eq!(process.stored(&new).await.enrollment, passed, "the request's row stays");
        let failed = process.next(&passed, &EnrollmentEvent::Fail).await;
        assert_eq!(failed.live.end.unwrap().reason, EnrollmentReason::Internal);
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_pins_are_kept_the_newest_first_and_no_more_than_two_dozen() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    records.put_user(&ann()).await.unwrap();
    for number in 0..30 {
        let pin = Some(format!("hash {number}"));
        let done = process.change(Change::Pin, Wanted { pin, ..Wanted::default() }).await;
        assert_eq!(done.result(), EnrollmentResult::Done);
    }
    let pins = records.pins(&ann().id, 3).await.unwrap();
    let pins: Vec<&str> = pins.iter().map(fleet_keys::PinHash::as_str).collect();
    assert_eq!(pins, ["hash 29", "hash 28", "hash 27", "hash 26"], "the user's own, and three before it");
    assert_eq!(records.pins(&ann().id, 200).await.unwrap().len(), 1 + 24);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_answers_take_the_place_of_all_old_ones_and_forget_wrong_guesses() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    records.put_user(&ann()).await.unwrap();
    let answers = |questions: &[&str]| Wanted {
        answers: questions.iter().map(|question| answer(question, "hash")).collect(),
        ..Wanted::default()
    };
    process.change(Change::Questions, answers(&["street", "pet"])).await;
    let limit = GuessLimit { calls: 3, lock_for: std::time::Duration::from_hours(1) };
    for _ in 0..3 {
        records.count_guess(&ann().id, Factor::Answers, limit).await.unwrap();
    }
    assert!(records.account(&ann().id).await.unwrap().answers_locked_until.is_some());
    process.change(Change::Questions, answers(&["book", "city"])).await;
    let account = records.account(&ann().id).await.unwrap();
    assert_eq!((account.questions, account.answers_locked_until), (vec!["book".into(), "city".into()], None));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_backup_block_and_lockouts_are_changed_as_asked_and_nothing_else() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let mut new = ann();
    let second = DeviceId::parse("0192f6a0-0000-7000-8000-000000000002").unwrap();
    new.devices.push(fleet_records::NewDevice {
        id: second,
        alg: fleet_records::DeviceAlg::EdDsa,
        public_key: vec![2; 32],
        push_token: None,
        totp: None,
    });
    new.phones.push(fleet_records::NewPhone { role: PhoneRole::Backup, ..ann().phones.remove(0) });
    records.put_user(&new).await.unwrap();
    process.change(Change::DeviceRevoke, Wanted { device: Some(second), ..Wanted::default() }).await;
    let devices = user_of(&process, &ann().id).await.unwrap().devices;
    assert_eq!(devices.iter().map(|device| device.id).collect::<Vec<_>>(), [device_id()]);
    process.change(Change::DeviceLost, Wanted::default()).await;
    assert!(user_of(&process, &ann().id).await.unwrap().devices.is_empty());
    let tokens = scratch.sql("SELECT count(push_token) FROM devices").await;
    assert_eq!(tokens, ["0"], "nothing is pushed to them any more");

    assert_eq!(user_of(&process, &ann().id).await.unwrap().phones.len(), 2);
    process.change(Change::PhoneRemove, Wanted::default()).await;
    assert_eq!(user_of(&process, &ann().id).await.unwrap().phones.len(), 1);

    let limit = GuessLimit { calls: 1, lock_for: std::time::Duration::from_hours(1) };
    records.count_guess(&ann().id, Factor::Pin, limit).await.unwrap();
    process.change(Change::Block, Wanted::default()).await;
    let blocked = user_of(&process, &ann().id).await.unwrap();
    assert!(blocked.blocked && blocked.pin_locked_until.is_some());
    process.change(Change::Unblock, Wanted::default()).await;
    let unblocked = user_of(&process, &ann().id).await.unwrap();
    assert!(!unblocked.blocked && unblocked.pin_locked_until.is_none());
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_leaves_no_row_behind_but_the_acts() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    process.records.put_user(&ann()).await.unwrap();
    process
        .change(Change::Questions, Wanted { answers: vec![answer("pet", "hash")], ..Wanted::default() })
        .await;
    for pin in ["hash 1", "hash 2"] {
        process.change(Change::Pin, Wanted { pin: Some(pin.into()), ..Wanted::default() }).await;
    }
    process.change(Change::Bypass, Wanted { seconds: Some(300), ..Wanted::default() }).await;
    process.change(Change::Delete, Wanted::default()).await;
    assert_eq!(everything(&scratch).await, Vec::<String>::new());
    assert_eq!(
        scratch.sql("SELECT act FROM acts ORDER BY at DESC, version DESC LIMIT 1").await,
        ["delete enrolled"]
    );
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bypass_is_taken_by_exactly_one_of_many_at_once_counts_against_the_years_and_ends_by_its_time() {
    let scratch = Scratch::new().await;
    let processes = [Process::start(&scratch).await, Process::start(&scratch).await];
    processes[0].records.put_user(&ann()).await.unwrap();
    let user = ann().id;
    for given in 1..=2_u8 {
        processes[0].change(Change::Bypass, Wanted { seconds: Some(300), ..Wanted::default() }).await;
        let asking = (0..20).map(|number| processes[number % 2].records.take_bypass(&user));
        let taken: Vec<bool> = join_all(asking).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
        assert_eq!(processes[0].records.account(&user).await.unwrap().bypasses, given);
    }
    processes[0].change(Change::Bypass, Wanted { seconds: Some(300), ..Wanted::default() }).await;
    scratch.sql("UPDATE bypasses SET until = fleet_now() - interval '1 microsecond'").await;
    assert!(!processes[0].records.take_bypass(&user).await.unwrap(), "its time is over");
    assert!(!user_of(&processes[0], &user).await.unwrap().bypass);
    for process in processes {
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_user_who_was_deleted_meanwhile_brings_nobody_back() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    process.records.put_user(&ann()).await.unwrap();
    let new = process.ask_for_phone("+19195550102").await;
    let opened = process.records.open_enrollment(&new, fleet_records::Beside::default()).await.unwrap();
    assert_eq!(opened, OpenedEnrollment::New);
    let passed = process.pass(&new).await;
    scratch.sql("DELETE FROM users").await;
    let done = step_enrollment(&passed, &EnrollmentEvent::Apply, process.now()).unwrap();
    let error = process.records.commit_enrollment(&passed, &done).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Culprit);
    assert_eq!(everything(&scratch).await, Vec::<String>::new());
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_takes_effect_only_while_what_allowed_it_still_holds() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let stored = CommittedEnrollment::Stored;
    for (meanwhile, authority, expected) in [
        ("blocked = true", Authority::SignIn, CommittedEnrollment::Unfit(EnrollmentReason::LockedOut)),
        ("blocked = true", Authority::Operator, stored),
        ("blocked = true, blocked_until = fleet_now() - interval '1 second'", Authority::SignIn, stored),
        (
            "audience = 'others'",
            Authority::SignIn,
            CommittedEnrollment::Unfit(EnrollmentReason::NotPermitted),
        ),
    ] {
        records.put_user(&ann()).await.unwrap();
        scratch.sql("UPDATE users SET blocked = false, blocked_until = NULL").await;
        let mut new = process.ask_for_phone("+19195550102").await;
        std::sync::Arc::make_mut(&mut new.request).authority = authority;
        process.store(&new).await;
        let passed = process.pass(&new).await;
        scratch.sql(&format!("UPDATE users SET {meanwhile}")).await;
        let done = step_enrollment(&passed, &EnrollmentEvent::Apply, process.now()).unwrap();
        let before = everything(&scratch).await;
        assert_eq!(records.commit_enrollment(&passed, &done).await.unwrap(), expected, "{meanwhile}");
        if let CommittedEnrollment::Unfit(reason) = expected {
            assert_eq!(everything(&scratch).await, before, "{meanwhile}");
            let due = records.due_enrollments(process.now(), 10).await.unwrap();
            assert_eq!(due.len(), 1, "whoever looks for what is due finds it");
            let refused = process.next(&passed, &EnrollmentEvent::Refuse(reason)).await;
            assert_eq!(refused.result(), EnrollmentResult::Refused);
        }
    }
    process.stop().await;
}
