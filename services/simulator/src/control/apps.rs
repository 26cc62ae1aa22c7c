//! `/sim/apps`: apps are activated, their people read numbers and codes, addresses change, accounts are removed.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::app::{self, Activation, Reply, Rotation};
use crate::cast::{Device, Typing};
use crate::world::World;

/// The routes.
pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/sim/apps", post(activate))
        .route("/sim/apps/{device_id}/types", post(types))
        .route("/sim/apps/{device_id}/rotate", post(rotate))
        .route("/sim/apps/{device_id}/revoke", post(revoke))
        .route("/sim/apps/{device_id}/totp", get(totp))
}

/// The app that a path names.
struct App(Arc<Device>);

impl FromRequestParts<Arc<World>> for App {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, world: &Arc<World>) -> Result<Self, Response> {
        let id = Path::<Uuid>::from_request_parts(parts, world).await.map_err(IntoResponse::into_response)?;
        let unknown = || refused(StatusCode::NOT_FOUND, "no app has this device id");
        world.cast.device(id.0).map(Self).ok_or_else(unknown)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    number: String,
}

/// Answers with the gateway's own status and body.
async fn activate(State(world): State<Arc<World>>, Json(order): Json<Activation>) -> Response {
    match app::activate(&world, order).await {
        Ok(reply) => passed_on(reply),
        Err(fault) => refused(StatusCode::UNPROCESSABLE_ENTITY, fault),
    }
}

async fn types(App(device): App, Json(reading): Json<Reading>) -> Response {
    match device.script.types {
        Typing::Waits => {
            device.reads(reading.number);
            StatusCode::NO_CONTENT.into_response()
        }
        Typing::Nothing | Typing::Number(_) => {
            refused(StatusCode::CONFLICT, "only an app with types = \"wait\" waits for a number")
        }
    }
}

async fn rotate(State(world): State<Arc<World>>, App(device): App, body: Bytes) -> Response {
    let order = if body.is_empty() { Ok(Rotation::default()) } else { serde_json::from_slice(&body) };
    let order = match order {
        Ok(order) => order,
        Err(error) => return refused(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    };
    match app::rotate(&world, &device, order).await {
        Ok(told) => Json(told).into_response(),
        Err(fault) => refused(StatusCode::UNPROCESSABLE_ENTITY, fault),
    }
}

/// Answers with the gateway's own status and body.
async fn revoke(State(world): State<Arc<World>>, App(device): App) -> Response {
    passed_on(app::revoke(&world, &device).await)
}

async fn totp(State(world): State<Arc<World>>, App(device): App) -> Response {
    match &device.totp {
        Some(totp) => Json(totp.code_at(world.time.now_secs())).into_response(),
        None => refused(StatusCode::NOT_FOUND, "no activation gave this app a secret"),
    }
}

fn passed_on(reply: Option<Reply>) -> Response {
    let Some(Reply { status, body }) = reply else {
        return refused(StatusCode::BAD_GATEWAY, "the gateway can't be reached");
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}
