//! Signatures computed with twilio-python's `RequestValidator`; the first is the example of Twilio's documentation.

use super::*;

const TOKEN: &str = "4f9c1d7e2ab84c06b3d5e8f7a1902c6d";

struct Vector {
    name: &'static str,
    token: &'static str,
    url: &'static str,
    fields: &'static [(&'static str, &'static str)],
    signature: &'static str,
}

const GATHER: &[(&str, &str)] = &[
    ("AccountSid", "AC00000000000000000000000000000001"),
    ("ApiVersion", "2010-04-01"),
    ("CallSid", "CA00000000000000000000000000000007"),
    ("CallStatus", "in-progress"),
    ("Digits", "428913"),
    ("Direction", "outbound-api"),
    ("FinishedOnKey", "#"),
    ("From", "+15005550006"),
    ("To", "+14155550123"),
    ("msg", "Gather End"),
];

const COMPLETED: &[(&str, &str)] = &[
    ("CallDuration", "17"),
    ("CallSid", "CA0000000000000000000000000000000B"),
    ("CallStatus", "completed"),
    ("SequenceNumber", "3"),
];

const FORMS: &[Vector] = &[
    Vector {
        name: "V1 query string",
        token: "12345",
        url: "https://example.com/myapp.php?foo=1&bar=2",
        fields: &[
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675310"),
            ("Digits", "1234"),
            ("From", "+14158675310"),
            ("To", "+18005551212"),
        ],
        signature: "L/OH5YylLD5NRKLltdqwSvS0BnU=",
    },
    Vector {
        name: "V2 gather",
        token: TOKEN,
        url: "https://mfa.example.org/v1/twilio/gather?txn=7b1e&attempt=2",
        fields: GATHER,
        signature: "HY2yztc3emt5StoP+gZJwPkaQ/U=",
    },
    Vector {
        name: "V3 Unicode and an empty value",
        token: TOKEN,
        url: "https://mfa.example.org/v1/twilio/voice",
        fields: &[
            ("CallSid", "CA00000000000000000000000000000008"),
            ("CallerCity", "ZÜRICH"),
            ("CalledCity", "São Paulo"),
            ("ToZip", ""),
            ("SpeechResult", "да, подтверждаю ✅"),
            ("From", "+41435550100"),
            ("To", "+5511955501234"),
        ],
        signature: "36V7KEldc/KIr8NmDjfAj5URcr8=",
    },
    Vector {
        name: "V4 repeated names",
        token: TOKEN,
        url: "https://mfa.example.org/v1/twilio/status",
        fields: &[
            ("CallSid", "CA00000000000000000000000000000009"),
            ("Tag", "ringing"),
            ("Tag", "answered"),
            ("Tag", "initiated"),
            ("Tag", "ringing"),
            ("To", "+14155550123"),
        ],
        signature: "eWT565hMpiYz2SOpLV9z6TQ0XYE=",
    },
    Vector {
        name: "V6a port of plain HTTP kept",
        token: TOKEN,
        url: "http://127.0.0.1:8089/v1/twilio/status",
        fields: COMPLETED,
        signature: "a7BOS+zRbC0y/y16MMdVld1BLbY=",
    },
    Vector {
        name: "V6b port of HTTPS kept",
        token: TOKEN,
        url: "https://mfa.example.org:8443/v1/twilio/status",
        fields: COMPLETED,
        signature: "8Dc/mMeNJOktL443DKJ8VP6F0yw=",
    },
    Vector {
        name: "V6c port of HTTPS dropped by the sender",
        token: TOKEN,
        url: "https://mfa.example.org:8443/v1/twilio/status",
        fields: COMPLETED,
        signature: "1UJXirHAwAuRdBlg6sNRB01OqfU=",
    },
    Vector {
        name: "V6c no port anywhere",
        token: TOKEN,
        url: "https://mfa.example.org/v1/twilio/status",
        fields: COMPLETED,
        signature: "1UJXirHAwAuRdBlg6sNRB01OqfU=",
    },
    Vector {
        name: "V6d port 443 added by the sender",
        token: TOKEN,
        url: "https://mfa.example.org/v1/twilio/status",
        fields: COMPLETED,
        signature: "A8mp81Ju/Mm04M935BHu96TZD+k=",
    },
    Vector {
        name: "V8 upper case sorts before lower case",
        token: TOKEN,
        url: "https://mfa.example.org/s",
        fields: &[("b", "1"), ("A", "2"), ("a", "3"), ("B", "4"), ("a1", "5")],
        signature: "DNkoVL2WmZByDmvJ83HM5JxKUNQ=",
    },
    Vector {
        name: "V9 query kept as it is",
        token: TOKEN,
        url: "https://mfa.example.org/v1/twilio/voice?name=J%C3%B6rg%20M&q=a+b",
        fields: &[("CallSid", "CA0000000000000000000000000000000D"), ("To", "+14155550123")],
        signature: "l6z03JleOQ9TKJD6CaB7wFlUH9I=",
    },
    Vector {
        name: "V10 fragment and user ignored",
        token: TOKEN,
        url: "https://user:secret@mfa.example.org/v1/twilio/voice#rc=2&rp=all",
        fields: &[("CallSid", "CA0000000000000000000000000000000E")],
        signature: "0ckCA85wJBumGgfN536y0x4a2sI=",
    },
];

fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn keys(tokens: &[&str]) -> Vec<SecretString> {
    tokens.iter().map(|token| SecretString::from(*token)).collect()
}

impl Vector {
    fn is_signed_with(&self, tokens: &[&str]) -> bool {
        form(self.url, &owned(self.fields), self.signature).is_signed_with(&keys(tokens))
    }
}

fn form<'a>(url: &'a str, fields: &'a [(String, String)], signature: &'a str) -> SignedRequest<'a> {
    SignedRequest { url, body: SignedBody::Form(fields), signature, signature_settings: None }
}

#[test]
fn every_signature_of_the_carriers_library_is_accepted() {
    for vector in FORMS {
        assert!(vector.is_signed_with(&[vector.token]), "{}", vector.name);
    }
}

#[test]
fn the_secondary_token_is_accepted_and_a_stranger_is_not() {
    for vector in FORMS {
        assert!(vector.is_signed_with(&["another token", vector.token]), "{}", vector.name);
        assert!(!vector.is_signed_with(&["another token"]), "{}", vector.name);
        assert!(!vector.is_signed_with(&[]), "{}", vector.name);
    }
}

#[test]
fn any_change_of_a_request_is_noticed() {
    for vector in FORMS {
        let token = keys(&[vector.token]);
        let fields = owned(vector.fields);
        let url = vector.url.replace("example", "exemple").replace("127", "128");
        assert!(!form(&url, &fields, vector.signature).is_signed_with(&token), "{} url", vector.name);
        for at in 0..fields.len() {
            let mut altered = fields.clone();
            altered[at].1.push(' ');
            let request = form(vector.url, &altered, vector.signature);
            assert!(!request.is_signed_with(&token), "{} field {at}", vector.name);
        }
        let mut more = fields.clone();
        more.push(("Extra".into(), String::new()));
        assert!(!form(vector.url, &more, vector.signature).is_signed_with(&token), "{} more", vector.name);
        for signature in ["", "=", &vector.signature[1..], &vector.signature.to_lowercase()] {
            assert!(!form(vector.url, &fields, signature).is_signed_with(&token), "{}", vector.name);
        }
    }
}

#[test]
fn a_port_of_another_listener_is_not_accepted() {
    let fields = owned(COMPLETED);
    let signed_for_8443 = "8Dc/mMeNJOktL443DKJ8VP6F0yw=";
    let request = form("https://mfa.example.org:9443/v1/twilio/status", &fields, signed_for_8443);
    assert!(!request.is_signed_with(&keys(&[TOKEN])));
}

#[test]
fn a_get_is_signed_by_its_url_alone() {
    let url = concat!(
        "https://mfa.example.org/v1/twilio/voice?txn=7b1e&AccountSid=AC00000000000000000000000000000001",
        "&CallSid=CA0000000000000000000000000000000A&CallStatus=in-progress&From=%2B15005550006&To=%2B14155550123"
    );
    let signed = |url| {
        let request = SignedRequest {
            url,
            body: SignedBody::Absent,
            signature: "KuU0rE+8QJncj3BppKVxlyiWX6U=",
            signature_settings: None,
        };
        request.is_signed_with(&keys(&[TOKEN]))
    };
    assert!(signed(url), "V5");
    assert!(!signed(&url.replace("%2B", "+")));
}

#[test]
fn a_raw_body_is_signed_by_its_hash_in_the_url() {
    let url = concat!(
        "https://mfa.example.org/v1/twilio/events",
        "?bodySHA256=3e9736d9aa4c836f3465fb9c3e85a0ef85f0e1bc5f6a760184131518070a8fac"
    );
    let body = br#"{"CallSid":"CA0000000000000000000000000000000C","AnsweredBy":"human"}"#;
    let signed = |url, body| {
        let request = SignedRequest {
            url,
            body: SignedBody::Raw(body),
            signature: "ZO3EMCRtTd+0kxSFA2m1wH2Bh7U=",
            signature_settings: None,
        };
        request.is_signed_with(&keys(&[TOKEN]))
    };
    assert!(signed(url, body), "V7");
    let longer = [body, &b" "[..]].concat();
    assert!(!signed(url, &longer), "a byte more");
    assert!(!signed("https://mfa.example.org/v1/twilio/events", body), "no hash");
}

#[test]
fn the_settings_header_chooses_the_algorithm() {
    let fields = owned(GATHER);
    let signed = |settings, signature| {
        let request = SignedRequest {
            url: "https://mfa.example.org/v1/twilio/gather?txn=7b1e&attempt=2",
            body: SignedBody::Form(&fields),
            signature,
            signature_settings: settings,
        };
        request.is_signed_with(&keys(&[TOKEN]))
    };
    let (sha1, sha256) = ("HY2yztc3emt5StoP+gZJwPkaQ/U=", "Mkr7O/1lb7gG/m16tSk0QdxEPrc2YaZBLphslFXckXg=");
    for (settings, signature, accepted) in [
        (Some("key=SK1,algorithm=HMAC_SHA256"), sha256, true),
        (Some("key=SK1, algorithm=HMAC_SHA256"), sha256, true),
        (Some("key=SK1,algorithm=HMAC_SHA256"), sha1, false),
        (Some("key=SK1,algorithm=HMAC_SHA1"), sha1, true),
        (Some("key=SK1"), sha1, true),
        (Some(""), sha1, true),
        (None, sha1, true),
        (None, sha256, false),
        (Some("key=SK1,algorithm=HMAC_MD5"), sha1, false),
        (Some("key=SK1,algorithm="), sha1, false),
    ] {
        assert_eq!(signed(settings, signature), accepted, "{settings:?} {signature}");
    }
}

#[test]
fn ports_are_found_in_every_form_of_host() {
    for (url, expected) in [
        ("https://h/p", ["https://h/p", "https://h:443/p"]),
        ("https://h", ["https://h", "https://h:443"]),
        ("http://h?q=a:b@c", ["http://h?q=a:b@c", "http://h:80?q=a:b@c"]),
        ("https://u:p@h:8/p?x=1#f", ["https://h/p?x=1", "https://h:8/p?x=1"]),
        ("https://[2001:db8::1]/p", ["https://[2001:db8::1]/p", "https://[2001:db8::1]:443/p"]),
        ("https://[2001:db8::1]:8443/p", ["https://[2001:db8::1]/p", "https://[2001:db8::1]:8443/p"]),
    ] {
        assert_eq!(url_variants(url), Some(expected.map(str::to_owned)), "{url}");
    }
    for url in ["", "/v1/twilio", "ftp://h/p"] {
        assert_eq!(url_variants(url), None, "{url}");
    }
}
