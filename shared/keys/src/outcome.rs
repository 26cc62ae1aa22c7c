//! Signatures over terminal outcomes: the fleet's side, which signs, and a portal's side, which verifies.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::json;

use crate::device::P256_POINT_LEN;
use crate::error::Error;

/// The private key, with the JWS header that every signature starts with.
pub(crate) struct OutcomeSigner {
    pair: EcdsaKeyPair,
    public: PublicPoint,
    header: String,
}

impl OutcomeSigner {
    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new())
            .ok()
            .and_then(Self::new)
    }

    /// The key of RFC 7515, appendix A.3: public, so nobody can take it for a secret.
    #[expect(clippy::expect_used, reason = "the key is a constant, which every test uses")]
    pub(crate) fn for_tests() -> Self {
        let decode = |text| URL_SAFE_NO_PAD.decode(text).expect("is base64url");
        let private = decode("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI");
        let x = decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
        let y = decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        let public = [&[4], &x[..], &y].concat();
        EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &private,
            &public,
            &SystemRandom::new(),
        )
        .ok()
        .and_then(Self::new)
        .expect("is a P-256 key pair")
    }

    fn new(pair: EcdsaKeyPair) -> Option<Self> {
        let public = PublicPoint(pair.public_key().as_ref().try_into().ok()?);
        let header = json!({"alg": "ES256", "b64": false, "crit": ["b64"], "kid": public.thumbprint()});
        Some(Self { pair, header: URL_SAFE_NO_PAD.encode(header.to_string()), public })
    }

    #[expect(clippy::expect_used, reason = "ECDSA signing fails only without randomness")]
    pub(crate) fn sign(&self, exact_bytes: &[u8]) -> String {
        let input = signing_input(&self.header, exact_bytes);
        let signature =
            self.pair.sign(&SystemRandom::new(), &input).expect("the operating system gives randomness");
        format!("{}..{}", self.header, URL_SAFE_NO_PAD.encode(signature))
    }

    pub(crate) fn jwk(&self) -> String {
        let (x, y) = self.public.coordinates();
        json!({
            "kty": "EC", "crv": "P-256", "x": x, "y": y,
            "use": "sig", "alg": "ES256", "kid": self.public.thumbprint(),
        })
        .to_string()
    }
}

/// A new private key for the setting `keys.outcome_signing_key`: base64 of PKCS#8.
///
/// # Panics
/// Where the operating system has no randomness to give.
#[expect(clippy::expect_used, reason = "a process without randomness must not make keys")]
pub fn new_signing_key() -> String {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .expect("the operating system gives randomness");
    STANDARD.encode(pkcs8)
}

/// Checks that the fleet signed exactly these bytes of an outcome.
///
/// `jwk` is the fleet's public key as JSON: one JWK, or a JWK set (`{"keys": [...]}`) while a key is being replaced.
/// A JWS of any other form than the fleet's own is refused, whatever its signature is worth.
pub fn verify_outcome(jwk: &str, exact_bytes: &[u8], detached_jws: &str) -> Result<(), Error> {
    let malformed = Error::MalformedJws;
    let (header_part, signature) =
        detached_jws.split_once("..").ok_or(malformed("payload is not detached"))?;
    let header = URL_SAFE_NO_PAD.decode(header_part).map_err(|_| malformed("header is not base64url"))?;
    let header: OutcomeHeader = serde_json::from_slice(&header)
        .map_err(|_| malformed("header is not JSON with alg, b64, crit and kid"))?;
    if header.alg != "ES256" || header.b64 || header.crit != ["b64"] {
        return Err(malformed("header is not that of an outcome"));
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed("signature is not base64url"))?;
    let public = public_points(jwk)?
        .into_iter()
        .find(|point| point.thumbprint() == header.kid)
        .ok_or(Error::UnknownSigner)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public.0)
        .verify(&signing_input(header_part, exact_bytes), &signature)
        .map_err(|_| Error::BadSignature)
}

/// RFC 7797, section 3: with `b64: false` the payload is signed as it is.
fn signing_input(header: &str, exact_bytes: &[u8]) -> Vec<u8> {
    [header.as_bytes(), b".", exact_bytes].concat()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomeHeader {
    alg: String,
    b64: bool,
    crit: Vec<String>,
    kid: String,
}

/// Members of a JWK beyond these say nothing about the key itself.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrSet {
    Set { keys: Vec<Jwk> },
    One(Jwk),
}

fn public_points(jwk: &str) -> Result<Vec<PublicPoint>, Error> {
    let parsed = serde_json::from_str(jwk)
        .map_err(|_| Error::BadJwk("not JSON of a JWK or of a set of P-256 JWKs"))?;
    let keys = match parsed {
        OneOrSet::Set { keys } => keys,
        OneOrSet::One(key) => vec![key],
    };
    keys.iter().map(PublicPoint::from_jwk).collect()
}

/// An uncompressed P-256 point.
struct PublicPoint([u8; P256_POINT_LEN]);

impl PublicPoint {
    fn from_jwk(jwk: &Jwk) -> Result<Self, Error> {
        if jwk.kty != "EC" || jwk.crv != "P-256" {
            return Err(Error::BadJwk("kty is not EC or crv is not P-256"));
        }
        let decode =
            |text| URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::BadJwk("x or y is not base64url"));
        let (x, y) = (decode(&jwk.x)?, decode(&jwk.y)?);
        if x.len() != 32 || y.len() != 32 {
            return Err(Error::BadJwk("x or y is not 32 bytes"));
        }
        let point = [&[4], &x[..], &y].concat();
        point.try_into().map(Self).map_err(|_| Error::BadJwk("x or y is not 32 bytes"))
    }

    fn coordinates(&self) -> (String, String) {
        let (x, y) = self.0[1..].split_at(32);
        (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y))
    }

    /// RFC 7638: SHA-256 of the required members in lexical order, without blanks.
    fn thumbprint(&self) -> String {
        let (x, y) = self.coordinates();
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        URL_SAFE_NO_PAD.encode(crate::sha256(canonical.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Keys, Settings};

    const OUTCOME: &[u8] = br#"{"result":"approved","seq":7}"#;

    fn other_keys() -> Keys {
        let settings =
            Settings { master: "ab".repeat(32).into(), outcome_signing_key: new_signing_key().into() };
        Keys::from_settings(&settings).unwrap()
    }

    #[test]
    fn a_signature_has_the_form_of_rfc_7797() {
        let jws = Keys::for_tests().sign_outcome(OUTCOME);
        let (header, signature) = jws.split_once("..").unwrap();
        assert_eq!(
            String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap(),
            r#"{"alg":"ES256","b64":false,"crit":["b64"],"kid":"oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"}"#
        );
        assert_eq!(URL_SAFE_NO_PAD.decode(signature).unwrap().len(), 64);
    }

    #[test]
    fn a_signed_outcome_verifies_with_the_key_and_with_a_set_that_holds_it() {
        let (keys, other) = (Keys::for_tests(), other_keys());
        let jws = keys.sign_outcome(OUTCOME);
        verify_outcome(&keys.outcome_jwk(), OUTCOME, &jws).unwrap();
        let set = format!(r#"{{"keys":[{},{}]}}"#, other.outcome_jwk(), keys.outcome_jwk());
        verify_outcome(&set, OUTCOME, &jws).unwrap();
    }

    #[test]
    fn any_change_of_the_bytes_is_noticed() {
        let keys = Keys::for_tests();
        let jws = keys.sign_outcome(OUTCOME);
        for at in 0..OUTCOME.len() {
            let mut altered = OUTCOME.to_vec();
            altered[at] ^= 1;
            assert_eq!(
                verify_outcome(&keys.outcome_jwk(), &altered, &jws),
                Err(Error::BadSignature),
                "byte {at}"
            );
        }
        let with_blank = [OUTCOME, b" "].concat();
        assert_eq!(verify_outcome(&keys.outcome_jwk(), &with_blank, &jws), Err(Error::BadSignature));
    }

    #[test]
    fn another_key_is_an_unknown_signer() {
        let jws = Keys::for_tests().sign_outcome(OUTCOME);
        assert_eq!(verify_outcome(&other_keys().outcome_jwk(), OUTCOME, &jws), Err(Error::UnknownSigner));
        assert_eq!(verify_outcome(r#"{"keys":[]}"#, OUTCOME, &jws), Err(Error::UnknownSigner));
    }

    #[test]
    fn a_header_that_names_our_key_but_was_signed_by_another_is_refused() {
        let ours = Keys::for_tests();
        let (header, _) =
            ours.sign_outcome(OUTCOME).split_once("..").map(|(h, s)| (h.to_owned(), s.to_owned())).unwrap();
        let foreign = other_keys().sign_outcome(OUTCOME);
        let (_, signature) = foreign.split_once("..").unwrap();
        let forged = format!("{header}..{signature}");
        assert_eq!(verify_outcome(&ours.outcome_jwk(), OUTCOME, &forged), Err(Error::BadSignature));
    }

    #[test]
    fn every_other_form_of_jws_is_refused() {
        let keys = Keys::for_tests();
        let jws = keys.sign_outcome(OUTCOME);
        let signature = jws.split_once("..").unwrap().1;
        let with_header = |json: &str| format!("{}..{signature}", URL_SAFE_NO_PAD.encode(json));
        let cases = [
            String::new(),
            jws.replacen("..", ".", 1),
            jws.replacen("..", ".e30.", 1),
            format!("{jws}="),
            format!("{jws}..AA"),
            with_header(r#"{"alg":"none","b64":false,"crit":["b64"],"kid":"x"}"#),
            with_header(r#"{"alg":"ES256","b64":true,"crit":["b64"],"kid":"x"}"#),
            with_header(r#"{"alg":"ES256","b64":false,"crit":[],"kid":"x"}"#),
            with_header(r#"{"alg":"ES256","b64":false,"crit":["b64","exp"],"kid":"x"}"#),
            with_header(r#"{"alg":"ES256","b64":false,"crit":["b64"],"kid":"x","jwk":{}}"#),
            with_header(r#"{"alg":"ES256","kid":"x"}"#),
        ];
        for text in cases {
            let result = verify_outcome(&keys.outcome_jwk(), OUTCOME, &text);
            assert!(matches!(result, Err(Error::MalformedJws(_))), "{text}: {result:?}");
        }
    }

    #[test]
    fn the_test_vectors_for_portals_verify() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../tests/outcome_signature_vectors.json")).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let jwk = vectors["jwk"].to_string();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() >= 6);
        for case in cases {
            let result = verify_outcome(&jwk, text(&case["outcome"]).as_bytes(), &text(&case["jws"]));
            assert_eq!(result.is_ok(), case["valid"].as_bool().unwrap(), "{}", case["name"]);
        }
    }

    #[test]
    fn a_bad_public_key_is_named_as_such() {
        let jws = Keys::for_tests().sign_outcome(OUTCOME);
        for jwk in [
            "",
            "{}",
            r#"{"kty":"RSA","crv":"P-256","x":"AA","y":"AA"}"#,
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
        ] {
            assert!(matches!(verify_outcome(jwk, OUTCOME, &jws), Err(Error::BadJwk(_))), "{jwk}");
        }
    }
}
