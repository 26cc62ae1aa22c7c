//! R2: several channels within one challenge, ordered by the portal's policy or by the request.

use std::time::Duration;

use fleet_contracts::Outcome;
use fleet_domain::{
    AttemptState, ChallengeResult, Channel, PhoneKind, PhoneNumber, PhoneRole, PinRule, Policy, PolicyStep,
    PushToken, Reason, Target, UserId,
};
use fleet_keys::{DeviceKeyPair, Pin};
use fleet_records::{DeviceAlg, NewDevice, NewPhone};

use crate::world::{ALL, World, decoded};

/// A device that nobody looks at, and one of the swarm, which approves.
const IGNORED: &str = "00000000-0000-8000-8000-000000000201";
const APPROVES: &str = "00000000-0000-8000-8000-000000000001";
const PRESSES: &str = "+19195550101";
const SILENT: &str = "+19195550102";
const WRONG_PIN: &str = "+19195550103";

fn people() -> String {
    format!(
        r##"
[[person]]
name = "presses the key"
number = "{PRESSES}"
answers = {{ after = "1s" }}
presses = ["#"]
[[person]]
name = "lets it ring"
number = "{SILENT}"
answers = {{ after = "100s" }}
[[person]]
name = "keys wrong PINs"
number = "{WRONG_PIN}"
answers = {{ after = "1s" }}
presses = ["1111#", "2222#", "3333#"]
[[device]]
device_id = "{IGNORED}"
user = "nobody"
fcm_token = "ignored"
private_key = "{}"
ignores = true
"##,
        fleet_simulator::new_device_key().unwrap().0
    )
}

fn step(channel: Channel, timeout_s: Option<u16>) -> PolicyStep {
    PolicyStep { channel, target: PhoneRole::Primary, timeout_s }
}

fn push_then_call() -> Policy {
    Policy {
        approve_only: true,
        ring_s: 20,
        prompts: 2,
        workflow: vec![step(Channel::Push, Some(5)), step(Channel::Voice, None)],
        ..Policy::default()
    }
}

/// A user with a phone, and a device where one is named.
async fn user(world: &World, number: &str, device: Option<&str>) -> UserId {
    let phone = NewPhone {
        role: PhoneRole::Primary,
        kind: PhoneKind::Mobile,
        number: PhoneNumber::parse(number).unwrap(),
        extension: None,
        verified: true,
    };
    let device = device.map(|id| NewDevice {
        id: fleet_domain::DeviceId::parse(id).unwrap(),
        alg: DeviceAlg::Es256,
        public_key: if id == APPROVES {
            decoded(&fleet_simulator::swarm_public_key().unwrap())
        } else {
            DeviceKeyPair::generate(DeviceAlg::Es256).public_key().to_vec()
        },
        push_token: Some(PushToken::new(if id == APPROVES { "swarm-1" } else { "ignored" }.into())),
        totp: None,
    });
    world.user("alice", Channel::Voice, vec![phone], device.into_iter().collect()).await
}

/// Channel and reason of every attempt.
fn way(outcome: &Outcome) -> Vec<(Channel, Option<Reason>)> {
    outcome.attempts.iter().map(|attempt| (attempt.channel, attempt.reason)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_the_policys_workflow_calls_who_has_not_answered_the_push_in_time() {
    let world = World::new(&people()).await;
    world.register(push_then_call()).await;
    let alice = user(&world, PRESSES, Some(IGNORED)).await;
    let fleet = world.start(&ALL).await;
    let outcome = world.challenge(&alice).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Approved, Some(Reason::OkKey)));
    assert_eq!(way(&outcome), [(Channel::Push, Some(Reason::NoResponse)), (Channel::Voice, None)]);
    let [push, call] = outcome.attempts.as_slice() else { panic!("{outcome:?}") };
    let waited = push.ended_at.unwrap().since(push.placed_at.unwrap());
    // The challenge's own time would have been two minutes.
    assert!((Duration::from_secs(5)..Duration::from_secs(30)).contains(&waited), "{waited:?}");
    assert_eq!((push.target, call.target), (Target::Primary, Target::Primary));
    assert_eq!(push.state, AttemptState::Ended);
    assert!(call.reserved_at >= push.ended_at.unwrap() && call.answered_at.is_some());
    assert_eq!(outcome.skipped, []);
    // A channel by routing key is that channel.
    let by_push = world.portal.draft(alice.clone()).by(Channel::Push).answer_within(Duration::from_secs(8));
    let outcome = world.outcome(world.ask(&by_push).await).await;
    assert_eq!(way(&outcome), [(Channel::Push, None)]);
    assert_eq!(outcome.reason, Some(Reason::NoResponse));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_a_step_that_the_user_cannot_go_is_left_out_and_named_in_the_outcome() {
    let world = World::new(&people()).await;
    world.register(push_then_call()).await;
    let alice = user(&world, PRESSES, None).await;
    let fleet = world.start(&ALL).await;
    let outcome = world.challenge(&alice).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Approved, Some(Reason::OkKey)));
    assert_eq!(way(&outcome), [(Channel::Voice, None)]);
    let [skipped] = outcome.skipped.as_slice() else { panic!("{outcome:?}") };
    assert_eq!((skipped.channel, skipped.reason), (Channel::Push, Reason::NoDevice));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_a_requests_own_workflow_goes_first_and_a_push_follows_a_phone_that_nobody_answers() {
    let world = World::new(&people()).await;
    world.register(push_then_call()).await;
    let alice = user(&world, SILENT, Some(APPROVES)).await;
    let fleet = world.start(&ALL).await;
    let draft = world
        .portal
        .draft(alice)
        .then_by(Channel::Voice, Target::Primary, Some(Duration::from_secs(10)))
        .then_by(Channel::Push, Target::Primary, None);
    let id = world.ask(&draft).await;
    let outcome = world.outcome(id).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Approved, Some(Reason::OkPush)));
    assert_eq!(way(&outcome), [(Channel::Voice, Some(Reason::NoAnswer)), (Channel::Push, None)]);
    // The policy lets phones ring for 20 seconds; this step lasts 10.
    let stored = world.stored(id).await.unwrap();
    assert_eq!(stored.ring_time(1), Duration::from_secs(10));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_all_steps_share_one_deadline() {
    let world = World::new(&people()).await;
    let workflow = vec![step(Channel::Push, Some(5)), step(Channel::Push, None)];
    world.register(Policy { workflow, ..push_then_call() }).await;
    let alice = user(&world, SILENT, Some(IGNORED)).await;
    let fleet = world.start(&ALL).await;
    let draft = world.portal.draft(alice).answer_within(Duration::from_secs(16));
    let outcome = world.outcome(world.ask(&draft).await).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Expired, Some(Reason::NoResponse)));
    assert_eq!(way(&outcome), [(Channel::Push, Some(Reason::NoResponse)), (Channel::Push, None)]);
    let ended_at = world.stored(outcome.challenge_id).await.unwrap().live.end.unwrap().at;
    // With a time of its own the second step would have ended 5 s later.
    assert!(ended_at.since(outcome.answer_by) < Duration::from_secs(5), "{outcome:?}");
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_wrong_pins_end_the_challenge_whatever_steps_are_left() {
    let world = World::new(&people()).await;
    let workflow = vec![step(Channel::Voice, None), step(Channel::Push, None)];
    world.register(Policy { pin: PinRule::Required, workflow, ..push_then_call() }).await;
    let alice = user(&world, WRONG_PIN, Some(APPROVES)).await;
    let hash = world.keys().hash_pin(alice.as_str(), &Pin::parse("8250").unwrap());
    world.records.set_pins(&[(alice.clone(), Some(hash))]).await.unwrap();
    let fleet = world.start(&ALL).await;
    let outcome = world.challenge(&alice).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Denied, Some(Reason::PinMismatch)));
    assert_eq!(outcome.attempts.len(), 1);
    assert!(world.facts("push").await.is_empty(), "nothing follows a wrong answer");
    assert!(fleet.stop().await);
}
