//! A thousand hostile messages among good ones: each ends as it must, and the good ones notice nothing.

use std::collections::BTreeMap;

use base64::Engine as _;
use fleet_broker::LetterBox;
use fleet_contracts::EnrollmentOutcome;
use fleet_domain::{Change, Channel, NextStep, Reason, UserId};
use fleet_hostile::{Answer, Attacker, Expected, Hostile};
use futures_util::{StreamExt as _, stream};

use crate::enrollment::{PEOPLE, policy, their_own};
use crate::world::{ALL, PATIENCE, PORTAL, Running, World, until};

const GOOD: u64 = 300;
const GOOD_ENROLLMENTS: usize = 30;
const HOSTILE: usize = 1_000;
const SEED: u64 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_hostile_messages_are_parked_or_refused_and_three_hundred_good_ones_approved() {
    let world = World::new("").await;
    let mut drafts = Vec::new();
    for index in 0..GOOD {
        let device = format!("00000000-0000-8000-8000-{index:012x}");
        let user = world.app_user(&format!("app-{index}"), &[(&device, &format!("swarm-{index}"))]).await;
        drafts.push(world.portal.draft(user));
    }
    let fleet = world.start(&ALL).await;
    world.ask(&drafts[0]).await;
    let now_ms = u64::try_from(fleet.assembly.engine.now().as_micros() / 1_000).unwrap();
    let hostile = fleet_hostile::messages(SEED, HOSTILE, now_ms, PORTAL);
    let good = stream::iter(&drafts).for_each_concurrent(10, |draft| async {
        world.ask(draft).await;
        world.outcome(draft.id()).await;
    });
    let ((), ()) = tokio::join!(good, attack(&world, &hostile));
    for draft in &drafts {
        let outcome = world.portal.wait(draft.id(), PATIENCE).await.unwrap();
        assert_eq!(outcome.reason, Some(Reason::OkPush), "{}", draft.id());
    }
    let refused = hostile.iter().filter(|hostile| matches!(hostile.expected, Expected::Refused(_))).count();
    until("every refused one is told", || async {
        fleet.count("mfa_challenges_refused_total", &["reason=\"stale_id\""]) >= refused as u64
    })
    .await;
    judge_parked(&fleet, hostile).await;
    for connection in ["publish", "consume", "challenge.voice", "challenge.push", "control"] {
        let label = format!("connection=\"{connection}\"");
        assert_eq!(fleet.count("mfa_broker_connects_total", &[&label]), 1, "{connection}");
    }
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_about_enrollments_are_parked_or_refused_and_leave_nothing_behind_but_that() {
    let world = World::new(PEOPLE).await;
    world.register(policy(their_own())).await;
    let fleet = world.start(&ALL).await;
    let newcomer = |number: usize| UserId::parse(&format!("newcomer-{number}")).unwrap();
    let enroll = |number| world.change(&newcomer(number), Change::Enroll).method(Channel::Push);
    let key = world.enrollment_key();
    let seal = |plain: &[u8]| {
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key.seal(plain));
        (key.id().to_owned(), text)
    };
    let first = world.enroll(enroll(0)).await;
    let now_ms = u64::try_from(fleet.assembly.engine.now().as_micros() / 1_000).unwrap();
    let hostile = fleet_hostile::enrollments(SEED, HOSTILE, (now_ms, PORTAL), &seal);
    let good =
        stream::iter(1..GOOD_ENROLLMENTS).then(|number| world.enroll(enroll(number))).collect::<Vec<_>>();
    let (mut good, ()) = tokio::join!(good, attack(&world, &hostile));
    good.push(first);
    for id in &good {
        // Nothing is there to be tested yet: they wait for a device.
        let waits = |outcome: &EnrollmentOutcome| outcome.next_step == Some(NextStep::ActivateDevice);
        world.portal.wait_enrollment(*id, PATIENCE, waits).await.unwrap();
    }
    let refused = hostile.iter().filter(|hostile| matches!(hostile.expected, Expected::Refused(_))).count();
    until("every refused one is told", || async {
        fleet.count("mfa_enrollment_refused_total", &["reason=\"stale_id\""]) >= refused as u64
    })
    .await;
    judge_parked(&fleet, hostile).await;
    assert_eq!(world.scratch.sql("SELECT count(*) FROM enrollments").await, [good.len().to_string()]);
    assert_eq!(world.scratch.sql("SELECT count(*) FROM acts").await, [good.len().to_string()]);
    assert_eq!(world.scratch.sql("SELECT count(*) FROM users").await, ["0"]);
    assert!(world.called().await.is_empty());
    for connection in ["publish", "consume", "enrollment"] {
        let label = format!("connection=\"{connection}\"");
        assert_eq!(fleet.count("mfa_broker_connects_total", &[&label]), 1, "{connection}");
    }
    assert!(fleet.stop().await);
}

/// Each was parked with the reason that it must be parked with, and none has cost anything else.
async fn judge_parked(fleet: &Running, hostile: Vec<Hostile>) {
    let to_park = hostile.iter().filter(|hostile| matches!(hostile.expected, Expected::Parked(_))).count();
    until("every bad one is parked", || async {
        fleet.count("mfa_broker_parked_total", &[]) >= to_park as u64
    })
    .await;
    let reasons = parked(fleet).await;
    for hostile in hostile {
        let Expected::Parked(reason) = hostile.expected else { continue };
        let id = String::from_utf8(hostile.message.properties.message_id.unwrap()).unwrap();
        assert_eq!(reasons.get(&id).map(String::as_str), Some(reason), "{id}: {}", hostile.kind);
    }
    for end in ["panic", "dropped", "lost", "requeued"] {
        let end = format!("end=\"{end}\"");
        assert_eq!(fleet.count("mfa_broker_deliveries_total", &[&end]), 0, "{end}");
    }
}

/// Publishes them all; the broker refuses exactly those that it must.
async fn attack(world: &World, hostile: &[Hostile]) {
    let namespace = world.environment.iter().find(|(name, _)| name == "FLEET_BROKER__NAMESPACE").unwrap();
    let exchange = format!("{}.mfa.requests", namespace.1);
    let mut attacker = Attacker::connect(&fleet_testkit::amqp_url()).await.unwrap();
    for hostile in hostile {
        let answer = attacker.publish(&exchange, &hostile.message).await.unwrap();
        let taken = hostile.expected != Expected::NotTaken;
        assert_eq!(answer == Answer::Stored, taken, "{answer:?}: {}", hostile.kind);
    }
}

/// The reason of each parked letter, by its message id.
async fn parked(fleet: &Running) -> BTreeMap<String, String> {
    let letters = fleet.assembly.broker.browse(LetterBox::Parked, 2 * HOSTILE).await.unwrap();
    letters.into_iter().filter_map(|letter| Some((letter.message_id?, letter.reason))).collect()
}
