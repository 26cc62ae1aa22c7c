//! What happens to a push: from the send to the device's answer, and to its withdrawal.
//!
//! When it is sent once more is in `step/resend.rs`.

use alloc::sync::Arc;
use core::time::Duration;

use super::resend::{PROMPTS_MOST, prompts, resend, resend_asked, unreached};
use super::{Refused, begin, end_attempt, end_with, find, has_next_step, step_timeout};
use crate::attempt::{Attempt, Resend};
use crate::challenge::Challenge;
use crate::event::{Decision, Event};
use crate::ids::DeviceId;
use crate::owed::stale_push;
use crate::time::Timestamp;
use crate::words::{AttemptState, Channel, Reason};

/// The time that a person needs to answer: a push that would arrive with less left is not sent.
pub const PUSH_ANSWER: Duration = Duration::from_secs(5);

/// Whole seconds for which a push is worth delivering; `None` when it cannot arrive in time any more.
#[must_use]
pub fn push_ttl_s(answer_by: Timestamp, now: Timestamp) -> Option<u64> {
    Some(answer_by.minus(PUSH_ANSWER).since(now).as_secs()).filter(|seconds| *seconds > 0)
}

pub(super) fn apply(next: &mut Challenge, event: &Event, now: Timestamp) -> Result<(), Refused> {
    match event {
        Event::Send { check_after } => send(next, *check_after, now),
        Event::Resend { attempt } => resend(next, *attempt, now),
        Event::ResendAsked => resend_asked(next, now),
        Event::Pushed { attempt, devices } => pushed(next, (*attempt, *devices), now),
        Event::Unreached { attempt, round, devices, again_after, provider_code } => {
            let resend = Resend { not_before: now.plus(*again_after), devices: devices.clone() };
            unreached(next, (*attempt, *round, *provider_code), resend, now)
        }
        Event::OnlyListed { attempt } => only_listed(next, *attempt, now),
        Event::PushFailed { attempt, round, reason, provider_code } => {
            failed(next, (*attempt, *round), (*reason, *provider_code), now)
        }
        Event::Withdrawn => withdrawn(next),
        Event::Opened => opened(next, now),
        Event::Decided { device, decision } => decided(next, *device, *decision, now),
        Event::Dial { .. }
        | Event::NoSlot { .. }
        | Event::Placed { .. }
        | Event::NotPlaced { .. }
        | Event::Unclear { .. }
        | Event::Ringing { .. }
        | Event::Answered { .. }
        | Event::MachineAnswered { .. }
        | Event::Prompted { .. }
        | Event::Keyed { .. }
        | Event::PinKeyed { .. }
        | Event::PinJudged { .. }
        | Event::CodeEntered { .. }
        | Event::CodeJudged { .. }
        | Event::CallEnded { .. }
        | Event::StillAlive { .. }
        | Event::Unfound { .. }
        | Event::Lost { .. }
        | Event::HangUpSent { .. }
        | Event::Check { .. }
        | Event::Halt { .. }
        | Event::Cancel
        | Event::Expire => Err(Refused::OutOfPlace),
    }
}

/// Begins the sending; where the step's devices were prompted as often as they may be, their lists have to do.
fn send(next: &mut Challenge, check_after: Option<Duration>, now: Timestamp) -> Result<(), Refused> {
    let prompts = prompts(next, next.live.step);
    let attempt = begin(next, Channel::Push, now)?;
    attempt.state = AttemptState::Sending;
    attempt.check_at = check_after.map(|after| now.plus(after));
    if prompts < PROMPTS_MOST {
        attempt.rounds += 1;
        return Ok(());
    }
    let number = attempt.number;
    only_listed(next, number, now)
}

fn sending(next: &mut Challenge, number: u8) -> Result<&mut Attempt, Refused> {
    if !next.is_open() {
        return Err(Refused::Ended);
    }
    let attempt = find(next, number)?;
    match attempt.state {
        AttemptState::Sending => Ok(attempt),
        AttemptState::Pushed | AttemptState::PushFailed | AttemptState::Opened => Err(Refused::Unchanged),
        AttemptState::Superseded | AttemptState::Ended => Err(Refused::NotLive),
        AttemptState::Reserved
        | AttemptState::Dialing
        | AttemptState::Unknown
        | AttemptState::Placed
        | AttemptState::Ringing
        | AttemptState::Answered
        | AttemptState::AwaitingInput
        | AttemptState::AwaitingCode => Err(Refused::OutOfPlace),
    }
}

fn pushed(next: &mut Challenge, (number, devices): (u8, u8), now: Timestamp) -> Result<(), Refused> {
    if !next.is_open() {
        return pushed_late(next, (number, devices));
    }
    let elapsed = next.elapsed_ms(now);
    let timeout = step_timeout(next, now);
    let failed_before = next.attempt(number).is_some_and(|attempt| attempt.state == AttemptState::PushFailed);
    let attempt = if failed_before { find(next, number)? } else { sending(next, number)? };
    attempt.state = AttemptState::Pushed;
    attempt.undelivered = false;
    attempt.devices = attempt.devices.max(devices);
    attempt.placed_ms = Some(elapsed);
    attempt.check_at = timeout.map(|after| now.plus(after));
    Ok(())
}

/// The challenge ended while its push was being sent: where that makes a withdrawal owed, it counts.
pub(super) fn pushed_late(next: &mut Challenge, (number, devices): (u8, u8)) -> Result<(), Refused> {
    let (end, request) = (next.live.end.clone(), Arc::clone(&next.request));
    let attempt = find(next, number)?;
    if attempt.channel != Channel::Push || attempt.devices > 0 {
        return Err(Refused::Ended);
    }
    attempt.devices = devices;
    if stale_push(attempt, end.as_ref(), &request) { Ok(()) } else { Err(Refused::Ended) }
}

/// Nothing was sent, and the apps may still ask: they get the step's own time for that. A step without one has nothing
/// that would lead on to the next.
fn only_listed(next: &mut Challenge, number: u8, now: Timestamp) -> Result<(), Refused> {
    let timeout = step_timeout(next, now);
    let stays = timeout.is_some() || !has_next_step(next, now);
    let attempt = sending(next, number)?;
    if stays {
        attempt.state = AttemptState::PushFailed;
        attempt.check_at = timeout.map(|after| now.plus(after));
    } else {
        end_attempt(next, number, Reason::PushUndeliverable, now);
    }
    Ok(())
}

/// The devices were told that it is over.
fn withdrawn(next: &mut Challenge) -> Result<(), Refused> {
    let (end, request) = (next.live.end.clone(), Arc::clone(&next.request));
    let mut refused = if next.is_open() { Err(Refused::OutOfPlace) } else { Err(Refused::Unchanged) };
    for attempt in &mut next.live.attempts {
        if stale_push(attempt, end.as_ref(), &request) {
            attempt.withdrawn = true;
            attempt.check_at = None;
            refused = Ok(());
        }
    }
    refused
}

/// No device took the push. With no next step the challenge stays open, since the app's own list still
/// shows it; but not when the app is gone from every device.
pub(super) fn failed(
    next: &mut Challenge,
    (number, round): (u8, u8),
    (reason, provider_code): (Reason, Option<u32>),
    now: Timestamp,
) -> Result<(), Refused> {
    let lists = reason == Reason::PushUndeliverable && !has_next_step(next, now);
    let attempt = sending(next, number)?;
    // It is being sent once more.
    if round < attempt.rounds {
        return Err(Refused::Unchanged);
    }
    // The first one's sender has died, and nobody knows whom it reached.
    if attempt.rounds > 1 && attempt.resend.is_none() && !attempt.resend_asked {
        attempt.devices = u8::MAX;
    }
    attempt.provider_code = provider_code;
    if lists {
        attempt.state = AttemptState::PushFailed;
        attempt.undelivered = true;
        attempt.check_at = None;
    } else {
        end_attempt(next, number, reason, now);
    }
    Ok(())
}

fn opened(next: &mut Challenge, now: Timestamp) -> Result<(), Refused> {
    if !next.is_open() {
        return Err(Refused::Ended);
    }
    let elapsed = next.elapsed_ms(now);
    let attempt = next.live.attempts.last_mut().ok_or(Refused::OutOfPlace)?;
    match attempt.state {
        AttemptState::Pushed | AttemptState::PushFailed => {
            attempt.state = AttemptState::Opened;
            attempt.ringing_ms = Some(elapsed);
            Ok(())
        }
        AttemptState::Opened => Err(Refused::Unchanged),
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
        | AttemptState::Ended => Err(Refused::OutOfPlace),
    }
}

/// A valid answer decides whichever step is live: the app's list is open until the challenge has ended.
fn decided(
    next: &mut Challenge,
    device: DeviceId,
    decision: Decision,
    now: Timestamp,
) -> Result<(), Refused> {
    if !next.is_open() {
        return Err(Refused::Ended);
    }
    if !next.has_push() || !may_decide(next, device) {
        return Err(Refused::OutOfPlace);
    }
    let elapsed = next.elapsed_ms(now);
    let number_due = next.request.number_match.is_some();
    let (reason, assurance) = match decision {
        // The number first: whoever does not see the portal's page is not the one who signs in, verified or not.
        Decision::Approve { number, .. } if number_due && number != Some(true) => {
            (Reason::NumberMismatch, None)
        }
        Decision::Approve { assurance, .. } if !next.request.user_verification.is_met_by(assurance) => {
            (Reason::VerificationMissing, None)
        }
        Decision::Approve { assurance, .. } => (Reason::OkPush, Some(assurance)),
        Decision::NotMe => (Reason::FraudReported, None),
        Decision::Decline => (Reason::UserDeclined, None),
        Decision::Cancel => (Reason::UserCanceled, None),
    };
    for attempt in next.live.attempts.iter_mut().filter(|a| a.channel == Channel::Push && a.is_live()) {
        attempt.answered_ms = Some(elapsed);
    }
    end_with(next, reason, assurance, Some(device), now);
    Ok(())
}

/// Whether a push step that was begun is open to this device.
fn may_decide(next: &Challenge, device: DeviceId) -> bool {
    next.begun_steps().any(|step| step.asks(device))
}
