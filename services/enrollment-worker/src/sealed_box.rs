//! Opening a sealed box: what is no proper box of this request and this user is refused before a request exists, and its
//! refusal repeats nothing of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleet_contracts::{Invalid, Sealed, Secrets};
use fleet_domain::{RequestId, UserId};
use fleet_keys::EnrollmentKeys;

use crate::secrets::{PATH, invalid};

/// Opens a box. It must have been sealed for this request and this user.
pub(crate) fn open_box(
    keys: &EnrollmentKeys,
    (request, user): (RequestId, &UserId),
    sealed: &Sealed,
) -> Result<Secrets, Invalid> {
    let bytes = URL_SAFE_NO_PAD
        .decode(&sealed.sealed.0)
        .map_err(|_| invalid(request, PATH, "must be base64url without padding"))?;
    let opened = keys
        .open(&sealed.key_id.0, &bytes)
        .map_err(|error| invalid(request, PATH, format!("can't be opened: {error}")))?;
    let secrets =
        Secrets::read(&opened).map_err(|fault| Invalid { request_id: Some(request.to_string()), ..fault })?;
    if secrets.request_id != request || &secrets.user_id != user {
        return Err(invalid(request, PATH, "must be sealed for this request_id and this user_id"));
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use fleet_contracts::{BoxText, KeyId};
    use fleet_domain::Timestamp;
    use fleet_keys::EnrollmentKeySettings;
    use proptest::prelude::*;

    use super::*;

    /// Stands in the PIN, and nowhere else.
    const CANARY: &str = "739184620552";

    static KEYS: LazyLock<EnrollmentKeys> = LazyLock::new(|| {
        let current = "656e726f6c6c6d656e74206b65792066726f6d20746865207465737473212121".into();
        EnrollmentKeys::from_settings(&EnrollmentKeySettings { current, previous: Vec::new() }).unwrap()
    });

    fn id(number: u8) -> RequestId {
        RequestId::from_parts(Timestamp::from_micros(1_790_000_000_000_000), [number; 10])
    }

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn sealed(bytes: &[u8]) -> Sealed {
        Sealed {
            key_id: KeyId(KEYS.current().id().to_owned()),
            sealed: BoxText(URL_SAFE_NO_PAD.encode(bytes)),
        }
    }

    fn plain(id: RequestId, user: UserId) -> Vec<u8> {
        let secrets = Secrets { pin: Some(CANARY.into()), ..Secrets::new(id, user) };
        secrets.to_json().into_bytes()
    }

    fn opened(sealed: &Sealed) -> Result<Secrets, Invalid> {
        open_box(&KEYS, (id(1), &user("alice")), sealed)
    }

    /// It names the box and the request, and nothing of what is in the box.
    fn is_a_good_refusal(opened: Result<Secrets, Invalid>) -> bool {
        let Err(invalid) = opened else { return false };
        let told = format!("{invalid} {invalid:?}");
        invalid.field.starts_with(PATH)
            && invalid.request_id == Some(id(1).to_string())
            && !told.contains(CANARY)
            && !told.contains("bob")
    }

    #[test]
    fn a_box_opens_for_its_own_request_and_user_alone() {
        let good = plain(id(1), user("alice"));
        assert!(opened(&sealed(&KEYS.current().seal(&good))).is_ok());
        for other in [plain(id(2), user("alice")), plain(id(1), user("bob"))] {
            assert!(is_a_good_refusal(opened(&sealed(&KEYS.current().seal(&other)))));
        }
        let elsewhere = Sealed { key_id: KeyId("0".repeat(16)), ..sealed(&KEYS.current().seal(&good)) };
        assert!(is_a_good_refusal(opened(&elsewhere)));
    }

    proptest! {
        // Unoptimised, each box costs some ten milliseconds.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn no_text_is_too_much_for_opening(text in ".{0,200}", key in ".{0,20}") {
            let sealed = Sealed { key_id: KeyId(key), sealed: BoxText(text) };
            prop_assert!(is_a_good_refusal(opened(&sealed)));
        }

        #[test]
        fn a_box_of_which_a_bit_was_changed_or_bytes_are_missing_does_not_open(
            at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
            cut in any::<prop::sample::Index>(),
        ) {
            let good = KEYS.current().seal(&plain(id(1), user("alice")));
            let mut changed = good.clone();
            // Also where X25519 ignores the bit: the nonce depends on it.
            changed[at.index(good.len())] ^= 1 << bit;
            prop_assert!(is_a_good_refusal(opened(&sealed(&changed))));
            prop_assert!(is_a_good_refusal(opened(&sealed(&good[..cut.index(good.len())]))));
        }

        #[test]
        fn whatever_is_sealed_is_secrets_of_this_request_or_is_refused_without_a_word_of_it(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut plain = plain(id(1), user("alice"));
            for (at, byte) in changes {
                let at = at.index(plain.len());
                plain[at] = byte;
            }
            let end = cut.map_or(plain.len(), |cut| cut.index(plain.len()));
            match opened(&sealed(&KEYS.current().seal(&plain[..end]))) {
                Ok(secrets) => prop_assert!(secrets.request_id == id(1) && secrets.user_id == user("alice")),
                refused @ Err(_) => prop_assert!(is_a_good_refusal(refused)),
            }
        }

        #[test]
        fn arbitrary_bytes_in_a_box_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(is_a_good_refusal(opened(&sealed(&KEYS.current().seal(&bytes)))));
        }
    }
}
