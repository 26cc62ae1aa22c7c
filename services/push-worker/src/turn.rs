//! What a push-worker does about a challenge that it did not just accept itself. Pure.
//!
//! An attempt in `sending` has someone who keeps watch over it. One that began with the acceptance is watched
//! by the delivery of its request, which comes back when its worker dies; every other has a time at which the
//! sweep looks at it. A re-send that waits for its time is brought by the delivery whose sending called for it.

use std::time::Duration;

use fleet_domain::{
    AttemptState, Challenge, Channel, Effect, Event, Timestamp, has_resend_left, owed, unsettled_push,
};

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Commit this, and send the push if it was this commit that began the sending, or its repetition.
    Commit(Event),
    /// Tell the devices that did not answer that it is over.
    Withdraw,
    /// The challenge ended while this attempt's push was being sent, and whoever sent it may have died: count the devices that
    /// may show it.
    Count(u8),
    /// Whoever was sending this attempt's push has died, and it may not be sent again: nobody knows which devices have it.
    GiveUp {
        /// The attempt.
        attempt: u8,
        /// The sending of it that was lost.
        round: u8,
    },
    /// Someone may be sending it just now, or it is not to be sent again yet: look again after this time.
    Wait(Duration),
    /// No push is owed.
    Nothing,
}

/// What a delivery is to do for the challenge at `now`. `patience` is how long the sending of one push can take;
/// `redelivered` says that whoever had the delivery before has lost it.
pub(crate) fn turn(challenge: &Challenge, redelivered: bool, now: Timestamp, patience: Duration) -> Turn {
    let owed = owed(challenge);
    if owed.contains(&Effect::Push) {
        return Turn::Commit(Event::Send { check_after: Some(patience) });
    }
    if owed.contains(&Effect::Withdraw) {
        return Turn::Withdraw;
    }
    let live = challenge.live_attempt().filter(|attempt| attempt.channel == Channel::Push);
    let Some(attempt) = live.filter(|_| challenge.is_open()) else {
        return unsettled_push(challenge).map_or(Turn::Nothing, Turn::Count);
    };
    let (number, is_sending) = (attempt.number, attempt.state == AttemptState::Sending);
    let (resend, is_left) = (attempt.resend.as_ref(), has_resend_left(challenge, number));
    if owed.contains(&Effect::Resend) {
        return Turn::Commit(Event::Resend { attempt: number });
    }
    if let Some(resend) = resend
        && is_left
        && (is_sending || attempt.state == AttemptState::Pushed)
    {
        let wait = resend.not_before.since(now);
        return if wait.is_zero() {
            Turn::Commit(Event::Resend { attempt: number })
        } else {
            Turn::Wait(wait)
        };
    }
    if !is_sending || attempt.check_at.is_some() {
        return Turn::Nothing;
    }
    let begun = challenge.time_of(attempt.reserved_ms).plus(patience * u32::from(attempt.rounds.max(1) - 1));
    let wait = resend.map_or(begun, |resend| resend.not_before).plus(patience).since(now);
    if !redelivered && !wait.is_zero() {
        return Turn::Wait(wait);
    }
    if is_left {
        return Turn::Commit(Event::Resend { attempt: number });
    }
    Turn::GiveUp { attempt: number, round: attempt.rounds }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{at, challenge, challenge_with_fallback};
    use fleet_domain::{DeviceId, Reason, step};

    const PATIENCE: Duration = Duration::from_secs(12);
    const KEEPER: Event = Event::Send { check_after: None };
    const WATCHED: Event = Event::Send { check_after: Some(PATIENCE) };
    const RESEND: Event = Event::Resend { attempt: 1 };
    const PUSHED: Event = Event::Pushed { attempt: 1, devices: 1 };
    const ASKED: Event = Event::ResendAsked;
    const FAILED: Event =
        Event::PushFailed { attempt: 1, round: 1, reason: Reason::PushUndeliverable, provider_code: None };
    const GIVEN_UP: Turn = Turn::GiveUp { attempt: 1, round: 2 };

    fn wait(seconds: u64) -> Turn {
        Turn::Wait(Duration::from_secs(seconds))
    }

    fn after(events: &[Event]) -> Challenge {
        events.iter().fold(challenge(), |challenge, event| step(&challenge, event, at(0)).unwrap())
    }

    #[test]
    fn what_is_owed_is_sent_and_what_is_under_way_is_left_to_whoever_keeps_watch() {
        // What has happened, whether the delivery came before, seconds since acceptance.
        for (events, redelivered, seconds, expected) in [
            (&[][..], false, 0, Turn::Commit(WATCHED)),
            (&[], true, 90, Turn::Commit(WATCHED)),
            (&[KEEPER], false, 0, wait(12)),
            (&[KEEPER], false, 11, wait(1)),
            (&[KEEPER], false, 12, Turn::Commit(RESEND)),
            (&[KEEPER], true, 0, Turn::Commit(RESEND)),
            (&[KEEPER, RESEND], false, 12, wait(12)),
            (&[KEEPER, RESEND], false, 24, GIVEN_UP),
            (&[KEEPER, RESEND], true, 1, GIVEN_UP),
            (&[WATCHED], false, 0, Turn::Nothing),
            (&[WATCHED], true, 30, Turn::Nothing),
            (&[KEEPER, PUSHED], true, 30, Turn::Nothing),
            (&[KEEPER, FAILED], true, 30, Turn::Nothing),
            // Whoever was sending it may have died.
            (&[KEEPER, Event::Cancel], true, 30, Turn::Count(1)),
            (&[KEEPER, Event::Cancel, PUSHED], true, 30, Turn::Withdraw),
            (&[KEEPER, FAILED, Event::Cancel], true, 30, Turn::Nothing),
            (&[KEEPER, PUSHED, Event::Cancel, Event::Withdrawn], true, 30, Turn::Nothing),
            (&[Event::Cancel], true, 30, Turn::Nothing),
        ] {
            let found = turn(&after(events), redelivered, at(seconds), PATIENCE);
            assert_eq!(found, expected, "{events:?}, redelivered: {redelivered}, after {seconds} s");
        }
    }

    #[test]
    fn p7_a_re_send_is_made_when_its_time_has_come_and_once() {
        let unreached = Event::Unreached {
            attempt: 1,
            round: 1,
            devices: vec![DeviceId::parse("00000000-0000-8000-8000-000000000001").unwrap()],
            again_after: Duration::from_secs(10),
            provider_code: None,
        };
        let (again, resend) = (Turn::Commit(RESEND), RESEND);
        for (events, redelivered, seconds, expected) in [
            (&[KEEPER, unreached.clone()][..], true, 3, wait(7)),
            (&[KEEPER, unreached.clone()], false, 10, again.clone()),
            (&[WATCHED, unreached.clone()], false, 10, again.clone()),
            (&[KEEPER, PUSHED, unreached.clone()], false, 3, wait(7)),
            (&[KEEPER, PUSHED, unreached.clone()], false, 10, again.clone()),
            // Somebody looks at it already.
            (&[KEEPER, PUSHED, unreached.clone(), Event::Opened], false, 10, Turn::Nothing),
            (&[KEEPER, PUSHED, ASKED], false, 1, again.clone()),
            (&[KEEPER, PUSHED, Event::Opened, ASKED], false, 1, again.clone()),
            (&[KEEPER, FAILED, ASKED], false, 1, again),
            (&[KEEPER, PUSHED, ASKED, resend], true, 2, Turn::Nothing),
        ] {
            let found = turn(&after(events), redelivered, at(seconds), PATIENCE);
            assert_eq!(found, expected, "{events:?}, redelivered: {redelivered}, after {seconds} s");
        }
        let again = step(&after(&[KEEPER, unreached]), &RESEND, at(11)).unwrap();
        assert_eq!(turn(&again, false, at(12), PATIENCE), wait(10), "whoever sends it may do so just now");
        assert_eq!(turn(&again, true, at(12), PATIENCE), GIVEN_UP);
    }

    #[test]
    fn e6_devices_that_did_not_answer_are_told_until_they_were() {
        let canceled = after(&[KEEPER, PUSHED, Event::Cancel]);
        assert_eq!(turn(&canceled, true, at(30), PATIENCE), Turn::Withdraw);
        let told = step(&canceled, &Event::Withdrawn, at(1)).unwrap();
        assert_eq!(turn(&told, true, at(30), PATIENCE), Turn::Nothing);
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
