//! Writes everything that is generated: schemas, the settings reference, the list of metrics. `./ops/test`
//! runs it and fails when that changes a file.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace's root")?;
    for (name, text) in fleet_contracts::schemas() {
        write(&root.join("shared/contracts/schemas").join(name), &text)?;
    }
    write(&root.join("ops/reference/settings.md"), &settings())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}

fn settings() -> String {
    let mut defaults = fleet_engine::SHARED_DEFAULTS.to_vec();
    defaults.extend(fleet_voice_worker::DEFAULTS);
    defaults.extend(fleet_push_worker::DEFAULTS);
    defaults.extend(fleet_gateway::DEFAULTS);
    defaults.push(fleet_simulator::DEFAULTS);
    let mut seen = Vec::new();
    defaults.retain(|section| {
        !seen.contains(section) && {
            seen.push(section);
            true
        }
    });
    format!(
        "# Settings\n\nGenerated from the commented defaults in each crate's `settings.toml`; do not edit.\n\n{}",
        fleet_settings::reference(&defaults)
    )
}
