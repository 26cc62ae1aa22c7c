//! Which call is an attempt's own, and for how long it is looked after.

use std::sync::Arc;

use fleet_domain::{
    CallMode, ChallengeId, ChallengeKey, Channel, Context, Live, Phone, PhoneKind, PhoneRole, PortalName,
    Purpose, Request,
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn accepted_at() -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000)
}

/// Two attempts of one step: the first was fenced, the second POSTed 30 s after acceptance.
fn challenge() -> Challenge {
    let phone = Phone {
        role: PhoneRole::Primary,
        kind: PhoneKind::Mobile,
        verified: true,
        sealed: Vec::new(),
        masked: "+1919*****00".into(),
        has_extension: false,
    };
    let request = Request {
        user: None,
        purpose: Purpose::SignIn,
        steps: vec![Step::Voice { phone, ring_s: 20 }],
        mode: CallMode::Key,
        number_match: None,
        accepted_at: accepted_at(),
        answer_by: accepted_at().plus(SECOND * 60),
        collect_by: accepted_at().plus(SECOND * 360),
        locale: "en-US".into(),
        context: Context::default(),
        alternatives: Vec::new(),
        prompts: 3,
        body_hash: [0; 32],
        pin: None,
        user_verification: fleet_domain::UserVerification::Off,
        skipped: Vec::new(),
    };
    let fenced = Attempt {
        state: AttemptState::Superseded,
        sid: Some("CAfenced".into()),
        dialed_ms: Some(0),
        ..Attempt::new(1, Channel::Voice, 0, 0)
    };
    let unknown = Attempt {
        state: AttemptState::Unknown,
        dialed_ms: Some(30_000),
        ..Attempt::new(2, Channel::Voice, 0, 28_000)
    };
    Challenge {
        key: ChallengeKey {
            id: ChallengeId::from_parts(accepted_at(), [0; 10]),
            portal: PortalName::parse("vpn").unwrap(),
        },
        version: 9,
        request: Arc::new(request),
        live: Live { end: None, step: 0, tries: 0, attempts: vec![fenced, unknown] },
    }
}

fn call(sid: &str, created_at: Option<Timestamp>) -> Call {
    Call {
        sid: sid.into(),
        status: Some(CallStatus::Queued),
        created_at,
        started_at: None,
        ended_at: None,
        duration: None,
        answered_by: None,
        price: None,
        price_unit: None,
    }
}

#[test]
fn a_call_is_the_attempts_own_if_it_was_created_at_its_post_and_no_other_attempt_has_it() {
    let dialed_at = accepted_at().plus(SECOND * 30);
    for (sid, created_at, is_own) in [
        ("CAnew", Some(dialed_at), true),
        ("CAnew", Some(dialed_at.minus(SECOND * 2)), true),
        ("CAnew", Some(dialed_at.minus(SECOND * 3)), false),
        ("CAnew", Some(dialed_at.plus(SECOND * 60)), true),
        ("CAnew", Some(dialed_at.plus(SECOND * 61)), false),
        ("CAnew", None, false),
        ("CAfenced", Some(dialed_at), false),
    ] {
        assert_eq!(is_call_of(&challenge(), 2, &call(sid, created_at)), is_own, "{sid} {created_at:?}");
    }
    assert!(!is_call_of(&challenge(), 3, &call("CAnew", Some(dialed_at))));
}

#[test]
fn a_call_is_over_a_minute_after_its_ringing_and_the_carriers_limit() {
    let limit = SECOND * 120;
    let mut challenge = challenge();
    assert_eq!(over_at(&challenge, 2, limit), accepted_at().plus(SECOND * (30 + 20 + 120 + 60)));
    challenge.live.attempts[1].placed_ms = Some(33_000);
    assert_eq!(over_at(&challenge, 2, limit), accepted_at().plus(SECOND * (33 + 20 + 120 + 60)));
}
