//! Reading the body of a request, before anything is asked of the database for it.

use axum::body::{Bytes, HttpBody as _};
use axum::extract::{FromRequest as _, Request};
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use crate::gateway::Gateway;

/// Why a body can't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// Larger than anything that is meant for the gateway.
    TooLarge,
    /// It does not arrive.
    TooSlow,
    /// Compressed, which no client of ours does.
    Encoded,
    /// It broke off.
    CutOff,
}

impl Unread {
    /// The word in metrics, and the code that an app is told.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Encoded => "encoded",
            Self::CutOff => "cut_off",
        }
    }
}

/// The whole body. It has half of the request's time to arrive, so that a client's slowness never looks like the
/// gateway's own.
pub(super) async fn whole_body(request: Request, gateway: &Gateway) -> Result<Bytes, Unread> {
    if !matches!(header_text(request.headers(), &CONTENT_ENCODING), "" | "identity") {
        return Err(Unread::Encoded);
    }
    // What says so itself need not be waited for.
    if request.body().size_hint().lower() > gateway.settings.body_limit_bytes as u64 {
        return Err(Unread::TooLarge);
    }
    let reading = Bytes::from_request(request, &());
    match tokio::time::timeout(gateway.settings.request_timeout / 2, reading).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Unread::TooLarge),
        Ok(Err(_)) => Err(Unread::CutOff),
        Err(_) => Err(Unread::TooSlow),
    }
}

/// Whether the header `Content-Type` names this media type, whatever its parameters.
pub(super) fn is_of_type(headers: &HeaderMap, media_type: &str) -> bool {
    let essence = header_text(headers, &CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(media_type)
}

fn header_text<'a>(headers: &'a HeaderMap, name: &axum::http::HeaderName) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap_or("not a text"))
}
