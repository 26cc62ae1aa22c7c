//! Phone numbers and extensions as plain facts; both mask themselves wherever they are printed.

use alloc::string::String;
use core::fmt;

/// A phone number in E.164 form (ITU-T E.164: `+`, then 8 to 15 digits, the first not 0).
///
/// `Debug` and `Display` show it as `+1919*****00`; only `e164` reveals it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber(String);

/// The text is not a phone number in E.164 form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a phone number in E.164 form, such as +19195550100: '+', then 8 to 15 digits")]
pub struct InvalidNumber;

impl PhoneNumber {
    /// Checks the text and wraps it.
    pub fn parse(text: &str) -> Result<Self, InvalidNumber> {
        let digits = text.strip_prefix('+').ok_or(InvalidNumber)?;
        let valid = (8..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        if valid { Ok(Self(text.into())) } else { Err(InvalidNumber) }
    }

    /// The number itself. Nothing may log, count or publish it.
    #[must_use]
    pub fn e164(&self) -> &str {
        &self.0
    }

    /// The number with its middle hidden: at most the first five characters and the last two are shown.
    #[must_use]
    pub fn masked(&self) -> String {
        let shown = (self.0.len() - 4).min(5);
        let hidden = self.0.len() - shown - 2;
        let mut out = String::with_capacity(self.0.len());
        out.push_str(&self.0[..shown]);
        out.extend(core::iter::repeat_n('*', hidden));
        out.push_str(&self.0[self.0.len() - 2..]);
        out
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// What is keyed after the call is answered to reach a person behind a switchboard: digits, `*`, `#`,
/// and the pauses `,` and `;`. At most 32 characters, Twilio's limit for `SendDigits`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Extension(String);

/// Why a text is not an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExtension {
    /// Empty, or longer than 32 characters.
    #[error("must be 1 to 32 characters")]
    Length,
    /// A character that cannot be keyed.
    #[error("character {position} cannot be keyed: only digits, '*', '#' and the pauses ',' and ';' can")]
    Character {
        /// Where the first bad character stands, counted from 1.
        position: usize,
    },
}

impl Extension {
    /// Checks the text and wraps it.
    pub fn parse(text: &str) -> Result<Self, InvalidExtension> {
        if let Some(at) = text.chars().position(|c| !matches!(c, '0'..='9' | '*' | '#' | ',' | ';')) {
            return Err(InvalidExtension::Character { position: at + 1 });
        }
        if text.is_empty() || text.len() > 32 {
            return Err(InvalidExtension::Length);
        }
        Ok(Self(text.into()))
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Extension(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_printed_number_hides_its_middle() {
        let number = PhoneNumber::parse("+19195550100").unwrap();
        assert_eq!(format!("{number} {number:?}"), "+1919*****00 +1919*****00");
        assert_eq!(PhoneNumber::parse("+12345678").unwrap().masked(), "+1234**78");
    }

    #[test]
    fn only_e164_is_a_number() {
        for bad in [
            "",
            "19195550100",
            "+0919555010",
            "+1919555010a",
            "+1234567",
            "+1234567890123456",
            "+１９１９５５５",
        ] {
            assert_eq!(PhoneNumber::parse(bad), Err(InvalidNumber), "{bad}");
        }
    }

    #[test]
    fn an_extension_names_the_position_of_its_bad_character() {
        assert!(Extension::parse(",,4123#").is_ok());
        assert_eq!(Extension::parse("41x3"), Err(InvalidExtension::Character { position: 3 }));
        assert_eq!(Extension::parse(""), Err(InvalidExtension::Length));
        assert_eq!(Extension::parse(&"1".repeat(33)), Err(InvalidExtension::Length));
    }
}
