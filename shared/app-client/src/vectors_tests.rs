//! What this crate reads and signs, held against the protocol's test vectors.

use fleet_keys::{DeviceKeyPair, Jws, Signer, TotpSecret};
use serde_json::Value;

use crate::activation::{Activation, Platform, Push};
use crate::claims::{ActivationClaims, AnswerClaims, PushAddressClaims, RequestClaims, RevocationClaims};
use crate::http::sign;

const VECTORS: &str = include_str!("../../contracts/app/vectors.json");
const BASE_URL: &str = "https://mfa.example.org";

fn vectors() -> Value {
    serde_json::from_str(VECTORS).unwrap()
}

fn text<'a>(of: &'a Value, field: &str) -> &'a str {
    of[field].as_str().unwrap()
}

/// Each message that every app sends, by the name of its vector, made here with the vectors' key.
fn made(vectors: &Value, key: &str) -> Vec<(&'static str, String)> {
    let (challenge, known) = (&vectors["challenge"], &vectors["keys"][key]);
    let (pair, device_id) =
        (DeviceKeyPair::from_jwk(&known["jwk"].to_string()).unwrap(), text(known, "device_id"));
    let iat = vectors["now"].as_i64().unwrap();
    let url = format!("{BASE_URL}/app/challenges");
    let (kid, jti) = (Signer::Kid(device_id), "a6f1c2d8".to_owned());
    let approve = AnswerClaims {
        portal: text(challenge, "portal"),
        challenge_id: text(challenge, "challenge_id"),
        nonce: text(challenge, "nonce"),
        device_id,
        decision: "approve",
        number: Some(text(challenge, "number")),
        uv: Some("pin"),
        reason: None,
        exp: challenge["answer_by"].as_i64().unwrap(),
    };
    let deny = AnswerClaims { decision: "deny", number: None, uv: None, reason: Some("not_me"), ..approve };
    let (token, fid) =
        (Push::Token("fcm-registration-token".into()), Push::Fid("firebase-installation-id".into()));
    let activation = ActivationClaims {
        aud: BASE_URL,
        iat,
        code: "0f9ZvDk0TRiZ6YbRk1PTcg",
        name: "Avery's phone",
        platform: Platform::Android,
        push: Some(&token),
    };
    let version = u64::try_from(iat).unwrap() * 1_000;
    let address = PushAddressClaims { aud: BASE_URL, device_id, iat, version, push: Some(&fid) };
    vec![
        ("list", sign(&pair, kid, &RequestClaims { htm: "GET", htu: &url, iat, jti })),
        ("approve with number and PIN", sign(&pair, kid, &approve)),
        ("deny as fraud", sign(&pair, kid, &deny)),
        ("activate by QR code", sign(&pair, Signer::Jwk, &activation)),
        ("push address", sign(&pair, kid, &address)),
        ("give up", sign(&pair, kid, &RevocationClaims { aud: BASE_URL, device_id, iat })),
    ]
}

/// Header and claims, whatever their order.
fn said(jws: &str) -> Vec<Value> {
    use base64::Engine as _;
    let part = |part: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    jws.split('.').take(2).map(|text| serde_json::from_slice(&part(text)).unwrap()).collect()
}

#[test]
fn p1_every_message_says_what_its_vector_says() {
    let vectors = vectors();
    for (key, suffix) in [("es256", "ES256"), ("eddsa", "EdDSA")] {
        for (name, jws) in made(&vectors, key) {
            let name = format!("{name}, {suffix}");
            let vector =
                vectors["messages"].as_array().unwrap().iter().find(|one| one["name"] == *name).unwrap();
            assert_eq!(said(&jws), said(text(vector, "jws")), "{name}");
            if !name.starts_with("activate") {
                let pair = DeviceKeyPair::from_jwk(&vectors["keys"][key]["jwk"].to_string()).unwrap();
                assert!(Jws::parse(&jws).unwrap().verify(pair.alg(), pair.public_key()), "{name}");
            }
        }
    }
}

#[test]
fn qr_codes_and_typed_codes_are_read_as_the_vectors_say() {
    let vectors = vectors();
    for code in vectors["qr_codes"].as_array().unwrap() {
        let read = Activation::scan(text(code, "text")).ok();
        let expected = code["code"].as_str().map(|long| (text(code, "url"), long));
        assert_eq!(read.as_ref().map(|read| (read.url(), &*read.code)), expected, "{code}");
    }
    for typed in vectors["typed_codes"].as_array().unwrap() {
        let read = Activation::typed(text(typed, "typed"), BASE_URL);
        assert_eq!(read.is_ok(), typed["valid"].as_bool().unwrap(), "{typed}");
    }
}

#[test]
fn one_time_codes_are_those_of_the_vectors() {
    let codes = &vectors()["one_time_codes"];
    let secret = TotpSecret::from_base32(text(codes, "secret")).unwrap();
    for code in codes["codes"].as_array().unwrap() {
        assert_eq!(secret.code_at(code["time"].as_u64().unwrap()), text(code, "code"), "{code}");
    }
}
