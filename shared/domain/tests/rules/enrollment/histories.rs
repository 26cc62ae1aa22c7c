//! What holds for any order, doubling and loss of events of an enrollment.

use fleet_domain::{
    ChallengeResult, Change, Enrollment, EnrollmentEffect, EnrollmentEvent, EnrollmentReason,
    EnrollmentResult, EnrollmentState, MAX_TESTS, NextStep, Reason, owed_enrollment, step_enrollment,
};
use proptest::prelude::*;

use super::cases::{WITHIN_S, ended, events, opened, states, test};
use crate::cases::at;

fn a_start() -> impl Strategy<Value = Enrollment> {
    let mut starts: Vec<Enrollment> = Change::ALL.iter().map(|change| opened(*change)).collect();
    starts.extend(states().into_iter().map(|(_, enrollment)| enrollment).filter(|start| start.version == 1));
    prop::sample::select(starts)
}

/// Events of any test, at times that go forward, past the deadline too.
fn a_history() -> impl Strategy<Value = Vec<(EnrollmentEvent, u64)>> {
    let any_event = prop::sample::select(events()).prop_map(|(_, event)| event);
    let any_test =
        (0..6_u8, prop::sample::select(Reason::ALL)).prop_map(|(number, reason)| ended(number, reason));
    let any_retry = (0..6_u8).prop_map(|number| EnrollmentEvent::Retry(test(number)));
    let event = prop_oneof![any_event, any_test, any_retry];
    prop::collection::vec((event, 0..WITHIN_S / 8), 0..40)
}

/// Plays a history; calls `look` on each pair of versions, with the event between them and its time.
fn play(
    start: Enrollment,
    history: &[(EnrollmentEvent, u64)],
    mut look: impl FnMut(&Enrollment, &Enrollment, &EnrollmentEvent, u64),
) -> Enrollment {
    let (mut seconds, mut enrollment) = (0, start);
    for (event, wait) in history {
        seconds += wait;
        if let Ok(next) = step_enrollment(&enrollment, event, at(seconds)) {
            look(&enrollment, &next, event, seconds);
            enrollment = next;
        }
    }
    enrollment
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_change_takes_effect_only_by_being_stored_after_its_test_has_passed(start in a_start(), history in a_history()) {
        play(start, &history, |before, after, event, _| {
            if after.result() == EnrollmentResult::Done {
                assert_eq!(event, &EnrollmentEvent::Apply);
                assert_eq!(before.live.state, EnrollmentState::TestPassed);
                assert_eq!(owed_enrollment(before), Some(EnrollmentEffect::Apply));
            } else {
                assert_ne!(after.live.state, EnrollmentState::Enrolled);
            }
            if let (EnrollmentState::TestPassed, Some(last)) = (after.live.state, after.live.tests.last()) {
                assert_eq!(last.ended.map(Reason::result), Some(ChallengeResult::Approved));
            }
        });
    }

    #[test]
    fn a_test_that_failed_never_applies(start in a_start(), history in a_history()) {
        let end = play(start, &history, |_, _, _, _| {});
        if end.result() == EnrollmentResult::Done
            && let Some(last) = end.live.tests.last()
        {
            assert_eq!(last.ended.map(Reason::result), Some(ChallengeResult::Approved));
        }
    }

    #[test]
    fn an_end_is_final_and_every_version_is_one_more(start in a_start(), history in a_history()) {
        play(start, &history, |before, after, _, _| {
            assert!(before.is_open(), "nothing counts after the end");
            assert_eq!(after.version, before.version + 1);
            assert_eq!(after.request, before.request);
            if let Some(end) = &after.live.end {
                assert_eq!(end.version, after.version);
                assert_eq!(end.at, after.live.at);
            }
        });
    }

    #[test]
    fn at_most_one_test_is_under_way_none_vanishes_and_none_is_one_too_many(
        start in a_start(),
        history in a_history(),
    ) {
        play(start, &history, |before, after, _, _| {
            let tests = &after.live.tests;
            assert!(tests.iter().filter(|test| test.ended.is_none()).count() <= 1);
            assert!(tests.len() <= MAX_TESTS && tests.len() >= before.live.tests.len());
            for (earlier, later) in before.live.tests.iter().zip(tests) {
                assert_eq!((earlier.id, earlier.number_match), (later.id, later.number_match));
                assert!(earlier.ended.is_none() || earlier.ended == later.ended, "an end of a test is final");
            }
        });
    }

    #[test]
    fn past_its_time_a_request_only_hears_of_its_test_is_stored_or_ends(start in a_start(), history in a_history()) {
        play(start, &history, |before, after, event, seconds| {
            if at(seconds) <= before.request.respond_by {
                return;
            }
            let is_heard = matches!(
                event,
                EnrollmentEvent::TestEnded { .. }
                    | EnrollmentEvent::Apply
                    | EnrollmentEvent::Refuse(_)
                    | EnrollmentEvent::Fail
            );
            if is_heard {
                return;
            }
            assert_ne!(before.live.state, EnrollmentState::TestPassed);
            let waits_for_a_device = before.live.next_step == Some(NextStep::ActivateDevice);
            let reason =
                if waits_for_a_device { EnrollmentReason::ActivationExpired } else { EnrollmentReason::TestTimeout };
            assert_eq!(after.live.end.as_ref().map(|end| end.reason), Some(reason));
        });
    }

    #[test]
    fn an_activation_code_counts_once_in_its_time_and_only_while_it_is_the_latest(
        start in a_start(),
        history in a_history(),
    ) {
        play(start, &history, |before, after, event, seconds| {
            if let EnrollmentEvent::Activated { counter, device } = event
                && after.live.activation.as_ref().is_some_and(|activation| activation.device.is_some())
            {
                let activation = before.live.activation.as_ref().unwrap();
                assert_eq!((activation.counter, &activation.device), (*counter, &None));
                assert!(at(seconds) <= activation.expires_at);
                assert_eq!(after.activated(), Some(device.id));
            }
            let is_let_go = *event == EnrollmentEvent::NewCode && before.live_test().is_none();
            let expected = if is_let_go { None } else { before.activated() };
            assert!(before.activated().is_none() || after.activated() == expected, "one device for each code");
        });
    }

    #[test]
    fn what_is_owed_follows_from_the_state_and_after_the_end_it_is_only_the_end_of_a_test(
        start in a_start(),
        history in a_history(),
    ) {
        let judge = |enrollment: &Enrollment| match owed_enrollment(enrollment) {
            Some(EnrollmentEffect::EndTest(id)) => {
                assert!(!enrollment.is_open());
                assert_eq!(enrollment.live_test().map(|test| test.id), Some(id));
            }
            Some(EnrollmentEffect::Test(id)) => {
                assert!(enrollment.is_open());
                assert_eq!(enrollment.live_test().map(|test| test.id), Some(id));
            }
            Some(EnrollmentEffect::Apply) => {
                assert!(enrollment.is_open() && enrollment.live_test().is_none());
                assert_eq!(enrollment.live.state, EnrollmentState::TestPassed);
            }
            None => assert!(enrollment.live_test().is_none()),
        };
        judge(&start);
        play(start, &history, |_, after, _, _| judge(after));
    }

    #[test]
    fn the_seconds_left_never_grow_and_are_none_after_the_end(start in a_start(), history in a_history()) {
        play(start, &history, |before, after, _, _| {
            assert!(after.seconds_left() <= before.seconds_left());
            assert!(after.is_open() || after.seconds_left() == 0);
        });
    }

    #[test]
    fn every_open_request_ends_by_its_time_whatever_has_happened(start in a_start(), history in a_history()) {
        let mut enrollment = play(start, &history, |_, _, _, _| {});
        let late = at(100 * WITHIN_S);
        for event in [EnrollmentEvent::Apply, EnrollmentEvent::Expire] {
            if let Ok(next) = step_enrollment(&enrollment, &event, late) {
                enrollment = next;
            }
        }
        assert!(!enrollment.is_open());
    }

    #[test]
    fn a_stored_request_is_read_as_it_was_written(start in a_start(), history in a_history()) {
        let end = play(start, &history, |_, _, _, _| {});
        let read = Enrollment::decode(end.key.clone(), end.version, &end.encode_request(), &end.encode_live());
        assert_eq!(read.unwrap(), end);
    }
}
