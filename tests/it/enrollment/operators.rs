//! What help desk changes for a person: marked as theirs, with who and why, and also while the person is locked out.

use fleet_domain::{
    Assurance, Authority, Change, Channel, EnrollmentPolicy, EnrollmentReason, EnrollmentState, PhoneRole,
    Reason, UserId,
};
use fleet_portal_client::GivenPhone;

use super::{DONE, PEOPLE, THEIR_OWN, end, mobile, policy, refused};
use crate::world::{ALL, World, until};

fn operators() -> EnrollmentPolicy {
    let theirs = [Change::DeviceLost, Change::Block, Change::Unblock, Change::Bypass, Change::Delete];
    let requests = THEIR_OWN.iter().chain(&theirs).copied().collect();
    EnrollmentPolicy { requests, operators: true, ..EnrollmentPolicy::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn s7_s31_an_operator_changes_a_phone_without_the_old_one_and_is_named_in_the_audit() {
    let world = World::new(PEOPLE).await;
    world.register(policy(operators())).await;
    let fleet = world.start(&ALL).await;
    let user = world.caller("alice", "+19195550105").await;
    let office = GivenPhone { kind: fleet_domain::PhoneKind::Office, ..mobile("+19195550102") };
    let change = world.change(&user, Change::Phone).phone(office);
    let changed = world.change_now(change.by_operator("pat", "lost the phone").ticket("HD-7")).await;
    assert_eq!((end(&changed), changed.authority), (DONE, Authority::Operator), "{changed:?}");
    let stored = world.records.user(&user).await.unwrap().unwrap();
    assert_eq!(stored.phone(PhoneRole::Primary).unwrap().kind, fleet_domain::PhoneKind::Office);
    let acts = world.records.standing(&user).await.unwrap().unwrap().acts;
    assert!(acts.iter().all(|act| act.actor == "operator pat at fleet"), "{acts:?}");
    assert!(
        acts.iter().any(|act| act.act == "phone_change enrolled" && act.reason == "ok: lost the phone"),
        "{acts:?}"
    );
    // S7: a user is prepared for a method without a call; the rest is the user's.
    let prepared = UserId::parse("prepared").unwrap();
    let enroll =
        world.change(&prepared, Change::Enroll).method(Channel::Voice).by_operator("pat", "new hire");
    let outcome = world.change_now(enroll).await;
    assert_eq!(
        (outcome.state, outcome.reason),
        (EnrollmentState::PendingUserData, Some(EnrollmentReason::Ok))
    );
    assert!(world.records.user(&prepared).await.unwrap().is_some());
    assert_eq!(world.called().await, ["+19195550102"]);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_a_bypass_approves_one_challenge_unasked_and_proves_nothing() {
    let world = World::new(PEOPLE).await;
    world.register(policy(operators())).await;
    let fleet = world.start(&ALL).await;
    let user = world.caller("alice", "+19195550101").await;
    let give = || {
        let bypass = world.change(&user, Change::Bypass).seconds(120);
        bypass.by_operator("pat", "phone in repair").ticket("HD-8")
    };
    assert_eq!(end(&world.change_now(give()).await), DONE);
    let bypassed = world.challenge(&user).await;
    assert_eq!((bypassed.reason, bypassed.assurance), (Some(Reason::OkBypass), Some(Assurance::Bypass)));
    assert_eq!(world.challenge(&user).await.reason, Some(Reason::OkKey), "it was used");
    assert_eq!(end(&world.change_now(give()).await), DONE);
    assert_eq!(end(&world.change_now(give()).await), refused(EnrollmentReason::Throttled), "two a year");
    world.shift_clock(200).await;
    until("the bypass is over", || async { !world.records.user(&user).await.unwrap().unwrap().bypass }).await;
    assert_eq!(world.called().await.len(), 1);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s35_r6_a_block_and_a_lost_device_end_what_is_open_and_ringing() {
    let world = World::new(PEOPLE).await;
    world.register(policy(operators())).await;
    let fleet = world.start(&ALL).await;
    let user = world.caller("alice", "+19195550105").await;
    for (change, reason) in [(Change::Block, Reason::UserBlocked), (Change::DeviceLost, Reason::Revoked)] {
        let ringing = world.ask(&world.portal.draft(user.clone())).await;
        until("it rings", || async {
            let outcome = world.portal.outcome(ringing).await.unwrap();
            outcome.is_some_and(|outcome| outcome.progress == fleet_domain::Progress::Ringing)
        })
        .await;
        let asked = world.change(&user, change).by_operator("pat", "stolen");
        assert_eq!(end(&world.change_now(asked).await), DONE);
        assert_eq!(world.outcome(ringing).await.reason, Some(reason));
        let lift = world.change(&user, Change::Unblock).by_operator("pat", "found again");
        assert_eq!(end(&world.change_now(lift).await), DONE);
    }
    let gone = world.change_now(world.change(&user, Change::Delete).by_operator("pat", "left")).await;
    assert_eq!(end(&gone), DONE);
    assert!(world.records.user(&user).await.unwrap().is_none());
    let again = world.change_now(world.change(&user, Change::Block).by_operator("pat", "left")).await;
    assert_eq!(end(&again), refused(EnrollmentReason::UserUnknown));
    assert!(fleet.stop().await);
}
