//! The file of challenges to play: what is asked for, and how each must end.

use std::path::Path;
use std::time::Duration;

use fleet_contracts::{NumberMatch, Outcome};
use fleet_domain::{Assurance, CallerIdStep, ChallengeResult, PortalName, Progress, Reason, Target, UserId};
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
    /// Which one must have ended before, by its place in the file.
    pub(crate) after: Option<usize>,
    /// Whether and when the portal calls it off.
    pub(crate) cancel: Option<Cancel>,
    /// How far it has come when the help desk blocks the user.
    pub(crate) block: Option<Progress>,
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

/// How a challenge must end. What is not named may be any.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    pub(crate) result: ChallengeResult,
    pub(crate) reason: Reason,
    pub(crate) assurance: Option<Assurance>,
    /// What else the person can try, each a target of the same user.
    #[serde(default, deserialize_with = "targets")]
    pub(crate) alternatives: Option<Vec<Target>>,
    /// Words of the help that the portal gives.
    pub(crate) help: Option<String>,
    /// The step of the caller-ID plan. Whatever was sent is never said to be guaranteed.
    pub(crate) caller_id: Option<CallerIdStep>,
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
    block_when: Option<Progress>,
    locale: Option<String>,
    after: Option<String>,
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

fn targets<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<Target>>, D::Error> {
    let texts = Vec::<String>::deserialize(d)?;
    texts.iter().map(|text| parse_target(text)).collect::<Result<_, _>>().map(Some).map_err(D::Error::custom)
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
        let mut all: Vec<Scenario> = Vec::with_capacity(sections.scenario.len());
        for entry in sections.scenario {
            let title = entry.title.clone();
            let scenario = entry.into_scenario(speed, &all);
            all.push(scenario.map_err(|problem| mistake(path, format!("scenario {title:?}: {problem}")))?);
        }
        Ok(Self { parallel: sections.parallel, all })
    }
}

impl Entry {
    fn into_scenario(self, speed: f64, earlier: &[Scenario]) -> Result<Scenario, String> {
        let place = |title: &String| {
            let place = earlier.iter().position(|scenario| scenario.title == *title);
            place.ok_or_else(|| format!("after must be the title of a scenario above it, not {title:?}"))
        };
        let after = self.after.as_ref().map(place).transpose()?;
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
            locale: self.locale,
        };
        let Self { title, portal, block_when: block, expect, .. } = self;
        Ok(Scenario { title, portal, ask, after, cancel, block, expect })
    }
}

impl Expected {
    /// Whether an outcome is as expected.
    pub(crate) fn is_met_by(&self, outcome: &Outcome) -> bool {
        self.missed_by(outcome).is_empty()
    }

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
            && !outcome.help.as_deref().is_some_and(|given| given.contains(help))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::approved;

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
    fn what_else_is_expected_is_held_against_the_outcome() {
        let text =
            |rest: &str| one(&format!("expect = {{ result = \"approved\", reason = \"ok_key\", {rest} }}"));
        let missed = |rest: &str| scenarios(&text(rest), 1.0).unwrap().all[0].expect.missed_by(&approved(4));
        for (rest, expected) in [
            ("caller_id = \"local\", alternatives = []", vec![]),
            ("assurance = \"pin\"", vec!["approved ok_key pin"]),
            ("caller_id = \"withheld\"", vec!["a caller ID by the step withheld"]),
            (
                "alternatives = [\"backup\"], help = \"call us\"",
                vec!["1 alternatives", "the help \"call us\""],
            ),
        ] {
            assert_eq!(missed(rest), expected, "{rest}");
        }
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
                one("after = \"t\""),
                "scenario \"t\": after must be the title of a scenario above it, not \"t\"",
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
