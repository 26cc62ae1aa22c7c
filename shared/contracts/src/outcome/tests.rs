//! What outcomes say about challenges: the golden examples, made from challenges.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet_domain::{
    CallMode, ChallengeKey, Context, DeviceId, End, Live, Phone, PhoneKind, Policy, Request, UserId,
};
use serde_json::Value;

use super::*;

const ID: &str = "01a20ce4-05c0-7c3f-9d2e-4b5a6c7d8e9f";
const DEVICE: &str = "5f0c9a52-1d7e-4b36-9a41-c2e8d07b6f13";

fn at(millis: i64) -> Timestamp {
    // 2026-11-24T09:30:00.120Z: when all these challenges were accepted.
    Timestamp::from_micros(1_795_512_600_120_000 + millis * 1_000)
}

fn portal() -> Portal {
    let help = "Try your backup phone, or call the Operations help desk.";
    let help =
        BTreeMap::from([("en-US".to_owned(), help.to_owned()), ("es".to_owned(), "Llame.".to_owned())]);
    Portal {
        name: PortalName::parse("operations").unwrap(),
        title: "Operations".into(),
        audiences: vec!["staff".into()],
        policy: Policy { help, ..Policy::default() },
    }
}

fn call(role: PhoneRole) -> Step {
    let masked = match role {
        PhoneRole::Primary => "+1919*****00",
        PhoneRole::Backup => "+1984*****31",
    };
    let kind = PhoneKind::Mobile;
    let phone =
        Phone { role, kind, verified: true, sealed: vec![1], masked: masked.into(), has_extension: false };
    Step::Voice { phone, ring_s: 30 }
}

fn push() -> Step {
    Step::Push { device: Some(DeviceId::parse(DEVICE).unwrap()), timeout_ms: Some(45_000) }
}

fn challenge(
    version: u32,
    steps: Vec<Step>,
    attempts: Vec<Attempt>,
    alternatives: Vec<Alternative>,
) -> Challenge {
    let request = Request {
        user: Some(UserId::parse("avery.lee").unwrap()),
        purpose: Purpose::SignIn,
        steps,
        mode: CallMode::NumberMatch,
        number_match: Some([7; 16]),
        accepted_at: at(0),
        answer_by: at(119_880),
        collect_by: at(419_880),
        locale: "en-US".into(),
        context: Context::default(),
        alternatives,
        prompts: 3,
        body_hash: [0; 32],
        pin: None,
        user_verification: fleet_domain::UserVerification::Off,
        skipped: Vec::new(),
    };
    Challenge {
        key: ChallengeKey { id: ChallengeId::parse(ID).unwrap(), portal: portal().name },
        version,
        request: Arc::new(request),
        live: Live { end: None, step: 0, tries: 0, attempts },
    }
}

fn ended(mut challenge: Challenge, reason: Reason, assurance: Option<Assurance>) -> Challenge {
    let version = challenge.version;
    challenge.live.end = Some(End {
        reason,
        assurance,
        at: at(21_613),
        version,
        device: None,
        retry_after_s: (reason == Reason::Throttled).then_some(7),
    });
    challenge
}

fn attempt(number: u8, channel: Channel, step: u8, state: AttemptState, reserved_ms: u32) -> Attempt {
    Attempt { state, ..Attempt::new(number, channel, step, reserved_ms) }
}

fn caller_id(step: CallerIdStep) -> CallerId {
    CallerId { number: "+19195550142".into(), step }
}

fn alternative(channel: Channel, target: Target) -> Alternative {
    Alternative { channel, target }
}

fn approved() -> Challenge {
    let first = Attempt {
        caller_id: Some(caller_id(CallerIdStep::Local)),
        placed_ms: Some(290),
        ringing_ms: Some(2_860),
        answered_ms: Some(8_884),
        ended_ms: Some(21_613),
        duration_s: Some(13),
        ..attempt(1, Channel::Voice, 0, AttemptState::Ended, 0)
    };
    let others =
        vec![alternative(Channel::Voice, Target::Backup), alternative(Channel::Push, Target::Primary)];
    let open = challenge(8, vec![call(PhoneRole::Primary)], vec![first], others);
    ended(open, Reason::OkNumberMatch, Some(Assurance::NumberMatch))
}

fn ringing() -> Challenge {
    let first = Attempt {
        reason: Some(Reason::PushUndeliverable),
        provider_code: Some(404),
        ended_ms: Some(535),
        ..attempt(1, Channel::Push, 0, AttemptState::Ended, 0)
    };
    let second = Attempt {
        caller_id: Some(caller_id(CallerIdStep::Other)),
        placed_ms: Some(790),
        ringing_ms: Some(3_180),
        ..attempt(2, Channel::Voice, 1, AttemptState::Ringing, 535)
    };
    let others = vec![alternative(Channel::Voice, Target::Primary)];
    challenge(5, vec![push(), call(PhoneRole::Backup)], vec![first, second], others)
}

fn failed() -> Challenge {
    let first = Attempt {
        caller_id: Some(caller_id(CallerIdStep::Local)),
        reason: Some(Reason::Busy),
        sip: Some(486),
        placed_ms: Some(290),
        ended_ms: Some(2_955),
        ..attempt(1, Channel::Voice, 0, AttemptState::Ended, 0)
    };
    let others = vec![alternative(Channel::Voice, Target::Backup)];
    ended(challenge(6, vec![call(PhoneRole::Primary)], vec![first], others), Reason::Busy, None)
}

/// Push, then the primary phone, which wants no calls, then the backup phone.
fn by_workflow() -> Challenge {
    let first = Attempt {
        reason: Some(Reason::NoResponse),
        placed_ms: Some(310),
        ended_ms: Some(20_310),
        ..attempt(1, Channel::Push, 0, AttemptState::Ended, 0)
    };
    let second = Attempt {
        caller_id: Some(caller_id(CallerIdStep::Local)),
        placed_ms: Some(20_540),
        ringing_ms: Some(23_100),
        answered_ms: Some(27_420),
        ..attempt(2, Channel::Voice, 1, AttemptState::AwaitingInput, 20_310)
    };
    let all = Step::Push { device: None, timeout_ms: Some(20_000) };
    let mut challenge = challenge(7, vec![all, call(PhoneRole::Backup)], vec![first, second], Vec::new());
    let opted_out = Reason::NumberOptedOut;
    Arc::make_mut(&mut challenge.request).skipped =
        vec![Skipped { channel: Channel::Voice, target: Target::Primary, reason: opted_out }];
    challenge
}

#[test]
fn the_golden_outcomes_are_what_is_told() {
    let cases = [
        (approved(), include_str!("../../examples/outcome-approved.json")),
        (ringing(), include_str!("../../examples/outcome-ringing.json")),
        (failed(), include_str!("../../examples/outcome-failed.json")),
        (by_workflow(), include_str!("../../examples/outcome-workflow.json")),
    ];
    for (challenge, golden) in cases {
        let told: Value = serde_json::from_str(&Outcome::of(&challenge, &portal()).to_json()).unwrap();
        assert_eq!(told, serde_json::from_str::<Value>(golden).unwrap());
    }
}

#[test]
fn o2_the_text_begins_with_seq() {
    for challenge in [approved(), ringing(), failed()] {
        let text = Outcome::of(&challenge, &portal()).to_json();
        assert!(text.starts_with(&format!("{{\"seq\":{},", challenge.version)), "{text}");
    }
}

#[test]
fn the_same_version_gives_the_same_bytes_and_is_read_back() {
    for challenge in [approved(), ringing(), failed(), by_workflow()] {
        let outcome = Outcome::of(&challenge, &portal());
        assert_eq!(outcome.to_json(), Outcome::of(&challenge.clone(), &portal()).to_json());
        assert_eq!(Outcome::from_json(&outcome.to_json()), Some(outcome));
    }
}

#[test]
fn s28_help_is_told_where_a_person_needs_it_and_in_their_language() {
    for reason in Reason::ALL {
        let challenge = ended(challenge(2, Vec::new(), Vec::new(), Vec::new()), *reason, None);
        let expected = match reason.result() {
            ChallengeResult::Denied | ChallengeResult::Failed | ChallengeResult::Expired => true,
            ChallengeResult::Pending | ChallengeResult::Approved | ChallengeResult::Canceled => false,
        };
        assert_eq!(Outcome::of(&challenge, &portal()).help.is_some(), expected, "{reason}");
    }
    let mut spanish = failed();
    Arc::make_mut(&mut spanish.request).locale = "es-MX".into();
    assert_eq!(Outcome::of(&spanish, &portal()).help.as_deref(), Some("Llame."));
}

#[test]
fn s33_the_caller_id_is_that_of_the_last_call_and_never_guaranteed() {
    let mut challenge = ringing();
    let told = |challenge: &Challenge| Outcome::of(challenge, &portal()).caller_id;
    let expected =
        CallerIdReport { sent: "+19195550142".into(), step: CallerIdStep::Other, guaranteed: false };
    assert_eq!(told(&challenge), Some(expected.clone()));

    challenge.live.attempts.push(attempt(3, Channel::Push, 0, AttemptState::Sending, 4_000));
    assert_eq!(told(&challenge), Some(expected), "a later push changes nothing");

    challenge.live.attempts.retain(|attempt| attempt.channel == Channel::Push);
    assert_eq!(told(&challenge), None);
}

#[test]
fn o5_portals_look_again_until_nothing_more_will_change() {
    for progress in Progress::ALL {
        let wait = poll_after_ms(*progress);
        assert_eq!(wait == 0, *progress == Progress::Ended, "{progress}");
        assert!(wait <= 1_000, "{progress}");
    }
}

#[test]
fn an_older_reader_passes_over_what_a_newer_fleet_tells() {
    let text =
        Outcome::of(&approved(), &portal()).to_json().replacen("{\"seq\":8,", "{\"seq\":8,\"cost\":{},", 1);
    assert_eq!(Outcome::from_json(&text), Some(Outcome::of(&approved(), &portal())));
}
