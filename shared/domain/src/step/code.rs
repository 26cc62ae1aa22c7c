//! Codes that are typed into the portal: the wait for one, its tries, and what comes of them.
//!
//! A code takes two events, as a PIN does: the try is committed first, then the finding. Tries may overlap, since nothing
//! keeps a portal from sending two, so each has an id. A message that is delivered again finds its try, and goes on with it
//! instead of taking another one.

use super::{MAX_TRIES, Refused, end_with, find, new_attempt, step_timeout};
use crate::attempt::{Attempt, CodeTry};
use crate::challenge::Challenge;
use crate::event::CodeVerdict;
use crate::request::Step;
use crate::time::Timestamp;
use crate::words::{Assurance, AttemptState, Channel, Reason};

/// Where the current step is to wait for a code, the wait begins at once: there is nothing that a process would have to do
/// for it.
pub(crate) fn await_code(next: &mut Challenge, now: Timestamp) {
    let waits = next.is_open() && matches!(next.current_step(), Some(Step::Totp { .. }));
    let timeout = step_timeout(next, now);
    if waits && let Ok(mut attempt) = new_attempt(next, Channel::Totp, now) {
        attempt.state = AttemptState::AwaitingCode;
        attempt.check_at = timeout.map(|after| now.plus(after));
        next.live.attempts.push(attempt);
    }
}

/// The attempt, if it waits for a code.
fn awaiting(next: &mut Challenge, number: u8) -> Result<&mut Attempt, Refused> {
    if !next.is_open() {
        return Err(Refused::Ended);
    }
    let attempt = find(next, number)?;
    if attempt.state == AttemptState::AwaitingCode { Ok(attempt) } else { Err(Refused::OutOfPlace) }
}

/// Takes a try. From now on no other step follows by itself.
pub(super) fn entered(next: &mut Challenge, number: u8, id: [u8; 16]) -> Result<(), Refused> {
    let taken = next.live.tries;
    let attempt = awaiting(next, number)?;
    if attempt.codes.iter().flat_map(|codes| &codes.tries).any(|one| one.id == id) {
        return Err(Refused::Unchanged);
    }
    if taken >= MAX_TRIES {
        return Err(Refused::OutOfPlace);
    }
    attempt.codes.get_or_insert_default().tries.push(CodeTry { id, wrong: false });
    attempt.check_at = None;
    next.live.tries = taken + 1;
    Ok(())
}

pub(super) fn judged(
    next: &mut Challenge,
    (number, id): (u8, [u8; 16]),
    verdict: CodeVerdict,
    now: Timestamp,
) -> Result<(), Refused> {
    let (elapsed, no_try_left) = (next.elapsed_ms(now), next.live.tries >= MAX_TRIES);
    let attempt = awaiting(next, number)?;
    let codes = attempt.codes.as_mut().ok_or(Refused::Stale)?;
    let this = codes.tries.iter_mut().find(|one| one.id == id).ok_or(Refused::Stale)?;
    match verdict {
        // Also where a second delivery of the same message was found wrong, because this one had taken the code already.
        CodeVerdict::Right(device) => {
            attempt.answered_ms = Some(elapsed);
            next.live.tries = next.live.tries.saturating_sub(1);
            end_with(next, Reason::OkTotp, Some(Assurance::Totp), Some(device), now);
        }
        CodeVerdict::Wrong if this.wrong => return Err(Refused::Unchanged),
        CodeVerdict::Wrong => {
            this.wrong = true;
            codes.counted = true;
            // While another one is being compared, it may still be right.
            if no_try_left && codes.tries.iter().all(|one| one.wrong) {
                end_with(next, Reason::TotpMismatch, None, None, now);
            }
        }
        CodeVerdict::LockedOut => end_with(next, Reason::LockedOut, None, None, now),
        CodeVerdict::NoDevice => end_with(next, Reason::NoDevice, None, None, now),
    }
    Ok(())
}
