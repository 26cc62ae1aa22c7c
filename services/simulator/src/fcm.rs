//! Firebase Cloud Messaging HTTP v1 and the OAuth endpoint in front of it.
//!
//! `token` checks service accounts and gives access tokens, `message` validates, `error` has Google's bodies.

mod error;
mod message;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use crate::app;
use crate::ids;
use crate::journal::Fact;
use crate::world::World;

pub(crate) use error::{FcmError, SendFault};
use message::{Message, Target};
pub(crate) use token::AccessTokens;

/// What FCM and OAuth know.
pub(crate) struct Fcm {
    pub(crate) project: String,
    pub(crate) tokens: AccessTokens,
}

/// The routes.
pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new().route("/token", post(token::give)).route("/v1/projects/{project}/messages:send", post(send))
}

async fn send(
    State(world): State<Arc<World>>,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match accept(&world, &project, &headers, &body) {
        Ok(name) => ([(CONTENT_TYPE, "application/json; charset=UTF-8")], format!("{{\"name\":\"{name}\"}}"))
            .into_response(),
        Err(error) => error.into_response(),
    }
}

/// Accepts a message, lets its app know, and returns its name.
fn accept(world: &Arc<World>, project: &str, headers: &HeaderMap, body: &[u8]) -> Result<String, FcmError> {
    world.fcm.tokens.check(headers, world.time.now_secs())?;
    if project != world.fcm.project {
        return Err(FcmError::NotFound);
    }
    let parsed: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| FcmError::Unreadable(error.to_string()))?;
    let message = message::read(&parsed).map_err(FcmError::Violation)?;
    let device = match message.target {
        Target::Token(token) => world.cast.device(token),
        Target::Topic => None,
    };
    let fault = match (&device, &message.target) {
        (None, Target::Token(_)) => Some(SendFault::InvalidToken),
        (Some(device), _) => device.fault,
        (None, Target::Topic) => None,
    };
    let name =
        format!("projects/{project}/messages/0:{}%{:016x}", world.time.now_micros(), ids::fresh_bits());
    let result = fault.map_or("accepted", SendFault::code);
    if !message.validate_only {
        record(world, &message, device.as_deref(), &name, fault);
    }
    world.metrics.pushes.with_label_values(&[result]).inc();
    if let Some(fault) = fault {
        return Err(FcmError::Refused(fault));
    }
    if let (Some(device), false) = (device, message.validate_only) {
        app::wake(world, device, message.data("portal"), message.data("challenge_id"));
    }
    Ok(name)
}

fn record(
    world: &World,
    message: &Message<'_>,
    device: Option<&crate::cast::Device>,
    name: &str,
    fault: Option<SendFault>,
) {
    world.journal.record(&Fact::Push {
        token: match message.target {
            Target::Token(token) => Some(token),
            Target::Topic => None,
        },
        device: device.map(|device| device.id),
        portal: message.data("portal"),
        challenge: message.data("challenge_id"),
        name: fault.is_none().then_some(name),
        error: fault.map(SendFault::code),
    });
}
