//! What follows from the end of a call whose caller ID was rejected. Which one is next is the plan's affair
//! (`../caller_id.rs`).

use core::time::Duration;

use super::{MAX_CALLER_IDS, NETWORK_DECLINES, close, count_of_step, go_on, is_worth_beginning, reserve};
use crate::attempt::Attempt;
use crate::challenge::Challenge;
use crate::time::Timestamp;
use crate::words::Reason;

/// A call is over, or could not be placed. Where that was for its caller ID, and the plan has another one, the step goes
/// on at once; its next attempt is a call of its own.
pub(super) fn end_call(next: &mut Challenge, number: u8, reason: Reason, now: Timestamp) {
    close(next, number, reason, now);
    let has_next = next
        .attempt(number)
        .is_some_and(|a| is_caller_id_rejected(a) && a.has_next_caller_id && a.answered_ms.is_none());
    if has_next
        && next.is_open()
        && is_worth_beginning(next, now)
        && count_of_step(next, is_caller_id_rejected) < MAX_CALLER_IDS
    {
        reserve(next, None, now);
    } else {
        go_on(next, reason, now);
    }
}

pub(super) fn is_caller_id_rejected(attempt: &Attempt) -> bool {
    attempt.reason == Some(Reason::CarrierRejectedCallerId)
}

/// Whether a call that is declined now is declined before a person could: SIP 603 does not say by whom. Where the news is
/// late it looks as if a person had, and nobody is called again.
pub(super) fn is_too_soon_for_a_thumb(attempt: &Attempt, elapsed_ms: u32) -> bool {
    let begun_ms = attempt.placed_ms.or(attempt.dialed_ms).unwrap_or(attempt.reserved_ms);
    let passed = Duration::from_millis(u64::from(elapsed_ms.saturating_sub(begun_ms)));
    attempt.ringing_ms.is_none() && attempt.answered_ms.is_none() && passed < NETWORK_DECLINES
}
