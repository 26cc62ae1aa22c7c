//! What a device is activated with: the code, as a QR code or typed, and what the app says of itself.

use std::fmt;

use fleet_domain::TypedCode;
use serde::Serialize;

/// The beginning of a QR code's text.
const SCHEME: &str = "mfa-fleet://activate?";
/// The version of the protocol.
const VERSION: &str = "1";
/// Characters of the code in a QR code.
const LONG_CODE: usize = 22;

/// An activation code with the base URL that it came with. `Debug` masks the code.
#[derive(Clone, PartialEq, Eq)]
pub struct Activation {
    pub(crate) url: String,
    pub(crate) code: String,
}

/// Why a text is no activation code; each says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidActivation {
    /// The QR code is for something else.
    #[error("this is no activation code of this fleet: it begins with mfa-fleet://activate?")]
    OtherScheme,
    /// A newer protocol.
    #[error("this code needs a newer app: it speaks another version of the protocol than 1")]
    OtherVersion,
    /// A part is missing, comes twice, or has not the form that it must have.
    #[error("the QR code is damaged: scan it again")]
    Damaged,
    /// The check character does not fit.
    #[error(
        "the code was mistyped: it has 12 letters and digits, without 0, 1, I, L, O and U; compare it with the page"
    )]
    Mistyped,
    /// The URL is no place to send a secret to.
    #[error(
        "the URL must be the one that the page shows beside the code: https://, or http:// on this machine alone"
    )]
    Url,
}

impl Activation {
    /// Reads the text of a QR code: `mfa-fleet://activate?v=1&url=…&code=…`.
    pub fn scan(text: &str) -> Result<Self, InvalidActivation> {
        let query = text.trim().strip_prefix(SCHEME).ok_or(InvalidActivation::OtherScheme)?;
        let (mut version, mut url, mut code) = (None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "v" => &mut version,
                "url" => &mut url,
                "code" => &mut code,
                _ => continue,
            };
            // Two readers could disagree on which one counts.
            if place.replace(value.into_owned()).is_some() {
                return Err(InvalidActivation::Damaged);
            }
        }
        if version.ok_or(InvalidActivation::Damaged)? != VERSION {
            return Err(InvalidActivation::OtherVersion);
        }
        let code = code.filter(|code| is_long(code)).ok_or(InvalidActivation::Damaged)?;
        // As it came: it is what the fleet calls itself, and what the device signs.
        let url = url.ok_or(InvalidActivation::Damaged)?;
        base_url(&url)?;
        Ok(Self { url: url.trim().trim_end_matches('/').to_owned(), code })
    }

    /// Takes a code that was typed, with the base URL that the page shows. Small letters, blanks and hyphens make no difference,
    /// nor do capitals in the URL's host.
    pub fn typed(code: &str, url: &str) -> Result<Self, InvalidActivation> {
        let url = base_url(url)?;
        let code = TypedCode::parse(code).map_err(|_| InvalidActivation::Mistyped)?;
        Ok(Self { url, code: code.to_string() })
    }

    /// The base URL: whom the code will be sent to.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activation").field("url", &self.url).field("code", &"***").finish()
    }
}

fn is_long(code: &str) -> bool {
    code.len() == LONG_CODE && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The base URL as browsers write it, without a slash at its end. In clear only to this machine, where nobody is between.
fn base_url(text: &str) -> Result<String, InvalidActivation> {
    let url = reqwest::Url::parse(text.trim()).map_err(|_| InvalidActivation::Url)?;
    let host = url.host_str().unwrap_or_default();
    let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_here);
    let names_nobody = url.username().is_empty() && url.password().is_none();
    let is_bare = names_nobody && url.query().is_none() && url.fragment().is_none();
    if is_safe && is_bare && !host.is_empty() {
        Ok(url.as_str().trim_end_matches('/').to_owned())
    } else {
        Err(InvalidActivation::Url)
    }
}

/// What the app runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// Android.
    Android,
    /// iOS.
    Ios,
    /// Anything else.
    Other,
}

/// Where pushes go. `Debug` masks it.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Push {
    /// An FCM registration token.
    Token(String),
    /// A Firebase installation id.
    Fid(String),
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Push(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "0f9ZvDk0TRiZ6YbRk1PTcg";

    fn scan(query: &str) -> Result<Activation, InvalidActivation> {
        Activation::scan(&format!("mfa-fleet://activate?{query}"))
    }

    #[test]
    fn a_qr_code_has_version_url_and_code_once_each() {
        let good = format!("v=1&url=https%3A%2F%2Fmfa.example.org&code={CODE}");
        let read = scan(&good).unwrap();
        assert_eq!((read.url(), &*read.code), ("https://mfa.example.org", CODE));
        assert_eq!(scan(&format!("{good}&later=1")).unwrap(), read);
        assert!(!format!("{read:?}").contains(CODE));
        for (query, expected) in [
            (good.replace("v=1&", ""), InvalidActivation::Damaged),
            (good.replace("v=1", "v=2"), InvalidActivation::OtherVersion),
            (format!("{good}&code={CODE}"), InvalidActivation::Damaged),
            (good.replace(CODE, &CODE[1..]), InvalidActivation::Damaged),
            (good.replace(CODE, "0f9ZvDk0TRiZ6YbRk1PTc%2F"), InvalidActivation::Damaged),
            (good.replace("&url=https%3A%2F%2Fmfa.example.org", ""), InvalidActivation::Damaged),
            (good.replace("https", "http"), InvalidActivation::Url),
        ] {
            assert_eq!(scan(&query), Err(expected), "{query}");
        }
        assert_eq!(Activation::scan("otpauth://totp/x?secret=AAAA"), Err(InvalidActivation::OtherScheme));
    }

    #[test]
    fn a_typed_code_is_checked_before_anybody_is_asked() {
        let shown = TypedCode::of(0x0123_4567_89ab_cdef).to_string();
        let url = "https://mfa.example.org/";
        let typed = Activation::typed(&shown.to_lowercase().replace('-', " "), url).unwrap();
        assert_eq!((&typed.code, typed.url()), (&shown, "https://mfa.example.org"));
        let shouted = Activation::typed(&shown, "HTTPS://MFA.Example.org:443").unwrap();
        assert_eq!(shouted.url(), "https://mfa.example.org");
        let swapped: String = shown.chars().rev().collect();
        for bad in [swapped.as_str(), "", CODE, "0000-0000-0000"] {
            assert_eq!(Activation::typed(bad, url), Err(InvalidActivation::Mistyped), "{bad}");
        }
    }

    #[test]
    fn codes_go_nowhere_in_clear_but_to_this_machine() {
        for (url, good) in [
            ("https://mfa.example.org", true),
            ("https://mfa.example.org:8443/base", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080", true),
            ("http://mfa.example.org", false),
            ("http://localhost.example.org", false),
            ("https://mfa.example.org@evil.example", false),
            ("https://:mfa.example.org@evil.example", false),
            ("https://mfa.example.org?x=1", false),
            ("ftp://mfa.example.org", false),
            ("mfa.example.org", false),
        ] {
            assert_eq!(base_url(url).is_ok(), good, "{url}");
        }
    }
}
