//! The codes that a person of a scenario types.

use fleet_contracts::OneTimeCode;
use fleet_keys::TotpSecret;

use super::wish::Places;

/// What is typed where a code is awaited, and again after each wrong one.
#[derive(Clone, Debug)]
pub(crate) enum TypedCode {
    /// These digits.
    Digits(OneTimeCode),
    /// The code that the app shows.
    Right(TotpSecret),
    /// One that it does not show.
    Wrong(TotpSecret),
    /// The one that approved the scenario at this place.
    Used(TotpSecret, usize),
}

/// Before an approval, when its code was typed, or a step earlier: both were taken by it.
const BEFORE_END_S: u64 = 2;
const HOUR_S: u64 = 60 * 60;

impl TypedCode {
    /// Reads the fields `code` and `totp`; `after` is the field of that name.
    pub(super) fn read(
        (code, totp): (Option<&str>, Option<&str>),
        after: Option<&String>,
        places: &Places<'_>,
    ) -> Result<Option<Self>, String> {
        let secret = || {
            let text = totp.ok_or("has a code, but no totp that it is made of")?;
            TotpSecret::from_base32(text).map_err(|rule| format!("totp {rule}"))
        };
        Ok(match code {
            None if totp.is_some() => return Err("has totp, but no code".to_owned()),
            None => None,
            Some("right") => Some(Self::Right(secret()?)),
            Some("wrong") => Some(Self::Wrong(secret()?)),
            Some("used") => {
                let place = places.of("after", after)?.filter(|place| places.is_challenge(*place));
                Some(Self::Used(secret()?, place.ok_or("types a used code, so after must be a challenge")?))
            }
            Some(digits) => {
                let code = OneTimeCode::parse(digits);
                Some(Self::Digits(code.ok_or("code must be right, wrong, used, or 6 to 8 digits")?))
            }
        })
    }

    /// The code at this time. `used_at` is when the scenario ended whose code is used.
    pub(crate) fn at(&self, unix_s: u64, used_at: Option<u64>) -> Option<OneTimeCode> {
        let digits = match self {
            Self::Digits(code) => return Some(code.clone()),
            Self::Right(secret) => secret.code_at(unix_s),
            Self::Wrong(secret) => {
                let later = (1..).map(|hours| secret.code_at(unix_s + hours * HOUR_S));
                later.take(10).find(|code| secret.matching_step(code, unix_s).is_none())?
            }
            Self::Used(secret, _) => secret.code_at(used_at?.saturating_sub(BEFORE_END_S)),
        };
        OneTimeCode::parse(&digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_code_is_what_it_is_called() {
        let secret = TotpSecret::from_bytes(&[7; 20]).unwrap();
        let now = 1_790_000_020;
        let step = |typed: TypedCode, used_at| {
            let code = typed.at(now, used_at).unwrap();
            secret.matching_step(code.reveal(), now)
        };
        assert_eq!(step(TypedCode::Right(secret.clone()), None), Some(now / 30));
        assert_eq!(step(TypedCode::Wrong(secret.clone()), None), None);
        for (ended, used) in [(now, now / 30), (now - 9, now / 30 - 1)] {
            assert_eq!(step(TypedCode::Used(secret.clone(), 0), Some(ended)), Some(used), "{ended}");
        }
        assert!(TypedCode::Used(secret.clone(), 0).at(now, None).is_none());
        assert!(!format!("{:?}", TypedCode::Right(secret)).contains('7'));
    }
}
