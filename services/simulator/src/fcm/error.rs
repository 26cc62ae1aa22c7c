//! Google's error bodies. Whether a detail names an FCM code decides what a client may do with the token.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::message::Violation;

const BAD_ACCESS_TOKEN: &str = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid \
     authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.";

/// How FCM refuses to send to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum SendFault {
    Unregistered,
    /// The same of an iPhone whose app is gone, as long as only Apple knows.
    ApnsUnregistered,
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
    /// The access token is refused; nothing that speaks about the device's.
    Unauthenticated,
    /// The API is switched off; Google's own gate says so.
    PermissionDenied,
}

impl SendFault {
    pub(crate) const ALL: [Self; 12] = [
        Self::Unregistered,
        Self::ApnsUnregistered,
        Self::InvalidToken,
        Self::SenderIdMismatch,
        Self::QuotaExceeded,
        Self::DeviceQuotaExceeded,
        Self::ProjectQuotaExceeded,
        Self::Unavailable,
        Self::Internal,
        Self::ThirdPartyAuthError,
        Self::Unauthenticated,
        Self::PermissionDenied,
    ];

    /// Its word in scripts, rules and the log: FCM's error code, and more of it where that says too little.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unregistered => "UNREGISTERED",
            Self::ApnsUnregistered => "APNS_UNREGISTERED",
            Self::InvalidToken => "INVALID_ARGUMENT",
            Self::SenderIdMismatch => "SENDER_ID_MISMATCH",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::DeviceQuotaExceeded => "DEVICE_QUOTA_EXCEEDED",
            Self::ProjectQuotaExceeded => "PROJECT_QUOTA_EXCEEDED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
            Self::ThirdPartyAuthError => "THIRD_PARTY_AUTH_ERROR",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
        }
    }

    /// The `details` of the error, if there are any.
    fn details(self) -> Option<Value> {
        Some(match self {
            Self::Unauthenticated => return None,
            Self::ApnsUnregistered => json!([of_code("INVALID_ARGUMENT"), of_apple(410, "Unregistered")]),
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
            Self::PermissionDenied => json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "SERVICE_DISABLED",
                "domain": "googleapis.com",
                "metadata": { "service": "fcm.googleapis.com" },
            }]),
            Self::Unregistered
            | Self::InvalidToken
            | Self::SenderIdMismatch
            | Self::QuotaExceeded
            | Self::Unavailable
            | Self::Internal
            | Self::ThirdPartyAuthError => json!([of_code(self.word())]),
        })
    }

    fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Unregistered => (404, "NOT_FOUND", "Requested entity was not found."),
            Self::ApnsUnregistered => (400, "INVALID_ARGUMENT", "APNs device token is disabled."),
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
            Self::Unauthenticated => (401, "UNAUTHENTICATED", BAD_ACCESS_TOKEN),
            Self::PermissionDenied => (
                403,
                "PERMISSION_DENIED",
                "Firebase Cloud Messaging API has not been used in this project before or it is disabled.",
            ),
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
    /// The JSON is not that of a message: Google's own gate says so, without a word of FCM.
    Malformed(Violation),
    /// A field of a message means nothing that FCM can do.
    Unfit(Violation),
    /// Apple's service has refused it.
    Apple { http_status: u16, reason: &'static str },
    /// More data than a device takes: FCM's own code, as for a bad token, and another text.
    TooBig,
    /// About the token.
    Refused(SendFault),
}

impl IntoResponse for FcmError {
    fn into_response(self) -> Response {
        let (code, status, message, details) = match self {
            Self::Unauthenticated => (401, "UNAUTHENTICATED", BAD_ACCESS_TOKEN.to_owned(), None),
            Self::NotFound => (404, "NOT_FOUND", "Requested entity was not found.".to_owned(), None),
            Self::Unreadable(error) => {
                (400, "INVALID_ARGUMENT", format!("Invalid JSON payload received. {error}"), None)
            }
            Self::Malformed(violation) => {
                let details = json!([of_field(&violation)]);
                (400, "INVALID_ARGUMENT", violation.description, Some(details))
            }
            Self::Unfit(violation) => {
                let details = json!([of_field(&violation), of_code("INVALID_ARGUMENT")]);
                (400, "INVALID_ARGUMENT", violation.description, Some(details))
            }
            Self::Apple { http_status, reason } => {
                let details = json!([of_code("INVALID_ARGUMENT"), of_apple(http_status, reason)]);
                (400, "INVALID_ARGUMENT", "Request contains an invalid argument.".to_owned(), Some(details))
            }
            Self::TooBig => {
                let details = json!([of_code("INVALID_ARGUMENT")]);
                (400, "INVALID_ARGUMENT", "Android message is too big".to_owned(), Some(details))
            }
            Self::Refused(fault) => {
                let (code, status, message) = fault.parts();
                (code, status, message.to_owned(), fault.details())
            }
        };
        respond(code, status, &message, details)
    }
}

fn of_code(code: &str) -> Value {
    json!({ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code })
}

/// What Apple's service said to FCM.
fn of_apple(http_status: u16, reason: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/google.firebase.fcm.v1.ApnsError",
        "statusCode": http_status,
        "reason": reason,
    })
}

fn of_field(violation: &Violation) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{ "field": violation.field, "description": violation.description }],
    })
}

fn respond(code: u16, status: &str, message: &str, details: Option<Value>) -> Response {
    let mut error = json!({ "code": code, "message": message, "status": status });
    if let Some(details) = details {
        error["details"] = details;
    }
    let http = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (http, Json(json!({ "error": error }))).into_response()
}
