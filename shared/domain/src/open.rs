//! `open`: what a request becomes at acceptance, given the user and the portal's policy.
//!
//! A request that cannot be carried out becomes a challenge that has ended already, so that its portal
//! finds the outcome where it looks for it. Only what is no proper request at all is refused.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::challenge::{Challenge, End, Live};
use crate::ids::{ChallengeKey, DeviceId};
use crate::portal::Portal;
use crate::request::{Alternative, Ask, AskedStep, Context, Request, Skipped, Step, Target};
use crate::step::await_code;
use crate::time::Timestamp;
use crate::user::User;
use crate::words::{
    Assurance, CallMode, Channel, PhoneRole, PinRule, Purpose, Reason, Refusal, UserVerification,
};

/// How long an outcome can be collected after its deadline.
pub const COLLECT: Duration = Duration::from_mins(5);
/// The longest time that a challenge may wait for its answer.
pub const LONGEST: Duration = Duration::from_mins(10);
/// An id whose own time is older than this is refused.
pub const OLDEST_ID: Duration = Duration::from_mins(15);
/// An id whose own time is further ahead than this is refused.
pub const AHEAD_ID: Duration = Duration::from_mins(1);

/// With less time than this, in seconds, nobody gets to a phone.
const LEAST_RING_S: u8 = 5;

/// Why a request did not become a challenge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{refusal}: {field} {rule}")]
pub struct NotOpened {
    /// The word for it.
    pub refusal: Refusal,
    /// The field that is at fault.
    pub field: &'static str,
    /// What is allowed there.
    pub rule: &'static str,
}

/// Makes a challenge of a request, in version 1. `user` is `None` when there is no such user.
pub fn open(ask: &Ask, user: Option<&User>, portal: &Portal, now: Timestamp) -> Result<Challenge, NotOpened> {
    check_id(&ask.key, now)?;
    if ask.purpose != Purpose::SignIn {
        return Err(refused(
            Refusal::NotPermitted,
            "purpose",
            "must be sign_in: only the fleet itself tests enrollments",
        ));
    }
    let answer_by = answer_by(ask, portal, now)?;
    // A user whom this portal may not challenge looks to it like one that does not exist.
    let user = user.filter(|user| portal.audiences.contains(&user.audience));
    let Way { steps, skipped, reason } = plan(ask, user, (portal, now));
    let reason = reason.or((now >= answer_by).then_some(Reason::NotStarted));
    let pushes = steps.iter().any(|step| step.channel() == Channel::Push);
    if pushes && ask.number_match.is_none() && !portal.policy.approve_only {
        return Err(refused(
            Refusal::InvalidRequest,
            "number_match",
            "is required for a push by this portal's policy: the digits that its page shows",
        ));
    }
    let calls = steps.iter().any(|step| step.channel() == Channel::Voice);
    if calls && ask.number_match.is_none() && portal.policy.call_number_match {
        return Err(refused(
            Refusal::InvalidRequest,
            "number_match",
            "is required for a call by this portal's policy: the digits that its page shows",
        ));
    }
    let alternatives = alternatives(&steps, user, (portal, now));
    let request = Request {
        user: Some(ask.user.clone()),
        purpose: ask.purpose,
        steps,
        mode: call_mode(portal.policy.pin, ask.number_match.is_some()),
        number_match: ask.number_match,
        accepted_at: now,
        answer_by,
        collect_by: answer_by.plus(COLLECT),
        locale: ask.locale.clone().unwrap_or_else(|| portal.policy.locale.clone()),
        context: ask.context.clone(),
        alternatives,
        prompts: portal.policy.prompts,
        body_hash: ask.body_hash,
        pin: None,
        user_verification: portal.policy.user_verification,
        skipped,
    };
    let mut opened = first_version(ask.key.clone(), request, reason, now);
    await_code(&mut opened, now);
    Ok(opened)
}

/// Whether a bypass may approve this challenge, which was just opened: a user of this portal has one, and is either asked or
/// has nothing left to be asked by, which is what bypasses are for. Never somebody who is blocked or locked out.
#[must_use]
pub fn may_bypass(opened: &Challenge, user: Option<&User>, portal: &Portal) -> bool {
    let has_one = user.is_some_and(|user| user.bypass && portal.audiences.contains(&user.audience));
    let reason = opened.live.end.as_ref().map(|end| end.reason);
    has_one && matches!(reason, None | Some(Reason::NoMethod | Reason::NoDevice))
}

/// A challenge that was just opened, approved by a bypass that was taken for it.
#[must_use]
pub fn bypass(opened: Challenge, now: Timestamp) -> Challenge {
    let end = End {
        reason: Reason::OkBypass,
        assurance: Some(Assurance::Bypass),
        at: now,
        version: opened.version,
        device: None,
        retry_after_s: None,
    };
    Challenge { live: Live { end: Some(end), ..Live::default() }, ..opened }
}

/// The tombstone that a cancel leaves when its request has not come yet: the request then finds it.
pub fn tombstone(key: ChallengeKey, portal: &Portal, now: Timestamp) -> Result<Challenge, NotOpened> {
    check_id(&key, now)?;
    let answer_by = now.plus(LONGEST);
    let request = Request {
        user: None,
        purpose: Purpose::SignIn,
        steps: Vec::new(),
        mode: CallMode::Key,
        number_match: None,
        accepted_at: now,
        answer_by,
        collect_by: answer_by.plus(COLLECT),
        locale: portal.policy.locale.clone(),
        context: Context::default(),
        alternatives: Vec::new(),
        prompts: portal.policy.prompts,
        body_hash: [0; 32],
        pin: None,
        user_verification: UserVerification::Off,
        skipped: Vec::new(),
    };
    Ok(first_version(key, request, Some(Reason::CallerCanceled), now))
}

fn first_version(key: ChallengeKey, request: Request, reason: Option<Reason>, now: Timestamp) -> Challenge {
    let end = reason.map(|reason| End {
        reason,
        assurance: None,
        at: now,
        version: 1,
        device: None,
        retry_after_s: None,
    });
    Challenge { key, version: 1, request: Arc::new(request), live: Live { end, ..Live::default() } }
}

const fn refused(refusal: Refusal, field: &'static str, rule: &'static str) -> NotOpened {
    NotOpened { refusal, field, rule }
}

fn check_id(key: &ChallengeKey, now: Timestamp) -> Result<(), NotOpened> {
    check_created(key.id.created_at(), "challenge_id", now)
}

/// An id is as old as its own time says.
pub(crate) fn check_created(
    created: Timestamp,
    field: &'static str,
    now: Timestamp,
) -> Result<(), NotOpened> {
    if created < now.minus(OLDEST_ID) || created > now.plus(AHEAD_ID) {
        return Err(refused(
            Refusal::StaleId,
            field,
            "must be a UUIDv7 made at most 15 minutes ago and at most 1 minute ahead",
        ));
    }
    Ok(())
}

fn answer_by(ask: &Ask, portal: &Portal, now: Timestamp) -> Result<Timestamp, NotOpened> {
    let Some(asked) = ask.answer_by else {
        return Ok(now.plus(Duration::from_secs(u64::from(portal.policy.answer_within_s))));
    };
    if asked > now.plus(LONGEST) {
        return Err(refused(Refusal::InvalidRequest, "answer_by", "must be at most 10 minutes ahead"));
    }
    Ok(asked)
}

/// What a called person has to key.
pub(crate) const fn call_mode(pin: PinRule, number: bool) -> CallMode {
    match (pin, number) {
        (PinRule::Off, false) => CallMode::Key,
        (PinRule::Off, true) => CallMode::NumberMatch,
        (PinRule::Required, false) => CallMode::Pin,
        (PinRule::Required, true) => CallMode::PinNumberMatch,
    }
}

/// What a request and the user's enrollment come to.
#[derive(Default)]
struct Way {
    /// The steps that can be gone, in order.
    steps: Vec<Step>,
    /// Those that cannot.
    skipped: Vec<Skipped>,
    /// Why there is no step at all.
    reason: Option<Reason>,
}

fn plan(ask: &Ask, user: Option<&User>, (portal, now): (&Portal, Timestamp)) -> Way {
    let nowhere = |reason| Way { reason: Some(reason), ..Way::default() };
    let Some(user) = user else { return nowhere(Reason::NoMethod) };
    if user.blocked {
        return nowhere(Reason::UserBlocked);
    }
    let mut way = Way::default();
    for one in asked_steps(ask, user, portal) {
        match plan_step(&one, user, (portal, now)) {
            Ok(step) => way.steps.push(step),
            Err(reason) => {
                way.skipped.push(Skipped { channel: one.channel, target: one.target, reason });
            }
        }
    }
    // A step that this user cannot go is left out; only when none is left is that the outcome.
    if way.steps.is_empty() {
        way.reason = Some(way.skipped.first().map_or(Reason::NoMethod, |skipped| skipped.reason));
    }
    way
}

/// The order of channels: the request's own; else, where the request leaves open how the person is reached, the policy's; else
/// the one channel of the routing key or the user's method. A phone or device that the request names was chosen by a person.
fn asked_steps(ask: &Ask, user: &User, portal: &Portal) -> Vec<AskedStep> {
    let is_open = ask.channel.is_none() && ask.target == Target::Primary;
    if !ask.workflow.is_empty() {
        ask.workflow.clone()
    } else if is_open && !portal.policy.workflow.is_empty() {
        portal.policy.workflow.iter().map(AskedStep::from).collect()
    } else {
        let channel = ask.channel.unwrap_or(user.method);
        alloc::vec![AskedStep { channel, target: ask.target, timeout: None }]
    }
}

fn plan_step(asked: &AskedStep, user: &User, (portal, now): (&Portal, Timestamp)) -> Result<Step, Reason> {
    if !portal.policy.channels.contains(&asked.channel) {
        return Err(Reason::MethodNotAllowed);
    }
    let timeout_ms = asked.timeout.and_then(|timeout| u32::try_from(timeout.as_millis()).ok());
    match asked.channel {
        Channel::Voice => {
            let phone = asked.target.phone().and_then(|role| user.phone(role)).ok_or(Reason::NoMethod)?;
            may_call(phone.role, user, (portal, now))?;
            Ok(Step::Voice { phone: phone.clone(), ring_s: ring_s(asked.timeout, portal) })
        }
        Channel::Push => {
            let device = asked.target.device();
            let known = user.devices.iter().any(|have| device.is_none_or(|device| device == have.id));
            if known { Ok(Step::Push { device, timeout_ms }) } else { Err(Reason::NoDevice) }
        }
        Channel::Totp => {
            let device = asked.target.device();
            may_type_code(device, user, now)?;
            Ok(Step::Totp { device, timeout_ms })
        }
    }
}

/// How long the phone of a step rings: no longer than the step lasts.
fn ring_s(timeout: Option<Duration>, portal: &Portal) -> u8 {
    let seconds = timeout.and_then(|timeout| u8::try_from(timeout.as_secs()).ok());
    seconds.map_or(portal.policy.ring_s, |seconds| seconds.min(portal.policy.ring_s).max(LEAST_RING_S))
}

/// Why no one-time code of this device, or of any, is taken, if none is.
fn may_type_code(device: Option<DeviceId>, user: &User, now: Timestamp) -> Result<(), Reason> {
    if !user.has_totp(device) {
        return Err(Reason::NoDevice);
    }
    let locked = user.totp_locked_until.is_some_and(|until| until > now);
    if locked { Err(Reason::LockedOut) } else { Ok(()) }
}

/// Why this phone is not called, if it is not.
fn may_call(role: PhoneRole, user: &User, (portal, now): (&Portal, Timestamp)) -> Result<(), Reason> {
    if let Some(reason) = user.barred(role) {
        return Err(reason);
    }
    let locked = user.pin_locked_until.is_some_and(|until| until > now);
    match portal.policy.pin {
        PinRule::Required if !user.has_pin => Err(Reason::NoMethod),
        PinRule::Required if locked => Err(Reason::LockedOut),
        PinRule::Off | PinRule::Required => Ok(()),
    }
}

/// What the user could try instead: every verified phone, the devices and their codes that are not a step already.
fn alternatives(
    steps: &[Step],
    user: Option<&User>,
    (portal, now): (&Portal, Timestamp),
) -> Vec<Alternative> {
    let Some(user) = user.filter(|user| !user.blocked) else { return Vec::new() };
    let calls = |role| {
        steps.iter().any(|step| match step {
            Step::Voice { phone, .. } => phone.role == role,
            Step::Push { .. } | Step::Totp { .. } => false,
        })
    };
    let allowed = |channel| portal.policy.channels.contains(&channel);
    let phones = [(PhoneRole::Primary, Target::Primary), (PhoneRole::Backup, Target::Backup)]
        .into_iter()
        .filter(|(role, _)| allowed(Channel::Voice) && user.phone(*role).is_some() && !calls(*role))
        .filter(|(role, _)| may_call(*role, user, (portal, now)).is_ok())
        .map(|(_, target)| Alternative { channel: Channel::Voice, target });
    let has_codes = may_type_code(None, user, now).is_ok();
    let apps = [(Channel::Push, !user.devices.is_empty()), (Channel::Totp, has_codes)]
        .into_iter()
        .filter(|(channel, has)| *has && allowed(*channel))
        .filter(|(channel, _)| !steps.iter().any(|step| step.channel() == *channel))
        .map(|(channel, _)| Alternative { channel, target: Target::Primary });
    phones.chain(apps).collect()
}
