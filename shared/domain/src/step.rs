//! `step`: what an event makes of a challenge. Pure; every (state, event) pair is tested.
//!
//! An event that comes when the time for the answer is over expires the challenge, whatever else it says;
//! on an ended challenge only late facts count (a call's id, its end, its length). Calls are in
//! `step/voice.rs`, pushes in `step/push.rs`.

mod push;
mod voice;

use core::time::Duration;

use crate::attempt::Attempt;
use crate::challenge::{Challenge, End};
use crate::event::Event;
use crate::ids::DeviceId;
use crate::time::Timestamp;
use crate::words::{Assurance, AttemptState, Channel, Reason};

/// How long a call that was told to end, or should have ended, is given before it is looked up.
pub const HANG_UP_CHECK: Duration = Duration::from_secs(10);
/// How long an unclear attempt waits for a callback before its call is looked for.
pub const UNKNOWN_CHECK: Duration = Duration::from_secs(8);
/// How long an attempt that is reserved for another process may go without being taken up.
pub const RESERVED_CHECK: Duration = Duration::from_secs(2);
/// With less time than this left, a further step is not begun.
pub const LEAST_STEP: Duration = Duration::from_secs(5);
/// Wrong numbers that a person may key before the call ends.
pub const MAX_TRIES: u8 = 3;

/// Why an event changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refused {
    /// It was so already.
    #[error("nothing to change: the challenge has come as far already")]
    Unchanged,
    /// The challenge has ended, and the event is not a late fact.
    #[error("the challenge has ended")]
    Ended,
    /// The attempt does not exist, or is over or fenced.
    #[error("the attempt is not live")]
    NotLive,
    /// The attempt is bound to another call.
    #[error("the attempt belongs to another call")]
    OtherCall,
    /// It does not follow from the state that the challenge is in.
    #[error("the event does not fit the state of the challenge")]
    OutOfPlace,
    /// It answers an earlier prompt.
    #[error("the entry answers an earlier prompt")]
    Stale,
    /// Its time has not come.
    #[error("it is not due yet")]
    NotDue,
}

/// What the event makes of the challenge at `now`: the next version, or why there is none.
pub fn step(challenge: &Challenge, event: &Event, now: Timestamp) -> Result<Challenge, Refused> {
    let mut next = challenge.clone();
    let overdue = next.is_open() && now >= next.request.answer_by;
    if overdue {
        let reason = expiry_reason(&next);
        end(&mut next, reason, now);
    }
    let applied = apply(&mut next, event, now);
    if let (Err(refused), false) = (applied, overdue) {
        return Err(refused);
    }
    next.version += 1;
    Ok(next)
}

fn apply(next: &mut Challenge, event: &Event, now: Timestamp) -> Result<(), Refused> {
    match event {
        Event::Dial { .. }
        | Event::Placed { .. }
        | Event::NotPlaced { .. }
        | Event::Unclear { .. }
        | Event::Ringing { .. }
        | Event::Answered { .. }
        | Event::Prompted { .. }
        | Event::Keyed { .. }
        | Event::CallEnded { .. }
        | Event::StillAlive { .. }
        | Event::Lost { .. }
        | Event::HangUpSent { .. } => voice::apply(next, event, now),
        Event::Send { .. }
        | Event::Resend { .. }
        | Event::Pushed { .. }
        | Event::PushFailed { .. }
        | Event::Opened
        | Event::Decided { .. } => push::apply(next, event, now),
        Event::Check { attempt } => check(next, *attempt, now),
        Event::Halt { reason } => end_open(next, *reason, now),
        Event::Cancel => end_open(next, Reason::CallerCanceled, now),
        Event::Expire => Err(if next.is_open() { Refused::NotDue } else { Refused::Ended }),
    }
}

/// An attempt is due to be looked at, and what there is to do needs no look at the provider.
fn check(next: &mut Challenge, number: u8, now: Timestamp) -> Result<(), Refused> {
    let open = next.is_open();
    let more_steps = has_next_step(next, now);
    let attempt = find(next, number)?;
    if attempt.check_at.is_none_or(|at| at > now) {
        return Err(Refused::NotDue);
    }
    match attempt.state {
        AttemptState::Reserved if open => attempt.check_at = Some(now.plus(RESERVED_CHECK)),
        AttemptState::Dialing => {
            attempt.state = AttemptState::Unknown;
            attempt.check_at = Some(now.plus(UNKNOWN_CHECK));
        }
        // Whoever was sending it has gone: it may be sent once more, under the same collapse id.
        AttemptState::Sending if open && attempt.rounds < 2 => {
            attempt.state = AttemptState::Reserved;
            attempt.check_at = Some(now.plus(RESERVED_CHECK));
        }
        AttemptState::Sending if open && more_steps => {
            end_attempt(next, number, Reason::PushUndeliverable, now);
        }
        AttemptState::Sending if open => {
            attempt.state = AttemptState::PushFailed;
            attempt.check_at = None;
        }
        AttemptState::Pushed | AttemptState::PushFailed | AttemptState::Opened if open && more_steps => {
            end_attempt(next, number, Reason::NoResponse, now);
        }
        AttemptState::Unknown
        | AttemptState::Placed
        | AttemptState::Ringing
        | AttemptState::Answered
        | AttemptState::AwaitingInput => return Err(Refused::OutOfPlace),
        AttemptState::Reserved
        | AttemptState::Sending
        | AttemptState::Pushed
        | AttemptState::PushFailed
        | AttemptState::Opened
        | AttemptState::Superseded
        | AttemptState::Ended => attempt.check_at = None,
    }
    Ok(())
}

/// The live or dead attempt with this number.
fn find(next: &mut Challenge, number: u8) -> Result<&mut Attempt, Refused> {
    next.live.attempts.iter_mut().find(|attempt| attempt.number == number).ok_or(Refused::NotLive)
}

/// Adds the attempt that the current step begins with, or takes up the reserved one.
fn begin(next: &mut Challenge, channel: Channel, now: Timestamp) -> Result<&mut Attempt, Refused> {
    if !next.is_open() {
        return Err(Refused::Ended);
    }
    if next.current_step().is_none_or(|step| step.channel() != channel) {
        return Err(Refused::OutOfPlace);
    }
    match next.live_attempt().map(|attempt| attempt.state) {
        None => {
            let attempt = new_attempt(next, channel, now)?;
            next.live.attempts.push(attempt);
        }
        Some(AttemptState::Reserved) => {}
        Some(_) => return Err(Refused::Unchanged),
    }
    next.live.attempts.last_mut().ok_or(Refused::NotLive)
}

fn new_attempt(next: &Challenge, channel: Channel, now: Timestamp) -> Result<Attempt, Refused> {
    let number = u8::try_from(next.live.attempts.len() + 1).map_err(|_| Refused::OutOfPlace)?;
    Ok(Attempt::new(number, channel, next.live.step, next.elapsed_ms(now)))
}

fn has_next_step(next: &Challenge, now: Timestamp) -> bool {
    usize::from(next.live.step) + 1 < next.request.steps.len()
        && next.request.answer_by.since(now) >= LEAST_STEP
}

/// Whether a failure of one step leads on to the next: the person was not reached. A wrong answer, a
/// fraud report or a refusal never does.
const fn leads_on(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NoAnswer
            | Reason::Busy
            | Reason::Unreachable
            | Reason::Voicemail
            | Reason::InvalidNumber
            | Reason::CarrierError
            | Reason::CarrierRejectedCallerId
            | Reason::ProviderUnavailable
            | Reason::PushUndeliverable
            | Reason::DeviceUnregistered
            | Reason::NoDevice
            | Reason::NoResponse
    )
}

/// Ends an attempt; then the next step is reserved, or the challenge ends for the same reason.
fn end_attempt(next: &mut Challenge, number: u8, reason: Reason, now: Timestamp) {
    let elapsed = next.elapsed_ms(now);
    if let Ok(attempt) = find(next, number) {
        attempt.state = AttemptState::Ended;
        attempt.ended_ms = Some(elapsed);
        attempt.reason = Some(reason);
        attempt.check_at = None;
    }
    if !next.is_open() {
        return;
    }
    if leads_on(reason) && has_next_step(next, now) {
        next.live.step += 1;
        let channel = next.current_step().map_or(Channel::Voice, crate::request::Step::channel);
        if let Ok(mut attempt) = new_attempt(next, channel, now) {
            attempt.check_at = Some(now.plus(RESERVED_CHECK));
            next.live.attempts.push(attempt);
        }
        return;
    }
    end(next, reason, now);
}

fn end_open(next: &mut Challenge, reason: Reason, now: Timestamp) -> Result<(), Refused> {
    if !next.is_open() {
        return Err(Refused::Ended);
    }
    end(next, reason, now);
    Ok(())
}

fn end(next: &mut Challenge, reason: Reason, now: Timestamp) {
    end_with(next, reason, None, None, now);
}

/// Ends the challenge. An attempt whose call may exist lives on until its end is known: its hang-up is
/// owed. Everything else ends with the challenge.
fn end_with(
    next: &mut Challenge,
    reason: Reason,
    assurance: Option<Assurance>,
    device: Option<DeviceId>,
    now: Timestamp,
) {
    let elapsed = next.elapsed_ms(now);
    next.live.end = Some(End { reason, assurance, at: now, version: next.version + 1, device });
    for attempt in next.live.attempts.iter_mut().filter(|attempt| attempt.is_live()) {
        if attempt.may_ring() {
            if attempt.state != AttemptState::Dialing {
                attempt.check_at = Some(now.plus(HANG_UP_CHECK));
            }
        } else {
            attempt.state = AttemptState::Ended;
            attempt.ended_ms = Some(elapsed);
            attempt.check_at = None;
        }
    }
}

/// What an overdue challenge ends as: nothing was ever sent, the push did not go out, or nobody responded.
fn expiry_reason(challenge: &Challenge) -> Reason {
    let sent = challenge.live.attempts.iter().any(|attempt| attempt.state != AttemptState::Reserved);
    match challenge.live.attempts.last() {
        _ if !sent => Reason::NotStarted,
        Some(attempt) if attempt.state == AttemptState::PushFailed => Reason::PushUndeliverable,
        Some(_) | None => Reason::NoResponse,
    }
}
