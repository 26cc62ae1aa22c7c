//! Starts the gateway.

use std::process::ExitCode;

fn main() -> ExitCode {
    fleet_engine::serve(&fleet_gateway::DEFAULTS, async |assembly, settings| {
        fleet_gateway::start(&assembly, settings).await
    })
}
