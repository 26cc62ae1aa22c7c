//! Firebase Cloud Messaging HTTP v1 and the OAuth endpoint in front of it.
//!
//! `token` checks service accounts and gives access tokens, `message` validates, by the tables of `fields` and the limits
//! of `apns`; `error` has Google's bodies.

mod apns;
mod error;
mod fields;
mod message;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use crate::app;
use crate::cast::{Addressee, Device};
use crate::faults::Struck;
use crate::ids;
use crate::journal::{Fact, PushFact};
use crate::world::World;

pub(crate) use error::{FcmError, SendFault};
use message::Target;
pub(crate) use token::{AccessTokens, Google};

/// The number of whatever project there is: URLs may have it in the place of the project's id.
const PROJECT_NUMBER: &str = "100000000002";

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
    struck: Option<Extension<Struck>>,
    body: Bytes,
) -> Response {
    let struck = struck.map(|Extension(Struck(fault))| fault);
    match accept(&world, &project, &headers, struck, &body) {
        Ok(name) => ([(CONTENT_TYPE, "application/json; charset=UTF-8")], format!("{{\"name\":\"{name}\"}}"))
            .into_response(),
        Err(error) => error.into_response(),
    }
}

/// Accepts a message, lets its app know, and returns its name. `struck` is the fault that its answer will meet.
fn accept(
    world: &Arc<World>,
    project: &str,
    headers: &HeaderMap,
    struck: Option<&str>,
    body: &[u8],
) -> Result<String, FcmError> {
    world.fcm.tokens.check(headers, world.time.now_secs())?;
    let own = world.fcm.project.as_str();
    if project != own && project != PROJECT_NUMBER {
        return Err(FcmError::NotFound);
    }
    let parsed: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| FcmError::Unreadable(error.to_string()))?;
    let message = message::read(&parsed)?;
    let (device, fault) = addressee(world, &message.target);
    let name = format!("projects/{own}/messages/0:{}%{:016x}", world.time.now_micros(), ids::fresh_bits());
    let result = fault.map_or("accepted", SendFault::word);
    if !message.validate_only {
        let device = device.as_ref().map(|device| device.id);
        let (name, error) = (fault.is_none().then_some(name.as_str()), fault.map(SendFault::word));
        let fact = PushFact { device, name, error, fault: struck, ..message.fact() };
        world.journal.record(&Fact::Push(fact));
        world.metrics.pushes.with_label_values(&[result]).inc();
    }
    if let Some(fault) = fault {
        return Err(FcmError::Refused(fault));
    }
    if message.validate_only {
        return Ok(format!("projects/{own}/messages/fake_message_id"));
    }
    if let Some(device) = device {
        app::receive(world, device, message.notice());
    }
    Ok(name)
}

/// The app that a message is for, and how FCM refuses to send it there.
fn addressee(world: &World, target: &Target) -> (Option<Arc<Device>>, Option<SendFault>) {
    let Target::App(address) = target else { return (None, None) };
    match world.cast.addressee(address) {
        Addressee::App(device) => {
            let fault = device.script.token_fault;
            (Some(device), fault)
        }
        Addressee::Gone => (None, Some(SendFault::Unregistered)),
        Addressee::Nobody => (None, Some(SendFault::InvalidToken)),
    }
}

/// Writes down a message that a fault kept from being carried out.
pub(crate) fn record_refused(world: &World, body: &[u8], error: &str, fault: &str) {
    let parsed = serde_json::from_slice(body).unwrap_or_default();
    let message = message::read(&parsed);
    let fact = message.as_ref().map(message::Message::fact).unwrap_or_default();
    world.journal.record(&Fact::Push(PushFact { error: Some(error), fault: Some(fault), ..fact }));
    world.metrics.pushes.with_label_values(&[error]).inc();
}
