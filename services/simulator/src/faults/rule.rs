//! One rule of `POST /sim/faults`: where it strikes, how often, and what then goes wrong.

use std::time::Duration;

use axum::http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::{ApiFault, CallbackFault, Code, End};
use crate::call::Event;

/// How late a callback comes whose rule does not say it, in carrier time.
const LATE: Duration = Duration::from_secs(10);

/// Where a fault can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// Creating a call.
    CallCreate,
    /// Fetching or listing calls.
    CallRead,
    /// Fetching one call.
    CallFetch,
    /// Listing calls.
    CallList,
    /// Updating or deleting a call; a hang-up is an update.
    CallUpdate,
    /// The OAuth endpoint.
    Token,
    /// Sending a message.
    Push,
    /// A status callback, whatever its event.
    Callback,
    CallbackInitiated,
    CallbackRinging,
    CallbackAnswered,
    /// The last status callback of a call.
    CallbackCompleted,
}

impl Place {
    pub(super) fn of_event(event: Event) -> Self {
        match event {
            Event::Initiated => Self::CallbackInitiated,
            Event::Ringing => Self::CallbackRinging,
            Event::Answered => Self::CallbackAnswered,
            Event::Completed => Self::CallbackCompleted,
        }
    }

    /// Whether this is the other place, or the other is a part of it.
    pub(super) fn covers(self, other: Self) -> bool {
        self == other
            || (self == Self::CallRead && matches!(other, Self::CallFetch | Self::CallList))
            || (self == Self::Callback && other.kind() == Kind::Callback)
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::CallCreate | Self::CallRead | Self::CallFetch | Self::CallList | Self::CallUpdate => {
                Kind::Twilio
            }
            Self::Token => Kind::Token,
            Self::Push => Kind::Push,
            Self::Callback
            | Self::CallbackInitiated
            | Self::CallbackRinging
            | Self::CallbackAnswered
            | Self::CallbackCompleted => Kind::Callback,
        }
    }
}

/// Whose words a place speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Twilio,
    Token,
    Push,
    Callback,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fault {
    /// The request is carried out, and answered with a server error.
    ErrorAfter,
    /// Refused: a server error, with nothing done.
    ErrorBefore,
    /// The request is carried out and never answered.
    TimeoutAfter,
    /// The request is neither carried out nor answered.
    TimeoutBefore,
    /// The request is carried out, and the connection is reset in place of an answer.
    ResetAfter,
    /// The connection is reset before anything is done.
    ResetBefore,
    /// Refused: too many requests.
    TooMany,
    /// Refused with the rule's `code`.
    Refused,
    /// Answered late, by the rule's `delay`.
    Slow,
    /// A callback that is never sent.
    Lost,
    /// A callback that comes late, by the rule's `delay` of carrier time.
    Late,
    /// A callback that is sent twice.
    Doubled,
    /// A callback that is sent after its successor.
    Reordered,
}

/// One rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) place: Place,
    fault: Fault,
    /// How many times it strikes; without it, for ever.
    pub(super) count: Option<u64>,
    /// The share of requests that it strikes, 0 to 1; without it, each one.
    pub(super) share: Option<f64>,
    /// How much later the answer or the callback comes.
    #[serde(default, with = "fleet_settings::duration")]
    delay: Duration,
    /// The HTTP status of a server error: 500, 502, 503 or 504. Without it, 500.
    status: Option<u16>,
    /// The code of a refusal.
    code: Option<Code>,
    /// The `Retry-After` of a refusal or server error: a duration, rounded up to whole seconds, or any other text (an
    /// HTTP date), sent as it is. Without it none is sent.
    retry_after: Option<String>,
}

impl Rule {
    /// Says what makes the rule one that can't be followed.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let (kind, fault) = (self.place.kind(), self.fault);
        let is_server_error = matches!(fault, Fault::ErrorAfter | Fault::ErrorBefore);
        let is_refusal = is_server_error || matches!(fault, Fault::TooMany | Fault::Refused);
        let code_fits = match self.code {
            None => fault != Fault::Refused,
            Some(Code::Twilio(_)) => fault == Fault::Refused && kind == Kind::Twilio,
            Some(Code::Fcm(_)) => fault == Fault::Refused && kind == Kind::Push,
        };
        let can_be_late = self.callback_fault().is_none() || fault == Fault::Late;
        let allowed = [
            (self.share.is_none_or(|share| (0.0..=1.0).contains(&share)), "share must be from 0 to 1"),
            (
                (kind == Kind::Callback) == self.callback_fault().is_some(),
                "this fault can't strike at this place",
            ),
            (
                self.status.is_none_or(|status| is_server_error && matches!(status, 500 | 502 | 503 | 504)),
                "status is for error_before and error_after, and one of 500, 502, 503, 504",
            ),
            (
                code_fits,
                "code is for refused and only there: one of Twilio's numbers at a place of calls, one of FCM's words \
                 (\"UNREGISTERED\") at push",
            ),
            (
                self.retry_after.is_none() || is_refusal,
                "retry_after is for too_many, refused, error_before and error_after",
            ),
            (
                self.retry_after.is_none() || self.retry_after().is_some(),
                "retry_after must be a duration above zero, or a text that a header can have",
            ),
            (self.delay.is_zero() || can_be_late, "a callback's delay is for late"),
            (!self.delay.is_zero() || fault != Fault::Slow, "slow needs a delay"),
        ];
        allowed.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, text)| Err(text))
    }

    /// The value of `Retry-After`.
    fn retry_after(&self) -> Option<HeaderValue> {
        let text = self.retry_after.as_deref()?;
        let seconds = fleet_settings::duration::parse(text).map(|wait| wait.as_millis().div_ceil(1_000));
        let value = match seconds {
            Ok(0) => return None,
            Ok(seconds) => HeaderValue::from_str(&seconds.to_string()),
            Err(_) => HeaderValue::from_str(text),
        };
        value.ok()
    }

    /// What it does to a callback; `None` for a fault of an API.
    pub(super) fn callback_fault(&self) -> Option<CallbackFault> {
        match self.fault {
            Fault::Lost => Some(CallbackFault::Lost),
            Fault::Late => Some(CallbackFault::Late(if self.delay.is_zero() { LATE } else { self.delay })),
            Fault::Doubled => Some(CallbackFault::Doubled),
            Fault::Reordered => Some(CallbackFault::Reordered),
            Fault::ErrorAfter
            | Fault::ErrorBefore
            | Fault::TimeoutAfter
            | Fault::TimeoutBefore
            | Fault::ResetAfter
            | Fault::ResetBefore
            | Fault::TooMany
            | Fault::Refused
            | Fault::Slow => None,
        }
    }

    /// What it does to a request of an API; `None` for a fault of callbacks.
    pub(super) fn api_fault(&self) -> Option<ApiFault> {
        let server_error = End::ServerError(self.status.unwrap_or(500));
        let (word, is_carried_out, end) = match self.fault {
            Fault::ErrorAfter => ("error_after", true, server_error),
            Fault::ErrorBefore => ("error_before", false, server_error),
            Fault::TimeoutAfter => ("timeout_after", true, End::Never),
            Fault::TimeoutBefore => ("timeout_before", false, End::Never),
            Fault::ResetAfter => ("reset_after", true, End::Reset),
            Fault::ResetBefore => ("reset_before", false, End::Reset),
            Fault::TooMany => ("too_many", false, End::TooMany),
            Fault::Refused => ("refused", false, End::Refused(self.code?)),
            Fault::Slow => ("slow", true, End::Answer),
            Fault::Lost | Fault::Late | Fault::Doubled | Fault::Reordered => return None,
        };
        Some(ApiFault { word, is_carried_out, end, delay: self.delay, retry_after: self.retry_after() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_that_could_never_do_what_it_says_is_refused_with_the_reason() {
        let table = [
            (json!({ "place": "callback", "fault": "too_many" }), "place"),
            (json!({ "place": "push", "fault": "lost" }), "place"),
            (json!({ "place": "push", "fault": "slow" }), "slow needs a delay"),
            (json!({ "place": "push", "fault": "too_many", "share": 1.5 }), "share"),
            (json!({ "place": "push", "fault": "too_many", "status": 503 }), "status"),
            (json!({ "place": "push", "fault": "error_after", "status": 400 }), "status"),
            (json!({ "place": "push", "fault": "refused" }), "code"),
            (json!({ "place": "push", "fault": "refused", "code": 21210 }), "code"),
            (json!({ "place": "token", "fault": "refused", "code": "UNAVAILABLE" }), "code"),
            (json!({ "place": "call_create", "fault": "refused", "code": "UNAVAILABLE" }), "code"),
            (json!({ "place": "call_create", "fault": "reset_after", "retry_after": "2s" }), "retry_after"),
            (json!({ "place": "push", "fault": "too_many", "retry_after": "0s" }), "retry_after"),
            (json!({ "place": "push", "fault": "too_many", "retry_after": "1\n2" }), "retry_after"),
            (json!({ "place": "callback", "fault": "doubled", "delay": "2s" }), "delay"),
        ];
        for (rule, reason) in table {
            let read: Rule = serde_json::from_value(rule.clone()).unwrap();
            let refusal = read.check().expect_err(&rule.to_string());
            assert!(refusal.contains(reason), "{rule}: {refusal}");
        }
    }

    #[test]
    fn a_rule_that_makes_sense_is_taken() {
        for rule in [
            json!({ "place": "push", "fault": "error_after", "status": 503, "retry_after": "2s", "count": 1 }),
            json!({ "place": "push", "fault": "refused", "code": "UNREGISTERED", "share": 0.1 }),
            json!({ "place": "call_update", "fault": "refused", "code": 21220 }),
            json!({ "place": "callback_answered", "fault": "late", "delay": "30s" }),
            json!({ "place": "token", "fault": "timeout_before", "delay": "1s" }),
        ] {
            let read: Rule = serde_json::from_value(rule.clone()).unwrap();
            assert_eq!(read.check(), Ok(()), "{rule}");
        }
    }
}
