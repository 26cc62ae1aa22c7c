//! Challenges and portals for the tests.

use std::sync::Arc;
use std::time::Duration;

use fleet_domain::{
    CallMode, Challenge, ChallengeId, ChallengeKey, Context, Live, Phone, PhoneKind, PhoneRole, Policy,
    Portal, PortalName, Purpose, Request, Step, Timestamp, UserId,
};

const ACCEPTED_S: i64 = 1_789_999_940;

/// So many seconds after acceptance.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(ACCEPTED_S * 1_000_000).plus(Duration::from_secs(seconds))
}

/// A portal with a title.
pub(crate) fn portal() -> Arc<Portal> {
    Arc::new(Portal {
        name: PortalName::parse("operations").unwrap(),
        title: "Example Operations".into(),
        audiences: vec!["staff".into()],
        policy: Policy::default(),
    })
}

/// A challenge by push to all devices, just accepted, to be answered within two minutes.
pub(crate) fn challenge() -> Challenge {
    with_steps(vec![Step::Push { device: None, timeout_ms: None }])
}

/// The same, with a call to follow.
pub(crate) fn challenge_with_fallback() -> Challenge {
    let phone = Phone {
        role: PhoneRole::Primary,
        kind: PhoneKind::Mobile,
        verified: true,
        sealed: vec![1],
        masked: "+1919*****00".into(),
        has_extension: false,
    };
    with_steps(vec![Step::Push { device: None, timeout_ms: None }, Step::Voice { phone, ring_s: 30 }])
}

fn with_steps(steps: Vec<Step>) -> Challenge {
    let answer_by = at(120);
    let request = Request {
        user: Some(UserId::parse("kim").unwrap()),
        purpose: Purpose::SignIn,
        steps,
        mode: CallMode::NumberMatch,
        number_match: Some([7; 16]),
        accepted_at: at(0),
        answer_by,
        collect_by: answer_by.plus(Duration::from_mins(5)),
        locale: "en-US".into(),
        context: Context::default(),
        alternatives: Vec::new(),
        prompts: 3,
        body_hash: [9; 32],
        pin: None,
        user_verification: fleet_domain::UserVerification::Off,
        skipped: Vec::new(),
    };
    let id = ChallengeId::from_parts(at(0), [7; 10]);
    let key = ChallengeKey { id, portal: PortalName::parse("operations").unwrap() };
    Challenge { key, version: 1, request: Arc::new(request), live: Live::default() }
}
