//! Messages about enrollments that break one rule each: of the message, of the sealed box, or of what it opens to.

use serde_json::{Value, json};

use crate::{
    bodies::{Body, DEPTH, INVALID, MINUTE_MS, OVERSIZE_BYTES, STALE, text, with},
    chance::Chance,
    generator::Expected,
};

/// Seals a plaintext to the fleet's enrollment key: gives the key's id and the box in base64url.
pub type Seal<'a> = &'a dyn Fn(&[u8]) -> (String, String);

/// What makes a body: the chance, the fleet's time in milliseconds, and the seal.
pub(crate) type Make = fn(&mut Chance, u64, Seal<'_>) -> Body;

const USER: &str = "no.such.user";
const ID: &str = "request_id";

/// Every kind.
pub(crate) const KINDS: &[(&str, Make)] = &[
    ("noise", |chance, _, _| {
        let count = 1 + chance.below(2_000);
        (chance.bytes(count), INVALID)
    }),
    ("cut off", |chance, now, _| {
        let mut body = text(&phone_test(chance, now));
        body.truncate(1 + chance.below(body.len() - 2));
        (body, INVALID)
    }),
    ("wrong type", |chance, now, _| {
        let fields =
            [ID, "user_id", "change", "phone", "number_match", "locale", "actor", "reason", "ticket"];
        let values = [json!(7), json!(true), json!([1]), json!({"a": null}), json!(-1.5e300), json!("\u{7}")];
        let value = values.get(chance.below(values.len())).cloned().unwrap_or(Value::Null);
        let field = fields.get(chance.below(fields.len())).unwrap_or(&ID);
        (text(&with(phone_test(chance, now), field, value)), INVALID)
    }),
    ("secrets in clear", |chance, now, _| {
        let clear =
            [("pin", json!("820571")), ("number", json!("+19195550100")), ("answers", json!(["Rex"]))];
        let (field, value) = clear.get(chance.below(clear.len())).cloned().unwrap_or_default();
        (text(&with(phone_test(chance, now), field, value)), INVALID)
    }),
    ("unknown change", |chance, now, _| {
        let words = ["approve".into(), "PHONE_TEST".into(), String::new(), "x".repeat(5_000)];
        let word = words.get(chance.below(words.len())).cloned().unwrap_or_default();
        (text(&with(phone_test(chance, now), "change", json!(word))), INVALID)
    }),
    ("a field of another change", |chance, now, _| {
        let fields = [
            ("seconds", json!(60)),
            ("until", json!("2030-01-01T00:00:00Z")),
            ("device", json!("00000000-0000-8000-8000-000000000001")),
            ("after", json!(chance.challenge_id(now))),
            ("proof", json!({ "challenge_id": chance.challenge_id(now) })),
        ];
        let (field, value) = fields.get(chance.below(fields.len())).cloned().unwrap_or_default();
        (text(&with(phone_test(chance, now), field, value)), INVALID)
    }),
    ("a field is missing", |chance, now, _| {
        let changes =
            ["enroll", "method_change", "phone_change", "pin_change", "device_revoke", "recovery", "block"];
        let change = changes.get(chance.below(changes.len())).copied().unwrap_or_default();
        (text(&with(phone_test(chance, now), "change", json!(change))), INVALID)
    }),
    ("wrong proof", |chance, now, seal| {
        let id = chance.challenge_id(now);
        let proofs = [
            json!({}),
            json!(id),
            json!({ "challenge_id": id, "request_id": id }),
            json!({ "challenge_id": "me" }),
            json!({ "sudo": true }),
        ];
        let proof = proofs.get(chance.below(proofs.len())).cloned().unwrap_or(Value::Null);
        let body = pin_change(chance, now, &good_box(seal, &id));
        (text(&with(body, "proof", proof)), INVALID)
    }),
    ("deep nesting", |_, _, _| {
        let (open, close) = ("[".repeat(DEPTH), "]".repeat(DEPTH));
        let head =
            r#"{"specversion":"1.0","id":"1","source":"/x","type":"mfa.enrollment.requested.v1","data":"#;
        (format!("{head}{{\"sealed\":{open}{close}}}}}").into_bytes(), INVALID)
    }),
    ("oversize", |_, _, _| (vec![b' '; OVERSIZE_BYTES], Expected::Parked("oversize_body"))),
    ("huge box", |chance, now, seal| {
        let (key, _) = seal(b"");
        let sealed = json!({ "key_id": key, "box": "A".repeat(16_385 + chance.below(40_000)) });
        (text(&pin_change(chance, now, &sealed)), INVALID)
    }),
    ("no box", |chance, now, seal| {
        let (key, _) = seal(b"");
        let boxes = [
            json!("820571"),
            json!({ "pin": "820571" }),
            json!({ "key_id": key }),
            json!({ "key_id": key, "box": "" }),
            json!({ "key_id": key, "box": "820571==" }),
            json!({ "key_id": key, "box": "A" }),
            json!({ "key_id": key, "box": ["A"] }),
            json!({ "key_id": "primary", "box": "AAAA" }),
        ];
        let sealed = boxes.get(chance.below(boxes.len())).cloned().unwrap_or(Value::Null);
        (text(&pin_change(chance, now, &sealed)), INVALID)
    }),
    ("a box for another key", |chance, now, seal| {
        let (_, sealed) = seal(b"{}");
        let key = format!("{:016x}", chance.number());
        (text(&pin_change(chance, now, &json!({ "key_id": key, "box": sealed }))), INVALID)
    }),
    ("a box that was changed", |chance, now, seal| {
        let (key, sealed) = seal(secrets(&chance.challenge_id(now), USER).to_string().as_bytes());
        let mut letters = sealed.into_bytes();
        let place = chance.below(letters.len() - 1);
        if let Some(letter) = letters.get_mut(place) {
            *letter = if *letter == b'B' { b'C' } else { b'B' };
        }
        let sealed = String::from_utf8_lossy(&letters).into_owned();
        (text(&pin_change(chance, now, &json!({ "key_id": key, "box": sealed }))), INVALID)
    }),
    ("a box that opens to garbage", |chance, now, seal| {
        let count = chance.below(500);
        let garbage = [
            Vec::new(),
            chance.bytes(count),
            b"null".to_vec(),
            b"[[[[".to_vec(),
            b"{}".to_vec(),
            vec![0xff; 40],
            vec![b'['; 5_000],
        ];
        let plain = garbage.get(chance.below(garbage.len())).cloned().unwrap_or_default();
        let (key, sealed) = seal(&plain);
        (text(&pin_change(chance, now, &json!({ "key_id": key, "box": sealed }))), INVALID)
    }),
    ("wrong secrets", |chance, now, seal| {
        let body = phone_test(chance, now);
        let id = body["data"][ID].clone();
        let mut plain = secrets(id.as_str().unwrap_or_default(), USER);
        let wrong = [
            ("pin", json!(820_571)),
            ("pin", json!("1".repeat(513))),
            ("answers", json!({ "pet": "Rex" })),
            ("answers", json!([{ "question": "pet" }])),
            ("answers", json!(vec![json!({ "question": "pet", "answer": "Rex" }); 17])),
            ("phone", json!("+19195550100")),
            ("phone", json!({ "number": "+19195550100", "kind": "satellite" })),
            ("phone", json!({ "number": ["+19195550100"] })),
            ("820571", json!("a name that is a secret")),
        ];
        let (field, value) = wrong.get(chance.below(wrong.len())).cloned().unwrap_or_default();
        plain[field] = value;
        (text(&boxed(body, "enroll", &plain, seal)), INVALID)
    }),
    ("a box for another request", |chance, now, seal| {
        let plain = secrets(&chance.challenge_id(now), USER);
        (text(&boxed(phone_test(chance, now), "pin_change", &plain, seal)), INVALID)
    }),
    ("a box for another user", |chance, now, seal| {
        let body = phone_test(chance, now);
        let plain = secrets(body["data"][ID].as_str().unwrap_or_default(), "victim");
        (text(&boxed(body, "pin_change", &plain, seal)), INVALID)
    }),
    ("a box with more than the change takes", |chance, now, seal| {
        let body = phone_test(chance, now);
        let plain = secrets(body["data"][ID].as_str().unwrap_or_default(), USER);
        (text(&boxed(body, "questions_change", &plain, seal)), INVALID)
    }),
    ("stale", |chance, now, _| (text(&phone_test(chance, now.saturating_sub(20 * MINUTE_MS))), STALE)),
    ("of the future", |chance, now, _| (text(&phone_test(chance, now + 20 * MINUTE_MS)), STALE)),
    ("goes on with nothing", |chance, now, _| (text(&continued(chance, now, "cancel")), INVALID)),
    ("goes on wrongly", |chance, now, seal| {
        let id = chance.challenge_id(now);
        let ways = [
            continued(chance, now, "answers"),
            continued(chance, now, "approve"),
            with(continued(chance, now, "test"), "number_match", json!("1")),
            with(continued(chance, now, "answers"), "sealed", good_box(seal, &id)),
            with(continued(chance, now, "cancel"), "user_id", json!(USER)),
        ];
        (text(ways.get(chance.below(ways.len())).unwrap_or(&Value::Null)), INVALID)
    }),
    ("the fleet's own work", |chance, now, _| {
        let mut body = phone_test(chance, now);
        body["type"] = json!("mfa.enrollment.test_ended.v1");
        body["data"] = json!({ "challenge_id": chance.challenge_id(now), "portal": "victim" });
        (text(&body), INVALID)
    }),
];

/// A request for the test of a phone of a user who does not exist, in order otherwise.
fn phone_test(chance: &mut Chance, now_ms: u64) -> Value {
    json!({
        "specversion": "1.0",
        "id": format!("hostile-{}", chance.number()),
        "source": "/portals/hostile",
        "type": "mfa.enrollment.requested.v1",
        "data": { ID: chance.challenge_id(now_ms), "user_id": USER, "change": "phone_test" },
    })
}

fn pin_change(chance: &mut Chance, now_ms: u64, sealed: &Value) -> Value {
    let body = with(phone_test(chance, now_ms), "change", json!("pin_change"));
    with(body, "sealed", sealed.clone())
}

fn continued(chance: &mut Chance, now_ms: u64, way: &str) -> Value {
    let mut body = phone_test(chance, now_ms);
    body["type"] = json!("mfa.enrollment.continued.v1");
    body["data"] = json!({ ID: chance.challenge_id(now_ms), "with": way });
    body
}

fn secrets(id: &str, user: &str) -> Value {
    json!({ ID: id, "user_id": user, "pin": "820571" })
}

fn good_box(seal: Seal<'_>, id: &str) -> Value {
    sealed(&secrets(id, USER), seal)
}

fn sealed(plain: &Value, seal: Seal<'_>) -> Value {
    let (key, sealed) = seal(plain.to_string().as_bytes());
    json!({ "key_id": key, "box": sealed })
}

fn boxed(body: Value, change: &str, plain: &Value, seal: Seal<'_>) -> Value {
    let body = with(with(body, "change", json!(change)), "sealed", sealed(plain, seal));
    if change == "enroll" { with(body, "method", json!("voice")) } else { body }
}
