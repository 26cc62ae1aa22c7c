//! An activated device: what it can ask and say.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use fleet_keys::{DeviceAlg, DeviceKeyPair, Signer, TotpSecret};
use reqwest::Method;
use serde::Deserialize;

use crate::activation::{Activation, Platform, Push};
use crate::challenge::{Challenge, Decided, Denial, Listed, Verified};
use crate::claims::{ActivationClaims, AnswerClaims, PushAddressClaims, RevocationClaims};
use crate::error::Error;
use crate::http::{Http, read};
use crate::store::{self, Stored};

/// How often an activation is tried, and how long it rests after the first try.
const TRIES: u32 = 4;
const FIRST_REST: Duration = Duration::from_millis(250);
/// How long a one-time code is shown, in seconds.
const PERIOD_S: u64 = 30;

/// An authenticator device that the fleet knows. `Debug` masks its secrets.
pub struct Device {
    key: DeviceKeyPair,
    stored: Stored,
    http: Http,
}

/// A one-time code.
#[derive(Clone, PartialEq, Eq)]
pub struct OneTimeCode {
    /// The six digits.
    pub digits: String,
    /// For how many more seconds the device shows it.
    pub seconds_left: u64,
}

impl fmt::Debug for OneTimeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeCode(***)")
    }
}

#[derive(Deserialize)]
struct Activated {
    device_id: String,
    portal: String,
    portal_title: String,
    account: String,
    #[serde(default)]
    totp: Option<Totp>,
}

#[derive(Deserialize)]
struct Totp {
    secret: String,
}

impl Device {
    /// Redeems an activation code for a device that is kept in this file. The file has a new key before the code is sent, and
    /// an activation of which nothing came can be made again with it: by the same call. It is removed where the fleet refuses
    /// the code for good. A file that is a device already is never written over.
    pub async fn activate_in(
        path: &Path,
        activation: &Activation,
        alg: DeviceAlg,
        about: (&str, Platform),
        push: Option<&Push>,
    ) -> Result<Self, Error> {
        let (key, is_of_this_code) = store::begin(path, activation, alg)?;
        let why = match Self::activate(activation, key, about, push).await {
            Ok(device) => match device.save(path) {
                Ok(()) => return Ok(device),
                Err(error) => error,
            },
            Err(error) if is_of_this_code && error.voids_the_code() => {
                store::remove(path)?;
                return Err(error);
            }
            Err(error) => error,
        };
        Err(Error::Unfinished { path: path.to_owned(), why: Box::new(why) })
    }

    /// Redeems an activation code with this key. Keep the key first: an answer that was lost is made up for by the same key,
    /// which gets in again with the same code. The device answers nothing but its own test until that has passed.
    pub async fn activate(
        activation: &Activation,
        key: DeviceKeyPair,
        (name, platform): (&str, Platform),
        push: Option<&Push>,
    ) -> Result<Self, Error> {
        let http = Http::new(&activation.url)?;
        let mut rest = FIRST_REST;
        let mut tries = 1;
        let body = loop {
            let claims = ActivationClaims {
                aud: &activation.url,
                iat: http.now().as_secs(),
                code: &activation.code,
                name,
                platform,
                push,
            };
            match http.post("/app/activate", (&key, Signer::Jwk), &claims).await {
                Err(Error::Unreachable(_) | Error::Unavailable { .. }) if tries < TRIES => {
                    tokio::time::sleep(rest).await;
                    (rest, tries) = (rest * 2, tries + 1);
                }
                answered => break answered?,
            }
        };
        let Activated { device_id, portal, portal_title, account, totp } = read(&body)?;
        let totp_secret = totp.map(|totp| totp.secret);
        let url = activation.url.clone();
        let stored = Stored { url, device_id, portal, portal_title, account, totp_secret, push_version: 0 };
        Ok(Self { key, stored, http })
    }

    /// Reads a device that [`Device::save`] wrote. A file that others can read is refused.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let (stored, key) = store::load(path)?;
        let http = Http::new(&stored.url)?;
        Ok(Self { key, stored, http })
    }

    /// Writes the device with its key to a file that only its owner can read, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        store::save(path, &self.stored, &self.key)
    }

    /// The device's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.stored.device_id
    }

    /// The organisation and the account, to be shown.
    #[must_use]
    pub fn account(&self) -> (&str, &str) {
        (&self.stored.portal_title, &self.stored.account)
    }

    /// What waits for an answer.
    pub async fn list(&self) -> Result<Vec<Challenge>, Error> {
        let body = self.http.signed((Method::GET, "/app/challenges"), (&self.key, self.id())).await?;
        Ok(read::<Listed>(&body)?.challenges)
    }

    /// Tells the portal that the person is looking at the challenge. Nothing else depends on it.
    pub async fn opened(&self, challenge: &Challenge) -> Result<(), Error> {
        let path = path_of(challenge, "opened");
        self.http.signed((Method::POST, &path), (&self.key, self.id())).await.map(drop)
    }

    /// Approves, with the digits that the person typed and how the app has made sure of who holds it. There is no second try:
    /// wrong digits or a missing verification end the challenge, as denied.
    pub async fn approve(
        &self,
        challenge: &Challenge,
        number: Option<&str>,
        verified: Option<Verified>,
    ) -> Result<Decided, Error> {
        let uv = verified.map(Verified::claim);
        self.answer(challenge, AnswerClaims { decision: "approve", number, uv, ..self.claims(challenge) })
            .await
    }

    /// Says no.
    pub async fn deny(&self, challenge: &Challenge, denial: Denial) -> Result<Decided, Error> {
        let reason = Some(denial.claim());
        self.answer(challenge, AnswerClaims { decision: "deny", reason, ..self.claims(challenge) }).await
    }

    fn claims<'a>(&'a self, challenge: &'a Challenge) -> AnswerClaims<'a> {
        AnswerClaims {
            portal: &challenge.portal,
            challenge_id: &challenge.challenge_id,
            nonce: &challenge.nonce,
            device_id: self.id(),
            decision: "deny",
            number: None,
            uv: None,
            reason: None,
            exp: challenge.answer_by.as_secs(),
        }
    }

    async fn answer(&self, challenge: &Challenge, claims: AnswerClaims<'_>) -> Result<Decided, Error> {
        let path = path_of(challenge, "answer");
        read(&self.http.post(&path, (&self.key, Signer::Kid(self.id())), &claims).await?)
    }

    /// Tells the fleet where pushes go from now on; nowhere if `None`. Save the device afterwards: it counts its refreshes.
    pub async fn push_address(&mut self, push: Option<&Push>) -> Result<(), Error> {
        let now = self.http.now();
        let version = u64::try_from(now.as_millis()).unwrap_or(0).max(self.stored.push_version + 1);
        self.stored.push_version = version;
        let claims = PushAddressClaims {
            aud: &self.stored.url,
            device_id: self.id(),
            iat: now.as_secs(),
            version,
            push,
        };
        self.http.post("/app/push-address", (&self.key, Signer::Kid(self.id())), &claims).await.map(drop)
    }

    /// Gives the device up: it can do nothing any more.
    pub async fn revoke(&self) -> Result<(), Error> {
        let claims =
            RevocationClaims { aud: &self.stored.url, device_id: self.id(), iat: self.http.now().as_secs() };
        self.http.post("/app/revoke", (&self.key, Signer::Kid(self.id())), &claims).await.map(drop)
    }

    /// The present one-time code; `None` where the fleet gave no secret for it. It needs no network.
    #[must_use]
    pub fn one_time_code(&self) -> Option<OneTimeCode> {
        let secret = TotpSecret::from_base32(self.stored.totp_secret.as_deref()?).ok()?;
        let now = u64::try_from(self.http.now().as_secs()).ok()?;
        Some(OneTimeCode { digits: secret.code_at(now), seconds_left: PERIOD_S - now % PERIOD_S })
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stored { url, device_id, .. } = &self.stored;
        f.debug_struct("Device").field("url", url).field("id", device_id).finish_non_exhaustive()
    }
}

fn path_of(challenge: &Challenge, what: &str) -> String {
    format!("/app/challenges/{}/{}/{what}", challenge.portal, challenge.challenge_id)
}

#[cfg(test)]
mod tests;
