//! Compact JWS as devices send them, parsed strictly: one form, two algorithms, no header member beyond those known.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::device::{DeviceAlg, SIGNATURE_LEN, verify_device};
use crate::error::Error;
use crate::jwk::{DeviceKey, RawJwk};

/// A compact JWS whose form was checked. Its signature was not: that is [`Jws::verify`].
#[derive(Debug)]
pub struct Jws<'a> {
    signing_input: &'a str,
    header: JwsHeader,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// The header of a compact JWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwsHeader {
    /// Algorithm that the signer says it used. It is held against the registered key in [`Jws::verify`].
    pub alg: DeviceAlg,
    /// What the payload is, where the signer says so.
    pub typ: Option<String>,
    /// Which key signed, where the signer says so.
    pub kid: Option<String>,
    /// The key that signed, where the signer shows it because nobody knows it yet. Never together with `kid`.
    pub jwk: Option<DeviceKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeader {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    jwk: Option<RawJwk>,
}

impl<'a> Jws<'a> {
    /// A longer text is refused before it is looked at.
    pub const BYTES_MAX: usize = 4096;

    /// Parses `header.payload.signature`. Fails for any other form, an unknown algorithm or an unknown header member.
    pub fn parse(compact: &'a str) -> Result<Self, Error> {
        let malformed = Error::MalformedJws;
        if compact.len() > Self::BYTES_MAX {
            return Err(malformed("too long"));
        }
        let (signing_input, signature) = compact.rsplit_once('.').ok_or(malformed("not three parts"))?;
        let (header, payload) = signing_input.split_once('.').ok_or(malformed("not three parts"))?;
        if payload.is_empty() || payload.contains('.') {
            return Err(malformed("not three parts"));
        }
        let decode =
            |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("a part is not base64url"));
        let header: RawHeader = serde_json::from_slice(&decode(header)?)
            .map_err(|_| malformed("header is not JSON with alg, typ and kid or jwk only"))?;
        let alg = DeviceAlg::parse(&header.alg).ok_or(malformed("alg is not one of ours"))?;
        let signature = decode(signature)?;
        if signature.len() != SIGNATURE_LEN {
            return Err(malformed("signature has the wrong length"));
        }
        let jwk = match (&header.jwk, &header.kid) {
            (None, _) => None,
            (Some(jwk), None) => Some(jwk.key().ok_or(malformed("jwk is no public key of ours"))?),
            (Some(_), Some(_)) => return Err(malformed("a key and the id of one")),
        };
        let header = JwsHeader { alg, typ: header.typ, kid: header.kid, jwk };
        Ok(Self { signing_input, header, payload: decode(payload)?, signature })
    }

    /// The header. Nobody vouches for it before [`Jws::verify`].
    pub const fn header(&self) -> &JwsHeader {
        &self.header
    }

    /// The decoded payload. Nobody vouches for it before [`Jws::verify`].
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Whether it was signed with the private half of `public_key`. `alg` is the algorithm registered with that key; the header can't choose it.
    pub fn verify(&self, alg: DeviceAlg, public_key: &[u8]) -> bool {
        self.header.alg == alg
            && verify_device(alg, public_key, self.signing_input.as_bytes(), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515, appendix A.3.
    const RFC7515_A3: &str = concat!(
        "eyJhbGciOiJFUzI1NiJ9.",
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    /// RFC 8037, appendix A.4.
    const RFC8037_A4: &str = concat!(
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );

    fn rfc7515_key() -> Vec<u8> {
        let coordinate = |text| URL_SAFE_NO_PAD.decode(text).unwrap();
        let x = coordinate("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
        let y = coordinate("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        [&[4], &x[..], &y].concat()
    }

    /// The header of RFC 7515, appendix A.3, with its key.
    const WITH_JWK: &str = concat!(
        r#"{"alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","#,
        r#""y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}}"#
    );

    #[test]
    fn a_key_that_is_not_known_yet_is_shown_in_the_header() {
        let text = compact(WITH_JWK);
        let jwk = Jws::parse(&text).unwrap().header().jwk.clone().unwrap();
        assert_eq!(jwk, DeviceKey { alg: DeviceAlg::Es256, public_key: rfc7515_key() });
    }

    fn compact(header: &str) -> String {
        format!("{}.e30.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode([1; 64]))
    }

    #[test]
    fn the_example_of_rfc_7515_verifies() {
        let jws = Jws::parse(RFC7515_A3).unwrap();
        assert_eq!(jws.header(), &JwsHeader { alg: DeviceAlg::Es256, typ: None, kid: None, jwk: None });
        assert!(jws.payload().starts_with(b"{\"iss\":\"joe\""));
        assert!(jws.verify(DeviceAlg::Es256, &rfc7515_key()));
    }

    #[test]
    fn the_example_of_rfc_8037_verifies() {
        let jws = Jws::parse(RFC8037_A4).unwrap();
        let key = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert_eq!(jws.payload(), b"Example of Ed25519 signing");
        assert!(jws.verify(DeviceAlg::EdDsa, &key));
        assert!(!jws.verify(DeviceAlg::Es256, &key));
    }

    #[test]
    fn an_altered_payload_does_not_verify() {
        let altered = RFC7515_A3.replacen("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqYWUi", 1);
        assert!(!Jws::parse(&altered).unwrap().verify(DeviceAlg::Es256, &rfc7515_key()));
    }

    #[test]
    fn known_header_members_are_kept() {
        let text = compact(r#"{"alg":"EdDSA","typ":"mfa-answer+jws","kid":"d1"}"#);
        let header = Jws::parse(&text).unwrap().header().clone();
        assert_eq!((header.typ.as_deref(), header.kid.as_deref()), (Some("mfa-answer+jws"), Some("d1")));
    }

    #[test]
    fn every_other_form_is_refused() {
        let long = format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#), "A".repeat(5000));
        let good = compact(r#"{"alg":"ES256"}"#);
        let short_signature = good[..good.len() - 3].to_owned();
        let cases = [
            ("empty", String::new()),
            ("two parts", "a.b".into()),
            ("four parts", format!("{good}.e30")),
            ("detached", format!("{}..{}", &good[..20], &good[25..])),
            ("padded", good.replacen(".e30.", ".e30=.", 1)),
            ("standard alphabet", good.replacen(".e30.", ".a+/b.", 1)),
            ("bits after the last byte", good.replacen(".e30.", ".e31.", 1)),
            ("line break", good.replacen(".e30.", ".e3\n0.", 1)),
            ("short signature", short_signature),
            ("too long", long),
            ("alg none", compact(r#"{"alg":"none"}"#)),
            ("alg HS256", compact(r#"{"alg":"HS256"}"#)),
            ("no alg", compact(r#"{"typ":"JWT"}"#)),
            ("no key", compact(r#"{"alg":"ES256","jwk":{}}"#)),
            ("a key and the id of one", compact(&WITH_JWK.replacen('{', r#"{"kid":"d1","#, 1))),
            ("a private key", compact(&WITH_JWK.replacen(r#""x""#, r#""d":"AA","x""#, 1))),
            ("crit", compact(r#"{"alg":"ES256","crit":["b64"],"b64":false}"#)),
            ("alg twice", compact(r#"{"alg":"ES256","alg":"EdDSA"}"#)),
            ("header an array", compact(r#"["ES256"]"#)),
            ("text after the header", compact(r#"{"alg":"ES256"} x"#)),
        ];
        for (name, text) in cases {
            assert!(Jws::parse(&text).is_err(), "{name}: {text}");
        }
        assert!(Jws::parse(&good).is_ok());
    }
}
