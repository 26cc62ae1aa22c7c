//! The app's client for Rust programs against the real gateway, and what a portal may demand of an app.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fleet_app_client::{
    Activation, Denial, Device, DeviceAlg, DeviceKeyPair, Error, Platform, Push, Refusal, Verified,
};
use fleet_domain::{
    Assurance, ChallengeId, Change, Channel, DeviceId, EnrollmentPolicy, Policy, Progress, Reason, UserId,
    UserVerification,
};
use fleet_portal_client::{EnrollmentOutcome, NextStep, NumberMatch};
use fleet_records::NewDevice;
use serde_json::json;

use crate::enrollment::{PATIENCE, policy, their_own};
use crate::world::{ALL, World, until};

const ALICE: (&str, &str) = ("alice", "5f0c2f6e-8a34-4c55-9b0a-0d9a7f3f2b11");
const BOB: (&str, &str) = ("bob", "9b1e7d42-3c58-4f06-8a27-6e5d4c3b2a19");

/// A user with one device, whose app polls.
async fn authenticator(world: &World, (user, id): (&str, &str), alg: DeviceAlg) -> (UserId, Device) {
    let key = DeviceKeyPair::generate(alg);
    let id = DeviceId::parse(id).unwrap();
    let device = NewDevice { id, alg, public_key: key.public_key().to_vec(), push_token: None, totp: None };
    let user = world.user(user, Channel::Push, Vec::new(), vec![device]).await;
    let stored = json!({
        "url": world.gateway_url(), "device_id": id.to_string(), "portal": "fleet", "portal_title": "Operations Portal",
        "account": user.as_str(), "push_version": 0, "key": STANDARD.encode(key.pkcs8()),
    });
    let path = world.file(&format!("{id}.json"));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
    file.write_all(stored.to_string().as_bytes()).unwrap();
    (user, Device::load(&path).unwrap())
}

/// The challenge as the app's list has it, once it is there.
async fn listed(device: &Device, id: ChallengeId) -> fleet_app_client::Challenge {
    let id = id.to_string();
    let find = async || device.list().await.unwrap().into_iter().find(|one| one.challenge_id == id);
    until("the app lists it", || async { find().await.is_some() }).await;
    find().await.unwrap()
}

fn demanding(user_verification: UserVerification) -> Policy {
    Policy { approve_only: true, user_verification, ..Policy::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_program_that_knows_the_protocol_alone_lists_opens_approves_and_denies() {
    let world = World::new("").await;
    let fleet = world.start(&ALL).await;
    for (who, alg) in [(ALICE, DeviceAlg::Es256), (BOB, DeviceAlg::EdDsa)] {
        let (user, device) = authenticator(&world, who, alg).await;
        let number = NumberMatch::parse("47").unwrap();
        let id = world.ask(&world.portal.draft(user.clone()).showing(number)).await;
        let challenge = listed(&device, id).await;
        assert!(challenge.number_match && challenge.require_user_verification == UserVerification::Off);
        device.opened(&challenge).await.unwrap();
        until("the portal is told that it was opened", || async {
            world.portal.outcome(id).await.unwrap().is_some_and(|told| told.progress == Progress::Opened)
        })
        .await;
        let decided = device.approve(&challenge, Some("47"), None).await.unwrap();
        assert_eq!((&*decided.result, &*decided.reason), ("approved", "ok_push"));
        assert_eq!(world.outcome(id).await.assurance, Some(Assurance::NumberMatch));
        // Once more counts for nothing.
        let again = device.approve(&challenge, Some("47"), None).await.unwrap_err();
        assert!(matches!(again, Error::Refused { refusal: Refusal::Ended, .. }), "{again}");

        let id = world.ask(&world.portal.draft(user)).await;
        let decided = device.deny(&listed(&device, id).await, Denial::Mistake).await.unwrap();
        assert_eq!((&*decided.result, &*decided.reason), ("denied", "user_declined"));
        assert_eq!(world.outcome(id).await.reason, Some(Reason::UserDeclined));
        assert_eq!(device.list().await.unwrap(), []);
    }
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s24_p11_an_approval_without_the_verification_that_the_portal_demands_is_denied() {
    use UserVerification::{Any, Biometric, Pin};
    let world = World::new("").await;
    let fleet = world.start(&ALL).await;
    let (alice, device) = authenticator(&world, ALICE, DeviceAlg::Es256).await;
    for (demanded, verified, reason, assurance) in [
        (Any, None, Reason::VerificationMissing, None),
        (Any, Some(Verified::Pin), Reason::OkPush, Some(Assurance::ApprovePin)),
        (Pin, Some(Verified::Biometric), Reason::VerificationMissing, None),
        (Biometric, Some(Verified::Biometric), Reason::OkPush, Some(Assurance::ApproveBiometric)),
    ] {
        world.register(demanding(demanded)).await;
        let portal = || world.portal_record().policy.user_verification;
        until("the fleet has read the policy", || async { portal() == demanded }).await;
        // The fleet reads policies within a second: a challenge that was asked for under the one before is called off.
        let (id, challenge) = loop {
            let id = world.ask(&world.portal.draft(alice.clone())).await;
            let challenge = listed(&device, id).await;
            if challenge.require_user_verification == demanded {
                break (id, challenge);
            }
            world.portal.cancel(id).await.unwrap();
        };
        let decided = device.approve(&challenge, None, verified).await.unwrap();
        assert_eq!(decided.reason, reason.as_str(), "{demanded}, {verified:?}");
        let outcome = world.outcome(id).await;
        assert_eq!((outcome.reason, outcome.assurance), (Some(reason), assurance));
    }
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_the_test_of_an_enrollment_demands_it_as_a_sign_in_does() {
    let world = World::new("").await;
    let enrollment = EnrollmentPolicy { operators: true, ..their_own() };
    world.register(Policy { user_verification: UserVerification::Pin, ..policy(enrollment) }).await;
    let (alice, device) = authenticator(&world, ALICE, DeviceAlg::Es256).await;
    let fleet = world.start(&ALL).await;
    let change = world.change(&alice, Change::Method).method(Channel::Push).by_operator("dora", "asked");
    let request = world.enroll(change).await;
    for verified in [None, Some(Verified::Pin)] {
        until("its test waits in the app", || async { !device.list().await.unwrap().is_empty() }).await;
        let challenge = device.list().await.unwrap().remove(0);
        assert_eq!(challenge.purpose, "enrollment_test");
        assert_eq!(challenge.require_user_verification, UserVerification::Pin);
        let decided = device.approve(&challenge, None, verified).await.unwrap();
        if verified.is_none() {
            assert_eq!(decided.reason, Reason::VerificationMissing.as_str());
            let again = |told: &EnrollmentOutcome| told.next_step == Some(NextStep::RetryTest);
            world.portal.wait_enrollment(request, PATIENCE, again).await.unwrap();
            world.portal.test_again(request, None).await.unwrap();
        }
    }
    let changed = world.changed(request).await;
    assert_eq!(changed.result, fleet_domain::EnrollmentResult::Done, "{changed:?}");
    let reasons: Vec<_> = changed.tests.iter().map(|test| test.reason).collect();
    assert_eq!(reasons, [Some(Reason::VerificationMissing), Some(Reason::OkPush)]);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s20_s21_s22_s23_a_program_is_activated_by_a_code_tested_signs_in_and_gives_itself_up() {
    let world = World::new("").await;
    let mut enrollment = EnrollmentPolicy { operators: true, ..their_own() };
    enrollment.requests.push(Change::DeviceActivate);
    world.register(policy(enrollment)).await;
    let alice = world.user("alice", Channel::Push, Vec::new(), Vec::new()).await;
    let fleet = world.start(&ALL).await;
    let change = world.change(&alice, Change::DeviceActivate).by_operator("dora", "asked");
    let request = world.enroll(change).await;
    let shown =
        world.portal.wait_enrollment(request, PATIENCE, |told| told.activation.is_some()).await.unwrap();
    let codes = shown.activation.unwrap();
    let scanned = Activation::scan(&codes.qr.unwrap()).unwrap();
    let typed = Activation::typed(&codes.code.unwrap(), &codes.url.unwrap()).unwrap();
    let new_key = || DeviceKeyPair::generate(DeviceAlg::EdDsa);
    let mut device = Device::activate(&scanned, new_key(), ("laptop", Platform::Other), None).await.unwrap();
    let late = Device::activate(&typed, new_key(), ("another", Platform::Other), None).await.unwrap_err();
    assert!(matches!(late, Error::Refused { refusal: Refusal::ActivationUsed, .. }), "{late}");
    assert_eq!(device.account().0, "Operations Portal");

    world.portal.test_again(request, None).await.unwrap();
    until("its test waits in the app", || async { !device.list().await.unwrap().is_empty() }).await;
    let test = device.list().await.unwrap().remove(0);
    assert_eq!(test.purpose, "enrollment_test");
    assert_eq!(device.approve(&test, None, None).await.unwrap().reason, "ok_push");
    assert_eq!(world.changed(request).await.result, fleet_domain::EnrollmentResult::Done);

    let path = world.file("activated.json");
    // FCM knows no such token: a challenge would end for want of a device.
    device.push_address(Some(&Push::Token("fcm-registration-token".into()))).await.unwrap();
    device.push_address(None).await.unwrap();
    device.save(&path).unwrap();
    let device = Device::load(&path).unwrap();
    let id = world.ask(&world.portal.draft(alice)).await;
    let decided = device.approve(&listed(&device, id).await, None, Some(Verified::Biometric)).await.unwrap();
    assert_eq!(decided.reason, "ok_push");
    assert_eq!(world.outcome(id).await.assurance, Some(Assurance::ApproveBiometric));

    device.revoke().await.unwrap();
    let gone = device.list().await.unwrap_err();
    assert!(matches!(gone, Error::Refused { refusal: Refusal::Unauthorized, .. }), "{gone}");
    assert!(fleet.stop().await);
}
