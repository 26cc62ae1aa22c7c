//! What the live account may do: call from numbers that it owns, to countries that are enabled, and while it is on
//! trial to verified numbers only.

use super::TwilioError;
use crate::settings::Settings;

/// The account's permissions. An empty list permits everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Permissions {
    numbers: Vec<String>,
    /// Prefixes of the countries that may be called.
    countries: Vec<String>,
    trial_verified: Vec<String>,
}

impl Permissions {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            numbers: settings.numbers.clone(),
            countries: settings.geo_permissions.clone(),
            trial_verified: settings.trial_verified.clone(),
        }
    }

    /// Whether the account may call from this number.
    pub(super) fn owns(&self, number: &str) -> bool {
        self.numbers.is_empty() || self.numbers.iter().any(|owned| owned == number)
    }

    /// Whether the account may call this number.
    pub(super) fn check_callee(&self, number: &str) -> Result<(), TwilioError> {
        let is_enabled = |prefix: &String| number.starts_with(prefix.as_str());
        if !self.countries.is_empty() && !self.countries.iter().any(is_enabled) {
            return Err(TwilioError::about(21215, number));
        }
        if !self.trial_verified.is_empty() && !self.trial_verified.iter().any(|verified| verified == number) {
            return Err(TwilioError::about(21219, number));
        }
        Ok(())
    }
}

#[cfg(test)]
impl Permissions {
    /// For an account that owns these numbers, may call these countries and has verified these callees.
    pub(super) fn of(numbers: &[&str], countries: &[&str], trial_verified: &[&str]) -> Self {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Self { numbers: owned(numbers), countries: owned(countries), trial_verified: owned(trial_verified) }
    }
}
