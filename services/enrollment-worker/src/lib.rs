#![doc = include_str!("../README.md")]

mod carry;
mod goes_on;
mod handler;
mod hashing;
mod metrics;
mod opened;
mod proof;
mod sealed_box;
mod secrets;
mod settings;
mod sweep;
mod tell;
mod worker;

use fleet_broker::Queue;
use fleet_engine::Assembly;
use fleet_keys::{EnrollmentKeySettings, EnrollmentKeys};
use fleet_settings::Settings as AllSettings;

use handler::{RequestHandler, TestEndedHandler};
pub use settings::Settings;
use worker::Worker;

/// The service's own sections.
pub const DEFAULTS: [&str; 2] = [settings::DEFAULTS, fleet_keys::ENROLLMENT_KEY_DEFAULTS];

/// Starts consuming and sweeping.
pub fn start(assembly: &Assembly, all: &AllSettings) -> anyhow::Result<()> {
    let settings: Settings = all.section("enrollment_worker")?;
    settings.check().map_err(|e| all.refuse(&e))?;
    let keys: EnrollmentKeySettings = all.section("enrollment_keys")?;
    let keys = EnrollmentKeys::from_settings(&keys).map_err(|e| all.refuse(&e))?;
    let current = keys.current();
    tracing::info!(key_id = current.id(), public_key = %current, "portals seal secrets to this key");
    let worker = Worker::new(assembly, settings, keys);

    let broker = &assembly.broker;
    broker.consume(Queue::Enrollment, settings.prefetch, RequestHandler { worker: worker.clone() });
    broker.consume(Queue::TestEnded, settings.prefetch, TestEndedHandler { worker: worker.clone() });
    let stop = assembly.context.stop.clone();
    assembly.context.tasks.spawn("enrollment sweep", worker.clone().sweep(stop.clone()));
    assembly.context.tasks.spawn("enrollment retelling", worker.retell_after_losses(stop));
    Ok(())
}
