//! Forms of texts that have no type of their own in the domain.

use core::fmt;
use core::net::IpAddr;

use schemars::{Schema, json_schema};

use super::Form;

/// Text that is shown to people: `MIN` to `MAX` characters, none of which controls how text is laid out.
pub(crate) struct Label<const MIN: usize, const MAX: usize>(pub(crate) String);

impl<const MIN: usize, const MAX: usize> Form for Label<MIN, MAX> {
    fn rule() -> String {
        match MIN {
            0 => format!("must be text of at most {MAX} characters without control characters"),
            _ => format!("must be text of {MIN} to {MAX} characters without control characters"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let fits = (MIN..=MAX).contains(&text.chars().count());
        (fits && !text.chars().any(fleet_domain::misleads)).then(|| Self(text.to_owned()))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }

    fn schema() -> Schema {
        json_schema!({
            "type": "string",
            "minLength": MIN,
            "maxLength": MAX,
            "pattern": r"^[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]*$",
        })
    }
}

/// The address from which the person signs in.
pub(crate) struct ClientIp(pub(crate) String);

impl Form for ClientIp {
    fn rule() -> String {
        "must be an IPv4 or IPv6 address".into()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse::<IpAddr>().is_ok().then(|| Self(text.to_owned()))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] })
    }
}

/// A language tag, by its shape (BCP 47): whether there is such a language is not looked up.
pub(crate) struct Locale(pub(crate) String);

impl Form for Locale {
    fn rule() -> String {
        "must be a language tag (BCP 47) of at most 35 characters, such as en-US".into()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let language = parts.next().unwrap_or_default();
        let right = text.len() <= 35
            && (2..=8).contains(&language.len())
            && language.bytes().all(|b| b.is_ascii_alphabetic())
            && parts
                .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
        right.then(|| Self(text.to_owned()))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }

    fn schema() -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 35,
            "pattern": "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$",
        })
    }
}

/// A trace context as HTTP carries it (W3C Trace Context, version 00).
pub(crate) struct Traceparent(pub(crate) String);

impl Form for Traceparent {
    fn rule() -> String {
        "must be a W3C traceparent of version 00, with ids that are not all zeros".into()
    }

    fn parse(text: &str) -> Option<Self> {
        let hex = |part: &str, length| {
            part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let id = |part: &str, length| hex(part, length) && part.bytes().any(|b| b != b'0');
        let parts: Vec<&str> = text.splitn(5, '-').collect();
        let right = match parts.as_slice() {
            ["00", trace, parent, flags] => id(trace, 32) && id(parent, 16) && hex(flags, 2),
            _ => false,
        };
        right.then(|| Self(text.to_owned()))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }

    fn schema() -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$",
        })
    }
}

/// One fixed text.
macro_rules! constant_form {
    ($(#[$doc:meta])* $name:ident, $text:literal) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl Form for $name {
            fn rule() -> String {
                concat!("must be ", $text).into()
            }

            fn parse(text: &str) -> Option<Self> {
                (text == $text).then_some(Self)
            }

            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($text)
            }

            fn schema() -> Schema {
                json_schema!({ "type": "string", "const": $text })
            }
        }
    };
}

constant_form!(
    /// The version of CloudEvents.
    SpecVersion,
    "1.0"
);
constant_form!(
    /// The media type of `data`.
    JsonContent,
    "application/json"
);
