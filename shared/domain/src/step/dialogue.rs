//! What is asked in a call, and what the person's keys make of it.
//!
//! Each prompt is a round. A round is answered rightly, wrongly (a try), by a command (an aside, which has to be
//! confirmed), or by nothing that counts (a miss). A PIN takes two events: the try is committed first, then the
//! finding, so that no PIN is ever compared that was not counted.

use super::voice::ringing;
use super::{MAX_TRIES, Refused, end_with, find};
use crate::attempt::{Attempt, Talk};
use crate::challenge::Challenge;
use crate::event::{Entry, Event, PinVerdict};
use crate::time::Timestamp;
use crate::words::{Assurance, AttemptState, CallMode, Command, Reason};

/// Commands that a person may begin in one call before they count as wrong entries.
const MAX_ASIDES: u8 = 3;

/// What a prompt asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// `#`.
    Key,
    /// The PIN, then `#`.
    Pin,
    /// The number on the portal's screen, then `#`.
    Number,
    /// `1#`, to carry out the command.
    Confirm(Command),
}

/// What the call of this attempt is asked now; `None` where nothing is: it is not open, the call is not at a prompt, or
/// the last try is taken and its comparison is not heard of.
#[must_use]
pub fn question(challenge: &Challenge, attempt: u8) -> Option<Question> {
    let attempt = challenge.attempt(attempt).filter(|a| a.state == AttemptState::AwaitingInput)?;
    if !challenge.is_open() {
        return None;
    }
    let question = asked(challenge.request.mode, attempt);
    (question != Question::Pin || challenge.live.tries < MAX_TRIES).then_some(question)
}

fn asked(mode: CallMode, attempt: &Attempt) -> Question {
    let talk = attempt.talk.unwrap_or_default();
    match (talk.confirming, mode) {
        (Some(command), _) => Question::Confirm(command),
        (None, CallMode::Key | CallMode::SpokenCode) => Question::Key,
        (None, CallMode::NumberMatch) => Question::Number,
        (None, CallMode::PinNumberMatch) if talk.pin_proved => Question::Number,
        (None, CallMode::Pin | CallMode::PinNumberMatch) => Question::Pin,
    }
}

/// What an entry comes to.
enum Answer {
    /// The challenge ends.
    End(Reason, Option<Assurance>),
    /// A wrong entry; the reason for which the last one ends the challenge.
    Wrong(Reason),
    /// Nothing that counts; the reason for which the last one ends the challenge.
    Miss(Reason),
    /// A command, to be confirmed.
    Begin(Command),
    /// The command was not confirmed.
    Drop,
}

pub(super) fn apply(next: &mut Challenge, event: &Event, now: Timestamp) -> Result<(), Refused> {
    if !next.is_open() {
        return Err(Refused::Ended);
    }
    if let Event::Keyed { attempt, round, entry } = event {
        keyed(next, (*attempt, *round), *entry, now)
    } else if let Event::PinKeyed { attempt, round } = event {
        pin_keyed(next, (*attempt, *round))
    } else if let Event::PinJudged { attempt, round, verdict } = event {
        pin_judged(next, (*attempt, *round), *verdict, now)
    } else {
        Err(Refused::OutOfPlace)
    }
}

/// What is asked in this round of the attempt's call, if it is the current one.
fn current(next: &mut Challenge, (number, round): (u8, u8)) -> Result<Question, Refused> {
    let attempt = ringing(next, number)?;
    if attempt.state != AttemptState::AwaitingInput {
        return Err(Refused::OutOfPlace);
    }
    if attempt.rounds != round {
        return Err(Refused::Stale);
    }
    question(next, number).ok_or(Refused::OutOfPlace)
}

fn keyed(next: &mut Challenge, at: (u8, u8), entry: Entry, now: Timestamp) -> Result<(), Refused> {
    let question = current(next, at)?;
    let (number, round) = at;
    let mut talk = find(next, number)?.talk.unwrap_or_default();
    let over = match answer(next.request.mode, question, entry, talk.asides)? {
        Answer::End(reason, assurance) => Some((reason, assurance)),
        Answer::Wrong(reason) => {
            next.live.tries = next.live.tries.saturating_add(1);
            (next.live.tries >= MAX_TRIES).then_some((reason, None))
        }
        Answer::Miss(reason) => {
            talk.misses += 1;
            (talk.misses >= next.request.prompts).then_some((reason, None))
        }
        Answer::Begin(command) => {
            talk.asides += 1;
            talk.confirming = Some(command);
            None
        }
        Answer::Drop => {
            talk.confirming = None;
            None
        }
    };
    let attempt = find(next, number)?;
    attempt.talk = (talk != Talk::default()).then_some(talk);
    match over {
        None => attempt.rounds = round.saturating_add(1),
        Some((reason, assurance)) => finish(next, number, (reason, assurance), now),
    }
    Ok(())
}

/// A PIN is no entry of this kind: its try is taken first.
fn answer(mode: CallMode, question: Question, entry: Entry, asides: u8) -> Result<Answer, Refused> {
    Ok(match (question, entry) {
        (Question::Confirm(Command::ReportFraud), Entry::Yes) => Answer::End(Reason::FraudReported, None),
        (Question::Confirm(Command::NeverAgain), Entry::Yes) => Answer::End(Reason::NumberOptedOut, None),
        (
            Question::Confirm(_),
            Entry::Nothing
            | Entry::Confirm
            | Entry::Match
            | Entry::Command(_)
            | Entry::Other
            | Entry::Unfinished,
        ) => Answer::Drop,
        (Question::Key | Question::Pin | Question::Number, Entry::Command(command))
            if asides < MAX_ASIDES =>
        {
            Answer::Begin(command)
        }
        (Question::Key, Entry::Confirm) => Answer::End(Reason::OkKey, Some(Assurance::Key)),
        (Question::Number, Entry::Match) => {
            let both = mode == CallMode::PinNumberMatch;
            let assurance = if both { Assurance::PinNumberMatch } else { Assurance::NumberMatch };
            Answer::End(Reason::OkNumberMatch, Some(assurance))
        }
        (Question::Number, Entry::Other | Entry::Yes | Entry::Command(_)) => {
            Answer::Wrong(Reason::NumberMismatch)
        }
        (Question::Pin, Entry::Match | Entry::Other | Entry::Yes) => return Err(Refused::OutOfPlace),
        (Question::Pin | Question::Number, Entry::Unfinished) => Answer::Miss(Reason::TerminatorMissing),
        (Question::Number, Entry::Nothing | Entry::Confirm)
        | (Question::Pin, Entry::Nothing | Entry::Confirm | Entry::Command(_))
        | (
            Question::Key,
            Entry::Nothing | Entry::Match | Entry::Yes | Entry::Command(_) | Entry::Other | Entry::Unfinished,
        ) => Answer::Miss(Reason::NoInput),
    })
}

/// Takes a try, and goes on to the next round at once: should nobody be heard of who compares, the try is gone.
fn pin_keyed(next: &mut Challenge, at: (u8, u8)) -> Result<(), Refused> {
    if current(next, at)? != Question::Pin {
        return Err(Refused::OutOfPlace);
    }
    let (number, round) = at;
    next.live.tries = next.live.tries.saturating_add(1);
    let attempt = find(next, number)?;
    attempt.talk.get_or_insert_default().comparing = round;
    attempt.rounds = round.saturating_add(1);
    Ok(())
}

fn pin_judged(
    next: &mut Challenge,
    (number, round): (u8, u8),
    verdict: PinVerdict,
    now: Timestamp,
) -> Result<(), Refused> {
    let (mode, last) = (next.request.mode, next.live.tries >= MAX_TRIES);
    let attempt = ringing(next, number)?;
    let is_this = |talk: &&mut Talk| round > 0 && talk.comparing == round;
    let talk = attempt.talk.as_mut().filter(is_this).ok_or(Refused::Stale)?;
    talk.comparing = 0;
    let was_right = matches!(verdict, PinVerdict::Right | PinVerdict::Expired);
    // Whoever was right is forgiven the calls that were wrong.
    talk.counted = !was_right && (talk.counted || verdict == PinVerdict::Wrong);
    talk.pin_proved = verdict == PinVerdict::Right;
    if was_right {
        next.live.tries = next.live.tries.saturating_sub(1);
    }
    let over = match verdict {
        PinVerdict::Right if mode == CallMode::PinNumberMatch => None,
        PinVerdict::Right => Some((Reason::OkPin, Some(Assurance::Pin))),
        PinVerdict::Wrong => last.then_some((Reason::PinMismatch, None)),
        PinVerdict::Expired => Some((Reason::PinExpired, None)),
        PinVerdict::LockedOut => Some((Reason::LockedOut, None)),
        PinVerdict::NoPin => Some((Reason::NoMethod, None)),
    };
    if let Some(end) = over {
        finish(next, number, end, now);
    }
    Ok(())
}

/// Ends the challenge by what was keyed. The answer to this very request hangs up, so no hang-up is owed; should it get
/// lost, the check finds the call.
fn finish(
    next: &mut Challenge,
    number: u8,
    (reason, assurance): (Reason, Option<Assurance>),
    now: Timestamp,
) {
    end_with(next, reason, assurance, None, now);
    if let Ok(attempt) = find(next, number) {
        attempt.hang_up_sent = true;
    }
}
