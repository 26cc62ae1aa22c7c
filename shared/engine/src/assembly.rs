//! What every service's `main` does alike: read the settings, start logs and the admin port, connect to the
//! three stores, and join it all into an engine.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use fleet_broker::Broker;
use fleet_keys::Keys;
use fleet_lifecycle::Context;
use fleet_outcomes::Outcomes;
use fleet_records::Records;
use fleet_settings::{Settings, SettingsError};
use fleet_telemetry::{Metrics, Readiness, ReadyFlag};

use crate::{Engine, Parts};

/// How long a soft stop may take: what was taken from the broker is finished, then handed back.
const GRACE: Duration = Duration::from_secs(30);

/// The sections that every service needs.
pub const SHARED_DEFAULTS: [&str; 6] = [
    fleet_telemetry::DEFAULTS,
    fleet_keys::DEFAULTS,
    fleet_broker::DEFAULTS,
    fleet_records::DEFAULTS,
    fleet_outcomes::DEFAULTS,
    crate::DEFAULTS,
];

/// What a service is built on.
#[derive(Clone)]
pub struct Assembly {
    /// The stop, the tasks and the clock.
    pub context: Context,
    /// Where metrics are declared.
    pub metrics: Metrics,
    /// Where readiness checks are declared.
    pub readiness: Readiness,
    /// RabbitMQ.
    pub broker: Broker,
    /// The engine.
    pub engine: Engine,
    /// Not ready until every part of the service has been started.
    pub started: ReadyFlag,
}

/// Runs a service until it is told to stop: `own_defaults` are its own sections, `start` starts its tasks.
///
/// Exits with 78 and one line that names the setting when a setting is missing or wrong.
pub fn serve(
    own_defaults: &[&str],
    start: impl AsyncFnOnce(Assembly, &Settings) -> anyhow::Result<()>,
) -> ExitCode {
    // Before any thread is there: the process may start itself anew.
    if let Err(error) = fleet_lifecycle::deepen_stacks() {
        return fleet_lifecycle::exit_bad_settings(&error);
    }
    fleet_keys::install_tls_provider();
    let mut defaults = SHARED_DEFAULTS.to_vec();
    for section in own_defaults {
        // Two services in one process may need the same section.
        if !defaults.contains(section) {
            defaults.push(section);
        }
    }
    let settings = match Settings::load(&defaults) {
        Ok(settings) => settings,
        Err(error) => return fleet_lifecycle::exit_bad_settings(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fleet_lifecycle::exit_bad_settings(&error),
    };
    runtime.block_on(async {
        let mut bad_setting = None;
        let code = fleet_lifecycle::run(
            async |context: Context| {
                let started: anyhow::Result<()> = async {
                    let assembly = assemble(context, &settings).await?;
                    let flag = assembly.started.clone();
                    start(assembly, &settings).await?;
                    flag.set_ready(true);
                    Ok(())
                }
                .await;
                if let Err(error) = &started
                    && let Some(error) = error.downcast_ref::<SettingsError>()
                {
                    bad_setting = Some(error.to_string());
                }
                started
            },
            GRACE,
        )
        .await;
        bad_setting.map_or(code, |text| fleet_lifecycle::exit_bad_settings(&text))
    })
}

/// Joins the shared parts. Returns at once whatever state the stores are in; readiness tells of them.
pub async fn assemble(context: Context, settings: &Settings) -> anyhow::Result<Assembly> {
    let telemetry: fleet_telemetry::Settings = settings.section("telemetry")?;
    telemetry.check().map_err(|e| settings.refuse(&e))?;
    fleet_telemetry::init_logs(&telemetry.logs());
    let (metrics, readiness) = (Metrics::new(), Readiness::new());
    let started = readiness.check("started");
    let admin = fleet_telemetry::serve_admin(
        telemetry.listen,
        metrics.clone(),
        readiness.clone(),
        context.stop.clone(),
    );
    context.tasks.spawn("admin", admin);

    let keys_settings: fleet_keys::Settings = settings.section("keys")?;
    let keys = Keys::from_settings(&keys_settings).map_err(|e| settings.refuse(&e))?;
    let engine_settings: crate::Settings = settings.section("engine")?;
    engine_settings.check().map_err(|e| settings.refuse(&e))?;

    let broker = Broker::start(&settings.section("broker")?, &context, &metrics, &readiness)
        .context("the section [broker]")?;
    let records = Records::start(settings.section("records")?, keys.clone(), &context, &metrics, &readiness)
        .await
        .context("the section [records]")?;
    let outcomes = Outcomes::start(settings.section("outcomes")?, keys.clone(), &context.tasks, &metrics)
        .context("the section [outcomes]")?;
    let parts = Parts { records, outcomes, publisher: broker.publisher(), keys };
    let engine = Engine::new(engine_settings, parts, &context, &metrics);
    Ok(Assembly { context, metrics, readiness, broker, engine, started })
}
