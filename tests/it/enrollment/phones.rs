//! Phones, methods and PINs, and the calls that test them.

use fleet_domain::{
    Authority, Change, Channel, DeviceId, EnrollmentReason, EnrollmentResult, EnrollmentState, NextStep,
    PhoneRole, PinRule, Policy, Reason, Target,
};

use super::{DONE, PATIENCE, PEOPLE, end, mobile, policy, refused, their_own};
use crate::world::{ALL, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn s2_s13_e1_r7_the_old_number_is_dialed_until_the_test_of_the_new_one_has_passed_and_never_after() {
    let world = World::new(PEOPLE).await;
    world.register(policy(their_own())).await;
    let user = world.caller("alice", "+19195550101").await;
    let fleet = world.start(&ALL).await;
    let proof = world.proof(&user).await;

    let change = world.change(&user, Change::Phone).phone(mobile("+19195550102")).proved_by(proof);
    let changed = world.change_now(change).await;
    assert_eq!(end(&changed), DONE, "{changed:?}");
    assert_eq!(changed.authority, Authority::SignIn);
    assert_eq!(changed.tests[0].reason, Some(Reason::OkKey));
    assert_eq!(changed.phones[0].number, "+1919*****02");
    world.proof(&user).await;
    assert_eq!(world.called().await, ["+19195550101", "+19195550102", "+19195550102"]);

    // The test of the new phone was no sign-in: it proves none, and the challenge that proved this proves nothing else.
    let again = world.change(&user, Change::Phone).phone(mobile("+19195550101"));
    let by_test = world.change_now(again.clone().proved_by(changed.tests[0].challenge_id)).await;
    assert_eq!(end(&by_test), refused(EnrollmentReason::ProofRequired));
    let twice = world.change(&user, Change::Phone).phone(mobile("+19195550101")).proved_by(proof);
    assert_eq!(end(&world.change_now(twice).await), refused(EnrollmentReason::ProofRequired));
    assert_eq!(world.called().await.len(), 3, "no call without proof");
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s10_s12_s17_s29_e3_e10_a_new_user_enrolls_by_a_call_and_the_portal_polls_every_step() {
    let world = World::new(PEOPLE).await;
    world.register(policy(their_own())).await;
    let fleet = world.start(&ALL).await;
    let user = fleet_domain::UserId::parse("newcomer").unwrap();
    let enroll = world.change(&user, Change::Enroll).method(Channel::Voice).phone(mobile("+19195550102"));
    let id = world.enroll(enroll.backup(mobile("+19195550101"))).await;
    let waiting = world
        .portal
        .wait_enrollment(id, PATIENCE, |o| o.state == EnrollmentState::AwaitingTest)
        .await
        .unwrap();
    assert_eq!((waiting.next_step, waiting.authority), (Some(NextStep::AnswerTest), Authority::First));
    assert!(waiting.seconds_left > 500, "{waiting:?}");
    // Nothing is there before the test has passed.
    assert!(world.records.user(&user).await.unwrap().is_none());
    let changed = world.changed(id).await;
    assert_eq!(end(&changed), DONE);
    assert_eq!(changed.next_step, Some(NextStep::SetQuestions));
    let stored = world.records.user(&user).await.unwrap().unwrap();
    assert_eq!((stored.method, stored.audience.as_str()), (Channel::Voice, "staff"));
    // S10, E3: the backup is there, and counts only after a test of its own.
    assert!(stored.phone(PhoneRole::Primary).is_some() && stored.phone(PhoneRole::Backup).is_none());
    let by_backup = world.ask(&world.portal.draft(user.clone()).to(Target::Backup)).await;
    let by_backup_reason = world.outcome(by_backup).await.reason;
    let tested = world.change_now(world.change(&user, Change::PhoneTest).of(PhoneRole::Backup)).await;
    assert_eq!(end(&tested), DONE);
    assert!(world.records.user(&user).await.unwrap().unwrap().phone(PhoneRole::Backup).is_some());
    let by_backup = world.portal.draft(user.clone()).to(Target::Backup);
    assert_eq!(by_backup_reason, Some(Reason::NoMethod), "not before its own test");
    let id = world.ask(&by_backup).await;
    assert_eq!(world.outcome(id).await.reason, Some(Reason::OkKey));
    assert_eq!(world.called().await, ["+19195550102", "+19195550101", "+19195550101"]);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_a_test_that_nobody_answers_leaves_the_change_open_for_another() {
    let world = World::new(PEOPLE).await;
    world.register(policy(their_own())).await;
    let fleet = world.start(&ALL).await;
    let user = fleet_domain::UserId::parse("newcomer").unwrap();
    let enroll = world.change(&user, Change::Enroll).method(Channel::Voice).phone(mobile("+19195550104"));
    let id = world.enroll(enroll).await;
    let failed = world
        .portal
        .wait_enrollment(id, PATIENCE, |o| o.next_step == Some(NextStep::RetryTest))
        .await
        .unwrap();
    assert_eq!((failed.result, failed.tests[0].reason), (EnrollmentResult::Pending, Some(Reason::NoAnswer)));
    world.answers_now("+19195550104").await;
    world.portal.test_again(id, None).await.unwrap();
    let changed = world.changed(id).await;
    assert_eq!(end(&changed), DONE);
    let reasons: Vec<_> = changed.tests.iter().map(|test| test.reason).collect();
    assert_eq!(reasons, [Some(Reason::NoAnswer), Some(Reason::OkKey)]);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_fraud_in_a_test_ends_the_change_for_good() {
    let world = World::new(PEOPLE).await;
    world.register(policy(their_own())).await;
    let fleet = world.start(&ALL).await;
    let other = fleet_domain::UserId::parse("other").unwrap();
    let enroll = world.change(&other, Change::Enroll).method(Channel::Voice).phone(mobile("+19195550106"));
    assert_eq!(end(&world.change_now(enroll).await), refused(EnrollmentReason::TestFailed));
    assert!(world.records.user(&other).await.unwrap().is_none());
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s11_s15_e7_a_new_pin_is_keyed_in_its_test_and_the_old_one_counts_until_then() {
    let world = World::new(PEOPLE).await;
    world.register(Policy { pin: PinRule::Required, ..policy(their_own()) }).await;
    let fleet = world.start(&ALL).await;
    let user = fleet_domain::UserId::parse("newcomer").unwrap();
    let enroll = || world.change(&user, Change::Enroll).method(Channel::Voice).phone(mobile("+19195550103"));
    assert_eq!(end(&world.change_now(enroll()).await), refused(EnrollmentReason::PinRequired));
    let weak = world.change_now(enroll().pin("123456")).await;
    assert_eq!(end(&weak), refused(EnrollmentReason::PinWeak));
    assert_eq!(weak.field.as_deref(), Some("data.sealed.pin"));
    let enrolled = world.enroll(enroll().pin("820571")).await;
    let enrolled = world.changed(enrolled).await;
    assert_eq!((end(&enrolled), enrolled.tests[0].reason), (DONE, Some(Reason::OkPin)));
    let proof = world.proof(&user).await;
    // Whoever is called keys the old PIN: the test of another one fails, and nothing has changed.
    let change = world.change(&user, Change::Pin).pin("739164").proved_by(proof);
    let id = world.enroll(change).await;
    let failed = world
        .portal
        .wait_enrollment(id, PATIENCE, |o| o.next_step == Some(NextStep::RetryTest))
        .await
        .unwrap();
    assert_eq!(failed.tests[0].reason.map(Reason::result), Some(fleet_domain::ChallengeResult::Denied));
    world.proof(&user).await;
    // E7: a PIN that was used is not used again.
    let proof = world.proof(&user).await;
    let reused = world.change(&user, Change::Pin).pin("820571").proved_by(proof);
    assert_eq!(end(&world.change_now(reused).await), refused(EnrollmentReason::PinReused));
    // What is refused takes nobody's place; what is accepted does.
    let open = world.portal.enrollment_outcome(id).await.unwrap().unwrap();
    assert_eq!(open.result, EnrollmentResult::Pending);
    let newer = world.enroll(world.change(&user, Change::Pin).pin("739165").proved_by(proof)).await;
    assert_eq!(world.changed(id).await.reason, Some(EnrollmentReason::Superseded));
    world.portal.cancel_enrollment(newer).await.unwrap();
    assert_eq!(world.changed(newer).await.reason, Some(EnrollmentReason::CallerCanceled));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_e1_a_change_of_the_method_is_tested_by_the_new_one_and_the_old_one_works_meanwhile() {
    let device = "6f0c1d8e-5a3b-4c7d-9e2f-1a2b3c4d5e6f";
    let world = World::new(PEOPLE).await;
    world.register(policy(their_own())).await;
    let fleet = world.start(&ALL).await;
    let user = world.caller("alice", "+19195550101").await;
    let proof = world.proof(&user).await;
    // Without a device there is nothing to test: the change waits for one, and the calls go on.
    let id = world.enroll(world.change(&user, Change::Method).method(Channel::Push).proved_by(proof)).await;
    let waiting = world
        .portal
        .wait_enrollment(id, PATIENCE, |o| o.next_step == Some(NextStep::ActivateDevice))
        .await
        .unwrap();
    assert_eq!(waiting.state, EnrollmentState::PendingUserData);
    world.proof(&user).await;
    world.portal.cancel_enrollment(id).await.unwrap();
    assert_eq!(world.changed(id).await.reason, Some(EnrollmentReason::CallerCanceled));
    let unknown = world.change(&user, Change::DeviceRevoke).device(DeviceId::parse(device).unwrap());
    assert_eq!(end(&world.change_now(unknown).await), refused(EnrollmentReason::ProofRequired));
    until("the cancel is told", || async {
        world.records.open_enrollment_of(&user).await.unwrap().is_none()
    })
    .await;
    assert!(fleet.stop().await);
}
