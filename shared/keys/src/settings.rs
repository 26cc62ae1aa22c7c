//! The `[keys]` section, and how a secret is written in it.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use fleet_settings::{ExposeSecret, NotAllowed, SecretString};
use serde::Deserialize;

use crate::Keys;
use crate::outcome::OutcomeSigner;

/// The defaults and the reference of the settings.
pub const DEFAULTS: &str = include_str!("../settings.toml");

const MASTER_BYTES_MIN: usize = 32;

const EITHER_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, EITHER_PADDING);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, EITHER_PADDING);

/// Settings `[keys]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// At least 32 random bytes as hex or base64, from which the key of each purpose is derived.
    pub master: SecretString,
    /// PKCS#8 P-256 private key, PEM or base64, that signs outcomes.
    pub outcome_signing_key: SecretString,
}

impl Settings {
    /// Fails with the name of the first setting that can't be used.
    pub fn check(&self) -> Result<(), NotAllowed> {
        Keys::from_settings(self).map(|_| ())
    }

    pub(crate) fn master_bytes(&self) -> Result<Vec<u8>, NotAllowed> {
        let text = self.master.expose_secret().trim();
        decode_hex(text)
            .or_else(|| decode_base64(text))
            .filter(|bytes| bytes.len() >= MASTER_BYTES_MIN)
            .ok_or_else(|| {
                NotAllowed::new("keys.master", "hex or base64 of at least 32 random bytes; it has no default")
            })
    }

    pub(crate) fn signer(&self) -> Result<OutcomeSigner, NotAllowed> {
        let text = self.outcome_signing_key.expose_secret();
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        decode_base64(&body).and_then(|pkcs8| OutcomeSigner::from_pkcs8(&pkcs8)).ok_or_else(|| {
            NotAllowed::new(
                "keys.outcome_signing_key",
                "a P-256 private key with its public key (PKCS#8, PEM or base64); it has no default",
            )
        })
    }
}

pub(crate) fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).or_else(|_| BASE64_URL.decode(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(master: &str, outcome_signing_key: &str) -> Settings {
        Settings { master: master.into(), outcome_signing_key: outcome_signing_key.into() }
    }

    #[test]
    fn a_bad_master_is_refused_by_name() {
        for master in
            ["", "  \n", "correct horse battery staple", "00112233445566778899aabbccddeeff", "c2hvcnQ="]
        {
            let error = settings(master, &crate::new_signing_key()).check().unwrap_err();
            assert_eq!(error.setting, "keys.master", "{master:?}");
        }
    }

    #[test]
    fn hex_and_both_base64_alphabets_give_the_same_master() {
        let bytes: Vec<u8> = (0xd0..=0xff).collect();
        let texts = [
            crate::digest::hex(&bytes),
            crate::digest::hex(&bytes).to_uppercase(),
            BASE64.encode(&bytes),
            BASE64_URL.encode(&bytes),
            format!(" {}\n", BASE64_URL.encode(&bytes).trim_end_matches('=')),
        ];
        for text in texts {
            assert_eq!(settings(&text, "").master_bytes().unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn a_signing_key_is_read_as_base64_and_as_pem() {
        let master = "ab".repeat(32);
        let base64 = crate::new_signing_key();
        let lines: Vec<&str> =
            base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        let jwk = |key: &str| Keys::from_settings(&settings(&master, key)).unwrap().outcome_jwk();
        assert_eq!(jwk(&base64), jwk(&pem));
    }

    #[test]
    fn a_signing_key_made_by_openssl_is_accepted() {
        // openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256
        let key = include_str!("../tests/openssl_p256.txt");
        settings(&"ab".repeat(32), key).check().unwrap();
    }

    #[test]
    fn a_bad_signing_key_is_refused_by_name() {
        for key in ["", "not base64!", "AAAA"] {
            let error = settings(&"ab".repeat(32), key).check().unwrap_err();
            assert_eq!(error.setting, "keys.outcome_signing_key", "{key:?}");
        }
    }

    #[test]
    fn the_defaults_fit_the_struct_and_lack_both_secrets() {
        let defaults = fleet_settings::Settings::load_from(&[DEFAULTS], None, std::iter::empty()).unwrap();
        let settings: Settings = defaults.section("keys").unwrap();
        assert!(settings.check().is_err());
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let shown = format!("{:?}", settings("5ec2e7", "k3y"));
        assert!(!shown.contains("5ec2e7") && !shown.contains("k3y"), "{shown}");
    }
}
