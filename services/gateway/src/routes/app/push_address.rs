//! `POST /app/push-address`: a device says where its pushes go from now on.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;

use super::device_claims::{self, Here};
use super::{AppRefusal, jose, jose_body, proved};
use crate::gateway::Gateway;

/// Idempotent by the version: one that is not above the stored one changes nothing.
pub(in crate::routes) async fn take(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<StatusCode, AppRefusal> {
    let body = jose_body(request, &gateway).await?;
    let jws = jose(&body)?;
    let address = device_claims::push_address(&jws, Here::of(&gateway)?)?;
    let records = gateway.engine.records();
    proved(&jws, records.device(address.device).await?)?;
    if records.refresh_push_token(address.device, address.push.as_ref(), address.version).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(AppRefusal::StaleVersion)
    }
}
