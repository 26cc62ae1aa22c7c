//! The section `[gateway]`.

use std::net::SocketAddr;
use std::time::Duration;

use fleet_settings::NotAllowed;
use serde::Deserialize;

/// The section's defaults and their meaning.
pub(crate) const DEFAULTS: &str = include_str!("../settings.toml");

/// The section `[gateway]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where providers and apps are served.
    pub listen: SocketAddr,
    /// The largest body that is read, in bytes.
    pub body_limit_bytes: usize,
    /// How long a request may take with everything.
    #[serde(with = "fleet_settings::duration")]
    pub request_timeout: Duration,
    /// How long the head of a request may take to arrive, a connection may be idle, and an answer unread.
    #[serde(with = "fleet_settings::duration")]
    pub head_timeout: Duration,
    /// Connections at the same time.
    pub connections_max: usize,
    /// How old a connection may grow, give or take a tenth, before it is asked to end.
    #[serde(with = "fleet_settings::duration")]
    pub connection_age_max: Duration,
    /// How long a call waits for a key.
    #[serde(with = "fleet_settings::duration")]
    pub gather_timeout: Duration,
    /// PINs that are compared at the same time.
    pub pins_at_once: usize,
    /// Calls with a wrong PIN, since the last right one, after which a user's PIN is locked.
    pub lockout_calls: u16,
    /// For how long it is locked.
    #[serde(with = "fleet_settings::duration")]
    pub lockout_time: Duration,
}

impl Settings {
    /// Checks what the section promises.
    pub fn check(&self) -> Result<(), NotAllowed> {
        let seconds = Duration::from_secs;
        let gather_allowed = seconds(1)..=seconds(60);
        let rules = [
            (
                (4096..=1_048_576).contains(&self.body_limit_bytes),
                "gateway.body_limit_bytes",
                "4096 to 1048576",
            ),
            (
                (Duration::from_millis(200)..=seconds(10)).contains(&self.request_timeout),
                "gateway.request_timeout",
                "200ms to 10s",
            ),
            ((seconds(1)..=seconds(120)).contains(&self.head_timeout), "gateway.head_timeout", "1s to 120s"),
            ((1..=100_000).contains(&self.connections_max), "gateway.connections_max", "1 to 100000"),
            (
                (seconds(1)..=Duration::from_hours(1)).contains(&self.connection_age_max),
                "gateway.connection_age_max",
                "1s to 1h",
            ),
            (
                gather_allowed.contains(&self.gather_timeout) && self.gather_timeout.subsec_nanos() == 0,
                "gateway.gather_timeout",
                "whole seconds, 1s to 60s",
            ),
            ((1..=64).contains(&self.pins_at_once), "gateway.pins_at_once", "1 to 64"),
            ((1..=33).contains(&self.lockout_calls), "gateway.lockout_calls", "1 to 33"),
            (
                (seconds(60)..=seconds(24 * 60 * 60)).contains(&self.lockout_time),
                "gateway.lockout_time",
                "1m to 24h",
            ),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            None => Ok(()),
            Some((_, setting, allowed)) => Err(NotAllowed::new(setting, allowed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(key: &str, value: &str) -> Result<Settings, fleet_settings::SettingsError> {
        let env = std::iter::once((format!("FLEET_GATEWAY__{key}"), value.to_owned()));
        fleet_settings::Settings::load_from(&[DEFAULTS], None, env)?.section("gateway")
    }

    #[test]
    fn the_defaults_are_allowed_and_documented() {
        let defaults = fleet_settings::Settings::load_from(&[DEFAULTS], None, std::iter::empty()).unwrap();
        let settings: Settings = defaults.section("gateway").unwrap();
        assert_eq!(settings.check(), Ok(()));
        assert_eq!(fleet_settings::undocumented(&[DEFAULTS]), Vec::<String>::new());
    }

    #[test]
    fn every_bad_value_is_refused_by_name() {
        for (key, value, setting) in [
            ("BODY_LIMIT_BYTES", "100", "gateway.body_limit_bytes"),
            ("REQUEST_TIMEOUT", "20s", "gateway.request_timeout"),
            ("HEAD_TIMEOUT", "10ms", "gateway.head_timeout"),
            ("CONNECTIONS_MAX", "0", "gateway.connections_max"),
            ("CONNECTION_AGE_MAX", "500ms", "gateway.connection_age_max"),
            ("CONNECTION_AGE_MAX", "2h", "gateway.connection_age_max"),
            ("GATHER_TIMEOUT", "1500ms", "gateway.gather_timeout"),
            ("GATHER_TIMEOUT", "2m", "gateway.gather_timeout"),
            ("PINS_AT_ONCE", "0", "gateway.pins_at_once"),
            ("LOCKOUT_CALLS", "0", "gateway.lockout_calls"),
            ("LOCKOUT_TIME", "1s", "gateway.lockout_time"),
        ] {
            let settings = load(key, value).unwrap();
            assert_eq!(settings.check().unwrap_err().setting, setting, "{value}");
        }
    }
}
