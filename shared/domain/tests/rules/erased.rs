//! What is left of a challenge when its person is erased.

use std::time::Duration;

use crate::cases::{SID, at, dial, opened, placed};
use fleet_domain::{AttemptState, Challenge, Channel, Event, Reason, owed, step};

fn play(challenge: &Challenge, event: &Event, seconds: u64) -> Challenge {
    step(challenge, event, at(seconds)).unwrap()
}

#[test]
fn a_challenge_is_settled_once_it_has_ended_and_no_call_of_it_may_ring() {
    let mut challenge = opened(&[Channel::Voice], false);
    assert!(!challenge.is_settled(at(0)));
    challenge = play(&challenge, &dial(), 0);
    challenge = play(&challenge, &placed(1), 1);
    challenge = play(&challenge, &Event::Halt { reason: Reason::UserBlocked }, 2);
    assert!(!challenge.is_open() && !challenge.is_settled(at(2)), "its call is to be hung up by its id");
    assert!(challenge.is_settled(challenge.request.collect_by), "nobody can do anything about it any more");
    let mut never_reached = opened(&[Channel::Voice], false);
    never_reached = play(&never_reached, &Event::Cancel, 1);
    assert!(never_reached.is_settled(at(1)));
}

#[test]
fn without_its_person_a_challenge_tells_how_it_ended_and_nobody_whose_it_was() {
    let mut challenge = opened(&[Channel::Voice, Channel::Push], true);
    challenge = play(&challenge, &dial(), 0);
    challenge = play(&challenge, &placed(1), 1);
    challenge = play(&challenge, &Event::Halt { reason: Reason::UserBlocked }, 2);
    let erased = challenge.without_person();
    assert_eq!((erased.version, erased.result()), (challenge.version + 1, challenge.result()));
    assert_eq!(erased.live.end, challenge.live.end);
    assert_eq!(erased.live.attempts.len(), 1);
    assert_ne!(erased.live.attempts[0].state, AttemptState::Reserved);
    assert_eq!(erased.request.accepted_at, challenge.request.accepted_at);
    assert_eq!(erased.request.user, None);
    assert!(owed(&erased).is_empty());
    assert_eq!(erased.ring_time(1), Duration::ZERO);
    let stored = [erased.encode_request(), erased.encode_live()].concat();
    let user = challenge.request.user.as_ref().unwrap().as_str();
    for personal in [user, SID, "*"] {
        assert!(!stored.windows(personal.len()).any(|part| part == personal.as_bytes()), "{personal}");
    }
    let read = Challenge::decode(
        erased.key.clone(),
        erased.version,
        &erased.encode_request(),
        &erased.encode_live(),
    );
    assert_eq!(read.unwrap(), erased);
}
