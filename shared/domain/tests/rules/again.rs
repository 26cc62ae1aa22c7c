//! A step that is tried again, told as it happens.

use std::time::Duration;

use crate::cases::{ANSWER_BY_S, SID, at, dial, opened, placed};
use fleet_domain::{
    AttemptState, Challenge, ChallengeResult, Channel, Effect, Event, HANG_UP_CHECK, LEAST_STEP, Reason,
    Refused, owed, step,
};

fn play(challenge: &Challenge, event: &Event, seconds: u64) -> Challenge {
    step(challenge, event, at(seconds)).unwrap()
}

fn unclear(attempt: u8) -> Event {
    Event::Unclear { attempt, check_after: Duration::from_secs(8) }
}

fn unfound(attempt: u8) -> Event {
    Event::Unfound { attempt, check_after: Duration::from_secs(10) }
}

fn throttled(attempt: u8, again_after: u64) -> Event {
    Event::NotPlaced {
        attempt,
        reason: Reason::ProviderUnavailable,
        provider_code: Some(20_429),
        again_after: Some(Duration::from_secs(again_after)),
    }
}

fn states(challenge: &Challenge) -> Vec<AttemptState> {
    challenge.live.attempts.iter().map(|attempt| attempt.state).collect()
}

#[test]
fn an_attempt_that_is_found_nowhere_twice_is_fenced_and_made_once_more() {
    let mut challenge = opened(&[Channel::Voice], false);
    challenge = play(&challenge, &dial(), 0);
    challenge = play(&challenge, &Event::Check { attempt: 1 }, 10);
    challenge = play(&challenge, &unfound(1), 18);
    assert_eq!(states(&challenge), [AttemptState::Unknown]);
    assert_eq!(challenge.attempt(1).unwrap().check_at, Some(at(28)));
    challenge = play(&challenge, &unfound(1), 28);
    assert_eq!(states(&challenge), [AttemptState::Superseded, AttemptState::Reserved]);
    assert_eq!(owed(&challenge), [Effect::Dial]);
    challenge = play(&challenge, &dial(), 28);
    challenge = play(&challenge, &unclear(2), 29);
    challenge = play(&challenge, &unfound(2), 37);
    challenge = play(&challenge, &unfound(2), 47);
    assert_eq!(states(&challenge), [AttemptState::Superseded; 2]);
    assert_eq!(challenge.live.end.as_ref().unwrap().reason, Reason::ProviderUnavailable);
}

#[test]
fn unknown_twice_leads_on_to_the_next_step() {
    let mut challenge = opened(&[Channel::Voice, Channel::Push], false);
    for attempt in [1, 2] {
        challenge = play(&challenge, &dial(), 0);
        challenge = play(&challenge, &unclear(attempt), 1);
        challenge = play(&challenge, &unfound(attempt), 9);
        challenge = play(&challenge, &unfound(attempt), 19);
    }
    assert_eq!(owed(&challenge), [Effect::Push]);
}

#[test]
fn no_attempt_is_made_once_more_when_nobody_could_answer_it() {
    let mut challenge = opened(&[Channel::Voice], false);
    challenge = play(&challenge, &dial(), 90);
    challenge = play(&challenge, &unclear(1), 98);
    challenge = play(&challenge, &unfound(1), 106);
    challenge = play(&challenge, &unfound(1), 116);
    assert_eq!(states(&challenge), [AttemptState::Superseded]);
    assert_eq!(challenge.result(), ChallengeResult::Failed);
}

#[test]
fn a_pause_that_the_provider_asked_for_is_kept_and_the_third_attempt_is_the_last() {
    let mut challenge = opened(&[Channel::Voice], false);
    for (attempt, seconds) in [(1, 0), (2, 20)] {
        challenge = play(&challenge, &dial(), seconds);
        challenge = play(&challenge, &throttled(attempt, 20), seconds);
        assert_eq!(owed(&challenge), [], "it is not its time");
        assert_eq!(step(&challenge, &dial(), at(seconds + 19)), Err(Refused::NotDue));
        let check = Event::Check { attempt: attempt + 1 };
        assert_eq!(step(&challenge, &check, at(seconds + 19)), Err(Refused::NotDue));
        challenge = play(&challenge, &check, seconds + 20);
        assert_eq!(owed(&challenge), [Effect::Dial]);
    }
    challenge = play(&challenge, &dial(), 40);
    challenge = play(&challenge, &throttled(3, 20), 40);
    assert_eq!(challenge.live.end.as_ref().unwrap().reason, Reason::ProviderUnavailable);
}

#[test]
fn a_pause_beyond_the_deadline_is_not_waited_for() {
    let challenge = play(&opened(&[Channel::Voice, Channel::Push], false), &dial(), 0);
    let challenge = play(&challenge, &throttled(1, 116), 0);
    assert_eq!(owed(&challenge), [Effect::Push]);
}

#[test]
fn a_reserved_attempt_that_nobody_takes_up_is_offered_ever_more_rarely() {
    let mut challenge = opened(&[Channel::Voice, Channel::Push], false);
    challenge = play(&challenge, &dial(), 0);
    let invalid = Event::NotPlaced {
        attempt: 1,
        reason: Reason::InvalidNumber,
        provider_code: None,
        again_after: None,
    };
    challenge = play(&challenge, &invalid, 0);
    let mut offered = Vec::new();
    let mut seconds = 0;
    while offered.len() < 6 {
        if let Ok(next) = step(&challenge, &Event::Check { attempt: 2 }, at(seconds)) {
            assert_eq!(owed(&next), [Effect::Push]);
            offered.push(seconds);
            challenge = next;
        }
        seconds += 1;
    }
    assert_eq!(offered, [2, 6, 14, 29, 44, 59]);
}

#[test]
fn a_fenced_call_that_turns_up_is_told_to_end_four_times_at_most() {
    let mut challenge = opened(&[Channel::Voice], false);
    challenge = play(&challenge, &dial(), 0);
    challenge = play(&challenge, &unclear(1), 0);
    challenge = play(&challenge, &unfound(1), 8);
    challenge = play(&challenge, &unfound(1), 18);
    let ringing = Event::Ringing { attempt: 1, sid: SID.into() };
    challenge = play(&challenge, &ringing, 19);
    assert_eq!(challenge.attempt(1).unwrap().check_at, Some(at(19).plus(HANG_UP_CHECK)));
    let mut told = 0;
    for seconds in (20..110).step_by(10) {
        if owed(&challenge).iter().any(|effect| matches!(effect, Effect::HangUp { attempt: 1, .. })) {
            told += 1;
            let sent = Event::HangUpSent { attempt: 1, check_after: HANG_UP_CHECK };
            challenge = play(&challenge, &sent, seconds);
        }
        if let Ok(next) = step(&challenge, &Event::Check { attempt: 1 }, at(seconds + 10)) {
            challenge = next;
        }
    }
    assert_eq!(told, 4);
    assert_eq!(challenge.attempt(1).unwrap().check_at, None);
}

#[test]
fn a_call_that_the_provider_does_not_know_is_given_up_only_at_the_second_look_and_never_mid_conversation() {
    let challenge = play(&play(&opened(&[Channel::Voice], false), &dial(), 0), &placed(0), 1);
    let once = play(&challenge, &unfound(1), 41);
    assert_eq!(states(&once), [AttemptState::Placed]);
    let twice = play(&once, &unfound(1), 51);
    assert_eq!(states(&twice), [AttemptState::Superseded], "its call was known: no other one is placed");
    assert_eq!(twice.result(), ChallengeResult::Failed);
    let answered = play(&once, &Event::Prompted { attempt: 1, sid: SID.into() }, 42);
    assert_eq!(step(&answered, &unfound(1), at(51)), Err(Refused::OutOfPlace));
}

#[test]
fn a_call_prepared_for_one_step_is_not_placed_for_another() {
    let mut challenge = opened(&[Channel::Push, Channel::Voice], false);
    challenge = play(&challenge, &Event::Send { check_after: None }, 0);
    let gone =
        Event::PushFailed { attempt: 1, round: 1, reason: Reason::DeviceUnregistered, provider_code: None };
    challenge = play(&challenge, &gone, 1);
    assert_eq!(owed(&challenge), [Effect::Dial]);
    assert_eq!(step(&challenge, &dial(), at(2)), Err(Refused::OutOfPlace));
}

#[test]
fn a_call_that_would_leave_the_providers_queue_too_late_is_given_up_and_its_end_owed() {
    let longest = ANSWER_BY_S - LEAST_STEP.as_secs();
    let dialing = play(&opened(&[Channel::Voice], false), &dial(), 0);
    let in_time = play(&dialing, &placed(longest), 0);
    assert_eq!(states(&in_time), [AttemptState::Placed]);
    assert_eq!(in_time.attempt(1).unwrap().check_at, Some(at(longest + 40)), "it rings only then");

    let unclear = play(&dialing, &unclear(1), 1);
    for before in [dialing, unclear] {
        let given_up = play(&before, &placed(longest + 1), 1);
        assert_eq!(states(&given_up), [AttemptState::Superseded]);
        let attempt = given_up.attempt(1).unwrap();
        assert_eq!((attempt.reason, attempt.sid.as_deref()), (Some(Reason::Throttled), Some(SID)));
        let end = given_up.live.end.as_ref().unwrap();
        assert_eq!((given_up.result(), end.reason), (ChallengeResult::Denied, Reason::Throttled));
        assert_eq!(end.retry_after_s, u32::try_from(longest + 1).ok(), "as long as the queue is");
        assert_eq!(owed(&given_up), [Effect::HangUp { attempt: 1, sid: SID.into() }]);
        let prompted = Event::Prompted { attempt: 1, sid: SID.into() };
        assert_eq!(step(&given_up, &prompted, at(2)), Err(Refused::Ended), "it is never prompted");
    }
}

#[test]
fn a_queue_at_the_provider_leads_on_to_the_next_step_and_says_nothing_of_a_call_that_rings() {
    let dialing = play(&opened(&[Channel::Voice, Channel::Push], false), &dial(), 0);
    let next = play(&dialing, &placed(3_600), 1);
    assert_eq!(states(&next), [AttemptState::Superseded, AttemptState::Reserved]);
    assert_eq!(owed(&next), [Effect::Push, Effect::HangUp { attempt: 1, sid: SID.into() }]);
    let ringing = play(&dialing, &Event::Ringing { attempt: 1, sid: SID.into() }, 1);
    assert_eq!(step(&ringing, &placed(3_600), at(1)), Err(Refused::Unchanged));
}

#[test]
fn a_call_that_keeps_missing_its_turn_is_tried_again_until_the_deadline() {
    let mut challenge = opened(&[Channel::Voice], false);
    for attempt in 1..=6 {
        let seconds = u64::from(attempt) * 2;
        challenge = play(&challenge, &dial(), seconds);
        let missed = Event::NotPlaced {
            attempt,
            reason: Reason::Throttled,
            provider_code: None,
            again_after: Some(Duration::ZERO),
        };
        challenge = play(&challenge, &missed, seconds);
        assert!(challenge.is_open());
    }
    let expired = play(&challenge, &Event::Expire, ANSWER_BY_S);
    assert_eq!(expired.live.end.as_ref().unwrap().reason, Reason::NoResponse);
}

#[test]
fn a_turn_that_would_come_too_late_leads_on_to_the_next_step_or_says_when_to_try_again() {
    let late = Event::NoSlot { step: 0, retry_after: Duration::from_millis(2_001) };
    let next = play(&opened(&[Channel::Voice, Channel::Push], false), &late, 1);
    assert_eq!(owed(&next), [Effect::Push]);
    assert_eq!(step(&next, &late, at(2)), Err(Refused::OutOfPlace), "it was for another step");
    let ended = play(&opened(&[Channel::Voice], false), &late, 1);
    let end = ended.live.end.as_ref().unwrap();
    assert_eq!(
        (end.reason, end.retry_after_s),
        (Reason::Throttled, Some(3)),
        "in whole seconds, never too early"
    );
    assert_eq!(owed(&ended), []);
    let dialing = play(&opened(&[Channel::Voice], false), &dial(), 0);
    assert_eq!(step(&dialing, &late, at(1)), Err(Refused::Unchanged), "it has its turn already");
}
