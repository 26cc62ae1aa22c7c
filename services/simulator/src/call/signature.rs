//! `X-Twilio-Signature`: an HMAC over the URL as configured and the POST parameters.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// The id that webhooks name as their SharedKey's.
const SHARED_KEY_ID: &str = "webhooks_sharedkey_00000000000000000000000001";

/// What webhooks are signed with.
#[derive(Clone, Debug)]
pub(crate) enum Secret {
    /// The account's: HMAC-SHA1.
    AuthToken(String),
    /// One that was made for webhooks: HMAC-SHA256.
    SharedKey(String),
}

impl Secret {
    /// The value of `X-Twilio-Webhooks-Signature-Settings`, which only a shared key has.
    pub(crate) fn settings(&self) -> Option<String> {
        match self {
            Self::AuthToken(_) => None,
            Self::SharedKey(_) => Some(format!("key={SHARED_KEY_ID},algorithm=HMAC_SHA256")),
        }
    }

    fn key(&self) -> hmac::Key {
        match self {
            Self::AuthToken(token) => hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes()),
            Self::SharedKey(secret) => hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
        }
    }
}

/// The signature of a request to `url`; `posted` is empty for GET.
pub(crate) fn sign(secret: &Secret, url: &str, posted: &[(&str, &str)]) -> String {
    let mut text = signed_url(url);
    // Names in byte order; of a repeated name, the set of its values, sorted.
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in posted {
        values.entry(name).or_default().insert(value);
    }
    for (name, values) in values {
        for value in values {
            text.push_str(name);
            text.push_str(value);
        }
    }
    STANDARD.encode(hmac::sign(&secret.key(), text.as_bytes()))
}

/// The URL as Voice signs it: without fragment and user, and with https without its port.
fn signed_url(url: &str) -> String {
    let url = url.split_once('#').map_or(url, |(before, _)| before);
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((name, port)) if scheme == "https" && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: &str = "4f9c1d7e2ab84c06b3d5e8f7a1902c6d";
    const B: &str = "https://mfa.example.org/v1/twilio";
    const ENDED: &[(&str, &str)] = &[
        ("CallDuration", "17"),
        ("CallSid", "CA0000000000000000000000000000000B"),
        ("CallStatus", "completed"),
        ("SequenceNumber", "3"),
    ];

    fn check(token: &str, url: &str, posted: &[(&str, &str)], expected: &str) {
        assert_eq!(sign(&Secret::AuthToken(token.to_owned()), url, posted), expected, "{url}");
    }

    /// V1, V2, V2s, V3 and V4: what Twilio's own validator computes for form posts.
    #[test]
    fn form_posts_sign_as_twilios_helper_does() {
        let documented = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675310"),
            ("Digits", "1234"),
            ("From", "+14158675310"),
            ("To", "+18005551212"),
        ];
        check(
            "12345",
            "https://example.com/myapp.php?foo=1&bar=2",
            &documented,
            "L/OH5YylLD5NRKLltdqwSvS0BnU=",
        );
        let gather = [
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
        check(T, &format!("{B}/gather?txn=7b1e&attempt=2"), &gather, "HY2yztc3emt5StoP+gZJwPkaQ/U=");
        let shared = Secret::SharedKey(T.to_owned());
        let signed = sign(&shared, &format!("{B}/gather?txn=7b1e&attempt=2"), &gather);
        assert_eq!(signed, "Mkr7O/1lb7gG/m16tSk0QdxEPrc2YaZBLphslFXckXg=");
        let unicode = [
            ("CallSid", "CA00000000000000000000000000000008"),
            ("CallerCity", "ZÜRICH"),
            ("CalledCity", "São Paulo"),
            ("ToZip", ""),
            ("SpeechResult", "да, подтверждаю ✅"),
            ("From", "+41435550100"),
            ("To", "+5511955501234"),
        ];
        check(T, &format!("{B}/voice"), &unicode, "36V7KEldc/KIr8NmDjfAj5URcr8=");
        let repeated = [
            ("CallSid", "CA00000000000000000000000000000009"),
            ("Tag", "ringing"),
            ("Tag", "answered"),
            ("Tag", "initiated"),
            ("Tag", "ringing"),
            ("To", "+14155550123"),
        ];
        check(T, &format!("{B}/status"), &repeated, "eWT565hMpiYz2SOpLV9z6TQ0XYE=");
    }

    /// V5 and V7: nothing follows the URL.
    #[test]
    fn get_and_json_requests_sign_the_url_alone() {
        let get = "/voice?txn=7b1e&AccountSid=AC00000000000000000000000000000001\
                   &CallSid=CA0000000000000000000000000000000A&CallStatus=in-progress\
                   &From=%2B15005550006&To=%2B14155550123";
        check(T, &format!("{B}{get}"), &[], "KuU0rE+8QJncj3BppKVxlyiWX6U=");
        let json = "/events?bodySHA256=3e9736d9aa4c836f3465fb9c3e85a0ef85f0e1bc5f6a760184131518070a8fac";
        check(T, &format!("{B}{json}"), &[], "ZO3EMCRtTd+0kxSFA2m1wH2Bh7U=");
    }

    /// V6a and V6c; V6b and V6d are what a receiver computes that adds the port, never what Voice sends.
    #[test]
    fn http_keeps_the_port_and_https_drops_it() {
        check(T, "http://127.0.0.1:8089/v1/twilio/status", ENDED, "a7BOS+zRbC0y/y16MMdVld1BLbY=");
        for host in
            ["mfa.example.org", "mfa.example.org:8443", "mfa.example.org:443", "me:pw@mfa.example.org"]
        {
            check(T, &format!("https://{host}/v1/twilio/status"), ENDED, "1UJXirHAwAuRdBlg6sNRB01OqfU=");
        }
    }

    /// V8, V9 and V10.
    #[test]
    fn names_sort_by_bytes_and_query_stays_raw_and_fragment_is_dropped() {
        let names = [("b", "1"), ("A", "2"), ("a", "3"), ("B", "4"), ("a1", "5")];
        check(T, "https://mfa.example.org/s", &names, "DNkoVL2WmZByDmvJ83HM5JxKUNQ=");
        let raw = [("CallSid", "CA0000000000000000000000000000000D"), ("To", "+14155550123")];
        check(T, &format!("{B}/voice?name=J%C3%B6rg%20M&q=a+b"), &raw, "l6z03JleOQ9TKJD6CaB7wFlUH9I=");
        let one = [("CallSid", "CA0000000000000000000000000000000E")];
        check(T, &format!("{B}/voice#rc=2&rp=all"), &one, "0ckCA85wJBumGgfN536y0x4a2sI=");
    }
}
