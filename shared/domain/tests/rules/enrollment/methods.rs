//! What a change of the method comes to: its test, or what is missing.

use fleet_domain::{
    Account, Change, Channel, Enrollment, EnrollmentAsk, EnrollmentReason, Portal, Shown, Step, User,
    open_enrollment, test_challenge,
};

use super::cases::{account, ask_for, enrolled, everything, portal_with};
use crate::cases::{at, user};

fn portal(channels: &[Channel]) -> Portal {
    let mut portal = portal_with(everything(false));
    portal.policy.channels = channels.to_vec();
    portal
}

fn opened(ask: &EnrollmentAsk, account: &Account, portal: &Portal) -> Enrollment {
    open_enrollment(ask, None, (account, Shown::SignIn), portal, at(0)).unwrap()
}

#[test]
fn r3_codes_become_the_method_by_a_code_of_a_device_that_the_user_has() {
    let mut ask = ask_for(Change::Method, None);
    (ask.wanted.method, ask.wanted.phone, ask.wanted.pin) = (Some(Channel::Totp), None, None);
    let with_codes = portal(&[Channel::Totp]);
    let asked = opened(&ask, &enrolled(), &with_codes);
    assert_eq!(asked.request.patch.method, Some(Channel::Totp));
    let test = test_challenge(&asked, &with_codes, at(1)).unwrap();
    assert!(matches!(test.request.steps[..], [Step::Totp { device: None, timeout_ms: None }]));
    assert_eq!((test.key.id, test.awaiting_code().is_some()), (ask.test.id, true));

    let bare = |mut user: User| {
        user.devices[0].has_totp = false;
        account(Some(user))
    };
    let mut with_pin = ask.clone();
    with_pin.wanted.pin = Some("a hash".into());
    let without_codes = portal(&[Channel::Voice, Channel::Push]);
    for (ask, account, portal, reason, field) in [
        (&ask, bare(user()), &with_codes, EnrollmentReason::DeviceUnknown, "data.method"),
        (&with_pin, enrolled(), &with_codes, EnrollmentReason::PinNotAllowed, "data.sealed.pin"),
        (&ask, enrolled(), &without_codes, EnrollmentReason::NotPermitted, "data.method"),
    ] {
        let end = opened(ask, &account, portal).live.end.unwrap();
        assert_eq!((end.reason, end.field.as_deref()), (reason, Some(field)));
    }
}
