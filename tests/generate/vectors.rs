//! The app protocol's test vectors: every message, signed by test keys, good and bad, with what the gateway answers.
//!
//! ES256 signatures are another one each time: a vector that says what it said before keeps the one that it has.

mod cases;

use std::path::Path;

use anyhow::Context as _;
use fleet_domain::TypedCode;
use fleet_keys::{DeviceKeyPair, TotpSecret};
use serde_json::{Map, Value, json};

use self::cases::{BASE_URL, CASES, Case, Change, DEVICES, NOW};

const ABOUT: &str = "Test vectors of the authenticator app's protocol, see README.md beside. The private keys are for tests and known to \
    everybody. Each message was signed by `key` over exactly `header` and `claims`, sent to `method` and `path` below `base_url` when it was \
    `now`, by a device that may. Where `code` is given, the gateway refuses it with that code and `status`.";
/// What a person might type, and whether it is the code that is shown.
const TYPED: [(&str, bool); 8] = [
    ("7KQ2-9XWM-4RTA", true),
    ("7kq29xwm4rta", true),
    (" 7KQ2 9XWM 4RTA ", true),
    ("7KQ2-9XWM-4RTB", false),
    ("7KQ2-9XMW-4RTA", false),
    ("7KQ2-9XWM-4RT", false),
    ("7KQ2-9XWM-4RTAA", false),
    ("0KQ2-9XWM-4RTA", false),
];
/// QR codes' texts, with URL and code of those that are read.
const QR_CODES: [(&str, Option<(&str, &str)>); 8] = [
    (
        "mfa-fleet://activate?v=1&url=https%3A%2F%2Fmfa.example.org&code=0f9ZvDk0TRiZ6YbRk1PTcg",
        Some((BASE_URL, "0f9ZvDk0TRiZ6YbRk1PTcg")),
    ),
    (
        "mfa-fleet://activate?code=0f9ZvDk0TRiZ6YbRk1PTcg&url=https%3A%2F%2Fmfa.example.org%3A8443%2Fbase&v=1&later=x",
        Some(("https://mfa.example.org:8443/base", "0f9ZvDk0TRiZ6YbRk1PTcg")),
    ),
    ("mfa-fleet://activate?v=2&url=https%3A%2F%2Fmfa.example.org&code=0f9ZvDk0TRiZ6YbRk1PTcg", None),
    ("mfa-fleet://activate?v=1&url=http%3A%2F%2Fmfa.example.org&code=0f9ZvDk0TRiZ6YbRk1PTcg", None),
    ("mfa-fleet://activate?v=1&url=https%3A%2F%2Fmfa.example.org&code=0f9ZvDk0TRiZ6YbRk1PTc", None),
    ("mfa-fleet://activate?v=1&code=0f9ZvDk0TRiZ6YbRk1PTcg", None),
    (
        "mfa-fleet://activate?v=1&url=https%3A%2F%2Fmfa.example.org&url=https%3A%2F%2Fevil.example&code=0f9ZvDk0TRiZ6YbRk1PTcg",
        None,
    ),
    ("otpauth://totp/Example:avery.lee?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", None),
];
/// RFC 6238's secret and times, with six digits.
const TOTP_SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const TOTP_TIMES: [u64; 6] = [59, 1_111_111_109, 1_111_111_111, 1_234_567_890, 2_000_000_000, 20_000_000_000];

/// The whole file; `before` is the one that there is.
pub(crate) fn vectors(before: &Path) -> anyhow::Result<String> {
    let before = std::fs::read_to_string(before).ok();
    let before = before.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
    let messages = CASES.iter().map(|case| message(case, &before)).collect::<anyhow::Result<Vec<_>>>()?;
    let keys: Map<String, Value> = DEVICES
        .iter()
        .map(|(name, device, jwk)| {
            Ok((
                (*name).to_owned(),
                json!({ "device_id": device, "jwk": serde_json::from_str::<Value>(jwk)? }),
            ))
        })
        .collect::<anyhow::Result<_>>()?;
    let typed = TYPED.map(|(typed, valid)| json!({ "typed": typed, "valid": valid }));
    let codes = QR_CODES.map(|(text, read)| match read {
        Some((url, code)) => json!({ "text": text, "url": url, "code": code }),
        None => json!({ "text": text }),
    });
    let document = json!({
        "about": ABOUT,
        "base_url": BASE_URL,
        "now": NOW,
        "challenge": cases::challenge(),
        "keys": keys,
        "messages": messages,
        "typed_codes": typed,
        "qr_codes": codes,
        "one_time_codes": one_time_codes()?,
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn key(name: &str) -> anyhow::Result<(&'static str, DeviceKeyPair)> {
    let (_, device, jwk) = DEVICES.iter().find(|(known, ..)| *known == name).context("a key's name")?;
    Ok((device, DeviceKeyPair::from_jwk(jwk)?))
}

fn message(case: &Case, before: &Value) -> anyhow::Result<Value> {
    let (device, pair) = key(case.key)?;
    let cases::Plain { method, path, typ, mut claims } = cases::plain(case.kind, device);
    let mut header = json!({ "alg": pair.alg().as_str(), "typ": typ });
    if typ == "mfa-activation+jwt" {
        header["jwk"] = serde_json::from_str(&pair.jwk())?;
    } else {
        header["kid"] = json!(device);
    }
    if let Change::Header(changes) = case.change {
        merge(&mut header, changes)?;
    }
    if let Change::Claims(changes) | Change::Payload(changes) = case.change {
        merge(&mut claims, changes)?;
    }
    let (header, mut text) = (header.to_string(), claims.to_string());
    if let Change::Twice(claim) = case.change {
        text = text.replacen('{', &format!("{{{claim},"), 1);
    }
    let signer = if let Change::SignedBy(other) = case.change { key(other)?.1 } else { pair };
    let mut vector = json!({
        "name": case.name, "method": method, "path": path, "key": case.key,
        "header": header, "claims": text,
    });
    vector["jws"] = match kept(&vector, before) {
        Some(jws) => jws,
        None if matches!(case.change, Change::Payload(_)) => {
            // The signature of what it would have said.
            let cases::Plain { claims, .. } = cases::plain(case.kind, device);
            let (plain, changed) =
                (signer.sign_raw(&header, &claims.to_string()), signer.sign_raw(&header, &text));
            let signature = plain.rsplit_once('.').context("three parts")?.1;
            json!(format!("{}.{signature}", changed.rsplit_once('.').context("three parts")?.0))
        }
        None => json!(signer.sign_raw(&header, &text)),
    };
    if let Some((status, code)) = case.refused {
        vector["status"] = json!(status);
        vector["code"] = json!(code);
    }
    Ok(vector)
}

/// The JWS of a vector that says the same already.
fn kept(vector: &Value, before: &Value) -> Option<Value> {
    let same = |known: &&Value| {
        ["name", "key", "header", "claims"].iter().all(|field| known[*field] == vector[*field])
    };
    before["messages"].as_array()?.iter().find(same).map(|known| known["jws"].clone())
}

/// Sets members; those that are `null` are left out.
fn merge(object: &mut Value, changes: &str) -> anyhow::Result<()> {
    let changes: Map<String, Value> = serde_json::from_str(changes)?;
    let object = object.as_object_mut().context("an object")?;
    for (name, value) in changes {
        if value.is_null() {
            object.remove(&name);
        } else {
            object.insert(name, value);
        }
    }
    Ok(())
}

fn one_time_codes() -> anyhow::Result<Value> {
    let secret = TotpSecret::from_base32(TOTP_SECRET)?;
    let codes: Vec<Value> =
        TOTP_TIMES.iter().map(|time| json!({ "time": time, "code": secret.code_at(*time) })).collect();
    let uri = secret.uri("Operations Portal", "avery.lee");
    // What is shown is what is meant.
    TypedCode::parse(TYPED[0].0)?;
    Ok(json!({ "secret": TOTP_SECRET, "uri": *uri, "codes": codes }))
}
