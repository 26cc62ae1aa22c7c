//! What is refused, and that it names the field and costs no call.

use fleet_domain::{Change, Channel, EnrollmentPolicy, EnrollmentReason, Policy, UserId};
use fleet_portal_client::GivenPhone;

use super::{PEOPLE, end, mobile, policy, refused, their_own};
use crate::world::{ALL, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn s8_s9_e2_s28_a_number_or_extension_that_breaks_a_rule_is_refused_by_name_and_without_a_call() {
    let world = World::new(PEOPLE).await;
    let help = [("en-US".to_owned(), "Call the help desk.".to_owned())].into();
    world.register(Policy { help, ..policy(their_own()) }).await;
    let fleet = world.start(&ALL).await;
    let user = UserId::parse("newcomer").unwrap();
    let phone = |number: &str, extension: Option<&str>| GivenPhone {
        extension: extension.map(str::to_owned),
        ..mobile(number)
    };
    for (phone, reason, field) in [
        (phone("9195550102", None), EnrollmentReason::InvalidNumber, "number"),
        (phone("+11234567890", None), EnrollmentReason::InvalidNumber, "number"),
        (phone("+442079460000", None), EnrollmentReason::DestinationNotAllowed, "number"),
        (phone("+19002345678", None), EnrollmentReason::DestinationNotAllowed, "number"),
        (phone("+19195550102", Some(",,41x3")), EnrollmentReason::InvalidExtension, "extension"),
    ] {
        let enroll = world.change(&user, Change::Enroll).method(Channel::Voice).phone(phone);
        let outcome = world.change_now(enroll).await;
        assert_eq!(end(&outcome), refused(reason));
        assert_eq!(outcome.field, Some(format!("data.sealed.phone.{field}")));
        assert_eq!((outcome.rule.is_some(), outcome.help.as_deref()), (true, Some("Call the help desk.")));
    }
    world.register(policy(EnrollmentPolicy { extensions: false, ..their_own() })).await;
    until("the fleet knows the new policy", || async {
        !fleet.assembly.engine.portal(world.portal.portal()).unwrap().policy.enrollment.extensions
    })
    .await;
    let enroll = world.change(&user, Change::Enroll).method(Channel::Voice);
    let outcome = world.change_now(enroll.phone(phone("+19195550102", Some("4123")))).await;
    assert_eq!(end(&outcome), refused(EnrollmentReason::ExtensionNotAllowed));
    let enroll = world.change(&user, Change::Enroll).method(Channel::Voice).phone(mobile("+19195550102"));
    assert_eq!(end(&world.change_now(enroll.pin("820571")).await), refused(EnrollmentReason::PinNotAllowed));
    assert!(world.called().await.is_empty());
    assert!(world.records.user(&user).await.unwrap().is_none());
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_changes_only_what_its_policy_names_and_never_another_audiences_user() {
    let world = World::new(PEOPLE).await;
    let fleet = world.start(&ALL).await;
    let user = world.caller("alice", "+19195550101").await;
    // A portal that was never told so may change nothing.
    let change = world.change(&user, Change::Phone).phone(mobile("+19195550102"));
    assert_eq!(end(&world.change_now(change).await), refused(EnrollmentReason::NotPermitted));
    world.register(policy(their_own())).await;
    until("the fleet knows the new policy", || async {
        !fleet.assembly.engine.portal(world.portal.portal()).unwrap().policy.enrollment.requests.is_empty()
    })
    .await;
    let stranger = fleet_records::NewUser {
        id: UserId::parse("stranger").unwrap(),
        audience: "others".into(),
        method: Channel::Voice,
        phones: Vec::new(),
        devices: Vec::new(),
    };
    world.records.put_user(&stranger).await.unwrap();
    for change in [
        world.change(&stranger.id, Change::Enroll).method(Channel::Voice).phone(mobile("+19195550102")),
        world.change(&stranger.id, Change::Phone).phone(mobile("+19195550102")),
    ] {
        assert_eq!(end(&world.change_now(change).await), refused(EnrollmentReason::UserUnknown));
    }
    let block = world.change(&user, Change::Block).by_operator("mallory", "none");
    assert_eq!(end(&world.change_now(block).await), refused(EnrollmentReason::NotPermitted));
    assert!(!world.records.user(&user).await.unwrap().unwrap().blocked);
    assert!(world.called().await.is_empty());
    assert!(fleet.stop().await);
}
