//! An authenticator app of a test's own, which answers exactly when the test says so.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleet_domain::{ChallengeId, DeviceId, PushToken};
use fleet_records::{DeviceAlg, NewDevice};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use crate::world::{PORTAL, World};

/// A device with its key.
pub(crate) struct App {
    id: DeviceId,
    key: EcdsaKeyPair,
    client: reqwest::Client,
}

impl App {
    pub(crate) fn new(device: &str) -> Self {
        fleet_keys::install_tls_provider();
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let client = reqwest::Client::builder().build().unwrap();
        Self { id: DeviceId::parse(device).unwrap(), key, client }
    }

    /// The device as it is enrolled.
    pub(crate) fn enrolled(&self, token: &str) -> NewDevice {
        NewDevice {
            id: self.id,
            alg: DeviceAlg::Es256,
            public_key: self.key.public_key().as_ref().to_vec(),
            push_token: Some(PushToken::new(token.to_owned())),
            totp: None,
        }
    }

    /// Approves; returns the status of the answer, and the result or the error's code that it tells.
    pub(crate) async fn approve(&self, world: &World, id: ChallengeId) -> (u16, String) {
        let answer_by = world.stored(id).await.unwrap().request.answer_by;
        let claims = json!({
            "portal": PORTAL,
            "challenge_id": id.to_string(),
            "nonce": world.keys().app_nonce(PORTAL, id.as_bytes()),
            "decision": "approve",
            "device_id": self.id.to_string(),
            "exp": answer_by.as_secs(),
        });
        let url = format!("{}/app/challenges/{PORTAL}/{id}/answer", world.gateway_url());
        let request =
            self.client.post(url).header("content-type", "application/jose").body(self.sign(&claims));
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let told: Value = response.json().await.unwrap();
        let verdict = told["result"].as_str().or(told["error"]["code"].as_str()).unwrap_or_default();
        (status, verdict.to_owned())
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "typ": "mfa-answer+jwt", "kid": self.id.to_string() });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&header), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
