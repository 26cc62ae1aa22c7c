//! Activation codes: derived from the request that they belong to, so that any process can tell them again.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::keys::Keys;

/// What the codes of one activation are made of. Whoever has it can activate; `Debug` masks it.
#[derive(Clone, PartialEq, Eq)]
pub struct ActivationSecret {
    /// The long code: 128 bits in 22 characters of base64url.
    pub long: String,
    /// What the code to be typed is made of.
    pub number: u128,
}

impl std::fmt::Debug for ActivationSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ActivationSecret(***)")
    }
}

impl Keys {
    /// The secret of a request's activation. Each counter gives another one.
    pub fn activation_secret(&self, portal: &str, request: &[u8; 16], counter: u8) -> ActivationSecret {
        let part = |which: &[u8]| self.activation_mac(&[which, portal.as_bytes(), request, &[counter]]);
        ActivationSecret {
            long: URL_SAFE_NO_PAD.encode(part(b"long")),
            number: u128::from_be_bytes(part(b"typed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_and_each_counter_has_codes_of_its_own_which_every_process_can_tell() {
        let keys = Keys::for_tests();
        let secret = keys.activation_secret("operations", &[7; 16], 1);
        assert_eq!(keys.activation_secret("operations", &[7; 16], 1), secret);
        assert_eq!(secret.long.len(), 22);
        for other in [
            keys.activation_secret("providers", &[7; 16], 1),
            keys.activation_secret("operations", &[8; 16], 1),
            keys.activation_secret("operations", &[7; 16], 2),
        ] {
            assert!(other.long != secret.long && other.number != secret.number);
        }
        assert_eq!(format!("{secret:?}"), "ActivationSecret(***)");
    }
}
