//! What happens to a call: from the POST to its last fact.

use super::{MAX_TRIES, Refused, UNKNOWN_CHECK, begin, end, end_attempt, end_with, find};
use crate::attempt::{Attempt, rank};
use crate::challenge::Challenge;
use crate::event::{Entry, Event};
use crate::time::Timestamp;
use crate::words::{Assurance, AttemptState, CallMode, Channel, Reason};
use core::time::Duration;

pub(super) fn apply(next: &mut Challenge, event: &Event, now: Timestamp) -> Result<(), Refused> {
    match event {
        Event::Dial { caller_id, check_after } => {
            let attempt = begin(next, Channel::Voice, now)?;
            attempt.state = AttemptState::Dialing;
            attempt.caller_id = Some(caller_id.clone());
            attempt.check_at = Some(now.plus(*check_after));
            Ok(())
        }
        Event::Placed { attempt, sid, check_after } => placed(next, *attempt, sid, (*check_after, now)),
        Event::NotPlaced { attempt, reason, provider_code } => {
            let open = unplaced(next, *attempt)?;
            open.provider_code = *provider_code;
            end_attempt(next, *attempt, *reason, now);
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
        Event::Prompted { attempt, sid } => prompted(next, *attempt, sid, now),
        Event::Keyed { attempt, round, entry } => keyed(next, *attempt, *round, (*entry, now)),
        Event::CallEnded { .. } => ended(next, event, now),
        Event::StillAlive { attempt, check_after } => {
            let known = ringing(next, *attempt)?;
            known.check_at = Some(now.plus(*check_after));
            Ok(())
        }
        Event::Lost { attempt } => lost(next, *attempt, now),
        Event::HangUpSent { attempt, check_after } => {
            let known = ringing(next, *attempt)?;
            known.hang_up_sent = true;
            known.check_at = Some(now.plus(*check_after));
            Ok(())
        }
        Event::Send { .. }
        | Event::Resend { .. }
        | Event::Pushed { .. }
        | Event::PushFailed { .. }
        | Event::Opened
        | Event::Decided { .. }
        | Event::Check { .. }
        | Event::Halt { .. }
        | Event::Cancel
        | Event::Expire => Err(Refused::OutOfPlace),
    }
}

/// The attempt, if its call may exist. That of a fenced one may: it was given up because nobody knew.
fn ringing(next: &mut Challenge, number: u8) -> Result<&mut Attempt, Refused> {
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
        | AttemptState::Sending
        | AttemptState::Pushed
        | AttemptState::PushFailed
        | AttemptState::Opened
        | AttemptState::Superseded
        | AttemptState::Ended => Err(Refused::Unchanged),
    }
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

fn placed(
    next: &mut Challenge,
    number: u8,
    sid: &str,
    (check_after, now): (Duration, Timestamp),
) -> Result<(), Refused> {
    let elapsed = next.elapsed_ms(now);
    let attempt = ringing(next, number)?;
    let bound = bind(attempt, sid)?;
    if !matches!(attempt.state, AttemptState::Dialing | AttemptState::Unknown) {
        return if bound { Ok(()) } else { Err(Refused::Unchanged) };
    }
    attempt.state = AttemptState::Placed;
    attempt.placed_ms = Some(elapsed);
    attempt.check_at = Some(now.plus(check_after));
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
    attempt.answered_ms.get_or_insert(elapsed);
    attempt.rounds = 1;
    attempt.check_at = Some(now.plus(UNKNOWN_CHECK * 3));
    Ok(())
}

fn keyed(
    next: &mut Challenge,
    number: u8,
    round: u8,
    (entry, now): (Entry, Timestamp),
) -> Result<(), Refused> {
    if !next.is_open() {
        return Err(Refused::Ended);
    }
    let attempt = ringing(next, number)?;
    if attempt.state != AttemptState::AwaitingInput {
        return Err(Refused::OutOfPlace);
    }
    if attempt.rounds != round {
        return Err(Refused::Stale);
    }
    let verdict = match (next.request.mode, entry) {
        (CallMode::Key, Entry::Confirm) => Some((Reason::OkKey, Some(Assurance::Key))),
        (CallMode::NumberMatch, Entry::Match) => Some((Reason::OkNumberMatch, Some(Assurance::NumberMatch))),
        (CallMode::NumberMatch, Entry::Other) => {
            next.live.tries = next.live.tries.saturating_add(1);
            let over = next.live.tries >= MAX_TRIES || round >= next.request.prompts;
            over.then_some((Reason::NumberMismatch, None))
        }
        (
            CallMode::Key
            | CallMode::NumberMatch
            | CallMode::Pin
            | CallMode::PinNumberMatch
            | CallMode::SpokenCode,
            Entry::Nothing | Entry::Confirm | Entry::Match | Entry::Other,
        ) => (round >= next.request.prompts).then_some((Reason::NoInput, None)),
    };
    match verdict {
        None => find(next, number)?.rounds = round + 1,
        Some((reason, assurance)) => {
            end_with(next, reason, assurance, None, now);
            // The answer to this very request hangs up, so no hang-up is owed; should it get lost, the
            // check finds the call.
            find(next, number)?.hang_up_sent = true;
        }
    }
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
    if let Some(reason) = reason {
        end_attempt(next, *number, *reason, now);
        return Ok(());
    }
    attempt.state = AttemptState::Ended;
    attempt.ended_ms = Some(elapsed);
    attempt.check_at = None;
    if next.is_open() {
        // Media flowed. Without a prompt served it was our own dialogue that was missing.
        end(next, if prompted { Reason::HungUp } else { Reason::Internal }, now);
    }
    Ok(())
}

/// Nobody knows of a call. The attempt is fenced rather than over: should its call turn up after all, its
/// id is still taken and its hang-up owed.
fn lost(next: &mut Challenge, number: u8, now: Timestamp) -> Result<(), Refused> {
    let attempt = find(next, number)?;
    if !attempt.may_ring() {
        return Err(Refused::NotLive);
    }
    end_attempt(next, number, Reason::ProviderUnavailable, now);
    find(next, number)?.state = AttemptState::Superseded;
    Ok(())
}
