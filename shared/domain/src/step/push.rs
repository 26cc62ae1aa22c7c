//! What happens to a push: from the send to the device's answer.

use super::{Refused, begin, end_attempt, end_with, find, has_next_step, step_timeout};
use crate::challenge::Challenge;
use crate::event::{Decision, Event};
use crate::ids::DeviceId;
use crate::request::Step;
use crate::time::Timestamp;
use crate::words::{AttemptState, Channel, Reason};

pub(super) fn apply(next: &mut Challenge, event: &Event, now: Timestamp) -> Result<(), Refused> {
    match event {
        Event::Send { check_after } => {
            let attempt = begin(next, Channel::Push, now)?;
            attempt.state = AttemptState::Sending;
            attempt.rounds += 1;
            attempt.check_at = check_after.map(|after| now.plus(after));
            Ok(())
        }
        Event::Resend { attempt } => {
            let attempt = sending(next, *attempt)?;
            if attempt.rounds > 1 {
                return Err(Refused::Unchanged);
            }
            attempt.rounds += 1;
            Ok(())
        }
        Event::Pushed { attempt } => pushed(next, *attempt, now),
        Event::PushFailed { attempt, reason, provider_code } => {
            failed(next, *attempt, (*reason, *provider_code), now)
        }
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

fn sending(next: &mut Challenge, number: u8) -> Result<&mut crate::attempt::Attempt, Refused> {
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

fn pushed(next: &mut Challenge, number: u8, now: Timestamp) -> Result<(), Refused> {
    let elapsed = next.elapsed_ms(now);
    let timeout = step_timeout(next, now);
    let attempt = sending(next, number)?;
    attempt.state = AttemptState::Pushed;
    attempt.placed_ms = Some(elapsed);
    attempt.check_at = timeout.map(|after| now.plus(after));
    Ok(())
}

/// No device took the push. With no next step the challenge stays open, since the app's own list still
/// shows it; but not when the app is gone from every device.
fn failed(
    next: &mut Challenge,
    number: u8,
    (reason, provider_code): (Reason, Option<u32>),
    now: Timestamp,
) -> Result<(), Refused> {
    let lists = reason == Reason::PushUndeliverable && !has_next_step(next, now);
    let attempt = sending(next, number)?;
    attempt.provider_code = provider_code;
    if lists {
        attempt.state = AttemptState::PushFailed;
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
        Decision::Approve { number, assurance } if !number_due || number == Some(true) => {
            (Reason::OkPush, Some(assurance))
        }
        Decision::Approve { .. } => (Reason::NumberMismatch, None),
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
    next.request.steps.iter().take(usize::from(next.live.step) + 1).any(|step| match step {
        Step::Push { device: only, .. } => only.is_none_or(|only| only == device),
        Step::Voice { .. } | Step::Totp { .. } => false,
    })
}
