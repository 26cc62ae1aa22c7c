//! The caller-ID plan: which number a call shows, and which the next one shows where that was rejected.
//!
//! It climbs a ladder: numbers of the pool in the destination's country, other numbers of the pool, numbers of other
//! carriers, no number at all. Two numbers of each rung are tried on the way up; the others come last, and so are what
//! it steps back to from a withheld number that the callee does not take. How an attempt whose caller ID was rejected
//! leads to the next attempt is in `step/caller_id.rs`.

use alloc::vec::Vec;

use crate::attempt::{Attempt, CallerId};
use crate::challenge::Challenge;
use crate::phone::PhoneNumber;
use crate::words::{CallerIdStep, Reason};

/// Numbers of a rung that are tried before the next rung: who rejects two of a kind is likely to reject a third.
const ON_THE_WAY_UP: usize = 2;
/// Anonymity Disallowed (RFC 5079): the callee takes no calls without a number.
const SIP_ANONYMITY_DISALLOWED: u16 = 433;

/// What a call may show.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallerIds<'a> {
    /// The portal's numbers at the carrier that places the call, the preferred one first.
    pub pool: &'a [PhoneNumber],
    /// Its numbers at carriers that may place the call instead.
    pub elsewhere: &'a [PhoneNumber],
    /// Whether the portal allows a call without a number, and the carrier can place one.
    pub may_withhold: bool,
}

/// A caller ID that was sent, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedCallerId<'a> {
    /// The caller ID.
    pub caller_id: &'a CallerId,
    /// What came of it.
    pub finding: CallerIdFinding,
}

/// What came of a caller ID that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerIdFinding {
    /// Nothing is known against it: its call goes on, or failed for another reason.
    Good,
    /// Carrier, network or callee rejected it.
    Rejected,
    /// The same, since the callee takes no calls without a number, and saw none.
    SeenAsAnonymous,
}

/// The caller ID to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedCallerId {
    /// The caller ID. One that is withheld has a number all the same: the carrier is told whose call it hides.
    pub caller_id: CallerId,
    /// Whether there is another one, should this be rejected.
    pub has_next: bool,
}

/// The next caller ID: the first of the ladder that was not rejected; `None` when there is none.
///
/// A number is local where it has the destination's calling code; within a rung the pool's own order counts. A likeness
/// beyond that, such as the same area code, is not looked for: it says little about where a mobile phone is, and a
/// caller who seems to live next door is what networks take for a scam.
#[must_use]
pub fn plan_caller_id(
    ids: CallerIds<'_>,
    to: &PhoneNumber,
    used: &[UsedCallerId<'_>],
) -> Option<PlannedCallerId> {
    let takes_anonymous = used.iter().all(|used| used.finding != CallerIdFinding::SeenAsAnonymous);
    let is_rejected = |caller_id: &CallerId| {
        used.iter().any(|used| used.caller_id == caller_id && used.finding != CallerIdFinding::Good)
    };
    let mut left = ladder(ids, to).into_iter().filter(|caller_id| {
        !is_rejected(caller_id) && (takes_anonymous || caller_id.step != CallerIdStep::Withheld)
    });
    let caller_id = left.next()?;
    Some(PlannedCallerId { caller_id, has_next: left.next().is_some() })
}

/// Every caller ID in the order in which it is tried.
fn ladder(ids: CallerIds<'_>, to: &PhoneNumber) -> Vec<CallerId> {
    let is_local = |number: &&PhoneNumber| number.calling_code() == to.calling_code();
    let (local, other) = ids.pool.iter().partition(is_local);
    let (local_elsewhere, other_elsewhere): (Vec<_>, Vec<_>) = ids.elsewhere.iter().partition(is_local);
    let rungs: [(CallerIdStep, Vec<&PhoneNumber>); 3] = [
        (CallerIdStep::Local, local),
        (CallerIdStep::Other, other),
        (CallerIdStep::OtherCarrier, [local_elsewhere, other_elsewhere].concat()),
    ];
    let with = |number: &PhoneNumber, step| CallerId { number: number.e164().into(), step };
    let numbers = |skipped, taken| {
        rungs.iter().flat_map(move |(step, numbers)| {
            numbers.iter().skip(skipped).take(taken).map(move |number| with(number, *step))
        })
    };
    let mut ladder: Vec<_> = numbers(0, ON_THE_WAY_UP).collect();
    let hidden = ladder.first().filter(|_| ids.may_withhold).cloned();
    ladder.extend(hidden.map(|best| CallerId { step: CallerIdStep::Withheld, ..best }));
    ladder.extend(numbers(ON_THE_WAY_UP, usize::MAX));
    ladder
}

/// What was sent in the step that the challenge is at. Another step calls another phone, where everything may be
/// accepted again.
#[must_use]
pub fn used_caller_ids(challenge: &Challenge) -> Vec<UsedCallerId<'_>> {
    let of_step = challenge.live.attempts.iter().filter(|attempt| attempt.step == challenge.live.step);
    of_step.filter_map(UsedCallerId::of).collect()
}

impl<'a> UsedCallerId<'a> {
    /// The caller ID of an attempt; `None` where none was sent.
    fn of(attempt: &'a Attempt) -> Option<Self> {
        let finding = match (attempt.reason, attempt.sip) {
            (Some(Reason::CarrierRejectedCallerId), Some(SIP_ANONYMITY_DISALLOWED)) => {
                CallerIdFinding::SeenAsAnonymous
            }
            (Some(Reason::CarrierRejectedCallerId), _) => CallerIdFinding::Rejected,
            (Some(_) | None, _) => CallerIdFinding::Good,
        };
        Some(Self { caller_id: attempt.caller_id.as_ref()?, finding })
    }
}

#[cfg(test)]
mod tests;
