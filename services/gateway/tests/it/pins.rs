//! What a person keys in a call beyond the one key: PINs, numbers after them, and commands.

use std::time::Duration;

use fleet_domain::{Assurance, ChallengeKey, Channel, PinRule, Policy, Reason, UserId};
use fleet_keys::{Keys, Pin};
use fleet_records::Guess;
use futures_util::future::join_all;

use crate::calls::{gather, status_url, twiml_url, verbs};
use crate::support::{Fleet, Reply, by};

const PIN: &str = "8250";

fn with_pin() -> Policy {
    Policy { pin: PinRule::Required, ..Policy::default() }
}

async fn enroll(fleet: &Fleet) -> UserId {
    let ada = fleet.enroll("ada", &[]).await;
    let hash = Keys::for_tests().hash_pin("ada", &Pin::parse(PIN).unwrap());
    fleet.engine.records().set_pins(&[(ada.clone(), Some(hash))]).await.unwrap();
    ada
}

/// A call to ada under this policy, at its first prompt: the challenge, and where the keys go.
async fn prompted(
    fleet: &Fleet,
    policy: Policy,
    number: Option<&str>,
) -> (ChallengeKey, String, Vec<String>) {
    fleet.policy(policy).await;
    let ada = enroll(fleet).await;
    let key = fleet.challenge(&ada, &[by(Channel::Voice)], number).await;
    fleet.dial(&key).await;
    let (input, said) = gather(&fleet.call(&twiml_url(fleet, &key), &[]).await);
    (key, input, said)
}

async fn press(fleet: &Fleet, input: &str, digits: &str) -> Reply {
    let reply = fleet.call(input, &[("Digits", digits), ("FinishedOnKey", "#")]).await;
    assert!(!reply.body.contains(PIN), "a PIN never goes to the carrier");
    reply
}

async fn ended(fleet: &Fleet, key: &ChallengeKey) -> (Reason, Option<Assurance>) {
    let end = fleet.stored(key).await.live.end.expect("it has ended");
    (end.reason, end.assurance)
}

fn pins(fleet: &Fleet, finding: &str) -> u64 {
    fleet.metric(&format!("mfa_gateway_pins_total{{finding=\"{finding}\"}}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_the_right_pin_approves_and_forgets_the_wrong_ones_before() {
    let fleet = Fleet::start().await;
    let (key, input, said) = prompted(&fleet, with_pin(), None).await;
    assert_eq!(said[1], "Enter your PIN, then press the pound key.");
    let (input, said) = gather(&press(&fleet, &input, "1234").await);
    assert_eq!(said[0], "Sorry, that was not what we need.");
    let standing = fleet.engine.records().standing(&UserId::parse("ada").unwrap()).await.unwrap().unwrap();
    assert_eq!(standing.wrong_calls, 1);
    let (input, _) = gather(&press(&fleet, &input, "").await);
    let last = press(&fleet, &input, PIN).await;
    assert_eq!(verbs(&last)[0].1, "Thank you. You are confirmed. Goodbye.");
    assert_eq!(ended(&fleet, &key).await, (Reason::OkPin, Some(Assurance::Pin)));
    assert_eq!((pins(&fleet, "wrong"), pins(&fleet, "right")), (1, 1));
    let standing = fleet.engine.records().standing(&UserId::parse("ada").unwrap()).await.unwrap().unwrap();
    assert_eq!(standing.wrong_calls, 0);
    assert_eq!(press(&fleet, &input, PIN).await.body, last.body, "a replay is the goodbye again");
    assert_eq!(pins(&fleet, "right"), 1, "and compares nothing");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_pin_is_replaced_by_our_own_hash_at_the_first_right_answer() {
    // Made of 8250 by Python's bcrypt.
    const IMPORTED: &str = "$2b$05$jjopjJOVmLhVGa4NiHMv0ubHZAo99C4pSxqi2zMHZzNo7vfcvQSXO";
    let fleet = Fleet::start().await;
    let (key, input, _) = prompted(&fleet, with_pin(), None).await;
    let ada = UserId::parse("ada").unwrap();
    let imported = Keys::for_tests().imported_pin("ada", IMPORTED).unwrap();
    fleet.engine.records().set_pins(&[(ada.clone(), Some(imported.clone()))]).await.unwrap();
    let stored = async || match fleet.engine.records().take_guess(&ada, None).await.unwrap() {
        Guess::Compare { hash, set_at } => (hash, set_at),
        other @ (Guess::LockedOut | Guess::NoPin) => panic!("{other:?}"),
    };
    let (_, set_at) = stored().await;
    let (input, _) = gather(&press(&fleet, &input, "8251").await);
    assert_eq!(stored().await.0, imported, "a wrong one changes nothing");
    press(&fleet, &input, PIN).await;
    assert_eq!(ended(&fleet, &key).await, (Reason::OkPin, Some(Assurance::Pin)));
    let (hash, still_set_at) = stored().await;
    assert!(!hash.needs_rehash() && Keys::for_tests().pin_matches("ada", PIN, &hash));
    assert_eq!(still_set_at, set_at, "it is the same PIN, and as old");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_three_wrong_pins_deny_and_count_as_one_wrong_call() {
    let fleet = Fleet::start().await;
    let (key, mut input, _) = prompted(&fleet, with_pin(), None).await;
    for digits in ["1234", "1"] {
        (input, _) = gather(&press(&fleet, &input, digits).await);
    }
    let last = verbs(&press(&fleet, &input, "82500").await);
    assert_eq!(
        (last[0].1.as_str(), last.last().unwrap().0.as_str()),
        ("That was not your PIN. If this is you, please sign in again. Goodbye.", "Hangup")
    );
    assert_eq!(ended(&fleet, &key).await, (Reason::PinMismatch, None));
    let standing = fleet.engine.records().standing(&UserId::parse("ada").unwrap()).await.unwrap().unwrap();
    assert_eq!(standing.wrong_calls, 1);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s16_a_pin_without_its_pound_key_is_asked_for_again_and_then_denied() {
    let fleet = Fleet::start().await;
    let (key, mut input, _) = prompted(&fleet, with_pin(), None).await;
    for _ in 0..2 {
        (input, _) = gather(&fleet.call(&input, &[("Digits", PIN), ("FinishedOnKey", "")]).await);
    }
    let last = verbs(&fleet.call(&input, &[("Digits", PIN), ("FinishedOnKey", "")]).await);
    assert_eq!(last[0].1, "Nothing was confirmed. If this is you, please sign in again. Goodbye.");
    assert_eq!(ended(&fleet, &key).await, (Reason::TerminatorMissing, None));
    assert_eq!(pins(&fleet, "right"), 0, "nothing was compared");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s16_the_pound_key_alone_does_not_pass_where_a_pin_is_due() {
    let fleet = Fleet::start().await;
    let (key, mut input, _) = prompted(&fleet, with_pin(), None).await;
    for _ in 0..2 {
        (input, _) = gather(&press(&fleet, &input, "").await);
    }
    press(&fleet, &input, "").await;
    assert_eq!(ended(&fleet, &key).await, (Reason::NoInput, None));
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_is_asked_for_after_the_pin_and_both_are_named() {
    let fleet = Fleet::start().await;
    let (key, input, said) = prompted(&fleet, with_pin(), Some("42")).await;
    assert_eq!(said[1], "Enter your PIN, then press the pound key.");
    let (input, _) = gather(&press(&fleet, &input, "42").await);
    let (input, said) = gather(&press(&fleet, &input, PIN).await);
    assert_eq!(said, ["Enter the number on your screen, then press the pound key."]);
    let (input, _) = gather(&press(&fleet, &input, "43").await);
    assert_eq!(fleet.stored(&key).await.live.tries, 2, "a right PIN is no wrong answer");
    press(&fleet, &input, "42").await;
    assert_eq!(ended(&fleet, &key).await, (Reason::OkNumberMatch, Some(Assurance::PinNumberMatch)));
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_is_too_old_is_told_so_only_to_whoever_knows_it() {
    let fleet = Fleet::start().await;
    let (key, input, _) = prompted(&fleet, Policy { pin_days: 30, ..with_pin() }, None).await;
    let scratch = fleet.scratch.as_ref().unwrap();
    scratch.sql("UPDATE users SET pin_set_at = fleet_now() - interval '31 days'").await;
    let (input, _) = gather(&press(&fleet, &input, "1234").await);
    assert_eq!(
        verbs(&press(&fleet, &input, PIN).await)[0].1,
        "Your PIN is too old. Please set a new one in the portal. Goodbye."
    );
    assert_eq!(ended(&fleet, &key).await, (Reason::PinExpired, None));
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_over_the_last_pin_has_burned_it() {
    let fleet = Fleet::start().await;
    let (key, mut input, _) = prompted(&fleet, with_pin(), None).await;
    for _ in 0..2 {
        (input, _) = gather(&press(&fleet, &input, "1234").await);
    }
    fleet.apply(&key, fleet_domain::Event::PinKeyed { attempt: 1, round: 3 }).await;
    for url in [&input, &twiml_url(&fleet, &key)] {
        assert_eq!(verbs(&press(&fleet, url, PIN).await), [("Hangup".to_owned(), String::new())]);
    }
    assert!(fleet.stored(&key).await.is_open());
    fleet.call(&status_url(&fleet, &key), &[("CallStatus", "completed")]).await;
    assert_eq!(ended(&fleet, &key).await, (Reason::PinMismatch, None));
    fleet.end().await;
}

/// Calls to one user, each from a number of its own, all at their first prompt.
async fn calls_at_once(
    fleet: &Fleet,
    ada: &UserId,
    numbers: std::ops::Range<u8>,
) -> Vec<(ChallengeKey, String)> {
    let mut calls = Vec::new();
    for n in numbers {
        let key = fleet.challenge(ada, &[by(Channel::Voice)], None).await;
        fleet.dial_line(&key, (true, &format!("+150055501{n:02}"))).await;
        let (input, _) = gather(&fleet.call(&twiml_url(fleet, &key), &[]).await);
        calls.push((key, input));
    }
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_gateways_that_guess_at_one_pin_compare_exactly_as_many_as_allowed() {
    let first = Fleet::start().await;
    first.policy(with_pin()).await;
    let mut gateways = Vec::new();
    for _ in 0..7 {
        gateways.push(first.beside().await);
    }
    gateways.push(first);
    let fleet = gateways.last().unwrap();
    // One call, guessed at by all at once, again and again: three tries, whoever has them.
    let ada = enroll(fleet).await;
    let (_, input) = calls_at_once(fleet, &ada, 0..1).await.remove(0);
    for round in [1, 2, 3, 3, 1] {
        let url = input.replace("/input/1", &format!("/input/{round}"));
        join_all(gateways.iter().enumerate().map(|(n, gateway)| {
            let url = &url;
            async move { press(gateway, url, &format!("{n}{round}00")).await }
        }))
        .await;
    }
    let compared = |finding| gateways.iter().map(|gateway| pins(gateway, finding)).sum::<u64>();
    assert_eq!((compared("wrong"), compared("right"), compared("locked_out")), (3, 0, 0));

    // Fourteen more calls of the same user at once. Four of them begin before the PIN is locked.
    let calls = calls_at_once(fleet, &ada, 1..15).await;
    join_all(calls.iter().enumerate().map(|(n, (_, input))| {
        let gateways = &gateways;
        async move {
            let mut input = input.clone();
            for guess in 0..3 {
                let gateway = &gateways[(n + guess) % gateways.len()];
                let reply = press(gateway, &input, &format!("{n:02}{guess:02}")).await;
                if !reply.body.contains("<Gather") {
                    return;
                }
                (input, _) = gather(&reply);
            }
        }
    }))
    .await;
    assert_eq!((compared("wrong"), compared("right"), compared("locked_out")), (5 * 3, 0, 10));
    let mut reasons = Vec::new();
    for (key, _) in &calls {
        reasons.push(ended(fleet, key).await.0);
    }
    assert_eq!(reasons.iter().filter(|reason| **reason == Reason::LockedOut).count(), 10);
    assert_eq!(reasons.iter().filter(|reason| **reason == Reason::PinMismatch).count(), 4);

    // The right PIN opens nothing now, and nobody is called for it.
    let ada = fleet.engine.records().user(&ada).await.unwrap().unwrap();
    assert!(ada.pin_locked_until.unwrap().since(fleet.engine.now()) > Duration::from_mins(14));
    for gateway in gateways {
        gateway.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_fraud_is_reported_and_confirmed_before_a_pin_and_after_it() {
    for digits in [None, Some(PIN)] {
        let fleet = Fleet::start().await;
        let (key, mut input, _) = prompted(&fleet, with_pin(), Some("42")).await;
        let other = fleet.challenge(&UserId::parse("ada").unwrap(), &[by(Channel::Voice)], Some("42")).await;
        if let Some(digits) = digits {
            (input, _) = gather(&press(&fleet, &input, digits).await);
        }
        let (input, said) = gather(&press(&fleet, &input, "0").await);
        assert_eq!(said[0], "To report that somebody else is signing in, press 1, then the pound key.");
        let (input, _) = gather(&press(&fleet, &input, "").await);
        assert!(fleet.stored(&key).await.is_open(), "it was not confirmed");
        let (input, _) = gather(&press(&fleet, &input, "0").await);
        assert_eq!(
            verbs(&press(&fleet, &input, "1").await)[0].1,
            "Your report was taken. This sign-in was stopped. Goodbye."
        );
        assert_eq!(ended(&fleet, &key).await, (Reason::FraudReported, None));

        let records = fleet.engine.records();
        let ada = UserId::parse("ada").unwrap();
        let began = tokio::time::Instant::now();
        while fleet.stored(&other).await.is_open() {
            assert!(began.elapsed() < Duration::from_secs(20), "the other challenge goes on");
        }
        assert_eq!(ended(&fleet, &other).await, (Reason::UserBlocked, None));
        let standing = records.standing(&ada).await.unwrap().unwrap();
        assert!(standing.blocked);
        let days = standing.blocked_until.unwrap().since(fleet.engine.now()).as_secs() / 86_400;
        assert_eq!(days, 89);
        assert_eq!((standing.acts[0].act.as_str(), standing.acts[0].actor.as_str()), ("blocked", "person"));
        assert_eq!(fleet.metric("mfa_fraud_reports_total{channel=\"voice\",done=\"blocked\"}"), 1);
        fleet.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_where_the_policy_does_not_block_the_report_is_kept_and_nothing_else_ends() {
    let fleet = Fleet::start().await;
    let policy = Policy { fraud_block_days: 0, ..Policy::default() };
    let (key, input, _) = prompted(&fleet, policy, None).await;
    let ada = UserId::parse("ada").unwrap();
    let other = fleet.challenge(&ada, &[by(Channel::Voice)], None).await;
    let (input, _) = gather(&press(&fleet, &input, "0").await);
    press(&fleet, &input, "1").await;
    assert_eq!(ended(&fleet, &key).await, (Reason::FraudReported, None));
    fleet
        .until(|fleet| fleet.metric("mfa_fraud_reports_total{channel=\"voice\",done=\"not_blocked\"}") == 1)
        .await;
    let standing = fleet.engine.records().standing(&ada).await.unwrap().unwrap();
    assert!(!standing.blocked);
    assert_eq!(standing.acts.iter().map(|act| act.act.as_str()).collect::<Vec<_>>(), ["not_blocked"]);
    assert!(fleet.stored(&other).await.is_open());
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a9_a_number_is_never_called_again_once_that_is_confirmed() {
    let fleet = Fleet::start().await;
    let (key, input, _) = prompted(&fleet, Policy::default(), None).await;
    let (input, said) = gather(&press(&fleet, &input, "9").await);
    assert_eq!(said[0], "To end all such calls to this number, press 1, then the pound key.");
    assert_eq!(
        verbs(&press(&fleet, &input, "1").await)[0].1,
        "This number is not called any more. This sign-in was stopped. Goodbye."
    );
    assert_eq!(ended(&fleet, &key).await, (Reason::NumberOptedOut, None));
    let began = tokio::time::Instant::now();
    let ada = UserId::parse("ada").unwrap();
    while fleet.engine.records().user(&ada).await.unwrap().unwrap().opted_out.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "the number is not opted out");
    }
    assert_eq!(fleet.metric("mfa_numbers_opted_out_total"), 1);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m8_a_keyed_pin_is_nowhere_afterwards() {
    const LONG: &str = "904172635841";
    let fleet = Fleet::start().await;
    let (key, input, _) = prompted(&fleet, with_pin(), None).await;
    let hash = Keys::for_tests().hash_pin("ada", &Pin::parse(LONG).unwrap());
    fleet.engine.records().set_pins(&[(UserId::parse("ada").unwrap(), Some(hash))]).await.unwrap();
    let wrong = LONG.replace('9', "8");
    let (input, _) = gather(&press(&fleet, &input, &wrong).await);
    press(&fleet, &input, LONG).await;
    assert_eq!(ended(&fleet, &key).await.0, Reason::OkPin);
    let mut everything = format!("{}{:?}", fleet.metrics.render(), fleet.stored(&key).await);
    for table in ["challenges", "audit", "users", "lockouts", "acts", "calls"] {
        let rows = fleet.scratch.as_ref().unwrap().sql(&format!("SELECT t::text FROM {table} t")).await;
        everything.push_str(&rows.join("\n"));
    }
    for digits in [LONG, &wrong] {
        // As it is written, and as PostgreSQL shows bytes.
        let hex: String = digits.chars().flat_map(|digit| ['3', digit]).collect();
        assert!(!everything.contains(digits) && !everything.contains(&hex), "{digits}");
    }
    fleet.end().await;
}
