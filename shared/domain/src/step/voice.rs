//! What happens to a call: from the POST to its last fact.

use super::caller_id::{end_call, is_caller_id_rejected, is_too_soon_for_a_thumb};
use super::{
    MAX_ATTEMPTS, MAX_TRIES, RESERVED_CHECK, Refused, UNKNOWN_CHECK, begin, close, count_of_step, dialogue,
    end, end_attempt, find, go_on, is_worth_beginning, reserve,
};
use crate::attempt::{Attempt, rank};
use crate::challenge::Challenge;
use crate::event::Event;
use crate::time::Timestamp;
use crate::words::{AttemptState, Channel, Reason};
use core::time::Duration;

pub(super) fn apply(next: &mut Challenge, event: &Event, now: Timestamp) -> Result<(), Refused> {
    match event {
        Event::Dial { .. } => dial(next, event, now),
        Event::NoSlot { step, retry_after } => no_slot(next, *step, (*retry_after, now)),
        Event::Placed { attempt, sid, queue, check_after } => {
            placed(next, (*attempt, sid), (*queue, *check_after), now)
        }
        Event::NotPlaced { attempt, reason, provider_code, again_after } => {
            unplaced(next, *attempt)?.provider_code = *provider_code;
            not_placed(next, *attempt, (*reason, *again_after), now);
            Ok(())
        }
        Event::Unclear { attempt, check_after } => {
            let open = unplaced(next, *attempt)?;
            if open.state == AttemptState::Unknown {
                return Err(Refused::Unchanged);
            }
            open.state = AttemptState::Unknown;
            open.check_at = Some(now.plus(*check_after));
            Ok(())
        }
        Event::Ringing { attempt, sid } => forward(next, (*attempt, sid), AttemptState::Ringing, now),
        Event::Answered { attempt, sid } => forward(next, (*attempt, sid), AttemptState::Answered, now),
        Event::MachineAnswered { attempt, sid } => machine_answered(next, *attempt, sid, now),
        Event::Prompted { attempt, sid } => prompted(next, *attempt, sid, now),
        Event::Keyed { .. } | Event::PinKeyed { .. } | Event::PinJudged { .. } => {
            dialogue::apply(next, event, now)
        }
        Event::CallEnded { .. } => ended(next, event, now),
        Event::StillAlive { attempt, check_after } => {
            let known = ringing(next, *attempt)?;
            known.check_at = Some(now.plus(*check_after));
            Ok(())
        }
        Event::Unfound { attempt, check_after } => unfound(next, *attempt, (*check_after, now)),
        Event::Lost { attempt } => give_up(next, *attempt, Reason::ProviderUnavailable, now),
        Event::HangUpSent { attempt, check_after } => {
            let known = ringing(next, *attempt)?;
            known.hang_up_sent = true;
            known.check_at = Some(now.plus(*check_after));
            Ok(())
        }
        Event::CodeEntered { .. }
        | Event::CodeJudged { .. }
        | Event::Send { .. }
        | Event::Resend { .. }
        | Event::ResendAsked
        | Event::Pushed { .. }
        | Event::Unreached { .. }
        | Event::OnlyListed { .. }
        | Event::Withdrawn
        | Event::PushFailed { .. }
        | Event::Opened
        | Event::Decided { .. }
        | Event::Check { .. }
        | Event::Halt { .. }
        | Event::Cancel
        | Event::Expire => Err(Refused::OutOfPlace),
    }
}

/// This process is about to POST the call that it prepared for a step. Meanwhile another step may be gone, or the
/// caller ID may have been rejected.
fn dial(next: &mut Challenge, event: &Event, now: Timestamp) -> Result<(), Refused> {
    let Event::Dial { step, caller_id, has_next_caller_id, check_after } = event else {
        return Err(Refused::OutOfPlace);
    };
    let was_rejected = |a: &Attempt| is_caller_id_rejected(a) && a.caller_id.as_ref() == Some(caller_id);
    if next.is_open() && (next.live.step != *step || count_of_step(next, was_rejected) > 0) {
        return Err(Refused::OutOfPlace);
    }
    let elapsed = next.elapsed_ms(now);
    let attempt = begin(next, Channel::Voice, now)?;
    attempt.state = AttemptState::Dialing;
    attempt.dialed_ms = Some(elapsed);
    attempt.caller_id = Some(caller_id.clone());
    attempt.has_next_caller_id = *has_next_caller_id;
    attempt.check_at = Some(now.plus(*check_after));
    Ok(())
}

/// The step is over before it began; the next one may still be gone in time.
fn no_slot(next: &mut Challenge, step: u8, (retry_after, now): (Duration, Timestamp)) -> Result<(), Refused> {
    if !next.is_open() {
        return Err(Refused::Ended);
    }
    if next.live.step != step || next.current_step().is_none_or(|step| step.channel() != Channel::Voice) {
        return Err(Refused::OutOfPlace);
    }
    match next.live_attempt().map(|attempt| (attempt.number, attempt.state)) {
        None => {}
        Some((number, AttemptState::Reserved)) => close(next, number, Reason::Throttled, now),
        Some(_) => return Err(Refused::Unchanged),
    }
    go_on(next, Reason::Throttled, now);
    throttled(next, retry_after);
    Ok(())
}

/// Says when to try again, where the challenge has ended for want of a turn.
fn throttled(next: &mut Challenge, retry_after: Duration) {
    if let Some(end) = next.live.end.as_mut().filter(|end| end.reason == Reason::Throttled) {
        let seconds = retry_after.as_millis().div_ceil(1_000).max(1);
        end.retry_after_s = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
    }
}

/// The attempt, if its call may exist. That of a fenced one may: it was given up because nobody knew.
pub(super) fn ringing(next: &mut Challenge, number: u8) -> Result<&mut Attempt, Refused> {
    let attempt = find(next, number)?;
    if attempt.may_ring() || attempt.state == AttemptState::Superseded {
        Ok(attempt)
    } else {
        Err(Refused::NotLive)
    }
}

/// The attempt, if no call is known for it yet.
fn unplaced(next: &mut Challenge, number: u8) -> Result<&mut Attempt, Refused> {
    let attempt = ringing(next, number)?;
    match attempt.state {
        AttemptState::Dialing | AttemptState::Unknown => Ok(attempt),
        AttemptState::Reserved
        | AttemptState::Placed
        | AttemptState::Ringing
        | AttemptState::Answered
        | AttemptState::AwaitingInput
        | AttemptState::AwaitingCode
        | AttemptState::Sending
        | AttemptState::Pushed
        | AttemptState::PushFailed
        | AttemptState::Opened
        | AttemptState::Superseded
        | AttemptState::Ended => Err(Refused::Unchanged),
    }
}

/// No call was placed, for certain: where that may be otherwise soon, or with another caller ID, the step is tried again.
fn not_placed(
    next: &mut Challenge,
    number: u8,
    (reason, again_after): (Reason, Option<Duration>),
    now: Timestamp,
) {
    if reason == Reason::CarrierRejectedCallerId {
        return end_call(next, number, reason, now);
    }
    close(next, number, reason, now);
    let again_at = again_after.map(|after| now.plus(after.max(RESERVED_CHECK)));
    match again_at {
        Some(at)
            if next.is_open()
                && is_worth_beginning(next, at)
                && count_of_step(next, counts_as_try) < MAX_ATTEMPTS =>
        {
            reserve(next, Some(at), now);
        }
        Some(_) | None => go_on(next, reason, now),
    }
}

/// Whether an attempt was one to do what its provider asked a pause for.
fn counts_as_try(attempt: &Attempt) -> bool {
    attempt.reason != Some(Reason::Throttled) && !is_caller_id_rejected(attempt)
}

/// Ties the attempt to the provider's call: callbacks and the TwiML fetch overtake the POST's answer.
/// Says whether that was news.
fn bind(attempt: &mut Attempt, sid: &str) -> Result<bool, Refused> {
    match &attempt.sid {
        Some(known) if known == sid => Ok(false),
        Some(_) => Err(Refused::OtherCall),
        None => {
            attempt.sid = Some(sid.into());
            Ok(true)
        }
    }
}

/// The provider took the call. One that it would still hold in its queue when nobody has the time any more to answer
/// it is given up, and so its end is owed.
fn placed(
    next: &mut Challenge,
    (number, sid): (u8, &str),
    (queue, check_after): (Duration, Duration),
    now: Timestamp,
) -> Result<(), Refused> {
    let elapsed = next.elapsed_ms(now);
    let too_late = next.is_open() && !is_worth_beginning(next, now.plus(queue));
    let attempt = ringing(next, number)?;
    let bound = bind(attempt, sid)?;
    if !matches!(attempt.state, AttemptState::Dialing | AttemptState::Unknown) {
        return if bound { Ok(()) } else { Err(Refused::Unchanged) };
    }
    if too_late && !queue.is_zero() {
        give_up(next, number, Reason::Throttled, now)?;
        throttled(next, queue);
        return Ok(());
    }
    attempt.state = AttemptState::Placed;
    attempt.looks = 0;
    attempt.placed_ms = Some(elapsed);
    attempt.check_at = Some(now.plus(queue + check_after));
    Ok(())
}

/// Moves the attempt forward to `state`, never back.
fn forward(
    next: &mut Challenge,
    (number, sid): (u8, &str),
    state: AttemptState,
    now: Timestamp,
) -> Result<(), Refused> {
    let elapsed = next.elapsed_ms(now);
    let attempt = ringing(next, number)?;
    let bound = bind(attempt, sid)?;
    if rank(attempt.state) >= rank(state) {
        return if bound { Ok(()) } else { Err(Refused::Unchanged) };
    }
    if matches!(attempt.state, AttemptState::Dialing | AttemptState::Unknown) {
        attempt.check_at = Some(now.plus(UNKNOWN_CHECK));
    }
    attempt.state = state;
    attempt.looks = 0;
    let time =
        if state == AttemptState::Ringing { &mut attempt.ringing_ms } else { &mut attempt.answered_ms };
    *time = Some(elapsed);
    Ok(())
}

fn prompted(next: &mut Challenge, number: u8, sid: &str, now: Timestamp) -> Result<(), Refused> {
    let open = next.is_open();
    let elapsed = next.elapsed_ms(now);
    let attempt = ringing(next, number)?;
    let bound = bind(attempt, sid)?;
    if !open || attempt.state == AttemptState::Superseded {
        // The answer to this fetch is a hang-up, whatever else is known of the call.
        return if bound { Ok(()) } else { Err(Refused::Ended) };
    }
    if attempt.state == AttemptState::AwaitingInput {
        return Err(Refused::Unchanged);
    }
    attempt.state = AttemptState::AwaitingInput;
    attempt.looks = 0;
    attempt.answered_ms.get_or_insert(elapsed);
    attempt.rounds = 1;
    attempt.check_at = Some(now.plus(UNKNOWN_CHECK * 3));
    Ok(())
}

/// The answer to the request that says so is a hang-up: no other one is owed.
fn machine_answered(next: &mut Challenge, number: u8, sid: &str, now: Timestamp) -> Result<(), Refused> {
    let open = next.is_open();
    let elapsed = next.elapsed_ms(now);
    let attempt = ringing(next, number)?;
    let bound = bind(attempt, sid)?;
    if !open || attempt.state == AttemptState::Superseded {
        return if bound { Ok(()) } else { Err(Refused::Ended) };
    }
    if attempt.state == AttemptState::AwaitingInput {
        return Err(Refused::OutOfPlace);
    }
    attempt.answered_ms.get_or_insert(elapsed);
    attempt.hang_up_sent = true;
    end_attempt(next, number, Reason::Voicemail, now);
    Ok(())
}

fn ended(next: &mut Challenge, event: &Event, now: Timestamp) -> Result<(), Refused> {
    let Event::CallEnded { attempt: number, sid, reason, sip, duration_s } = event else {
        return Err(Refused::OutOfPlace);
    };
    let elapsed = next.elapsed_ms(now);
    let attempt = find(next, *number)?;
    bind(attempt, sid)?;
    let over = !attempt.may_ring();
    if attempt.state == AttemptState::Superseded {
        attempt.state = AttemptState::Ended;
        attempt.ended_ms = Some(elapsed);
        attempt.check_at = None;
    }
    let news =
        (sip.is_some() && attempt.sip.is_none()) || (duration_s.is_some() && attempt.duration_s.is_none());
    if over && !news {
        return Err(Refused::Unchanged);
    }
    attempt.sip = attempt.sip.or(*sip);
    attempt.duration_s = attempt.duration_s.or(*duration_s);
    if over {
        return Ok(());
    }
    let prompted = attempt.rounds > 0;
    if let Some(reason) = *reason {
        let declined_by_network = reason == Reason::RejectedCall && is_too_soon_for_a_thumb(attempt, elapsed);
        let reason = if declined_by_network { Reason::CarrierRejectedCallerId } else { reason };
        end_call(next, *number, reason, now);
        return Ok(());
    }
    attempt.state = AttemptState::Ended;
    attempt.ended_ms = Some(elapsed);
    attempt.check_at = None;
    if next.is_open() {
        // Media flowed. Without a prompt served it was our own dialogue that was missing.
        let reason = match prompted {
            false => Reason::Internal,
            true if next.live.tries >= MAX_TRIES => Reason::PinMismatch,
            true => Reason::HungUp,
        };
        end(next, reason, now);
    }
    Ok(())
}

/// The provider knows of no call. It is only eventually consistent, so it is asked twice. Then the attempt is
/// given up; where no call of it was ever known, the step gets one more attempt, once.
fn unfound(
    next: &mut Challenge,
    number: u8,
    (check_after, now): (Duration, Timestamp),
) -> Result<(), Refused> {
    let is_open = next.is_open();
    let attempt = ringing(next, number)?;
    match attempt.state {
        // The answer of its POST is still to come.
        AttemptState::Dialing => return Err(Refused::OutOfPlace),
        // Somebody is on the phone: the dialogue knows better.
        AttemptState::Answered | AttemptState::AwaitingInput if is_open => return Err(Refused::OutOfPlace),
        AttemptState::Superseded => return Err(Refused::NotLive),
        AttemptState::Unknown
        | AttemptState::Placed
        | AttemptState::Ringing
        | AttemptState::Answered
        | AttemptState::AwaitingInput
        | AttemptState::AwaitingCode
        | AttemptState::Reserved
        | AttemptState::Sending
        | AttemptState::Pushed
        | AttemptState::PushFailed
        | AttemptState::Opened
        | AttemptState::Ended => {}
    }
    if attempt.looks == 0 {
        attempt.looks = 1;
        attempt.check_at = Some(now.plus(check_after));
        return Ok(());
    }
    let was_known = attempt.sid.is_some();
    fence(next, number, Reason::ProviderUnavailable, now)?;
    let first = count_of_step(next, |attempt| attempt.state == AttemptState::Superseded) == 1;
    if next.is_open() && !was_known && first && is_worth_beginning(next, now) {
        reserve(next, None, now);
    } else {
        go_on(next, Reason::ProviderUnavailable, now);
    }
    Ok(())
}

/// Gives an attempt up, and its step.
fn give_up(next: &mut Challenge, number: u8, reason: Reason, now: Timestamp) -> Result<(), Refused> {
    fence(next, number, reason, now)?;
    go_on(next, reason, now);
    Ok(())
}

/// Gives an attempt up. It is fenced rather than over: its call may turn up after all, or is known and not over yet.
/// Its id is still taken then, and its hang-up owed.
fn fence(next: &mut Challenge, number: u8, reason: Reason, now: Timestamp) -> Result<(), Refused> {
    if !find(next, number)?.may_ring() {
        return Err(Refused::NotLive);
    }
    close(next, number, reason, now);
    let attempt = find(next, number)?;
    attempt.state = AttemptState::Superseded;
    attempt.looks = 0;
    Ok(())
}
