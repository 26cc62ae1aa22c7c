//! Codes that are typed into the portal: who is asked for one, for how long, and how tries end that overlap.

use fleet_domain::{
    AttemptState, Challenge, Channel, CodeVerdict, DeviceId, Event, MAX_TRIES, Progress, Reason, Refused,
    Step, Target, User, open, owed, step,
};

use crate::cases::{
    ANSWER_BY_S, ask, at, code_entered, code_judged, device, dial, opened, placed, portal, user,
};

fn end(challenge: &Challenge) -> Option<Reason> {
    challenge.live.end.as_ref().map(|end| end.reason)
}

fn play(challenge: &Challenge, events: &[Event]) -> Challenge {
    events.iter().fold(challenge.clone(), |c, event| step(&c, event, at(1)).unwrap())
}

fn check(challenge: &Challenge, seconds: u64) -> Result<Challenge, Refused> {
    let number = challenge.live_attempt().unwrap().number;
    step(challenge, &Event::Check { attempt: number }, at(seconds))
}

#[test]
fn r3_a_code_is_awaited_at_once_where_the_portal_allows_it_and_a_device_has_a_secret() {
    let mut without = portal();
    without.policy.channels.retain(|channel| *channel != Channel::Totp);
    let other = DeviceId::parse("00000000-0000-8000-8000-000000000002").unwrap();
    let bare = |mut user: User| {
        user.devices[0].has_totp = false;
        user
    };
    let locked = |seconds| User { totp_locked_until: Some(at(seconds)), ..user() };
    for (portal, user, target, reason) in [
        (&portal(), user(), Target::Primary, None),
        (&portal(), user(), Target::Device(device()), None),
        (&portal(), user(), Target::Device(other), Some(Reason::NoDevice)),
        (&portal(), bare(user()), Target::Primary, Some(Reason::NoDevice)),
        (&portal(), User { devices: Vec::new(), ..user() }, Target::Primary, Some(Reason::NoDevice)),
        (&portal(), User { blocked: true, ..user() }, Target::Primary, Some(Reason::UserBlocked)),
        (&portal(), locked(60), Target::Primary, Some(Reason::LockedOut)),
        (&portal(), locked(30), Target::Primary, None),
        (&without, user(), Target::Primary, Some(Reason::MethodNotAllowed)),
    ] {
        let mut ask = ask(&[], false);
        (ask.channel, ask.target) = (Some(Channel::Totp), target);
        let challenge = open(&ask, Some(&user), portal, at(30)).unwrap();
        assert_eq!(end(&challenge), reason, "{user:?}");
        assert_eq!((challenge.version, owed(&challenge)), (1, Vec::new()));
        let awaited = challenge.awaiting_code().map(|attempt| (attempt.number, attempt.check_at));
        assert_eq!(awaited, reason.is_none().then_some((1, None)));
        assert_eq!(challenge.progress() == Progress::AwaitingCode, reason.is_none());
    }
}

#[test]
fn r3_codes_are_an_alternative_to_whoever_could_type_one() {
    let offers = |user: &User, channels: &[Channel]| {
        let challenge = open(&ask(channels, false), Some(user), &portal(), at(0)).unwrap();
        challenge.request.alternatives.iter().map(|one| one.channel).collect::<Vec<_>>()
    };
    assert_eq!(offers(&user(), &[Channel::Push]), [Channel::Voice, Channel::Voice, Channel::Totp]);
    assert_eq!(offers(&user(), &[Channel::Totp]), [Channel::Voice, Channel::Voice, Channel::Push]);
    let locked = User { totp_locked_until: Some(at(60)), phones: Vec::new(), ..user() };
    assert_eq!(offers(&locked, &[Channel::Push]), []);
}

#[test]
fn r2_r3_a_step_without_a_code_leads_on_by_its_time_and_after_a_code_never() {
    let both = opened(&[Channel::Totp, Channel::Voice], false);
    assert_eq!(both.live.attempts[0].check_at, Some(at(10)));
    assert_eq!(check(&both, 9), Err(Refused::NotDue));
    let next = check(&both, 10).unwrap();
    assert_eq!((next.live.step, next.live.attempts[0].reason), (1, Some(Reason::NoResponse)));
    assert_eq!(step(&next, &code_entered(1, 1), at(11)), Err(Refused::OutOfPlace), "that step is over");

    let typed = play(&both, &[code_entered(1, 1)]);
    assert_eq!(typed.live.attempts[0].check_at, None);
    let wrong = play(&typed, &[code_judged(1, 1, CodeVerdict::Wrong)]);
    assert_eq!(check(&wrong, 20), Err(Refused::NotDue));
    let late = step(&wrong, &Event::Expire, at(ANSWER_BY_S)).unwrap();
    assert_eq!(end(&late), Some(Reason::NoResponse));

    let alone = opened(&[Channel::Totp], false);
    assert_eq!(alone.live.attempts[0].check_at, None, "there is nothing to go on to");
}

#[test]
fn r2_r3_a_code_is_awaited_when_the_steps_before_it_have_failed() {
    let voice = play(&opened(&[Channel::Voice, Channel::Totp], false), &[dial(), placed(0)]);
    let unanswered = Event::CallEnded {
        attempt: 1,
        sid: crate::cases::SID.into(),
        reason: Some(Reason::NoAnswer),
        sip: None,
        duration_s: None,
    };
    let awaited = play(&voice, &[unanswered]);
    assert_eq!(awaited.awaiting_code().map(|attempt| attempt.number), Some(2));
    assert!(matches!(awaited.current_step(), Some(Step::Totp { device: None, .. })));
    let right = play(&awaited, &[code_entered(2, 1), code_judged(2, 1, CodeVerdict::Right(device()))]);
    let end = right.live.end.unwrap();
    assert_eq!((end.reason, end.device), (Reason::OkTotp, Some(device())));
}

#[test]
fn r3_the_last_wrong_code_denies_only_when_no_other_one_is_being_compared() {
    let wrong = |id| code_judged(1, id, CodeVerdict::Wrong);
    let entered: Vec<Event> = (1..=MAX_TRIES).map(|id| code_entered(1, id)).collect();
    let three = play(&opened(&[Channel::Totp], false), &entered);
    assert_eq!(step(&three, &code_entered(1, 4), at(1)), Err(Refused::OutOfPlace), "there is no fourth try");
    assert_eq!(step(&three, &code_judged(1, 4, CodeVerdict::Wrong), at(1)), Err(Refused::Stale));
    let two_wrong = play(&three, &[wrong(3), wrong(1)]);
    assert!(two_wrong.is_open(), "the second may still be right");
    let denied = play(&two_wrong, &[wrong(2)]);
    assert_eq!(end(&denied), Some(Reason::TotpMismatch));
    let approved = play(&two_wrong, &[code_judged(1, 2, CodeVerdict::Right(device()))]);
    assert_eq!(end(&approved), Some(Reason::OkTotp));
}

#[test]
fn r3_a_message_that_comes_again_takes_no_second_try_and_whoever_took_the_code_is_right() {
    let entered = play(&opened(&[Channel::Totp], false), &[code_entered(1, 1)]);
    assert!(entered.attempt(1).unwrap().compares(&[1; 16]));
    assert_eq!(step(&entered, &code_entered(1, 1), at(1)), Err(Refused::Unchanged));
    let wrong = play(&entered, &[code_judged(1, 1, CodeVerdict::Wrong)]);
    assert_eq!(wrong.attempt(1).unwrap().wrong_codes(), 1);
    assert!(!wrong.attempt(1).unwrap().compares(&[1; 16]));
    for again in [code_entered(1, 1), code_judged(1, 1, CodeVerdict::Wrong)] {
        assert_eq!(step(&wrong, &again, at(1)), Err(Refused::Unchanged));
    }
    let right = play(&wrong, &[code_judged(1, 1, CodeVerdict::Right(device()))]);
    assert_eq!((end(&right), right.live.attempts[0].state), (Some(Reason::OkTotp), AttemptState::Ended));
}
