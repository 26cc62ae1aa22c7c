//! `POST …/{token}/input/{round}`: what was keyed at a prompt, or that nothing was.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fleet_domain::{Challenge, Event, Refused};
use fleet_engine::{Applied, Apply};
use fleet_lifecycle::{CrashPoint, crash_point};
use fleet_prompts::Utterance;
use fleet_records::{Actor, Stored};
use fleet_settings::ExposeSecret;
use fleet_twilio::VoiceRequest;

use super::super::{CallUrl, SignedForm, TurnedAway};
use super::{answer, ask, in_time};
use crate::dialogue::{Turn, compares, entry, event, turn};
use crate::error::{Because, Setback, refused_label};
use crate::gateway::Gateway;
use crate::twiml::Twiml;

/// Idempotent by attempt and round: an entry for an earlier prompt counts nothing and gets the current one.
pub(in crate::routes) async fn take(
    State(gateway): State<Arc<Gateway>>,
    call: CallUrl,
    SignedForm(fields): SignedForm,
) -> Response {
    let Some(request) = VoiceRequest::from_fields(&fields) else {
        return TurnedAway::Unreadable.into_response();
    };
    let taken = async {
        let stored = gateway.engine.records().load(&call.key).await?.ok_or(Setback::Unknown)?;
        if !is_own_call(&stored.challenge, call.attempt, &request.call_sid) {
            let because = Extension(Because(refused_label(Refused::OtherCall)));
            return Ok((because, Twiml::hang_up()).into_response());
        }
        crash_point(CrashPoint::CalledBack);
        let applied = apply(&gateway, &call, stored, &request).await?;
        Ok(answer(&applied, next_words(&gateway, &call, &applied)))
    };
    in_time(&gateway, &call, taken).await
}

/// Whether the entry came from the call that the attempt is tied to. It stays tied to it for ever.
fn is_own_call(challenge: &Challenge, attempt: u8, sid: &str) -> bool {
    challenge.attempt(attempt).and_then(|attempt| attempt.sid.as_deref()) == Some(sid)
}

async fn apply(
    gateway: &Gateway,
    call: &CallUrl,
    stored: Stored,
    request: &VoiceRequest,
) -> Result<Applied, Setback> {
    let at = (call.attempt, call.round);
    let keyed = |challenge: &Challenge| {
        let digits = request.digits.as_ref().map(ExposeSecret::expose_secret);
        let entry = entry(digits, request.finished_on_key, |digits| gateway.is_number(challenge, digits));
        event(challenge, at, entry)
    };
    let mut place = None;
    if let (Event::PinKeyed { .. }, Some(digits)) = (keyed(&stored.challenge), &request.digits) {
        place = Some((gateway.place_to_compare().await?, digits.clone()));
    }
    let apply = Apply::urgent(&call.key, Actor::Person).knowing(stored);
    let applied = gateway.engine.apply(apply, keyed).await?;
    match (place, &applied) {
        // Its commit took the try: it alone may compare.
        (Some((place, digits)), Applied::Changed { before, after })
            if compares(&after.challenge, at) && !compares(before, at) =>
        {
            gateway.judge(after.clone(), at, digits, place).await
        }
        (Some(_) | None, Applied::Changed { .. } | Applied::Unchanged { .. }) => Ok(applied),
    }
}

fn next_words(gateway: &Gateway, call: &CallUrl, applied: &Applied) -> Twiml {
    let challenge = &applied.stored().challenge;
    match turn(challenge, call.attempt) {
        Turn::Ask { round, question } => ask(gateway, challenge, call.attempt, (round, question)),
        Turn::Ended(reason) => Twiml::goodbye(&gateway.prompt(challenge, Utterance::Goodbye(reason))),
        Turn::HangUp => Twiml::hang_up(),
    }
}
