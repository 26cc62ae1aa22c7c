#![doc = include_str!("../README.md")]

mod dispatch;
#[cfg(test)]
mod examples;
mod fcm;
mod handler;
mod hands;
mod metrics;
mod outcome;
mod settings;
mod turn;
mod withdrawal;

use fleet_broker::Queue;
use fleet_domain::Channel;
use fleet_engine::{Assembly, ControlHandler, DeadHandler};
use fleet_settings::Settings as AllSettings;

use dispatch::Dispatch;
use fcm::Fcm;
pub use fcm::{Http2, Settings as FcmSettings};
use handler::{ChallengeHandler, OwedHandler};
use hands::QueueHands;
use metrics::PushMetrics;
pub use settings::Settings;

/// The service's own sections.
pub const DEFAULTS: [&str; 1] = [settings::DEFAULTS];

/// Starts consuming and sweeping.
pub fn start(assembly: &Assembly, all: &AllSettings) -> anyhow::Result<()> {
    let settings: Settings = all.section("push_worker")?;
    settings.check().map_err(|e| all.refuse(&e))?;
    let fcm: FcmSettings = all.section("fcm")?;
    let profile = fcm.profile().map_err(|e| all.refuse(&e))?;
    let fcm = Fcm::start(profile, &assembly.context, &assembly.metrics, &assembly.readiness)?;
    let engine = assembly.engine.clone();
    let dispatch =
        Dispatch::new(engine.clone(), fcm, PushMetrics::new(&assembly.metrics), settings.sending_places());
    let hands = QueueHands::new(engine.clone());

    let broker = &assembly.broker;
    let challenges = |channel| ChallengeHandler { dispatch: dispatch.clone(), channel };
    broker.consume(Queue::ChallengePush, settings.prefetch, challenges(Some(Channel::Push)));
    broker.consume(Queue::ChallengeDefault, settings.prefetch, challenges(None));
    broker.consume(Queue::PushSend, settings.prefetch, OwedHandler { dispatch });
    broker.consume(Queue::Control, settings.prefetch, ControlHandler::new(engine.clone(), hands.clone()));
    broker.consume(Queue::Dead, settings.prefetch, DeadHandler::new(engine.clone(), hands.clone()));
    assembly.context.tasks.spawn("push sweep", engine.sweep(hands));
    Ok(())
}
