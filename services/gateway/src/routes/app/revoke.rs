//! `POST /app/revoke`: a device gives itself up, because its user removes the account from the app.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use fleet_domain::{
    Challenge, DeviceId, EnrollmentEvent, EnrollmentReason, Event, Reason, Step, UserId, step_enrollment,
};
use fleet_engine::Apply;
use fleet_records::{Actor, CommittedEnrollment, DeviceStanding};

use super::device_claims::{self, Here};
use super::{AppRefusal, jose, jose_body, signed_by};
use crate::error::Setback;
use crate::gateway::Gateway;

/// How often a request is ended over what other processes change meanwhile.
const TRIES: u32 = 4;

/// Idempotent by the device. It is believed of one that is out already too: the answer to the first request may have been
/// lost, or that request cut short.
pub(in crate::routes) async fn take(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<StatusCode, AppRefusal> {
    let body = jose_body(request, &gateway).await?;
    let jws = jose(&body)?;
    let device = device_claims::revocation(&jws, Here::of(&gateway)?)?;
    let records = gateway.engine.records();
    let record = signed_by(&jws, records.device(device).await?)?;
    if record.standing == DeviceStanding::Untested {
        gateway.end_request_for(device, &record.user).await?;
    }
    records.revoke_device(device).await?;
    gateway.end_what_waits_for(device, &record.user).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Gateway {
    /// Ends the request that the device was activated for: there is nothing left to be tested.
    async fn end_request_for(&self, device: DeviceId, user: &UserId) -> Result<(), AppRefusal> {
        for _ in 0..TRIES {
            let open = self.engine.records().open_enrollment_of(user).await?;
            let Some(open) = open.filter(|open| open.enrollment.activated() == Some(device)) else {
                return Ok(());
            };
            let gone = EnrollmentEvent::Refuse(EnrollmentReason::DeviceUnknown);
            let Ok(after) = step_enrollment(&open.enrollment, &gone, self.now()?) else { return Ok(()) };
            let committed = self.engine.records().commit_enrollment(&open.enrollment, &after).await?;
            if committed == CommittedEnrollment::Stored {
                return Ok(());
            }
        }
        Err(AppRefusal::Setback(Setback::Contended))
    }

    /// Ends the challenges of which nobody can answer the step that is under way any more.
    async fn end_what_waits_for(&self, device: DeviceId, user: &UserId) -> Result<(), AppRefusal> {
        let records = self.engine.records();
        let is_last = records.user(user).await?.is_none_or(|user| user.devices.is_empty());
        for stored in records.open_challenges_of(user, self.now()?).await? {
            if !waits_for(&stored.challenge, device, is_last) {
                continue;
            }
            let key = stored.challenge.key.clone();
            let apply = Apply::urgent(&key, Actor::Person).knowing(stored);
            let applied = self.engine.apply(apply, |_| Event::Halt { reason: Reason::Revoked }).await?;
            self.hand_over_owed(&applied).await;
        }
        Ok(())
    }
}

fn waits_for(challenge: &Challenge, device: DeviceId, is_last: bool) -> bool {
    match challenge.current_step() {
        Some(Step::Push { device: Some(only), .. } | Step::Totp { device: Some(only), .. }) => {
            *only == device
        }
        Some(Step::Push { device: None, .. } | Step::Totp { device: None, .. }) => is_last,
        Some(Step::Voice { .. }) | None => false,
    }
}
