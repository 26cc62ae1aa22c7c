//! The settings of section `simulator`, with the checks that stop a start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use fleet_settings::{NotAllowed, SecretString};
use serde::Deserialize;

/// Every setting with its default and what it means.
pub const DEFAULTS: &str = include_str!("../settings.toml");

/// Section `simulator`; `settings.toml` says what each one means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the providers' APIs are served.
    pub listen: SocketAddr,
    /// Where metrics and health are served.
    pub telemetry_listen: SocketAddr,
    /// The URL under which clients reach `listen`; empty for `http://` and `listen`.
    pub public_url: String,
    /// The account that may place calls.
    pub account_sid: String,
    /// The account's secret.
    pub auth_token: SecretString,
    /// The account of the test credentials; empty for none.
    pub test_account_sid: String,
    /// The secret of the test credentials.
    pub test_auth_token: SecretString,
    /// Numbers that the account owns; empty for all.
    pub numbers: Vec<String>,
    /// Prefixes of the countries that may be called; empty for all.
    pub geo_permissions: Vec<String>,
    /// Callees that a trial account has verified; empty for an account that is not on trial.
    pub trial_verified: Vec<String>,
    /// The secret that webhooks are signed with in place of `auth_token`; empty for none.
    pub shared_key: SecretString,
    /// Whether a Gather's action hears of a callee who hangs up.
    pub hang_up_calls_action: bool,
    /// The Firebase project.
    pub project: String,
    /// The file with the scripts; empty for none.
    pub people: PathBuf,
    /// The script of a number that is not in the file.
    pub default_person: String,
    /// The append-only log.
    pub log: PathBuf,
    /// How much faster than life carrier, people and apps are.
    pub speed: f64,
    /// How much faster than life the network time-outs of webhooks are.
    pub network_speed: f64,
    /// Carrier time from `initiated` to the first ring.
    #[serde(with = "fleet_settings::duration")]
    pub post_dial: Duration,
    /// Calls started per second of real time; 0 for no limit.
    pub calls_per_second: u32,
    /// The least time an answer of the Calls and FCM APIs takes.
    #[serde(with = "fleet_settings::duration")]
    pub provider_delay: Duration,
    /// Calls kept for the API.
    pub keep_calls: usize,
    /// Base URL of the gateway, for the apps.
    pub app_url: String,
    /// How many devices exist beside those in the file.
    pub device_swarm: u64,
    /// What the apps of the swarm do with a push.
    pub swarm: SwarmConduct,
    /// Carrier time from a push to the swarm's answer.
    #[serde(with = "fleet_settings::duration")]
    pub swarm_after: Duration,
}

/// What the apps of the swarm do with a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwarmConduct {
    /// They approve.
    Approves,
    /// They never answer.
    Ignores,
}

impl Settings {
    /// Refuses values that no run could make sense of.
    pub fn check(&self) -> Result<(), NotAllowed> {
        let is_account = |sid: &str| sid.len() == 34 && sid.starts_with("AC");
        let is_http = self.app_url.starts_with("http://") || self.app_url.starts_with("https://");
        let test = &self.test_account_sid;
        let rules = [
            (is_account(&self.account_sid), "simulator.account_sid", "AC and 32 hexadecimal digits"),
            (
                test.is_empty() || (is_account(test) && *test != self.account_sid),
                "simulator.test_account_sid",
                "empty, or AC and 32 hexadecimal digits, other than account_sid",
            ),
            (self.speed > 0.0 && self.speed <= 100_000.0, "simulator.speed", "above 0 and at most 100000"),
            (
                self.network_speed >= 1.0 && self.network_speed <= 1_000.0,
                "simulator.network_speed",
                "from 1 to 1000",
            ),
            (self.keep_calls > 0, "simulator.keep_calls", "at least 1"),
            (!self.project.is_empty(), "simulator.project", "a name"),
            (!self.log.as_os_str().is_empty(), "simulator.log", "the name of a file"),
            (is_http, "simulator.app_url", "an http or https URL"),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, setting, allowed)) => Err(NotAllowed::new(setting, allowed)),
            None => Ok(()),
        }
    }

    /// The base URL that clients use when the API listens at `bound`, without a slash at its end.
    pub fn base_url(&self, bound: SocketAddr) -> String {
        if self.public_url.is_empty() {
            format!("http://{bound}")
        } else {
            self.public_url.trim_end_matches('/').to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(setting: &str) -> Settings {
        let file = format!("[simulator]\n{setting}");
        let all = fleet_settings::Settings::load_from(&[DEFAULTS], Some(&file), std::iter::empty()).unwrap();
        all.section("simulator").unwrap()
    }

    #[test]
    fn defaults_are_allowed_and_documented() {
        let settings = load("");
        assert_eq!(settings.check(), Ok(()));
        assert_eq!(settings.base_url(settings.listen), "http://127.0.0.1:8090");
        assert_eq!(fleet_settings::undocumented(&[DEFAULTS]), Vec::<String>::new());
    }

    #[test]
    fn what_no_run_could_make_sense_of_is_refused_by_name() {
        let table = [
            ("speed = 0.0", "simulator.speed"),
            ("network_speed = 0.5", "simulator.network_speed"),
            ("account_sid = \"AC1\"", "simulator.account_sid"),
            ("app_url = \"gateway:8080\"", "simulator.app_url"),
            ("log = \"\"", "simulator.log"),
        ];
        for (setting, name) in table {
            assert_eq!(load(setting).check().unwrap_err().setting, name);
        }
    }
}
