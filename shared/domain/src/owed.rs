//! `owed`: what is still to be done for a challenge. It follows from the state alone, so any process can
//! finish what another began.

use alloc::string::String;
use alloc::vec::Vec;

use crate::attempt::Attempt;
use crate::challenge::{Challenge, End};
use crate::ids::DeviceId;
use crate::request::Request;
use crate::step::is_resend_asked;
use crate::time::Timestamp;
use crate::words::{AttemptState, Channel};

/// Something that is to be done for a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Place the call of the current step.
    Dial,
    /// Send the push of the current step.
    Push,
    /// Send the push of the live attempt once more: the person asked for it.
    Resend,
    /// Tell the devices that did not answer that the challenge is over.
    Withdraw,
    /// End a call that nobody waits for any more.
    HangUp {
        /// The attempt.
        attempt: u8,
        /// The provider's id of the call.
        sid: String,
    },
}

/// Everything that is owed for the challenge, beside telling its portal of a version not yet told.
#[must_use]
pub fn owed(challenge: &Challenge) -> Vec<Effect> {
    let mut effects = Vec::new();
    let waiting = match challenge.live.attempts.last() {
        None => true,
        // One that must wait is offered by the check at its time.
        Some(attempt) => attempt.state == AttemptState::Reserved && attempt.not_before.is_none(),
    };
    if challenge.is_open()
        && waiting
        && let Some(step) = challenge.current_step()
    {
        effects.extend(match step.channel() {
            Channel::Push => Some(Effect::Push),
            Channel::Voice => Some(Effect::Dial),
            // The person types it: nothing is sent.
            Channel::Totp => None,
        });
    }
    if is_resend_asked(challenge) {
        effects.push(Effect::Resend);
    }
    let (end, request) = (challenge.live.end.as_ref(), &challenge.request);
    if challenge.live.attempts.iter().any(|attempt| stale_push(attempt, end, request)) {
        effects.push(Effect::Withdraw);
    }
    for attempt in &challenge.live.attempts {
        if let Some(sid) = unwanted_call(attempt, challenge.is_open()) {
            effects.push(Effect::HangUp { attempt: attempt.number, sid: sid.clone() });
        }
    }
    effects
}

/// The call of an attempt that nobody waits for and that was not told to end.
pub(crate) fn unwanted_call(attempt: &Attempt, is_open: bool) -> Option<&String> {
    let fenced = attempt.state == AttemptState::Superseded;
    let unwanted = fenced || (!is_open && attempt.may_ring());
    attempt.sid.as_ref().filter(|_| unwanted && !attempt.hang_up_sent)
}

/// The attempt whose push was being sent when its challenge ended, where nobody has said since whether devices have it. Whoever
/// was sending it may have died; then [`Event::Pushed`](crate::Event::Pushed) with the devices that may show it makes the
/// withdrawal owed.
#[must_use]
pub fn unsettled_push(challenge: &Challenge) -> Option<u8> {
    let end = challenge.live.end.as_ref().filter(|end| end.at < challenge.request.answer_by);
    let is_unsettled = |attempt: &&Attempt| {
        attempt.channel == Channel::Push
            && attempt.rounds > 0
            && attempt.devices == 0
            && attempt.placed_ms.is_none()
            && !attempt.undelivered
    };
    end.and_then(|_| challenge.live.attempts.iter().find(is_unsettled)).map(|attempt| attempt.number)
}

/// Whether devices may still show the push of an attempt whose challenge has ended so, and were not told. Not where the
/// time was over: the push has lived no longer.
pub(crate) fn stale_push(attempt: &Attempt, end: Option<&End>, request: &Request) -> bool {
    end.is_some_and(|end| {
        let step = request.steps.get(usize::from(attempt.step));
        // Where it is known only which devices the push may have reached, one that answers may be none of them.
        let is_counted = |device: DeviceId| {
            attempt.resend.as_ref().is_none_or(|resend| {
                usize::from(attempt.devices) > resend.devices.len() || resend.devices.contains(&device)
            })
        };
        let asked = |device: &DeviceId| step.is_some_and(|step| step.asks(*device)) && is_counted(*device);
        let answered = end.answered_by().filter(asked);
        !attempt.withdrawn && attempt.devices > u8::from(answered.is_some()) && end.at < request.answer_by
    })
}

/// A change to the row that keeps watch over one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The attempt must be looked at by then; its line, if it has one, stays leased.
    Until {
        /// The attempt.
        attempt: u8,
        /// When.
        check_at: Timestamp,
    },
    /// Nothing is left to watch; the line is free.
    Over {
        /// The attempt.
        attempt: u8,
    },
}

/// How the watch over the attempts changes between two versions.
#[must_use]
pub fn watch_changes(before: Option<&Challenge>, after: &Challenge) -> Vec<Watch> {
    let earlier = |number| before.and_then(|c| c.attempt(number)).and_then(|a| a.check_at);
    after
        .live
        .attempts
        .iter()
        .filter_map(|attempt| match (earlier(attempt.number), attempt.check_at) {
            (was, Some(check_at)) if was != Some(check_at) => {
                Some(Watch::Until { attempt: attempt.number, check_at })
            }
            (Some(_), None) => Some(Watch::Over { attempt: attempt.number }),
            (_, Some(_)) | (None, None) => None,
        })
        .collect()
}
