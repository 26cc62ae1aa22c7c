//! PINs and commands keyed in a call, and what a help desk does, from a portal's message to its outcome.

use fleet_contracts::Outcome;
use fleet_domain::{
    Assurance, ChallengeId, ChallengeResult, Factor, PhoneNumber, PinRule, Policy, Progress, Reason, UserId,
};
use fleet_keys::Pin;
use fleet_lifecycle::Clock;
use fleet_records::{Actor, Cause, GuessLimit};

use crate::world::{ALL, World, until};

const PEOPLE: &str = r##"
[[person]]
name = "keys the PIN"
number = "+19195550101"
answers = { after = "1s" }
presses = ["8250#", "42#"]
[[person]]
name = "keys wrong PINs"
number = "+19195550102"
answers = { after = "1s" }
presses = ["1111#", "825#", "82500#"]
[[person]]
name = "forgets the pound key"
number = "+19195550103"
answers = { after = "1s" }
presses = ["8250", "8250"]
[[person]]
name = "presses the pound key alone"
number = "+19195550104"
answers = { after = "1s" }
presses = ["#", "#"]
[[person]]
name = "keys a wrong PIN and hangs up"
number = "+19195550105"
answers = { after = "1s" }
presses = ["1111#", { hang_up_after = "1s" }]
[[person]]
name = "reports fraud"
number = "+19195550106"
answers = { after = "1s" }
presses = ["0#", "1#"]
[[person]]
name = "lets it ring"
number = "+19195550107"
answers = { after = "100s" }
[[person]]
name = "wants no more calls"
number = "+19195550108"
answers = { after = "1s" }
presses = ["9#", "1#"]
"##;

fn with_pin() -> Policy {
    Policy { pin: PinRule::Required, approve_only: true, ring_s: 20, prompts: 2, ..Policy::default() }
}

async fn with_pin_of(world: &World, id: &str, number: &str) -> UserId {
    let user = world.caller(id, number).await;
    let hash = world.keys().hash_pin(id, &Pin::parse("8250").unwrap());
    world.records.set_pins(&[(user.clone(), Some(hash))]).await.unwrap();
    user
}

fn end(outcome: &Outcome) -> (ChallengeResult, Option<Reason>, Option<Assurance>) {
    (outcome.result, outcome.reason, outcome.assurance)
}

async fn rings(world: &World, id: ChallengeId) {
    until("it rings", || async {
        world.portal.outcome(id).await.unwrap().is_some_and(|outcome| outcome.progress == Progress::Ringing)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s15_s16_every_way_to_key_a_pin_has_its_outcome() {
    let world = World::new(PEOPLE).await;
    world.register(with_pin()).await;
    let fleet = world.start(&ALL).await;
    let denied = |reason| (ChallengeResult::Denied, Some(reason), None);
    let mut asked = Vec::new();
    for (number, expected) in [
        ("+19195550101", (ChallengeResult::Approved, Some(Reason::OkPin), Some(Assurance::Pin))),
        ("+19195550102", denied(Reason::PinMismatch)),
        ("+19195550103", denied(Reason::TerminatorMissing)),
        ("+19195550104", denied(Reason::NoInput)),
        ("+19195550105", denied(Reason::HungUp)),
    ] {
        let user = with_pin_of(&world, &format!("user-of-{}", &number[10..]), number).await;
        asked.push((world.ask(&world.portal.draft(user.clone())).await, user, expected));
    }
    let mut users = Vec::new();
    for (id, user, expected) in asked {
        assert_eq!(end(&world.outcome(id).await), expected, "{user}");
        users.push(user);
    }
    // A3: only who was wrong is counted, once for each call. A right PIN is told before the wrong ones are forgotten.
    for (user, wrong) in users.iter().zip([0, 1, 0, 0, 1]) {
        until("only wrong calls are counted", || async {
            world.records.standing(user).await.unwrap().unwrap().wrong_calls == wrong
        })
        .await;
    }
    assert!(world.facts("digits").await.len() >= 9);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_and_then_the_number_on_the_screen_are_both_named() {
    let world = World::new(PEOPLE).await;
    world.register(with_pin()).await;
    let user = with_pin_of(&world, "peggy", "+19195550101").await;
    let fleet = world.start(&ALL).await;
    let number = fleet_contracts::NumberMatch::parse("42").unwrap();
    let id = world.ask(&world.portal.draft(user).showing(number)).await;
    let both = Some(Assurance::PinNumberMatch);
    assert_eq!(end(&world.outcome(id).await), (ChallengeResult::Approved, Some(Reason::OkNumberMatch), both));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_who_is_locked_out_is_not_called_until_the_lock_is_lifted() {
    let world = World::new(PEOPLE).await;
    world.register(with_pin()).await;
    let user = with_pin_of(&world, "peggy", "+19195550101").await;
    let fleet = world.start(&ALL).await;
    let limit = GuessLimit { calls: 1, lock_for: std::time::Duration::from_mins(15) };
    world.records.take_guess(&user, Some(limit)).await.unwrap();
    let locked = world.challenge(&user).await;
    assert_eq!(end(&locked), (ChallengeResult::Denied, Some(Reason::LockedOut), None));
    assert!(world.facts("call_created").await.is_empty());
    world.records.forget_wrong(&user, Factor::Pin).await.unwrap();
    assert_eq!(world.challenge(&user).await.reason, Some(Reason::OkPin));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_a_report_of_fraud_blocks_the_user_hangs_up_what_rings_and_is_told() {
    let world = World::new(PEOPLE).await;
    let phone = |role, number: &str| fleet_records::NewPhone {
        role,
        kind: fleet_domain::PhoneKind::Office,
        number: PhoneNumber::parse(number).unwrap(),
        extension: None,
        verified: true,
    };
    let phones = vec![
        phone(fleet_domain::PhoneRole::Primary, "+19195550107"),
        phone(fleet_domain::PhoneRole::Backup, "+19195550106"),
    ];
    let victor = world.user("victor", fleet_domain::Channel::Voice, phones, Vec::new()).await;
    let fleet = world.start(&ALL).await;
    let ringing = world.ask(&world.portal.draft(victor.clone())).await;
    rings(&world, ringing).await;
    let reported = world.ask(&world.portal.draft(victor.clone()).to(fleet_domain::Target::Backup)).await;
    assert_eq!(
        end(&world.outcome(reported).await),
        (ChallengeResult::Denied, Some(Reason::FraudReported), None)
    );
    assert_eq!(
        end(&world.outcome(ringing).await),
        (ChallengeResult::Denied, Some(Reason::UserBlocked), None)
    );
    until("the ringing call is hung up", || async { world.facts("ended").await.len() == 2 }).await;
    assert_eq!(world.facts("answered").await.len(), 1);

    let refused = world.challenge(&victor).await;
    assert_eq!(end(&refused), (ChallengeResult::Denied, Some(Reason::UserBlocked), None));
    assert_eq!(world.facts("call_created").await.len(), 2);
    assert_eq!(fleet.count("mfa_fraud_reports_total", &["done=\"blocked\""]), 1);
    // Three challenges have ended, and fraud was reported once.
    until("all of it is told as events", || async {
        fleet.count("mfa_broker_published_total", &["exchange=\"mfa.events\"", "result=\"confirmed\""]) >= 4
    })
    .await;
    assert!(world.records.unblock(&victor, &Cause::operator("it was his colleague")).await.unwrap());
    let after = world.ask(&world.portal.draft(victor).to(fleet_domain::Target::Backup)).await;
    assert_eq!(world.outcome(after).await.reason, Some(Reason::FraudReported), "he is called again");
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn r6_a_help_desk_that_blocks_a_user_stops_the_call_that_rings() {
    let world = World::new(PEOPLE).await;
    let ivan = world.caller("ivan", "+19195550107").await;
    let fleet = world.start(&ALL).await;
    let ringing = world.ask(&world.portal.draft(ivan.clone())).await;
    rings(&world, ringing).await;
    let by = (&Actor::Operator("dora".into()), "phone stolen");
    assert_eq!(fleet.assembly.engine.block(&ivan, None, by).await.unwrap(), Some(1));
    assert_eq!(
        end(&world.outcome(ringing).await),
        (ChallengeResult::Denied, Some(Reason::UserBlocked), None)
    );
    until("the call is hung up", || async { !world.facts("ended").await.is_empty() }).await;
    assert!(world.facts("answered").await.is_empty());
    assert_eq!(world.challenge(&ivan).await.reason, Some(Reason::UserBlocked));
    let stranger = UserId::parse("stranger").unwrap();
    assert_eq!(fleet.assembly.engine.block(&stranger, None, by).await.unwrap(), None);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_number_that_wants_no_more_calls_gets_none_until_help_desk_opts_it_in() {
    let world = World::new(PEOPLE).await;
    let walter = world.caller("walter", "+19195550108").await;
    let other = world.caller("who-has-the-same-number", "+19195550108").await;
    let fleet = world.start(&ALL).await;
    let opted_out = (ChallengeResult::Denied, Some(Reason::NumberOptedOut), None);
    assert_eq!(end(&world.challenge(&walter).await), opted_out);
    until("the number is opted out", || async {
        !world.records.user(&other).await.unwrap().unwrap().opted_out.is_empty()
    })
    .await;
    assert_eq!(end(&world.challenge(&other).await), opted_out);
    assert_eq!(world.facts("call_created").await.len(), 1);
    let number = PhoneNumber::parse("+19195550108").unwrap();
    assert!(world.records.opt_in(&number, &Cause::operator("he asked")).await.unwrap());
    until("the first call is over and its line free", || async { world.facts("ended").await.len() == 1 })
        .await;
    world.challenge(&other).await;
    assert_eq!(world.facts("call_created").await.len(), 2);
    assert!(fleet.stop().await);
}

/// The process that committed the report died before it had blocked anybody.
#[tokio::test(flavor = "multi_thread")]
async fn a2_a_report_that_nobody_followed_up_is_followed_up_by_the_sweep() {
    let world = World::new(PEOPLE).await;
    let victor = world.caller("victor", "+19195550106").await;
    let portal = world.portal_record();
    let now = Clock::system().now();
    let ask = fleet_domain::Ask {
        key: fleet_domain::ChallengeKey {
            id: ChallengeId::from_parts(now, fleet_keys::random_bytes()),
            portal: portal.name.clone(),
        },
        user: victor.clone(),
        purpose: fleet_domain::Purpose::SignIn,
        channel: None,
        target: fleet_domain::Target::Primary,
        workflow: Vec::new(),
        number_match: None,
        answer_by: None,
        locale: None,
        context: fleet_domain::Context::default(),
        body_hash: [1; 32],
    };
    let user = world.records.user(&victor).await.unwrap();
    let mut challenge = fleet_domain::open(&ask, user.as_ref(), &portal, now).unwrap();
    let halt = fleet_domain::Event::Halt { reason: Reason::FraudReported };
    challenge = fleet_domain::step(&challenge, &halt, now).unwrap();
    let note = fleet_records::Note { event: "keyed", actor: Actor::Person };
    world.records.create(&challenge, note).await.unwrap();

    let fleet = world.start(&ALL).await;
    until("the user is blocked", || async { world.records.user(&victor).await.unwrap().unwrap().blocked })
        .await;
    until("the report and the end are told", || async {
        fleet.count("mfa_broker_published_total", &["exchange=\"mfa.events\"", "result=\"confirmed\""]) == 2
    })
    .await;
    assert_eq!(world.outcome(challenge.key.id).await.reason, Some(Reason::FraudReported));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_pin_that_is_too_old_approves_nothing() {
    let world = World::new(PEOPLE).await;
    world.register(Policy { pin_days: 30, ..with_pin() }).await;
    let user = with_pin_of(&world, "peggy", "+19195550101").await;
    world.scratch.sql("UPDATE users SET pin_set_at = fleet_now() - interval '31 days'").await;
    let fleet = world.start(&ALL).await;
    let denied = (ChallengeResult::Denied, Some(Reason::PinExpired), None);
    assert_eq!(end(&world.challenge(&user).await), denied);
    assert!(fleet.stop().await);
}
