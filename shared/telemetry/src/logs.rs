//! Log lines on stderr.

use std::{
    io::{IsTerminal, Write},
    panic::PanicHookInfo,
};

use tracing::error;
use tracing_subscriber::{EnvFilter, fmt};

use crate::{LogFormat, LogSettings};

/// Modules of libraries that are off whatever the settings say. lapin logs each message that no queue takes with its
/// whole body, and every closing of a channel as an error; the broker crate logs what matters of both. gcp_auth logs the
/// bodies of token endpoints, in which access tokens stand.
const SPILLS: [&str; 3] = ["lapin::returned_messages=off", "lapin::channels=off", "gcp_auth=off"];

/// Starts the logs of this process; a second call changes nothing. Panics become log lines.
/// A filter that `Settings::check` would refuse counts as `info`.
pub fn init_logs(settings: &LogSettings) {
    if start(settings, std::io::stderr, std::io::stderr().is_terminal()) {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// Starts the logs of this process as `init_logs` does, but writes them elsewhere and leaves panics alone: for tests
/// that read what is logged. Says whether they were started.
pub fn capture_logs<W: Write>(
    settings: &LogSettings,
    writer: impl Fn() -> W + Send + Sync + 'static,
) -> bool {
    start(settings, writer, false)
}

fn start<W: Write>(
    settings: &LogSettings,
    writer: impl Fn() -> W + Send + Sync + 'static,
    colours: bool,
) -> bool {
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let filter =
        SPILLS.iter().filter_map(|module| module.parse().ok()).fold(filter, EnvFilter::add_directive);
    let lines = fmt().with_env_filter(filter).with_writer(writer);
    let started = match settings.format {
        LogFormat::Text => lines.with_ansi(colours).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.is_ok()
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string);
    error!(panic = message, place, "panic");
}
