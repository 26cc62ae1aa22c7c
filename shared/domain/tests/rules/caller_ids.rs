//! A step that is tried again with another caller ID, told as it happens.

use std::time::Duration;

use crate::cases::{
    ANSWER_BY_S, NUMBER, SID, at, caller_id_refused, caller_id_rejected, dial, dial_from, opened, placed,
};
use fleet_domain::{
    AttemptState, Challenge, ChallengeResult, Channel, Effect, Event, LEAST_STEP, MAX_CALLER_IDS,
    NETWORK_DECLINES, Progress, Reason, Refused, Timestamp, Watch, owed, step, watch_changes,
};

const OTHER: &str = "+442079460000";

fn play(challenge: &Challenge, event: &Event, now: Timestamp) -> Challenge {
    step(challenge, event, now).unwrap()
}

fn states(challenge: &Challenge) -> Vec<AttemptState> {
    challenge.live.attempts.iter().map(|attempt| attempt.state).collect()
}

fn reasons(challenge: &Challenge) -> Vec<Option<Reason>> {
    challenge.live.attempts.iter().map(|attempt| attempt.reason).collect()
}

/// The first call, under way since `at(0)`, with another caller ID left.
fn under_way() -> Challenge {
    let dialing = play(&opened(&[Channel::Voice], false), &dial_from(NUMBER, true), at(0));
    play(&dialing, &placed(0), at(0))
}

fn declined() -> Event {
    let reason = Some(Reason::RejectedCall);
    Event::CallEnded { attempt: 1, sid: SID.into(), reason, sip: Some(603), duration_s: None }
}

const REJECTED: Option<Reason> = Some(Reason::CarrierRejectedCallerId);

#[test]
fn v9_a_rejected_caller_id_leads_to_another_attempt_of_the_same_step_at_once() {
    let dialing = play(&opened(&[Channel::Voice, Channel::Push], false), &dial_from(NUMBER, true), at(0));
    let placed = play(&dialing, &placed(0), at(1));
    for (before, event) in [
        (&dialing, caller_id_refused(1)),
        (&dialing, caller_id_rejected(1, 608)),
        (&placed, caller_id_rejected(1, 433)),
    ] {
        let next = play(before, &event, at(2));
        assert_eq!(states(&next), [AttemptState::Ended, AttemptState::Reserved], "{event:?}");
        assert_eq!((next.live.step, next.progress()), (0, Progress::Dialing));
        assert_eq!(owed(&next), [Effect::Dial], "and nothing is waited for");
        // The line of the first call is free before the second one takes it.
        let changes = watch_changes(Some(before), &next);
        assert!(changes.contains(&Watch::Over { attempt: 1 }), "{changes:?}");
        let dialing = play(&next, &dial_from(OTHER, false), at(2));
        assert_eq!(states(&dialing), [AttemptState::Ended, AttemptState::Dialing]);
        assert_eq!(dialing.attempt(2).unwrap().caller_id.as_ref().unwrap().number, OTHER);
    }
}

#[test]
fn v9_when_no_caller_id_is_left_the_next_step_follows_or_the_challenge_fails_for_it() {
    let alone = play(&opened(&[Channel::Voice], false), &dial(), at(0));
    let failed = play(&alone, &caller_id_refused(1), at(1));
    let reason = failed.live.end.as_ref().unwrap().reason;
    assert_eq!((failed.result(), reason), (ChallengeResult::Failed, Reason::CarrierRejectedCallerId));
    let followed = play(&opened(&[Channel::Voice, Channel::Push], false), &dial(), at(0));
    assert_eq!(owed(&play(&followed, &caller_id_rejected(1, 608), at(1))), [Effect::Push]);
}

#[test]
fn a_call_with_a_caller_id_that_was_rejected_meanwhile_is_not_placed() {
    let reserved = play(&under_way(), &caller_id_rejected(1, 607), at(1));
    assert_eq!(step(&reserved, &dial_from(NUMBER, true), at(1)), Err(Refused::OutOfPlace));
    assert!(step(&reserved, &dial_from(OTHER, true), at(1)).is_ok());
}

#[test]
fn v9_a_decline_before_any_thumb_is_the_networks_and_a_later_one_the_persons() {
    let soon = at(0).plus(NETWORK_DECLINES).minus(Duration::from_millis(1));
    let late = at(0).plus(NETWORK_DECLINES);
    let step_again = vec![REJECTED, None];
    let person = vec![Some(Reason::RejectedCall)];
    let ringing = Event::Ringing { attempt: 1, sid: SID.into() };
    let overtaken = play(&opened(&[Channel::Voice], false), &dial_from(NUMBER, true), at(0));
    for (what, before, now, expected) in [
        ("at once", under_way(), soon, &step_again),
        ("before its POST was answered", overtaken, soon, &step_again),
        ("after a while", under_way(), late, &person),
        ("by someone whose phone rang", play(&under_way(), &ringing, at(0)), soon, &person),
    ] {
        assert_eq!(&reasons(&play(&before, &declined(), now)), expected, "{what}");
    }
    let last = play(&play(&opened(&[Channel::Voice], false), &dial(), at(0)), &placed(0), at(0));
    let failed = play(&last, &declined(), soon);
    assert_eq!(failed.live.end.unwrap().reason, Reason::CarrierRejectedCallerId);
}

#[test]
fn nobody_is_called_again_who_has_answered() {
    let answered = play(&under_way(), &Event::Prompted { attempt: 1, sid: SID.into() }, at(1));
    let ended = play(&answered, &caller_id_rejected(1, 608), at(1));
    assert_eq!((reasons(&ended), ended.is_open()), (vec![REJECTED], false));
}

#[test]
fn no_other_caller_id_is_tried_when_nobody_could_answer_any_more() {
    let last_moment = ANSWER_BY_S - LEAST_STEP.as_secs();
    assert!(play(&under_way(), &caller_id_rejected(1, 608), at(last_moment)).is_open());
    assert!(!play(&under_way(), &caller_id_rejected(1, 608), at(last_moment + 1)).is_open());
}

#[test]
fn so_many_caller_ids_are_tried_and_no_more() {
    let mut challenge = opened(&[Channel::Voice], false);
    for attempt in 1_u8.. {
        challenge = play(&challenge, &dial_from(&format!("+1919555010{attempt}"), true), at(0));
        challenge = play(&challenge, &caller_id_refused(attempt), at(0));
        if !challenge.is_open() {
            break;
        }
    }
    assert_eq!(reasons(&challenge), [REJECTED; MAX_CALLER_IDS]);
}

#[test]
fn caller_ids_that_were_rejected_take_nothing_from_the_pauses_that_are_waited_for() {
    let mut challenge = opened(&[Channel::Voice], false);
    for attempt in 1..=2 {
        challenge = play(&challenge, &dial_from(&format!("+1919555010{attempt}"), true), at(0));
        challenge = play(&challenge, &caller_id_refused(attempt), at(0));
    }
    for attempt in 3..=5 {
        assert!(challenge.is_open());
        let now = at(u64::from(attempt) * 3);
        challenge = play(&challenge, &dial_from(OTHER, true), now);
        let throttled = Event::NotPlaced {
            attempt,
            reason: Reason::ProviderUnavailable,
            provider_code: Some(20_429),
            again_after: Some(Duration::from_secs(3)),
        };
        challenge = play(&challenge, &throttled, now);
    }
    assert_eq!(challenge.live.end.as_ref().unwrap().reason, Reason::ProviderUnavailable);
    assert_eq!(challenge.live.attempts.len(), 5);
}

#[test]
fn a_call_that_was_given_up_leads_to_no_other_one_whatever_is_heard_of_it() {
    let mut challenge = play(&opened(&[Channel::Voice], false), &dial_from(NUMBER, true), at(0));
    challenge = play(&challenge, &Event::Unclear { attempt: 1, check_after: Duration::from_secs(8) }, at(1));
    for seconds in [9, 19] {
        let unfound = Event::Unfound { attempt: 1, check_after: Duration::from_secs(10) };
        challenge = play(&challenge, &unfound, at(seconds));
    }
    assert_eq!(states(&challenge), [AttemptState::Superseded, AttemptState::Reserved]);
    let heard = play(&challenge, &caller_id_rejected(1, 608), at(20));
    assert_eq!(states(&heard), [AttemptState::Ended, AttemptState::Reserved]);
    assert_eq!(heard.attempt(1).unwrap().reason, Some(Reason::ProviderUnavailable));
}
