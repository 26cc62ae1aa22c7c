//! What FCM's answer means: for the token, for a second try, for the outcome, and for operators.
//!
//! The FCM code in the answer's details decides, then the status: only with a code does a 404 speak of the token.
//! <https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>

use std::borrow::Cow;
use std::time::Duration;

use fleet_domain::Reason;
use serde::Deserialize;

const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
/// What Apple's push service said to FCM: <https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>
const APNS_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.ApnsError";

/// Why a push was not taken. It holds no token and no text of FCM's, which may quote what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.label())]
pub(crate) enum FcmError {
    /// The app is gone from the device, or the token has expired.
    Unregistered,
    /// The token is none.
    InvalidToken,
    /// A field of the message is wrong: a fault of the fleet's own.
    BadPayload,
    /// The token belongs to another Firebase project.
    SenderIdMismatch,
    /// The project or the device was sent too much.
    QuotaExceeded {
        /// The pause that was asked for.
        after: Option<Duration>,
    },
    /// FCM is overloaded.
    Unavailable {
        /// The pause that was asked for.
        after: Option<Duration>,
    },
    /// FCM failed.
    Internal,
    /// The project's key for Apple's push service is bad.
    ThirdPartyAuth,
    /// Apple knows the token for another app or environment, or not at all.
    ApnsMismatch,
    /// The access token is not valid.
    Unauthenticated,
    /// The API is switched off, or the service account lacks the role.
    PermissionDenied,
    /// There is no such project, or the API is not there.
    WrongProject,
    /// No connection: nothing was sent.
    NotConnected,
    /// No access token was there: nothing was sent.
    NoAccessToken,
    /// FCM fails for everybody and is left alone: nothing was sent.
    Away {
        /// After what pause it may be tried again.
        after: Duration,
    },
    /// The push could not have arrived in time: nothing was sent.
    TooLate,
    /// No whole answer came, or one that says nothing certain: the push may have been taken.
    Unclear {
        /// The answer's status, where there was one.
        http_status: Option<u16>,
    },
}

/// What may help against an error at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing.
    None,
    /// The same again, after this pause at least.
    TryAgain {
        /// The pause that FCM asked for.
        after: Duration,
    },
    /// The same with a new access token.
    RenewAccess,
}

/// FCM's guide: what is not known to have failed for good is not sent again any sooner, unless FCM says so.
/// <https://firebase.google.com/docs/cloud-messaging/scale-fcm>
const PAUSE: Duration = Duration::from_secs(10);
/// The same after a refusal by quota.
const QUOTA_PAUSE: Duration = Duration::from_mins(1);
/// The longest pause that is waited for between two tries. Longer ones are spent in a delay queue.
const MOMENT_MS: u128 = 1_000;

impl FcmError {
    /// What is worth trying at once, for one push to one device. A prompt only where it was surely not delivered; a withdrawal
    /// that comes twice disturbs nobody.
    pub(crate) const fn remedy(self, is_prompt: bool) -> Remedy {
        match self {
            Self::Unclear { http_status: None } if !is_prompt => Remedy::TryAgain { after: Duration::ZERO },
            Self::NotConnected => Remedy::TryAgain { after: Duration::ZERO },
            Self::QuotaExceeded { after: Some(after) } if after.as_millis() <= MOMENT_MS => {
                Remedy::TryAgain { after }
            }
            Self::Unauthenticated => Remedy::RenewAccess,
            Self::Unregistered
            | Self::InvalidToken
            | Self::BadPayload
            | Self::SenderIdMismatch
            | Self::QuotaExceeded { .. }
            | Self::Unavailable { .. }
            | Self::Internal
            | Self::ThirdPartyAuth
            | Self::ApnsMismatch
            | Self::PermissionDenied
            | Self::WrongProject
            | Self::NoAccessToken
            | Self::Away { .. }
            | Self::TooLate
            | Self::Unclear { .. } => Remedy::None,
        }
    }

    /// After what pause the push's one re-send may fare better; `None` where it would fail again. It may have been delivered
    /// all the same.
    pub(crate) fn again_after(self) -> Option<Duration> {
        match self {
            Self::Unavailable { after } => Some(after.unwrap_or(PAUSE)),
            Self::QuotaExceeded { after } => Some(after.unwrap_or(QUOTA_PAUSE)),
            Self::Away { after } => Some(after),
            Self::Internal | Self::NotConnected | Self::NoAccessToken | Self::Unclear { .. } => Some(PAUSE),
            Self::Unregistered
            | Self::InvalidToken
            | Self::BadPayload
            | Self::SenderIdMismatch
            | Self::ThirdPartyAuth
            | Self::ApnsMismatch
            | Self::Unauthenticated
            | Self::PermissionDenied
            | Self::WrongProject
            | Self::TooLate => None,
        }
    }

    /// The word in an outcome, were this the failure of every device.
    pub(crate) const fn reason(self) -> Reason {
        if self.retires_token() { Reason::DeviceUnregistered } else { Reason::PushUndeliverable }
    }

    /// Whether the token will never work again.
    pub(crate) const fn retires_token(self) -> bool {
        match self {
            Self::Unregistered | Self::InvalidToken => true,
            Self::BadPayload
            | Self::SenderIdMismatch
            | Self::QuotaExceeded { .. }
            | Self::Unavailable { .. }
            | Self::Internal
            | Self::ThirdPartyAuth
            | Self::ApnsMismatch
            | Self::Unauthenticated
            | Self::PermissionDenied
            | Self::WrongProject
            | Self::NotConnected
            | Self::NoAccessToken
            | Self::Away { .. }
            | Self::TooLate
            | Self::Unclear { .. } => false,
        }
    }

    /// Whether someone must act: an account, a key, a setting or the fleet itself is wrong, and many pushes will fail alike.
    pub(crate) const fn is_configuration_alarm(self) -> bool {
        match self {
            Self::BadPayload
            | Self::SenderIdMismatch
            | Self::ThirdPartyAuth
            | Self::ApnsMismatch
            | Self::Unauthenticated
            | Self::PermissionDenied
            | Self::WrongProject => true,
            Self::Unregistered
            | Self::InvalidToken
            | Self::QuotaExceeded { .. }
            | Self::Unavailable { .. }
            | Self::Internal
            | Self::NotConnected
            | Self::NoAccessToken
            | Self::Away { .. }
            | Self::TooLate
            | Self::Unclear { .. } => false,
        }
    }

    /// The word in logs and metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Unregistered => "unregistered",
            Self::InvalidToken => "invalid_token",
            Self::BadPayload => "bad_payload",
            Self::SenderIdMismatch => "sender_id_mismatch",
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::Unavailable { .. } => "unavailable",
            Self::Internal => "internal",
            Self::ThirdPartyAuth => "third_party_auth",
            Self::ApnsMismatch => "apns_mismatch",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::WrongProject => "wrong_project",
            Self::NotConnected => "not_connected",
            Self::NoAccessToken => "no_access_token",
            Self::Away { .. } => "away",
            Self::TooLate => "too_late",
            Self::Unclear { .. } => "unclear",
        }
    }

    /// The HTTP status that stands in the outcome as the provider's code.
    pub(crate) const fn provider_code(self) -> Option<u32> {
        match self {
            Self::InvalidToken | Self::BadPayload | Self::ApnsMismatch => Some(400),
            Self::ThirdPartyAuth | Self::Unauthenticated => Some(401),
            Self::SenderIdMismatch | Self::PermissionDenied => Some(403),
            Self::Unregistered | Self::WrongProject => Some(404),
            Self::QuotaExceeded { .. } => Some(429),
            Self::Internal => Some(500),
            Self::Unavailable { .. } => Some(503),
            Self::Unclear { http_status: Some(http_status) } => Some(http_status as u32),
            Self::Unclear { http_status: None }
            | Self::NotConnected
            | Self::NoAccessToken
            | Self::Away { .. }
            | Self::TooLate => None,
        }
    }

    /// From an answer that is no success.
    pub(crate) fn from_answer(http_status: u16, after: Option<Duration>, body: &[u8]) -> Self {
        let answer: Answer<'_> = serde_json::from_slice(body).unwrap_or_default();
        match answer.code() {
            Some("UNREGISTERED") => Self::Unregistered,
            Some("INVALID_ARGUMENT") if answer.is_gone_from_iphone() => Self::Unregistered,
            Some("INVALID_ARGUMENT") if answer.is_strange_to_apple() => Self::ApnsMismatch,
            Some("INVALID_ARGUMENT") if answer.names_token() => Self::InvalidToken,
            Some("INVALID_ARGUMENT") => Self::BadPayload,
            Some("SENDER_ID_MISMATCH") => Self::SenderIdMismatch,
            Some("QUOTA_EXCEEDED") => Self::QuotaExceeded { after },
            Some("UNAVAILABLE") => Self::Unavailable { after },
            Some("INTERNAL") => Self::Internal,
            Some("THIRD_PARTY_AUTH_ERROR" | "APNS_AUTH_ERROR") => Self::ThirdPartyAuth,
            // `UNSPECIFIED_ERROR`, and codes that are newer than this.
            Some(_) | None => Self::from_status(http_status, after),
        }
    }

    const fn from_status(http_status: u16, after: Option<Duration>) -> Self {
        match http_status {
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            // A redirect is not followed: the API is not where `base_url` says.
            300..=399 | 404 => Self::WrongProject,
            429 => Self::QuotaExceeded { after },
            500 => Self::Internal,
            503 => Self::Unavailable { after },
            // Of a proxy or front end: FCM itself may have taken the push. 408: so may whoever gave up waiting.
            0..=299 | 408 | 501 | 502 | 504.. => Self::Unclear { http_status: Some(http_status) },
            400..=499 => Self::BadPayload,
        }
    }

    /// From a request that got no whole answer.
    pub(crate) fn from_transport(error: &reqwest::Error) -> Self {
        if error.is_connect() || error.is_builder() {
            Self::NotConnected
        } else {
            Self::Unclear { http_status: error.status().map(|status| status.as_u16()) }
        }
    }
}

/// Google's form of an error; what is absent or of another form counts as not there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    error: AnswerError<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnswerError<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    details: Vec<Detail<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail<'a> {
    #[serde(rename = "@type", borrow)]
    kind: Cow<'a, str>,
    #[serde(rename = "errorCode", borrow)]
    code: Option<Cow<'a, str>>,
    /// Apple's, in an [`APNS_ERROR`].
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    #[serde(rename = "fieldViolations", borrow)]
    field_violations: Vec<Violation<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Violation<'a> {
    #[serde(borrow)]
    field: Cow<'a, str>,
}

impl Answer<'_> {
    fn code(&self) -> Option<&str> {
        self.detail(FCM_ERROR)?.code.as_deref()
    }

    fn detail(&self, kind: &str) -> Option<&Detail<'_>> {
        self.error.details.iter().find(|detail| detail.kind == kind)
    }

    fn apple_says(&self, reasons: &[&str]) -> bool {
        let said = self.detail(APNS_ERROR).and_then(|detail| detail.reason.as_deref());
        said.is_some_and(|said| reasons.contains(&said))
    }

    /// Whether Apple's token, which FCM's stands for, is dead. Of an app that was removed FCM says so with `INVALID_ARGUMENT` at first.
    fn is_gone_from_iphone(&self) -> bool {
        self.apple_says(&["Unregistered", "ExpiredToken"])
    }

    /// Apple says the same of a token of the other environment and of another app's: where the project's setup or the app's
    /// build is wrong, it says so of every iPhone, and a token that was retired for it would not come back with the mend.
    fn is_strange_to_apple(&self) -> bool {
        self.apple_says(&["BadDeviceToken", "DeviceTokenNotForTopic"])
    }

    /// Whether it is the token that is no valid argument, and not another field of the message: FCM says which field, or only
    /// what is wrong.
    fn names_token(&self) -> bool {
        let mut fields = self
            .error
            .details
            .iter()
            .flat_map(|detail| &detail.field_violations)
            .map(|found| &*found.field)
            .peekable();
        if fields.peek().is_none() {
            return self.error.message.to_ascii_lowercase().contains("registration token");
        }
        fields.all(|field| matches!(field, "message.token" | "message.fid"))
    }
}

#[cfg(test)]
mod tests;
