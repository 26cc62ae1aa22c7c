//! `POST /app/revoke`: a device gives itself up, because its user removes the account from the app.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use fleet_domain::{Challenge, DeviceId, Event, Reason, Step, UserId};
use fleet_engine::Apply;
use fleet_records::Actor;

use super::device_claims::{self, Here};
use super::{AppRefusal, jose, jose_body, proved};
use crate::gateway::Gateway;

/// Idempotent by the device: it is given up once, and then no request of it is believed any more.
pub(in crate::routes) async fn take(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<StatusCode, AppRefusal> {
    let body = jose_body(request, &gateway).await?;
    let jws = jose(&body)?;
    let device = device_claims::revocation(&jws, Here::of(&gateway))?;
    let records = gateway.engine.records();
    proved(&jws, records.device(device).await?)?;
    if let Some(user) = records.revoke_device(device).await? {
        gateway.end_what_waits_for(device, &user).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

impl Gateway {
    /// Ends the challenges of which nobody can answer the step that is under way any more.
    async fn end_what_waits_for(&self, device: DeviceId, user: &UserId) -> Result<(), AppRefusal> {
        let records = self.engine.records();
        let is_last = records.user(user).await?.is_none_or(|user| user.devices.is_empty());
        for stored in records.open_challenges_of(user, self.engine.now()).await? {
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
