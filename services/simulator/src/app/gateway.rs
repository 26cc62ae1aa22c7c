//! How apps speak to their gateway: what they sign, how often they try, and what they read of the answers.
//!
//! Word for word by `shared/contracts/app/README.md`, and without any code of the fleet's.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::cast::{Address, Decision, Denial, Device, Verification};
use crate::dates;
use crate::device_key::DeviceKey;
use crate::ids;
use crate::jws;
use crate::world::World;

/// How often an app asks again while the gateway can't be reached, and the first wait, in real time.
const TRIES: u32 = 7;
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// How many requests of phones are under way at once. Real phones have processors of their own: thousands that answer together
/// must not hold up the push service, which is in this process too.
static AT_ONCE: Semaphore = Semaphore::const_new(256);

/// The way to the gateways.
pub(super) struct Way(Client);

#[derive(Serialize)]
struct RequestClaims<'a> {
    htm: &'a str,
    htu: &'a str,
    iat: i64,
    jti: Uuid,
}

#[derive(Serialize)]
struct AnswerClaims<'a> {
    portal: &'a str,
    challenge_id: &'a str,
    nonce: &'a str,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uv: Option<Verification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Denial>,
    device_id: Uuid,
    exp: i64,
}

/// Where pushes go, as the gateway is told.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Push<'a> {
    Token(&'a str),
    Fid(&'a str),
}

impl<'a> From<&'a Address> for Push<'a> {
    fn from(address: &'a Address) -> Self {
        match address {
            Address::Token(token) => Self::Token(token),
            Address::Fid(fid) => Self::Fid(fid),
        }
    }
}

/// A challenge that the gateway lists.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Challenge {
    pub(super) portal: String,
    #[serde(rename = "challenge_id")]
    pub(super) id: String,
    nonce: String,
    answer_by: String,
    #[serde(default)]
    pub(super) number_match: bool,
}

#[derive(Deserialize)]
struct Open {
    challenges: Vec<Challenge>,
}

#[derive(Deserialize)]
struct Ended {
    result: Option<String>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
}

/// An answer of the gateway.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The `result`, or the `code` of the error.
    pub(super) fn word(&self) -> Option<String> {
        let Ended { result, error } = serde_json::from_slice(&self.body).ok()?;
        result.or(error.map(|error| error.code))
    }
}

impl Challenge {
    /// Until when it can be answered, in microseconds since 1970.
    pub(super) fn answer_by_micros(&self) -> i64 {
        dates::parse_rfc3339(&self.answer_by).unwrap_or(0)
    }
}

impl Way {
    pub(super) fn new() -> reqwest::Result<Self> {
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(10))
            .pool_max_idle_per_host(64)
            .build()?;
        Ok(Self(client))
    }

    /// Posts a JWS. Each try is made anew.
    pub(super) async fn post(&self, url: &str, jws: impl Fn() -> Option<String>) -> Option<Reply> {
        let request = || Some(self.0.post(url).header(CONTENT_TYPE, "application/jose").body(jws()?));
        until_answered(request).await
    }

    /// Sends until the gateway gives an answer that is not its own fault.
    async fn signed(&self, world: &World, device: &Device, method: Method, path: &str) -> Option<Reply> {
        let url = at(&device.url, path);
        let request = || {
            let iat = world.time.now_secs();
            let claims = RequestClaims { htm: method.as_str(), htu: &url, iat, jti: ids::uuid() };
            let proof = jws::sign(&device.key, Some(device.id), "mfa-request+jwt", &claims)?;
            Some(self.0.request(method.clone(), &url).header(AUTHORIZATION, format!("Device {proof}")))
        };
        until_answered(request).await
    }

    /// The status of the list, and the challenges in it.
    pub(super) async fn list(&self, world: &World, device: &Device) -> (Option<u16>, Vec<Challenge>) {
        let reply = self.signed(world, device, Method::GET, "/app/challenges").await;
        let status = reply.as_ref().map(|reply| reply.status);
        let open = reply.and_then(|reply| serde_json::from_slice::<Open>(&reply.body).ok());
        (status, open.map(|open| open.challenges).unwrap_or_default())
    }

    /// Tells that the person is looking; returns the status.
    pub(super) async fn opened(&self, world: &World, device: &Device, open: &Challenge) -> Option<u16> {
        let path = format!("/app/challenges/{}/{}/opened", open.portal, open.id);
        self.signed(world, device, Method::POST, &path).await.map(|reply| reply.status)
    }
}

/// The URL of a path below a base URL.
pub(super) fn at(base: &str, path: &str) -> String {
    format!("{}{path}", base.trim_end_matches('/'))
}

/// The answer to a challenge, signed with this key.
pub(super) fn sign_answer(
    device: &Device,
    key: &DeviceKey,
    open: &Challenge,
    decision: Decision,
    number: Option<&str>,
) -> Option<String> {
    let (uv, reason) = match decision {
        Decision::Approve => (device.script.uv, None),
        Decision::Deny(reason) => (None, Some(reason)),
    };
    let claims = AnswerClaims {
        portal: &open.portal,
        challenge_id: &open.id,
        nonce: &open.nonce,
        decision: decision.word(),
        number,
        uv,
        reason,
        device_id: device.id,
        exp: open.answer_by_micros().div_euclid(1_000_000),
    };
    jws::sign(key, Some(device.id), "mfa-answer+jwt", &claims)
}

async fn until_answered(request: impl Fn() -> Option<RequestBuilder>) -> Option<Reply> {
    let mut wait = FIRST_WAIT;
    for _ in 1..TRIES {
        match once(request()?).await {
            Some(reply) if reply.status < 500 => return Some(reply),
            Some(_) | None => tokio::time::sleep(wait).await,
        }
        wait *= 2;
    }
    once(request()?).await
}

async fn once(request: RequestBuilder) -> Option<Reply> {
    // Nobody closes the semaphore.
    let _turn = AT_ONCE.acquire().await.ok();
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    let body = answer.bytes().await.ok()?.to_vec();
    Some(Reply { status, body })
}
