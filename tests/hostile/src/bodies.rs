//! Bodies that break one rule of the contract each.

use serde_json::{Value, json};

use crate::{chance::Chance, generator::Expected};

/// Larger than any worker takes (`broker.max_body_bytes`), smaller than what the broker refuses (`max_message_size`).
pub(crate) const OVERSIZE_BYTES: usize = 70_000;
/// Deeper than parsers that recurse like it.
pub(crate) const DEPTH: usize = 20_000;

pub(crate) const INVALID: Expected = Expected::Parked("invalid_request");
pub(crate) const STALE: Expected = Expected::Refused("stale_id");

pub(crate) const MINUTE_MS: u64 = 60_000;

/// A body and what becomes of it.
pub(crate) type Body = (Vec<u8>, Expected);

/// What makes a body: the chance, and the fleet's time in milliseconds.
pub(crate) type Make = fn(&mut Chance, u64) -> Body;

/// Every kind.
pub(crate) const KINDS: &[(&str, Make)] = &[
    ("nothing", |_, _| (Vec::new(), INVALID)),
    ("noise", |chance, _| {
        let count = 1 + chance.below(2_000);
        (chance.bytes(count), INVALID)
    }),
    ("no object", |chance, _| {
        let texts = ["null", "[]", "7", "\"text\"", "{", "{\"a\":", "[[[[", "{}{}", "nul"];
        (texts.get(chance.below(texts.len())).unwrap_or(&"").as_bytes().to_vec(), INVALID)
    }),
    ("cut off", |chance, now| {
        let mut body = text(&request(chance, now));
        body.truncate(1 + chance.below(body.len() - 2));
        (body, INVALID)
    }),
    ("not utf-8", |chance, now| {
        let mut body = text(&request(chance, now));
        let place = chance.below(body.len());
        if let Some(byte) = body.get_mut(place) {
            *byte = 0xff;
        }
        (body, INVALID)
    }),
    ("wrong type", |chance, now| {
        let fields = [
            "challenge_id",
            "user_id",
            "purpose",
            "target",
            "workflow",
            "number_match",
            "context",
            "answer_by",
        ];
        let values = [json!(7), json!(true), json!([1]), json!({"a": null}), json!(-1.5e300)];
        let field = *fields.get(chance.below(fields.len())).unwrap_or(&"user_id");
        let value = match (field, values.get(chance.below(values.len()))) {
            // An object is what this one must be, and a list that one.
            ("context" | "workflow", _) | (_, None) => json!("text"),
            (_, Some(value)) => value.clone(),
        };
        (text(&with(request(chance, now), field, value)), INVALID)
    }),
    ("unknown field", |chance, now| (text(&with(request(chance, now), "admin", json!(true))), INVALID)),
    ("huge text", |chance, now| {
        let length = 1_000 + chance.below(60_000);
        (text(&with(request(chance, now), "user_id", json!("x".repeat(length)))), INVALID)
    }),
    ("deep nesting", |_, _| {
        let (open, close) = ("[".repeat(DEPTH), "]".repeat(DEPTH));
        let head =
            r#"{"specversion":"1.0","id":"1","source":"/x","type":"mfa.challenge.requested.v1","data":"#;
        (format!("{head}{open}{close}}}").into_bytes(), INVALID)
    }),
    ("same key twice", |chance, now| {
        let body = String::from_utf8_lossy(&text(&request(chance, now))).into_owned();
        (body.replacen("\"user_id\":", "\"user_id\":\"someone\",\"user_id\":", 1).into_bytes(), INVALID)
    }),
    ("wrong id", |chance, now| {
        let good = chance.challenge_id(now);
        let ids = [
            good.to_uppercase().replace('7', "A"),
            good.replace('-', ""),
            format!("{{{good}}}"),
            "00000000-0000-0000-0000-000000000000".into(),
            "../../etc/passwd".into(),
            "'; drop table challenges; --".into(),
        ];
        let id = ids.get(chance.below(ids.len())).cloned().unwrap_or_default();
        (text(&with(request(chance, now), "challenge_id", json!(id))), INVALID)
    }),
    ("unknown version", |chance, now| {
        let mut body = request(chance, now);
        let (name, value) = [("type", "mfa.challenge.requested.v9"), ("specversion", "2.0")]
            .get(chance.below(2))
            .copied()
            .unwrap_or_default();
        body[name] = json!(value);
        (text(&body), INVALID)
    }),
    ("the fleet's own work", |chance, now| {
        let mut body = request(chance, now);
        body["type"] = json!("mfa.voice.dial_owed.v1");
        body["data"] = json!({ "challenge_id": chance.challenge_id(now), "portal": "victim" });
        (text(&body), INVALID)
    }),
    ("oversize", |_, _| (vec![b' '; OVERSIZE_BYTES], Expected::Parked("oversize_body"))),
    ("stale", |chance, now| {
        let id = chance.challenge_id(now.saturating_sub(20 * MINUTE_MS));
        (text(&with(request(chance, now), "challenge_id", json!(id))), STALE)
    }),
    ("of the future", |chance, now| {
        let id = chance.challenge_id(now + 20 * MINUTE_MS);
        (text(&with(request(chance, now), "challenge_id", json!(id))), STALE)
    }),
];

/// A request for a user who does not exist, in order otherwise.
fn request(chance: &mut Chance, now_ms: u64) -> Value {
    json!({
        "specversion": "1.0",
        "id": format!("hostile-{}", chance.number()),
        "source": "/portals/hostile",
        "type": "mfa.challenge.requested.v1",
        "data": { "challenge_id": chance.challenge_id(now_ms), "user_id": "no.such.user" },
    })
}

pub(crate) fn with(mut body: Value, field: &str, value: Value) -> Value {
    body["data"][field] = value;
    body
}

pub(crate) fn text(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}
