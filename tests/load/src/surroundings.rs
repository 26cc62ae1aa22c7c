//! What every part of the load generator runs on: settings from the environment, tasks, a clock.

use fleet_keys::Keys;
use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_records::Records;
use fleet_settings::Settings;
use fleet_telemetry::{Metrics, Readiness};

/// The name of the load generator's portal, and of its RabbitMQ user.
pub(crate) const PORTAL: &str = "bench";

pub(crate) struct Surroundings {
    pub(crate) settings: Settings,
    pub(crate) context: Context,
    pub(crate) metrics: Metrics,
}

impl Surroundings {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let defaults = [
            fleet_keys::DEFAULTS,
            fleet_keys::ENROLLMENT_KEY_DEFAULTS,
            fleet_broker::DEFAULTS,
            fleet_records::DEFAULTS,
            fleet_outcomes::DEFAULTS,
        ];
        let settings = Settings::load(&defaults)?;
        let stop = Stop::new();
        let context = Context { stop: stop.clone(), tasks: Tasks::new(stop), clock: Clock::system() };
        Ok(Self { settings, context, metrics: Metrics::new() })
    }

    pub(crate) async fn records(&self) -> anyhow::Result<Records> {
        let keys = Keys::from_settings(&self.settings.section("keys")?)?;
        let section = self.settings.section("records")?;
        Ok(Records::start(section, keys, &self.context, &self.metrics, &Readiness::new()).await?)
    }
}
