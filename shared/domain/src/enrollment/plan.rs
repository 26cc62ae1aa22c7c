//! What a change comes to: what it stores, how that is tested, and what only the user can still give.

use alloc::string::String;

use super::request::{Account, DevicesOut, EnrollmentAsk, Flaw, Patch, StandingChange, TestPlan};
use super::words::{Authority, Change, EnrollmentReason, NextStep};
use crate::open::call_mode;
use crate::portal::Portal;
use crate::request::Step;
use crate::time::Timestamp;
use crate::user::{Phone, User};
use crate::words::{CallMode, Channel, PhoneRole, PinRule};

/// What a change comes to.
#[derive(Default)]
pub(super) struct Plan {
    /// What is stored.
    pub(super) patch: Patch,
    /// How that is tested, if it is.
    pub(super) test: Option<TestPlan>,
    /// What only the user can give and has not; nothing changes until then.
    pub(super) missing: Option<NextStep>,
}

/// What this change comes to for this user, or why it is refused.
pub(super) fn plan(
    ask: &EnrollmentAsk,
    account: &Account,
    (portal, authority): (&Portal, Authority),
    now: Timestamp,
) -> Result<Plan, Flaw> {
    let user = account.user.as_ref();
    let Some(user) = user else {
        return match ask.change {
            Change::Enroll => enroll(ask, None, (portal, authority)),
            Change::Method
            | Change::Phone
            | Change::PhoneRemove
            | Change::PhoneTest
            | Change::Pin
            | Change::Questions
            | Change::DeviceRevoke
            | Change::Recovery
            | Change::Read
            | Change::DeviceLost
            | Change::Block
            | Change::Unblock
            | Change::Bypass
            | Change::Delete
            | Change::DeviceActivate => Err(unknown_user()),
        };
    };
    match ask.change {
        Change::Enroll => enroll(ask, Some(user), (portal, authority)),
        Change::Method => change_method(ask, user, (portal, authority)),
        Change::Phone => change_phone(ask, user, (portal, authority)),
        Change::PhoneTest => test_phone(ask, user, (portal, authority)),
        Change::Pin => change_pin(ask, user, portal),
        Change::Recovery => recovery(ask, account, portal, now),
        Change::Read => Ok(Plan::default()),
        Change::DeviceRevoke | Change::DeviceLost => devices_out(ask, user),
        Change::DeviceActivate => add_device(user, portal),
        Change::Bypass if account.bypasses >= portal.policy.enrollment.bypasses_per_year => {
            Err(Flaw::new(EnrollmentReason::Throttled, "data.change", "was made too often within a year"))
        }
        Change::PhoneRemove
        | Change::Questions
        | Change::Block
        | Change::Unblock
        | Change::Bypass
        | Change::Delete => Ok(Plan { patch: at_once(ask), ..Plan::default() }),
    }
}

/// What needs no test.
fn at_once(ask: &EnrollmentAsk) -> Patch {
    let wanted = &ask.wanted;
    Patch {
        without_backup: ask.change == Change::PhoneRemove,
        answers: wanted.answers.clone(),
        standing: match ask.change {
            Change::Block => Some(StandingChange::Block(wanted.until)),
            Change::Unblock => Some(StandingChange::Unblock),
            Change::Enroll
            | Change::Method
            | Change::Phone
            | Change::PhoneRemove
            | Change::PhoneTest
            | Change::Pin
            | Change::Questions
            | Change::DeviceRevoke
            | Change::Recovery
            | Change::Read
            | Change::DeviceLost
            | Change::Bypass
            | Change::Delete
            | Change::DeviceActivate => None,
        },
        bypass_s: wanted.seconds.filter(|_| ask.change == Change::Bypass),
        delete: ask.change == Change::Delete,
        ..Patch::default()
    }
}

fn enroll(
    ask: &EnrollmentAsk,
    user: Option<&User>,
    (portal, authority): (&Portal, Authority),
) -> Result<Plan, Flaw> {
    let wanted = &ask.wanted;
    if user.is_none() && ask.audience.as_ref().is_some_and(|asked| !portal.audiences.contains(asked)) {
        let rule = "must be an audience that this portal serves";
        return Err(Flaw::new(EnrollmentReason::NotPermitted, "data.audience", rule));
    }
    let method = wanted.method.or(user.map(|user| user.method)).unwrap_or(Channel::Voice);
    let mut plan = by_method(method, ask, user, (portal, authority))?;
    plan.patch.answers.clone_from(&wanted.answers);
    plan.patch.phones.extend(wanted.backup.clone().map(|phone| Phone { verified: false, ..phone }));
    Ok(plan)
}

fn change_method(
    ask: &EnrollmentAsk,
    user: &User,
    (portal, authority): (&Portal, Authority),
) -> Result<Plan, Flaw> {
    by_method(ask.wanted.method.unwrap_or(user.method), ask, Some(user), (portal, authority))
}

/// The change to this method, tested by it.
fn by_method(
    method: Channel,
    ask: &EnrollmentAsk,
    user: Option<&User>,
    (portal, authority): (&Portal, Authority),
) -> Result<Plan, Flaw> {
    if !portal.policy.channels.contains(&method) {
        let rule = "is not among the methods of this portal";
        return Err(Flaw::new(EnrollmentReason::NotPermitted, "data.method", rule));
    }
    let wanted = &ask.wanted;
    let mut patch = Patch { method: Some(method), pin: wanted.pin.clone(), ..Patch::default() };
    let given = wanted.phone.clone().map(|phone| Phone { verified: true, ..phone });
    if method == Channel::Push {
        patch.phones.extend(given.map(|phone| Phone { verified: false, ..phone }));
        if user.is_some_and(|user| !user.devices.is_empty()) {
            let test = push_test(patch.pin.clone());
            return Ok(Plan { patch, test: Some(test), missing: None });
        }
        return Ok(activation(patch));
    }
    if method == Channel::Totp {
        patch.phones.extend(given.map(|phone| Phone { verified: false, ..phone }));
        return Ok(Plan { test: Some(code_test(patch.pin.as_ref(), user)?), patch, missing: None });
    }
    let stored = user.and_then(|user| user.phones.iter().find(|phone| phone.role == PhoneRole::Primary));
    let phone = given.clone().or_else(|| stored.map(|phone| Phone { verified: true, ..phone.clone() }));
    let Some(phone) = phone else {
        return Ok(Plan { patch, test: None, missing: Some(NextStep::ProvidePhone) });
    };
    let mode = test_mode(patch.pin.as_ref(), user, (portal, authority))?;
    patch.phones.push(phone.clone());
    let test = call_test(phone, mode, (ask, portal), patch.pin.clone());
    Ok(Plan { patch, test: Some(test), missing: None })
}

/// What is stored once the app has been activated on a device, and the device has passed a test.
fn activation(patch: Patch) -> Plan {
    let test = push_test(patch.pin.clone());
    Plan {
        patch: Patch { activates: true, ..patch },
        test: Some(test),
        missing: Some(NextStep::ActivateDevice),
    }
}

fn add_device(user: &User, portal: &Portal) -> Result<Plan, Flaw> {
    if !portal.policy.channels.contains(&Channel::Push) {
        let rule = "is not among what this portal may ask for: its users are not asked by push";
        return Err(Flaw::new(EnrollmentReason::NotPermitted, "data.change", rule));
    }
    if user.devices.len() >= usize::from(portal.policy.enrollment.devices_max) {
        let rule = "has the app on as many devices as this portal allows: one of them must be given up first";
        return Err(Flaw::new(EnrollmentReason::DeviceLimit, "data.user_id", rule));
    }
    Ok(activation(Patch::default()))
}

fn change_phone(
    ask: &EnrollmentAsk,
    user: &User,
    (portal, authority): (&Portal, Authority),
) -> Result<Plan, Flaw> {
    let Some(phone) = ask.wanted.phone.clone() else {
        return Err(Flaw::new(EnrollmentReason::InvalidNumber, "data.sealed.phone", "is required"));
    };
    let phone = Phone { verified: true, ..phone };
    let mode = test_mode(ask.wanted.pin.as_ref(), Some(user), (portal, authority))?;
    let backup = ask.wanted.backup.clone().map(|phone| Phone { verified: false, ..phone });
    let patch = Patch {
        phones: core::iter::once(phone.clone()).chain(backup).collect(),
        pin: ask.wanted.pin.clone(),
        ..Patch::default()
    };
    let test = call_test(phone, mode, (ask, portal), patch.pin.clone());
    Ok(Plan { patch, test: Some(test), missing: None })
}

fn test_phone(
    ask: &EnrollmentAsk,
    user: &User,
    (portal, authority): (&Portal, Authority),
) -> Result<Plan, Flaw> {
    let role = ask.wanted.role.unwrap_or(PhoneRole::Backup);
    let Some(phone) = user.phones.iter().find(|phone| phone.role == role) else {
        let names = "names a phone that this user does not have";
        return Err(Flaw::new(EnrollmentReason::InvalidNumber, "data.phone", names));
    };
    let phone = Phone { verified: true, ..phone.clone() };
    let mode = test_mode(None, Some(user), (portal, authority))?;
    let patch = Patch { phones: alloc::vec![phone.clone()], ..Patch::default() };
    Ok(Plan { patch, test: Some(call_test(phone, mode, (ask, portal), None)), missing: None })
}

fn change_pin(ask: &EnrollmentAsk, user: &User, portal: &Portal) -> Result<Plan, Flaw> {
    if portal.policy.pin == PinRule::Off {
        return Err(pin_not_allowed());
    }
    let patch = Patch { pin: ask.wanted.pin.clone(), ..Patch::default() };
    if let Some(phone) = user.phone(PhoneRole::Primary) {
        let test = call_test(phone.clone(), pin_mode(ask), (ask, portal), patch.pin.clone());
        return Ok(Plan { patch, test: Some(test), missing: None });
    }
    let has_device = !user.devices.is_empty();
    let test = has_device.then(|| push_test(patch.pin.clone()));
    Ok(Plan { patch, test, missing: (!has_device).then_some(NextStep::ProvidePhone) })
}

fn recovery(ask: &EnrollmentAsk, account: &Account, portal: &Portal, now: Timestamp) -> Result<Plan, Flaw> {
    let locked =
        account.answers_locked_until.max(account.user.as_ref().and_then(|user| user.pin_locked_until));
    if locked.is_some_and(|until| until > now) {
        let rule = "has given too many wrong answers: nothing is taken for a while";
        return Err(Flaw::new(EnrollmentReason::LockedOut, "data.user_id", rule));
    }
    // Fewer than that prove nothing: the user never set them, or the portal approves them no more.
    if ask.wanted.asked.len() < usize::from(portal.policy.enrollment.questions.to_ask) {
        let rule = "has too few security questions that this portal approves";
        return Err(Flaw::new(EnrollmentReason::QuestionsInvalid, "data.user_id", rule));
    }
    Ok(Plan::default())
}

fn devices_out(ask: &EnrollmentAsk, user: &User) -> Result<Plan, Flaw> {
    let device = ask.wanted.device;
    if device.is_some_and(|device| user.devices.iter().all(|have| have.id != device)) {
        let rule = "is no active device of this user";
        return Err(Flaw::new(EnrollmentReason::DeviceUnknown, "data.device", rule));
    }
    let out = DevicesOut { device, lost: ask.change == Change::DeviceLost };
    Ok(Plan { patch: Patch { devices: Some(out), ..Patch::default() }, ..Plan::default() })
}

/// What a called person keys in the test, without the number on the screen: the PIN that is being set, else the user's own.
/// An operator's change is not held up by a PIN that the user may have forgotten.
fn test_mode(
    new_pin: Option<&String>,
    user: Option<&User>,
    (portal, authority): (&Portal, Authority),
) -> Result<PinRule, Flaw> {
    let has_pin = user.is_some_and(|user| user.has_pin);
    match portal.policy.pin {
        PinRule::Off if new_pin.is_some() => Err(pin_not_allowed()),
        PinRule::Required if new_pin.is_none() && authority == Authority::Operator => Ok(PinRule::Off),
        PinRule::Required if new_pin.is_none() && !has_pin => {
            Err(Flaw::new(EnrollmentReason::PinRequired, "data.sealed.pin", "is required by this portal"))
        }
        rule @ (PinRule::Off | PinRule::Required) => Ok(rule),
    }
}

fn pin_not_allowed() -> Flaw {
    Flaw::new(
        EnrollmentReason::PinNotAllowed,
        "data.sealed.pin",
        "must be absent: this portal asks for no PIN",
    )
}

fn pin_mode(ask: &EnrollmentAsk) -> PinRule {
    if ask.wanted.pin.is_some() { PinRule::Required } else { PinRule::Off }
}

fn call_test(
    phone: Phone,
    pin_rule: PinRule,
    (ask, portal): (&EnrollmentAsk, &Portal),
    pin: Option<String>,
) -> TestPlan {
    let mode = call_mode(pin_rule, ask.test.number_match.is_some());
    TestPlan { step: Step::Voice { phone, ring_s: portal.policy.ring_s }, mode, pin }
}

fn push_test(pin: Option<String>) -> TestPlan {
    TestPlan { step: Step::Push { device: None, timeout_ms: None }, mode: CallMode::Key, pin }
}

/// The secret of the codes came with the device, so a device is there before its codes are the method.
fn code_test(pin: Option<&String>, user: Option<&User>) -> Result<TestPlan, Flaw> {
    if !user.is_some_and(|user| user.has_totp(None)) {
        let rule = "needs a device that makes one-time codes: activate an app first, by the method push";
        return Err(Flaw::new(EnrollmentReason::DeviceUnknown, "data.method", rule));
    }
    if pin.is_some() {
        let rule = "must be absent: a one-time code does not test a PIN";
        return Err(Flaw::new(EnrollmentReason::PinNotAllowed, "data.sealed.pin", rule));
    }
    Ok(TestPlan { step: Step::Totp { device: None, timeout_ms: None }, mode: CallMode::Key, pin: None })
}

/// Also what a user of another portal's audience looks like.
pub(super) fn unknown_user() -> Flaw {
    Flaw::new(EnrollmentReason::UserUnknown, "data.user_id", "is no user of this portal")
}
