//! The section `[voice_worker]`.

use fleet_settings::NotAllowed;

/// The section's defaults and their meaning.
pub(crate) const DEFAULTS: &str = include_str!("../settings.toml");

/// The section `[voice_worker]`.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Deliveries that are worked on at once, for each queue.
    pub prefetch: u16,
}

impl Settings {
    /// Checks what the section promises.
    pub fn check(&self) -> Result<(), NotAllowed> {
        if (1..=2_000).contains(&self.prefetch) {
            Ok(())
        } else {
            Err(NotAllowed::new("voice_worker.prefetch", "1 to 2000"))
        }
    }
}
