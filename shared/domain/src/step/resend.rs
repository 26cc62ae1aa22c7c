//! When a push is sent once more.
//!
//! No device is prompted more than twice for one challenge, and one challenge has one re-send at most, whether the fleet or
//! the person asks for it. Both follow from `rounds`, which is committed before each sending.

use core::time::Duration;

use super::push::{self, push_ttl_s};
use super::{Refused, find, has_next_step};
use crate::attempt::{Attempt, Resend};
use crate::challenge::{Challenge, End};
use crate::ids::DeviceId;
use crate::request::Step;
use crate::time::Timestamp;
use crate::words::{AttemptState, Channel, Reason};

/// A pause that the push service may ask for before the next step is the better way to the person.
const PUSH_PAUSE: Duration = Duration::from_secs(5);
/// How often one device is prompted for one challenge.
pub(super) const PROMPTS_MOST: u8 = 2;

pub(super) fn resend(next: &mut Challenge, number: u8, now: Timestamp) -> Result<(), Refused> {
    if !next.is_open() {
        return Err(Refused::Ended);
    }
    let is_left = has_resend_left(next, number);
    let attempt = find(next, number)?;
    match attempt.state {
        AttemptState::Sending => {}
        AttemptState::Pushed if attempt.resend.is_some() => {}
        AttemptState::Pushed | AttemptState::PushFailed | AttemptState::Opened if attempt.resend_asked => {}
        AttemptState::Pushed | AttemptState::PushFailed | AttemptState::Opened => {
            return Err(Refused::OutOfPlace);
        }
        AttemptState::Superseded | AttemptState::Ended => return Err(Refused::NotLive),
        AttemptState::Reserved
        | AttemptState::Dialing
        | AttemptState::Unknown
        | AttemptState::Placed
        | AttemptState::Ringing
        | AttemptState::Answered
        | AttemptState::AwaitingInput
        | AttemptState::AwaitingCode => return Err(Refused::OutOfPlace),
    }
    if !is_left {
        return Err(Refused::Unchanged);
    }
    if attempt.resend.as_ref().is_some_and(|resend| resend.not_before > now) {
        return Err(Refused::NotDue);
    }
    attempt.rounds += 1;
    Ok(())
}

/// Whether a push of this attempt may be sent once more.
#[must_use]
pub fn has_resend_left(next: &Challenge, number: u8) -> bool {
    let mut pushes = next.live.attempts.iter().filter(|attempt| attempt.channel == Channel::Push);
    let step = next.attempt(number).map_or(next.live.step, |attempt| attempt.step);
    pushes.all(|attempt| attempt.rounds < 2) && prompts(next, step) < PROMPTS_MOST
}

/// How often a device of this step may have been prompted.
pub(super) fn prompts(next: &Challenge, step: u8) -> u8 {
    let device = |step: u8| match next.request.steps.get(usize::from(step)) {
        Some(Step::Push { device, .. }) => *device,
        Some(Step::Voice { .. } | Step::Totp { .. }) | None => None,
    };
    let here = device(step);
    let shares_a_device = |attempt: &&Attempt| {
        let there = device(attempt.step);
        attempt.channel == Channel::Push && (here.is_none() || there.is_none() || here == there)
    };
    next.live
        .attempts
        .iter()
        .filter(shares_a_device)
        .fold(0, |sum, attempt| sum.saturating_add(attempt.rounds))
}

/// The person asks for the push once more: it is owed then, unless the challenge has had its re-send, or is about to.
pub(super) fn resend_asked(next: &mut Challenge, now: Timestamp) -> Result<(), Refused> {
    if !next.is_open() {
        return Err(Refused::Ended);
    }
    let number = next.live_attempt().ok_or(Refused::OutOfPlace)?.number;
    let in_time = push_ttl_s(next.request.answer_by, now).is_some();
    let is_left = has_resend_left(next, number);
    let attempt = find(next, number)?;
    match attempt.state {
        AttemptState::Pushed | AttemptState::PushFailed | AttemptState::Opened => {}
        AttemptState::Reserved
        | AttemptState::Sending
        | AttemptState::Dialing
        | AttemptState::Unknown
        | AttemptState::Placed
        | AttemptState::Ringing
        | AttemptState::Answered
        | AttemptState::AwaitingInput
        | AttemptState::AwaitingCode
        | AttemptState::Superseded
        | AttemptState::Ended => return Err(Refused::OutOfPlace),
    }
    if !in_time {
        return Err(Refused::OutOfPlace);
    }
    if !is_left || attempt.resend_asked || attempt.resend.is_some() {
        return Err(Refused::Unchanged);
    }
    attempt.resend_asked = true;
    Ok(())
}

/// Whether the person has asked for the push once more, and it was not sent yet.
pub(crate) fn is_resend_asked(challenge: &Challenge) -> bool {
    let asked = challenge.live_attempt().filter(|attempt| challenge.is_open() && attempt.resend_asked);
    asked.is_some_and(|attempt| has_resend_left(challenge, attempt.number))
}

/// The push may not have reached some devices. It waits to be sent to them once more, unless it could not arrive in time
/// then; and where nobody has it yet and the pause is long, the next step is the better way.
pub(super) fn unreached(
    next: &mut Challenge,
    (number, round, provider_code): (u8, u8, Option<u32>),
    resend: Resend,
    now: Timestamp,
) -> Result<(), Refused> {
    if !next.is_open() {
        return unreached_late(next, number, &resend.devices);
    }
    let in_time = push_ttl_s(next.request.answer_by, resend.not_before).is_some();
    let is_due = in_time && has_resend_left(next, number);
    let goes_on = has_next_step(next, now) && resend.not_before.since(now) > PUSH_PAUSE;
    let attempt = find(next, number)?;
    if round < attempt.rounds {
        return Err(Refused::Unchanged);
    }
    let may_show = u8::try_from(resend.devices.len()).unwrap_or(u8::MAX);
    attempt.devices = attempt.devices.max(may_show);
    let is_free = attempt.resend.is_none() && !attempt.resend_asked;
    match attempt.state {
        // It waits already.
        AttemptState::Sending if is_due && !is_free => return Err(Refused::Unchanged),
        AttemptState::Sending if is_due && !goes_on => {
            attempt.provider_code = provider_code;
            // Whoever has noted this comes back for it.
            attempt.check_at = None;
        }
        AttemptState::Sending => {
            return push::failed(next, (number, round), (Reason::PushUndeliverable, provider_code), now);
        }
        AttemptState::Pushed if is_due && is_free => {}
        AttemptState::Pushed | AttemptState::PushFailed | AttemptState::Opened => {
            return Err(Refused::Unchanged);
        }
        AttemptState::Superseded | AttemptState::Ended => return Err(Refused::NotLive),
        AttemptState::Reserved
        | AttemptState::Dialing
        | AttemptState::Unknown
        | AttemptState::Placed
        | AttemptState::Ringing
        | AttemptState::Answered
        | AttemptState::AwaitingInput
        | AttemptState::AwaitingCode => return Err(Refused::OutOfPlace),
    }
    attempt.resend = Some(resend);
    Ok(())
}

/// The challenge ended while its push was being sent. Devices that it may have reached show it, unless it is the one that
/// has answered.
fn unreached_late(next: &mut Challenge, number: u8, devices: &[DeviceId]) -> Result<(), Refused> {
    let answered = next.live.end.as_ref().and_then(End::answered_by);
    if devices.iter().all(|device| answered == Some(*device)) {
        return Err(Refused::Ended);
    }
    let answered_too = answered.is_some_and(|device| !devices.contains(&device));
    let devices = devices.len().saturating_add(usize::from(answered_too));
    push::pushed_late(next, (number, u8::try_from(devices).unwrap_or(u8::MAX)))
}
