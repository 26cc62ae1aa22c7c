#![doc = include_str!("../README.md")]

mod app;
mod call;
mod carrier_time;
mod cast;
mod control;
mod credentials;
mod dates;
mod device_key;
mod faults;
mod fcm;
mod http;
mod ids;
mod journal;
mod jws;
mod metrics;
mod settings;
mod twilio;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::middleware::from_fn_with_state;
use fleet_lifecycle::Context;
use fleet_settings::ExposeSecret;
use fleet_telemetry::Metrics;

pub use credentials::{new_device_key, swarm_public_key, write_credentials};
pub use settings::{DEFAULTS, Settings, SwarmConduct};

use call::queue::Queue;
use call::signature::Secret;
use call::{Call, CallBook, Status};
use journal::{Fact, Journal, RememberedCall};
use world::World;

/// Opens the port and starts to serve; returns the address that was bound, for a `listen` with port 0.
pub async fn start(settings: &Settings, context: &Context, metrics: &Metrics) -> anyhow::Result<SocketAddr> {
    // An error only says that this process has a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let path = settings.log.display().to_string();
    let (journal, file) = Journal::open(&settings.log, context.clock.clone()).context(path.clone())?;
    let remembered = journal::remembered_calls(&settings.log).context(path)?;
    let (port, bound) = http::bind(settings.listen).await.context("simulator.listen")?;
    let base_url = settings.base_url(bound);
    let (queue, exit) = Queue::new(settings.calls_per_second);
    let shared = Shared { context, metrics, journal: &journal, base_url: &base_url };
    let world = Arc::new(world(settings, &shared, queue)?);
    journal.record(&Fact::Started { base_url: &base_url });
    for call in &remembered {
        remember(&world, call);
    }
    for device in world.cast.devices() {
        app::poll(&world, device);
    }
    context.tasks.spawn("journal", journal.write_out(file, context.stop.clone()));
    let queue = call::queue::serve(Arc::clone(&world), exit);
    context.tasks.spawn("queue of calls", async move {
        queue.await;
        Ok(())
    });
    let stop = context.stop.clone();
    let service = router(&world).into_make_service_with_connect_info::<http::Peer>();
    context.tasks.spawn("simulator port", async move {
        axum::serve(port, service).with_graceful_shutdown(async move { stop.soft().await }).await?;
        Ok(())
    });
    tracing::info!(%base_url, speed = settings.speed, "the simulator serves");
    Ok(bound)
}

/// What the world takes from its surroundings.
struct Shared<'a> {
    context: &'a Context,
    metrics: &'a Metrics,
    journal: &'a Journal,
    base_url: &'a str,
}

fn world(settings: &Settings, shared: &Shared<'_>, queue: Queue) -> anyhow::Result<World> {
    let Shared { context, metrics, journal, base_url } = *shared;
    let tokens = fcm::AccessTokens::new(&settings.project, format!("{base_url}/token"));
    Ok(World {
        account_sid: settings.account_sid.clone(),
        accounts: twilio::Accounts::new(settings),
        post_dial: settings.post_dial,
        provider_delay: settings.provider_delay,
        hang_up_calls_action: settings.hang_up_calls_action,
        time: carrier_time::CarrierTime::new(context.clock.clone(), settings.speed),
        queue,
        calls: CallBook::new(settings.keep_calls),
        cast: cast::Cast::load(settings)?,
        webhooks: call::webhook::Webhooks::new(webhook_secret(settings), settings.network_speed),
        fcm: fcm::Fcm { project: settings.project.clone(), tokens: tokens.map_err(anyhow::Error::msg)? },
        apps: app::Apps::new()?,
        faults: faults::Faults::default(),
        journal: journal.clone(),
        metrics: metrics::SimulatorMetrics::register(metrics),
        tasks: context.tasks.clone(),
        stop: context.stop.clone(),
    })
}

fn webhook_secret(settings: &Settings) -> Secret {
    let shared_key = settings.shared_key.expose_secret();
    if shared_key.is_empty() {
        Secret::AuthToken(settings.auth_token.expose_secret().to_owned())
    } else {
        Secret::SharedKey(shared_key.to_owned())
    }
}

fn router(world: &Arc<World>) -> Router {
    let twilio = twilio::routes().layer(from_fn_with_state(Arc::clone(world), http::twilio_headers));
    twilio
        .merge(fcm::routes())
        .layer(from_fn_with_state(Arc::clone(world), faults::guard))
        .merge(control::routes())
        .fallback(async || fcm::FcmError::NotFound)
        .with_state(Arc::clone(world))
}

/// Takes a call of an earlier run into the book. One that lived when that run stopped has failed with it.
fn remember(world: &Arc<World>, past: &RememberedCall) {
    let call = Call::remembered(past, world.time.now_micros());
    if past.end.is_none() {
        let (status, sid) = (Status::Failed, call.sid.as_str());
        world.journal.record(&Fact::Ended { sid, status, sip: None, seconds: 0, by: "restart" });
    }
    world.calls.add(Arc::new(call));
}
