//! The push, from a portal's message to the app's answer.

use std::fmt::Write as _;
use std::time::Duration;

use fleet_domain::{
    Assurance, ChallengeResult, Channel, PhoneKind, PhoneNumber, PhoneRole, Policy, Reason, Target,
};
use fleet_records::{DeviceAlg, NewDevice, NewPhone};

use crate::world::{ALL, World, until};

/// The simulator's swarm: its devices approve, and share one key.
const DEVICE_1: &str = "00000000-0000-8000-8000-000000000001";
const DEVICE_2: &str = "00000000-0000-8000-8000-000000000002";

/// One person by phone, for what follows a push; and a device whose token FCM does not know.
const PEOPLE: &str = r##"
[[person]]
name = "presses the key"
number = "+19195550101"
answers = { after = "1s" }
presses = ["#"]
"##;

#[tokio::test(flavor = "multi_thread")]
async fn s6_a_challenge_by_push_reaches_every_device_once_and_the_first_answer_decides() {
    let world = World::new(PEOPLE).await;
    let frank = world.app_user("frank", &[(DEVICE_1, "swarm-1"), (DEVICE_2, "swarm-2")]).await;
    let fleet = world.start(&ALL).await;
    let outcome = world.challenge(&frank).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Approved, Some(Reason::OkPush)));
    // A tap alone is named for what it is.
    assert_eq!(outcome.assurance, Some(Assurance::Approve));
    let mut tokens: Vec<String> =
        world.facts("push").await.iter().map(|push| push["token"].as_str().unwrap().to_owned()).collect();
    tokens.sort();
    assert_eq!(tokens, ["swarm-1", "swarm-2"]);
    // The second app may find its list empty already, or its answer come too late.
    until("both have looked", || async { world.facts("app_listed").await.len() == 2 }).await;
    let results = world.facts("app_answered").await;
    let accepted = results.iter().filter(|answer| answer["status"] == 200).count();
    assert_eq!(accepted, 1, "one answer decides: {results:?}");
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_push_without_the_portals_number_is_refused_unless_the_portal_allows_a_tap() {
    let world = World::new(PEOPLE).await;
    world.register(Policy::default()).await;
    let frank = world.app_user("frank", &[(DEVICE_1, "swarm-1")]).await;
    let fleet = world.start(&ALL).await;
    let id = world.ask(&world.portal.draft(frank)).await;
    until("it is refused", || async {
        fleet.count("mfa_challenges_refused_total", &["reason=\"invalid_request\""]) == 1
    })
    .await;
    assert_eq!(world.portal.outcome(id).await.unwrap(), None, "a refusal is no outcome");
    assert!(world.facts("push").await.is_empty());
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_a_token_that_is_gone_is_retired_and_the_phone_follows_at_once() {
    let people = format!(
        "{PEOPLE}\n[[device]]\ndevice_id = \"{DEVICE_1}\"\nuser = \"heidi\"\nfcm_token = \"gone\"\n\
         private_key = \"{}\"\ntoken_fault = \"UNREGISTERED\"\n",
        fleet_simulator::new_device_key().unwrap().0
    );
    let world = World::new(&people).await;
    let phone = NewPhone {
        role: PhoneRole::Primary,
        kind: PhoneKind::Mobile,
        number: PhoneNumber::parse("+19195550101").unwrap(),
        extension: None,
        verified: true,
    };
    let device = NewDevice {
        id: fleet_domain::DeviceId::parse(DEVICE_1).unwrap(),
        alg: DeviceAlg::Es256,
        public_key: vec![4; 65],
        push_token: Some(fleet_domain::PushToken::new("gone".into())),
        totp: None,
    };
    let heidi = world.user("heidi", Channel::Push, vec![phone], vec![device]).await;
    let fleet = world.start(&ALL).await;
    let draft = world
        .portal
        .draft(heidi.clone())
        .then_by(Channel::Push, Target::Primary, Some(Duration::from_secs(30)))
        .then_by(Channel::Voice, Target::Primary, None);
    let id = world.ask(&draft).await;
    let outcome = world.outcome(id).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Approved, Some(Reason::OkKey)));
    let [push, call] = outcome.attempts.as_slice() else { panic!("{outcome:?}") };
    assert_eq!(push.reason, Some(Reason::DeviceUnregistered));
    assert!(call.reserved_at.since(push.ended_at.unwrap()) < Duration::from_secs(1));
    // The token is gone for good: the next push goes nowhere.
    let again = world.ask(&world.portal.draft(heidi).answer_within(Duration::from_secs(3))).await;
    assert_eq!(world.outcome(again).await.reason, Some(Reason::PushUndeliverable));
    assert_eq!(world.facts("push").await.len(), 1);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_nobody_answers_expires_on_time() {
    let people = format!(
        "{PEOPLE}\n[[device]]\ndevice_id = \"{DEVICE_1}\"\nuser = \"mallory\"\nfcm_token = \"ignored\"\n\
         private_key = \"{}\"\nignores = true\n",
        fleet_simulator::new_device_key().unwrap().0
    );
    let world = World::new(&people).await;
    let mallory = world.app_user("mallory", &[(DEVICE_1, "ignored")]).await;
    let fleet = world.start(&ALL).await;
    let id = world.ask(&world.portal.draft(mallory).answer_within(Duration::from_secs(8))).await;
    let outcome = world.outcome(id).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Expired, Some(Reason::NoResponse)));
    let history = world
        .records
        .history(&fleet_domain::ChallengeKey {
            id,
            portal: fleet_domain::PortalName::parse(crate::world::PORTAL).unwrap(),
        })
        .await
        .unwrap();
    let ended_at = history.last().unwrap().at;
    assert!(
        ended_at.since(outcome.answer_by) <= Duration::from_secs(1),
        "late by {:?}",
        ended_at.since(outcome.answer_by)
    );
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_every_way_to_say_no_in_the_app_has_its_outcome() {
    let mut people = String::new();
    let mut devices = Vec::new();
    for (conduct, reason) in [
        ("denies = \"mistake\"", Reason::UserDeclined),
        ("denies = \"canceled\"", Reason::UserCanceled),
        ("denies = \"not_me\"", Reason::FraudReported),
        ("token_fault = \"UNREGISTERED\"", Reason::DeviceUnregistered),
    ] {
        let device = format!("00000000-0000-8000-8000-00000000010{}", devices.len());
        let (private_key, public_key) = fleet_simulator::new_device_key().unwrap();
        write!(
            people,
            "[[device]]\ndevice_id = \"{device}\"\nuser = \"{reason}\"\nfcm_token = \"{reason}\"\n\
             private_key = \"{private_key}\"\n{conduct}\n"
        )
        .unwrap();
        devices.push((device, public_key, reason));
    }
    let world = World::new(&people).await;
    let fleet = world.start(&ALL).await;
    for (device, public_key, reason) in devices {
        let device = NewDevice {
            id: fleet_domain::DeviceId::parse(&device).unwrap(),
            alg: DeviceAlg::Es256,
            public_key: crate::world::decoded(&public_key),
            push_token: Some(fleet_domain::PushToken::new(reason.to_string())),
            totp: None,
        };
        let user = world.user(reason.as_str(), Channel::Push, Vec::new(), vec![device]).await;
        let id = world.ask(&world.portal.draft(user).answer_within(Duration::from_secs(20))).await;
        assert_eq!(world.outcome(id).await.reason, Some(reason));
    }
    assert!(fleet.stop().await);
}
