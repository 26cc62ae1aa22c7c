#![doc = include_str!("../README.md")]

use fleet_domain::{LineType, PhoneNumber};
use rlibphonenumber::{PhoneNumber as Parsed, PhoneNumberType, Region};

/// What the numbering plans say of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    country: Region,
    /// The kind of its line.
    pub line: LineType,
}

impl Facts {
    /// The country of the number, ISO 3166-1 alpha-2, such as `US`.
    pub fn country(&self) -> String {
        self.country.as_region_str().to_string()
    }
}

/// What is known of a number; `None` for one that no numbering plan has, or that belongs to no country (satellite and
/// other global services).
pub fn facts(number: &PhoneNumber) -> Option<Facts> {
    let parsed: Parsed = number.e164().parse().ok()?;
    if !parsed.is_valid() {
        return None;
    }
    let country = parsed.get_region_code()?;
    // Global services stand under the code 001.
    let is_country = country.as_region_str().bytes().all(|b| b.is_ascii_uppercase());
    is_country.then(|| Facts { country, line: line_of(parsed.get_type()) })
}

const fn line_of(kind: PhoneNumberType) -> LineType {
    match kind {
        PhoneNumberType::Mobile => LineType::Mobile,
        PhoneNumberType::FixedLine => LineType::Fixed,
        PhoneNumberType::FixedLineOrMobile => LineType::FixedOrMobile,
        PhoneNumberType::VoIP => LineType::Voip,
        PhoneNumberType::TollFree => LineType::TollFree,
        PhoneNumberType::PremiumRate => LineType::Premium,
        PhoneNumberType::SharedCost => LineType::SharedCost,
        PhoneNumberType::PersonalNumber
        | PhoneNumberType::Pager
        | PhoneNumberType::UAN
        | PhoneNumberType::VoiceMail
        | PhoneNumberType::Unknown => LineType::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: &str) -> Option<(String, LineType)> {
        facts(&PhoneNumber::parse(number).unwrap()).map(|facts| (facts.country(), facts.line))
    }

    #[test]
    fn a_number_tells_its_country_and_its_line() {
        for (number, country, line) in [
            ("+19195550100", "US", LineType::FixedOrMobile),
            ("+14165550123", "CA", LineType::FixedOrMobile),
            ("+442079460000", "GB", LineType::Fixed),
            ("+447400123456", "GB", LineType::Mobile),
            ("+498001234567", "DE", LineType::TollFree),
            ("+19002345678", "US", LineType::Premium),
            ("+33884012345", "FR", LineType::SharedCost),
            ("+447012345678", "GB", LineType::Other),
        ] {
            assert_eq!(of(number), Some((country.to_owned(), line)), "{number}");
        }
    }

    #[test]
    fn a_number_that_cannot_exist_or_has_no_country_has_no_facts() {
        for number in ["+11234567890", "+19995550", "+999123456789", "+881612345678", "+870773111632"] {
            assert_eq!(of(number), None, "{number}");
        }
    }
}
