//! The rules for what an app signs, as tables. The signature itself is not looked at here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleet_domain::{Assurance, ChallengeId, ChallengeKey, Decision, DeviceId, PortalName, Timestamp};
use fleet_keys::Jws;
use fleet_settings::ExposeSecret;
use serde_json::{Value, json};

use super::AppRefusal;
use super::claims::{Answer, Unproved, answer, signer_of_request};

const DEVICE: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";
const NOW: i64 = 1_790_000_000;
const URL: &str = "https://mfa.example.org/app/challenges";
const NONCE: &str = "00112233445566778899aabbccddeeff";

fn now() -> Timestamp {
    Timestamp::from_micros(NOW * 1_000_000 + 500_000)
}

fn compact(header: &Value, payload: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(&header.to_string()), part(payload), URL_SAFE_NO_PAD.encode([1; 64]))
}

fn header(typ: &str) -> Value {
    json!({ "alg": "ES256", "typ": typ, "kid": DEVICE })
}

/// The claims with some set to other values, and those with `null` left out.
fn with(mut claims: Value, changes: &Value) -> String {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims.to_string()
}

fn request(header: &Value, payload: &str) -> Result<DeviceId, Unproved> {
    signer_of_request(&Jws::parse(&compact(header, payload)).unwrap(), ("GET", URL), now())
}

#[test]
fn a_request_is_good_for_its_method_its_url_and_one_minute() {
    let claims = json!({ "htm": "GET", "htu": URL, "iat": NOW, "jti": "1", "later": true });
    for (changes, expected) in [
        (json!({}), None),
        (json!({ "iat": NOW - 59 }), None),
        (json!({ "iat": NOW + 60 }), None),
        (json!({ "iat": NOW - 60 }), Some(Unproved::Stale)),
        (json!({ "iat": NOW + 61 }), Some(Unproved::Stale)),
        (json!({ "iat": i64::MAX }), Some(Unproved::Stale)),
        (json!({ "iat": i64::MIN }), Some(Unproved::Stale)),
        (json!({ "iat": 1.5 }), Some(Unproved::Malformed)),
        (json!({ "iat": NOW.to_string() }), Some(Unproved::Malformed)),
        (json!({ "iat": null }), Some(Unproved::Malformed)),
        (json!({ "htm": "POST" }), Some(Unproved::OtherRequest)),
        (json!({ "htm": "get" }), Some(Unproved::OtherRequest)),
        (json!({ "htm": null }), Some(Unproved::Malformed)),
        (json!({ "htu": format!("{URL}/") }), Some(Unproved::OtherRequest)),
        (json!({ "htu": URL.replace("https", "http") }), Some(Unproved::OtherRequest)),
        (json!({ "htu": null }), Some(Unproved::Malformed)),
        (json!({ "jti": "" }), Some(Unproved::Malformed)),
        (json!({ "jti": null }), Some(Unproved::Malformed)),
    ] {
        let found = request(&header("mfa-request+jwt"), &with(claims.clone(), &changes));
        let device = DeviceId::parse(DEVICE).unwrap();
        assert_eq!(found, expected.map_or(Ok(device), Err), "{changes}");
    }
}

#[test]
fn a_request_names_its_type_and_its_device() {
    let payload = json!({ "htm": "GET", "htu": URL, "iat": NOW, "jti": "1" }).to_string();
    for bad in [
        json!({ "alg": "ES256", "kid": DEVICE }),
        json!({ "alg": "ES256", "typ": "JWT", "kid": DEVICE }),
        json!({ "alg": "ES256", "typ": "mfa-answer+jwt", "kid": DEVICE }),
        json!({ "alg": "ES256", "typ": "mfa-request+jwt" }),
        json!({ "alg": "ES256", "typ": "mfa-request+jwt", "kid": "device-1" }),
    ] {
        assert_eq!(request(&bad, &payload), Err(Unproved::Malformed), "{bad}");
    }
    for payload in ["[]", "1", "x", "{\"htm\":\"GET\",\"htm\":\"GET\",\"htu\":\"x\",\"iat\":1,\"jti\":\"1\"}"]
    {
        assert_eq!(
            request(&header("mfa-request+jwt"), payload).err(),
            Some(Unproved::Malformed),
            "{payload}"
        );
    }
}

fn key() -> ChallengeKey {
    ChallengeKey { id: ChallengeId::from_parts(now(), [7; 10]), portal: PortalName::parse("vpn").unwrap() }
}

fn answer_claims() -> Value {
    json!({
        "portal": "vpn", "challenge_id": key().id.to_string(), "nonce": NONCE, "decision": "approve",
        "device_id": DEVICE, "exp": NOW + 30, "later": { "fields": 1 },
    })
}

fn read(payload: &str) -> Result<Answer, AppRefusal> {
    let text = compact(&header("mfa-answer+jwt"), payload);
    answer(&Jws::parse(&text).unwrap(), &key(), (now(), |nonce: &str| nonce == NONCE))
}

#[test]
fn an_answer_is_good_for_its_challenge_its_device_and_its_time() {
    assert!(read(&answer_claims().to_string()).is_ok());
    assert!(read(&with(answer_claims(), &json!({ "exp": NOW + 1 }))).is_ok());
    for changes in [
        json!({ "portal": "erp" }),
        json!({ "portal": null }),
        json!({ "challenge_id": ChallengeId::from_parts(now(), [8; 10]).to_string() }),
        json!({ "challenge_id": key().id.to_string().to_uppercase() }),
        json!({ "nonce": NONCE.replace('0', "1") }),
        json!({ "nonce": "" }),
        json!({ "nonce": null }),
        json!({ "device_id": "1f0e0d0c-0b0a-4908-8706-050403020100" }),
        json!({ "device_id": null }),
        json!({ "decision": "Approve" }),
        json!({ "decision": null }),
        json!({ "number": 42 }),
        json!({ "exp": "soon" }),
        json!({ "exp": null }),
    ] {
        let found = read(&with(answer_claims(), &changes));
        assert!(matches!(found, Err(AppRefusal::Malformed(_))), "{changes}: {found:?}");
    }
    let late = read(&with(answer_claims(), &json!({ "exp": NOW }))).unwrap_err();
    assert_eq!(late, AppRefusal::Ended);
    let twice = answer_claims().to_string().replacen('{', "{\"decision\":\"deny\",", 1);
    assert!(matches!(read(&twice), Err(AppRefusal::Malformed(_))));
}

#[test]
fn every_way_to_say_yes_has_its_assurance() {
    use Assurance::{
        Approve, ApproveBiometric, ApprovePin, NumberMatch, NumberMatchBiometric, NumberMatchPin,
    };
    for (changes, asked, number, assurance) in [
        (json!({}), false, None, Approve),
        (json!({ "uv": "pin" }), false, None, ApprovePin),
        (json!({ "uv": "biometric" }), false, None, ApproveBiometric),
        (json!({ "uv": "telepathy" }), false, None, Approve),
        (json!({ "number": "42" }), false, None, Approve),
        (json!({ "number": "42" }), true, Some(true), NumberMatch),
        (json!({ "number": "42", "uv": "pin" }), true, Some(true), NumberMatchPin),
        (json!({ "number": "42", "uv": "biometric" }), true, Some(true), NumberMatchBiometric),
        (json!({ "number": "43", "uv": "pin" }), true, Some(false), ApprovePin),
        (json!({}), true, None, Approve),
    ] {
        let answer = read(&with(answer_claims(), &changes)).unwrap();
        let decision = answer.saying.decision(|typed| asked.then_some(typed.expose_secret() == "42"));
        assert_eq!(decision, Decision::Approve { number, assurance }, "{changes}");
        assert!(!format!("{answer:?}").contains("42\""), "{answer:?}");
    }
}

#[test]
fn an_unknown_reason_is_a_plain_denial() {
    for (reason, decision, unknown) in [
        (json!("not_me"), Decision::NotMe, false),
        (json!("mistake"), Decision::Decline, false),
        (json!("canceled"), Decision::Cancel, false),
        (json!(null), Decision::Decline, false),
        (json!("bored"), Decision::Decline, true),
    ] {
        let changes = json!({ "decision": "deny", "reason": reason });
        let answer = read(&with(answer_claims(), &changes)).unwrap();
        assert_eq!(answer.saying.decision(|_| None), decision, "{reason}");
        let marked = format!("{:?}", answer.saying).contains("unknown_reason: true");
        assert_eq!(marked, unknown, "{reason}");
    }
}
