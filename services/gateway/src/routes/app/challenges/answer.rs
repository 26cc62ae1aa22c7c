//! `POST /app/challenges/{portal}/{challenge}/answer`: a device's signed answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use fleet_domain::{Challenge, ChallengeKey, DeviceId, Event, Refused};
use fleet_engine::{Applied, Apply};
use fleet_keys::Jws;
use fleet_lifecycle::{CrashPoint, crash_point};
use fleet_records::{Actor, Stored};
use fleet_settings::ExposeSecret;
use serde::Serialize;

use super::super::claims::{self, Answer, Saying, Unproved};
use super::super::{AppRefusal, is_asked, jose, jose_body, proved};
use super::ChallengeUrl;
use crate::gateway::Gateway;

/// Idempotent by the challenge: the first valid answer decides, every later one is told that it has ended.
pub(in crate::routes) async fn take(
    State(gateway): State<Arc<Gateway>>,
    ChallengeUrl(key): ChallengeUrl,
    request: Request,
) -> Result<Response, AppRefusal> {
    let body = jose_body(request, &gateway).await?;
    let jws = jose(&body)?;
    let keys = gateway.engine.keys();
    let is_nonce = |nonce: &str| keys.app_nonce_matches(key.portal.as_str(), key.id.as_bytes(), nonce);
    let answer = claims::answer(&jws, &key, (gateway.now()?, is_nonce))?;
    let stored = authorize(&gateway, &key, &jws, &answer).await?;
    if let Saying::Decline { unknown_reason: true } = answer.saying {
        gateway.metrics.unknown_deny_reason();
    }
    decide(&gateway, &key, stored, &answer).await
}

/// The challenge as it is stored, if the device that signed is an active one of its user.
async fn authorize(
    gateway: &Gateway,
    key: &ChallengeKey,
    jws: &Jws<'_>,
    answer: &Answer,
) -> Result<Stored, AppRefusal> {
    let records = gateway.engine.records();
    let (record, stored) = tokio::try_join!(records.device(answer.device), records.load(key))?;
    let record = proved(jws, record)?;
    // Whoever knows the nonce was asked once: the challenge has been dropped since.
    let stored = stored.ok_or(AppRefusal::Ended)?;
    let request = &stored.challenge.request;
    if request.user.as_ref() != Some(&record.user) {
        return Err(Unproved::OtherUser.into());
    }
    if answer.good_until > request.answer_by {
        return Err(AppRefusal::Malformed("exp must not be after answer_by"));
    }
    // That it was not asked is said of a challenge that is open; one that has ended has ended for all.
    if stored.challenge.is_open() && !is_asked(&stored.challenge, record.id, record.standing) {
        return Err(AppRefusal::NotAsked);
    }
    Ok(stored)
}

async fn decide(
    gateway: &Gateway,
    key: &ChallengeKey,
    stored: Stored,
    answer: &Answer,
) -> Result<Response, AppRefusal> {
    let device = answer.device;
    let decided = |challenge: &Challenge| {
        let decision = answer.saying.decision(|number| gateway.is_number(challenge, number.expose_secret()));
        Event::Decided { device, decision }
    };
    crash_point(CrashPoint::CalledBack);
    let apply = Apply::urgent(key, Actor::Person).knowing(stored);
    let applied = gateway.engine.apply(apply, decided).await?;
    gateway.hand_over_owed(&applied).await;
    match &applied {
        Applied::Changed { after, .. } => end_by(&after.challenge, device),
        Applied::Unchanged { refused, .. } => Err(refusal(*refused)),
    }
}

/// What the answer came to. An answer that came when the time was over has let the challenge expire instead.
fn end_by(challenge: &Challenge, device: DeviceId) -> Result<Response, AppRefusal> {
    #[derive(Serialize)]
    struct Decided {
        result: &'static str,
        reason: &'static str,
    }
    let end =
        challenge.live.end.as_ref().filter(|end| end.device == Some(device)).ok_or(AppRefusal::Ended)?;
    let decided = Decided { result: end.reason.result().as_str(), reason: end.reason.as_str() };
    Ok(Json(decided).into_response())
}

const fn refusal(refused: Refused) -> AppRefusal {
    match refused {
        Refused::Unchanged
        | Refused::Ended
        | Refused::NotLive
        | Refused::OtherCall
        | Refused::Stale
        | Refused::NotDue => AppRefusal::Ended,
        Refused::OutOfPlace => AppRefusal::NotAsked,
    }
}
