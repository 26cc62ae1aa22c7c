//! Starts the voice-worker.

use std::process::ExitCode;

fn main() -> ExitCode {
    fleet_engine::serve(&fleet_voice_worker::DEFAULTS, async |assembly, settings| {
        fleet_voice_worker::start(&assembly, settings)
    })
}
