//! Pushes in every state, one of every event of theirs, and what becomes of them told as it happens.

use std::time::Duration;

use crate::cases::{ANSWER_BY_S, at, demanding, device, opened, steps};
use fleet_domain::{
    Assurance, AttemptState, Challenge, Channel, CodeVerdict, Decision, DeviceId, Effect, Event,
    HANG_UP_CHECK, Reason, Refused, has_resend_left, owed, step, unsettled_push,
};

const SEND: Event = Event::Send { check_after: Some(Duration::from_secs(12)) };
const RESEND: Event = Event::Resend { attempt: 1 };
const PUSHED: Event = Event::Pushed { attempt: 1, devices: 1 };
const PUSHED_TO_TWO: Event = Event::Pushed { attempt: 1, devices: 2 };
const ONLY_LISTED: Event = Event::OnlyListed { attempt: 1 };

fn unreached(after_s: u64) -> Event {
    Event::Unreached {
        attempt: 1,
        round: u8::MAX,
        devices: vec![device()],
        again_after: Duration::from_secs(after_s),
        provider_code: Some(503),
    }
}

fn failed(reason: Reason) -> Event {
    Event::PushFailed { attempt: 1, round: u8::MAX, reason, provider_code: Some(503) }
}

/// The event as it comes of the sending of this round; the others come of the latest.
fn of_round(event: Event, of: u8) -> Event {
    let mut event = event;
    if let Event::Unreached { round, .. } | Event::PushFailed { round, .. } = &mut event {
        *round = of;
    }
    event
}

fn decided(decision: Decision) -> Event {
    Event::Decided { device: device(), decision }
}

fn decided_by(device: DeviceId) -> Event {
    let decision = Decision::Approve { number: None, assurance: Assurance::Approve };
    Event::Decided { device, decision }
}

fn other() -> DeviceId {
    DeviceId::parse("00000000-0000-8000-8000-000000000002").unwrap()
}

/// Each step is a push to one of these devices alone.
fn name_devices(challenge: &mut Challenge, devices: [DeviceId; 2]) {
    let mut request = (*challenge.request).clone();
    for (step, device) in request.steps.iter_mut().zip(devices) {
        if let fleet_domain::Step::Push { device: only, .. } = step {
            *only = Some(device);
        }
    }
    challenge.request = std::sync::Arc::new(request);
}

fn approved() -> Event {
    decided_by(device())
}

/// Challenges by push in every state that the rules know, by name.
pub(crate) fn states() -> Vec<(&'static str, Challenge)> {
    let push = opened(&[Channel::Push], false);
    let then_voice = opened(&[Channel::Push, Channel::Voice], false);
    let undeliverable = || failed(Reason::PushUndeliverable);
    let declined = || decided(Decision::Decline);
    vec![
        ("push queued", push.clone()),
        ("push sending", steps(&push, &[SEND])),
        ("push sending again", steps(&push, &[SEND, RESEND])),
        ("push to be sent again", steps(&push, &[SEND, unreached(10)])),
        ("push pushed", steps(&push, &[SEND, PUSHED])),
        ("push pushed, asked for again", steps(&push, &[SEND, PUSHED, Event::ResendAsked])),
        ("push pushed, one device to be sent it again", steps(&push, &[SEND, PUSHED_TO_TWO, unreached(10)])),
        ("push pushed twice", steps(&push, &[SEND, PUSHED, Event::ResendAsked, RESEND])),
        ("push failed, list open", steps(&push, &[SEND, undeliverable()])),
        ("push pushed, verification demanded", steps(&demanding(), &[SEND, PUSHED])),
        ("push opened", steps(&push, &[SEND, PUSHED, Event::Opened])),
        ("push pushed, voice may follow", steps(&then_voice, &[SEND, PUSHED])),
        ("push only listed, voice may follow", steps(&then_voice, &[SEND, ONLY_LISTED])),
        ("push failed, voice reserved", steps(&then_voice, &[SEND, failed(Reason::DeviceUnregistered)])),
        ("push declined", steps(&push, &[SEND, PUSHED, declined()])),
        ("push declined, other devices to be told", steps(&push, &[SEND, PUSHED_TO_TWO, declined()])),
        ("push declined while it was sent", steps(&push, &[SEND, declined()])),
        ("push canceled, devices told", steps(&push, &[SEND, PUSHED, Event::Cancel, Event::Withdrawn])),
    ]
}

/// One of every event of pushes, by name.
pub(crate) fn events() -> Vec<(&'static str, Event)> {
    vec![
        ("send", Event::Send { check_after: None }),
        ("resend", RESEND),
        ("resend asked", Event::ResendAsked),
        ("pushed", PUSHED),
        ("pushed to two devices", PUSHED_TO_TWO),
        ("unreached for a moment", unreached(2)),
        ("unreached for long", unreached(10)),
        ("unreached for too long", unreached(ANSWER_BY_S)),
        ("only listed", ONLY_LISTED),
        ("push undeliverable", failed(Reason::PushUndeliverable)),
        ("device unregistered", failed(Reason::DeviceUnregistered)),
        ("withdrawn", Event::Withdrawn),
        ("opened", Event::Opened),
        ("approved", approved()),
        ("not me", decided(Decision::NotMe)),
    ]
}

fn play(challenge: &Challenge, event: &Event, seconds: u64) -> Challenge {
    step(challenge, event, at(seconds)).unwrap()
}

fn state(challenge: &Challenge) -> AttemptState {
    challenge.live.attempts.last().unwrap().state
}

#[test]
fn p7_a_push_that_may_have_arrived_is_sent_once_more_after_the_pause_and_never_a_third_time() {
    let waiting = steps(&opened(&[Channel::Push], false), &[SEND, unreached(10)]);
    assert_eq!(state(&waiting), AttemptState::Sending);
    assert_eq!(waiting.attempt(1).unwrap().check_at, None, "whoever noted it comes back for it");
    assert_eq!(step(&waiting, &RESEND, at(10)), Err(Refused::NotDue));
    let again = play(&waiting, &RESEND, 11);
    assert_eq!(step(&again, &RESEND, at(12)), Err(Refused::Unchanged));
    let failed = play(&again, &unreached(1), 12);
    assert_eq!(state(&failed), AttemptState::PushFailed);
    assert_eq!(step(&failed, &Event::ResendAsked, at(13)), Err(Refused::Unchanged), "it had its re-send");
}

#[test]
fn p7_the_person_gets_one_re_send_unless_the_fleet_has_taken_it() {
    let pushed = steps(&opened(&[Channel::Push], false), &[SEND, PUSHED]);
    assert_eq!(owed(&pushed), []);
    let asked = play(&pushed, &Event::ResendAsked, 20);
    assert_eq!(owed(&asked), [Effect::Resend]);
    assert_eq!(step(&asked, &Event::ResendAsked, at(21)), Err(Refused::Unchanged));
    let again = play(&asked, &RESEND, 21);
    assert_eq!((owed(&again), state(&again)), (vec![], AttemptState::Pushed));
    assert_eq!(step(&again, &Event::ResendAsked, at(40)), Err(Refused::Unchanged));

    let fleets = play(&pushed, &unreached(10), 2);
    assert_eq!(step(&fleets, &Event::ResendAsked, at(3)), Err(Refused::Unchanged), "one is due already");
}

#[test]
fn p7_a_re_send_that_cannot_arrive_in_time_is_refused() {
    let pushed = steps(&opened(&[Channel::Push], false), &[SEND, PUSHED]);
    let last = ANSWER_BY_S - 6;
    assert!(step(&pushed, &Event::ResendAsked, at(last)).is_ok());
    assert_eq!(step(&pushed, &Event::ResendAsked, at(last + 1)), Err(Refused::OutOfPlace));
    assert_eq!(step(&pushed, &unreached(ANSWER_BY_S), at(1)), Err(Refused::Unchanged));
    let sending = steps(&opened(&[Channel::Push], false), &[SEND]);
    assert_eq!(state(&play(&sending, &unreached(ANSWER_BY_S), 1)), AttemptState::PushFailed);
}

#[test]
fn p7_what_is_asked_for_again_is_sent_again_where_the_push_service_took_nothing_before() {
    let listed = steps(&opened(&[Channel::Push], false), &[SEND, failed(Reason::PushUndeliverable)]);
    let asked = play(&listed, &Event::ResendAsked, 20);
    let again = play(&asked, &RESEND, 21);
    assert_eq!(state(&play(&again, &PUSHED, 22)), AttemptState::Pushed);
}

#[test]
fn p10_where_nobody_has_the_push_the_next_step_is_not_kept_waiting() {
    let sending = steps(&opened(&[Channel::Push, Channel::Voice], false), &[SEND]);
    assert_eq!(owed(&play(&sending, &unreached(6), 2)), [Effect::Dial]);
    assert_eq!(state(&play(&sending, &unreached(5), 2)), AttemptState::Sending, "a moment is waited for");
    let pushed = play(&sending, &PUSHED_TO_TWO, 2);
    let waiting = play(&pushed, &unreached(30), 2);
    assert_eq!(waiting.attempt(1).unwrap().resend.as_ref().unwrap().devices, [device()]);
    let ended = play(&waiting, &Event::Check { attempt: 1 }, 12);
    assert_eq!(step(&ended, &RESEND, at(32)), Err(Refused::NotLive), "the step's time was over first");
}

#[test]
fn p7_no_device_is_prompted_a_third_time_by_whatever_step() {
    let mut challenge = opened(&[Channel::Push, Channel::Voice, Channel::Push, Channel::Push], false);
    challenge = play(&challenge, &SEND, 0);
    challenge = play(&challenge, &failed(Reason::PushUndeliverable), 1);
    assert!(challenge.live.attempts.len() == 2 && owed(&challenge) == [Effect::Dial]);
    let late = Event::NoSlot { step: 1, retry_after: Duration::from_secs(1) };
    challenge = play(&challenge, &late, 2);
    challenge = play(&challenge, &SEND, 3);
    assert!(!has_resend_left(&challenge, 3), "two prompts are all that a device gets");
    // Whoever was sending it has gone.
    challenge = play(&challenge, &Event::Check { attempt: 3 }, 15);
    assert_eq!(owed(&challenge), [Effect::Push]);
    challenge = play(&challenge, &SEND, 16);
    assert_eq!(state(&challenge), AttemptState::PushFailed, "its list has to do");
    let rounds: u8 = challenge.live.attempts.iter().map(|attempt| attempt.rounds).sum();
    assert_eq!(rounds, 2);
}

#[test]
fn p5_apps_that_only_poll_get_their_steps_time_for_it() {
    let listed = steps(&opened(&[Channel::Push, Channel::Voice], false), &[SEND, ONLY_LISTED]);
    assert_eq!(state(&listed), AttemptState::PushFailed);
    assert_eq!(listed.attempt(1).unwrap().check_at, Some(at(11)), "ten seconds from then");
    let called = play(&listed, &Event::Check { attempt: 1 }, 11);
    assert_eq!(owed(&called), [Effect::Dial]);
    assert!(play(&called, &approved(), 12).live.end.unwrap().assurance.is_some(), "the list stays open");

    let last = steps(&opened(&[Channel::Push], false), &[SEND, ONLY_LISTED]);
    assert_eq!((state(&last), last.attempt(1).unwrap().check_at), (AttemptState::PushFailed, None));
}

#[test]
fn e6_devices_that_did_not_answer_are_told_once_and_one_that_did_is_not() {
    let push = opened(&[Channel::Push], false);
    let alone = steps(&push, &[SEND, PUSHED, approved()]);
    assert_eq!(owed(&alone), [], "it costs nothing");
    assert_eq!(alone.attempt(1).unwrap().check_at, None);

    let two = steps(&push, &[SEND, PUSHED_TO_TWO, approved()]);
    assert_eq!(owed(&two), [Effect::Withdraw]);
    assert_eq!(two.attempt(1).unwrap().check_at, Some(at(1).plus(HANG_UP_CHECK)));
    let told = play(&two, &Event::Withdrawn, 2);
    assert_eq!((owed(&told), told.attempt(1).unwrap().check_at), (vec![], None));
    assert_eq!(step(&told, &Event::Withdrawn, at(3)), Err(Refused::Unchanged));

    let canceled = steps(&push, &[SEND, PUSHED, Event::Cancel]);
    assert_eq!(owed(&canceled), [Effect::Withdraw]);
    let expired = play(&steps(&push, &[SEND, PUSHED_TO_TWO]), &Event::Expire, ANSWER_BY_S);
    assert_eq!(owed(&expired), [], "the push has not lived longer either");
}

#[test]
fn e6_a_withdrawal_that_nobody_heard_of_is_owed_until_the_push_is_over_anyway() {
    let two = steps(&opened(&[Channel::Push], false), &[SEND, PUSHED_TO_TWO, approved()]);
    let again = play(&two, &Event::Check { attempt: 1 }, 11);
    assert_eq!(owed(&again), [Effect::Withdraw]);
    assert_eq!(again.attempt(1).unwrap().check_at, Some(at(11).plus(HANG_UP_CHECK)));
    let over = play(&again, &Event::Check { attempt: 1 }, ANSWER_BY_S);
    assert_eq!((owed(&over), over.attempt(1).unwrap().check_at), (vec![], None));
}

#[test]
fn e6_devices_that_the_push_reached_after_the_end_are_told_too() {
    let push = opened(&[Channel::Push], false);
    let answered = steps(&push, &[SEND, approved()]);
    assert_eq!(step(&answered, &PUSHED, at(2)), Err(Refused::Ended), "it was the only one");
    assert_eq!(owed(&play(&answered, &PUSHED_TO_TWO, 2)), [Effect::Withdraw]);
    let called_off = steps(&push, &[SEND, Event::Cancel]);
    assert_eq!(owed(&play(&called_off, &PUSHED, 2)), [Effect::Withdraw]);
    // It may have reached the one device; where that is who answered, it knows.
    assert_eq!(owed(&play(&called_off, &unreached(10), 2)), [Effect::Withdraw]);
    assert_eq!(step(&answered, &unreached(10), at(2)), Err(Refused::Ended));
    let by_another = steps(&push, &[SEND, decided_by(other())]);
    assert_eq!(owed(&play(&by_another, &unreached(10), 2)), [Effect::Withdraw]);
    let by_one_that_polls = steps(&push, &[SEND, unreached(2), decided_by(other())]);
    assert_eq!(owed(&by_one_that_polls), [Effect::Withdraw]);
    assert_eq!(owed(&steps(&push, &[SEND, unreached(2), approved()])), []);
}

#[test]
fn e6_only_the_device_that_answered_its_push_is_not_told() {
    // One device each: the first step's does not answer, the second's does.
    let mut challenge = opened(&[Channel::Push, Channel::Push], false);
    name_devices(&mut challenge, [device(), other()]);
    let pushed_again = Event::Pushed { attempt: 2, devices: 1 };
    let mut both = steps(&challenge, &[SEND, PUSHED]);
    both = play(&both, &Event::Check { attempt: 1 }, 12);
    both = play(&play(&both, &SEND, 12), &pushed_again, 13);
    let answered = play(&both, &decided_by(other()), 14);
    assert_eq!(owed(&answered), [Effect::Withdraw]);
    let told = play(&answered, &Event::Withdrawn, 15);
    assert_eq!(told.live.attempts.iter().map(|attempt| attempt.withdrawn).collect::<Vec<_>>(), [true, false]);

    // A code is read from the app, whose push is still there.
    let pushed = steps(&opened(&[Channel::Push, Channel::Totp], false), &[SEND, PUSHED]);
    let id = [1; 16];
    let awaits = play(&pushed, &Event::Check { attempt: 1 }, 12);
    let typed = play(&awaits, &Event::CodeEntered { attempt: 2, id }, 13);
    let verdict = CodeVerdict::Right(device());
    let approved = play(&typed, &Event::CodeJudged { attempt: 2, id, verdict }, 14);
    assert_eq!(approved.live.end.as_ref().unwrap().reason, Reason::OkTotp);
    assert_eq!(owed(&approved), [Effect::Withdraw]);
}

#[test]
fn e6_where_the_sender_died_before_it_said_who_has_the_push_the_others_are_told_all_the_same() {
    let sending = steps(&opened(&[Channel::Push], false), &[SEND]);
    assert_eq!(unsettled_push(&sending), None, "its own delivery brings it again");
    let answered = play(&sending, &decided_by(other()), 3);
    assert_eq!((unsettled_push(&answered), owed(&answered)), (Some(1), vec![]));
    let counted = play(&answered, &Event::Pushed { attempt: 1, devices: 2 }, 4);
    assert_eq!((unsettled_push(&counted), owed(&counted)), (None, vec![Effect::Withdraw]));
    let only_one = Event::Pushed { attempt: 1, devices: 1 };
    assert_eq!(step(&answered, &only_one, at(4)), Err(Refused::Ended), "it has answered itself");
    let expired = play(&sending, &Event::Expire, ANSWER_BY_S);
    assert_eq!(unsettled_push(&expired), None, "the push has lived no longer");
}

#[test]
fn e6_where_a_sender_died_and_no_other_reached_anybody_the_devices_that_may_have_the_push_are_told() {
    let push = opened(&[Channel::Push], false);
    let twice = steps(&push, &[SEND, RESEND]);
    let looked_at = {
        let once_more = play(&steps(&push, &[SEND]), &Event::Check { attempt: 1 }, 13);
        play(&play(&once_more, &SEND, 13), &Event::Check { attempt: 1 }, 25)
    };
    let may_show = Event::Unreached {
        attempt: 1,
        round: 2,
        devices: vec![device(), other()],
        again_after: Duration::ZERO,
        provider_code: None,
    };
    let refused = failed(Reason::PushUndeliverable);
    for given_up in
        [play(&twice, &may_show, 3), looked_at, play(&twice, &unreached(10), 3), play(&twice, &refused, 3)]
    {
        assert_eq!(state(&given_up), AttemptState::PushFailed);
        let by_another = play(&given_up, &decided_by(other()), 26);
        assert_eq!(owed(&by_another), [Effect::Withdraw]);
    }
}

#[test]
fn an_answer_in_the_app_is_told_as_the_pushs_whichever_step_is_live() {
    let pushed = steps(&opened(&[Channel::Push, Channel::Voice], false), &[SEND, PUSHED]);
    let called = play(&pushed, &Event::Check { attempt: 1 }, 12);
    assert_eq!(called.telling_attempt().unwrap().channel, Channel::Voice);
    let reported = play(&called, &decided(Decision::NotMe), 13);
    assert_eq!(reported.telling_attempt().unwrap().channel, Channel::Push);
    let expired = play(&called, &Event::Expire, ANSWER_BY_S);
    assert_eq!(expired.telling_attempt().unwrap().channel, Channel::Voice);
}

#[test]
fn a_failure_of_the_first_sending_says_nothing_while_the_second_is_under_way() {
    let again = steps(&opened(&[Channel::Push], false), &[SEND, RESEND]);
    for late in [failed(Reason::DeviceUnregistered), failed(Reason::PushUndeliverable), unreached(1)] {
        assert_eq!(step(&again, &of_round(late.clone(), 1), at(2)), Err(Refused::Unchanged), "{late:?}");
        assert!(step(&again, &of_round(late, 2), at(2)).is_ok());
    }
}

#[test]
fn only_a_push_that_was_sent_in_vain_expires_as_undeliverable() {
    let push = opened(&[Channel::Push], false);
    let undeliverable = failed(Reason::PushUndeliverable);
    for (events, reason) in [
        (&[SEND, ONLY_LISTED][..], Reason::NoResponse),
        (&[SEND, undeliverable.clone()], Reason::PushUndeliverable),
        (&[SEND, undeliverable, Event::ResendAsked, RESEND, PUSHED], Reason::NoResponse),
    ] {
        let expired = play(&steps(&push, events), &Event::Expire, ANSWER_BY_S);
        assert_eq!(expired.live.end.unwrap().reason, reason, "{events:?}");
    }
}

#[test]
fn a_device_of_ones_own_is_prompted_apart_from_the_others() {
    let mut challenge = opened(&[Channel::Push, Channel::Push], false);
    name_devices(&mut challenge, [device(), other()]);
    challenge = steps(&challenge, &[SEND, failed(Reason::PushUndeliverable), SEND]);
    assert!(has_resend_left(&challenge, 2), "the second device was prompted once");
}
