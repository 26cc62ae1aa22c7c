//! What a push-worker does about a challenge that it did not just accept itself. Pure.
//!
//! An attempt in `sending` has someone who keeps watch over it. One that began with the acceptance is watched
//! by the delivery of its request, which comes back when its worker dies; every other has a time at which the
//! sweep looks at it.

use std::time::Duration;

use fleet_domain::{AttemptState, Challenge, Effect, Event, Reason, Timestamp, owed};

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Commit this, and send the push if it was this commit that began the sending, or its repetition.
    Commit(Event),
    /// Someone may be sending it just now: look again after this time.
    Wait(Duration),
    /// No push is owed.
    Nothing,
}

/// What a delivery is to do for the challenge at `now`. `patience` is how long the sending of one push can take;
/// `redelivered` says that whoever had the delivery before has lost it.
pub(crate) fn turn(challenge: &Challenge, redelivered: bool, now: Timestamp, patience: Duration) -> Turn {
    if owed(challenge).contains(&Effect::Push) {
        return Turn::Commit(Event::Send { check_after: Some(patience) });
    }
    let sending = challenge.live_attempt().filter(|attempt| attempt.state == AttemptState::Sending);
    let Some(attempt) = sending.filter(|_| challenge.is_open()) else { return Turn::Nothing };
    if attempt.check_at.is_some() {
        return Turn::Nothing;
    }
    let number = attempt.number;
    let begun = challenge.time_of(attempt.reserved_ms);
    let wait = begun.plus(patience * u32::from(attempt.rounds)).since(now);
    if !redelivered && !wait.is_zero() {
        return Turn::Wait(wait);
    }
    if attempt.rounds > 1 {
        // Sent twice, perhaps, and nobody knows what came of it.
        let reason = Reason::PushUndeliverable;
        return Turn::Commit(Event::PushFailed { attempt: number, reason, provider_code: None });
    }
    Turn::Commit(Event::Resend { attempt: number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{at, challenge, challenge_with_fallback};
    use fleet_domain::step;

    const PATIENCE: Duration = Duration::from_secs(12);
    const KEEPER: Event = Event::Send { check_after: None };
    const WATCHED: Event = Event::Send { check_after: Some(PATIENCE) };
    const RESEND: Event = Event::Resend { attempt: 1 };
    const PUSHED: Event = Event::Pushed { attempt: 1 };
    const FAILED: Event =
        Event::PushFailed { attempt: 1, reason: Reason::PushUndeliverable, provider_code: None };

    fn after(events: &[Event]) -> Challenge {
        events.iter().fold(challenge(), |challenge, event| step(&challenge, event, at(0)).unwrap())
    }

    #[test]
    fn what_is_owed_is_sent_and_what_is_under_way_is_left_to_whoever_keeps_watch() {
        let wait = |seconds| Turn::Wait(Duration::from_secs(seconds));
        // What has happened, whether the delivery came before, seconds since acceptance.
        for (events, redelivered, seconds, expected) in [
            (&[][..], false, 0, Turn::Commit(WATCHED)),
            (&[], true, 90, Turn::Commit(WATCHED)),
            (&[KEEPER], false, 0, wait(12)),
            (&[KEEPER], false, 11, wait(1)),
            (&[KEEPER], false, 12, Turn::Commit(RESEND)),
            (&[KEEPER], true, 0, Turn::Commit(RESEND)),
            (&[KEEPER, RESEND], false, 12, wait(12)),
            (&[KEEPER, RESEND], false, 24, Turn::Commit(FAILED)),
            (&[KEEPER, RESEND], true, 1, Turn::Commit(FAILED)),
            (&[WATCHED], false, 0, Turn::Nothing),
            (&[WATCHED], true, 30, Turn::Nothing),
            (&[KEEPER, PUSHED], true, 30, Turn::Nothing),
            (&[KEEPER, FAILED], true, 30, Turn::Nothing),
            (&[KEEPER, Event::Cancel], true, 30, Turn::Nothing),
            (&[Event::Cancel], true, 30, Turn::Nothing),
        ] {
            let found = turn(&after(events), redelivered, at(seconds), PATIENCE);
            assert_eq!(found, expected, "{events:?}, redelivered: {redelivered}, after {seconds} s");
        }
    }

    #[test]
    fn a_call_that_is_owed_is_not_a_pushs_turn() {
        let challenge = challenge_with_fallback();
        let sending = step(&challenge, &KEEPER, at(0)).unwrap();
        let falling_back = step(&sending, &FAILED, at(1)).unwrap();
        assert_eq!(owed(&falling_back), [Effect::Dial]);
        assert_eq!(turn(&falling_back, true, at(1), PATIENCE), Turn::Nothing);
    }
}
