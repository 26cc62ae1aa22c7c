//! Every service in one process, for a laptop or a small site. They share one engine and their connections to the
//! stores.

use std::process::ExitCode;

fn main() -> ExitCode {
    let defaults = [
        fleet_voice_worker::DEFAULTS.as_slice(),
        fleet_push_worker::DEFAULTS.as_slice(),
        fleet_enrollment_worker::DEFAULTS.as_slice(),
        fleet_gateway::DEFAULTS.as_slice(),
    ]
    .concat();
    fleet_engine::serve(&defaults, async |assembly, settings| {
        // The gateway first: the workers' first call may call back at once.
        fleet_gateway::start(&assembly, settings).await?;
        fleet_voice_worker::start(&assembly, settings)?;
        fleet_push_worker::start(&assembly, settings)?;
        fleet_enrollment_worker::start(&assembly, settings)
    })
}
