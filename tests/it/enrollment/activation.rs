//! The app is activated on a device: code, device, test, and only then does it count.

use fleet_app_client::{Activation, Challenge, Device, DeviceAlg, DeviceKeyPair, Error, Platform, Refusal};
use fleet_contracts::EnrollmentOutcome;
use fleet_domain::{
    Assurance, Change, Channel, EnrollmentPolicy, EnrollmentReason, EnrollmentState, NextStep, Policy,
    Reason, RequestId, UserId,
};
use fleet_portal_client::NumberMatch;

use super::{DONE, PATIENCE, PEOPLE, end, refused, their_own};
use crate::world::{ALL, World, until};

/// As portals have it: the number is typed, and the app is to be had somewhere.
fn policy(enrollment: EnrollmentPolicy) -> Policy {
    let link = "https://play.example.org/app".to_owned();
    let store_links = std::iter::once(("android".to_owned(), link)).collect();
    Policy {
        approve_only: false,
        ring_s: 20,
        enrollment: EnrollmentPolicy { store_links, ..enrollment },
        ..Policy::default()
    }
}

fn number() -> Option<NumberMatch> {
    NumberMatch::parse("47")
}

/// The outcome once this is the next step.
async fn at_step(world: &World, id: RequestId, step: NextStep) -> EnrollmentOutcome {
    world.portal.wait_enrollment(id, PATIENCE, |outcome| outcome.next_step == Some(step)).await.unwrap()
}

async fn activate(activation: &Activation, name: &str) -> Result<Device, Error> {
    Device::activate(activation, DeviceKeyPair::generate(DeviceAlg::Es256), (name, Platform::Android), None)
        .await
}

fn scanned(outcome: &EnrollmentOutcome) -> Activation {
    Activation::scan(outcome.activation.as_ref().unwrap().qr.as_ref().unwrap()).unwrap()
}

fn typed(outcome: &EnrollmentOutcome) -> Activation {
    let activation = outcome.activation.as_ref().unwrap();
    Activation::typed(activation.code.as_ref().unwrap(), activation.url.as_ref().unwrap()).unwrap()
}

async fn first_listed(device: &Device) -> Challenge {
    until("the app lists a challenge", || async { !device.list().await.unwrap().is_empty() }).await;
    device.list().await.unwrap().remove(0)
}

/// "Authenticate Me Now": the test with the number on the page, answered in the app.
async fn pass_test(world: &World, id: RequestId, device: &Device) -> EnrollmentOutcome {
    at_step(world, id, NextStep::BeginTest).await;
    world.portal.test_again(id, number()).await.unwrap();
    let challenge = first_listed(device).await;
    assert_eq!((&*challenge.purpose, challenge.number_match), ("enrollment_test", true));
    device.approve(&challenge, Some("47"), None).await.unwrap();
    world.changed(id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn s18_s20_s21_s22_s25_a_new_user_scans_activates_and_authenticates_and_only_then_has_the_app() {
    let world = World::new(PEOPLE).await;
    world.register(policy(their_own())).await;
    let fleet = world.start(&ALL).await;
    let user = UserId::parse("newcomer").unwrap();
    let id = world.enroll(world.change(&user, Change::Enroll).method(Channel::Push)).await;
    let shown = at_step(&world, id, NextStep::ActivateDevice).await;
    assert_eq!(shown.state, EnrollmentState::PendingUserData);
    let activation = shown.activation.as_ref().unwrap();
    assert_eq!(activation.store_links["android"], "https://play.example.org/app");
    assert_eq!(activation.url.as_deref(), Some(world.gateway_url()));
    assert_eq!(scanned(&shown).url(), typed(&shown).url());

    let device = activate(&scanned(&shown), "Avery’s phone").await.unwrap();
    let bound = at_step(&world, id, NextStep::BeginTest).await;
    let report = bound.activation.as_ref().unwrap();
    assert_eq!((&report.code, &report.qr), (&None, &None), "a code that was used is not shown any more");
    let reported = report.device.as_ref().unwrap();
    assert_eq!((reported.device_id.to_string().as_str(), &*reported.name), (device.id(), "Avery’s phone"));
    // Nothing counts before the test.
    assert!(world.records.user(&user).await.unwrap().is_none());
    assert!(device.list().await.unwrap().is_empty());

    let done = pass_test(&world, id, &device).await;
    assert_eq!(end(&done), DONE);
    let read = world.change_now(world.change(&user, Change::Read)).await.enrolled.unwrap();
    assert_eq!((read.method, read.apps[0].name.as_deref()), (Channel::Push, Some("Avery’s phone")));
    let sign_in = world.ask(&world.portal.draft(user.clone()).showing(number().unwrap())).await;
    device.approve(&first_listed(&device).await, Some("47"), None).await.unwrap();
    assert_eq!(world.outcome(sign_in).await.assurance, Some(Assurance::NumberMatch));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s19_e5_e6_another_device_is_added_by_the_latest_code_alone_and_within_the_portals_limit() {
    let world = World::new(PEOPLE).await;
    world.register(policy(EnrollmentPolicy { devices_max: 2, ..their_own() })).await;
    let fleet = world.start(&ALL).await;
    let user = world.caller("alice", "+19195550101").await;
    let mut devices = Vec::new();
    for name in ["first", "second"] {
        let proof = world.proof(&user).await;
        let id = world.enroll(world.change(&user, Change::DeviceActivate).proved_by(proof)).await;
        let void = at_step(&world, id, NextStep::ActivateDevice).await;
        world.portal.new_activation_code(id).await.unwrap();
        let is_newer = |outcome: &EnrollmentOutcome| outcome.seq > void.seq;
        let latest = world.portal.wait_enrollment(id, PATIENCE, is_newer).await.unwrap();
        for void in [scanned(&void), typed(&void)] {
            let late = activate(&void, name).await.unwrap_err();
            assert!(matches!(late, Error::Refused { refusal: Refusal::ActivationExpired, .. }), "{late}");
        }
        let device = activate(&typed(&latest), name).await.unwrap();
        let stranger = activate(&typed(&latest), "a stranger’s").await.unwrap_err();
        assert!(matches!(stranger, Error::Refused { refusal: Refusal::ActivationUsed, .. }), "{stranger}");
        assert_eq!(end(&pass_test(&world, id, &device).await), DONE);
        devices.push(device);
    }
    assert_eq!(world.records.user(&user).await.unwrap().unwrap().devices.len(), 2);
    let proof = world.proof(&user).await;
    let third = world.change_now(world.change(&user, Change::DeviceActivate).proved_by(proof)).await;
    assert_eq!(end(&third), refused(EnrollmentReason::DeviceLimit));
    // Given up in the app, it leaves its place.
    devices.remove(0).revoke().await.unwrap();
    let again = world.enroll(world.change(&user, Change::DeviceActivate).proved_by(proof)).await;
    at_step(&world, again, NextStep::ActivateDevice).await;
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_is_declined_can_be_made_again_and_a_report_of_fraud_forgets_the_device() {
    let world = World::new(PEOPLE).await;
    world.register(policy(their_own())).await;
    let fleet = world.start(&ALL).await;
    let user = world.caller("alice", "+19195550101").await;
    let proof = world.proof(&user).await;
    let change = world.change(&user, Change::Method).method(Channel::Push).proved_by(proof);
    let id = world.enroll(change).await;
    let device =
        activate(&scanned(&at_step(&world, id, NextStep::ActivateDevice).await), "phone").await.unwrap();
    at_step(&world, id, NextStep::BeginTest).await;
    world.portal.test_again(id, number()).await.unwrap();
    device.deny(&first_listed(&device).await, fleet_app_client::Denial::Mistake).await.unwrap();
    at_step(&world, id, NextStep::RetryTest).await;
    // The old method counts until the new one has passed.
    world.proof(&user).await;
    world.portal.test_again(id, number()).await.unwrap();
    let wrong = device.approve(&first_listed(&device).await, Some("48"), None).await.unwrap();
    assert_eq!(wrong.reason, Reason::NumberMismatch.as_str());
    at_step(&world, id, NextStep::RetryTest).await;
    world.portal.test_again(id, number()).await.unwrap();
    device.deny(&first_listed(&device).await, fleet_app_client::Denial::NotMe).await.unwrap();
    assert_eq!(end(&world.changed(id).await), refused(EnrollmentReason::TestFailed));
    assert_forgotten(&device).await;
    // Whoever had the device may have been a stranger: the user signs in as before.
    world.proof(&user).await;
    assert!(fleet.stop().await);
}

async fn assert_forgotten(device: &Device) {
    let gone = device.list().await.unwrap_err();
    assert!(matches!(gone, Error::Refused { refusal: Refusal::Unauthorized, .. }), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e5_a_wrong_device_is_let_go_by_a_new_code_or_by_its_own_user_and_a_blocked_user_gets_none() {
    let world = World::new(PEOPLE).await;
    world.register(policy(their_own())).await;
    let fleet = world.start(&ALL).await;
    let user = world.caller("alice", "+19195550101").await;
    let proof = world.proof(&user).await;
    let id = world.enroll(world.change(&user, Change::DeviceActivate).proved_by(proof)).await;
    let first = scanned(&at_step(&world, id, NextStep::ActivateDevice).await);
    let stranger = activate(&first, "a stranger’s").await.unwrap();
    at_step(&world, id, NextStep::BeginTest).await;
    world.portal.new_activation_code(id).await.unwrap();
    let second = scanned(&at_step(&world, id, NextStep::ActivateDevice).await);
    assert_forgotten(&stranger).await;
    let void = activate(&first, "a stranger’s").await.unwrap_err();
    assert!(matches!(void, Error::Refused { refusal: Refusal::ActivationExpired, .. }), "{void}");
    let own = activate(&second, "phone").await.unwrap();
    at_step(&world, id, NextStep::BeginTest).await;
    world.portal.test_again(id, number()).await.unwrap();
    first_listed(&own).await;

    let cause = fleet_records::Cause::operator("lost the phone");
    assert!(world.records.block(&user, None, &cause).await.unwrap());
    assert_eq!(end(&world.changed(id).await), refused(EnrollmentReason::LockedOut));
    assert_forgotten(&own).await;

    assert!(world.records.unblock(&user, &cause).await.unwrap());
    let proof = world.proof(&user).await;
    let id = world.enroll(world.change(&user, Change::DeviceActivate).proved_by(proof)).await;
    let own =
        activate(&scanned(&at_step(&world, id, NextStep::ActivateDevice).await), "phone").await.unwrap();
    at_step(&world, id, NextStep::BeginTest).await;
    own.revoke().await.unwrap();
    assert_eq!(end(&world.changed(id).await), refused(EnrollmentReason::DeviceUnknown));
    assert_forgotten(&own).await;
    assert!(world.records.user(&user).await.unwrap().unwrap().devices.is_empty());
    assert!(fleet.stop().await);
}
