//! What a request becomes, by the user's PIN, lockout, opted-out numbers and block, and the portal's policy.

use fleet_domain::{
    CallMode, Channel, PhoneRole, PinRule, Portal, Reason, Refusal, Target, User, bypass, may_bypass, open,
};

use crate::cases::{ask, at, portal, user};

fn policy(change: impl Fn(&mut Portal)) -> Portal {
    let mut portal = portal();
    change(&mut portal);
    portal
}

fn changed(change: impl Fn(&mut User)) -> User {
    let mut user = user();
    change(&mut user);
    user
}

#[test]
fn the_mode_of_a_call_follows_from_policy_and_request() {
    let with_pin = policy(|portal| portal.policy.pin = PinRule::Required);
    for (portal, number, mode) in [
        (portal(), false, CallMode::Key),
        (portal(), true, CallMode::NumberMatch),
        (with_pin.clone(), false, CallMode::Pin),
        (with_pin, true, CallMode::PinNumberMatch),
    ] {
        let challenge = open(&ask(&[Channel::Voice], number), Some(&user()), &portal, at(0)).unwrap();
        assert_eq!(challenge.request.mode, mode);
    }
}

#[test]
fn a_policy_can_demand_the_number_for_calls_alone() {
    let strict = policy(|portal| portal.policy.call_number_match = true);
    let refused = open(&ask(&[Channel::Voice], false), Some(&user()), &strict, at(0)).unwrap_err();
    assert_eq!((refused.refusal, refused.field), (Refusal::InvalidRequest, "number_match"));
    assert!(open(&ask(&[Channel::Voice], true), Some(&user()), &strict, at(0)).is_ok());
    assert!(open(&ask(&[Channel::Push], false), Some(&user()), &strict, at(0)).is_ok());
}

#[test]
fn whoever_cannot_be_called_is_not_called() {
    let off = portal();
    let pin = policy(|portal| portal.policy.pin = PinRule::Required);
    let locked = |until| changed(|user| user.pin_locked_until = Some(at(until)));
    let opted_out = |roles: &[PhoneRole]| changed(|user| user.opted_out = roles.to_vec());
    for (portal, user, reason) in [
        (&off, changed(|user| user.blocked = true), Some(Reason::UserBlocked)),
        (&off, changed(|user| user.has_pin = false), None),
        (&off, locked(60), None),
        (&off, opted_out(&[PhoneRole::Primary]), Some(Reason::NumberOptedOut)),
        (&off, opted_out(&[PhoneRole::Backup]), None),
        (&pin, user(), None),
        (&pin, changed(|user| user.has_pin = false), Some(Reason::NoMethod)),
        (&pin, locked(60), Some(Reason::LockedOut)),
        (&pin, locked(30), None),
    ] {
        let challenge = open(&ask(&[Channel::Voice], false), Some(&user), portal, at(30)).unwrap();
        assert_eq!(challenge.live.end.map(|end| end.reason), reason, "{user:?}");
    }
}

#[test]
fn a_way_that_is_barred_is_left_out_and_is_no_alternative() {
    let pin = policy(|portal| portal.policy.pin = PinRule::Required);
    let locked =
        changed(|user| (user.pin_locked_until, user.totp_locked_until) = (Some(at(60)), Some(at(60))));
    let both = open(&ask(&[Channel::Voice, Channel::Push], false), Some(&locked), &pin, at(0)).unwrap();
    assert_eq!(
        both.request.steps.iter().map(fleet_domain::Step::channel).collect::<Vec<_>>(),
        [Channel::Push]
    );
    assert_eq!(both.request.alternatives, []);
    let opted_out = changed(|user| user.opted_out = vec![PhoneRole::Backup]);
    let push = open(&ask(&[Channel::Push], false), Some(&opted_out), &portal(), at(0)).unwrap();
    let calls = push.request.alternatives.iter().filter(|one| one.channel == Channel::Voice);
    assert_eq!(calls.map(|one| one.target).collect::<Vec<_>>(), [Target::Primary]);
}

#[test]
fn a_bypass_approves_who_is_asked_or_has_nothing_left_to_be_asked_by_and_nobody_else() {
    let portal = portal();
    let given = User { bypass: true, ..user() };
    let without = |method| User { method, phones: Vec::new(), devices: Vec::new(), ..given.clone() };
    for (user, may) in [
        (given.clone(), true),
        (without(Channel::Push), true),
        (without(Channel::Voice), true),
        (User { bypass: false, ..without(Channel::Push) }, false),
        (User { blocked: true, ..given.clone() }, false),
        (User { blocked: true, ..without(Channel::Push) }, false),
        (User { audience: "others".into(), ..given.clone() }, false),
        (User { audience: "others".into(), ..without(Channel::Push) }, false),
    ] {
        let opened = open(&ask(&[], false), Some(&user), &portal, at(0)).unwrap();
        assert_eq!(may_bypass(&opened, Some(&user), &portal), may, "{user:?}");
        if may {
            let approved = bypass(opened, at(1));
            assert_eq!(approved.live.end.as_ref().map(|end| end.reason), Some(Reason::OkBypass));
            assert_eq!(fleet_domain::owed(&approved), []);
        }
    }
    let mut with_pin = portal.clone();
    with_pin.policy.pin = PinRule::Required;
    let locked = User { method: Channel::Voice, has_pin: true, pin_locked_until: Some(at(60)), ..given };
    let opened = open(&ask(&[], false), Some(&locked), &with_pin, at(0)).unwrap();
    assert!(!may_bypass(&opened, Some(&locked), &with_pin), "{:?}", opened.live.end);
}
