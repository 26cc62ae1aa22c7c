//! The published vectors, and what a code and its secret must not do.

use super::*;

const SHA1: hmac::Algorithm = hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
/// The secret of RFC 4226, appendix D, and its Base32 form.
const SECRET: &[u8] = b"12345678901234567890";
const SECRET_BASE32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn secret() -> TotpSecret {
    TotpSecret::from_bytes(SECRET).unwrap()
}

#[test]
fn r3_hotp_gives_the_values_of_rfc_4226_appendix_d() {
    let published =
        ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
    for (counter, code) in (0..).zip(published) {
        assert_eq!(hotp(SHA1, SECRET, counter, 6), code, "{counter}");
    }
}

#[test]
fn r3_totp_gives_the_values_of_rfc_6238_appendix_b() {
    // The keys are the digits repeated to the length of the hash, which the RFC says only in its code.
    let key = |length| SECRET.iter().copied().cycle().take(length).collect::<Vec<u8>>();
    let keys = [(SHA1, key(20)), (hmac::HMAC_SHA256, key(32)), (hmac::HMAC_SHA512, key(64))];
    for (unix_s, codes) in [
        (59, ["94287082", "46119246", "90693936"]),
        (1_111_111_109, ["07081804", "68084774", "25091201"]),
        (1_111_111_111, ["14050471", "67062674", "99943326"]),
        (1_234_567_890, ["89005924", "91819424", "93441116"]),
        (2_000_000_000, ["69279037", "90698825", "38618901"]),
        (20_000_000_000, ["65353130", "77737706", "47863826"]),
    ] {
        for ((algorithm, key), code) in keys.iter().zip(codes) {
            assert_eq!(hotp(*algorithm, key, unix_s / PERIOD_S, 8), code, "{unix_s} {algorithm:?}");
        }
        assert_eq!(secret().code_at(unix_s), codes[0][2..], "6 digits are the last of 8");
    }
}

#[test]
fn r3_a_code_is_of_the_step_before_the_current_one_or_the_next_and_of_no_other() {
    let now: u64 = 1_790_000_010;
    for (shift, is_taken) in [(-60, false), (-30, true), (0, true), (30, true), (60, false)] {
        let unix_s = now.saturating_add_signed(shift);
        let step = secret().matching_step(&secret().code_at(unix_s), now);
        assert_eq!(step, is_taken.then_some(unix_s / PERIOD_S), "{shift}");
    }
    let right = secret().code_at(now);
    for wrong in ["", "000", &right[1..], &format!("{right}0"), &format!(" {right}"), "１２３４５６"] {
        assert_eq!(secret().matching_step(wrong, now), None, "{wrong}");
    }
    assert_eq!(secret().matching_step(&secret().code_at(0), 0), Some(0), "the first step has none before it");
}

#[test]
fn base32_is_read_as_people_write_it_and_written_as_apps_read_it() {
    assert_eq!(*secret().base32(), SECRET_BASE32);
    for text in
        [SECRET_BASE32, "gezd gnbv gy3t qojq gezd gnbv gy3t qojq", "GEZDGNBV-GY3TQOJQ-GEZDGNBV-GY3TQOJQ "]
    {
        assert_eq!(TotpSecret::from_base32(text), Ok(secret()), "{text}");
    }
    for length in LEN {
        let bytes: Vec<u8> = (0..).take(length).map(|byte: u8| byte.wrapping_mul(37)).collect();
        let secret = TotpSecret::from_bytes(&bytes).unwrap();
        let padding = "=".repeat((8 - secret.base32().len() % 8) % 8);
        assert_eq!(TotpSecret::from_base32(&format!("{}{padding}", *secret.base32())), Ok(secret));
    }
    // RFC 4648, section 10.
    assert_eq!(
        *TotpSecret::from_bytes(b"foobarfoobarfoobar").unwrap().base32(),
        "MZXW6YTBOJTG633CMFZGM33PMJQXE"
    );
    for bad in ["", "GEZDGNBVGY3TQOJQ", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ0", &"A".repeat(104)] {
        assert_eq!(TotpSecret::from_base32(bad), Err(InvalidTotpSecret), "{bad}");
    }
}

#[test]
fn the_uri_names_issuer_and_account_and_keeps_them_apart() {
    let uri = |issuer, account| (*secret().uri(issuer, account)).clone();
    assert_eq!(
        uri("Operations Portal", "avery.lee"),
        format!(
            "otpauth://totp/Operations%20Portal:avery.lee?secret={SECRET_BASE32}&issuer=Operations%20Portal\
             &algorithm=SHA1&digits=6&period=30"
        )
    );
    assert!(uri("A: B&c=d", "é:x").starts_with("otpauth://totp/A%20B%26c%3Dd:%C3%A9x?secret="));
}

#[test]
fn a_sealed_secret_opens_for_its_own_user_and_device_only() {
    let (keys, secret) = (Keys::for_tests(), Keys::new_totp_secret());
    let sealed = keys.seal_totp("alice", &[1; 16], &secret);
    assert_eq!(keys.open_totp("alice", &[1; 16], &sealed), Ok(secret.clone()));
    for (user, device) in [("bob", [1; 16]), ("alice", [2; 16])] {
        assert_eq!(keys.open_totp(user, &device, &sealed), Err(Error::Tampered), "{user}");
    }
    assert_eq!(secret.base32().len(), 32, "160 bits");
    assert_ne!(secret, Keys::new_totp_secret());
    assert_eq!(format!("{secret:?}"), "TotpSecret(***)");
}
