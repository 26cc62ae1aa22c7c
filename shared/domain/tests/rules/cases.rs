//! Challenges in every state, and one of every event.

use std::time::Duration;

use crate::pushes;
use fleet_domain::{
    Ask, CallerId, CallerIdStep, Challenge, ChallengeId, ChallengeKey, Channel, CodeVerdict, Command,
    Context, Device, DeviceId, Entry, Event, Phone, PhoneKind, PhoneRole, PinRule, PinVerdict, Policy,
    Portal, PortalName, Purpose, Reason, Target, Timestamp, User, UserId, UserVerification, open, step,
};

/// Seconds from the start of a test's time to the deadline of its challenge.
pub(crate) const ANSWER_BY_S: u64 = 120;

/// A point in a test's time.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000).plus(Duration::from_secs(seconds))
}

/// The number that calls show.
pub(crate) const NUMBER: &str = "+19195550100";

/// The provider's id of the call.
pub(crate) const SID: &str = "CA00000000000000000000000000000001";

pub(crate) fn device() -> DeviceId {
    DeviceId::parse("00000000-0000-8000-8000-000000000001").unwrap()
}

fn phone(role: PhoneRole) -> Phone {
    Phone {
        role,
        kind: PhoneKind::Mobile,
        verified: true,
        sealed: vec![1, 2, 3],
        masked: "+1919*****00".into(),
        has_extension: false,
    }
}

pub(crate) fn user() -> User {
    User {
        id: UserId::parse("alice").unwrap(),
        audience: "staff".into(),
        method: Channel::Voice,
        blocked: false,
        has_pin: true,
        pin_locked_until: None,
        totp_locked_until: None,
        bypass: false,
        opted_out: Vec::new(),
        phones: vec![phone(PhoneRole::Primary), phone(PhoneRole::Backup)],
        devices: vec![Device { id: device(), push_token: None, push_gone: false, has_totp: true }],
    }
}

pub(crate) fn portal() -> Portal {
    Portal {
        name: PortalName::parse("operations").unwrap(),
        title: "Operations Portal".into(),
        audiences: vec!["staff".into()],
        policy: Policy {
            approve_only: true,
            channels: vec![Channel::Voice, Channel::Push, Channel::Totp],
            ..Policy::default()
        },
    }
}

pub(crate) fn ask(channels: &[Channel], number_match: bool) -> Ask {
    Ask {
        key: ChallengeKey {
            id: ChallengeId::from_parts(at(0), [7; 10]),
            portal: PortalName::parse("operations").unwrap(),
        },
        user: UserId::parse("alice").unwrap(),
        purpose: Purpose::SignIn,
        channel: None,
        target: Target::Primary,
        workflow: channels
            .iter()
            .map(|channel| fleet_domain::AskedStep {
                channel: *channel,
                target: Target::Primary,
                timeout: Some(Duration::from_secs(10)),
            })
            .collect(),
        number_match: number_match.then_some([9; 16]),
        answer_by: Some(at(ANSWER_BY_S)),
        locale: None,
        context: Context::default(),
        body_hash: [5; 32],
    }
}

pub(crate) fn opened(channels: &[Channel], number_match: bool) -> Challenge {
    open(&ask(channels, number_match), Some(&user()), &portal(), at(0)).unwrap()
}

/// The same where a call asks for the PIN.
pub(crate) fn opened_with_pin(channels: &[Channel], number_match: bool) -> Challenge {
    let mut portal = portal();
    portal.policy.pin = PinRule::Required;
    open(&ask(channels, number_match), Some(&user()), &portal, at(0)).unwrap()
}

/// The event as it comes for the prompt that the challenge is at: those of [`events`] are for its first.
pub(crate) fn now_asked(event: &Event, challenge: &Challenge) -> Event {
    let mut event = event.clone();
    if let Event::Keyed { attempt, round, .. } | Event::PinKeyed { attempt, round } = &mut event
        && *round == 1
    {
        *round = challenge.attempt(*attempt).map_or(1, |attempt| attempt.rounds);
    } else if let Event::PinJudged { attempt, round, .. } = &mut event
        && *round == 1
    {
        let talk = challenge.attempt(*attempt).and_then(|attempt| attempt.talk);
        *round = talk.map_or(1, |talk| talk.comparing);
    }
    event
}

pub(crate) fn steps(challenge: &Challenge, events: &[Event]) -> Challenge {
    events.iter().fold(challenge.clone(), |c, event| step(&c, event, at(1)).unwrap())
}

pub(crate) fn dial() -> Event {
    dial_from(NUMBER, false)
}

fn caller_id(number: &str) -> CallerId {
    CallerId { number: number.into(), step: CallerIdStep::Local }
}

/// The call of the first step with this caller ID, and whether the plan has another one.
pub(crate) fn dial_from(number: &str, has_next_caller_id: bool) -> Event {
    let (caller_id, check_after) = (caller_id(number), Duration::from_secs(10));
    Event::Dial { step: 0, caller_id, has_next_caller_id, check_after }
}

pub(crate) fn placed(queue_s: u64) -> Event {
    let (queue, check_after) = (Duration::from_secs(queue_s), Duration::from_secs(40));
    Event::Placed { attempt: 1, sid: SID.into(), queue, check_after }
}

fn sid() -> String {
    SID.into()
}

fn ended(reason: Option<Reason>) -> Event {
    Event::CallEnded { attempt: 1, sid: sid(), reason, sip: Some(200), duration_s: Some(3) }
}

/// The provider refuses the caller ID: nothing was placed.
pub(crate) fn caller_id_refused(attempt: u8) -> Event {
    Event::NotPlaced {
        attempt,
        reason: Reason::CarrierRejectedCallerId,
        provider_code: Some(21_210),
        again_after: None,
    }
}

/// A network rejects the caller ID of a call that was placed.
pub(crate) fn caller_id_rejected(attempt: u8, sip: u16) -> Event {
    let reason = Some(Reason::CarrierRejectedCallerId);
    Event::CallEnded { attempt, sid: sid(), reason, sip: Some(sip), duration_s: None }
}

/// Challenges in every state that the rules know, by name.
pub(crate) fn states() -> Vec<(&'static str, Challenge)> {
    let voice = opened(&[Channel::Voice], false);
    let number = opened(&[Channel::Voice], true);
    let both = opened(&[Channel::Voice, Channel::Push], false);
    let ringing = || Event::Ringing { attempt: 1, sid: sid() };
    let answered = || Event::Answered { attempt: 1, sid: sid() };
    let prompted = || Event::Prompted { attempt: 1, sid: sid() };
    let unclear = || Event::Unclear { attempt: 1, check_after: Duration::from_secs(8) };
    let confirm = || Event::Keyed { attempt: 1, round: 1, entry: Entry::Confirm };
    let unfound = || Event::Unfound { attempt: 1, check_after: Duration::from_secs(10) };
    let unreached = Event::NotPlaced {
        attempt: 1,
        reason: Reason::ProviderUnavailable,
        provider_code: None,
        again_after: Some(Duration::from_secs(15)),
    };
    let mut states = dialogues(&[dial(), placed(0), prompted()]);
    states.extend(waits_for_codes(&[dial(), placed(0), ended(Some(Reason::NoAnswer))]));
    states.extend(with_another_caller_id(&[placed(0), ringing(), prompted()]));
    states.extend([
        ("voice queued", voice.clone()),
        ("voice dialing", steps(&voice, &[dial()])),
        ("voice unknown", steps(&voice, &[dial(), unclear()])),
        ("voice unknown, not found once", steps(&voice, &[dial(), unclear(), unfound()])),
        ("voice not found, reserved again", steps(&voice, &[dial(), unclear(), unfound(), unfound()])),
        ("voice not reached, reserved for later", steps(&voice, &[dial(), unreached])),
        ("voice placed", steps(&voice, &[dial(), placed(0)])),
        ("voice ringing", steps(&voice, &[dial(), placed(0), ringing()])),
        ("voice answered", steps(&voice, &[dial(), placed(0), answered()])),
        ("voice awaiting input", steps(&voice, &[dial(), placed(0), prompted()])),
        ("voice awaiting a number", steps(&number, &[dial(), placed(0), prompted()])),
        ("voice given up", steps(&both, &[dial(), unclear(), Event::Lost { attempt: 1 }])),
        ("voice failed, push reserved", steps(&both, &[dial(), placed(0), ended(Some(Reason::NoAnswer))])),
        ("voice canceled while dialing", steps(&voice, &[dial(), Event::Cancel])),
        ("voice canceled while ringing", steps(&voice, &[dial(), placed(0), ringing(), Event::Cancel])),
        ("voice approved, call not over", steps(&voice, &[dial(), placed(0), prompted(), confirm()])),
        ("voice approved", steps(&voice, &[dial(), placed(0), prompted(), confirm(), ended(None)])),
    ]);
    states.extend(pushes::states());
    states
}

/// A push that is approved only with a verification of who holds the app.
pub(crate) fn demanding() -> Challenge {
    let mut portal = portal();
    portal.policy.user_verification = UserVerification::Any;
    open(&ask(&[Channel::Push], false), Some(&user()), &portal, at(0)).unwrap()
}

/// A code was typed: the first try of the attempt, or another one.
pub(crate) fn code_entered(attempt: u8, id: u8) -> Event {
    Event::CodeEntered { attempt, id: [id; 16] }
}

pub(crate) fn code_judged(attempt: u8, id: u8, verdict: CodeVerdict) -> Event {
    Event::CodeJudged { attempt, id: [id; 16], verdict }
}

/// Waits for a code, before and after one was typed.
fn waits_for_codes(unreached: &[Event]) -> Vec<(&'static str, Challenge)> {
    let code = opened(&[Channel::Totp], false);
    let code_then_voice = opened(&[Channel::Totp, Channel::Voice], false);
    let voice_then_code = opened(&[Channel::Voice, Channel::Totp], false);
    let wrong = |id| [code_entered(1, id), code_judged(1, id, CodeVerdict::Wrong)];
    let two_wrong = [wrong(7), wrong(8)].concat();
    let last = [&two_wrong[..], &[code_entered(1, 1)]].concat();
    vec![
        ("code awaited", code.clone()),
        ("code being compared", steps(&code, &[code_entered(1, 1)])),
        ("two codes being compared", steps(&code, &[code_entered(1, 1), code_entered(1, 2)])),
        ("code wrong twice", steps(&code, &two_wrong)),
        ("last code being compared", steps(&code, &last)),
        ("code awaited, voice may follow", code_then_voice.clone()),
        ("code wrong, voice follows no more", steps(&code_then_voice, &wrong(7))),
        ("voice placed, a code may follow", steps(&voice_then_code, &unreached[..2])),
        ("voice failed, code awaited", steps(&voice_then_code, unreached)),
        ("code right", steps(&code, &[code_entered(1, 1), code_judged(1, 1, CodeVerdict::Right(device()))])),
    ]
}

/// Calls that lead to another one, should their caller ID be rejected.
fn with_another_caller_id(on_the_way: &[Event]) -> Vec<(&'static str, Challenge)> {
    let dialed = steps(&opened(&[Channel::Voice], false), &[dial_from(NUMBER, true)]);
    vec![
        ("voice dialing, another caller ID left", dialed.clone()),
        ("caller ID refused, reserved again", steps(&dialed, &[caller_id_refused(1)])),
        ("voice ringing, another caller ID left", steps(&dialed, &on_the_way[..2])),
        ("voice awaiting input, another caller ID left", steps(&dialed, on_the_way)),
    ]
}

/// Calls in every state of their dialogue beyond the first prompt.
fn dialogues(prompted: &[Event]) -> Vec<(&'static str, Challenge)> {
    let attempt = 1;
    let keyed = |entry| Event::Keyed { attempt, round: 1, entry };
    let judged = |verdict| Event::PinJudged { attempt, round: 1, verdict };
    let after = |challenge: &Challenge, events: &[Event]| {
        let prompted = steps(challenge, prompted);
        events.iter().fold(prompted, |c, event| step(&c, &now_asked(event, &c), at(1)).unwrap())
    };
    let voice = opened(&[Channel::Voice], false);
    let pin = opened_with_pin(&[Channel::Voice], false);
    let both = opened_with_pin(&[Channel::Voice], true);
    let (taken, wrong) = (Event::PinKeyed { attempt, round: 1 }, judged(PinVerdict::Wrong));
    let two_wrong = [taken.clone(), wrong.clone(), taken.clone(), wrong.clone()];
    let last = [&two_wrong[..], std::slice::from_ref(&taken)].concat();
    let silent = [keyed(Entry::Nothing), keyed(Entry::Unfinished)];
    let command = |command| keyed(Entry::Command(command));
    let aside = [command(Command::NeverAgain), keyed(Entry::Nothing)];
    let asides = [aside.clone(), aside.clone(), aside].concat();
    vec![
        ("PIN awaited", after(&pin, &[])),
        ("PIN being compared", after(&pin, std::slice::from_ref(&taken))),
        ("PIN wrong twice", after(&pin, &two_wrong)),
        ("last PIN being compared", after(&pin, &last)),
        ("PIN not keyed twice", after(&pin, &silent)),
        ("PIN right, number awaited", after(&both, &[taken.clone(), judged(PinVerdict::Right)])),
        ("PIN being compared before a number", after(&both, &[taken])),
        ("fraud to be confirmed", after(&voice, &[command(Command::ReportFraud)])),
        ("fraud to be confirmed, before a PIN", after(&pin, &[command(Command::ReportFraud)])),
        ("never again to be confirmed", after(&voice, &[command(Command::NeverAgain)])),
        ("key awaited after three commands", after(&voice, &asides)),
        ("PIN awaited after three commands", after(&pin, &asides)),
    ]
}

/// One of every event, by name.
pub(crate) fn events() -> Vec<(&'static str, Event)> {
    let mut events = of_calls();
    events.extend(pushes::events());
    events.extend(of_codes());
    events.extend([
        ("dial from another number", dial_from("+19195550199", true)),
        ("caller ID refused", caller_id_refused(1)),
        ("caller ID rejected", caller_id_rejected(1, 608)),
        ("line busy", Event::Halt { reason: Reason::CallInProgress }),
        ("halt", Event::Halt { reason: Reason::Internal }),
        ("cancel", Event::Cancel),
        ("check", Event::Check { attempt: 1 }),
        ("expire", Event::Expire),
    ]);
    events
}

fn of_calls() -> Vec<(&'static str, Event)> {
    let attempt = 1;
    let second = Duration::from_secs(5);
    vec![
        ("dial", dial()),
        ("dial of another step", {
            let (caller_id, has_next_caller_id) = (caller_id(NUMBER), false);
            Event::Dial { step: 1, caller_id, has_next_caller_id, check_after: second }
        }),
        ("no slot", Event::NoSlot { step: 0, retry_after: second }),
        ("placed", placed(0)),
        ("placed in a long queue", placed(600)),
        (
            "not placed",
            Event::NotPlaced {
                attempt,
                reason: Reason::InvalidNumber,
                provider_code: Some(21211),
                again_after: None,
            },
        ),
        (
            "not placed, again later",
            Event::NotPlaced {
                attempt,
                reason: Reason::ProviderUnavailable,
                provider_code: Some(20429),
                again_after: Some(second),
            },
        ),
        ("unclear", Event::Unclear { attempt, check_after: second }),
        ("ringing", Event::Ringing { attempt, sid: sid() }),
        ("ringing elsewhere", Event::Ringing { attempt, sid: "CAother".into() }),
        ("answered", Event::Answered { attempt, sid: sid() }),
        ("a machine answered", Event::MachineAnswered { attempt, sid: sid() }),
        ("prompted", Event::Prompted { attempt, sid: sid() }),
        ("keyed nothing", Event::Keyed { attempt, round: 1, entry: Entry::Nothing }),
        ("keyed #", Event::Keyed { attempt, round: 1, entry: Entry::Confirm }),
        ("keyed the number", Event::Keyed { attempt, round: 1, entry: Entry::Match }),
        ("keyed other digits", Event::Keyed { attempt, round: 1, entry: Entry::Other }),
        ("keyed digits without #", Event::Keyed { attempt, round: 1, entry: Entry::Unfinished }),
        ("keyed 0#", Event::Keyed { attempt, round: 1, entry: Entry::Command(Command::ReportFraud) }),
        ("keyed 9#", Event::Keyed { attempt, round: 1, entry: Entry::Command(Command::NeverAgain) }),
        ("keyed 1#", Event::Keyed { attempt, round: 1, entry: Entry::Yes }),
        ("keyed # too late", Event::Keyed { attempt, round: 0, entry: Entry::Confirm }),
        ("PIN keyed", Event::PinKeyed { attempt, round: 1 }),
        ("PIN keyed too late", Event::PinKeyed { attempt, round: 0 }),
        ("PIN right", Event::PinJudged { attempt, round: 1, verdict: PinVerdict::Right }),
        ("PIN wrong", Event::PinJudged { attempt, round: 1, verdict: PinVerdict::Wrong }),
        ("PIN too old", Event::PinJudged { attempt, round: 1, verdict: PinVerdict::Expired }),
        ("locked out", Event::PinJudged { attempt, round: 1, verdict: PinVerdict::LockedOut }),
        ("PIN gone", Event::PinJudged { attempt, round: 1, verdict: PinVerdict::NoPin }),
        ("PIN judged too late", Event::PinJudged { attempt, round: 9, verdict: PinVerdict::Right }),
        ("no answer", ended(Some(Reason::NoAnswer))),
        ("rejected", ended(Some(Reason::RejectedCall))),
        ("completed", ended(None)),
        ("still alive", Event::StillAlive { attempt, check_after: second }),
        ("not found", Event::Unfound { attempt, check_after: second }),
        ("lost", Event::Lost { attempt }),
        ("hang-up sent", Event::HangUpSent { attempt, check_after: second }),
    ]
}

fn of_codes() -> Vec<(&'static str, Event)> {
    vec![
        ("code entered", code_entered(1, 1)),
        ("code right", code_judged(1, 1, CodeVerdict::Right(device()))),
        ("code wrong", code_judged(1, 1, CodeVerdict::Wrong)),
        ("codes locked out", code_judged(1, 1, CodeVerdict::LockedOut)),
        ("no device with codes", code_judged(1, 1, CodeVerdict::NoDevice)),
    ]
}
