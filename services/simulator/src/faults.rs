//! Faults on demand: every answer of the providers' APIs and every status callback asks here first.
//!
//! A rule names a place and a fault, and strikes by count or by share. Without rules nothing is ever wrong.
//! Chance is seeded, so that a run can be repeated.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::call::Event;
use crate::fcm::{FcmError, SendFault};
use crate::http::Peer;
use crate::journal::Fact;
use crate::twilio::TwilioError;
use crate::world::World;

/// How long a request hangs that is never answered, in real time: longer than any client waits.
const HANG: Duration = Duration::from_mins(2);

/// Where a fault can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// Creating a call.
    CallCreate,
    /// Fetching or listing calls.
    CallRead,
    /// Updating or deleting a call.
    CallUpdate,
    /// The OAuth endpoint.
    Token,
    /// Sending a message.
    Push,
    /// A status callback, whatever its event.
    Callback,
    /// The last status callback of a call.
    CallbackCompleted,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// The request is carried out, and answered with a server error.
    ErrorAfter,
    /// The request is carried out and never answered.
    TimeoutAfter,
    /// The connection is reset before anything is done. With HTTP/2 this hits every request on it.
    ResetBefore,
    /// Refused: too many requests.
    TooMany,
    /// Refused: a server error, with nothing done.
    ErrorBefore,
    /// Answered late, by the rule's `delay`.
    Slow,
    /// A callback that is never sent.
    Lost,
    /// A callback that comes ten seconds of carrier time late.
    Late,
    /// A callback that is sent twice.
    Doubled,
    /// A callback that is sent after its successor.
    Reordered,
}

/// What a fault does to a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallbackFault {
    Lost,
    Late,
    Doubled,
    Reordered,
}

impl CallbackFault {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Late => "late",
            Self::Doubled => "doubled",
            Self::Reordered => "reordered",
        }
    }
}

/// What a fault does to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ApiFault {
    ErrorAfter,
    TimeoutAfter,
    ResetBefore,
    TooMany,
    ErrorBefore,
    Slow(Duration),
}

impl ApiFault {
    fn word(self) -> &'static str {
        match self {
            Self::ErrorAfter => "error_after",
            Self::TimeoutAfter => "timeout_after",
            Self::ResetBefore => "reset_before",
            Self::TooMany => "too_many",
            Self::ErrorBefore => "error_before",
            Self::Slow(_) => "slow",
        }
    }
}

/// One rule, as it is posted to `/sim/faults`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    place: Place,
    fault: Fault,
    /// How many times it strikes; without it, for ever.
    count: Option<u64>,
    /// The share of requests that it strikes, 0 to 1; without it, each one.
    share: Option<f64>,
    /// For `slow`.
    #[serde(default, with = "fleet_settings::duration")]
    delay: Duration,
}

/// All rules, as they are posted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    rules: Vec<Rule>,
}

/// A rule that can't be followed.
#[derive(Debug, thiserror::Error)]
#[error("rule {index}: {fault}")]
pub(crate) struct BadRule {
    index: usize,
    fault: &'static str,
}

/// The rules in force.
#[derive(Default)]
pub(crate) struct Faults(Mutex<InForce>);

#[derive(Default)]
struct InForce {
    plan: Plan,
    chance: u64,
}

impl Faults {
    /// Takes these rules in place of all others.
    pub(crate) fn replace(&self, plan: Plan) -> Result<(), BadRule> {
        for (index, rule) in plan.rules.iter().enumerate() {
            let at_callback = matches!(rule.place, Place::Callback | Place::CallbackCompleted);
            if rule.share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
                return Err(BadRule { index, fault: "share must be from 0 to 1" });
            }
            if at_callback != callback_fault(rule.fault).is_some() {
                return Err(BadRule { index, fault: "this fault can't strike at this place" });
            }
        }
        *self.in_force() = InForce { chance: plan.seed, plan };
        Ok(())
    }

    /// The rules in force, with the counts that are left.
    pub(crate) fn plan(&self) -> Plan {
        self.in_force().plan.clone()
    }

    /// What happens to a status callback.
    pub(crate) fn at_callback(&self, event: Event) -> Option<CallbackFault> {
        let completed = event == Event::Completed;
        let strikes = |place| place == Place::Callback || (completed && place == Place::CallbackCompleted);
        self.strike(strikes).and_then(|rule| callback_fault(rule.fault))
    }

    fn at_api(&self, at: Place) -> Option<ApiFault> {
        self.strike(|place| place == at).and_then(|rule| api_fault(&rule))
    }

    /// The first rule for this place that strikes now.
    fn strike(&self, is_here: impl Fn(Place) -> bool) -> Option<Rule> {
        let mut in_force = self.in_force();
        let InForce { plan, chance } = &mut *in_force;
        for rule in plan.rules.iter_mut().filter(|rule| is_here(rule.place)) {
            if rule.count == Some(0) || rule.share.is_some_and(|share| next_chance(chance) >= share) {
                continue;
            }
            rule.count = rule.count.map(|count| count - 1);
            return Some(rule.clone());
        }
        None
    }

    fn in_force(&self) -> MutexGuard<'_, InForce> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn callback_fault(fault: Fault) -> Option<CallbackFault> {
    match fault {
        Fault::Lost => Some(CallbackFault::Lost),
        Fault::Late => Some(CallbackFault::Late),
        Fault::Doubled => Some(CallbackFault::Doubled),
        Fault::Reordered => Some(CallbackFault::Reordered),
        Fault::ErrorAfter
        | Fault::TimeoutAfter
        | Fault::ResetBefore
        | Fault::TooMany
        | Fault::ErrorBefore
        | Fault::Slow => None,
    }
}

fn api_fault(rule: &Rule) -> Option<ApiFault> {
    match rule.fault {
        Fault::ErrorAfter => Some(ApiFault::ErrorAfter),
        Fault::TimeoutAfter => Some(ApiFault::TimeoutAfter),
        Fault::ResetBefore => Some(ApiFault::ResetBefore),
        Fault::TooMany => Some(ApiFault::TooMany),
        Fault::ErrorBefore => Some(ApiFault::ErrorBefore),
        Fault::Slow => Some(ApiFault::Slow(rule.delay)),
        Fault::Lost | Fault::Late | Fault::Doubled | Fault::Reordered => None,
    }
}

/// The next number from 0 to 1 of a seeded sequence (SplitMix64).
fn next_chance(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let top = u32::try_from((bits ^ (bits >> 31)) >> 32).unwrap_or(u32::MAX);
    f64::from(top) / (f64::from(u32::MAX) + 1.0)
}

fn place_of(method: &Method, path: &str) -> Place {
    let is_get = method == Method::GET;
    if path == "/token" {
        Place::Token
    } else if path.starts_with("/v1/") {
        Place::Push
    } else if is_get {
        Place::CallRead
    } else if path.ends_with("/Calls.json") {
        Place::CallCreate
    } else {
        Place::CallUpdate
    }
}

/// Lets a request to a provider through, or does to it what the rules say. Every answer takes the provider's time.
pub(crate) async fn guard(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    let place = place_of(request.method(), request.uri().path());
    let fault = world.faults.at_api(place);
    let described = is_twilio(place).then(|| (request.method().clone(), request.uri().path().to_owned()));
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.clone());
    let response = match fault {
        None | Some(ApiFault::ErrorAfter | ApiFault::TimeoutAfter | ApiFault::Slow(_)) => {
            next.run(request).await
        }
        Some(ApiFault::TooMany) => refusal(place, true),
        Some(ApiFault::ErrorBefore) => refusal(place, false),
        Some(ApiFault::ResetBefore) => {
            if let Some(peer) = peer {
                peer.reset();
            }
            StatusCode::BAD_GATEWAY.into_response()
        }
    };
    if let Some((method, path)) = described {
        let (method, path, fault) = (method.as_str(), path.as_str(), fault.map(ApiFault::word));
        let status = response.status().as_u16();
        world.journal.record(&Fact::ApiCall { method, path, status, fault });
    }
    let delay = match fault {
        Some(ApiFault::TimeoutAfter) => HANG,
        Some(ApiFault::Slow(delay)) => world.provider_delay + delay,
        None
        | Some(ApiFault::ErrorAfter | ApiFault::ResetBefore | ApiFault::TooMany | ApiFault::ErrorBefore) => {
            world.provider_delay
        }
    };
    if !delay.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = world.stop.soft() => {}
        }
    }
    match fault {
        Some(ApiFault::ErrorAfter | ApiFault::TimeoutAfter) => refusal(place, false),
        None
        | Some(ApiFault::ResetBefore | ApiFault::TooMany | ApiFault::ErrorBefore | ApiFault::Slow(_)) => {
            response
        }
    }
}

fn is_twilio(place: Place) -> bool {
    match place {
        Place::CallCreate | Place::CallRead | Place::CallUpdate => true,
        Place::Token | Place::Push | Place::Callback | Place::CallbackCompleted => false,
    }
}

/// The provider's own words for "too many requests" or for an error of its server.
fn refusal(place: Place, too_many: bool) -> Response {
    match place {
        Place::Push => {
            let fault = if too_many { SendFault::QuotaExceeded } else { SendFault::Internal };
            FcmError::Refused(fault).into_response()
        }
        Place::Token => {
            let (status, error) = if too_many {
                (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded")
            } else {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal_failure")
            };
            (status, Json(json!({ "error": error }))).into_response()
        }
        Place::CallCreate
        | Place::CallRead
        | Place::CallUpdate
        | Place::Callback
        | Place::CallbackCompleted => TwilioError::of(if too_many { 20429 } else { 20500 }).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(rules: &serde_json::Value) -> Faults {
        let faults = Faults::default();
        faults.replace(serde_json::from_value(json!({ "seed": 7, "rules": rules })).unwrap()).unwrap();
        faults
    }

    #[test]
    fn without_rules_nothing_strikes() {
        assert_eq!(Faults::default().at_api(Place::CallCreate), None);
        assert_eq!(Faults::default().at_callback(Event::Completed), None);
    }

    #[test]
    fn a_count_is_used_up_and_then_the_next_rule_has_its_turn() {
        let faults = faults(&json!([
            { "place": "call_create", "fault": "too_many", "count": 2 },
            { "place": "call_create", "fault": "slow", "delay": "3s", "count": 1 },
        ]));
        let struck: Vec<_> = (0..4).map(|_| faults.at_api(Place::CallCreate)).collect();
        let slow = ApiFault::Slow(Duration::from_secs(3));
        assert_eq!(struck, [Some(ApiFault::TooMany), Some(ApiFault::TooMany), Some(slow), None]);
        assert_eq!(faults.at_api(Place::CallRead), None);
    }

    #[test]
    fn a_share_strikes_about_as_often_as_it_says_and_alike_in_each_run() {
        let rules = json!([{ "place": "callback", "fault": "lost", "share": 0.25 }]);
        let run = || {
            let faults = faults(&rules);
            (0..1_000).map(|_| faults.at_callback(Event::Ringing).is_some()).collect::<Vec<_>>()
        };
        let struck = run().iter().filter(|struck| **struck).count();
        assert!((200..300).contains(&struck), "{struck}");
        assert_eq!(run(), run());
    }

    #[test]
    fn a_rule_for_the_last_callback_leaves_the_others_alone() {
        let faults = faults(&json!([{ "place": "callback_completed", "fault": "doubled" }]));
        assert_eq!(faults.at_callback(Event::Ringing), None);
        assert_eq!(faults.at_callback(Event::Completed), Some(CallbackFault::Doubled));
    }

    #[test]
    fn a_fault_at_a_place_that_cannot_have_it_is_refused() {
        for (place, fault) in [("callback", "too_many"), ("push", "lost")] {
            let plan = json!({ "rules": [{ "place": place, "fault": fault }] });
            assert!(
                Faults::default().replace(serde_json::from_value(plan).unwrap()).is_err(),
                "{place} {fault}"
            );
        }
    }
}
