//! Writes everything that is generated: schemas, the test vectors of the app's protocol, and the references of settings, metrics,
//! prompts, reasons and scenarios.
//! `./ops/test` runs it and fails when that changes a file.

mod demo;
mod metrics;
mod prompts;
mod reasons;
mod scenarios;
mod settings;
mod vectors;

use std::fs;
use std::path::Path;

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace's root")?;
    for (name, text) in fleet_contracts::schemas() {
        write(&root.join("shared/contracts/schemas").join(name), &text)?;
    }
    let path = root.join("shared/contracts/app/vectors.json");
    write(&path, &vectors::vectors(&path)?)?;
    let demo = demo::read()?;
    for (name, text) in [
        ("settings.md", settings::reference()),
        ("metrics.md", metrics::reference()?),
        ("prompts.md", prompts::reference()?),
        ("reasons.md", reasons::reference(&demo)?),
        ("scenarios.md", scenarios::reference(&demo)?),
    ] {
        write(&root.join("ops/reference").join(name), &text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}
