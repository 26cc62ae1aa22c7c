//! The file of challenges to play: what is asked for, and how each must end.

use std::path::Path;
use std::time::Duration;

use fleet_contracts::{NumberMatch, Outcome};
use fleet_domain::{Assurance, ChallengeResult, PortalName, Progress, Reason, Target, UserId};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::ask::{Ask, Method, parse_number, parse_target};
use crate::error::Error;
use crate::file::{self, mistake};

/// A file of challenges.
#[derive(Debug)]
pub(crate) struct Scenarios {
    /// How many run at the same time; all without a number.
    pub(crate) parallel: Option<usize>,
    pub(crate) all: Vec<Scenario>,
}

/// One challenge.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) title: String,
    pub(crate) portal: PortalName,
    pub(crate) ask: Ask,
    /// Whether and when the portal calls it off.
    pub(crate) cancel: Option<Cancel>,
    pub(crate) expect: Expected,
}

/// When the portal calls a challenge off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// So long after it was asked for.
    After(Duration),
    /// As soon as it has come so far.
    When(Progress),
}

/// How a challenge must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    pub(crate) result: ChallengeResult,
    pub(crate) reason: Reason,
    pub(crate) assurance: Option<Assurance>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sections {
    parallel: Option<usize>,
    #[serde(default)]
    scenario: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    title: String,
    #[serde(deserialize_with = "portal")]
    portal: PortalName,
    #[serde(deserialize_with = "user")]
    user: UserId,
    #[serde(default)]
    method: Method,
    #[serde(default, deserialize_with = "target")]
    target: Option<Target>,
    #[serde(default, deserialize_with = "number")]
    number: Option<NumberMatch>,
    #[serde(default, deserialize_with = "duration")]
    within: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    cancel_after: Option<Duration>,
    cancel_when: Option<Progress>,
    expect: Expected,
}

/// A field that is text by its own rule.
fn text<'de, T, E: std::fmt::Display, D: Deserializer<'de>>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn portal<'de, D: Deserializer<'de>>(d: D) -> Result<PortalName, D::Error> {
    text(d, PortalName::parse)
}

fn user<'de, D: Deserializer<'de>>(d: D) -> Result<UserId, D::Error> {
    text(d, UserId::parse)
}

fn target<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Target>, D::Error> {
    text(d, parse_target).map(Some)
}

fn number<'de, D: Deserializer<'de>>(d: D) -> Result<Option<NumberMatch>, D::Error> {
    text(d, parse_number).map(Some)
}

fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    text(d, fleet_settings::duration::parse).map(Some)
}

impl Scenarios {
    /// Reads a file. `speed` is how much faster than life the people are: the portal is as much quicker to cancel. What it
    /// gives them (`within`) stays, since the fleet is not faster than it is.
    pub(crate) fn read(path: &Path, speed: f64) -> Result<Self, Error> {
        Self::of(path, file::read(path)?, speed)
    }

    fn of(path: &Path, sections: Sections, speed: f64) -> Result<Self, Error> {
        if sections.scenario.is_empty() {
            return Err(mistake(path, "has no [[scenario]]".to_owned()));
        }
        if sections.parallel == Some(0) {
            return Err(mistake(path, "parallel must be at least 1".to_owned()));
        }
        let all = sections.scenario.into_iter().map(|entry| {
            let title = entry.title.clone();
            entry
                .into_scenario(speed)
                .map_err(|problem| mistake(path, format!("scenario {title:?}: {problem}")))
        });
        Ok(Self { parallel: sections.parallel, all: all.collect::<Result<_, _>>()? })
    }
}

impl Entry {
    fn into_scenario(self, speed: f64) -> Result<Scenario, String> {
        let Expected { result, reason, .. } = self.expect;
        if reason.result() != result {
            return Err(format!("expects {result}, but the reason {reason} belongs to {}", reason.result()));
        }
        let cancel = match (self.cancel_after, self.cancel_when) {
            (Some(_), Some(_)) => return Err("can have only one of cancel_after and cancel_when".to_owned()),
            (Some(after), None) => Some(Cancel::After(after.div_f64(speed))),
            (None, when) => when.map(Cancel::When),
        };
        let ask = Ask {
            user: self.user,
            method: self.method,
            target: self.target,
            number: self.number,
            within: self.within,
            application: Some(self.title.chars().take(64).collect()),
            locale: None,
        };
        Ok(Scenario { title: self.title, portal: self.portal, ask, cancel, expect: self.expect })
    }
}

impl Expected {
    /// Whether an outcome is as expected. An assurance that is not named may be any.
    pub(crate) fn is_met_by(self, outcome: &Outcome) -> bool {
        outcome.result == self.result
            && outcome.reason == Some(self.reason)
            && self.assurance.is_none_or(|assurance| outcome.assurance == Some(assurance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMO: &str = include_str!("../../../ops/demo-data/scenarios.toml");

    fn scenarios(text: &str, speed: f64) -> Result<Scenarios, Error> {
        let path = Path::new("scenarios.toml");
        Scenarios::of(path, file::parse(path, text)?, speed)
    }

    fn one(rest: &str) -> String {
        let expect = "expect = { result = \"failed\", reason = \"busy\" }";
        let expect = if rest.contains("expect") { "" } else { expect };
        format!("[[scenario]]\ntitle = \"t\"\nportal = \"operations\"\nuser = \"ann\"\n{rest}\n{expect}")
    }

    #[test]
    fn the_scenarios_of_the_demo_are_of_its_people() {
        let people = include_str!("../../../ops/demo-data/people.toml");
        let scenarios = scenarios(DEMO, 1.0).unwrap();
        let stranger = |scenario: &&Scenario| !people.contains(&format!("id = \"{}\"", scenario.ask.user));
        let strangers: Vec<&str> =
            scenarios.all.iter().filter(stranger).map(|one| one.ask.user.as_str()).collect();
        assert_eq!(strangers, ["oscar"]);
        for scenario in &scenarios.all {
            assert!(people.contains(&format!("name = \"{}\"", scenario.portal)), "{}", scenario.title);
        }
    }

    #[test]
    fn every_field_is_read_and_only_cancel_after_goes_with_the_speed() {
        let text = one(
            "method = \"push\"\ntarget = \"backup\"\nnumber = \"42\"\nwithin = \"60s\"\ncancel_after = \"4s\"\n\
             expect = { result = \"approved\", reason = \"ok_push\", assurance = \"approve\" }",
        );
        let scenario = scenarios(&text, 2.0).unwrap().all.remove(0);
        assert_eq!(scenario.ask.method, Method::Push);
        assert_eq!(scenario.ask.target, Some(Target::Backup));
        assert_eq!(scenario.ask.number.unwrap().reveal(), "42");
        assert_eq!(scenario.ask.within, Some(Duration::from_mins(1)));
        assert_eq!(scenario.cancel, Some(Cancel::After(Duration::from_secs(2))));
        assert_eq!(scenario.expect.assurance, Some(Assurance::Approve));
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (text, line) in [
            (String::new(), "has no [[scenario]]"),
            (format!("parallel = 0\n{}", one("")), "parallel must be at least 1"),
            (one("metod = \"voice\""), "line 5: unknown field `metod`"),
            (one("method = \"sms\""), "line 5: unknown variant `sms`"),
            (one("number = \"4\""), "line 5: must be 2 to 6 digits"),
            (one("target = \"home\""), "line 5: must be primary, backup or the id of a device"),
            (one("within = \"soon\""), "line 5: expected a duration"),
            (
                one("cancel_after = \"1s\"\ncancel_when = \"ringing\""),
                "scenario \"t\": can have only one of cancel_after and cancel_when",
            ),
            (
                one("expect = { result = \"denied\", reason = \"busy\" }"),
                "scenario \"t\": expects denied, but the reason busy belongs to failed",
            ),
        ] {
            let error = scenarios(&text, 1.0).unwrap_err().line().unwrap();
            assert!(error.starts_with(&format!("fleetctl: scenarios.toml: {line}")), "{error}");
        }
    }
}
