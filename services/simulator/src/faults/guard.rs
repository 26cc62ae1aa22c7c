//! The guard before the providers' APIs: lets a request through, or does to it what the rules say.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::rule::{Kind, Place};
use super::{ApiFault, Code, End};
use crate::fcm::{self, FcmError, SendFault};
use crate::http::Peer;
use crate::journal::Fact;
use crate::twilio::TwilioError;
use crate::world::World;

/// How long a request hangs that is never answered, in real time: longer than any client waits.
const HANG: Duration = Duration::from_mins(2);

/// The longest body of a request, as axum's own extractors have it.
const MAX_BODY_BYTES: usize = 2 << 20;

/// Tells a handler which fault its answer will meet, for the log.
#[derive(Clone, Copy)]
pub(crate) struct Struck(pub(crate) &'static str);

/// What a request asked for, as far as the log and a refusal need it.
struct Asked {
    place: Place,
    method: Method,
    path: String,
    peer: Option<Peer>,
    /// Of a create, and of a push that is not carried out; empty otherwise.
    body: Bytes,
}

/// Guards the providers' routes. Every answer takes the provider's time.
pub(crate) async fn guard(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    let place = place_of(request.method(), request.uri().path());
    let fault = world.faults.at_api(place);
    let is_carried_out = fault.as_ref().is_none_or(|fault| fault.is_carried_out);
    let keeps_body = place == Place::CallCreate || (place == Place::Push && !is_carried_out);
    let Ok((mut request, asked)) = Asked::read(place, request, keeps_body).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let (own_status, response) = match &fault {
        None => {
            let own = next.run(request).await;
            (Some(own.status()), own)
        }
        Some(fault) if is_carried_out => {
            request.extensions_mut().insert(Struck(fault.word));
            let own = next.run(request).await;
            (Some(own.status()), fault.answer(place, Some(own)))
        }
        Some(fault) => (None, fault.answer(place, None)),
    };
    let fault = fault.as_ref();
    let is_refused = !matches!(fault.map(|fault| fault.end), Some(End::Reset | End::Never));
    asked.record(&world, fault, own_status.or(is_refused.then(|| response.status())));
    pause(&world, fault).await;
    if let (Some(End::Reset), Some(peer)) = (fault.map(|fault| fault.end), &asked.peer) {
        peer.reset();
    }
    response
}

/// The provider's own time, and what the fault adds to it.
async fn pause(world: &World, fault: Option<&ApiFault>) {
    let delay = match fault {
        Some(ApiFault { end: End::Never, .. }) => HANG,
        Some(fault) => world.provider_delay + fault.delay,
        None => world.provider_delay,
    };
    if !delay.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = world.stop.soft() => {}
        }
    }
}

impl Asked {
    async fn read(place: Place, request: Request, keeps_body: bool) -> Result<(Request, Self), axum::Error> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.clone());
        if !keeps_body {
            return Ok((request, Self { place, method, path, peer, body: Bytes::new() }));
        }
        let (head, body) = request.into_parts();
        let body = to_bytes(body, MAX_BODY_BYTES).await?;
        let request = Request::from_parts(head, Body::from(body.clone()));
        Ok((request, Self { place, method, path, peer, body }))
    }

    /// Writes down what was asked of Twilio, and of FCM what was not carried out: what was, it writes down itself.
    fn record(&self, world: &World, fault: Option<&ApiFault>, status: Option<StatusCode>) {
        match (self.place.kind(), fault) {
            (Kind::Twilio, _) => {
                let form: Vec<_> = form_urlencoded::parse(&self.body).collect();
                let field =
                    |name: &str| form.iter().find(|(other, _)| other == name).map(|(_, value)| &**value);
                world.journal.record(&Fact::ApiCall {
                    method: self.method.as_str(),
                    path: &self.path,
                    status: status.map(|status| status.as_u16()),
                    fault: fault.map(|fault| fault.word),
                    to: field("To"),
                    url: field("Url"),
                    callback: field("StatusCallback"),
                });
            }
            (Kind::Push, Some(fault)) if !fault.is_carried_out => {
                let error = send_fault(fault.end).map_or(fault.word, SendFault::word);
                fcm::record_refused(world, &self.body, error, fault.word);
            }
            (Kind::Push | Kind::Token | Kind::Callback, _) => {}
        }
    }
}

impl ApiFault {
    /// What the client is answered, in the words of the place's provider.
    fn answer(&self, place: Place, own: Option<Response>) -> Response {
        let mut response = match (self.end, own) {
            (End::Answer, Some(own)) => return own,
            (End::ServerError(502 | 504) | End::Reset | End::Never, _) => return proxy_error(self.end),
            (End::Answer | End::ServerError(_) | End::TooMany | End::Refused(_), _) => {
                refusal(place, self.end)
            }
        };
        response.headers_mut().remove(RETRY_AFTER);
        if let Some(wait) = &self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, wait.clone());
        }
        response
    }
}

/// What a load balancer says when the provider behind it does not answer.
fn proxy_error(end: End) -> Response {
    let status =
        if end == End::ServerError(502) { StatusCode::BAD_GATEWAY } else { StatusCode::GATEWAY_TIMEOUT };
    let page = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n");
    (status, [(CONTENT_TYPE, "text/html")], page).into_response()
}

/// The provider's own words for a refusal or for an error of its server.
fn refusal(place: Place, end: End) -> Response {
    match place.kind() {
        Kind::Push => FcmError::Refused(send_fault(end).unwrap_or(SendFault::Internal)).into_response(),
        Kind::Token => {
            let (status, error) = match end {
                End::TooMany => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
                End::ServerError(503) => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
                End::Answer | End::ServerError(_) | End::Refused(_) | End::Reset | End::Never => {
                    (StatusCode::INTERNAL_SERVER_ERROR, "internal_failure")
                }
            };
            (status, Json(json!({ "error": error }))).into_response()
        }
        Kind::Twilio | Kind::Callback => {
            let code = match end {
                End::TooMany => 20429,
                End::ServerError(503) => 20503,
                End::Refused(Code::Twilio(code)) => code,
                End::Answer | End::ServerError(_) | End::Refused(Code::Fcm(_)) | End::Reset | End::Never => {
                    20500
                }
            };
            TwilioError::of(code).into_response()
        }
    }
}

/// FCM's code of a refusal; `None` when it has none.
fn send_fault(end: End) -> Option<SendFault> {
    match end {
        End::TooMany => Some(SendFault::QuotaExceeded),
        End::ServerError(500) => Some(SendFault::Internal),
        End::ServerError(503) => Some(SendFault::Unavailable),
        End::Refused(Code::Fcm(fault)) => Some(fault),
        End::Answer | End::ServerError(_) | End::Refused(Code::Twilio(_)) | End::Reset | End::Never => None,
    }
}

fn place_of(method: &Method, path: &str) -> Place {
    let is_list = path.ends_with("/Calls.json");
    if path == "/token" {
        Place::Token
    } else if path.starts_with("/v1/") {
        Place::Push
    } else if method == Method::GET {
        if is_list { Place::CallList } else { Place::CallFetch }
    } else if is_list {
        Place::CallCreate
    } else {
        Place::CallUpdate
    }
}
