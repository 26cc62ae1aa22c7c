//! `GET /app/challenges`: what waits for an answer of the device's user.
//!
//! The push is only a wake-up; this list is where an app learns what it asks about. It works without any push.

pub(in crate::routes) mod answer;
pub(in crate::routes) mod opened;

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use fleet_domain::{
    Challenge, ChallengeId, ChallengeKey, Context, Field, PortalName, Timestamp, UserVerification,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{AppRefusal, Signer, is_asked};
use crate::gateway::Gateway;

/// As many as anybody could look through, the newest first.
const LISTED_MOST: usize = 20;

/// The open challenges that the device may answer.
pub(in crate::routes) async fn list(
    State(gateway): State<Arc<Gateway>>,
    signer: Signer,
) -> Result<Response, AppRefusal> {
    let open = gateway.engine.records().open_challenges_of(&signer.user, gateway.now()?).await?;
    let challenges = open
        .iter()
        .map(|stored| &stored.challenge)
        .filter(|challenge| challenge.is_open() && is_asked(challenge, signer.device, signer.standing))
        .take(LISTED_MOST)
        .map(|challenge| Listed::of(challenge, &gateway))
        .collect();
    Ok(Json(List { challenges }).into_response())
}

#[derive(Serialize)]
struct List<'a> {
    challenges: Vec<Listed<'a>>,
}

#[derive(Serialize)]
struct Listed<'a> {
    portal: &'a str,
    portal_title: String,
    challenge_id: String,
    nonce: String,
    answer_by: String,
    purpose: &'static str,
    number_match: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    require_user_verification: Option<UserVerification>,
    context: Shown<'a>,
    accepted_at: String,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    fields: Vec<ShownField<'a>>,
}

#[derive(Serialize)]
struct ShownField<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'a> Listed<'a> {
    fn of(challenge: &'a Challenge, gateway: &Gateway) -> Self {
        let Challenge { key, request, .. } = challenge;
        let portal = gateway.engine.records().portal(&key.portal);
        Self {
            portal: key.portal.as_str(),
            portal_title: portal.map_or_else(|| key.portal.to_string(), |portal| portal.title.clone()),
            challenge_id: key.id.to_string(),
            nonce: gateway.engine.keys().app_nonce(key.portal.as_str(), key.id.as_bytes()),
            answer_by: rfc3339(request.answer_by),
            purpose: request.purpose.as_str(),
            number_match: request.number_match.is_some(),
            require_user_verification: Some(request.user_verification)
                .filter(|demanded| *demanded != UserVerification::Off),
            context: Shown::of(&request.context),
            accepted_at: rfc3339(request.accepted_at),
        }
    }
}

impl<'a> Shown<'a> {
    fn of(context: &'a Context) -> Self {
        let field = |field: &'a Field| ShownField { name: &field.name, value: &field.value };
        Self {
            application: context.application.as_deref(),
            client_ip: context.client_ip.as_deref(),
            place: context.place.as_deref(),
            fields: context.fields.iter().map(field).collect(),
        }
    }
}

/// In UTC, rounded down to milliseconds: an answer that is good until then is not good for too long.
fn rfc3339(at: Timestamp) -> String {
    let nanos = i128::from(at.as_millis()) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

/// The challenge that a URL is for.
pub(in crate::routes) struct ChallengeUrl(ChallengeKey);

#[derive(Deserialize)]
struct Segments {
    portal: String,
    challenge: String,
}

impl FromRequestParts<Arc<Gateway>> for ChallengeUrl {
    type Rejection = AppRefusal;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, AppRefusal> {
        let segments = Path::<Segments>::from_request_parts(parts, gateway).await;
        let Path(segments) = segments.map_err(|_| AppRefusal::Unknown)?;
        let id = ChallengeId::parse(&segments.challenge).map_err(|_| AppRefusal::Unknown)?;
        let portal = PortalName::parse(&segments.portal).map_err(|_| AppRefusal::Unknown)?;
        Ok(Self(ChallengeKey { id, portal }))
    }
}
