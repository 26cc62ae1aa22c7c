use super::*;

/// Sealed by libsodium, independently of this crate; the file says with what.
const VECTORS: &str = include_str!("../../tests/sealed_box_vectors.json");

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    secret_key: String,
    public_key: String,
    key_id: String,
    plain: String,
    sealed: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str::<Vectors>(VECTORS).unwrap().vectors
}

fn keys(current: &str, previous: &[&str]) -> Result<EnrollmentKeys, NotAllowed> {
    let previous = previous.iter().map(|text| (*text).into()).collect();
    EnrollmentKeys::from_settings(&EnrollmentKeySettings { current: current.into(), previous })
}

fn sealed_to(keys: &EnrollmentKeys) -> (EnrollmentPublicKey, Vec<u8>) {
    let public = keys.current();
    let sealed = public.seal(b"8250");
    (public, sealed)
}

#[test]
fn what_libsodium_sealed_opens() {
    let vectors = vectors();
    assert!(vectors.len() >= 6);
    for Vector { name, secret_key, public_key, key_id, plain, sealed } in vectors {
        let keys = keys(&secret_key, &[]).unwrap();
        assert_eq!(
            (keys.current().to_string(), keys.current().id()),
            (public_key, key_id.as_str()),
            "{name}"
        );
        let sealed = URL_SAFE_NO_PAD.decode(sealed).unwrap();
        let opened = keys.open(&key_id, &sealed).unwrap();
        assert_eq!(*opened, decode_hex(&plain).unwrap(), "{name}");
        assert_eq!(sealed.len(), opened.len() + 48, "{name}");
    }
}

/// Sealed by libsodium (PyNaCl) too: portals' authors check their own sealing by it.
#[test]
fn the_box_that_the_contracts_show_opens_to_what_they_say() {
    let readme = include_str!("../../../contracts/README.md");
    let shown = |name: &str| {
        let line = readme.lines().find_map(|line| line.strip_prefix(&format!("| {name} | `"))).unwrap();
        line.trim_end_matches("` |")
    };
    let keys = keys(shown("private key, hex"), &[]).unwrap();
    assert_eq!(keys.current().to_string(), shown("public key"));
    assert_eq!(keys.current().id(), shown("key id"));
    let sealed = URL_SAFE_NO_PAD.decode(shown("box")).unwrap();
    assert_eq!(*keys.open(shown("key id"), &sealed).unwrap(), *shown("plain text").as_bytes());
}

#[test]
fn what_was_sealed_to_the_public_key_opens_under_the_private_one_only() {
    let ours = EnrollmentKeys::for_tests();
    let public = EnrollmentPublicKey::parse(&ours.current().to_string()).unwrap();
    assert_eq!(public, ours.current());
    for plain in [&b""[..], b"8250", &[0; 5000]] {
        let sealed = public.seal(plain);
        assert_eq!(sealed.len(), plain.len() + 48);
        assert_eq!(*ours.open(public.id(), &sealed).unwrap(), plain);
        assert_ne!(public.seal(plain), sealed, "each box has a key of its own");
    }
    let other = keys(&new_enrollment_key(), &[]).unwrap();
    let sealed = public.seal(b"8250");
    assert_eq!(other.open(public.id(), &sealed), Err(BoxError::UnknownKey));
    assert_eq!(other.open(other.current().id(), &sealed), Err(BoxError::NotOpened));
}

#[test]
fn a_box_that_was_cut_or_altered_does_not_open() {
    let keys = EnrollmentKeys::for_tests();
    let (public, sealed) = sealed_to(&keys);
    for len in 0..sealed.len() {
        assert_eq!(keys.open(public.id(), &sealed[..len]), Err(BoxError::NotOpened), "{len} bytes");
    }
    for at in 0..sealed.len() {
        for bit in [0x01, 0x80] {
            let mut altered = sealed.clone();
            altered[at] ^= bit;
            assert_eq!(keys.open(public.id(), &altered), Err(BoxError::NotOpened), "byte {at}");
        }
    }
    assert_eq!(keys.open(public.id(), &[&sealed[..], &[0]].concat()), Err(BoxError::NotOpened));
}

#[test]
fn a_key_id_names_exactly_one_key() {
    let keys = EnrollmentKeys::for_tests();
    let (public, sealed) = sealed_to(&keys);
    assert_eq!(public.id().len(), 16);
    let upper = public.id().to_uppercase();
    for wrong in ["", "0000000000000000", &public.id()[..15], &format!("{}0", public.id()), &upper] {
        assert_eq!(keys.open(wrong, &sealed), Err(BoxError::UnknownKey), "{wrong:?}");
    }
}

#[test]
fn a_box_to_a_previous_key_opens_until_that_key_is_removed() {
    let (old, new) = (new_enrollment_key(), new_enrollment_key());
    let (public, sealed) = sealed_to(&keys(&old, &[]).unwrap());
    let rotating = keys(&new, &[&old]).unwrap();
    assert_ne!(rotating.current(), public, "portals are told the new key");
    assert_eq!(*rotating.open(public.id(), &sealed).unwrap(), b"8250");
    let (new_public, new_sealed) = sealed_to(&rotating);
    let rotated = keys(&new, &[]).unwrap();
    assert_eq!(rotated.open(public.id(), &sealed), Err(BoxError::UnknownKey));
    assert_eq!(*rotated.open(new_public.id(), &new_sealed).unwrap(), b"8250");
}

#[test]
fn only_32_bytes_in_base64url_that_hide_a_secret_are_a_public_key() {
    let good = EnrollmentKeys::for_tests().current().to_string();
    assert!(EnrollmentPublicKey::parse(&good).is_ok());
    // The points of low order, as libsodium's `has_small_order` lists them: 0, 1, and two of order 8.
    let low = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ];
    let low = low.map(|hex| URL_SAFE_NO_PAD.encode(decode_hex(hex).unwrap()));
    let longer = URL_SAFE_NO_PAD.encode([9; 33]);
    let shorter = URL_SAFE_NO_PAD.encode([9; 31]);
    let texts = ["", "not a key", &format!("{good}="), &good[..42], &longer, &shorter];
    for text in texts.into_iter().chain(low.iter().map(String::as_str)) {
        assert_eq!(EnrollmentPublicKey::parse(text), Err(InvalidEnrollmentKey), "{text}");
    }
}

#[test]
fn a_private_key_is_read_as_hex_and_as_either_base64() {
    let bytes: Vec<u8> = (0xe0..=0xff).collect();
    let base64 = STANDARD.encode(&bytes);
    let public = keys(&crate::digest::hex(&bytes), &[]).unwrap().current();
    for text in [&base64, &format!("{base64}\n"), &URL_SAFE_NO_PAD.encode(&bytes)] {
        assert_eq!(keys(text, &[]).unwrap().current(), public, "{text}");
    }
}

#[test]
fn a_bad_private_key_is_refused_by_name() {
    let good = new_enrollment_key();
    for bad in ["", "correct horse battery staple", &"ab".repeat(31), &"ab".repeat(33)] {
        assert_eq!(keys(bad, &[]).unwrap_err().setting, "enrollment_keys.current", "{bad:?}");
        assert_eq!(keys(&good, &[&good, bad]).unwrap_err().setting, "enrollment_keys.previous", "{bad:?}");
    }
}

#[test]
fn the_defaults_fit_the_struct_are_documented_and_lack_the_key() {
    let fragments = [ENROLLMENT_KEY_DEFAULTS];
    assert_eq!(fleet_settings::undocumented(&fragments), Vec::<String>::new());
    let load = |env: &[(&str, &str)]| {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let all = fleet_settings::Settings::load_from(&fragments, None, env).unwrap();
        all.section::<EnrollmentKeySettings>("enrollment_keys").unwrap()
    };
    assert_eq!(load(&[]).check().unwrap_err().setting, "enrollment_keys.current");
    let (one, two) = (new_enrollment_key(), new_enrollment_key());
    let both = load(&[
        ("FLEET_ENROLLMENT_KEYS__CURRENT", &new_enrollment_key()),
        ("FLEET_ENROLLMENT_KEYS__PREVIOUS", &format!("{one},{two}")),
    ]);
    both.check().unwrap();
    assert_eq!(both.previous.len(), 2);
}

#[test]
fn nothing_printed_shows_a_private_key() {
    let key = new_enrollment_key();
    let settings = EnrollmentKeySettings { current: key.clone().into(), previous: vec![key.clone().into()] };
    let keys = EnrollmentKeys::from_settings(&settings).unwrap();
    let refused = self::keys(&key, &[&key[..40]]).unwrap_err();
    let shown = format!("{settings:?} {keys:?} {:?} {refused:?}", keys.current());
    assert!(!shown.contains(&key[..12]), "{shown}");
}
