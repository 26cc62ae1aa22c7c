//! The `[records]` section. The reasons for the defaults stand in `settings.toml`.

use std::time::Duration;

use fleet_settings::{ExposeSecret, NotAllowed, SecretString, SettingsError};
use serde::Deserialize;

/// The defaults and the reference of the settings.
pub const DEFAULTS: &str = include_str!("../settings.toml");

/// Settings `[records]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where PostgreSQL is.
    pub url: SecretString,
    /// The schema that holds the tables.
    pub schema: String,
    /// Connections of this process at most.
    pub pool_size: usize,
    /// How long opening a connection may take.
    #[serde(with = "fleet_settings::duration")]
    pub connect_timeout: Duration,
    /// How long PostgreSQL works on one statement at most.
    #[serde(with = "fleet_settings::duration")]
    pub statement_timeout: Duration,
    /// How long a statement waits for a lock at most.
    #[serde(with = "fleet_settings::duration")]
    pub lock_timeout: Duration,
    /// How long one unit of work may take with everything.
    #[serde(with = "fleet_settings::duration")]
    pub unit_timeout: Duration,
    /// Transitions that share one commit at most.
    pub batch_max: usize,
    /// For how many days challenges and their audit rows are kept.
    pub days_kept: u16,
}

impl Settings {
    /// The defaults with another `url`.
    pub fn for_url(url: SecretString) -> Result<Self, SettingsError> {
        let defaults = fleet_settings::Settings::load_from(&[DEFAULTS], None, std::iter::empty())?;
        Ok(Self { url, ..defaults.section("records")? })
    }

    /// Fails with the name of the first setting that can't be used.
    pub fn check(&self) -> Result<(), NotAllowed> {
        self.target()?;
        let seconds = Duration::from_secs;
        let rules = [
            (
                is_schema(&self.schema),
                "records.schema",
                "1 to 63 of a-z, 0-9 and '_', not beginning with a digit",
            ),
            ((6..=200).contains(&self.pool_size), "records.pool_size", "6 to 200"),
            (
                !self.connect_timeout.is_zero() && self.connect_timeout <= seconds(10),
                "records.connect_timeout",
                "more than 0s, at most 10s",
            ),
            (!self.lock_timeout.is_zero(), "records.lock_timeout", "more than 0s"),
            (
                self.lock_timeout < self.statement_timeout,
                "records.statement_timeout",
                "more than records.lock_timeout",
            ),
            (
                self.statement_timeout < self.unit_timeout && self.unit_timeout <= seconds(60),
                "records.unit_timeout",
                "more than records.statement_timeout, at most 60s",
            ),
            ((1..=1000).contains(&self.batch_max), "records.batch_max", "1 to 1000"),
            ((1..=3650).contains(&self.days_kept), "records.days_kept", "1 to 3650"),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, setting, allowed)) => Err(NotAllowed::new(setting, allowed)),
            None => Ok(()),
        }
    }

    /// The parsed `url`.
    pub(crate) fn target(&self) -> Result<tokio_postgres::Config, NotAllowed> {
        self.url
            .expose_secret()
            .trim()
            .parse()
            .map_err(|_| NotAllowed::new("records.url", "postgresql://user:password@host:port/database"))
    }
}

fn is_schema(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Settings {
        Settings::for_url("postgresql://fleet:secret@localhost/fleet".into()).unwrap()
    }

    #[test]
    fn the_defaults_are_accepted() {
        defaults().check().unwrap();
    }

    #[test]
    fn a_bad_setting_is_named_and_its_value_is_not_shown() {
        type Change = fn(&mut Settings);
        let cases: [(&str, Change); 11] = [
            ("records.url", |s| s.url = "mysql://secret@localhost/x".into()),
            ("records.schema", |s| s.schema = "public, pg_catalog".into()),
            ("records.schema", |s| s.schema = "1st".into()),
            ("records.schema", |s| s.schema.clear()),
            ("records.pool_size", |s| s.pool_size = 1),
            ("records.connect_timeout", |s| s.connect_timeout = Duration::ZERO),
            ("records.lock_timeout", |s| s.lock_timeout = Duration::ZERO),
            ("records.statement_timeout", |s| s.statement_timeout = Duration::from_millis(500)),
            ("records.unit_timeout", |s| s.unit_timeout = Duration::from_millis(1500)),
            ("records.batch_max", |s| s.batch_max = 0),
            ("records.days_kept", |s| s.days_kept = 0),
        ];
        for (named, change) in cases {
            let mut settings = defaults();
            change(&mut settings);
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains(named), "{named}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
