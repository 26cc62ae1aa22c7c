//! Looks a call up at the carrier when its callbacks did not come, and searches for one whose POST had an
//! unclear answer.

use std::time::Duration;

use fleet_domain::{
    Attempt, AttemptState, CALLBACK_CHECK, Challenge, Event, PhoneNumber, Step, Timestamp, UNFOUND_CHECK,
    UNKNOWN_CHECK,
};
use fleet_engine::{Applied, Apply, Error};
use fleet_records::{Actor, Stored};
use fleet_twilio::{Call, CallStatus, end_reason};

use crate::effects::VoiceHands;

/// How long before its POST a call may seem to have been created: carriers tell whole seconds, by their clock.
const CREATED_BEFORE: Duration = Duration::from_secs(2);
/// How long after its POST a call may have been created.
const CREATED_AFTER: Duration = Duration::from_mins(1);
/// How long after a call must be over its attempt is watched on.
const OVER_MARGIN: Duration = Duration::from_mins(1);

impl VoiceHands {
    /// Asks the carrier what became of a call.
    pub(crate) async fn look_up(&self, stored: Stored, number: u8) -> Result<(), Error> {
        let Some(attempt) = stored.challenge.attempt(number) else { return Ok(()) };
        if attempt.state == AttemptState::Dialing {
            return self.settle(stored, number, Event::Check { attempt: number }).await;
        }
        match attempt.sid.clone() {
            Some(sid) => self.fetch(stored, number, sid).await,
            None => self.search(stored, number).await,
        }
    }

    async fn fetch(&self, stored: Stored, number: u8, sid: String) -> Result<(), Error> {
        let key = &stored.challenge.key;
        let call = match self.carrier.fetch_call(&sid).await {
            Ok(call) => call,
            Err(error) if error.is_no_such_call() => return self.unfound(stored, number).await,
            Err(error) => {
                tracing::warn!(challenge = %key, %error, "a call could not be looked up; it is tried again");
                return self.still_alive(stored, number).await;
            }
        };
        let Some(status) = call.status else { return self.still_alive(stored, number).await };
        if !stored.challenge.is_open() && !is_over(status) {
            return self.hang_up(&stored.challenge, number, &sid).await;
        }
        match event_of(status, number, sid, &call) {
            Some(event) => self.settle(stored, number, event).await,
            None => self.still_alive(stored, number).await,
        }
    }

    /// Searches for the call of an attempt whose POST had an unclear answer. Found, it is bound and looked up.
    async fn search(&self, stored: Stored, number: u8) -> Result<(), Error> {
        let key = stored.challenge.key.clone();
        let Some((to, from)) = self.line_of(&stored.challenge, number) else {
            return self.still_alive(stored, number).await;
        };
        let list = match self.carrier.list_calls(&to, &from, None).await {
            Ok(list) => list,
            Err(error) => {
                tracing::warn!(challenge = %key, %error, "a call could not be searched for; it is tried again");
                return self.still_alive(stored, number).await;
            }
        };
        if let Some(call) = list.calls.into_iter().find(|call| is_call_of(&stored.challenge, number, call)) {
            let check_after = stored.challenge.ring_time(number) + CALLBACK_CHECK;
            let sid = call.sid.clone();
            let placed = Event::Placed { attempt: number, sid, queue: Duration::ZERO, check_after };
            let apply = Apply::bulk(&key, Actor::Provider).knowing(stored);
            return match self.engine.apply(apply, |_| placed.clone()).await? {
                Applied::Changed { after, .. } => self.fetch(after, number, call.sid).await,
                Applied::Unchanged { stored, .. } => self.carry_out_all(&stored).await,
            };
        }
        if list.complete {
            return self.unfound(stored, number).await;
        }
        self.still_alive(stored, number).await
    }

    /// From whom to whom the attempt's call went.
    fn line_of(&self, challenge: &Challenge, number: u8) -> Option<(PhoneNumber, PhoneNumber)> {
        let attempt = challenge.attempt(number)?;
        let from = PhoneNumber::parse(&attempt.caller_id.as_ref()?.number).ok()?;
        let Step::Voice { phone, .. } = challenge.request.steps.get(usize::from(attempt.step))? else {
            return None;
        };
        let (to, _) = self.reveal(challenge.request.user.as_ref()?, phone).ok()?;
        Some((to, from))
    }

    /// The carrier knows of no such call. Of a conversation that is not believed for as long as it may last.
    async fn unfound(&self, stored: Stored, number: u8) -> Result<(), Error> {
        let is_talking =
            |attempt: &Attempt| matches!(attempt.state, AttemptState::Answered | AttemptState::AwaitingInput);
        if stored.challenge.is_open() && stored.challenge.attempt(number).is_some_and(is_talking) {
            return self.still_alive(stored, number).await;
        }
        self.settle(stored, number, Event::Unfound { attempt: number, check_after: UNFOUND_CHECK }).await
    }

    /// Nothing new was learned: it is looked up again, unless it must have ended long ago.
    async fn still_alive(&self, stored: Stored, number: u8) -> Result<(), Error> {
        let key = stored.challenge.key.clone();
        let event = if self.engine.now()
            > over_at(&stored.challenge, number, self.carrier.profile().time_limit())
        {
            tracing::warn!(challenge = %key, attempt = number, "a call must be over and nobody says so; it is given up");
            Event::Lost { attempt: number }
        } else {
            Event::StillAlive { attempt: number, check_after: UNKNOWN_CHECK }
        };
        let apply = Apply::bulk(&key, Actor::Provider).knowing(stored);
        let applied = self.engine.apply(apply, |_| event.clone()).await?;
        self.carry_out_all(applied.stored()).await
    }

    async fn settle(&self, stored: Stored, number: u8, event: Event) -> Result<(), Error> {
        let key = stored.challenge.key.clone();
        let apply = Apply::bulk(&key, Actor::Provider).knowing(stored);
        let applied = self.engine.apply(apply, |_| event.clone()).await?;
        if let Applied::Unchanged { stored, .. } = &applied
            && let Some(attempt) = stored.challenge.attempt(number)
            && attempt.may_ring()
            && attempt.check_at.is_some_and(|at| at <= self.engine.now())
        {
            return self.still_alive(stored.clone(), number).await;
        }
        self.carry_out_all(applied.stored()).await
    }
}

/// When the call of an attempt is over, whatever happens: its ringing and the carrier's limit have passed.
fn over_at(challenge: &Challenge, number: u8, time_limit: Duration) -> Timestamp {
    let begun_ms = challenge
        .attempt(number)
        .map_or(0, |attempt| attempt.placed_ms.or(attempt.dialed_ms).unwrap_or(attempt.reserved_ms));
    challenge.time_of(begun_ms).plus(challenge.ring_time(number) + time_limit + OVER_MARGIN)
}

/// Whether a call that was found between the attempt's two numbers is the attempt's own: it was created when the
/// attempt was POSTed, and no other attempt has it.
fn is_call_of(challenge: &Challenge, number: u8, call: &Call) -> bool {
    let Some(attempt) = challenge.attempt(number) else { return false };
    let dialed_at = challenge.time_of(attempt.dialed_ms.unwrap_or(attempt.reserved_ms));
    let window = dialed_at.minus(CREATED_BEFORE)..=dialed_at.plus(CREATED_AFTER);
    let is_taken =
        challenge.live.attempts.iter().any(|other| other.sid.as_deref() == Some(call.sid.as_str()));
    !is_taken && call.created_at.is_some_and(|created| window.contains(&created))
}

/// What a call's status means for its attempt; `None` while it is still queued.
fn event_of(status: CallStatus, attempt: u8, sid: String, call: &Call) -> Option<Event> {
    match status {
        CallStatus::Queued | CallStatus::Initiated => None,
        CallStatus::Ringing => Some(Event::Ringing { attempt, sid }),
        CallStatus::InProgress => Some(Event::Answered { attempt, sid }),
        CallStatus::Completed
        | CallStatus::Busy
        | CallStatus::Failed
        | CallStatus::NoAnswer
        | CallStatus::Canceled => Some(Event::CallEnded {
            attempt,
            sid,
            reason: end_reason(status, None),
            sip: None,
            duration_s: call.duration.and_then(|d| u32::try_from(d.as_secs()).ok()),
        }),
    }
}

const fn is_over(status: CallStatus) -> bool {
    match status {
        CallStatus::Completed
        | CallStatus::Busy
        | CallStatus::Failed
        | CallStatus::NoAnswer
        | CallStatus::Canceled => true,
        CallStatus::Queued | CallStatus::Initiated | CallStatus::Ringing | CallStatus::InProgress => false,
    }
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
