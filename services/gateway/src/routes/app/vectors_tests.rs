//! The protocol's test vectors against what the gateway reads and verifies: `shared/contracts/app/vectors.json`.

use fleet_domain::{ChallengeId, ChallengeKey, DeviceId, PortalName, Timestamp};
use fleet_keys::{DeviceKeyPair, Jws};
use serde_json::Value;

use super::AppRefusal;
use super::claims::{Unproved, answer, signer_of_request};
use super::device_claims::{Here, activation, push_address, revocation};

/// The vectors, read once for a test.
struct Vectors(Value);

impl Vectors {
    fn read() -> Self {
        Self(serde_json::from_str(include_str!("../../../../../shared/contracts/app/vectors.json")).unwrap())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0["now"].as_i64().unwrap() * 1_000_000)
    }

    fn challenge(&self) -> ChallengeKey {
        let text = |field: &str| self.0["challenge"][field].as_str().unwrap();
        ChallengeKey {
            id: ChallengeId::parse(text("challenge_id")).unwrap(),
            portal: PortalName::parse(text("portal")).unwrap(),
        }
    }

    /// Whether this device, known by the key that the vectors have for it, has signed the message.
    fn signed(&self, jws: &Jws<'_>, device: DeviceId) -> Result<(), AppRefusal> {
        let keys = self.0["keys"].as_object().unwrap().values();
        let known = keys.into_iter().find(|known| known["device_id"] == device.to_string()).unwrap();
        let key = DeviceKeyPair::from_jwk(&known["jwk"].to_string()).unwrap();
        if jws.verify(key.alg(), key.public_key()) { Ok(()) } else { Err(Unproved::Signature.into()) }
    }

    /// What the gateway makes of a message, as far as no database is asked.
    fn taken(&self, message: &Value) -> Result<(), AppRefusal> {
        let text = |field: &str| message[field].as_str().unwrap();
        let base_url = self.0["base_url"].as_str().unwrap();
        let parsed = Jws::parse(text("jws"));
        if text("claims").contains("\"htu\"") {
            let jws = parsed.map_err(|_| Unproved::Malformed)?;
            let url = format!("{base_url}{}", text("path"));
            let device = signer_of_request(&jws, (text("method"), &url), self.now())?;
            return self.signed(&jws, device);
        }
        let jws = parsed.map_err(|_| AppRefusal::Malformed("no JWS of ours"))?;
        let here = Here { url: base_url, now: self.now() };
        let device = match text("path") {
            "/app/activate" => {
                let key = activation(&jws, here)?.key;
                let signed = jws.verify(key.alg, &key.public_key);
                return if signed { Ok(()) } else { Err(Unproved::Signature.into()) };
            }
            "/app/push-address" => push_address(&jws, here)?.device,
            "/app/revoke" => revocation(&jws, here)?,
            _ => {
                let nonce = self.0["challenge"]["nonce"].as_str().unwrap();
                answer(&jws, &self.challenge(), (self.now(), |given: &str| given == nonce))?.device
            }
        };
        self.signed(&jws, device)
    }
}

#[test]
fn p1_every_vector_is_taken_or_refused_as_it_says() {
    let vectors = Vectors::read();
    let messages = vectors.0["messages"].as_array().unwrap();
    assert!(messages.len() > 50);
    for message in messages {
        let refused = vectors.taken(message).err();
        let found = refused.map(|refusal| (refusal.status().as_u16(), refusal.code()));
        let status = message["status"].as_u64().map(|status| u16::try_from(status).unwrap());
        assert_eq!(found, status.zip(message["code"].as_str()), "{}", message["name"]);
    }
}
