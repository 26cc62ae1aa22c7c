//! What a portal may change of its users, and how.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::words::{Change, LineType};
use crate::pin_rules::PinRules;
use crate::portal::InvalidPolicy;
use crate::questions::QuestionPolicy;

/// The part of a portal's policy that is about enrollments. A field that is absent has its default.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnrollmentPolicy {
    /// What this portal may ask for; nothing unless it is named.
    pub requests: Vec<Change>,
    /// Whether it is an operators' portal: what it asks for needs no proof of the old factor and is marked as theirs, and
    /// it names who asks and why.
    pub operators: bool,
    /// Countries whose numbers may be enrolled (ISO 3166-1 alpha-2, such as `US`).
    pub countries: Vec<String>,
    /// Kinds of lines that may be enrolled.
    pub line_types: Vec<LineType>,
    /// Whether a number may have an extension.
    pub extensions: bool,
    /// Seconds within which a test must pass, all its repetitions together, 60 to 1800.
    pub test_within_s: u16,
    /// Seconds for which an approved challenge, a passed test or a recovery proves something, 30 to 3600.
    pub proof_within_s: u16,
    /// Whether security questions may take the place of the old factor, for one change of the method.
    pub recovery: bool,
    /// Which PINs may be set.
    pub pin_rules: PinRules,
    /// The security questions.
    pub questions: QuestionPolicy,
    /// Bypasses that a user may be given within a year, 0 to 50.
    pub bypasses_per_year: u8,
    /// Devices on which a user may have the app, 1 to 10.
    pub devices_max: u8,
    /// Where the app is to be had: an HTTPS address for each platform, such as `android` and `ios`, told with the activation code.
    pub store_links: BTreeMap<String, String>,
}

impl Default for EnrollmentPolicy {
    fn default() -> Self {
        Self {
            requests: Vec::new(),
            operators: false,
            countries: alloc::vec!["US".into(), "CA".into()],
            line_types: alloc::vec![LineType::Mobile, LineType::Fixed, LineType::FixedOrMobile],
            extensions: true,
            test_within_s: 600,
            proof_within_s: 600,
            recovery: false,
            pin_rules: PinRules::default(),
            questions: QuestionPolicy::default(),
            bypasses_per_year: 2,
            devices_max: 5,
            store_links: BTreeMap::new(),
        }
    }
}

impl EnrollmentPolicy {
    pub(crate) fn check(&self) -> Result<(), InvalidPolicy> {
        let countries = self
            .countries
            .iter()
            .all(|country| country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()));
        let theirs = self.operators || !self.requests.iter().any(|change| change.is_operators());
        let rules = [
            (countries, "enrollment.countries", "ISO 3166-1 alpha-2 codes, such as US"),
            (
                theirs,
                "enrollment.requests",
                "without device_lost, block, unblock, bypass and delete, unless enrollment.operators is true",
            ),
            ((60..=1_800).contains(&self.test_within_s), "enrollment.test_within_s", "60 to 1800 seconds"),
            ((30..=3_600).contains(&self.proof_within_s), "enrollment.proof_within_s", "30 to 3600 seconds"),
            (self.bypasses_per_year <= 50, "enrollment.bypasses_per_year", "0 to 50"),
            ((1..=10).contains(&self.devices_max), "enrollment.devices_max", "1 to 10"),
            (
                self.store_links.values().all(|link| link.starts_with("https://") && link.len() <= 500),
                "enrollment.store_links",
                "addresses that begin with https://, of at most 500 characters",
            ),
        ];
        match rules.into_iter().find(|(holds, _, _)| !holds) {
            None => self.pin_rules.check().and_then(|()| self.questions.check()),
            Some((_, field, allowed)) => Err(InvalidPolicy { field, allowed }),
        }
    }

    /// How long a test may take, with all its repetitions.
    #[must_use]
    pub fn test_within(&self) -> Duration {
        Duration::from_secs(self.test_within_s.into())
    }

    /// For how long a proof counts.
    #[must_use]
    pub fn proof_within(&self) -> Duration {
        Duration::from_secs(self.proof_within_s.into())
    }
}
