//! The `[twilio]` section, and the checked profile that a carrier is built from.

use std::time::Duration;

use fleet_domain::PhoneNumber;
use fleet_settings::{ExposeSecret, NotAllowed, SecretString};
use reqwest::Url;
use serde::Deserialize;

use crate::signature::SignedRequest;

/// The defaults and the reference of the settings.
pub const DEFAULTS: &str = include_str!("../settings.toml");

/// Settings `[twilio]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What operators and metrics call the carrier.
    pub name: String,
    /// Calls that the whole fleet gives the carrier in a second, where nobody has set a rate yet.
    pub calls_per_second: u16,
    /// Where the API is.
    pub base_url: String,
    /// The account's SID.
    pub account_sid: String,
    /// The account's auth token.
    pub auth_token: SecretString,
    /// A second key accepted in webhook signatures; empty when there is none.
    pub secondary_auth_token: SecretString,
    /// Numbers to call from, the preferred one first.
    pub caller_ids: Vec<String>,
    /// The carrier ends a call after this time.
    #[serde(with = "fleet_settings::duration")]
    pub time_limit: Duration,
    /// How long to wait for a connection.
    #[serde(with = "fleet_settings::duration")]
    pub connect_timeout: Duration,
    /// How long to wait for a whole answer.
    #[serde(with = "fleet_settings::duration")]
    pub request_timeout: Duration,
}

/// One account at one carrier, checked.
#[derive(Debug, Clone)]
pub struct Profile {
    pub(crate) base_url: Url,
    pub(crate) account_sid: String,
    pub(crate) auth_token: SecretString,
    pub(crate) time_limit: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    signing_keys: Vec<SecretString>,
    caller_ids: Vec<PhoneNumber>,
}

impl Settings {
    /// Fails with the name of the first setting that can't be used.
    pub fn check(&self) -> Result<(), NotAllowed> {
        self.profile().map(|_| ())
    }

    /// The profile that these settings describe. Fails as [`Settings::check`] does.
    pub fn profile(&self) -> Result<Profile, NotAllowed> {
        self.check_durations()?;
        self.check_pace()?;
        Ok(Profile {
            base_url: self.parsed_base_url()?,
            account_sid: self.checked_account_sid()?,
            auth_token: self.checked_auth_token()?,
            time_limit: self.time_limit,
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            signing_keys: [&self.auth_token, &self.secondary_auth_token]
                .into_iter()
                .filter(|key| !key.expose_secret().is_empty())
                .cloned()
                .collect(),
            caller_ids: self.parsed_caller_ids()?,
        })
    }

    fn check_durations(&self) -> Result<(), NotAllowed> {
        let seconds = Duration::from_secs;
        if !(seconds(15)..=seconds(600)).contains(&self.time_limit) {
            return Err(NotAllowed::new("twilio.time_limit", "15s to 10m"));
        }
        if !(seconds(1)..=seconds(30)).contains(&self.request_timeout) {
            return Err(NotAllowed::new("twilio.request_timeout", "1s to 30s"));
        }
        if !(Duration::from_millis(100)..=seconds(10)).contains(&self.connect_timeout)
            || self.connect_timeout >= self.request_timeout
        {
            return Err(NotAllowed::new(
                "twilio.connect_timeout",
                "100ms to 10s, below twilio.request_timeout",
            ));
        }
        Ok(())
    }

    fn check_pace(&self) -> Result<(), NotAllowed> {
        let of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=32).contains(&self.name.len()) || !self.name.bytes().all(of_name) {
            return Err(NotAllowed::new("twilio.name", "1 to 32 of a-z, 0-9 and '-'"));
        }
        if !(1..=10_000).contains(&self.calls_per_second) {
            return Err(NotAllowed::new("twilio.calls_per_second", "1 to 10000"));
        }
        Ok(())
    }

    fn parsed_base_url(&self) -> Result<Url, NotAllowed> {
        Url::parse(self.base_url.trim_end_matches('/'))
            .ok()
            .filter(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.query().is_none()
                    && url.fragment().is_none()
            })
            .ok_or_else(|| {
                NotAllowed::new("twilio.base_url", "an http or https URL without user, query or fragment")
            })
    }

    fn checked_account_sid(&self) -> Result<String, NotAllowed> {
        if is_sid(&self.account_sid) {
            Ok(self.account_sid.clone())
        } else {
            Err(NotAllowed::new(
                "twilio.account_sid",
                "the account's SID (letters, digits and '-'); it has no default",
            ))
        }
    }

    fn checked_auth_token(&self) -> Result<SecretString, NotAllowed> {
        if self.auth_token.expose_secret().is_empty() {
            return Err(NotAllowed::new("twilio.auth_token", "the account's auth token; it has no default"));
        }
        Ok(self.auth_token.clone())
    }

    fn parsed_caller_ids(&self) -> Result<Vec<PhoneNumber>, NotAllowed> {
        let numbers: Result<Vec<_>, _> = self.caller_ids.iter().map(|id| PhoneNumber::parse(id)).collect();
        numbers.ok().filter(|numbers| !numbers.is_empty()).ok_or_else(|| {
            NotAllowed::new("twilio.caller_ids", "at least one number in E.164 form (+19195550100)")
        })
    }
}

impl Profile {
    /// Numbers to call from, the preferred one first; never empty.
    pub fn caller_ids(&self) -> &[PhoneNumber] {
        &self.caller_ids
    }

    /// The carrier ends a call after this time.
    pub const fn time_limit(&self) -> Duration {
        self.time_limit
    }

    /// An answer is unclear when it has not come by then.
    pub const fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// Whether this account signed the request.
    pub fn has_signed(&self, request: &SignedRequest<'_>) -> bool {
        request.is_signed_with(&self.signing_keys)
    }
}

/// Whether `text` may stand in a path as an identifier. Twilio's are two letters and 32 hex digits, other carriers use UUIDs.
pub(crate) fn is_sid(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Settings of an account that does not exist.
    pub(crate) fn settings(base_url: &str) -> Settings {
        Settings {
            name: "twilio".into(),
            calls_per_second: 1,
            base_url: base_url.into(),
            account_sid: "AC00000000000000000000000000000001".into(),
            auth_token: "4f9c1d7e2ab84c06b3d5e8f7a1902c6d".into(),
            secondary_auth_token: "".into(),
            caller_ids: vec!["+15005550006".into()],
            time_limit: Duration::from_mins(2),
            connect_timeout: Duration::from_millis(500),
            request_timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn the_defaults_fit_the_struct_and_lack_only_the_account() {
        let defaults = fleet_settings::Settings::load_from(&[DEFAULTS], None, std::iter::empty()).unwrap();
        let mut settings: Settings = defaults.section("twilio").unwrap();
        assert_eq!(settings.check().unwrap_err().setting, "twilio.account_sid");
        settings.account_sid = "AC1".into();
        assert_eq!(settings.check().unwrap_err().setting, "twilio.auth_token");
        settings.auth_token = "t".into();
        assert_eq!(settings.check().unwrap_err().setting, "twilio.caller_ids");
        settings.caller_ids = vec!["+15005550006".into()];
        settings.check().unwrap();
    }

    #[test]
    fn every_bad_value_is_refused_by_name() {
        type Change = fn(&mut Settings);
        let cases: [(&str, Change); 17] = [
            ("twilio.name", |s| s.name = String::new()),
            ("twilio.name", |s| s.name = "Twilio".into()),
            ("twilio.calls_per_second", |s| s.calls_per_second = 0),
            ("twilio.calls_per_second", |s| s.calls_per_second = 10_001),
            ("twilio.base_url", |s| s.base_url = "api.twilio.com".into()),
            ("twilio.base_url", |s| s.base_url = "ftp://api.twilio.com".into()),
            ("twilio.base_url", |s| s.base_url = "https://user:pw@api.twilio.com".into()),
            ("twilio.base_url", |s| s.base_url = "https://api.twilio.com?x=1".into()),
            ("twilio.account_sid", |s| s.account_sid = "AC1/../AC2".into()),
            ("twilio.auth_token", |s| s.auth_token = "".into()),
            ("twilio.caller_ids", |s| s.caller_ids = vec!["anonymous".into()]),
            ("twilio.time_limit", |s| s.time_limit = Duration::from_secs(14)),
            ("twilio.time_limit", |s| s.time_limit = Duration::from_secs(601)),
            ("twilio.request_timeout", |s| s.request_timeout = Duration::from_secs(31)),
            ("twilio.connect_timeout", |s| s.connect_timeout = Duration::from_millis(99)),
            ("twilio.connect_timeout", |s| s.connect_timeout = s.request_timeout),
            ("twilio.connect_timeout", |s| s.connect_timeout = Duration::from_secs(11)),
        ];
        for (setting, change) in cases {
            let mut settings = settings("https://api.twilio.com");
            settings.check().unwrap();
            change(&mut settings);
            assert_eq!(settings.check().unwrap_err().setting, setting);
        }
    }

    #[test]
    fn debug_output_shows_no_token_and_no_number() {
        let profile = settings("https://api.twilio.com").profile().unwrap();
        let shown = format!("{profile:?}");
        assert!(!shown.contains("4f9c1d7e") && !shown.contains("5005550006"), "{shown}");
    }
}
