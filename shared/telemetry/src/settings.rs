//! The section `[telemetry]`.

use std::net::SocketAddr;

use fleet_settings::NotAllowed;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("../settings.toml");

/// The section `[telemetry]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address of the admin port.
    pub listen: SocketAddr,
    /// The log filter.
    pub log: String,
    /// The form of the log lines.
    pub format: LogFormat,
}

impl Settings {
    /// Checks what the types cannot say.
    pub fn check(&self) -> Result<(), NotAllowed> {
        let allowed = "a level (error, warn, info, debug, trace) or a list such as info,fleet_broker=debug";
        match EnvFilter::try_new(&self.log) {
            Ok(_) => Ok(()),
            Err(_) => Err(NotAllowed::new("telemetry.log", allowed)),
        }
    }

    /// The part that `init_logs` needs.
    pub fn logs(&self) -> LogSettings {
        LogSettings { filter: self.log.clone(), format: self.format }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// A level, or levels by module, in the form of `RUST_LOG`.
    pub filter: String,
    /// The form of the lines.
    pub format: LogFormat,
}

/// The form of the log lines.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(log: Option<&str>) -> Settings {
        let env = log.map(|log| ("FLEET_TELEMETRY__LOG".to_owned(), log.to_owned()));
        let settings = fleet_settings::Settings::load_from(&[DEFAULTS], None, env.into_iter()).unwrap();
        settings.section("telemetry").unwrap()
    }

    #[test]
    fn defaults_are_allowed_and_documented() {
        let settings = load(None);
        assert_eq!(settings.check(), Ok(()));
        assert_eq!((settings.listen.port(), settings.logs().filter.as_str()), (9464, "info"));
        assert_eq!(fleet_settings::undocumented(&[DEFAULTS]), Vec::<String>::new());
    }

    #[test]
    fn log_filters_are_checked() {
        for (log, allowed) in
            [("debug", true), ("info,fleet_broker=debug", true), ("fleet_broker=loud", false)]
        {
            assert_eq!(load(Some(log)).check().is_ok(), allowed, "{log}");
        }
    }
}
