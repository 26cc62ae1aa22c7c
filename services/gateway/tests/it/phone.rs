//! Phones whose apps answer the gateway, signing as their protocol says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleet_domain::DeviceId;
use fleet_keys::{DeviceAlg, random_bytes};
use fleet_records::NewDevice;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

/// An authenticator device with its key.
pub(crate) struct Phone {
    pub(crate) id: DeviceId,
    key: EcdsaKeyPair,
}

impl Phone {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { id: DeviceId::from_uuid(uuid::Uuid::from_bytes(random_bytes())), key }
    }

    pub(crate) fn sign(&self, typ: &str, claims: &Value) -> String {
        self.sign_with(&json!({ "alg": "ES256", "typ": typ, "kid": self.id.to_string() }), claims)
    }

    /// Signs with the public key in the header, as a device does that nobody knows yet.
    pub(crate) fn sign_unknown(&self, typ: &str, claims: &Value) -> String {
        let point = self.key.public_key().as_ref();
        let part = |from: usize| URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": part(1), "y": part(33) });
        self.sign_with(&json!({ "alg": "ES256", "typ": typ, "jwk": jwk }), claims)
    }

    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub(crate) fn enrolled(&self) -> NewDevice {
        NewDevice {
            id: self.id,
            alg: DeviceAlg::Es256,
            public_key: self.key.public_key().as_ref().to_vec(),
            push_token: None,
            totp: None,
        }
    }
}
