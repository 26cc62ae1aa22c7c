//! `step`: what an event makes of a challenge. Pure; every (state, event) pair is tested.
//!
//! An event that comes when the time for the answer is over expires the challenge, whatever else it says;
//! on an ended challenge only late facts count (a call's id, its end, its length). Calls are in
//! `step/voice.rs`, what is keyed in them in `step/dialogue.rs`, pushes in `step/push.rs` and `step/resend.rs`, codes in
//! `step/code.rs`.

mod caller_id;
mod code;
mod dialogue;
mod push;
mod resend;
mod voice;

use core::time::Duration;

use crate::attempt::Attempt;
use crate::challenge::{Challenge, End, Live};
use crate::event::Event;
use crate::ids::DeviceId;
use crate::owed::{stale_push, unwanted_call};
use crate::request::Step;
use crate::time::Timestamp;
use crate::words::{Assurance, AttemptState, Channel, Reason};

/// How long a call that was told to end, or should have ended, is given before it is looked up; and how long a
/// withdrawal that is owed goes unheard of before it is asked for again.
pub const HANG_UP_CHECK: Duration = Duration::from_secs(10);
/// How long an unclear attempt waits for a callback before its call is looked for.
pub const UNKNOWN_CHECK: Duration = Duration::from_secs(8);
/// How long after a search that found no call for it an unclear attempt is searched for once more.
pub const UNFOUND_CHECK: Duration = Duration::from_secs(10);
/// How long after its ringing has ended a call may go without a callback before it is looked up.
pub const CALLBACK_CHECK: Duration = Duration::from_secs(10);
/// How long an attempt that is reserved for another process may go without being taken up. Also the least
/// pause before a step is tried again.
pub const RESERVED_CHECK: Duration = Duration::from_secs(2);
/// The same after it was offered again for the first, the second, and each further time.
const OFFERED_CHECKS: [Duration; 3] =
    [Duration::from_secs(4), Duration::from_secs(8), Duration::from_secs(15)];
/// With less time than this left, a further step is not begun.
pub const LEAST_STEP: Duration = Duration::from_secs(5);
/// Attempts of one step before a pause that the provider asked for is waited for no more. Those that missed their turn at
/// the provider do not count, since nothing was asked of it, nor those whose caller ID was rejected: they were answered.
pub const MAX_ATTEMPTS: usize = 3;
/// Caller IDs of one step that may be rejected before it is given up: two of each of the plan's three kinds of numbers,
/// none at all, and one that is stepped back to.
pub const MAX_CALLER_IDS: usize = 8;
/// A call that is declined so soon, and that never rang, was declined by a network and not by a thumb.
pub const NETWORK_DECLINES: Duration = Duration::from_secs(2);
/// How often a fenced call that does not end is told so again.
const HANG_UPS_AGAIN: u8 = 3;
/// Wrong PINs, numbers and codes that a person may give in one challenge.
pub const MAX_TRIES: u8 = 3;

pub(crate) use code::await_code;
pub use dialogue::{Question, question};
pub use push::{PUSH_ANSWER, push_ttl_s};
pub use resend::has_resend_left;
pub(crate) use resend::is_resend_asked;

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
    watch_what_is_owed(challenge, &mut next, now);
    next.version += 1;
    Ok(next)
}

/// A hang-up or a withdrawal that has become owed is looked after, whatever made it so: the message that asks for it
/// may get lost.
fn watch_what_is_owed(before: &Challenge, next: &mut Challenge, now: Timestamp) {
    let owes = |attempt: &Attempt, end: Option<&End>| {
        unwanted_call(attempt, end.is_none()).is_some() || stale_push(attempt, end, &before.request)
    };
    let Live { end, attempts, .. } = &mut next.live;
    for attempt in attempts {
        let earlier = before.attempt(attempt.number);
        let was = earlier.is_some_and(|earlier| owes(earlier, before.live.end.as_ref()));
        if owes(attempt, end.as_ref()) && !(was && attempt.check_at.is_some()) {
            attempt.check_at = Some(now.plus(HANG_UP_CHECK));
        }
    }
}

fn apply(next: &mut Challenge, event: &Event, now: Timestamp) -> Result<(), Refused> {
    match event {
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
        | Event::CallEnded { .. }
        | Event::StillAlive { .. }
        | Event::Unfound { .. }
        | Event::Lost { .. }
        | Event::HangUpSent { .. } => voice::apply(next, event, now),
        Event::Send { .. }
        | Event::Resend { .. }
        | Event::ResendAsked
        | Event::Pushed { .. }
        | Event::Unreached { .. }
        | Event::OnlyListed { .. }
        | Event::PushFailed { .. }
        | Event::Withdrawn
        | Event::Opened
        | Event::Decided { .. } => push::apply(next, event, now),
        Event::CodeEntered { attempt, id } => code::entered(next, *attempt, *id),
        Event::CodeJudged { attempt, id, verdict } => code::judged(next, (*attempt, *id), *verdict, now),
        Event::Check { attempt } => check(next, *attempt, now),
        Event::Halt { reason } => halt(next, *reason, now),
        Event::Cancel => end_open(next, Reason::CallerCanceled, now),
        Event::Expire => Err(if next.is_open() { Refused::NotDue } else { Refused::Ended }),
    }
}

/// An attempt is due to be looked at, and what there is to do needs no look at the provider.
fn check(next: &mut Challenge, number: u8, now: Timestamp) -> Result<(), Refused> {
    let (open, more_steps) = (next.is_open(), has_next_step(next, now));
    let may_resend = has_resend_left(next, number);
    let time_is_over = now >= next.request.answer_by;
    let attempt = find(next, number)?;
    if attempt.check_at.is_none_or(|at| at > now) {
        return Err(Refused::NotDue);
    }
    match attempt.state {
        AttemptState::Reserved if open => {
            let pause = OFFERED_CHECKS.get(usize::from(attempt.looks)).or(OFFERED_CHECKS.last());
            attempt.check_at = Some(now.plus(pause.copied().unwrap_or(RESERVED_CHECK)));
            attempt.looks = attempt.looks.saturating_add(1);
            attempt.not_before = None;
        }
        AttemptState::Dialing => {
            attempt.state = AttemptState::Unknown;
            attempt.check_at = Some(now.plus(UNKNOWN_CHECK));
        }
        // Whoever was sending it has gone: it may be sent once more, under the same collapse id.
        AttemptState::Sending if open && may_resend => {
            attempt.state = AttemptState::Reserved;
            attempt.check_at = Some(now.plus(RESERVED_CHECK));
            attempt.looks = 0;
        }
        AttemptState::Sending if open && more_steps => {
            attempt.devices = u8::MAX;
            end_attempt(next, number, Reason::PushUndeliverable, now);
        }
        AttemptState::Sending if open => {
            attempt.devices = u8::MAX;
            attempt.state = AttemptState::PushFailed;
            attempt.undelivered = true;
            attempt.check_at = None;
        }
        // Whoever has typed a code is asked by nothing else any more.
        AttemptState::Pushed
        | AttemptState::PushFailed
        | AttemptState::Opened
        | AttemptState::AwaitingCode
            if open && more_steps && attempt.codes.is_none() =>
        {
            end_attempt(next, number, Reason::NoResponse, now);
        }
        AttemptState::Superseded => end_again(attempt),
        // Its withdrawal was not heard of: it is owed still, as long as it is of any use.
        AttemptState::Ended => {
            attempt.withdrawn |= time_is_over;
            attempt.check_at = None;
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
        | AttemptState::AwaitingCode => attempt.check_at = None,
    }
    Ok(())
}

/// The end of a fenced call was not heard of: it is owed again, so that it is told once more.
fn end_again(attempt: &mut Attempt) {
    let is_owed = attempt.sid.is_some() && attempt.looks < HANG_UPS_AGAIN;
    if is_owed {
        attempt.looks += 1;
    }
    attempt.hang_up_sent = attempt.sid.is_some() && !is_owed;
    attempt.check_at = None;
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
    match next.live_attempt().map(|attempt| (attempt.state, attempt.not_before)) {
        None => {
            let attempt = new_attempt(next, channel, now)?;
            next.live.attempts.push(attempt);
        }
        Some((AttemptState::Reserved, not_before)) if not_before.is_some_and(|at| at > now) => {
            return Err(Refused::NotDue);
        }
        Some((AttemptState::Reserved, _)) => {}
        Some(_) => return Err(Refused::Unchanged),
    }
    let attempt = next.live.attempts.last_mut().ok_or(Refused::NotLive)?;
    attempt.not_before = None;
    attempt.looks = 0;
    Ok(attempt)
}

fn new_attempt(next: &Challenge, channel: Channel, now: Timestamp) -> Result<Attempt, Refused> {
    let number = u8::try_from(next.live.attempts.len() + 1).map_err(|_| Refused::OutOfPlace)?;
    Ok(Attempt::new(number, channel, next.live.step, next.elapsed_ms(now)))
}

fn has_next_step(next: &Challenge, now: Timestamp) -> bool {
    usize::from(next.live.step) + 1 < next.request.steps.len() && is_worth_beginning(next, now)
}

/// The time after which the next step follows; `None` when there is no next step to go on to.
fn step_timeout(next: &Challenge, now: Timestamp) -> Option<Duration> {
    next.current_step().and_then(Step::timeout).filter(|_| has_next_step(next, now))
}

/// Whether an attempt that begins at `at` has time to be answered.
fn is_worth_beginning(next: &Challenge, at: Timestamp) -> bool {
    next.request.answer_by.since(at) >= LEAST_STEP
}

/// How many attempts of the current step there were of which this holds.
fn count_of_step(next: &Challenge, holds: impl Fn(&Attempt) -> bool) -> usize {
    let step = next.live.step;
    next.live.attempts.iter().filter(|attempt| attempt.step == step && holds(attempt)).count()
}

/// Keeps the place of a new attempt of the current step, for any process to take up; not before a time, if one
/// is given.
fn reserve(next: &mut Challenge, not_before: Option<Timestamp>, now: Timestamp) {
    let channel = next.current_step().map_or(Channel::Voice, Step::channel);
    if let Ok(mut attempt) = new_attempt(next, channel, now) {
        attempt.not_before = not_before;
        attempt.check_at = Some(not_before.unwrap_or_else(|| now.plus(RESERVED_CHECK)));
        next.live.attempts.push(attempt);
    }
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
            | Reason::Throttled
            | Reason::PushUndeliverable
            | Reason::DeviceUnregistered
            | Reason::NoDevice
            | Reason::NoResponse
    )
}

/// Ends an attempt; then the next step is reserved, or the challenge ends for the same reason.
fn end_attempt(next: &mut Challenge, number: u8, reason: Reason, now: Timestamp) {
    close(next, number, reason, now);
    go_on(next, reason, now);
}

/// Ends an attempt and nothing else.
fn close(next: &mut Challenge, number: u8, reason: Reason, now: Timestamp) {
    let elapsed = next.elapsed_ms(now);
    if let Ok(attempt) = find(next, number) {
        attempt.state = AttemptState::Ended;
        attempt.ended_ms = Some(elapsed);
        attempt.reason = Some(reason);
        attempt.check_at = None;
    }
}

/// What follows after the last attempt of a step has failed.
fn go_on(next: &mut Challenge, reason: Reason, now: Timestamp) {
    if !next.is_open() {
        return;
    }
    if leads_on(reason) && has_next_step(next, now) {
        next.live.step += 1;
        match next.current_step() {
            Some(Step::Totp { .. }) => await_code(next, now),
            Some(Step::Voice { .. } | Step::Push { .. }) | None => reserve(next, None, now),
        }
    } else {
        end(next, reason, now);
    }
}

/// Ends the challenge by a rule. That its line is busy stops only a call that is not under way: what is, has
/// that very line.
fn halt(next: &mut Challenge, reason: Reason, now: Timestamp) -> Result<(), Refused> {
    let under_way = next.live_attempt().is_some_and(|attempt| attempt.state != AttemptState::Reserved);
    if next.is_open() && under_way && reason == Reason::CallInProgress {
        return Err(Refused::OutOfPlace);
    }
    end_open(next, reason, now)
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
    next.live.end =
        Some(End { reason, assurance, at: now, version: next.version + 1, device, retry_after_s: None });
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
        Some(attempt) if attempt.state == AttemptState::PushFailed && attempt.undelivered => {
            Reason::PushUndeliverable
        }
        Some(_) | None => Reason::NoResponse,
    }
}
