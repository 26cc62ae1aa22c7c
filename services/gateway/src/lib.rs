#![doc = include_str!("../README.md")]

mod dialogue;
mod error;
mod gateway;
mod impatient;
mod metrics;
mod pins;
mod routes;
mod server;
mod settings;
mod twiml;

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use fleet_engine::{Assembly, Engine};
use fleet_lifecycle::Context;
use fleet_settings::Settings as AllSettings;
use fleet_telemetry::{Metrics, Readiness};
use fleet_twilio::Profile;
use tokio::net::TcpListener;

use crate::gateway::Gateway;
use crate::metrics::GatewayMetrics;
use crate::pins::Comparing;

pub use settings::Settings;

/// The service's own sections.
pub const DEFAULTS: [&str; 2] = [settings::DEFAULTS, fleet_twilio::DEFAULTS];

/// What the gateway is built on.
pub struct Parts {
    /// The stop, the tasks and the clock.
    pub context: Context,
    /// Applies events to challenges.
    pub engine: Engine,
    /// The carrier account whose signatures are accepted.
    pub carrier: Profile,
    /// Where metrics are declared.
    pub metrics: Metrics,
    /// Where the readiness check is declared.
    pub readiness: Readiness,
    /// The section `[gateway]`, checked.
    pub settings: Settings,
}

/// Starts to listen on `gateway.listen`. Returns once it does; the rest goes on in the assembly's tasks.
pub async fn start(assembly: &Assembly, all: &AllSettings) -> anyhow::Result<()> {
    let settings: Settings = all.section("gateway")?;
    settings.check().map_err(|e| all.refuse(&e))?;
    let twilio: fleet_twilio::Settings = all.section("twilio")?;
    let listen = settings.listen;
    let parts = Parts {
        context: assembly.context.clone(),
        engine: assembly.engine.clone(),
        carrier: twilio.profile().map_err(|e| all.refuse(&e))?,
        metrics: assembly.metrics.clone(),
        readiness: assembly.readiness.clone(),
        settings,
    };
    let listener = TcpListener::bind(listen).await.with_context(|| format!("gateway.listen {listen}"))?;
    tracing::info!(%listen, public_url = parts.engine.links().public_url(), "gateway is open");
    start_on(listener, parts);
    Ok(())
}

/// Starts on a listener that is bound already, whatever `gateway.listen` says.
pub fn start_on(listener: TcpListener, parts: Parts) {
    let (app, metrics) = routes_of(&parts);
    let Parts { context, readiness, settings, .. } = parts;
    let listening = readiness.check("gateway");
    let serving = server::serve(listener, app, settings, (context.clone(), metrics));
    context.tasks.spawn("gateway", async move {
        listening.set_ready(true);
        let end = serving.await;
        listening.set_ready(false);
        end
    });
}

/// All routes without a port, for whoever calls them in the same process.
pub fn router(parts: &Parts) -> Router {
    routes_of(parts).0
}

fn routes_of(parts: &Parts) -> (Router, GatewayMetrics) {
    let metrics = GatewayMetrics::new(&parts.metrics);
    let gateway = Gateway {
        engine: parts.engine.clone(),
        carrier: parts.carrier.clone(),
        settings: parts.settings.clone(),
        metrics: metrics.clone(),
        comparing: Comparing::new(parts.settings.pins_at_once),
    };
    (routes::router(Arc::new(gateway)), metrics)
}
