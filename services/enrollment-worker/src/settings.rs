//! The section `[enrollment_worker]`.

use std::time::Duration;

use fleet_records::GuessLimit;
use fleet_settings::NotAllowed;

/// The defaults of `[enrollment_worker]` and their meaning.
pub(crate) const DEFAULTS: &str = include_str!("../settings.toml");

/// The section `[enrollment_worker]`.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Deliveries that are worked on at once, for each queue.
    pub prefetch: u16,
    /// Hashes that are computed at once.
    pub hash_at_once: usize,
    /// Recoveries with wrong answers after which answers are locked.
    pub answers_lockout: u16,
    /// For how long they are locked.
    #[serde(with = "fleet_settings::duration")]
    pub answers_lockout_time: Duration,
}

impl Settings {
    /// Checks what the section promises.
    pub fn check(&self) -> Result<(), NotAllowed> {
        let day = Duration::from_hours(24);
        let rules = [
            ((1..=200).contains(&self.prefetch), "enrollment_worker.prefetch", "1 to 200"),
            ((1..=64).contains(&self.hash_at_once), "enrollment_worker.hash_at_once", "1 to 64"),
            ((1..=20).contains(&self.answers_lockout), "enrollment_worker.answers_lockout", "1 to 20"),
            (
                (Duration::from_mins(1)..=30 * day).contains(&self.answers_lockout_time),
                "enrollment_worker.answers_lockout_time",
                "1m to 30d",
            ),
        ];
        match rules.into_iter().find(|(holds, _, _)| !holds) {
            None => Ok(()),
            Some((_, setting, allowed)) => Err(NotAllowed::new(setting, allowed)),
        }
    }

    /// How often answers may be guessed at.
    pub(crate) fn answers_limit(&self) -> GuessLimit {
        GuessLimit { calls: self.answers_lockout, lock_for: self.answers_lockout_time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Settings {
        let defaults = fleet_settings::Settings::load_from(&[DEFAULTS], None, std::iter::empty()).unwrap();
        defaults.section("enrollment_worker").unwrap()
    }

    #[test]
    fn every_setting_has_a_default_that_is_allowed_and_a_comment() {
        defaults().check().unwrap();
        assert_eq!(fleet_settings::undocumented(&[DEFAULTS]), Vec::<String>::new());
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        for (settings, name) in [
            (Settings { prefetch: 0, ..defaults() }, "enrollment_worker.prefetch"),
            (Settings { hash_at_once: 65, ..defaults() }, "enrollment_worker.hash_at_once"),
            (Settings { answers_lockout: 0, ..defaults() }, "enrollment_worker.answers_lockout"),
            (
                Settings { answers_lockout_time: Duration::ZERO, ..defaults() },
                "enrollment_worker.answers_lockout_time",
            ),
        ] {
            assert_eq!(settings.check().unwrap_err().setting, name);
        }
    }
}
