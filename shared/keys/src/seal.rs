//! Sealing at rest: AES-256-GCM under a key of its own for every message. The format stands in the crate's README.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

use crate::Error;

const FORMAT: u8 = 1;
const HEADER_LEN: usize = 2;
const LONG_NONCE_LEN: usize = 2 * NONCE_LEN;

/// The key that seals, and the id that names its master.
pub(crate) struct Sealer {
    key: hmac::Key,
    id: u8,
}

impl Sealer {
    pub(crate) fn new(key: &[u8; 32], id: u8) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), id }
    }

    #[expect(clippy::expect_used, reason = "AES-GCM refuses only messages above 64 GiB")]
    pub(crate) fn seal(&self, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let header = [FORMAT, self.id];
        let long_nonce = crate::random_bytes::<LONG_NONCE_LEN>();
        let (key, nonce) = self.message_key(&long_nonce);
        let mut text = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
        text.extend_from_slice(plain);
        key.seal_in_place_append_tag(nonce, bound(header, aad), &mut text).expect("shorter than 64 GiB");
        [&header[..], &long_nonce, &text].concat()
    }

    pub(crate) fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (header, rest) = sealed.split_first_chunk::<HEADER_LEN>().ok_or(Error::NotSealed)?;
        let (long_nonce, text) = rest.split_first_chunk::<LONG_NONCE_LEN>().ok_or(Error::NotSealed)?;
        let [format, sealed_under] = *header;
        if format != FORMAT {
            return Err(Error::NotSealed);
        }
        if sealed_under != self.id {
            return Err(Error::OtherMaster { sealed_under, ours: self.id });
        }
        let (key, nonce) = self.message_key(long_nonce);
        let mut text = text.to_vec();
        let plain_len =
            key.open_in_place(nonce, bound(*header, aad), &mut text).map_err(|_| Error::Tampered)?.len();
        text.truncate(plain_len);
        Ok(text)
    }

    #[expect(clippy::expect_used, reason = "an HMAC-SHA256 tag is exactly an AES-256 key long")]
    fn message_key(&self, long_nonce: &[u8; LONG_NONCE_LEN]) -> (LessSafeKey, Nonce) {
        let (for_key, for_nonce) = long_nonce.split_at(NONCE_LEN);
        let key = UnboundKey::new(&AES_256_GCM, hmac::sign(&self.key, for_key).as_ref()).expect("32 bytes");
        let nonce = Nonce::try_assume_unique_for_key(for_nonce).expect("12 bytes");
        (LessSafeKey::new(key), nonce)
    }
}

/// Binds the header to the text together with the caller's context.
fn bound(header: [u8; HEADER_LEN], aad: &[u8]) -> Aad<Vec<u8>> {
    Aad::from([&header[..], aad].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        Sealer::new(&[7; 32], 42)
    }

    #[test]
    fn what_was_sealed_opens_to_the_same_bytes() {
        for plain in [&b""[..], b"+14155550123", &[0; 5000]] {
            let sealed = sealer().seal(b"phone", plain);
            assert_eq!(sealed.len(), plain.len() + 2 + 24 + 16);
            assert_eq!(sealer().open(b"phone", &sealed).unwrap(), plain);
        }
    }

    #[test]
    fn bytes_sealed_by_an_independent_implementation_open() {
        let sealed = hex_bytes(include_str!("../tests/sealed.hex"));
        assert_eq!(sealer().open(b"phone", &sealed).unwrap(), b"+14155550123");
    }

    #[test]
    fn sealing_twice_gives_different_bytes() {
        assert_ne!(sealer().seal(b"", b"same"), sealer().seal(b"", b"same"));
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let sealed = sealer().seal(b"phone", b"+14155550123");
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            let expected = match at {
                0 => Error::NotSealed,
                1 => Error::OtherMaster { sealed_under: 43, ours: 42 },
                _ => Error::Tampered,
            };
            assert_eq!(sealer().open(b"phone", &altered).unwrap_err(), expected, "byte {at}");
        }
    }

    #[test]
    fn another_context_another_key_and_a_cut_are_noticed() {
        let sealed = sealer().seal(b"phone", b"+14155550123");
        assert_eq!(sealer().open(b"device", &sealed), Err(Error::Tampered));
        assert_eq!(Sealer::new(&[8; 32], 42).open(b"phone", &sealed), Err(Error::Tampered));
        for len in 0..sealed.len() {
            let expected = if len < 26 { Error::NotSealed } else { Error::Tampered };
            assert_eq!(sealer().open(b"phone", &sealed[..len]), Err(expected), "{len} bytes");
        }
    }

    fn hex_bytes(text: &str) -> Vec<u8> {
        let text = text.trim();
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }
}
