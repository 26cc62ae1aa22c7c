//! The app as a method: tested by a push, and given up again.

use fleet_contracts::{EnrollmentOutcome, OneTimeCode};
use fleet_domain::{
    Change, Channel, DeviceId, EnrollmentReason, NextStep, PhoneKind, PhoneNumber, PhoneRole, Policy,
    PushToken, Reason, UserId,
};
use fleet_keys::Keys;
use fleet_records::{DeviceAlg, NewDevice, NewPhone};

use super::{DONE, PATIENCE, PEOPLE, end, policy, refused, their_own};
use crate::world::{ALL, World, decoded};

const DEVICE: &str = "00000000-0000-8000-8000-000000000001";

async fn method_of(world: &World, user: &UserId) -> Channel {
    world.records.user(user).await.unwrap().unwrap().method
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_s3_s25_e1_the_method_flips_when_the_new_one_has_passed_its_test_and_a_device_can_be_given_up() {
    let world = World::new(PEOPLE).await;
    world.register(policy(their_own())).await;
    let phone = NewPhone {
        role: PhoneRole::Primary,
        kind: PhoneKind::Mobile,
        number: PhoneNumber::parse("+19195550101").unwrap(),
        extension: None,
        verified: true,
    };
    let device = NewDevice {
        id: DeviceId::parse(DEVICE).unwrap(),
        alg: DeviceAlg::Es256,
        public_key: decoded(&fleet_simulator::swarm_public_key().unwrap()),
        push_token: Some(PushToken::new("swarm-1".into())),
        totp: None,
    };
    let user = world.user("alice", Channel::Voice, vec![phone], vec![device]).await;
    let fleet = world.start(&ALL).await;
    let proof = world.proof(&user).await;
    let change = world.change(&user, Change::Method).method(Channel::Push).proved_by(proof);
    let changed = world.change_now(change).await;
    assert_eq!((end(&changed), changed.tests[0].reason), (DONE, Some(Reason::OkPush)));
    let method = changed.method.unwrap();
    assert_eq!((method.before, method.after), (Some(Channel::Voice), Channel::Push));
    let proof = world.ask(&world.portal.draft(user.clone())).await;
    assert_eq!(world.outcome(proof).await.reason, Some(Reason::OkPush));
    assert_eq!(world.called().await.len(), 1, "the next challenge goes by push");

    let revoke = world.change(&user, Change::DeviceRevoke).device(DeviceId::parse(DEVICE).unwrap());
    assert_eq!(end(&world.change_now(revoke.clone()).await), refused(EnrollmentReason::ProofRequired));
    let revoke = world.change(&user, Change::DeviceRevoke).device(DeviceId::parse(DEVICE).unwrap());
    assert_eq!(end(&world.change_now(revoke.proved_by(proof)).await), DONE);
    let read = world.change_now(world.change(&user, Change::Read)).await.enrolled.unwrap();
    assert_eq!((read.method, read.devices.len(), read.phones.len()), (Channel::Push, 0, 1));
    assert_eq!(world.challenge(&user).await.reason, Some(Reason::NoDevice));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_e1_codes_become_the_method_when_one_was_typed_into_the_portal() {
    let world = World::new(PEOPLE).await;
    let channels = vec![Channel::Voice, Channel::Push, Channel::Totp];
    world.register(Policy { channels, ..policy(their_own()) }).await;
    let secret = Keys::new_totp_secret();
    let device = NewDevice {
        id: DeviceId::parse(DEVICE).unwrap(),
        alg: DeviceAlg::Es256,
        public_key: decoded(&fleet_simulator::swarm_public_key().unwrap()),
        push_token: Some(PushToken::new("swarm-1".into())),
        totp: Some(secret.clone()),
    };
    let user = world.user("alice", Channel::Push, Vec::new(), vec![device]).await;
    let fleet = world.start(&ALL).await;
    let proof = world.proof(&user).await;
    let change = world.change(&user, Change::Method).method(Channel::Totp).proved_by(proof);
    let id = world.enroll(change).await;
    let asked = |outcome: &EnrollmentOutcome| outcome.next_step == Some(NextStep::AnswerTest);
    let waiting = world.portal.wait_enrollment(id, PATIENCE, asked).await.unwrap();
    let test = waiting.tests[0].challenge_id;
    assert_eq!(method_of(&world, &user).await, Channel::Push, "nothing counts before the test has passed");
    let now = u64::try_from(fleet.assembly.engine.now().as_secs()).unwrap();
    world.portal.enter_code(test, &OneTimeCode::parse(&secret.code_at(now)).unwrap()).await.unwrap();
    let changed = world.changed(id).await;
    assert_eq!((end(&changed), changed.tests[0].reason), (DONE, Some(Reason::OkTotp)));
    assert_eq!(method_of(&world, &user).await, Channel::Totp);
    assert!(fleet.stop().await);
}
