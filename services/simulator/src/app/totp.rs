//! One-time codes (RFC 6238 with SHA-1, six digits, 30 seconds), as the person reads them off the app.

use ring::hmac;
use serde::Serialize;

const STEP_SECONDS: i64 = 30;
const DIGITS: u32 = 6;
/// RFC 4648, without padding.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The secret that an activation gave the app.
pub(crate) struct Totp(hmac::Key);

/// A code, and for how long the app still shows it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Code {
    code: String,
    valid_for_s: i64,
}

impl Totp {
    /// A secret in Base32; `None` when it is not.
    pub(crate) fn parse(secret: &str) -> Option<Self> {
        let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
        for letter in secret.trim_end_matches('=').bytes() {
            let value = BASE32.iter().position(|known| known.eq_ignore_ascii_case(&letter))?;
            bits = (bits << 5) | u32::try_from(value).ok()?;
            count += 5;
            if count >= 8 {
                count -= 8;
                bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
            }
        }
        (!bytes.is_empty()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes)))
    }

    /// The code at this second since 1970.
    pub(crate) fn code_at(&self, now: i64) -> Code {
        let digits = self.number_at(now) % 10_u32.pow(DIGITS);
        let code = format!("{digits:0width$}", width = DIGITS as usize);
        Code { code, valid_for_s: STEP_SECONDS - now.rem_euclid(STEP_SECONDS) }
    }

    /// The number of RFC 4226 whose last digits are the code.
    fn number_at(&self, now: i64) -> u32 {
        let tag = hmac::sign(&self.0, &now.div_euclid(STEP_SECONDS).to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag.last().map_or(0, |last| last & 0x0f));
        let four = tag.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
        u32::from_be_bytes(four) & 0x7fff_ffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // The ASCII text 12345678901234567890, the key of the RFC's appendix B for SHA-1.
        let totp = Totp::parse("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").unwrap();
        for (now, eight_digits) in [
            (59, 94_287_082),
            (1_111_111_109, 7_081_804),
            (1_111_111_111, 14_050_471),
            (1_234_567_890, 89_005_924),
            (2_000_000_000, 69_279_037),
            (20_000_000_000, 65_353_130),
        ] {
            assert_eq!(totp.number_at(now) % 100_000_000, eight_digits, "{now}");
        }
        assert_eq!(totp.code_at(59), Code { code: "287082".to_owned(), valid_for_s: 1 });
        assert_eq!(totp.code_at(1_111_111_109).code, "081804", "zeros in front are shown");
    }

    #[test]
    fn a_secret_may_be_padded_and_in_small_letters_but_nothing_else() {
        let same = |secret: &str| Totp::parse(secret).map(|totp| totp.code_at(59).code);
        assert_eq!(same("gezdgnbvgy3tqojqgezdgnbvgy3tqojq===="), Some("287082".to_owned()));
        assert!(same("GEZDGNBV1").is_none() && same("").is_none());
    }
}
