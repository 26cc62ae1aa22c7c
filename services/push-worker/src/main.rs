//! Starts the push-worker.

use std::process::ExitCode;

fn main() -> ExitCode {
    fleet_engine::serve(&fleet_push_worker::DEFAULTS, async |assembly, settings| {
        fleet_push_worker::start(&assembly, settings)
    })
}
