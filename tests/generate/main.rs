//! Writes everything that is generated: schemas, the settings reference, the list of metrics. `./ops/test`
//! runs it and fails when that changes a file.

mod metrics;
mod settings;

use std::fs;
use std::path::Path;

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace's root")?;
    for (name, text) in fleet_contracts::schemas() {
        write(&root.join("shared/contracts/schemas").join(name), &text)?;
    }
    write(&root.join("ops/reference/settings.md"), &settings::reference())?;
    write(&root.join("ops/reference/metrics.md"), &metrics::reference()?)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}
