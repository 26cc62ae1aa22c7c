//! `X-Twilio-Signature`: whether a webhook was sent by whoever holds the account's key.
//!
//! The rules are those of the carrier's own libraries, some of them undocumented: the sender may leave out the port that the URL was
//! configured with or name one that it was not, and repeated fields count as a sorted set.
//! <https://www.twilio.com/docs/usage/security#validating-requests>

use std::collections::{BTreeMap, BTreeSet};

use fleet_keys::{constant_time_eq, hmac_sha1_base64, hmac_sha256_base64, sha256_hex};
use fleet_settings::{ExposeSecret, SecretString};

/// What of a request's body is signed.
#[derive(Clone, Copy)]
pub enum SignedBody<'a> {
    /// A GET: nothing beside the URL.
    Absent,
    /// A form POST: every field, decoded and untrimmed.
    Form(&'a [(String, String)]),
    /// Any other body, raw: its hash stands in the URL.
    Raw(&'a [u8]),
}

/// A webhook with the parts that its signature covers. No `Debug`: the URL holds the attempt's token, the form the keyed digits.
#[derive(Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The URL as the carrier was given it (public scheme and host, not those behind a proxy), with the query exactly as received.
    pub url: &'a str,
    /// The body.
    pub body: SignedBody<'a>,
    /// Header `X-Twilio-Signature`.
    pub signature: &'a str,
    /// Header `X-Twilio-Webhooks-Signature-Settings`, which names the algorithm where it is not the usual one.
    pub signature_settings: Option<&'a str>,
}

impl SignedRequest<'_> {
    /// Whether one of `keys` made the signature. Compares in constant time.
    pub fn is_signed_with(&self, keys: &[SecretString]) -> bool {
        let Some(mac) = algorithm(self.signature_settings) else { return false };
        let fields = match self.body {
            SignedBody::Absent => String::new(),
            SignedBody::Form(fields) => joined(fields),
            SignedBody::Raw(body) if has_hash_of(self.url, body) => String::new(),
            SignedBody::Raw(_) => return false,
        };
        let Some(urls) = url_variants(self.url) else { return false };
        let mut found = false;
        for url in urls {
            let signed = url + &fields;
            for key in keys {
                let expected = mac(key.expose_secret().as_bytes(), signed.as_bytes());
                found |= constant_time_eq(expected.as_bytes(), self.signature.as_bytes());
            }
        }
        found
    }
}

type Mac = fn(&[u8], &[u8]) -> String;

/// The header looks like `key=<id>,algorithm=HMAC_SHA256`. `None` for an algorithm that is not known.
fn algorithm(settings: Option<&str>) -> Option<Mac> {
    let name =
        settings.unwrap_or_default().split(',').find_map(|part| part.trim().strip_prefix("algorithm="));
    match name {
        None | Some("HMAC_SHA1") => Some(hmac_sha1_base64),
        Some("HMAC_SHA256") => Some(hmac_sha256_base64),
        Some(_) => None,
    }
}

/// Names in byte order, each followed by its value; of a repeated name every different value, sorted.
fn joined(fields: &[(String, String)]) -> String {
    let mut sorted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in fields {
        sorted.entry(name).or_default().insert(value);
    }
    sorted.iter().flat_map(|(name, values)| values.iter().flat_map(move |value| [*name, *value])).collect()
}

fn has_hash_of(url: &str, body: &[u8]) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("bodySHA256="))
        .is_some_and(|hash| constant_time_eq(hash.as_bytes(), sha256_hex(body).as_bytes()))
}

/// The URL without fragment and user, once without a port and once with the configured or the scheme's own one.
fn url_variants(url: &str) -> Option<[String; 2]> {
    let url = url.split('#').next()?;
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let own_port = match scheme {
        "https" => "443",
        "http" => "80",
        _ => return None,
    };
    // The colons within the brackets of an IPv6 address are no port's.
    let (host, port) = match host_and_port.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        Some(_) | None => (host_and_port, own_port),
    };
    Some([format!("{scheme}://{host}{path}"), format!("{scheme}://{host}:{port}{path}")])
}

#[cfg(test)]
mod tests;
