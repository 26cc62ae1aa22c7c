//! The list of metrics: what the services declare when they start. They are started for that with stores that
//! nobody serves, since a start never waits for a store.

use std::fmt::Write as _;
use std::time::Duration;

use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_settings::Settings;
use fleet_telemetry::MetricDoc;

pub(crate) fn reference() -> anyhow::Result<String> {
    fleet_keys::install_tls_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let metrics = runtime.block_on(declared())?;
    let mut text = String::from(
        "# Metrics\n\n\
         Generated from what the services declare; do not edit. All are on `/metrics` of the admin port\n\
         (`telemetry.listen`). Labels are closed lists: never a number, an id or an error's text.\n\n\
         | metric | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in metrics {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels, help) = (metric.kind.as_str(), labels.join(", "), metric.help);
        writeln!(text, "| `{}` | {kind} | {labels} | {help} |", metric.name)?;
    }
    Ok(text)
}

async fn declared() -> anyhow::Result<Vec<MetricDoc>> {
    let stop = Stop::new();
    let context = Context { stop: stop.clone(), tasks: Tasks::new(stop), clock: Clock::system() };
    let folder = std::env::temp_dir().join(format!("fleet-generate-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let credentials = folder.join("credentials.json");
    fleet_simulator::write_credentials(&credentials, "none", "http://127.0.0.1:9")?;
    let settings = unserved(&credentials.display().to_string())?;
    let assembly = fleet_engine::assemble(context.clone(), &settings).await?;
    fleet_voice_worker::start(&assembly, &settings)?;
    fleet_push_worker::start(&assembly, &settings)?;
    fleet_enrollment_worker::start(&assembly, &settings)?;
    fleet_gateway::start(&assembly, &settings).await?;
    let declared = assembly.metrics.reference();
    context.stop.request_soft();
    context.stop.request_hard();
    context.tasks.wait(Duration::from_secs(1)).await;
    std::fs::remove_dir_all(&folder)?;
    Ok(declared)
}

/// Settings whose stores are nobody's: port 9 is the discard protocol's.
fn unserved(credentials: &str) -> anyhow::Result<Settings> {
    let signing_key = fleet_keys::new_signing_key();
    let environment = [
        ("AMQP_URL", "amqp://nobody:nobody@127.0.0.1:9/%2f"),
        ("REDIS_URL", "redis://127.0.0.1:9/0"),
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none"),
        ("FLEET_TELEMETRY__LISTEN", "127.0.0.1:0"),
        ("FLEET_TELEMETRY__LOG", "off"),
        ("FLEET_GATEWAY__LISTEN", "127.0.0.1:0"),
        ("FLEET_ENGINE__PUBLIC_URL", "http://127.0.0.1:9"),
        ("FLEET_KEYS__MASTER", "00000000000000000000000000000000000000000000000000000000000000ff"),
        ("FLEET_KEYS__OUTCOME_SIGNING_KEY", &signing_key),
        (
            "FLEET_ENROLLMENT_KEYS__CURRENT",
            "00000000000000000000000000000000000000000000000000000000000000ff",
        ),
        ("FLEET_TWILIO__BASE_URL", "http://127.0.0.1:9"),
        ("FLEET_TWILIO__ACCOUNT_SID", "AC00000000000000000000000000000001"),
        ("FLEET_TWILIO__AUTH_TOKEN", "none"),
        ("FLEET_TWILIO__CALLER_IDS", "[\"+19195550100\"]"),
        ("FLEET_FCM__CREDENTIALS", credentials),
    ];
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(Settings::load_from(&super::settings::sections(), None, environment)?)
}
