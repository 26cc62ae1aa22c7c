//! The `[outcomes]` section. The reasons for the defaults stand in `settings.toml`.

use std::time::Duration;

use fleet_settings::{ExposeSecret, NotAllowed, SecretString, SettingsError};
use redis::{Client, ConnectionAddr, IntoConnectionInfo, io::tcp::TcpSettings};
use serde::Deserialize;

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("../settings.toml");

/// The section `[outcomes]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where Redis is.
    pub url: SecretString,
    /// First part of every key and channel.
    pub key_prefix: String,
    /// How long opening a connection may take.
    #[serde(with = "fleet_settings::duration")]
    pub connect_timeout: Duration,
    /// How long a command or a batch may take, and how long a caller waits at most.
    #[serde(with = "fleet_settings::duration")]
    pub command_timeout: Duration,
    /// Documents written in one pipeline.
    pub batch_max: usize,
    /// Documents that may wait for the pipeline.
    pub waiting_max: usize,
    /// Age at which a connection is replaced.
    #[serde(with = "fleet_settings::duration")]
    pub connection_age_max: Duration,
}

impl Settings {
    /// The defaults with another `url`, for a process that has no `[outcomes]` section, such as a portal.
    pub fn for_url(url: SecretString) -> Result<Self, SettingsError> {
        let defaults = fleet_settings::Settings::load_from(&[DEFAULTS], None, std::iter::empty())?;
        Ok(Self { url, ..defaults.section("outcomes")? })
    }

    /// Fails with the name of the first setting that can't be used.
    pub fn check(&self) -> Result<(), NotAllowed> {
        let waits = Duration::from_millis(50)..=Duration::from_secs(30);
        let rules = [
            (is_prefix(&self.key_prefix), "outcomes.key_prefix", "1 to 32 of a-z, 0-9 and '-'"),
            (waits.contains(&self.connect_timeout), "outcomes.connect_timeout", "50ms to 30s"),
            (waits.contains(&self.command_timeout), "outcomes.command_timeout", "50ms to 30s"),
            ((1..=4096).contains(&self.batch_max), "outcomes.batch_max", "1 to 4096"),
            (self.waiting_max >= 1, "outcomes.waiting_max", "at least 1"),
            (self.connection_age_max >= Duration::from_secs(1), "outcomes.connection_age_max", "at least 1s"),
        ];
        if let Some((_, setting, allowed)) = rules.into_iter().find(|(holds, ..)| !holds) {
            return Err(NotAllowed::new(setting, allowed));
        }
        self.client().map(|_| ())
    }

    /// A client for `url`. It connects nowhere yet.
    pub(crate) fn client(&self) -> Result<Client, NotAllowed> {
        // The client's own error may quote the address, password included.
        let refused = || {
            let allowed =
                "a redis:// or rediss:// URL; a password with reserved characters is percent-encoded";
            NotAllowed::new("outcomes.url", allowed)
        };
        let info = self.url.expose_secret().trim().into_connection_info().map_err(|_| refused())?;
        // `rediss://…/#insecure` would accept any certificate.
        if !matches!(info.addr(), ConnectionAddr::Tcp(..) | ConnectionAddr::TcpTls { insecure: false, .. }) {
            return Err(refused());
        }
        let tcp = TcpSettings::default().set_nodelay(true);
        // Not told its name: portals' access rules then need no `client|setinfo`.
        let redis = info.redis_settings().clone().set_skip_set_lib_name();
        Client::open(info.set_tcp_settings(tcp).set_redis_settings(redis)).map_err(|_| refused())
    }
}

fn is_prefix(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Settings {
        Settings::for_url("redis://fleet:secret@localhost:6379/0".into()).unwrap()
    }

    #[test]
    fn the_defaults_are_accepted_and_documented() {
        defaults().check().unwrap();
        assert_eq!(fleet_settings::undocumented(&[DEFAULTS]), Vec::<String>::new());
    }

    #[test]
    fn a_bad_setting_is_named_and_its_value_is_not_shown() {
        type Change = fn(&mut Settings);
        let cases: [(&str, Change); 11] = [
            ("outcomes.url", |s| s.url = "http://secret@localhost".into()),
            ("outcomes.url", |s| s.url = "redis+unix:///secret".into()),
            ("outcomes.url", |s| s.url = "rediss://:secret@localhost/#insecure".into()),
            ("outcomes.key_prefix", |s| s.key_prefix = String::new()),
            ("outcomes.key_prefix", |s| s.key_prefix = "a:b".into()),
            ("outcomes.connect_timeout", |s| s.connect_timeout = Duration::ZERO),
            ("outcomes.command_timeout", |s| s.command_timeout = Duration::from_secs(31)),
            ("outcomes.batch_max", |s| s.batch_max = 0),
            ("outcomes.batch_max", |s| s.batch_max = 5000),
            ("outcomes.waiting_max", |s| s.waiting_max = 0),
            ("outcomes.connection_age_max", |s| s.connection_age_max = Duration::ZERO),
        ];
        for (named, change) in cases {
            let mut settings = defaults();
            change(&mut settings);
            let error = settings.check().unwrap_err().to_string();
            assert!(error.starts_with(named), "{named}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
