//! How a scenario must end. What is not named may be any.

use fleet_contracts::{EnrollmentOutcome, Outcome};
use fleet_domain::{
    Assurance, Authority, CallerIdStep, ChallengeResult, EnrollmentReason, EnrollmentResult, NextStep,
    Reason, Target,
};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::ask::parse_target;

/// How a challenge must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) result: ChallengeResult,
    pub(crate) reason: Reason,
    pub(crate) assurance: Option<Assurance>,
    /// What else the person can try, each a target of the same user.
    pub(crate) alternatives: Option<Vec<Target>>,
    /// Words of the help that the portal gives.
    pub(crate) help: Option<String>,
    /// The step of the caller-ID plan. Whatever was sent is never said to be guaranteed.
    pub(crate) caller_id: Option<CallerIdStep>,
}

/// How a change must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExpectedChange {
    pub(crate) result: EnrollmentResult,
    pub(crate) reason: EnrollmentReason,
    /// What allowed it.
    pub(crate) authority: Option<Authority>,
    /// What comes next.
    pub(crate) next_step: Option<NextStep>,
    /// Words of the rule that it breaks.
    pub(crate) rule: Option<String>,
    /// Words of the help that the portal gives.
    pub(crate) help: Option<String>,
}

/// The same in a file, before it is known of what it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    result: String,
    reason: String,
    assurance: Option<Assurance>,
    #[serde(default, deserialize_with = "targets")]
    alternatives: Option<Vec<Target>>,
    help: Option<String>,
    caller_id: Option<CallerIdStep>,
    authority: Option<Authority>,
    next_step: Option<NextStep>,
    rule: Option<String>,
}

fn targets<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<Target>>, D::Error> {
    let texts = Vec::<String>::deserialize(d)?;
    texts.iter().map(|text| parse_target(text)).collect::<Result<_, _>>().map(Some).map_err(D::Error::custom)
}

/// A word of a closed list.
fn word<T>(field: &str, text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, String> {
    parse(text).ok_or_else(|| format!("expects the {field} {text:?}, and nothing ends so"))
}

/// Refuses what only the other kind of scenario can have.
fn absent(fields: &[(&str, bool)], of: &str) -> Result<(), String> {
    match fields.iter().find(|(_, is_there)| *is_there) {
        None => Ok(()),
        Some((name, _)) => Err(format!("expects {name}, which no {of} has")),
    }
}

impl Entry {
    pub(super) fn of_challenge(self) -> Result<Expected, String> {
        let changes = [
            ("authority", self.authority.is_some()),
            ("next_step", self.next_step.is_some()),
            ("rule", self.rule.is_some()),
        ];
        absent(&changes, "challenge")?;
        let result = word("result", &self.result, ChallengeResult::parse)?;
        let reason = word("reason", &self.reason, Reason::parse)?;
        if reason.result() != result {
            return Err(format!("expects {result}, but the reason {reason} belongs to {}", reason.result()));
        }
        let Self { assurance, alternatives, help, caller_id, .. } = self;
        Ok(Expected { result, reason, assurance, alternatives, help, caller_id })
    }

    pub(super) fn of_change(self) -> Result<ExpectedChange, String> {
        let challenges = [
            ("assurance", self.assurance.is_some()),
            ("alternatives", self.alternatives.is_some()),
            ("caller_id", self.caller_id.is_some()),
        ];
        absent(&challenges, "change")?;
        let result = word("result", &self.result, EnrollmentResult::parse)?;
        let reason = word("reason", &self.reason, EnrollmentReason::parse)?;
        if reason.result() != result {
            return Err(format!("expects {result}, but the reason {reason} belongs to {}", reason.result()));
        }
        let Self { authority, next_step, rule, help, .. } = self;
        Ok(ExpectedChange { result, reason, authority, next_step, rule, help })
    }
}

/// Whether these words are there.
fn says(given: Option<&str>, words: &str) -> bool {
    given.is_some_and(|given| given.contains(words))
}

impl Expected {
    /// What was expected of an outcome and is not so.
    pub(crate) fn missed_by(&self, outcome: &Outcome) -> Vec<String> {
        let mut missed = Vec::new();
        if outcome.result != self.result
            || outcome.reason != Some(self.reason)
            || self.assurance.is_some_and(|assurance| outcome.assurance != Some(assurance))
        {
            let assurance = self.assurance.map(|assurance| format!(" {assurance}")).unwrap_or_default();
            missed.push(format!("{} {}{assurance}", self.result, self.reason));
        }
        if let Some(targets) = &self.alternatives
            && !outcome.alternatives.iter().map(|other| &other.target).eq(targets)
        {
            missed.push(format!("{} alternatives", targets.len()));
        }
        if let Some(help) = &self.help
            && !says(outcome.help.as_deref(), help)
        {
            missed.push(format!("the help {help:?}"));
        }
        if let Some(step) = self.caller_id
            && !outcome.caller_id.as_ref().is_some_and(|sent| sent.step == step && !sent.guaranteed)
        {
            missed.push(format!("a caller ID by the step {step}"));
        }
        missed
    }
}

impl ExpectedChange {
    /// What was expected of an outcome and is not so.
    pub(crate) fn missed_by(&self, outcome: &EnrollmentOutcome) -> Vec<String> {
        let mut missed = Vec::new();
        if outcome.result != self.result || outcome.reason != Some(self.reason) {
            missed.push(format!("{} {}", self.result, self.reason));
        }
        if let Some(authority) = self.authority
            && outcome.authority != authority
        {
            missed.push(format!("the authority {authority}"));
        }
        if let Some(next) = self.next_step
            && outcome.next_step != Some(next)
        {
            missed.push(format!("the next step {next}"));
        }
        if let Some(rule) = &self.rule
            && !says(outcome.rule.as_deref(), rule)
        {
            missed.push(format!("the rule {rule:?}"));
        }
        if let Some(help) = &self.help
            && !says(outcome.help.as_deref(), help)
        {
            missed.push(format!("the help {help:?}"));
        }
        missed
    }
}
