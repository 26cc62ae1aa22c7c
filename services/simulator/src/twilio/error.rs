//! Twilio's error bodies: `code`, `message`, `more_info`, `status`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error with the HTTP status and the message that belong to its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TwilioError {
    pub(crate) code: u32,
    message: String,
}

impl TwilioError {
    pub(crate) fn of(code: u32) -> Self {
        Self::about(code, "")
    }

    /// An error about a number, a path or a parameter.
    pub(crate) fn about(code: u32, subject: &str) -> Self {
        Self { code, message: message(code, subject) }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self.code {
            20003 => StatusCode::UNAUTHORIZED,
            20005 | 20006 | 20008 | 20010 | 20403 => StatusCode::FORBIDDEN,
            20004 => StatusCode::METHOD_NOT_ALLOWED,
            20404 => StatusCode::NOT_FOUND,
            20009 | 20409 => StatusCode::CONFLICT,
            20422 => StatusCode::UNPROCESSABLE_ENTITY,
            10004 | 20429 => StatusCode::TOO_MANY_REQUESTS,
            20500 => StatusCode::INTERNAL_SERVER_ERROR,
            20503 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl IntoResponse for TwilioError {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = json!({
            "code": self.code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            "status": status.as_u16(),
        });
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let realm = HeaderValue::from_static(r#"Basic realm="Twilio API""#);
            response.headers_mut().insert("www-authenticate", realm);
        }
        response
    }
}

fn message(code: u32, subject: &str) -> String {
    let fixed = match code {
        10004 => "Call concurrency limit exceeded",
        20003 => "Authenticate",
        20004 => "Method not allowed",
        20005 => "Account not active",
        20006 => "Access Denied",
        20008 => "Resource not accessible with Test Account Credentials",
        20009 => "Cannot delete this Call because it is still in progress.",
        20422 => "Invalid Parameter",
        20429 => "Too Many Requests",
        20500 => "An internal server error has occurred",
        20503 => "Service unavailable",
        21201 => "No 'To' number is specified",
        21205 => "Url parameter is required.",
        21206 => "Invalid SendDigits",
        21208 => "Invalid Timeout",
        21209 => "Invalid Method",
        21213 => "From phone number is required.",
        21218 => "Invalid ApplicationSid",
        21220 => "Call is not in-progress. Cannot redirect.",
        21234 => "Invalid machine detection parameter",
        32018 => "The 'Twiml' parameter is too long",
        _ => return about(code, subject),
    };
    fixed.to_owned()
}

fn about(code: u32, subject: &str) -> String {
    match code {
        20404 => format!("The requested resource {subject} was not found"),
        21202 => format!("The phone number you are attempting to call, {subject}, is a premium number."),
        21203 => format!("International calling is not enabled or not supported for {subject}."),
        21210 => format!(
            "The source phone number provided, {subject}, is not yet verified for your account. You may only make \
             calls from phone numbers that you've verified or purchased from Twilio."
        ),
        21211 => format!("The phone number you are attempting to call, {subject}, is not valid."),
        21212 => format!("The source phone number provided, {subject}, is not a valid phone number."),
        21214 => format!("The phone number you are attempting to call, {subject}, cannot be reached."),
        21215 => format!(
            "Account not authorized to call {subject}. Perhaps you need to enable some international permissions: \
             https://www.twilio.com/console/voice/calls/geo-permissions/low-risk"
        ),
        21216 => format!("Account not allowed to call {subject}"),
        21217 => format!("Phone number {subject} does not appear to be valid"),
        21219 => format!(
            "The number {subject} is unverified. Trial accounts may only make calls to verified numbers."
        ),
        32017 => format!("The carrier has blocked the call because of the calling number, {subject}."),
        _ => format!("Error {code}"),
    }
}
