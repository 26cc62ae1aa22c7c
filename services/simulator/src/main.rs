//! Starts the simulator, or prints one of the things that others need from it.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use fleet_lifecycle::{Context, exit_bad_settings};
use fleet_settings::{NotAllowed, SettingsError};
use fleet_simulator::Settings;
use fleet_telemetry::{Metrics, Readiness};

const USAGE: &str = "\
A Twilio, an FCM, phones, apps and the people who hold them.

usage: simulator                            serve
       simulator --write-credentials PATH   write the Google service account that it trusts
       simulator --new-device-key           print a new device key: private (PKCS#8, Base64), public (base64url)
       simulator --swarm-public-key         print the public key of the device swarm (base64url)

Settings: section [simulator] of the file that FLEET_CONFIG names, or FLEET_SIMULATOR__<KEY>.";

/// How long open requests may take after a stop.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let printed = match arguments.as_slice() {
        [] => return serve(),
        ["--write-credentials", path] => return write_credentials(Path::new(path)),
        ["--new-device-key"] => fleet_simulator::new_device_key()
            .map(|(private, public)| format!("private_key = \"{private}\"\npublic_key = \"{public}\"")),
        ["--swarm-public-key"] => fleet_simulator::swarm_public_key(),
        ["--help" | "-h"] => Ok(USAGE.to_owned()),
        _ => Err(USAGE),
    };
    match printed {
        Ok(text) => print(&text),
        Err(text) => fail(2, text),
    }
}

/// The settings of this service and of its logs and admin port.
fn settings() -> Result<(Settings, fleet_telemetry::Settings), SettingsError> {
    let all = fleet_settings::Settings::load(&[fleet_simulator::DEFAULTS, fleet_telemetry::DEFAULTS])?;
    let refuse = |not_allowed: NotAllowed| all.refuse(&not_allowed);
    let (settings, telemetry): (Settings, fleet_telemetry::Settings) =
        (all.section("simulator")?, all.section("telemetry")?);
    settings.check().map_err(refuse)?;
    telemetry.check().map_err(refuse)?;
    Ok((settings, telemetry))
}

fn serve() -> ExitCode {
    let (settings, telemetry) = match settings() {
        Ok(settings) => settings,
        Err(error) => return exit_bad_settings(&error),
    };
    fleet_telemetry::init_logs(&telemetry.logs());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("no runtime: {error}")),
    };
    let start = async |context: Context| {
        let metrics = Metrics::new();
        let readiness = Readiness::new();
        let serving = readiness.check("serving");
        fleet_simulator::start(&settings, &context, &metrics).await?;
        serving.set_ready(true);
        let admin =
            fleet_telemetry::serve_admin(settings.telemetry_listen, metrics, readiness, context.stop.clone());
        context.tasks.spawn("admin port", admin);
        Ok(())
    };
    runtime.block_on(fleet_lifecycle::run(start, GRACE))
}

fn write_credentials(path: &Path) -> ExitCode {
    let settings = match settings() {
        Ok((settings, _)) => settings,
        Err(error) => return exit_bad_settings(&error),
    };
    let base_url = settings.base_url(settings.listen);
    match fleet_simulator::write_credentials(path, &settings.project, &base_url) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &format!("cannot write {}: {error}", path.display())),
    }
}

fn print(text: &str) -> ExitCode {
    // A reader that closes the pipe has seen enough.
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "a wrong command line is answered before the logs are set up")]
fn fail(code: u8, text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(code)
}
