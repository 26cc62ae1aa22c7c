#![doc = include_str!("../README.md")]

mod caller_ids;
mod effects;
mod handler;
mod look;
mod metrics;
mod pacing;
mod settings;
mod turns;

use fleet_broker::Queue;
use fleet_domain::Channel;
use fleet_engine::{Assembly, CodeHandler, ControlHandler, DeadHandler};
use fleet_records::PacedCarrier;
use fleet_settings::Settings as AllSettings;
use fleet_twilio::Carrier;

use caller_ids::CallerIdPlans;
use effects::VoiceHands;
use handler::{ChallengeHandler, OwedHandler};
use metrics::VoiceMetrics;
use pacing::Pace;
pub use settings::Settings;

/// The service's own sections.
pub const DEFAULTS: [&str; 2] = [settings::DEFAULTS, fleet_twilio::DEFAULTS];

/// Starts consuming and sweeping.
pub fn start(assembly: &Assembly, all: &AllSettings) -> anyhow::Result<()> {
    let settings: Settings = all.section("voice_worker")?;
    settings.check().map_err(|e| all.refuse(&e))?;
    let twilio: fleet_twilio::Settings = all.section("twilio")?;
    let profile = twilio.profile().map_err(|e| all.refuse(&e))?;
    let engine = assembly.engine.clone();
    let pace = Pace {
        records: engine.records().clone(),
        carrier: PacedCarrier { name: twilio.name, calls_per_second: twilio.calls_per_second },
        metrics: VoiceMetrics::new(&assembly.metrics),
    };
    let carrier = Carrier::new(profile, &assembly.metrics)?;
    let hands = VoiceHands { engine: engine.clone(), carrier, pace, caller_ids: CallerIdPlans::default() };

    let broker = &assembly.broker;
    let challenges = |channel| ChallengeHandler { hands: hands.clone(), channel };
    broker.consume(Queue::ChallengeVoice, settings.prefetch, challenges(Some(Channel::Voice)));
    broker.consume(Queue::ChallengeDefault, settings.prefetch, challenges(None));
    broker.consume(Queue::ChallengeTotp, settings.prefetch, challenges(Some(Channel::Totp)));
    broker.consume(Queue::ChallengeCode, settings.prefetch, CodeHandler::new(engine.clone(), hands.clone()));
    broker.consume(Queue::VoiceDial, settings.prefetch, OwedHandler { hands: hands.clone() });
    broker.consume(Queue::VoiceHangup, settings.prefetch, OwedHandler { hands: hands.clone() });
    broker.consume(Queue::Control, settings.prefetch, ControlHandler::new(engine.clone(), hands.clone()));
    broker.consume(Queue::Dead, settings.prefetch, DeadHandler::new(engine.clone(), hands.clone()));
    let context = &assembly.context;
    let turns = hands.clone().serve_turns(settings.prefetch, context.tasks.clone(), context.stop.clone());
    context.tasks.spawn("turns", turns);
    context.tasks.spawn("voice sweep", engine.sweep(hands));
    Ok(())
}
