//! What the vectors say: keys, one message of each kind, and every way to get one wrong.

use serde_json::{Value, json};

pub(super) const BASE_URL: &str = "https://mfa.example.org";
/// 2026-11-24T09:30:05Z.
pub(super) const NOW: i64 = 1_795_512_605;
const PORTAL: &str = "operations";
const CHALLENGE: &str = "01a20ce4-05c0-7c3f-9d2e-4b5a6c7d8e9f";
const NONCE: &str = "2f7c91d04be85a63f0d8172c6b9e4a35";
/// 2026-11-24T09:32:00Z.
const ANSWER_BY: i64 = 1_795_512_720;

/// Test keys, by name, with the device whose they are: two of one user, and one of somebody else.
pub(super) const DEVICES: [(&str, &str, &str); 3] = [
    (
        "es256",
        "5f0c2f6e-8a34-4c55-9b0a-0d9a7f3f2b11",
        r#"{"kty":"EC","crv":"P-256","x":"0Wuwmfbk2qSrqJja6rnWvhqEQYwj9piVYOxMA5MvsvI","y":"gS4XQV7jyEYYRVyb9Cmqwpo_-mUUtvwpihdZ5D7Sm20","d":"Sjk-4F-V_bnZwv89bPUNFNAL9-h_AcLO3ocf-8TXsUs"}"#,
    ),
    (
        "eddsa",
        "9b1e7d42-3c58-4f06-8a27-6e5d4c3b2a19",
        r#"{"kty":"OKP","crv":"Ed25519","x":"IDZQ1dqXfhgXLC7vLGUz9UoSq-oTfWxP9EibRgun7vg","d":"ocqL_DcZs7FbygysfCJ8cJHPkMCgT_qdFpsEeSxy34w"}"#,
    ),
    (
        "stranger",
        "c4a1f093-7d26-4e8b-b05c-1a2b3c4d5e6f",
        r#"{"kty":"EC","crv":"P-256","x":"epdVPxKxM96YQc900ZzW-hMEd-5u-ytl0me2CDsAOJ0","y":"NBXAnm3wtAilY_KCy6eCxUnjNxCBnH9v1bNwUz82Fwo","d":"MxfYjI5Ccgrk1uE2zgsXm8FurYXGKDUAUADpWVmLqM0"}"#,
    ),
];

/// The challenge that the answers are for, as the list has it.
pub(super) fn challenge() -> Value {
    json!({ "portal": PORTAL, "challenge_id": CHALLENGE, "nonce": NONCE, "answer_by": ANSWER_BY, "number": "47" })
}

/// The messages.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    List,
    Opened,
    Approve,
    Deny,
    Activate,
    PushAddress,
    Revoke,
}

/// A message as it should be.
pub(super) struct Plain {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) typ: &'static str,
    pub(super) claims: Value,
}

pub(super) fn plain(kind: Kind, device: &str) -> Plain {
    let opened = format!("/app/challenges/{PORTAL}/{CHALLENGE}/opened");
    let answer = json!({
        "portal": PORTAL, "challenge_id": CHALLENGE, "nonce": NONCE, "device_id": device,
        "decision": "approve", "number": "47", "uv": "pin", "exp": ANSWER_BY,
    });
    let deny = json!({
        "portal": PORTAL, "challenge_id": CHALLENGE, "nonce": NONCE, "device_id": device,
        "decision": "deny", "reason": "not_me", "exp": ANSWER_BY,
    });
    let request = |method: &str, path: &str| json!({ "htm": method, "htu": format!("{BASE_URL}{path}"), "iat": NOW, "jti": "a6f1c2d8" });
    let (method, path, typ, claims) = match kind {
        List => ("GET", "/app/challenges".to_owned(), "mfa-request+jwt", request("GET", "/app/challenges")),
        Opened => ("POST", opened.clone(), "mfa-request+jwt", request("POST", &opened)),
        Approve => ("POST", opened.replace("opened", "answer"), "mfa-answer+jwt", answer),
        Deny => ("POST", opened.replace("opened", "answer"), "mfa-answer+jwt", deny),
        Activate => (
            "POST",
            "/app/activate".to_owned(),
            "mfa-activation+jwt",
            json!({
                "aud": BASE_URL, "iat": NOW, "code": "0f9ZvDk0TRiZ6YbRk1PTcg", "name": "Avery's phone",
                "platform": "android", "push": { "token": "fcm-registration-token" },
            }),
        ),
        PushAddress => (
            "POST",
            "/app/push-address".to_owned(),
            "mfa-push-address+jwt",
            json!({
                "aud": BASE_URL, "device_id": device, "iat": NOW, "version": NOW * 1_000,
                "push": { "fid": "firebase-installation-id" },
            }),
        ),
        Revoke => (
            "POST",
            "/app/revoke".to_owned(),
            "mfa-revocation+jwt",
            json!({ "aud": BASE_URL, "device_id": device, "iat": NOW }),
        ),
    };
    Plain { method, path, typ, claims }
}

/// What a vector says otherwise than the plain message.
#[derive(Clone, Copy)]
pub(super) enum Change {
    Nothing,
    /// These members of the header; `null` takes one out.
    Header(&'static str),
    /// These claims.
    Claims(&'static str),
    /// A claim that stands there once more, in front.
    Twice(&'static str),
    /// These claims after it was signed.
    Payload(&'static str),
    /// Signed by another key.
    SignedBy(&'static str),
}

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) key: &'static str,
    pub(super) change: Change,
    pub(super) refused: Option<(u16, &'static str)>,
}

const fn good(name: &'static str, kind: Kind, key: &'static str, change: Change) -> Case {
    Case { name, kind, key, change, refused: None }
}

const fn bad(name: &'static str, kind: Kind, change: Change, refused: (u16, &'static str)) -> Case {
    Case { name, kind, key: "es256", change, refused: Some(refused) }
}

const UNAUTHORIZED: (u16, &str) = (401, "unauthorized");
const MALFORMED: (u16, &str) = (400, "malformed");
const MISTYPED: (u16, &str) = (400, "code_mistyped");
const ENDED: (u16, &str) = (409, "ended");

use Change::{Claims, Header, Nothing, Payload, SignedBy, Twice};
use Kind::{Activate, Approve, Deny, List, Opened, PushAddress, Revoke};

pub(super) const CASES: [Case; 58] = [
    good("list, ES256", List, "es256", Nothing),
    good("list, EdDSA", List, "eddsa", Nothing),
    good("list, with a claim that is not known", List, "es256", Claims(r#"{"later":true}"#)),
    good("opened, ES256", Opened, "es256", Nothing),
    good("opened, EdDSA", Opened, "eddsa", Nothing),
    good("approve with number and PIN, ES256", Approve, "es256", Nothing),
    good("approve with number and PIN, EdDSA", Approve, "eddsa", Nothing),
    good("approve with number and biometric", Approve, "es256", Claims(r#"{"uv":"biometric"}"#)),
    good("approve by a tap alone", Approve, "es256", Claims(r#"{"number":null,"uv":null}"#)),
    good("deny as fraud, ES256", Deny, "es256", Nothing),
    good("deny as fraud, EdDSA", Deny, "eddsa", Nothing),
    good("deny by mistake", Deny, "es256", Claims(r#"{"reason":"mistake"}"#)),
    good("deny, called off", Deny, "es256", Claims(r#"{"reason":"canceled"}"#)),
    good("activate by QR code, ES256", Activate, "es256", Nothing),
    good("activate by QR code, EdDSA", Activate, "eddsa", Nothing),
    good("activate by a typed code", Activate, "es256", Claims(r#"{"code":"7KQ2-9XWM-4RTA"}"#)),
    good("activate to poll only", Activate, "es256", Claims(r#"{"push":null,"platform":"other"}"#)),
    good("push address, ES256", PushAddress, "es256", Nothing),
    good("push address, EdDSA", PushAddress, "eddsa", Nothing),
    good("no push address any more", PushAddress, "es256", Claims(r#"{"push":null}"#)),
    good("give up, ES256", Revoke, "es256", Nothing),
    good("give up, EdDSA", Revoke, "eddsa", Nothing),
    bad("list, for another method", List, Claims(r#"{"htm":"POST"}"#), UNAUTHORIZED),
    bad(
        "list, for another URL",
        List,
        Claims(r#"{"htu":"https://mfa.example.org/app/other"}"#),
        UNAUTHORIZED,
    ),
    bad("list, too old", List, Claims(r#"{"iat":1795512544}"#), UNAUTHORIZED),
    bad("list, ahead of time", List, Claims(r#"{"iat":1795512667}"#), UNAUTHORIZED),
    bad("list, an empty jti", List, Claims(r#"{"jti":""}"#), UNAUTHORIZED),
    bad("list, signed as an answer", List, Header(r#"{"typ":"mfa-answer+jwt"}"#), UNAUTHORIZED),
    bad("list, alg of another key", List, Header(r#"{"alg":"EdDSA"}"#), UNAUTHORIZED),
    bad("list, alg none", List, Header(r#"{"alg":"none"}"#), UNAUTHORIZED),
    bad("list, alg HS256", List, Header(r#"{"alg":"HS256"}"#), UNAUTHORIZED),
    bad("list, a header member more", List, Header(r#"{"crit":["exp"],"exp":1}"#), UNAUTHORIZED),
    bad("list, a claim twice", List, Twice(r#""htm":"POST""#), UNAUTHORIZED),
    bad(
        "list, another device's kid",
        List,
        Header(r#"{"kid":"c4a1f093-7d26-4e8b-b05c-1a2b3c4d5e6f"}"#),
        UNAUTHORIZED,
    ),
    bad("list, altered", List, Payload(r#"{"jti":"a6f1c2d9"}"#), UNAUTHORIZED),
    bad(
        "approve, wrong nonce",
        Approve,
        Claims(r#"{"nonce":"2f7c91d04be85a63f0d8172c6b9e4a36"}"#),
        MALFORMED,
    ),
    bad("approve, another portal", Approve, Claims(r#"{"portal":"recipients"}"#), MALFORMED),
    bad(
        "approve, another challenge",
        Approve,
        Claims(r#"{"challenge_id":"01a20ce4-05c0-7c3f-9d2e-4b5a6c7d8ea0"}"#),
        MALFORMED,
    ),
    bad(
        "approve, another device's kid",
        Approve,
        Header(r#"{"kid":"c4a1f093-7d26-4e8b-b05c-1a2b3c4d5e6f"}"#),
        MALFORMED,
    ),
    bad("approve, expired", Approve, Claims(r#"{"exp":1795512604}"#), ENDED),
    bad("approve, a number that is no text", Approve, Claims(r#"{"number":47}"#), MALFORMED),
    bad("approve, another decision", Approve, Claims(r#"{"decision":"maybe"}"#), MALFORMED),
    bad("approve, a claim missing", Approve, Claims(r#"{"exp":null}"#), MALFORMED),
    bad("approve, a claim twice", Approve, Twice(r#""decision":"deny""#), MALFORMED),
    bad(
        "approve, a header member more",
        Approve,
        Header(r#"{"jku":"https://evil.example/keys"}"#),
        MALFORMED,
    ),
    bad("approve, alg of another key", Approve, Header(r#"{"alg":"EdDSA"}"#), UNAUTHORIZED),
    bad("approve, altered", Approve, Payload(r#"{"number":"48"}"#), UNAUTHORIZED),
    bad("approve, signed by another device", Approve, SignedBy("stranger"), UNAUTHORIZED),
    bad("deny, turned into an approval", Deny, Payload(r#"{"decision":"approve"}"#), UNAUTHORIZED),
    bad("activate, a mistyped code", Activate, Claims(r#"{"code":"7KQ2-9XWM-4RTB"}"#), MISTYPED),
    bad("activate, for another fleet", Activate, Claims(r#"{"aud":"https://evil.example"}"#), UNAUTHORIZED),
    bad("activate, too old", Activate, Claims(r#"{"iat":1795512544}"#), UNAUTHORIZED),
    bad("activate, another platform", Activate, Claims(r#"{"platform":"desktop"}"#), MALFORMED),
    bad("activate, without a name", Activate, Claims(r#"{"name":""}"#), MALFORMED),
    bad("activate, signed by another key", Activate, SignedBy("stranger"), UNAUTHORIZED),
    bad("push address, token and fid", PushAddress, Claims(r#"{"push":{"token":"a","fid":"b"}}"#), MALFORMED),
    bad("push address, version 0", PushAddress, Claims(r#"{"version":0}"#), MALFORMED),
    bad("give up, for another fleet", Revoke, Claims(r#"{"aud":"https://evil.example"}"#), UNAUTHORIZED),
];
