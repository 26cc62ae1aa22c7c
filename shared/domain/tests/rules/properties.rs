//! What holds for any order, doubling and loss of events.

use crate::cases::{at, events, now_asked, opened, opened_with_pin};
use fleet_domain::{
    AttemptState, CallerIdFinding, Challenge, Channel, Effect, Event, Watch, owed, rank, step,
    used_caller_ids, watch_changes,
};
use proptest::prelude::*;

fn a_challenge() -> impl Strategy<Value = Challenge> {
    let flows: [&[Channel]; 8] = [
        &[Channel::Voice],
        &[Channel::Push],
        &[Channel::Voice, Channel::Push],
        &[Channel::Push, Channel::Voice],
        &[Channel::Push, Channel::Voice, Channel::Push],
        &[Channel::Totp],
        &[Channel::Totp, Channel::Push],
        &[Channel::Voice, Channel::Totp, Channel::Voice],
    ];
    (prop::sample::select(flows.to_vec()), any::<bool>(), any::<bool>()).prop_map(|(flow, number, pin)| {
        if pin { opened_with_pin(flow, number) } else { opened(flow, number) }
    })
}

/// Events of any attempt, at times that go forward, past the deadline too.
fn a_history() -> impl Strategy<Value = Vec<(Event, u64)>> {
    let event = (prop::sample::select(events()), 1..=3_u8, 1..=4_u8)
        .prop_map(|((_, event), attempt, try_)| with_try(on(event, attempt), try_));
    prop::collection::vec((event, 0..4_u64), 0..60)
}

/// The same event about another attempt.
fn on(mut event: Event, number: u8) -> Event {
    match &mut event {
        Event::Placed { attempt, .. }
        | Event::NotPlaced { attempt, .. }
        | Event::Unclear { attempt, .. }
        | Event::Ringing { attempt, .. }
        | Event::Answered { attempt, .. }
        | Event::MachineAnswered { attempt, .. }
        | Event::Prompted { attempt, .. }
        | Event::Keyed { attempt, .. }
        | Event::PinKeyed { attempt, .. }
        | Event::PinJudged { attempt, .. }
        | Event::CodeEntered { attempt, .. }
        | Event::CodeJudged { attempt, .. }
        | Event::CallEnded { attempt, .. }
        | Event::StillAlive { attempt, .. }
        | Event::Unfound { attempt, .. }
        | Event::Lost { attempt }
        | Event::HangUpSent { attempt, .. }
        | Event::Resend { attempt }
        | Event::Pushed { attempt, .. }
        | Event::Unreached { attempt, .. }
        | Event::OnlyListed { attempt }
        | Event::PushFailed { attempt, .. }
        | Event::Check { attempt } => *attempt = number,
        Event::Dial { .. }
        | Event::NoSlot { .. }
        | Event::Send { .. }
        | Event::ResendAsked
        | Event::Withdrawn
        | Event::Opened
        | Event::Decided { .. }
        | Event::Halt { .. }
        | Event::Cancel
        | Event::Expire => {}
    }
    event
}

/// The same event about another code that was typed.
fn with_try(mut event: Event, number: u8) -> Event {
    if let Event::CodeEntered { id, .. } | Event::CodeJudged { id, .. } = &mut event {
        *id = [number; 16];
    }
    event
}

/// Plays a history; calls `look` on each pair of versions.
fn play(
    start: Challenge,
    history: &[(Event, u64)],
    mut look: impl FnMut(&Challenge, &Challenge),
) -> Challenge {
    let mut seconds = 0;
    let mut challenge = start;
    for (event, wait) in history {
        seconds += wait;
        if let Ok(next) = step(&challenge, &now_asked(event, &challenge), at(seconds)) {
            look(&challenge, &next);
            challenge = next;
        }
    }
    challenge
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn terminal_is_final(start in a_challenge(), history in a_history()) {
        play(start, &history, |before, after| {
            if before.live.end.is_some() {
                assert_eq!(before.live.end, after.live.end);
                assert!(after.live.attempts.len() == before.live.attempts.len(), "no attempt begins after the end");
            }
        });
    }

    #[test]
    fn progress_moves_forward_only(start in a_challenge(), history in a_history()) {
        play(start, &history, |before, after| {
            assert_eq!(after.version, before.version + 1);
            for attempt in &before.live.attempts {
                let later = after.attempt(attempt.number).expect("an attempt never vanishes");
                let resent = attempt.state == AttemptState::Sending && later.state == AttemptState::Reserved;
                let over = attempt.state == AttemptState::Ended && later.state == AttemptState::Superseded;
                assert!(!over && (resent || rank(later.state) >= rank(attempt.state)), "{attempt:?} -> {later:?}");
            }
        });
    }

    #[test]
    fn at_most_one_attempt_is_live(start in a_challenge(), history in a_history()) {
        play(start, &history, |_, after| {
            assert!(after.live.attempts.iter().filter(|a| a.is_live()).count() <= 1);
        });
    }

    #[test]
    fn a_second_call_is_dialed_only_when_the_first_cannot_ring(start in a_challenge(), history in a_history()) {
        play(start, &history, |_, after| {
            assert!(after.live.attempts.iter().filter(|a| a.may_ring()).count() <= 1);
        });
    }

    #[test]
    fn only_a_key_after_the_prompt_a_code_with_a_try_or_a_device_approves(start in a_challenge(), history in a_history()) {
        let mut approving = None;
        let mut seconds = 0;
        let mut challenge = start;
        for (event, wait) in &history {
            seconds += wait;
            if let Ok(next) = step(&challenge, &now_asked(event, &challenge), at(seconds)) {
                let approved = next.live.end.as_ref().is_some_and(|end| end.assurance.is_some());
                if approved && challenge.is_open() {
                    approving = Some((event.clone(), challenge.clone(), seconds));
                }
                challenge = next;
            }
        }
        if let Some((event, before, seconds)) = approving {
            assert!(at(seconds) < before.request.answer_by);
            if let Event::Keyed { attempt, .. } | Event::PinJudged { attempt, .. } = event {
                assert_eq!(before.attempt(attempt).unwrap().state, AttemptState::AwaitingInput);
            } else if let Event::CodeJudged { attempt, id, .. } = event {
                let attempt = before.attempt(attempt).unwrap();
                assert_eq!(attempt.state, AttemptState::AwaitingCode);
                assert!(attempt.codes.iter().flat_map(|codes| &codes.tries).any(|one| one.id == id));
            } else {
                assert!(matches!(event, Event::Decided { .. }) && before.has_push(), "{event:?} approved");
            }
        }
    }

    /// Whatever has happened: carrying out what is owed, and looking at what is due, ends in a challenge that
    /// owes nothing more, with no line leased and nothing to look at.
    #[test]
    fn what_is_owed_can_always_be_finished(start in a_challenge(), history in a_history()) {
        let mut challenge = play(start, &history, |_, _| {});
        let mut now = at(history.iter().map(|(_, wait)| wait).sum::<u64>() + 1_000);
        for _ in 0..100 {
            now = now.plus(std::time::Duration::from_mins(1));
            let effects = owed(&challenge);
            let event = if challenge.is_open() {
                Some(Event::Expire)
            } else if effects.contains(&Effect::Withdraw) {
                Some(Event::Withdrawn)
            } else if let Some(Effect::HangUp { attempt, .. }) = effects.into_iter().next() {
                Some(Event::HangUpSent { attempt, check_after: std::time::Duration::from_secs(10) })
            } else {
                challenge.live.attempts.iter().find(|a| a.check_at.is_some()).map(|a| {
                    if matches!(a.state, AttemptState::Dialing | AttemptState::Superseded) {
                        Event::Check { attempt: a.number }
                    } else {
                        Event::Lost { attempt: a.number }
                    }
                })
            };
            let Some(event) = event else { break };
            challenge = step(&challenge, &event, now).expect("each step of the clean-up counts");
        }
        assert!(!challenge.is_open());
        assert_eq!(owed(&challenge), []);
        assert!(challenge.live.attempts.iter().all(|a| a.check_at.is_none() && !a.may_ring()));
    }

    #[test]
    fn a_line_that_may_ring_is_always_watched(start in a_challenge(), history in a_history()) {
        let mut watched = std::collections::BTreeSet::new();
        play(start, &history, |before, after| {
            for change in watch_changes(Some(before), after) {
                match change {
                    Watch::Until { attempt, .. } => watched.insert(attempt),
                    Watch::Over { attempt } => watched.remove(&attempt),
                };
            }
            for attempt in &after.live.attempts {
                if attempt.may_ring() {
                    assert!(watched.contains(&attempt.number), "{attempt:?}");
                }
            }
        });
    }

    #[test]
    fn p7_no_device_is_prompted_more_than_twice_and_one_challenge_has_one_re_send(
        start in a_challenge(), history in a_history(),
    ) {
        play(start, &history, |_, after| {
            let rounds = after.live.attempts.iter().filter(|a| a.channel == Channel::Push).map(|a| a.rounds);
            assert!(rounds.clone().sum::<u8>() <= 2, "{after:?}");
            assert!(rounds.filter(|rounds| *rounds > 1).count() <= 1, "{after:?}");
        });
    }

    #[test]
    fn a_withdrawal_that_is_owed_is_always_watched(start in a_challenge(), history in a_history()) {
        play(start, &history, |_, after| {
            if owed(after).contains(&Effect::Withdraw) {
                assert!(after.live.attempts.iter().any(|a| !a.withdrawn && a.check_at.is_some()), "{after:?}");
            }
        });
    }

    #[test]
    fn a_hang_up_that_is_owed_is_always_watched(start in a_challenge(), history in a_history()) {
        play(start, &history, |_, after| {
            for effect in owed(after) {
                if let Effect::HangUp { attempt, .. } = effect {
                    assert!(after.attempt(attempt).unwrap().check_at.is_some(), "{after:?}");
                }
            }
        });
    }

    #[test]
    fn at_most_two_attempts_of_a_step_are_superseded(start in a_challenge(), history in a_history()) {
        play(start, &history, |_, after| {
            for step in 0..=after.live.step {
                let fenced = |a: &&fleet_domain::Attempt| a.step == step && a.state == AttemptState::Superseded;
                assert!(after.live.attempts.iter().filter(fenced).count() <= 2, "{after:?}");
            }
        });
    }

    #[test]
    fn no_caller_id_is_sent_again_in_a_step_in_which_it_was_rejected(
        start in a_challenge(), history in a_history(),
    ) {
        play(start, &history, |before, after| {
            let Some(dialed) = after.live.attempts.last().filter(|a| a.state == AttemptState::Dialing) else { return };
            if before.attempt(dialed.number).is_none_or(|earlier| earlier.state != AttemptState::Dialing) {
                let used = used_caller_ids(before).into_iter().filter(|_| before.live.step == dialed.step);
                let rejected = used.filter(|used| used.finding != CallerIdFinding::Good);
                for used in rejected {
                    assert_ne!(Some(used.caller_id), dialed.caller_id.as_ref(), "{after:?}");
                }
            }
        });
    }

    #[test]
    fn a_reserved_attempt_is_neither_owed_nor_begun_before_its_time(
        start in a_challenge(), history in a_history(),
    ) {
        let mut seconds = 0;
        let mut challenge = start;
        for (event, wait) in &history {
            seconds += wait;
            let waits = |c: &Challenge| {
                c.live_attempt().is_some_and(|a| a.not_before.is_some_and(|time| at(seconds) < time))
            };
            if waits(&challenge) {
                assert!(!owed(&challenge).iter().any(|e| matches!(e, Effect::Dial | Effect::Push)));
            }
            if let Ok(next) = step(&challenge, &now_asked(event, &challenge), at(seconds)) {
                if waits(&challenge) && next.is_open() {
                    let number = challenge.live_attempt().unwrap().number;
                    // It can end unbegun, where its turn would come too late.
                    let state = next.attempt(number).unwrap().state;
                    assert!(matches!(state, AttemptState::Reserved | AttemptState::Ended), "{event:?}: {state}");
                }
                challenge = next;
            }
        }
    }

    /// Every comparison has a try of its own, and no more than three of one challenge end in "wrong".
    #[test]
    fn no_pin_is_compared_without_a_try(start in a_challenge(), history in a_history()) {
        let (mut taken, mut judged) = (0_usize, 0_usize);
        play(start, &history, |before, after| {
            let tries = |c: &Challenge| c.live.tries;
            let comparing = |c: &Challenge| -> Vec<u8> {
                c.live.attempts.iter().filter_map(|a| a.talk.map(|talk| talk.comparing)).collect()
            };
            assert!(tries(after) <= fleet_domain::MAX_TRIES);
            let (was, is) = (comparing(before), comparing(after));
            if is.iter().any(|round| *round > 0 && !was.contains(round)) {
                assert_eq!(tries(after), tries(before) + 1);
                taken += 1;
            } else if was.iter().any(|round| *round > 0) && is.iter().all(|round| *round == 0) {
                judged += 1;
            }
            assert!(judged <= taken);
        });
    }

    #[test]
    fn no_code_is_compared_without_a_try_and_after_a_wrong_one_no_other_step_follows(
        start in a_challenge(), history in a_history(),
    ) {
        play(start, &history, |before, after| {
            let entered = |c: &Challenge| -> usize {
                c.live.attempts.iter().flat_map(|a| &a.codes).map(|codes| codes.tries.len()).sum()
            };
            if entered(after) > entered(before) {
                assert_eq!((entered(after), after.live.tries), (entered(before) + 1, before.live.tries + 1));
            }
            assert!(entered(after) <= usize::from(fleet_domain::MAX_TRIES));
            let typed = before.awaiting_code().filter(|attempt| attempt.codes.is_some());
            assert!(typed.is_none() || after.live.step == before.live.step);
        });
    }

    #[test]
    fn a_call_is_asked_only_so_often(start in a_challenge(), history in a_history()) {
        play(start, &history, |_, after| {
            for attempt in &after.live.attempts {
                // Misses, tries with a right PIN, commands and their confirmations, and the prompt that is open.
                assert!(attempt.rounds <= 3 + 4 + 3 + 3 + 1, "{attempt:?}");
            }
        });
    }

    #[test]
    fn a_stored_challenge_reads_back_as_it_was(start in a_challenge(), history in a_history()) {
        let challenge = play(start, &history, |_, _| {});
        let read = Challenge::decode(
            challenge.key.clone(), challenge.version, &challenge.encode_request(), &challenge.encode_live(),
        );
        assert_eq!(read, Ok(challenge));
    }

    #[test]
    fn stored_bytes_of_any_kind_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let challenge = opened(&[Channel::Voice], false);
        let _ = Challenge::decode(challenge.key.clone(), 1, &bytes, &challenge.encode_live());
        let _ = Challenge::decode(challenge.key.clone(), 1, &challenge.encode_request(), &bytes);
    }
}
