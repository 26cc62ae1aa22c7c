//! Faults on demand: every answer of the providers' APIs and every status callback asks here first.
//!
//! A rule names a place and a fault, and strikes by count or by share. Without rules nothing is ever wrong.
//! Each rule has a seeded sequence of chances of its own: which requests of a place it strikes does not depend on
//! what happens at other places. How rules are written is in `faults/rule.rs`, what they do to an answer in
//! `faults/guard.rs`, and to a callback in `call/callbacks.rs`.

mod guard;
mod rule;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::call::Event;
use crate::fcm::SendFault;

pub(crate) use guard::{Struck, guard};
use rule::{Place, Rule};

/// What a fault does to a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallbackFault {
    /// It is never sent.
    Lost,
    /// It comes this much carrier time late.
    Late(Duration),
    /// It is sent twice.
    Doubled,
    /// It is sent after its successor.
    Reordered,
}

impl CallbackFault {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Late(_) => "late",
            Self::Doubled => "doubled",
            Self::Reordered => "reordered",
        }
    }
}

/// What a fault does to a request of a provider's API.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ApiFault {
    /// The fault's name in the log.
    word: &'static str,
    /// Whether the request is carried out all the same.
    is_carried_out: bool,
    end: End,
    /// How much later it ends than it would, in real time.
    delay: Duration,
    /// The `Retry-After` of a refusal.
    retry_after: Option<HeaderValue>,
}

/// How a request ends that a fault has struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With its own answer.
    Answer,
    /// With a server error of this HTTP status.
    ServerError(u16),
    /// With the provider's words for too many requests.
    TooMany,
    /// With a refusal of this code.
    Refused(Code),
    /// With a reset of the connection. With HTTP/2 this hits every request on it.
    Reset,
    /// Never, as far as any client waits.
    Never,
}

/// The code of a refusal: a number of Twilio's, or a word of FCM's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Code {
    Twilio(u32),
    Fcm(SendFault),
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
    /// One for each rule.
    chances: Vec<Chance>,
}

impl Faults {
    /// Takes these rules in place of all others.
    pub(crate) fn replace(&self, plan: Plan) -> Result<(), BadRule> {
        for (index, rule) in plan.rules.iter().enumerate() {
            rule.check().map_err(|fault| BadRule { index, fault })?;
        }
        let chances = (0..plan.rules.len()).map(|index| Chance::of_rule(plan.seed, index)).collect();
        *self.in_force() = InForce { plan, chances };
        Ok(())
    }

    /// The rules in force, with the counts that are left.
    pub(crate) fn plan(&self) -> Plan {
        self.in_force().plan.clone()
    }

    /// What happens to a status callback.
    pub(crate) fn at_callback(&self, event: Event) -> Option<CallbackFault> {
        self.strike(Place::of_event(event)).and_then(|rule| rule.callback_fault())
    }

    fn at_api(&self, place: Place) -> Option<ApiFault> {
        self.strike(place).and_then(|rule| rule.api_fault())
    }

    /// The first rule for this place that strikes now.
    fn strike(&self, here: Place) -> Option<Rule> {
        let mut in_force = self.in_force();
        let InForce { plan, chances } = &mut *in_force;
        for (rule, chance) in plan.rules.iter_mut().zip(chances) {
            if !rule.place.covers(here)
                || rule.count == Some(0)
                || rule.share.is_some_and(|share| chance.next() >= share)
            {
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

/// A seeded sequence of numbers from 0 to 1 (SplitMix64).
struct Chance(u64);

impl Chance {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    fn of_rule(seed: u64, index: usize) -> Self {
        // Two steps of the sequence would only shift one rule's chances against another's; mixed bits don't.
        Self(mixed(seed ^ mixed(index as u64)))
    }

    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        let top = u32::try_from(mixed(self.0) >> 32).unwrap_or(u32::MAX);
        f64::from(top) / (f64::from(u32::MAX) + 1.0)
    }
}

fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        let struck = || faults.at_api(Place::CallCreate).map(|fault| fault.word);
        assert_eq!(
            [struck(), struck(), struck(), struck()],
            [Some("too_many"), Some("too_many"), Some("slow"), None]
        );
        assert_eq!(faults.at_api(Place::CallFetch), None);
    }

    #[test]
    fn a_share_strikes_about_as_often_as_it_says_and_alike_in_each_run() {
        let rules = json!([
            { "place": "push", "fault": "too_many", "share": 0.5 },
            { "place": "callback", "fault": "lost", "share": 0.25 },
        ]);
        let run = |pushes_between: usize| {
            let faults = faults(&rules);
            let callback = |_| {
                let _pushes = (0..pushes_between).filter(|_| faults.at_api(Place::Push).is_some()).count();
                faults.at_callback(Event::Ringing).is_some()
            };
            (0..1_000).map(callback).collect::<Vec<_>>()
        };
        let struck = run(0).iter().filter(|struck| **struck).count();
        assert!((200..300).contains(&struck), "{struck}");
        assert_eq!(run(0), run(0));
        assert_eq!(run(0), run(3), "other places take no chance away");
    }

    #[test]
    fn rules_of_one_seed_strike_independently() {
        let rules = json!([
            { "place": "push", "fault": "too_many", "share": 0.5 },
            { "place": "token", "fault": "too_many", "share": 0.5 },
        ]);
        let faults = faults(&rules);
        let alike = (0..1_000)
            .filter(|_| faults.at_api(Place::Push).is_some() == faults.at_api(Place::Token).is_some())
            .count();
        assert!((400..600).contains(&alike), "{alike}");
    }

    #[test]
    fn a_place_can_be_one_event_or_all_and_one_way_to_read_or_both() {
        let ends = faults(&json!([{ "place": "callback_completed", "fault": "doubled" }]));
        assert_eq!(ends.at_callback(Event::Ringing), None);
        assert_eq!(ends.at_callback(Event::Completed), Some(CallbackFault::Doubled));
        let all = faults(&json!([{ "place": "callback", "fault": "late", "delay": "3s" }]));
        for event in Event::ALL {
            assert_eq!(all.at_callback(event), Some(CallbackFault::Late(Duration::from_secs(3))));
        }
        let list = faults(&json!([{ "place": "call_list", "fault": "error_before" }]));
        assert!(list.at_api(Place::CallFetch).is_none() && list.at_api(Place::CallList).is_some());
        let read = faults(&json!([{ "place": "call_read", "fault": "error_before" }]));
        assert!(read.at_api(Place::CallFetch).is_some() && read.at_api(Place::CallList).is_some());
    }
}
