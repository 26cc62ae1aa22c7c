//! `POST /app/activate`: a device shows an activation code and its key, and becomes the one that its request is tested with.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fleet_domain::{
    ActivatedDevice, DeviceId, Enrollment, EnrollmentEvent, EnrollmentRefused, EnrollmentResult,
    step_enrollment,
};
use fleet_keys::{Keys, TotpSecret, random_bytes};
use fleet_records::{FoundActivation, UntestedDevice};
use serde::Serialize;

use super::claims::Unproved;
use super::device_claims::{self, Activation, Here};
use super::{AppRefusal, jose, jose_body};
use crate::error::Setback;
use crate::gateway::Gateway;

/// How often an activation is committed over what other processes change meanwhile.
const TRIES: u32 = 4;

/// Idempotent by code and key: the same device gets the same answer again, every other one hears that the code was used.
pub(in crate::routes) async fn take(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, AppRefusal> {
    let body = jose_body(request, &gateway).await?;
    let jws = jose(&body)?;
    let asked = device_claims::activation(&jws, Here::of(&gateway)?)?;
    if !jws.verify(asked.key.alg, &asked.key.public_key) {
        return Err(Unproved::Signature.into());
    }
    let found =
        gateway.engine.records().activation(&asked.code).await?.ok_or(AppRefusal::ActivationUnknown)?;
    for _ in 0..TRIES {
        if let Some(answer) = gateway.activate(&asked, &found).await? {
            return Ok(answer);
        }
    }
    Err(AppRefusal::Setback(Setback::Contended))
}

impl Gateway {
    /// `None` where the request has changed meanwhile.
    async fn activate(
        &self,
        asked: &Activation,
        found: &FoundActivation,
    ) -> Result<Option<Response>, AppRefusal> {
        let records = self.engine.records();
        // Of a request that is forgotten already.
        let stored = records.enrollment(&found.key).await?.ok_or(AppRefusal::ActivationExpired)?;
        let before = &stored.enrollment;
        if let Some(device) = before.activated().filter(|_| is_latest(before, found)) {
            return self.again(asked, before, device).await.map(Some);
        }
        let id = DeviceId::from_uuid(uuid::Builder::from_random_bytes(random_bytes()).into_uuid());
        let device = ActivatedDevice { id, name: asked.name.clone(), platform: asked.platform.clone() };
        let event = EnrollmentEvent::Activated { counter: found.counter, device };
        let after = step_enrollment(before, &event, self.now()?).map_err(refusal)?;
        if after.activated() != Some(id) {
            // The request's own time is over as well.
            return Err(AppRefusal::ActivationExpired);
        }
        let secret = Keys::new_totp_secret();
        let user = &before.request.user;
        let device = UntestedDevice {
            id,
            alg: asked.key.alg,
            public_key: asked.key.public_key.clone(),
            push_token: asked.push.clone(),
            totp: self.engine.keys().seal_totp(user.as_str(), id.uuid().as_bytes(), &secret),
        };
        let was_committed = records.activate(before, &after, &device).await?;
        Ok(was_committed.then(|| self.activated(StatusCode::CREATED, &after, id, &secret)))
    }

    /// The answer to a device that may not have got the first one.
    async fn again(
        &self,
        asked: &Activation,
        request: &Enrollment,
        device: DeviceId,
    ) -> Result<Response, AppRefusal> {
        let known = self.engine.records().activated_device(device).await?;
        let (_, sealed) = known.filter(|(public_key, _)| *public_key == asked.key.public_key).ok_or(
            if has_failed(request) { AppRefusal::ActivationExpired } else { AppRefusal::ActivationUsed },
        )?;
        let user = request.request.user.as_str();
        let secret = self.engine.keys().open_totp(user, device.uuid().as_bytes(), &sealed);
        let secret = secret.map_err(|error| {
            tracing::error!(%device, %error, "the secret of a device's one-time codes can't be opened");
            AppRefusal::Setback(Setback::Fault)
        })?;
        Ok(self.activated(StatusCode::OK, request, device, &secret))
    }

    fn activated(
        &self,
        status: StatusCode,
        request: &Enrollment,
        device: DeviceId,
        secret: &TotpSecret,
    ) -> Response {
        let portal = &request.key.portal;
        let title = self.engine.records().portal(portal).map(|portal| portal.title.clone());
        let title = title.unwrap_or_else(|| portal.to_string());
        let account = request.request.user.as_str();
        let activated = Activated {
            device_id: device.to_string(),
            portal: portal.as_str(),
            account,
            totp: Totp {
                uri: &secret.uri(&title, account),
                secret: &secret.base32(),
                algorithm: "SHA1",
                digits: 6,
                period: 30,
            },
            portal_title: &title,
        };
        (status, Json(activated)).into_response()
    }
}

#[derive(Serialize)]
struct Activated<'a> {
    device_id: String,
    portal: &'a str,
    portal_title: &'a str,
    account: &'a str,
    totp: Totp<'a>,
}

#[derive(Serialize)]
struct Totp<'a> {
    uri: &'a str,
    secret: &'a str,
    algorithm: &'static str,
    digits: u8,
    period: u8,
}

fn has_failed(request: &Enrollment) -> bool {
    !request.is_open() && request.result() != EnrollmentResult::Done
}

fn is_latest(request: &Enrollment, found: &FoundActivation) -> bool {
    request.live.activation.as_ref().is_some_and(|activation| activation.counter == found.counter)
}

const fn refusal(refused: EnrollmentRefused) -> AppRefusal {
    match refused {
        EnrollmentRefused::CodeUsed => AppRefusal::ActivationUsed,
        EnrollmentRefused::CodeOver
        | EnrollmentRefused::Ended
        | EnrollmentRefused::OtherTest
        | EnrollmentRefused::NotNow => AppRefusal::ActivationExpired,
    }
}
