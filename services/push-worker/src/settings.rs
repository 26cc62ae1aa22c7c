//! The section `[push_worker]`.

use fleet_settings::NotAllowed;

/// The defaults of `[push_worker]` and `[fcm]`, and their meaning.
pub(crate) const DEFAULTS: &str = include_str!("../settings.toml");

/// The section `[push_worker]`.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Deliveries that are worked on at once, for each queue.
    pub prefetch: u16,
}

impl Settings {
    /// How many of the deliveries that accept challenges may send their pushes as well: half, so that the others accept on
    /// while FCM is slow.
    pub(crate) fn sending_places(self) -> usize {
        usize::from(self.prefetch / 2).max(1)
    }

    /// Checks what the section promises.
    pub fn check(&self) -> Result<(), NotAllowed> {
        if (1..=2_000).contains(&self.prefetch) {
            Ok(())
        } else {
            Err(NotAllowed::new("push_worker.prefetch", "1 to 2000"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_default_that_is_allowed_and_a_comment() {
        let defaults = fleet_settings::Settings::load_from(&[DEFAULTS], None, std::iter::empty()).unwrap();
        let settings: Settings = defaults.section("push_worker").unwrap();
        settings.check().unwrap();
        assert_eq!(fleet_settings::undocumented(&[DEFAULTS]), Vec::<String>::new());
    }

    #[test]
    fn a_prefetch_out_of_range_is_refused_by_name() {
        for prefetch in [0, 2_001] {
            assert_eq!(Settings { prefetch }.check().unwrap_err().setting, "push_worker.prefetch");
        }
    }
}
