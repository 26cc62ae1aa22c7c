//! What a failed request means for us: whether a call may have been placed, whether to ask again, and the word in an outcome.
//!
//! Codes: <https://www.twilio.com/docs/api/errors>. Twilio may split a code further at any time, so an unknown one counts as a
//! mistake of ours, which raises an alert.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use fleet_domain::{FailureClass, Reason};

use crate::answer::Answer;

/// What was asked of the carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Place a call: the one operation that must not be repeated.
    CreateCall,
    /// End a call.
    EndCall,
    /// Look a call up.
    FetchCall,
    /// Search for calls.
    ListCalls,
}

impl Operation {
    /// The name in logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::CreateCall => "create_call",
            Self::EndCall => "end_call",
            Self::FetchCall => "fetch_call",
            Self::ListCalls => "list_calls",
        }
    }

    /// What it means when the carrier may or may not have acted.
    pub(crate) const fn unclear(self) -> CallErrorKind {
        match self {
            Self::CreateCall => CallErrorKind::Unclear,
            Self::EndCall | Self::FetchCall | Self::ListCalls => CallErrorKind::Unavailable,
        }
    }
}

/// What a failure means for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallErrorKind {
    /// No connection (DNS, TCP, TLS): nothing was sent.
    NotSent,
    /// The create was sent and its answer is missing or says nothing certain: a call may have been placed.
    Unclear,
    /// The carrier failed to do what may be asked again.
    Unavailable,
    /// The carrier did nothing and asks for a pause.
    Throttled,
    /// The number to show is not verified, not valid or not ours.
    CallerIdRejected,
    /// The number to call is not valid.
    InvalidNumber,
    /// The account does not call this destination.
    DestinationNotAllowed,
    /// This carrier has no route to the number.
    Unreachable,
    /// Credentials, account state or base URL: nothing will work before someone acts.
    Misconfigured,
    /// No such call, or a path that the carrier does not know.
    NotFound,
    /// The request itself is wrong, or was refused for a reason that is not known here.
    OurMistake,
}

/// The carrier's code for a resource that does not exist.
const NO_SUCH_RESOURCE: u32 = 20_404;

impl CallErrorKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::NotSent,
        Self::Unclear,
        Self::Unavailable,
        Self::Throttled,
        Self::CallerIdRejected,
        Self::InvalidNumber,
        Self::DestinationNotAllowed,
        Self::Unreachable,
        Self::Misconfigured,
        Self::NotFound,
        Self::OurMistake,
    ];

    /// The name in logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Unclear => "unclear",
            Self::Unavailable => "unavailable",
            Self::Throttled => "throttled",
            Self::CallerIdRejected => "caller_id_rejected",
            Self::InvalidNumber => "invalid_number",
            Self::DestinationNotAllowed => "destination_not_allowed",
            Self::Unreachable => "unreachable",
            Self::Misconfigured => "misconfigured",
            Self::NotFound => "not_found",
            Self::OurMistake => "our_mistake",
        }
    }

    const fn of_code(code: u32) -> Option<Self> {
        Some(match code {
            20_429 | 10_004 => Self::Throttled,
            // 32017: a network on the way blocks the number for its reputation.
            21_210 | 21_212 | 32_017 => Self::CallerIdRejected,
            21_211 | 21_217 => Self::InvalidNumber,
            21_202 | 21_203 | 21_215 | 21_216 => Self::DestinationNotAllowed,
            21_214 => Self::Unreachable,
            // Credentials and account state. 21219 and 20008: trial accounts and test credentials.
            10_001 | 20_003 | 20_005 | 20_006 | 20_008 | 20_010 | 20_403 | 21_219 | 90_010 => {
                Self::Misconfigured
            }
            NO_SUCH_RESOURCE => Self::NotFound,
            _ => return None,
        })
    }

    const fn of_status(operation: Operation, http_status: u16) -> Self {
        match http_status {
            // A redirect is not followed: the base URL is not where the API is.
            300..=399 | 401 | 403 => Self::Misconfigured,
            404 => Self::NotFound,
            429 => Self::Throttled,
            // 408: the server gave up on a request that it may have read.
            100..=299 | 408 | 500.. => operation.unclear(),
            0..=99 | 400..=499 => Self::OurMistake,
        }
    }
}

/// A failed request. It holds no number, URL or token.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.summary())]
pub struct CallError {
    operation: Operation,
    kind: CallErrorKind,
    code: Option<u32>,
    http_status: Option<u16>,
    retry_after: Option<Duration>,
    detail: Detail,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl CallError {
    /// What the failure means for us.
    pub const fn kind(&self) -> CallErrorKind {
        self.kind
    }

    /// The carrier's error code.
    pub const fn code(&self) -> Option<u32> {
        self.code
    }

    /// Status of the answer, where there was one.
    pub const fn http_status(&self) -> Option<u16> {
        self.http_status
    }

    /// Whether the same request may be made again.
    pub const fn class(&self) -> FailureClass {
        match self.kind {
            CallErrorKind::NotSent | CallErrorKind::Unavailable => FailureClass::Transient,
            CallErrorKind::Throttled => FailureClass::Throttled { after: self.retry_after },
            CallErrorKind::Unclear => FailureClass::MaybeHappened,
            CallErrorKind::CallerIdRejected
            | CallErrorKind::InvalidNumber
            | CallErrorKind::DestinationNotAllowed
            | CallErrorKind::Unreachable
            | CallErrorKind::Misconfigured
            | CallErrorKind::NotFound
            | CallErrorKind::OurMistake => FailureClass::Permanent,
        }
    }

    /// The word in an outcome, should the challenge end with this.
    pub const fn reason(&self) -> Reason {
        match self.kind {
            CallErrorKind::NotSent
            | CallErrorKind::Unclear
            | CallErrorKind::Unavailable
            | CallErrorKind::Throttled => Reason::ProviderUnavailable,
            CallErrorKind::CallerIdRejected => Reason::CarrierRejectedCallerId,
            CallErrorKind::InvalidNumber => Reason::InvalidNumber,
            CallErrorKind::DestinationNotAllowed => Reason::DestinationNotAllowed,
            CallErrorKind::Unreachable => Reason::Unreachable,
            CallErrorKind::Misconfigured | CallErrorKind::NotFound => Reason::Misconfigured,
            CallErrorKind::OurMistake => Reason::Internal,
        }
    }

    /// From an answer that is no success, or one that can't be used.
    pub(crate) fn from_answer(operation: Operation, answer: &Answer) -> Self {
        let fields = answer.fields();
        let code = fields.number("code");
        let by_status = CallErrorKind::of_status(operation, answer.http_status);
        // What a failing server says about itself does not make it certain that nothing happened.
        let kind = if answer.is_success() || answer.http_status >= 500 {
            by_status
        } else {
            code.and_then(CallErrorKind::of_code).unwrap_or(by_status)
        };
        Self {
            operation,
            kind,
            code,
            http_status: Some(answer.http_status),
            retry_after: answer.retry_after,
            detail: Detail::of(&fields.text("message").or_else(|| fields.text("detail")).unwrap_or_default()),
            source: None,
        }
    }

    /// From a request that got no whole answer.
    pub(crate) fn from_transport(operation: Operation, error: reqwest::Error) -> Self {
        let sent_nothing = error.is_connect() || error.is_builder();
        Self {
            operation,
            kind: if sent_nothing { CallErrorKind::NotSent } else { operation.unclear() },
            code: None,
            http_status: error.status().map(|status| status.as_u16()),
            retry_after: None,
            detail: Detail::default(),
            // The URL may hold numbers, as filters of a search.
            source: Some(Box::new(error.without_url())),
        }
    }

    /// From a request that is refused here, before anything is sent.
    pub(crate) fn refused(operation: Operation, detail: &'static str) -> Self {
        Self {
            operation,
            kind: CallErrorKind::OurMistake,
            code: None,
            http_status: None,
            retry_after: None,
            detail: Detail(detail.to_owned()),
            source: None,
        }
    }

    /// Whether the carrier itself says that there is no such call. A 404 without its code comes from something in between, and says
    /// nothing about the call.
    pub fn is_no_such_call(&self) -> bool {
        self.kind == CallErrorKind::NotFound && self.code == Some(NO_SUCH_RESOURCE)
    }

    pub(crate) const fn is_call_over(&self) -> bool {
        matches!(self.code, Some(21_220))
    }

    fn summary(&self) -> String {
        let status = self.http_status.map_or_else(String::new, |status| format!(", HTTP {status}"));
        let code = self.code.map_or_else(String::new, |code| format!(", code {code}"));
        let colon = if self.detail.0.is_empty() { "" } else { ": " };
        format!("{}: {}{status}{code}{colon}{}", self.operation.label(), self.kind.label(), self.detail.0)
    }
}

/// The carrier's own text without the words that may be a number, a path, a URL or a token.
#[derive(Clone, Default)]
struct Detail(String);

impl Detail {
    const WORDS_MAX: usize = 40;

    fn of(message: &str) -> Self {
        let words = message.split_whitespace().take(Self::WORDS_MAX).map(|word| {
            let is_plain =
                word.len() <= 30 && word.chars().all(|c| !c.is_numeric() && !c.is_control() && c != '/');
            if is_plain { word } else { "…" }
        });
        Self(words.collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CallErrorKind::{
        CallerIdRejected, DestinationNotAllowed, InvalidNumber, Misconfigured, NotFound, OurMistake,
        Throttled, Unavailable, Unclear, Unreachable,
    };

    fn error(operation: Operation, http_status: u16, body: &str) -> CallError {
        let answer = Answer {
            http_status,
            request_id: None,
            retry_after: Some(Duration::from_secs(3)),
            body: body.as_bytes().to_vec(),
        };
        CallError::from_answer(operation, &answer)
    }

    #[test]
    fn every_code_of_a_create_has_its_kind() {
        for (http_status, code, kind) in [
            (401, 20_003, Misconfigured),
            (401, 20_005, Misconfigured),
            (403, 10_001, Misconfigured),
            (403, 90_010, Misconfigured),
            (403, 20_006, Misconfigured),
            (403, 20_008, Misconfigured),
            (403, 20_010, Misconfigured),
            (403, 20_403, Misconfigured),
            (404, 20_404, NotFound),
            (409, 20_409, OurMistake),
            (422, 20_422, OurMistake),
            // Too many requests at once, and too many calls.
            (429, 20_429, Throttled),
            (429, 10_004, Throttled),
            (400, 10_004, Throttled),
            (500, 20_500, Unclear),
            (503, 20_503, Unclear),
            (503, 21_211, Unclear),
            (400, 21_201, OurMistake),
            (400, 21_202, DestinationNotAllowed),
            (400, 21_203, DestinationNotAllowed),
            (400, 21_205, OurMistake),
            (400, 21_206, OurMistake),
            (400, 21_207, OurMistake),
            (400, 21_208, OurMistake),
            (400, 21_209, OurMistake),
            (400, 21_210, CallerIdRejected),
            (422, 21_210, CallerIdRejected),
            (400, 21_211, InvalidNumber),
            (400, 21_212, CallerIdRejected),
            (400, 21_213, OurMistake),
            (400, 21_214, Unreachable),
            (400, 21_215, DestinationNotAllowed),
            (403, 21_215, DestinationNotAllowed),
            (400, 21_216, DestinationNotAllowed),
            (400, 21_217, InvalidNumber),
            (400, 21_218, OurMistake),
            (400, 21_219, Misconfigured),
            (400, 21_220, OurMistake),
            (400, 21_234, OurMistake),
            (400, 21_999, OurMistake),
            (400, 32_017, CallerIdRejected),
            (400, 32_018, OurMistake),
        ] {
            let found = error(Operation::CreateCall, http_status, &format!(r#"{{"code":{code}}}"#));
            assert_eq!((found.kind(), found.code()), (kind, Some(code)), "HTTP {http_status}, code {code}");
        }
    }

    #[test]
    fn every_kind_says_whether_to_ask_again_and_what_a_portal_hears() {
        let after = Some(Duration::from_secs(3));
        for kind in CallErrorKind::ALL {
            let found = CallError { kind, ..error(Operation::CreateCall, 400, "") };
            let expected = match kind {
                CallErrorKind::NotSent | Unavailable => {
                    (FailureClass::Transient, Reason::ProviderUnavailable)
                }
                Unclear => (FailureClass::MaybeHappened, Reason::ProviderUnavailable),
                Throttled => (FailureClass::Throttled { after }, Reason::ProviderUnavailable),
                CallerIdRejected => (FailureClass::Permanent, Reason::CarrierRejectedCallerId),
                InvalidNumber => (FailureClass::Permanent, Reason::InvalidNumber),
                DestinationNotAllowed => (FailureClass::Permanent, Reason::DestinationNotAllowed),
                Unreachable => (FailureClass::Permanent, Reason::Unreachable),
                Misconfigured | NotFound => (FailureClass::Permanent, Reason::Misconfigured),
                OurMistake => (FailureClass::Permanent, Reason::Internal),
            };
            assert_eq!((found.class(), found.reason()), expected, "{kind:?}");
        }
    }

    #[test]
    fn without_a_code_the_status_decides() {
        for (http_status, body, kind) in [
            (302, "", Misconfigured),
            (400, "{}", OurMistake),
            (400, r#"{"code":null,"message":"x"}"#, OurMistake),
            (401, "", Misconfigured),
            (403, "<html>", Misconfigured),
            (404, "not JSON", NotFound),
            (408, "", Unclear),
            (418, "[]", OurMistake),
            (429, "", Throttled),
            (502, "<html>502 Bad Gateway</html>", Unclear),
            (504, "", Unclear),
            (201, "{}", Unclear),
            (999, "", Unclear),
        ] {
            assert_eq!(error(Operation::CreateCall, http_status, body).kind(), kind, "{http_status} {body}");
        }
    }

    #[test]
    fn only_a_create_can_be_unclear() {
        for operation in [Operation::EndCall, Operation::FetchCall, Operation::ListCalls] {
            let found = error(operation, 502, "");
            assert_eq!(
                (found.kind(), found.class()),
                (Unavailable, FailureClass::Transient),
                "{operation:?}"
            );
        }
    }

    #[test]
    fn codes_may_be_texts() {
        let found = error(Operation::CreateCall, 422, r#"{"code":"21210","status":"422","message":"no"}"#);
        assert_eq!((found.kind(), found.code()), (CallerIdRejected, Some(21_210)));
    }

    #[test]
    fn the_pause_that_was_asked_for_is_passed_on() {
        let found = error(Operation::CreateCall, 429, r#"{"code":20429}"#);
        assert_eq!(found.class(), FailureClass::Throttled { after: Some(Duration::from_secs(3)) });
    }

    #[test]
    fn every_kind_has_its_own_label() {
        for (at, kind) in CallErrorKind::ALL.iter().enumerate() {
            assert!(CallErrorKind::ALL[..at].iter().all(|other| other.label() != kind.label()), "{kind:?}");
        }
    }

    #[test]
    fn the_carriers_text_loses_numbers_paths_and_urls() {
        for (message, shown) in [
            (
                "The phone number you are attempting to call, +14155550123, is not valid.",
                "The phone number you are attempting to call, … is not valid.",
            ),
            (
                "The requested resource /2010-04-01/Accounts/AC1/Calls.json was not found",
                "The requested resource … was not found",
            ),
            ("Url https://mfa.example.org/twilio/t0ken is bad", "Url … is bad"),
            ("Phone (415) 555-0123", "Phone … …"),
            ("abcdefabcdefabcdefabcdefabcdefab is bad", "… is bad"),
            ("Authenticate", "Authenticate"),
        ] {
            let body = serde_json::json!({"code": 21_211, "message": message}).to_string();
            let found = error(Operation::CreateCall, 400, &body);
            let expected = format!("create_call: invalid_number, HTTP 400, code 21211: {shown}");
            assert_eq!(found.to_string(), expected);
            assert!(!format!("{found:?}").contains("0123"));
        }
    }
}
