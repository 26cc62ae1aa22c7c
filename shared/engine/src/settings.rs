//! The section `[engine]`.

use std::time::Duration;

use fleet_settings::NotAllowed;

/// The section's defaults and their meaning.
pub const DEFAULTS: &str = include_str!("../settings.toml");

/// The section `[engine]`.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where providers and apps reach the gateway from outside, without a slash at the end.
    pub public_url: String,
    /// How often each worker sweeps.
    #[serde(with = "fleet_settings::duration")]
    pub sweep_interval: Duration,
    /// The most challenges that one look takes up at once.
    pub sweep_batch: usize,
    /// Challenges with a wrong one-time code, since the last right one, after which a user's codes are locked.
    pub lockout_challenges: u16,
    /// For how long they are locked.
    #[serde(with = "fleet_settings::duration")]
    pub lockout_time: Duration,
}

impl Settings {
    /// Checks what the section promises.
    pub fn check(&self) -> Result<(), NotAllowed> {
        let host =
            self.public_url.strip_prefix("https://").or_else(|| self.public_url.strip_prefix("http://"));
        if host.is_none_or(str::is_empty)
            || self.public_url.ends_with('/')
            || self.public_url.contains(['?', '#'])
        {
            return Err(NotAllowed::new(
                "engine.public_url",
                "the gateway's URL as providers reach it, such as https://mfa.example.org, without a slash at the end",
            ));
        }
        if !(Duration::from_millis(100)..=Duration::from_secs(5)).contains(&self.sweep_interval) {
            return Err(NotAllowed::new("engine.sweep_interval", "100ms to 5s"));
        }
        if !(1..=10_000).contains(&self.sweep_batch) {
            return Err(NotAllowed::new("engine.sweep_batch", "1 to 10000"));
        }
        if !(1..=33).contains(&self.lockout_challenges) {
            return Err(NotAllowed::new("engine.lockout_challenges", "1 to 33"));
        }
        if !(Duration::from_mins(1)..=Duration::from_hours(24)).contains(&self.lockout_time) {
            return Err(NotAllowed::new("engine.lockout_time", "1m to 24h"));
        }
        Ok(())
    }
}
