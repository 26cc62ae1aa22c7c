//! The section `[fcm]`, and the checked profile that a sender is built from.

use std::time::Duration;

use fleet_settings::{ExposeSecret, NotAllowed, SecretString};
use reqwest::Url;
use serde::Deserialize;

use super::token::ServiceAccount;

/// The section `[fcm]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the API is.
    pub base_url: String,
    /// The path of a service account's key, or its JSON.
    pub credentials: SecretString,
    /// The Firebase project; empty for that of the credentials.
    pub project: String,
    /// How long the sending of one push to one device may take.
    #[serde(with = "fleet_settings::duration")]
    pub request_timeout: Duration,
    /// How long to wait for a connection.
    #[serde(with = "fleet_settings::duration")]
    pub connect_timeout: Duration,
    /// How many connections are kept.
    pub connections: u8,
    /// When HTTP/2 is spoken.
    pub http2: Http2,
}

/// When HTTP/2 is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Http2 {
    /// Where TLS negotiates it, which takes one connection for each request until the first is up.
    Auto,
    /// Always: over TLS nothing else is offered.
    PriorKnowledge,
}

/// One project at FCM, checked.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) send_url: Url,
    pub(crate) account: ServiceAccount,
    pub(crate) request_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) connections: u8,
    pub(crate) http2: Http2,
}

impl Settings {
    /// Fails with the name of the first setting that can't be used. Reads the credentials.
    pub fn check(&self) -> Result<(), NotAllowed> {
        self.profile().map(|_| ())
    }

    /// The profile that these settings describe. Fails as [`Settings::check`] does.
    pub(crate) fn profile(&self) -> Result<Profile, NotAllowed> {
        self.check_ranges()?;
        let base_url = self.parsed_base_url()?;
        let account = self.account()?;
        let project = if self.project.is_empty() { account.project() } else { Some(self.project.as_str()) };
        let project = project.filter(|project| is_project(project)).ok_or_else(|| {
            NotAllowed::new(
                "fcm.project",
                "a Firebase project's id; it may be empty where the credentials name one",
            )
        })?;
        let send_url = format!("{base_url}/v1/projects/{project}/messages:send");
        Ok(Profile {
            send_url: Url::parse(&send_url).map_err(|_| not_a_base_url())?,
            account,
            request_timeout: self.request_timeout,
            connect_timeout: self.connect_timeout,
            connections: self.connections,
            http2: self.http2,
        })
    }

    fn check_ranges(&self) -> Result<(), NotAllowed> {
        let seconds = Duration::from_secs;
        if !(seconds(1)..=seconds(30)).contains(&self.request_timeout) {
            return Err(NotAllowed::new("fcm.request_timeout", "1s to 30s"));
        }
        if !(Duration::from_millis(100)..=seconds(10)).contains(&self.connect_timeout)
            || self.connect_timeout >= self.request_timeout
        {
            return Err(NotAllowed::new("fcm.connect_timeout", "100ms to 10s, below fcm.request_timeout"));
        }
        if !(1..=32).contains(&self.connections) {
            return Err(NotAllowed::new("fcm.connections", "1 to 32"));
        }
        Ok(())
    }

    /// The base URL without a slash at its end.
    fn parsed_base_url(&self) -> Result<&str, NotAllowed> {
        let text = self.base_url.trim_end_matches('/');
        Url::parse(text)
            .ok()
            .filter(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.query().is_none()
                    && url.fragment().is_none()
            })
            .map(|_| text)
            .ok_or_else(not_a_base_url)
    }

    fn account(&self) -> Result<ServiceAccount, NotAllowed> {
        let given = self.credentials.expose_secret();
        // A JSON text comes from a value of the form `file:/path`, which was replaced by the file's content.
        let read = if given.starts_with('{') { Ok(given.to_owned()) } else { std::fs::read_to_string(given) };
        let json =
            read.map_err(|error| not_credentials(&format!("the file cannot be read ({})", error.kind())))?;
        ServiceAccount::parse(json.into()).map_err(not_credentials)
    }
}

fn not_a_base_url() -> NotAllowed {
    NotAllowed::new("fcm.base_url", "an http or https URL without user, query or fragment")
}

fn not_credentials(problem: &str) -> NotAllowed {
    NotAllowed::new("fcm.credentials", format!("the path of a service account's key in JSON: {problem}"))
}

/// Whether `text` may stand in a path as a project's id or number. Some ids have the form `example.com:name`.
fn is_project(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::fcm::stub::credentials;

    /// Settings of a project that does not exist.
    pub(crate) fn settings(base_url: &str) -> Settings {
        Settings {
            base_url: base_url.into(),
            credentials: credentials("http://127.0.0.1:9/token").into(),
            project: String::new(),
            request_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_millis(500),
            connections: 2,
            http2: Http2::Auto,
        }
    }

    #[test]
    fn the_defaults_fit_the_struct_and_lack_only_the_credentials() {
        let defaults =
            fleet_settings::Settings::load_from(&[crate::settings::DEFAULTS], None, std::iter::empty())
                .unwrap();
        let mut settings: Settings = defaults.section("fcm").unwrap();
        assert_eq!(settings.http2, Http2::PriorKnowledge);
        assert_eq!(settings.check().unwrap_err().setting, "fcm.credentials");
        settings.credentials = credentials("https://oauth2.googleapis.com/token").into();
        let profile = settings.profile().unwrap();
        assert_eq!(
            profile.send_url.as_str(),
            "https://fcm.googleapis.com/v1/projects/demo-mfa/messages:send"
        );
    }

    #[test]
    fn the_credentials_are_a_path_or_the_json_itself() {
        let path = std::env::temp_dir().join(format!("fcm-credentials-{}.json", std::process::id()));
        std::fs::write(&path, credentials("http://127.0.0.1:9/token")).unwrap();
        let by_path = Settings { credentials: path.to_str().unwrap().into(), ..settings("http://h") };
        assert!(by_path.check().is_ok());
        std::fs::remove_file(&path).unwrap();
        let refused = by_path.check().unwrap_err();
        assert!(refused.to_string().contains("cannot be read"), "{refused}");
    }

    #[test]
    fn every_bad_value_is_refused_by_name() {
        type Change = fn(&mut Settings);
        let cases: [(&str, Change); 14] = [
            ("fcm.base_url", |s| s.base_url = "fcm.googleapis.com".into()),
            ("fcm.base_url", |s| s.base_url = "ftp://fcm.googleapis.com".into()),
            ("fcm.base_url", |s| s.base_url = "https://user:pw@fcm.googleapis.com".into()),
            ("fcm.base_url", |s| s.base_url = "https://fcm.googleapis.com?x=1".into()),
            ("fcm.credentials", |s| s.credentials = "/no/such/file".into()),
            ("fcm.credentials", |s| s.credentials = "{}".into()),
            ("fcm.credentials", |s| s.credentials = r#"{"private_key":"secret"}"#.into()),
            ("fcm.project", |s| s.project = "../other".into()),
            ("fcm.request_timeout", |s| s.request_timeout = Duration::from_secs(31)),
            ("fcm.connect_timeout", |s| s.connect_timeout = Duration::from_millis(99)),
            ("fcm.connect_timeout", |s| s.connect_timeout = s.request_timeout),
            ("fcm.connect_timeout", |s| s.connect_timeout = Duration::from_secs(11)),
            ("fcm.connections", |s| s.connections = 0),
            ("fcm.connections", |s| s.connections = 33),
        ];
        for (setting, change) in cases {
            let mut settings = settings("https://fcm.googleapis.com");
            settings.check().unwrap();
            change(&mut settings);
            let refused = settings.check().unwrap_err();
            assert_eq!(refused.setting, setting);
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
    }

    #[test]
    fn debug_output_shows_no_key() {
        let settings = settings("https://fcm.googleapis.com");
        let shown = format!("{settings:?} {:?}", settings.profile().unwrap());
        assert!(!shown.contains("PRIVATE KEY") && !shown.contains("MII"), "{shown}");
    }
}
