//! `POST /twilio/calls/{portal}/{challenge}/{attempt}/{token}`: the first TwiML document of a call.
//!
//! The answer is the last fence: a call that nobody waits for any more is ended by it. The fetch also ties the
//! attempt to its call, since it may overtake the answer of the request that placed the call.

pub(in crate::routes) mod input;
pub(in crate::routes) mod status;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fleet_domain::{Challenge, Event, Question, Refused};
use fleet_engine::{Applied, Apply};
use fleet_lifecycle::{CrashPoint, crash_point};
use fleet_prompts::Utterance;
use fleet_records::Actor;
use fleet_twilio::{AnsweredBy, VoiceRequest};

use super::{CallUrl, SignedForm, TurnedAway};
use crate::dialogue::{Turn, turn};
use crate::error::{Because, Setback};
use crate::gateway::{Gateway, without_effect};
use crate::twiml::Twiml;

/// How often the carrier is asked to try again.
const AGAIN_MOST: u8 = 5;
/// How long the line is held before that while the database is away. With the time that the database is waited for, a
/// call outlasts at least a quarter of a minute without it.
const HOLD: Duration = Duration::from_secs(3);

/// Idempotent by the attempt and its call: fetched again, it is the prompt of the current round again.
pub(in crate::routes) async fn serve(
    State(gateway): State<Arc<Gateway>>,
    call: CallUrl,
    SignedForm(fields): SignedForm,
) -> Response {
    let Some(request) = VoiceRequest::from_fields(&fields) else {
        return TurnedAway::Unreadable.into_response();
    };
    crash_point(CrashPoint::CalledBack);
    let first = first_news(call.attempt, request);
    let served = async {
        let apply = Apply::urgent(&call.key, Actor::Provider);
        let applied = gateway.engine.apply(apply, |_| first.clone()).await?;
        // Where a machine answered, the next step may follow.
        gateway.hand_over_owed(&applied).await;
        Ok(answer(&applied, first_words(&gateway, &call, &applied)))
    };
    in_time(&gateway, &call, served).await
}

/// The answer to a request of a call, or what stands for it when it can't be had or is not there in time: a slow
/// database is not taken for a person who hangs up. What was under way may still count; the next request sees that.
async fn in_time(
    gateway: &Gateway,
    call: &CallUrl,
    answer: impl Future<Output = Result<Response, Setback>>,
) -> Response {
    let answer = tokio::time::timeout(gateway.settings.request_timeout, answer).await;
    answer.unwrap_or(Err(Setback::Unavailable)).unwrap_or_else(|setback| held_up(gateway, call, setback))
}

/// What the first fetch says: somebody is there, or nobody. Where the carrier could not tell, it may be a person.
fn first_news(attempt: u8, request: VoiceRequest) -> Event {
    let sid = request.call_sid;
    match request.answered_by {
        Some(AnsweredBy::Machine | AnsweredBy::Fax) => Event::MachineAnswered { attempt, sid },
        Some(AnsweredBy::Human | AnsweredBy::Unknown) | None => Event::Prompted { attempt, sid },
    }
}

/// Before a key is pressed nothing is told of how the challenge ended.
fn first_words(gateway: &Gateway, call: &CallUrl, applied: &Applied) -> Twiml {
    let challenge = &applied.stored().challenge;
    match turn(challenge, call.attempt) {
        Turn::Ask { round, question } if !is_foreign(applied) => {
            ask(gateway, challenge, call.attempt, (round, question))
        }
        Turn::Ask { .. } | Turn::Ended(_) | Turn::HangUp => Twiml::hang_up(),
    }
}

/// Whether the request came for another call than the attempt's own.
fn is_foreign(applied: &Applied) -> bool {
    match applied {
        Applied::Changed { .. } => false,
        Applied::Unchanged { refused, .. } => *refused == Refused::OtherCall,
    }
}

/// The prompt of a round.
fn ask(gateway: &Gateway, challenge: &Challenge, attempt: u8, (round, question): (u8, Question)) -> Twiml {
    let talk = challenge.attempt(attempt).and_then(|attempt| attempt.talk).unwrap_or_default();
    let utterance = if round <= 1 {
        Utterance::First(question)
    } else if talk.pin_proved && question == Question::Number {
        Utterance::ThenNumber
    } else {
        Utterance::Again(question)
    };
    let prompt = gateway.prompt(challenge, utterance);
    let input_url = gateway.engine.links().input_url(&challenge.key, attempt, round);
    Twiml::ask(&prompt, &input_url, gateway.settings.gather_timeout)
}

fn answer(applied: &Applied, twiml: Twiml) -> Response {
    match without_effect(applied) {
        None => twiml.into_response(),
        Some(reason) => (Extension(Because(reason)), twiml).into_response(),
    }
}

/// The answer when nothing could be committed. The carrier is asked again, for the call's first document: that asks for
/// the current round anew, and no entry is counted that the repeated request does not carry. While the database is
/// away the line is held, silently, so that a short outage is not taken for a person who hangs up.
fn held_up(gateway: &Gateway, call: &CallUrl, setback: Setback) -> Response {
    let pause = match setback {
        Setback::Contended => Some(Duration::ZERO),
        Setback::Unavailable => Some(HOLD),
        Setback::Unknown | Setback::Fault => None,
    };
    let twiml = match pause.filter(|_| call.again < AGAIN_MOST) {
        Some(pause) => {
            let url = gateway.engine.links().twiml_again_url(&call.key, call.attempt, call.again + 1);
            Twiml::again(&url, pause)
        }
        None => Twiml::hang_up(),
    };
    (Extension(Because(setback.label())), twiml).into_response()
}
