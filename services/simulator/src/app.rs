//! Authenticator apps: a push wakes one, it asks the gateway for its open challenges and answers as its script says.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cast::{Conduct, Denial, Device};
use crate::dates;
use crate::ids;
use crate::journal::Fact;
use crate::jws;
use crate::world::World;

/// How often an app asks again while the gateway can't be reached, and the first wait, in real time.
const TRIES: u32 = 7;
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// What all apps share: the way to the gateway.
pub(crate) struct Apps {
    client: Client,
    /// Base URL without a slash at its end.
    url: String,
}

#[derive(Serialize)]
struct RequestClaims<'a> {
    htm: &'static str,
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
    reason: Option<Denial>,
    device_id: Uuid,
    exp: i64,
}

#[derive(Deserialize)]
struct Open {
    challenges: Vec<Challenge>,
}

#[derive(Deserialize)]
struct Challenge {
    portal: String,
    #[serde(rename = "challenge_id")]
    id: String,
    nonce: String,
    answer_by: String,
}

#[derive(Deserialize)]
struct Answered {
    result: Option<String>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
}

/// An answer of the gateway.
struct Reply {
    status: u16,
    body: Vec<u8>,
}

impl Apps {
    pub(crate) fn new(app_url: &str) -> reqwest::Result<Self> {
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(10))
            .pool_max_idle_per_host(64)
            .build()?;
        Ok(Self { client, url: app_url.trim_end_matches('/').to_owned() })
    }

    /// Sends until the gateway gives an answer that is not its own fault. Each try is signed anew.
    async fn send(&self, request: impl Fn() -> Option<RequestBuilder>) -> Option<Reply> {
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
}

async fn once(request: RequestBuilder) -> Option<Reply> {
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    let body = answer.bytes().await.ok()?.to_vec();
    Some(Reply { status, body })
}

/// Lets the app know that a challenge waits.
pub(crate) fn wake(world: &Arc<World>, device: Arc<Device>, portal: Option<&str>, challenge: Option<&str>) {
    let (Some(portal), Some(challenge)) = (portal, challenge) else { return };
    let (decision, reason) = match device.conduct {
        Conduct::Ignores => return,
        Conduct::Approves => ("approve", None),
        Conduct::Denies(reason) => ("deny", Some(reason)),
    };
    let (portal, challenge) = (portal.to_owned(), challenge.to_owned());
    let world = Arc::clone(world);
    let tasks = world.tasks.clone();
    tasks.spawn_detail("app", async move {
        let acting = async {
            if !device.after.is_zero() {
                tokio::time::sleep(world.time.real(device.after)).await;
            }
            let Some(open) = list(&world, &device, &portal, &challenge).await else { return };
            answer(&world, &device, &open, decision, reason).await;
        };
        tokio::select! {
            () = acting => {}
            () = world.stop.soft() => {}
        }
    });
}

/// The challenge that the push named, if the gateway lists it as open.
async fn list(world: &World, device: &Device, portal: &str, challenge: &str) -> Option<Challenge> {
    let url = format!("{}/app/challenges", world.apps.url);
    let reply = world
        .apps
        .send(|| {
            let iat = world.time.now_secs();
            let claims = RequestClaims { htm: "GET", htu: &url, iat, jti: ids::uuid() };
            let proof = jws::sign(device, "mfa-request+jwt", &claims)?;
            Some(world.apps.client.get(&url).header(AUTHORIZATION, format!("Device {proof}")))
        })
        .await;
    let status = reply.as_ref().map(|reply| reply.status);
    let open = reply.and_then(|reply| serde_json::from_slice::<Open>(&reply.body).ok()).and_then(|open| {
        open.challenges.into_iter().find(|open| open.portal == portal && open.id == challenge)
    });
    let is_open = (status == Some(200)).then_some(open.is_some());
    world.journal.record(&Fact::AppListed { device: device.id, challenge, status, open: is_open });
    if open.is_none() {
        let result = if status.is_some() { "not_open" } else { "unreachable" };
        world.metrics.app_answers.with_label_values(&[result]).inc();
    }
    open
}

async fn answer(
    world: &World,
    device: &Device,
    open: &Challenge,
    decision: &'static str,
    reason: Option<Denial>,
) {
    let url = format!("{}/app/challenges/{}/{}/answer", world.apps.url, open.portal, open.id);
    let claims = AnswerClaims {
        portal: &open.portal,
        challenge_id: &open.id,
        nonce: &open.nonce,
        decision,
        reason,
        device_id: device.id,
        exp: dates::parse_rfc3339(&open.answer_by).unwrap_or(0).div_euclid(1_000_000),
    };
    let reply = world
        .apps
        .send(|| {
            let body = jws::sign(device, "mfa-answer+jwt", &claims)?;
            Some(world.apps.client.post(&url).header(CONTENT_TYPE, "application/jose").body(body))
        })
        .await;
    let status = reply.as_ref().map(|reply| reply.status);
    let answered = reply.and_then(|reply| serde_json::from_slice::<Answered>(&reply.body).ok());
    let result = answered.and_then(|answered| answered.result.or(answered.error.map(|error| error.code)));
    let label = match status {
        Some(200) => "accepted",
        Some(_) => "refused",
        None => "unreachable",
    };
    world.metrics.app_answers.with_label_values(&[label]).inc();
    world.journal.record(&Fact::AppAnswered {
        device: device.id,
        portal: &open.portal,
        challenge: &open.id,
        decision,
        status,
        result: result.as_deref(),
    });
}
