//! `open_enrollment`: what a request becomes at acceptance, given the user and the portal's policy.
//!
//! What a rule refuses becomes a request that has ended already, so that its portal finds the outcome where it looks for it.
//! Only what is no proper request at all is refused.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::activation::ACTIVATION;
use super::authority::{Shown, authority};
use super::plan::{Plan, plan, unknown_user};
use super::request::{
    Account, Activation, COLLECT_ENROLLMENT, Enrollment, EnrollmentAsk, EnrollmentEnd, EnrollmentLive,
    EnrollmentRequest, Flaw, Patch, Test, TestPlan,
};
use super::seen::Seen;
use super::words::{Authority, Change, EnrollmentReason, EnrollmentState, NextStep};
use crate::open::{NotOpened, check_created};
use crate::portal::Portal;
use crate::time::Timestamp;
use crate::words::{Channel, PhoneRole, PinRule, Refusal};

/// Makes a request of what was asked, in version 1. `flaw` is what was found wrong with the secrets.
pub fn open_enrollment(
    ask: &EnrollmentAsk,
    flaw: Option<Flaw>,
    (account, shown): (&Account, Shown),
    portal: &Portal,
    now: Timestamp,
) -> Result<Enrollment, NotOpened> {
    check_created(ask.key.id.created_at(), "request_id", now)?;
    let policy = &portal.policy.enrollment;
    let known = account.seen_by(portal);
    let allowed = authority((ask.change, ask.wanted.role), &known, shown, policy);
    let planned = match (allowed, flaw) {
        (Err(reason), _) => Err(not_allowed(reason)),
        // Somebody else's user: told like one that does not exist, and never touched.
        (Ok(_), _) if known.user.is_none() && account.user.is_some() => Err(unknown_user()),
        (Ok(_), Some(flaw)) => Err(flaw),
        (Ok(authority), None) => plan(ask, &known, (portal, authority), now).map(|plan| (authority, plan)),
    };
    let (authority, plan, flaw) = match planned {
        Ok((authority, plan)) => (authority, plan, None),
        Err(flaw) => (allowed.unwrap_or(Authority::None), Plan::default(), Some(flaw)),
    };
    // A test that waits for a device is asked for once that is there, and the digits come with it.
    check_number(ask, plan.test.as_ref().filter(|_| plan.missing.is_none()), portal)?;
    let afterwards = afterwards(ask, &plan.patch, &known, portal);
    let is_read = ask.change == Change::Read && flaw.is_none();
    let live = live(ask, (&plan, authority), flaw, now);
    let request = request(ask, plan, (&known, authority, afterwards), portal, now);
    let request = EnrollmentRequest { seen: is_read.then(|| Seen::of(&known)).flatten(), ..request };
    Ok(Enrollment { key: ask.key.clone(), version: 1, request: Arc::new(request), live })
}

fn not_allowed(reason: EnrollmentReason) -> Flaw {
    let (field, rule) = if reason == EnrollmentReason::ProofRequired {
        (
            "data.proof",
            "must be a challenge of this user, approved a short while ago and not used before, or what the change allows \
             in its place",
        )
    } else if reason == EnrollmentReason::LockedOut {
        ("data.user_id", "is blocked: an operator can lift that")
    } else {
        ("data.change", "is not among what this portal may ask for")
    };
    Flaw::new(reason, field, rule)
}

fn live(
    ask: &EnrollmentAsk,
    (plan, authority): (&Plan, Authority),
    flaw: Option<Flaw>,
    now: Timestamp,
) -> EnrollmentLive {
    let live = |state, next_step, tests| EnrollmentLive {
        state,
        next_step,
        tests,
        end: None,
        at: now,
        activation: None,
    };
    if let Some(flaw) = flaw {
        let end = EnrollmentEnd {
            reason: flaw.reason,
            field: Some(flaw.field),
            rule: Some(flaw.rule),
            at: now,
            version: 1,
        };
        return EnrollmentLive { end: Some(end), ..live(EnrollmentState::Refused, None, Vec::new()) };
    }
    if ask.change == Change::Read {
        let end =
            EnrollmentEnd { reason: EnrollmentReason::Ok, field: None, rule: None, at: now, version: 1 };
        return EnrollmentLive { end: Some(end), ..live(EnrollmentState::Enrolled, None, Vec::new()) };
    }
    if ask.change == Change::Recovery {
        return live(EnrollmentState::PendingUserData, Some(NextStep::AnswerQuestions), Vec::new());
    }
    match plan.missing {
        // An operator prepares a user who gives the rest.
        Some(_) if authority == Authority::Operator && ask.change == Change::Enroll => {
            live(EnrollmentState::TestPassed, None, Vec::new())
        }
        Some(missing) => EnrollmentLive {
            activation: plan.patch.activates.then(|| first_code(now)),
            ..live(EnrollmentState::PendingUserData, Some(missing), Vec::new())
        },
        None if plan.test.is_some() => {
            let test = Test { id: ask.test.id, number_match: ask.test.number_match, ended: None };
            live(EnrollmentState::AwaitingTest, Some(NextStep::AnswerTest), alloc::vec![test])
        }
        None => live(EnrollmentState::TestPassed, None, Vec::new()),
    }
}

fn first_code(now: Timestamp) -> Activation {
    Activation { counter: 1, expires_at: now.plus(ACTIVATION), device: None }
}

fn request(
    ask: &EnrollmentAsk,
    plan: Plan,
    (account, authority, afterwards): (&Account, Authority, Option<NextStep>),
    portal: &Portal,
    now: Timestamp,
) -> EnrollmentRequest {
    // The device has its own time to be activated, and the test then as much as every other.
    let before_test = if plan.patch.activates { ACTIVATION } else { Duration::ZERO };
    let respond_by = now.plus(before_test).plus(portal.policy.enrollment.test_within());
    let user = account.user.as_ref();
    let only_audience = || portal.audiences.first().cloned().unwrap_or_default();
    EnrollmentRequest {
        user: ask.user.clone(),
        audience: user
            .map(|user| user.audience.clone())
            .or_else(|| ask.audience.clone())
            .unwrap_or_else(only_audience),
        change: ask.change,
        patch: plan.patch,
        test: plan.test,
        authority,
        cause: ask.wanted.cause.clone(),
        asked: ask.wanted.asked.clone(),
        method_before: user.map(|user| user.method),
        phones_before: user.map_or_else(Vec::new, |user| {
            user.phones.iter().filter(|phone| phone.verified).map(|phone| phone.masked.clone()).collect()
        }),
        devices_before: user.map_or(0, |user| u16::try_from(user.devices.len()).unwrap_or(u16::MAX)),
        accepted_at: now,
        respond_by,
        collect_by: respond_by.plus(COLLECT_ENROLLMENT),
        locale: ask.locale.clone().unwrap_or_else(|| portal.policy.locale.clone()),
        afterwards,
        body_hash: ask.body_hash,
        seen: None,
    }
}

/// A test is asked what a sign-in is asked.
fn check_number(ask: &EnrollmentAsk, test: Option<&TestPlan>, portal: &Portal) -> Result<(), NotOpened> {
    let needed = match test.map(|test| test.step.channel()) {
        Some(Channel::Push) => !portal.policy.approve_only,
        Some(Channel::Voice) => portal.policy.call_number_match,
        Some(Channel::Totp) | None => false,
    };
    if needed && ask.test.number_match.is_none() {
        return Err(NotOpened {
            refusal: Refusal::InvalidRequest,
            field: "number_match",
            rule: "is required for this test by the portal's policy: the digits that its page shows",
        });
    }
    Ok(())
}

/// What the user still lacks when this has taken effect.
fn afterwards(ask: &EnrollmentAsk, patch: &Patch, account: &Account, portal: &Portal) -> Option<NextStep> {
    if ask.change.is_operators() || ask.change == Change::Read {
        return None;
    }
    let has_pin = patch.pin.is_some() || account.user.as_ref().is_some_and(|user| user.has_pin);
    let has_answers = !patch.answers.is_empty() || !account.questions.is_empty();
    let untested = patch.phones.iter().any(|phone| phone.role == PhoneRole::Backup && !phone.verified);
    let asks = |change| portal.policy.enrollment.requests.contains(&change);
    if ask.change == Change::Recovery {
        Some(NextStep::ChangeMethod)
    } else if portal.policy.pin == PinRule::Required && !has_pin {
        Some(NextStep::SetPin)
    } else if asks(Change::Questions) && !has_answers {
        Some(NextStep::SetQuestions)
    } else if untested && asks(Change::PhoneTest) {
        Some(NextStep::TestBackup)
    } else {
        None
    }
}
