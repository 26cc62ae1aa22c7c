//! R2: the order of channels, by the request or by the portal's policy, and what leads from one step to the next.

use std::time::Duration;

use crate::cases::{NUMBER, SID, ask, at, device, now_asked, opened_with_pin, portal, user};
use fleet_domain::{
    Ask, AskedStep, Assurance, CallerId, CallerIdStep, Challenge, Channel, Decision, Event, PhoneRole,
    PinVerdict, PolicyStep, Portal, Reason, Skipped, Step, Target, User, UserVerification, open, step,
};

/// A portal whose policy pushes for 20 seconds, then calls.
fn push_then_call() -> Portal {
    let mut portal = portal();
    portal.policy.workflow = vec![
        PolicyStep { channel: Channel::Push, target: PhoneRole::Primary, timeout_s: Some(20) },
        PolicyStep { channel: Channel::Voice, target: PhoneRole::Backup, timeout_s: Some(15) },
    ];
    portal
}

/// The way of a challenge, as channel and which phone.
fn way(challenge: &Challenge) -> Vec<(Channel, Option<PhoneRole>)> {
    let step = |step: &Step| match step {
        Step::Voice { phone, .. } => (Channel::Voice, Some(phone.role)),
        Step::Push { .. } => (Channel::Push, None),
        Step::Totp { .. } => (Channel::Totp, None),
    };
    challenge.request.steps.iter().map(step).collect()
}

#[test]
fn r2_the_policys_workflow_holds_where_the_request_leaves_the_way_open_and_nowhere_else() {
    const PUSH: (Channel, Option<PhoneRole>) = (Channel::Push, None);
    let call = |role| (Channel::Voice, Some(role));
    let own = AskedStep { channel: Channel::Voice, target: Target::Primary, timeout: None };
    let open_ask = || ask(&[], false);
    let by_policy = push_then_call();
    for (portal, asked, expected) in [
        (&by_policy, open_ask(), vec![PUSH, call(PhoneRole::Backup)]),
        (&by_policy, Ask { workflow: vec![own], ..open_ask() }, vec![call(PhoneRole::Primary)]),
        (&by_policy, Ask { channel: Some(Channel::Voice), ..open_ask() }, vec![call(PhoneRole::Primary)]),
        (&by_policy, Ask { channel: Some(Channel::Push), ..open_ask() }, vec![PUSH]),
        // S29: the person has selected that phone.
        (&by_policy, Ask { target: Target::Backup, ..open_ask() }, vec![call(PhoneRole::Backup)]),
        (&portal(), open_ask(), vec![call(PhoneRole::Primary)]),
    ] {
        let challenge = open(&asked, Some(&user()), portal, at(0)).unwrap();
        assert_eq!(way(&challenge), expected, "{asked:?}");
        assert_eq!(challenge.request.skipped, []);
    }
    let pushed = User { method: Channel::Push, ..user() };
    assert_eq!(way(&open(&open_ask(), Some(&pushed), &portal(), at(0)).unwrap()), [PUSH]);
}

#[test]
fn r2_a_step_that_the_user_cannot_go_is_left_out_and_named() {
    let without_device = User { devices: Vec::new(), ..user() };
    let challenge = open(&ask(&[], false), Some(&without_device), &push_then_call(), at(0)).unwrap();
    assert_eq!(way(&challenge), [(Channel::Voice, Some(PhoneRole::Backup))]);
    let no_device = Skipped { channel: Channel::Push, target: Target::Primary, reason: Reason::NoDevice };
    assert_eq!(challenge.request.skipped, [no_device]);
    assert!(challenge.is_open());

    let nobody = User { phones: Vec::new(), ..without_device };
    let challenge = open(&ask(&[], false), Some(&nobody), &push_then_call(), at(0)).unwrap();
    let no_phone = Skipped { channel: Channel::Voice, target: Target::Backup, reason: Reason::NoMethod };
    assert_eq!(challenge.request.skipped, [no_device, no_phone]);
    assert_eq!(challenge.live.end.unwrap().reason, Reason::NoDevice, "that of the first step");
}

#[test]
fn a_step_of_a_call_rings_no_longer_than_it_lasts() {
    let mut portal = portal();
    portal.policy.ring_s = 25;
    for (timeout_s, ring_s) in [(None, 25), (Some(300), 25), (Some(26), 25), (Some(10), 10), (Some(1), 5)] {
        let timeout = timeout_s.map(Duration::from_secs);
        let workflow = vec![AskedStep { channel: Channel::Voice, target: Target::Primary, timeout }];
        let asked = Ask { workflow, ..ask(&[], false) };
        let challenge = open(&asked, Some(&user()), &portal, at(0)).unwrap();
        let [Step::Voice { ring_s: rings, .. }] = challenge.request.steps[..] else { panic!() };
        assert_eq!(rings, ring_s, "{timeout_s:?}");
    }
}

/// The challenge with each event applied a second after the one before.
fn after(challenge: &Challenge, events: &[Event]) -> Challenge {
    (1..).zip(events).fold(challenge.clone(), |c, (second, event)| step(&c, event, at(second)).unwrap())
}

fn call_of_step(step: u8) -> Event {
    let caller_id = CallerId { number: NUMBER.into(), step: CallerIdStep::Local };
    Event::Dial { step, caller_id, has_next_caller_id: false, check_after: Duration::from_secs(10) }
}

fn call_ended(reason: Option<Reason>) -> Event {
    Event::CallEnded { attempt: 1, sid: SID.into(), reason, sip: None, duration_s: None }
}

#[test]
fn r2_a_push_that_nobody_answers_within_its_time_is_followed_by_the_call_under_the_same_deadline() {
    let opened = open(&ask(&[], false), Some(&user()), &push_then_call(), at(0)).unwrap();
    let deadline = opened.request.answer_by;
    let pushed =
        after(&opened, &[Event::Send { check_after: None }, Event::Pushed { attempt: 1, devices: 1 }]);
    let check = Event::Check { attempt: 1 };
    assert!(step(&pushed, &check, at(21)).is_err(), "20 seconds from when it was pushed");
    let called = step(&pushed, &check, at(22)).unwrap();
    assert_eq!(called.live.attempts[0].reason, Some(Reason::NoResponse));
    assert_eq!((called.live.step, called.live_attempt().unwrap().channel), (1, Channel::Voice));
    assert_eq!((called.request.answer_by, called.is_open()), (deadline, true));
    // The app's list stays open while the phone rings.
    let dialed = step(&called, &call_of_step(1), at(23)).unwrap();
    let decision = Decision::Approve { number: None, assurance: Assurance::Approve };
    let approved = step(&dialed, &Event::Decided { device: device(), decision }, at(30)).unwrap();
    assert_eq!(approved.live.end.unwrap().reason, Reason::OkPush);
    let expired = step(&dialed, &Event::Expire, deadline).unwrap();
    assert_eq!(expired.live.end.unwrap().reason, Reason::NoResponse);
}

#[test]
fn r2_only_who_was_not_reached_is_tried_by_the_next_step() {
    let opened =
        open(&ask(&[Channel::Voice, Channel::Push], false), Some(&user()), &portal(), at(0)).unwrap();
    let dialed = after(&opened, &[call_of_step(0)]);
    for (reason, leads) in [
        (Some(Reason::NoAnswer), true),
        (Some(Reason::Busy), true),
        (Some(Reason::Unreachable), true),
        (Some(Reason::Voicemail), true),
        (Some(Reason::CarrierError), true),
        (Some(Reason::RejectedCall), false),
        (Some(Reason::DestinationNotAllowed), false),
        (None, false),
    ] {
        let ended = after(&dialed, &[Event::Ringing { attempt: 1, sid: SID.into() }, call_ended(reason)]);
        assert_eq!((ended.is_open(), ended.live.step), (leads, u8::from(leads)), "{reason:?}");
    }
    let pushed_first =
        open(&ask(&[Channel::Push, Channel::Voice], false), Some(&user()), &portal(), at(0)).unwrap();
    let pushed =
        after(&pushed_first, &[Event::Send { check_after: None }, Event::Pushed { attempt: 1, devices: 1 }]);
    for decision in [Decision::NotMe, Decision::Decline, Decision::Cancel] {
        let ended = after(&pushed, &[Event::Decided { device: device(), decision }]);
        assert!(!ended.is_open(), "{decision:?}");
    }
}

#[test]
fn r2_wrong_pins_never_lead_on() {
    let opened = opened_with_pin(&[Channel::Voice, Channel::Push], false);
    let prompted = after(&opened, &[call_of_step(0), Event::Prompted { attempt: 1, sid: SID.into() }]);
    let wrong = Event::PinJudged { attempt: 1, round: 1, verdict: PinVerdict::Wrong };
    let keyed = [Event::PinKeyed { attempt: 1, round: 1 }, wrong];
    let denied = keyed.iter().cycle().take(6).fold(prompted, |c, event| {
        assert!(c.is_open());
        step(&c, &now_asked(event, &c), at(10)).unwrap()
    });
    assert_eq!(denied.live.end.as_ref().unwrap().reason, Reason::PinMismatch);
    let over = step(&denied, &call_ended(None), at(11)).unwrap();
    assert_eq!((over.live.step, over.live.attempts.len()), (0, 1));
}

#[test]
fn p11_an_approval_without_the_verification_that_is_demanded_is_denied_after_the_number_was_compared() {
    use Assurance::{
        Approve, ApproveBiometric, ApprovePin, NumberMatch, NumberMatchBiometric, NumberMatchPin,
    };
    use UserVerification::{Any, Biometric, Off, Pin};
    let missing = Reason::VerificationMissing;
    for (demanded, number, assurance, reason) in [
        (Off, None, Approve, Reason::OkPush),
        (Any, None, Approve, missing),
        (Any, None, ApprovePin, Reason::OkPush),
        (Any, None, ApproveBiometric, Reason::OkPush),
        (Pin, None, ApproveBiometric, missing),
        (Pin, None, ApprovePin, Reason::OkPush),
        (Biometric, None, ApprovePin, missing),
        (Biometric, None, ApproveBiometric, Reason::OkPush),
        (Any, Some(true), NumberMatch, missing),
        (Any, Some(false), Approve, Reason::NumberMismatch),
        (Any, Some(false), ApprovePin, Reason::NumberMismatch),
        (Pin, Some(true), NumberMatchPin, Reason::OkPush),
        (Biometric, Some(true), NumberMatchBiometric, Reason::OkPush),
    ] {
        let mut portal = portal();
        portal.policy.user_verification = demanded;
        let asked = ask(&[Channel::Push], number.is_some());
        let opened = open(&asked, Some(&user()), &portal, at(0)).unwrap();
        let pushed = after(&opened, &[Event::Send { check_after: None }]);
        let decision = Decision::Approve { number, assurance };
        let end = after(&pushed, &[Event::Decided { device: device(), decision }]).live.end.unwrap();
        assert_eq!(end.reason, reason, "{demanded}, {number:?}, {assurance}");
        assert_eq!(end.assurance, (reason == Reason::OkPush).then_some(assurance));
    }
}

#[test]
fn a_request_that_was_stored_before_there_was_verification_or_skipping_reads_back() {
    let opened = open(&ask(&[Channel::Push], false), Some(&user()), &push_then_call(), at(0)).unwrap();
    let whole = opened.encode_request();
    // An array of 16 fields, whose last two are `off` and an empty list.
    assert_eq!((whole[0], &whole[whole.len() - 2..]), (0x90, &[0x00, 0x80][..]));
    let older = [&[0x8e], &whole[1..whole.len() - 2]].concat();
    let read = Challenge::decode(opened.key.clone(), 1, &older, &opened.encode_live()).unwrap();
    assert_eq!(read, opened);
}
