//! What the routes of the carrier share: whose call a URL is for, and whether the carrier sent the request.
//!
//! The token in the URL is checked first, from keys alone: a forged URL costs no database read. Then comes the
//! signature, over the URL as the carrier was given it. `Host` and forwarding headers are never looked at.

pub(super) mod calls;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use fleet_domain::{ChallengeId, ChallengeKey, PortalName};
use fleet_twilio::{SignedBody, SignedRequest, hides_entry};
use serde::Deserialize;

use super::body::{Unread, is_of_type, whole_body};
use crate::error::Because;
use crate::gateway::Gateway;

const SIGNATURE: &str = "x-twilio-signature";
const SIGNATURE_SETTINGS: &str = "x-twilio-webhooks-signature-settings";

/// Why a request is not taken for one of the carrier's. The answers have no body: nobody who is meant reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnedAway {
    /// Not a URL that the fleet gave away.
    NoSuchCall,
    /// Not signed by the carrier.
    Forged,
    /// Its body can't be had.
    Unread(Unread),
    /// Not a form.
    NotAForm,
    /// A form without a call.
    Unreadable,
}

impl TurnedAway {
    const fn status(self) -> StatusCode {
        match self {
            Self::NoSuchCall => StatusCode::NOT_FOUND,
            Self::Forged => StatusCode::FORBIDDEN,
            Self::Unread(Unread::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unread(Unread::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::Unread(Unread::Encoded) | Self::NotAForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unread(Unread::CutOff) | Self::Unreadable => StatusCode::BAD_REQUEST,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::NoSuchCall => "token",
            Self::Forged => "signature",
            Self::Unread(unread) => unread.label(),
            Self::NotAForm => "not_a_form",
            Self::Unreadable => "unreadable",
        }
    }
}

impl IntoResponse for TurnedAway {
    fn into_response(self) -> Response {
        (self.status(), Extension(Because(self.label()))).into_response()
    }
}

/// Whose call a URL is for, proved by the token in it.
pub(super) struct CallUrl {
    /// The challenge.
    pub(super) key: ChallengeKey,
    /// The attempt whose call it is.
    pub(super) attempt: u8,
    /// The prompt that is answered, from 1; 0 for a URL that answers none.
    pub(super) round: u8,
    /// How often the carrier was asked to try again already.
    pub(super) again: u8,
}

#[derive(Deserialize)]
struct Segments {
    portal: String,
    challenge: String,
    attempt: u8,
    token: String,
    round: Option<u8>,
}

impl FromRequestParts<Arc<Gateway>> for CallUrl {
    type Rejection = TurnedAway;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, TurnedAway> {
        let no_such_call = TurnedAway::NoSuchCall;
        let Path(segments): Path<Segments> =
            Path::from_request_parts(parts, gateway).await.map_err(|_| no_such_call)?;
        let key = ChallengeKey {
            id: ChallengeId::parse(&segments.challenge).map_err(|_| no_such_call)?,
            portal: PortalName::parse(&segments.portal).map_err(|_| no_such_call)?,
        };
        if !gateway.engine.links().token_matches(&key, segments.attempt, &segments.token) {
            return Err(no_such_call);
        }
        let again =
            parts.uri.query().and_then(|query| query.strip_prefix("again=")?.parse().ok()).unwrap_or(0);
        Ok(Self { key, attempt: segments.attempt, round: segments.round.unwrap_or_default(), again })
    }
}

/// The decoded fields of a form that the carrier signed. No `Debug`: keyed digits may be among them.
pub(super) struct SignedForm(pub(super) Vec<(String, String)>);

impl FromRequest<Arc<Gateway>> for SignedForm {
    type Rejection = TurnedAway;

    async fn from_request(request: Request, gateway: &Arc<Gateway>) -> Result<Self, TurnedAway> {
        let url = public_form(gateway.engine.links().public_url(), request.uri());
        let signature = header(request.headers(), SIGNATURE).ok_or(TurnedAway::Forged)?;
        let signature_settings = header(request.headers(), SIGNATURE_SETTINGS);
        if !is_of_type(request.headers(), "application/x-www-form-urlencoded") {
            return Err(TurnedAway::NotAForm);
        }
        let body = whole_body(request, gateway).await.map_err(TurnedAway::Unread)?;
        let fields: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
        let signed = SignedRequest {
            url: &url,
            body: SignedBody::Form(&fields),
            signature: &signature,
            signature_settings: signature_settings.as_deref(),
        };
        let is_the_carriers = gateway.carrier.has_signed(&signed) && !hides_entry(&fields);
        if is_the_carriers { Ok(Self(fields)) } else { Err(TurnedAway::Forged) }
    }
}

/// The URL as the carrier was given it: the configured one with path and query exactly as they were received.
fn public_form(public_url: &str, uri: &Uri) -> String {
    let path_and_query = uri.path_and_query().map_or("", |path_and_query| path_and_query.as_str());
    format!("{public_url}{path_and_query}")
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
