//! `POST /app/challenges/{portal}/{challenge}/opened`: the app shows the challenge.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fleet_domain::{Event, Refused};
use fleet_engine::{Applied, Apply};
use fleet_records::Actor;

use super::super::{AppRefusal, Signer, is_asked};
use super::ChallengeUrl;
use crate::error::{Because, refused_label};
use crate::gateway::Gateway;

/// Idempotent by the challenge: that it was opened is noted once.
pub(in crate::routes) async fn take(
    State(gateway): State<Arc<Gateway>>,
    ChallengeUrl(key): ChallengeUrl,
    signer: Signer,
) -> Result<Response, AppRefusal> {
    let stored = gateway.engine.records().load(&key).await?.ok_or(AppRefusal::Unknown)?;
    if stored.challenge.request.user.as_ref() != Some(&signer.user) {
        return Err(AppRefusal::Unknown);
    }
    if !is_asked(&stored.challenge, signer.device, signer.standing) {
        return Err(AppRefusal::NotAsked);
    }
    let apply = Apply::bulk(&key, Actor::Person).knowing(stored);
    let applied = gateway.engine.apply(apply, |_| Event::Opened).await?;
    gateway.hand_over_owed(&applied).await;
    match applied {
        Applied::Changed { .. } => Ok(StatusCode::NO_CONTENT.into_response()),
        Applied::Unchanged { refused: Refused::Ended, .. } => Err(AppRefusal::Ended),
        Applied::Unchanged { refused, .. } => {
            Ok((StatusCode::NO_CONTENT, Extension(Because(refused_label(refused)))).into_response())
        }
    }
}
