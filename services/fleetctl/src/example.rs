//! Outcomes for tests.

use fleet_contracts::{EnrollmentOutcome, Outcome};
use fleet_domain::Progress;

fn outcome(json: &serde_json::Value) -> Outcome {
    let mut whole = serde_json::json!({
        "purpose": "sign_in",
        "challenge_id": "0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b",
        "portal": "operations",
        "attempts": [],
        "alternatives": [],
        "answer_by": "2026-09-21T14:13:20Z",
        "collect_by": "2026-09-21T14:18:20Z",
        "poll_after_ms": 0,
    });
    for (name, value) in json.as_object().unwrap() {
        whole[name] = value.clone();
    }
    Outcome::from_json(&whole.to_string()).unwrap()
}

/// An open challenge.
pub(crate) fn pending(seq: u32, progress: Progress) -> Outcome {
    outcome(&serde_json::json!({ "seq": seq, "result": "pending", "progress": progress.as_str() }))
}

/// A call that was answered with the pound key.
pub(crate) fn approved(seq: u32) -> Outcome {
    outcome(&serde_json::json!({
        "seq": seq,
        "result": "approved",
        "progress": "ended",
        "reason": "ok_key",
        "assurance": "key",
        "attempts": [{
            "number": 1,
            "channel": "voice",
            "target": "primary",
            "to": "+1919*****01",
            "caller_id": { "sent": "+19195550100", "step": "local" },
            "state": "ended",
            "reserved_at": "2026-09-21T14:11:20Z",
            "ringing_at": "2026-09-21T14:11:20.53Z",
        }],
        "caller_id": { "sent": "+19195550100", "step": "local", "guaranteed": false },
    }))
}

/// A second call after the caller ID of the first one was rejected.
pub(crate) fn dialing_again(seq: u32, from: &str) -> Outcome {
    let attempt = |number: u8, from: &str, state: &str, reason: Option<&str>| {
        let mut attempt = serde_json::json!({
            "number": number,
            "channel": "voice",
            "target": "primary",
            "to": "+1919*****01",
            "caller_id": { "sent": from, "step": "other" },
            "state": state,
            "reserved_at": "2026-09-21T14:11:20Z",
        });
        if let Some(reason) = reason {
            attempt["reason"] = reason.into();
        }
        attempt
    };
    let rejected = attempt(1, "+19195550100", "ended", Some("carrier_rejected_caller_id"));
    outcome(&serde_json::json!({
        "seq": seq,
        "result": "pending",
        "progress": "dialing",
        "attempts": [rejected, attempt(2, from, "dialing", None)],
    }))
}

fn change(name: &str, seq: u32) -> EnrollmentOutcome {
    let contracts = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/contracts/examples");
    let text = std::fs::read_to_string(format!("{contracts}/enrollment-outcome-{name}.json")).unwrap();
    EnrollmentOutcome { seq, ..EnrollmentOutcome::from_json(&text).unwrap() }
}

/// A change of the phone whose new number is being called.
pub(crate) fn testing(seq: u32) -> EnrollmentOutcome {
    change("waiting", seq)
}

/// A change of the phone that has taken effect.
pub(crate) fn done(seq: u32) -> EnrollmentOutcome {
    let mut done = change("done", seq);
    done.tests.iter_mut().for_each(|test| test.reason = Some(fleet_domain::Reason::OkKey));
    done
}
