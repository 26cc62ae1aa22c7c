//! `POST …/{token}/status`: how a call stands. Callbacks come twice, late and in any order.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fleet_domain::{CALLBACK_CHECK, Challenge, Event};
use fleet_engine::Apply;
use fleet_lifecycle::{CrashPoint, crash_point};
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
    let Some(status) = callback.status else {
        return (StatusCode::NO_CONTENT, Extension(Because("no_news"))).into_response();
    };
    crash_point(CrashPoint::CalledBack);
    let apply = Apply::bulk(&call.key, Actor::Provider);
    let event =
        |challenge: &Challenge| event((call.attempt, challenge.ring_time(call.attempt)), status, &callback);
    let applied = match gateway.engine.apply(apply, event).await.map_err(Setback::from) {
        Ok(applied) => applied,
        Err(setback) => return (answer(setback), Extension(Because(setback.label()))).into_response(),
    };
    gateway.hand_over_owed(&applied).await;
    match without_effect(&applied) {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(reason) => (StatusCode::NO_CONTENT, Extension(Because(reason))).into_response(),
    }
}

/// A challenge that does not exist will not exist at the next try either.
const fn answer(setback: Setback) -> StatusCode {
    match setback {
        Setback::Unavailable | Setback::Contended | Setback::Fault => StatusCode::SERVICE_UNAVAILABLE,
        Setback::Unknown => StatusCode::NO_CONTENT,
    }
}

/// What the callback says has happened. The first one may overtake the answer of the request that placed the
/// call, or come where that answer never does: it says that there is a call, and which.
fn event((attempt, ring): (u8, Duration), status: CallStatus, callback: &StatusCallback) -> Event {
    let sid = callback.call_sid.clone();
    match status {
        CallStatus::Queued | CallStatus::Initiated => {
            Event::Placed { attempt, sid, queue: Duration::ZERO, check_after: ring + CALLBACK_CHECK }
        }
        CallStatus::Ringing => Event::Ringing { attempt, sid },
        CallStatus::InProgress => Event::Answered { attempt, sid },
        CallStatus::Completed
        | CallStatus::Busy
        | CallStatus::NoAnswer
        | CallStatus::Failed
        | CallStatus::Canceled => Event::CallEnded {
            attempt,
            sid,
            reason: end_reason(status, callback.sip),
            sip: callback.sip,
            duration_s: callback.duration.and_then(|duration| u32::try_from(duration.as_secs()).ok()),
        },
    }
}

#[cfg(test)]
mod tests {
    use fleet_domain::Reason;

    use super::*;

    fn callback(status: CallStatus, sip: Option<u16>) -> StatusCallback {
        StatusCallback {
            call_sid: "CA1".into(),
            status: Some(status),
            sequence_number: None,
            timestamp: None,
            duration: Some(Duration::from_secs(17)),
            sip,
            answered_by: None,
        }
    }

    #[test]
    fn every_status_has_its_event() {
        let ring = Duration::from_secs(30);
        let sid = || "CA1".to_owned();
        let ended =
            |reason, sip| Event::CallEnded { attempt: 2, sid: sid(), reason, sip, duration_s: Some(17) };
        let check_after = ring + CALLBACK_CHECK;
        let placed = || Event::Placed { attempt: 2, sid: sid(), queue: Duration::ZERO, check_after };
        for (status, sip, expected) in [
            (CallStatus::Queued, None, placed()),
            (CallStatus::Initiated, None, placed()),
            (CallStatus::Ringing, None, Event::Ringing { attempt: 2, sid: sid() }),
            (CallStatus::InProgress, None, Event::Answered { attempt: 2, sid: sid() }),
            (CallStatus::Completed, Some(200), ended(None, Some(200))),
            (CallStatus::Busy, Some(486), ended(Some(Reason::Busy), Some(486))),
            (CallStatus::NoAnswer, Some(487), ended(Some(Reason::NoAnswer), Some(487))),
            (CallStatus::Failed, None, ended(Some(Reason::CarrierError), None)),
            (CallStatus::Canceled, None, ended(Some(Reason::CarrierError), None)),
        ] {
            let event = event((2, ring), status, &callback(status, sip));
            assert_eq!(event, expected, "{status:?} {sip:?}");
        }
    }
}
