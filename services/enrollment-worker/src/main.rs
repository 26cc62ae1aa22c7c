//! Starts the enrollment-worker.

use std::process::ExitCode;

fn main() -> ExitCode {
    fleet_engine::serve(&fleet_enrollment_worker::DEFAULTS, async |assembly, settings| {
        fleet_enrollment_worker::start(&assembly, settings)
    })
}
