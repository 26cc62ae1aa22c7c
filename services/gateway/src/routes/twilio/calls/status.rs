//! `POST …/{token}/status`: how a call stands. Callbacks come twice, late and in any order.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fleet_domain::Event;
use fleet_engine::Apply;
use fleet_records::Actor;
use fleet_twilio::{CallStatus, StatusCallback, end_reason};

use super::super::{CallUrl, SignedForm, TurnedAway};
use crate::error::{Because, Setback};
use crate::gateway::{Gateway, without_effect};

/// Idempotent by the attempt and its call: an attempt moves forward only. Answered after the commit, with 503
/// where there was none, which makes the carrier try again.
pub(in crate::routes) async fn take(
    State(gateway): State<Arc<Gateway>>,
    call: CallUrl,
    SignedForm(fields): SignedForm,
) -> Response {
    let Some(callback) = StatusCallback::from_fields(&fields) else {
        return TurnedAway::Unreadable.into_response();
    };
    let Some(event) = event(call.attempt, callback) else {
        return (StatusCode::NO_CONTENT, Extension(Because("no_news"))).into_response();
    };
    let apply = Apply::bulk(&call.key, Actor::Provider);
    let applied = match gateway.engine.apply(apply, |_| event.clone()).await.map_err(Setback::from) {
        Ok(applied) => applied,
        Err(setback) => return (status(setback), Extension(Because(setback.label()))).into_response(),
    };
    gateway.hand_over_owed(&applied).await;
    match without_effect(&applied) {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(reason) => (StatusCode::NO_CONTENT, Extension(Because(reason))).into_response(),
    }
}

/// A challenge that does not exist will not exist at the next try either.
const fn status(setback: Setback) -> StatusCode {
    match setback {
        Setback::Unavailable | Setback::Contended | Setback::Fault => StatusCode::SERVICE_UNAVAILABLE,
        Setback::Unknown => StatusCode::NO_CONTENT,
    }
}

/// The longest that a phone rings, and the time for a callback.
const LONGEST_RING: Duration = Duration::from_secs(70);

/// What the callback says has happened; `None` when that is nothing that counts.
fn event(attempt: u8, callback: StatusCallback) -> Option<Event> {
    let sid = callback.call_sid;
    match callback.status? {
        // The first word of a call, and where the POST's answer was lost the only one before it rings: it binds the SID.
        CallStatus::Queued | CallStatus::Initiated => {
            Some(Event::Placed { attempt, sid, check_after: LONGEST_RING })
        }
        CallStatus::Ringing => Some(Event::Ringing { attempt, sid }),
        CallStatus::InProgress => Some(Event::Answered { attempt, sid }),
        status @ (CallStatus::Completed
        | CallStatus::Busy
        | CallStatus::NoAnswer
        | CallStatus::Failed
        | CallStatus::Canceled) => Some(Event::CallEnded {
            attempt,
            sid,
            reason: end_reason(status, callback.sip),
            sip: callback.sip,
            duration_s: callback.duration.and_then(|duration| u32::try_from(duration.as_secs()).ok()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use fleet_domain::Reason;

    use super::*;

    fn callback(status: Option<CallStatus>, sip: Option<u16>) -> StatusCallback {
        StatusCallback {
            call_sid: "CA1".into(),
            status,
            sequence_number: None,
            timestamp: None,
            duration: Some(Duration::from_secs(17)),
            sip,
            answered_by: None,
        }
    }

    #[test]
    fn every_status_has_its_event() {
        let sid = || "CA1".to_owned();
        let ended = |reason, sip| {
            Some(Event::CallEnded { attempt: 2, sid: sid(), reason, sip, duration_s: Some(17) })
        };
        let placed = || Some(Event::Placed { attempt: 2, sid: sid(), check_after: LONGEST_RING });
        for (status, sip, expected) in [
            (None, None, None),
            (Some(CallStatus::Queued), None, placed()),
            (Some(CallStatus::Initiated), None, placed()),
            (Some(CallStatus::Ringing), None, Some(Event::Ringing { attempt: 2, sid: sid() })),
            (Some(CallStatus::InProgress), None, Some(Event::Answered { attempt: 2, sid: sid() })),
            (Some(CallStatus::Completed), Some(200), ended(None, Some(200))),
            (Some(CallStatus::Busy), Some(486), ended(Some(Reason::Busy), Some(486))),
            (Some(CallStatus::NoAnswer), Some(487), ended(Some(Reason::NoAnswer), Some(487))),
            (Some(CallStatus::Failed), None, ended(Some(Reason::CarrierError), None)),
            (Some(CallStatus::Canceled), None, ended(Some(Reason::CarrierError), None)),
        ] {
            assert_eq!(event(2, callback(status, sip)), expected, "{status:?} {sip:?}");
        }
    }
}
