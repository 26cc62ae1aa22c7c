//! Log lines on stderr.

use std::{io::IsTerminal, panic::PanicHookInfo};

use tracing::error;
use tracing_subscriber::{EnvFilter, fmt};

use crate::{LogFormat, LogSettings};

/// Modules of libraries that are off whatever the settings say. lapin logs each message that no queue takes with its
/// whole body, and every closing of a channel as an error; the broker crate logs what matters of both.
const SPILLS: [&str; 2] = ["lapin::returned_messages=off", "lapin::channels=off"];

/// Starts the logs of this process; a second call changes nothing. Panics become log lines.
/// A filter that `Settings::check` would refuse counts as `info`.
pub fn init_logs(settings: &LogSettings) {
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let filter =
        SPILLS.iter().filter_map(|module| module.parse().ok()).fold(filter, EnvFilter::add_directive);
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string);
    error!(panic = message, place, "panic");
}
