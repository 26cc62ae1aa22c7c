#![doc = include_str!("../README.md")]

mod activation;
mod answer;
mod bcrypt;
mod device;
mod device_key_pair;
mod digest;
mod enrollment;
mod error;
mod foreign_hash;
mod imported_pin;
mod jwk;
mod jws;
mod keys;
mod outcome;
mod pin;
mod seal;
mod settings;
mod totp;

pub use activation::ActivationSecret;
pub use answer::AnswerHash;
pub use device::{DeviceAlg, verify_device};
pub use device_key_pair::{DeviceKeyPair, InvalidDeviceKey, Signer};
pub use digest::{constant_time_eq, hmac_sha1_base64, hmac_sha256, hmac_sha256_base64, sha256, sha256_hex};
pub use enrollment::{
    BoxError, ENROLLMENT_KEY_DEFAULTS, EnrollmentKeySettings, EnrollmentKeys, EnrollmentPublicKey,
    InvalidEnrollmentKey, new_enrollment_key,
};
pub use error::Error;
pub use foreign_hash::InvalidPinHash;
pub use jwk::DeviceKey;
pub use jws::{Jws, JwsHeader};
pub use keys::Keys;
pub use outcome::{new_signing_key, verify_outcome};
pub use pin::{InvalidPin, Pin, PinHash};
pub use settings::{DEFAULTS, Settings};
pub use totp::{InvalidTotpSecret, TotpSecret};
pub use zeroize::Zeroizing;

use ring::rand::{SecureRandom, SystemRandom};

/// Makes `ring` the TLS provider of this process. Every `main` calls it before it opens a connection; calling it again does nothing.
pub fn install_tls_provider() {
    // The only failure is that a provider is installed already, and this workspace has no other one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// `N` bytes from the operating system's random number generator.
///
/// # Panics
/// Where the operating system has no randomness to give: nothing safe can be done without it.
#[expect(clippy::expect_used, reason = "a process without randomness must not go on")]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}
