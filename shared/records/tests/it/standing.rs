//! PINs and their lockouts, blocked users, numbers that opted out.

use std::time::Duration;

use fleet_domain::{Channel, Factor, PhoneRole, Timestamp, UserId};
use fleet_keys::{Keys, Pin};
use fleet_records::testing::Scratch;
use fleet_records::{Cause, Guess, GuessLimit};
use futures_util::future::join_all;

use crate::fixtures::{Process, ann, challenge, number};

const LIMIT: GuessLimit = GuessLimit { calls: 5, lock_for: Duration::from_mins(15) };

async fn with_pin(process: &Process) -> UserId {
    let ann = ann();
    process.records.put_user(&ann).await.unwrap();
    let hash = Keys::for_tests().hash_pin("ann", &Pin::parse("8250").unwrap());
    process.records.set_pins(&[(ann.id.clone(), Some(hash))]).await.unwrap();
    ann.id
}

fn may_be_compared(guess: &Guess) -> bool {
    match guess {
        Guess::Compare { hash, set_at } => {
            assert!(Keys::for_tests().pin_matches("ann", "8250", hash));
            assert!(*set_at > Timestamp::default());
            true
        }
        Guess::LockedOut => false,
        Guess::NoPin => panic!("the user has a PIN"),
    }
}

/// Moves the database's clock for good: the lockouts' times are its own.
async fn move_clock(scratch: &Scratch, by: &str) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION fleet_now() RETURNS timestamptz LANGUAGE sql
         AS $$ SELECT clock_timestamp() + interval '{by}' $$"
    );
    scratch.sql(&sql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_is_stored_as_its_hash_and_removed() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let ann = with_pin(&process).await;
    assert!(records.user(&ann).await.unwrap().unwrap().has_pin);
    assert!(may_be_compared(&records.take_guess(&ann, None).await.unwrap()));
    let stored = scratch.sql("SELECT u::text FROM users u").await;
    assert!(stored[0].contains("argon2id") && !stored[0].contains("8250"), "{stored:?}");
    records.put_user(&crate::fixtures::ann()).await.unwrap();
    assert!(records.user(&ann).await.unwrap().unwrap().has_pin, "who is stored again keeps the PIN");
    records.set_pins(&[(ann.clone(), None)]).await.unwrap();
    assert!(!records.user(&ann).await.unwrap().unwrap().has_pin);
    assert_eq!(records.take_guess(&ann, Some(LIMIT)).await.unwrap(), Guess::NoPin);
    let stranger = UserId::parse("stranger").unwrap();
    assert_eq!(records.take_guess(&stranger, Some(LIMIT)).await.unwrap(), Guess::NoPin);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_concurrent_calls_begin_to_guess_exactly_as_often_as_allowed() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let ann = with_pin(&process).await;
    let guesses = join_all((0..40).map(|_| process.records.take_guess(&ann, Some(LIMIT)))).await;
    let allowed = guesses.iter().filter(|guess| may_be_compared(guess.as_ref().unwrap())).count();
    assert_eq!(allowed, 5);
    assert!(
        may_be_compared(&process.records.take_guess(&ann, None).await.unwrap()),
        "a call that was counted goes on"
    );
    let standing = process.records.standing(&ann).await.unwrap().unwrap();
    assert_eq!(standing.wrong_calls, 5);
    let left = standing.pin_locked_until.unwrap().since(process.now());
    assert!(left > Duration::from_mins(14) && left <= Duration::from_mins(15), "{left:?}");
    assert_eq!(
        process.records.user(&ann).await.unwrap().unwrap().pin_locked_until,
        standing.pin_locked_until
    );
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_a_lockout_ends_by_itself_by_a_right_answer_by_help_desk_and_by_a_new_pin() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let ann = with_pin(&process).await;
    let lock = async || {
        for _ in 0..5 {
            assert!(may_be_compared(&records.take_guess(&ann, Some(LIMIT)).await.unwrap()));
        }
        assert!(!may_be_compared(&records.take_guess(&ann, Some(LIMIT)).await.unwrap()));
    };
    lock().await;
    records.forget_wrong(&ann, Factor::Pin).await.unwrap();
    lock().await;
    assert!(records.unblock(&ann, &Cause::operator("it was she")).await.unwrap());
    lock().await;
    with_pin(&process).await;
    lock().await;
    move_clock(&scratch, "14 minutes").await;
    assert!(!may_be_compared(&records.take_guess(&ann, Some(LIMIT)).await.unwrap()));
    move_clock(&scratch, "16 minutes").await;
    lock().await;
    // Who waits and goes on guessing waits twice as long each time.
    for (locked, over) in [("45 minutes", "47 minutes"), ("106 minutes", "108 minutes")] {
        move_clock(&scratch, locked).await;
        assert!(!may_be_compared(&records.take_guess(&ann, Some(LIMIT)).await.unwrap()), "{locked}");
        move_clock(&scratch, over).await;
        lock().await;
    }
    assert_eq!(records.standing(&ann).await.unwrap().unwrap().wrong_calls, 20);
    records.forget_wrong(&ann, Factor::Pin).await.unwrap();
    lock().await;
    move_clock(&scratch, "124 minutes").await;
    lock().await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r6_a_block_is_an_act_of_somebody_and_ends_by_its_time_or_by_help_desk() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let ann = with_pin(&process).await;
    let blocked = async || records.user(&ann).await.unwrap().unwrap().blocked;
    let in_an_hour = process.now().plus(Duration::from_hours(1));

    assert!(records.block(&ann, Some(in_an_hour), &Cause::operator("lost phone")).await.unwrap());
    assert!(blocked().await);
    let standing = records.standing(&ann).await.unwrap().unwrap();
    assert_eq!(standing.blocked_until, Some(in_an_hour));
    let act = &standing.acts[0];
    assert_eq!(
        (act.act.as_str(), act.reason.as_str(), act.until),
        ("blocked", "lost phone", Some(in_an_hour))
    );
    let login = scratch.sql("SELECT session_user").await.remove(0);
    assert_eq!(act.actor, format!("operator {login}"));

    move_clock(&scratch, "61 minutes").await;
    assert!(!blocked().await, "it ends by itself");
    assert!(records.block(&ann, None, &Cause::operator("stolen")).await.unwrap());
    move_clock(&scratch, "400 days").await;
    assert!(blocked().await);
    assert!(records.unblock(&ann, &Cause::operator("found")).await.unwrap());
    assert!(!blocked().await);
    let stranger = UserId::parse("stranger").unwrap();
    assert!(!records.block(&stranger, None, &Cause::operator("x")).await.unwrap());
    assert!(!records.unblock(&stranger, &Cause::operator("x")).await.unwrap());
    assert_eq!(records.standing(&stranger).await.unwrap(), None);
    let acts: Vec<String> =
        records.standing(&ann).await.unwrap().unwrap().acts.into_iter().map(|a| a.act).collect();
    assert_eq!(acts, ["blocked", "blocked", "unblocked"]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_a_report_blocks_once_however_often_it_is_told_and_never_shortens_a_block() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let ann = with_pin(&process).await;
    let key = challenge(Channel::Voice, process.now(), None).key;
    let cause = Cause::person(&key, "fraud reported");
    let until = Some(process.now().plus(Duration::from_hours(24)));
    assert!(records.block(&ann, until, &cause).await.unwrap());
    records.unblock(&ann, &Cause::operator("a mistake")).await.unwrap();
    assert!(!records.block(&ann, until, &cause).await.unwrap(), "told again");
    assert!(!records.user(&ann).await.unwrap().unwrap().blocked);

    records.block(&ann, None, &Cause::operator("for good")).await.unwrap();
    let again = challenge(Channel::Voice, process.now(), None).key;
    assert!(records.block(&ann, until, &Cause::person(&again, "fraud reported")).await.unwrap());
    assert_eq!(records.standing(&ann).await.unwrap().unwrap().blocked_until, None);
    let third = challenge(Channel::Voice, process.now(), None).key;
    assert!(records.leave_unblocked(&ann, &Cause::person(&third, "fraud reported")).await.unwrap());
    assert!(!records.leave_unblocked(&ann, &Cause::person(&third, "fraud reported")).await.unwrap());
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_number_that_opted_out_is_opted_out_for_whoever_has_it_until_help_desk_opts_it_in() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    let ann = with_pin(&process).await;
    let ben = fleet_records::NewUser {
        id: UserId::parse("ben").unwrap(),
        devices: Vec::new(),
        ..crate::fixtures::ann()
    };
    records.put_user(&ben).await.unwrap();
    let opted_out = async |id: &UserId| records.user(id).await.unwrap().unwrap().opted_out;
    let phone = records.user(&ann).await.unwrap().unwrap().phones.remove(0);
    let key = challenge(Channel::Voice, process.now(), None).key;
    let cause = Cause::person(&key, "asked in a call");
    assert!(records.opt_out(&ann, &phone, &cause).await.unwrap());
    assert_eq!(opted_out(&ann).await, [PhoneRole::Primary]);
    assert_eq!(opted_out(&ben.id).await, [PhoneRole::Primary]);
    let at_rest = scratch.sql("SELECT o::text FROM opted_out o UNION ALL SELECT a::text FROM acts a").await;
    assert!(at_rest.iter().all(|row| !row.contains("5550100")), "{at_rest:?}");

    assert!(records.opt_in(&number(), &Cause::operator("she asked for it")).await.unwrap());
    assert!(!records.opt_in(&number(), &Cause::operator("again")).await.unwrap());
    assert_eq!(opted_out(&ben.id).await, []);
    assert!(!records.opt_out(&ann, &phone, &cause).await.unwrap(), "told again");
    assert_eq!(opted_out(&ann).await, []);
    let acts = records.standing(&ben.id).await.unwrap().unwrap().acts;
    assert_eq!(acts.iter().map(|act| act.act.as_str()).collect::<Vec<_>>(), ["opted_out", "opted_in"]);
    assert_eq!(acts[1].masked.as_deref(), Some("+1919*****00"));
    process.stop().await;
}
