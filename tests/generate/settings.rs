//! The settings reference, from the commented defaults in each crate.

/// The sections of every service, each once.
pub(crate) fn sections() -> Vec<&'static str> {
    let services = [
        fleet_voice_worker::DEFAULTS.as_slice(),
        fleet_push_worker::DEFAULTS.as_slice(),
        fleet_enrollment_worker::DEFAULTS.as_slice(),
        fleet_gateway::DEFAULTS.as_slice(),
    ];
    let mut sections = fleet_engine::SHARED_DEFAULTS.to_vec();
    for section in services.concat() {
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    sections
}

pub(crate) fn reference() -> String {
    format!(
        "# Settings\n\n\
         Generated from the commented defaults in each crate's `settings.toml`; do not edit. A value comes from the\n\
         default, then from the TOML file that `FLEET_CONFIG` names, then from the environment. `file:/path` stands for\n\
         the content of a file, for secrets.\n\n{}\n## The simulator\n\n{}",
        fleet_settings::reference(&sections()),
        fleet_settings::reference(&[fleet_simulator::DEFAULTS]),
    )
}
