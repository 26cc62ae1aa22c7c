//! Numbers at rest: sealed for one user and role, found by a keyed index, leased by another one.

use fleet_domain::{Extension, Phone, PhoneNumber, PhoneRole, UserId};
use fleet_keys::Keys;

use crate::error::Error;
use crate::transition::Line;

/// The sealed bytes hold no number.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a sealed phone holds no number")]
struct NoNumber;

/// Seals a number and its extension for this user and role; it opens for no other.
pub(crate) fn seal(
    keys: &Keys,
    (user, role): (&UserId, PhoneRole),
    number: &PhoneNumber,
    extension: Option<&Extension>,
) -> Vec<u8> {
    // An extension has no line breaks.
    let plain = format!("{}\n{}", number.e164(), extension.map_or("", Extension::as_str));
    keys.seal(&context(user, role), plain.as_bytes())
}

/// Opens what [`seal`] made.
pub(crate) fn reveal(
    keys: &Keys,
    user: &UserId,
    phone: &Phone,
) -> Result<(PhoneNumber, Option<Extension>), Error> {
    let plain = keys.open(&context(user, phone.role), &phone.sealed).map_err(Error::corrupt)?;
    let plain = std::str::from_utf8(&plain).map_err(|_| Error::corrupt(NoNumber))?;
    let (number, extension) = plain.split_once('\n').ok_or_else(|| Error::corrupt(NoNumber))?;
    let number = PhoneNumber::parse(number).map_err(|_| Error::corrupt(NoNumber))?;
    if extension.is_empty() {
        return Ok((number, None));
    }
    Ok((number, Some(Extension::parse(extension).map_err(|_| Error::corrupt(NoNumber))?)))
}

/// The line from one of our numbers to a phone.
pub(crate) fn line(keys: &Keys, number: &PhoneNumber, extension: bool, from: &str) -> Line {
    Line {
        to: keys.lease_index(&["to", number.e164()]),
        from: keys.lease_index(&["from", from]),
        shared: extension,
    }
}

/// What the sealed bytes are and whose. A user's id has no control characters, so the parts can't run together.
fn context(user: &UserId, role: PhoneRole) -> Vec<u8> {
    format!("phone\0{user}\0{role}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_domain::PhoneKind;

    fn sealed(extension: Option<&str>) -> (Keys, UserId, Phone) {
        let (keys, user) = (Keys::for_tests(), UserId::parse("ann").unwrap());
        let number = PhoneNumber::parse("+19195550100").unwrap();
        let extension = extension.map(|text| Extension::parse(text).unwrap());
        let phone = Phone {
            role: PhoneRole::Primary,
            kind: PhoneKind::Office,
            verified: true,
            sealed: seal(&keys, (&user, PhoneRole::Primary), &number, extension.as_ref()),
            masked: number.masked(),
            has_extension: extension.is_some(),
        };
        (keys, user, phone)
    }

    #[test]
    fn a_sealed_phone_opens_to_its_number_and_extension() {
        for extension in [None, Some(",,4123#")] {
            let (keys, user, phone) = sealed(extension);
            let (number, found) = reveal(&keys, &user, &phone).unwrap();
            assert_eq!(number.e164(), "+19195550100");
            assert_eq!(found.as_ref().map(Extension::as_str), extension);
        }
    }

    #[test]
    fn a_sealed_phone_opens_neither_for_another_user_nor_in_another_role() {
        let (keys, user, phone) = sealed(None);
        let other = UserId::parse("ben").unwrap();
        assert!(matches!(reveal(&keys, &other, &phone), Err(Error::Corrupt(_))));
        let moved = Phone { role: PhoneRole::Backup, ..phone };
        assert!(matches!(reveal(&keys, &user, &moved), Err(Error::Corrupt(_))));
    }

    #[test]
    fn a_line_shows_neither_number() {
        let keys = Keys::for_tests();
        let number = PhoneNumber::parse("+19195550100").unwrap();
        let line = line(&keys, &number, false, "+15005550006");
        assert_ne!(line.to, keys.phone_index(number.e164()), "a lease can't be matched with a user's phone");
        assert_ne!(line.to, line.from);
    }
}
