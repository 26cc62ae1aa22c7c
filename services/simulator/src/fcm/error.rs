//! Google's error bodies. Whether a detail names an FCM code decides what a client may do with the token.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::message::Violation;

/// Seconds in the `Retry-After` of refusals that pass.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// How FCM refuses a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum SendFault {
    Unregistered,
    /// A text that is no registration token at all.
    #[serde(rename = "INVALID_ARGUMENT")]
    InvalidToken,
    SenderIdMismatch,
    QuotaExceeded,
    /// Too many messages to one device.
    DeviceQuotaExceeded,
    /// Too many messages of the project; Google's own gate says so, without a word of FCM.
    ProjectQuotaExceeded,
    Unavailable,
    Internal,
    ThirdPartyAuthError,
}

impl SendFault {
    pub(crate) const ALL: [Self; 9] = [
        Self::Unregistered,
        Self::InvalidToken,
        Self::SenderIdMismatch,
        Self::QuotaExceeded,
        Self::DeviceQuotaExceeded,
        Self::ProjectQuotaExceeded,
        Self::Unavailable,
        Self::Internal,
        Self::ThirdPartyAuthError,
    ];

    /// Its word in scripts, rules and the log: FCM's error code, and more of it where that says too little.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unregistered => "UNREGISTERED",
            Self::InvalidToken => "INVALID_ARGUMENT",
            Self::SenderIdMismatch => "SENDER_ID_MISMATCH",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::DeviceQuotaExceeded => "DEVICE_QUOTA_EXCEEDED",
            Self::ProjectQuotaExceeded => "PROJECT_QUOTA_EXCEEDED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
            Self::ThirdPartyAuthError => "THIRD_PARTY_AUTH_ERROR",
        }
    }

    /// The `details` of the error.
    fn details(self) -> Value {
        let of_code = |code: &str| json!({ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code });
        match self {
            Self::DeviceQuotaExceeded => json!([
                of_code("QUOTA_EXCEEDED"),
                {
                    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                    "violations": [{ "subject": "device", "description": "Device message rate exceeded." }],
                },
            ]),
            Self::ProjectQuotaExceeded => json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "RATE_LIMIT_EXCEEDED",
                "domain": "googleapis.com",
                "metadata": {
                    "service": "fcm.googleapis.com",
                    "quota_metric": "fcm.googleapis.com/send_requests",
                    "quota_limit": "SendsPerMinutePerProject",
                    "quota_unit": "1/min/{project}",
                },
            }]),
            Self::Unregistered
            | Self::InvalidToken
            | Self::SenderIdMismatch
            | Self::QuotaExceeded
            | Self::Unavailable
            | Self::Internal
            | Self::ThirdPartyAuthError => json!([of_code(self.word())]),
        }
    }

    fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Unregistered => (404, "NOT_FOUND", "Requested entity was not found."),
            Self::InvalidToken => {
                (400, "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token")
            }
            Self::SenderIdMismatch => (403, "PERMISSION_DENIED", "SenderId mismatch"),
            Self::QuotaExceeded => (429, "RESOURCE_EXHAUSTED", "Quota exceeded."),
            Self::DeviceQuotaExceeded => (429, "RESOURCE_EXHAUSTED", "Device message rate exceeded."),
            Self::ProjectQuotaExceeded => (
                429,
                "RESOURCE_EXHAUSTED",
                "Quota exceeded for quota metric 'Send requests' and limit 'Send requests per minute' of service \
                 'fcm.googleapis.com'.",
            ),
            Self::Unavailable => (503, "UNAVAILABLE", "The service is currently unavailable."),
            Self::Internal => (500, "INTERNAL", "Internal error encountered."),
            Self::ThirdPartyAuthError => (401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service"),
        }
    }
}

/// Why a message was not accepted.
#[derive(Debug)]
pub(crate) enum FcmError {
    /// No access token, or one that is not valid.
    Unauthenticated,
    /// Another project, or no such path: nothing that speaks about a device token.
    NotFound,
    /// Not JSON.
    Unreadable(String),
    /// A field of the message is wrong.
    Violation(Violation),
    /// More data than a device takes: FCM's own code, as for a bad token, and another text.
    TooBig,
    /// About the token.
    Refused(SendFault),
}

impl IntoResponse for FcmError {
    fn into_response(self) -> Response {
        let (code, status, message, details) = match self {
            Self::Unauthenticated => (
                401,
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or \
                 other valid authentication credential. See \
                 https://developers.google.com/identity/sign-in/web/devconsole-project."
                    .to_owned(),
                None,
            ),
            Self::NotFound => (404, "NOT_FOUND", "Requested entity was not found.".to_owned(), None),
            Self::Unreadable(error) => {
                (400, "INVALID_ARGUMENT", format!("Invalid JSON payload received. {error}"), None)
            }
            Self::Violation(violation) => {
                let detail = json!([{
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{ "field": violation.field, "description": violation.description }],
                }]);
                (400, "INVALID_ARGUMENT", violation.description, Some(detail))
            }
            Self::TooBig => {
                let detail = json!([{
                    "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
                    "errorCode": "INVALID_ARGUMENT",
                }]);
                (400, "INVALID_ARGUMENT", "Android message is too big".to_owned(), Some(detail))
            }
            Self::Refused(fault) => {
                let (code, status, message) = fault.parts();
                (code, status, message.to_owned(), Some(fault.details()))
            }
        };
        respond(code, status, &message, details)
    }
}

fn respond(code: u16, status: &str, message: &str, details: Option<Value>) -> Response {
    let mut error = json!({ "code": code, "message": message, "status": status });
    if let Some(details) = details {
        error["details"] = details;
    }
    let http = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (http, Json(json!({ "error": error }))).into_response();
    if matches!(code, 429 | 503) {
        response.headers_mut().insert("retry-after", RETRY_AFTER);
    }
    response
}
