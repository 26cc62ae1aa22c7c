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

    /// The country calling code, without the `+`. No code is the beginning of another (ITU-T E.164, list of
    /// assigned country codes), so the digits alone tell how long it is.
    #[must_use]
    pub fn calling_code(&self) -> &str {
        const TWO_DIGITS: [&str; 44] = [
            "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47",
            "48", "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65",
            "66", "81", "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
        ];
        let digits = &self.0[1..];
        let length = match &digits[..2] {
            _ if digits.starts_with(['1', '7']) => 1,
            two if TWO_DIGITS.contains(&two) => 2,
            _ => 3,
        };
        &digits[..length]
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
    fn the_calling_code_is_read_off_the_digits() {
        for (number, code) in
            [("+19195550100", "1"), ("+442079460000", "44"), ("+353861234567", "353"), ("+79161234567", "7")]
        {
            assert_eq!(PhoneNumber::parse(number).unwrap().calling_code(), code);
        }
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
