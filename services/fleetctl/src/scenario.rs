//! The file of scenarios to play: challenges and changes of enrollments, and how each must end.

mod code;
mod expected;
mod wish;

use std::path::Path;
use std::time::Duration;

use fleet_contracts::NumberMatch;
use fleet_domain::{Change, PortalName, Progress, Target, UserId};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::ask::{Ask, Method, parse_number, parse_target};
use crate::error::Error;
use crate::file::{self, mistake};
pub(crate) use code::TypedCode;
use expected::Entry as ExpectedEntry;
pub(crate) use expected::{Expected, ExpectedChange};
pub(crate) use wish::Wish;
use wish::{Places, With};

/// A file of scenarios.
#[derive(Debug)]
pub(crate) struct Scenarios {
    /// How many run at the same time; all without a number.
    pub(crate) parallel: Option<usize>,
    pub(crate) all: Vec<Scenario>,
}

/// One thing that a portal asks for.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) title: String,
    pub(crate) portal: PortalName,
    pub(crate) user: UserId,
    /// Which ones must have ended before, by their places in the file.
    pub(crate) after: Vec<usize>,
    pub(crate) part: Part,
}

/// What it asks for.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// A challenge.
    Challenge(Box<Challenge>),
    /// A change of the user's enrollment.
    Change(Box<Wish>),
}

/// One challenge.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    pub(crate) ask: Ask,
    /// Whether and when the portal calls it off.
    pub(crate) cancel: Option<Cancel>,
    /// How far it has come when the help desk blocks the user.
    pub(crate) block: Option<Progress>,
    /// What the person types where a code is awaited.
    pub(crate) code: Option<TypedCode>,
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
    method: Option<Method>,
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
    code: Option<String>,
    totp: Option<String>,
    after: Option<String>,
    change: Option<Change>,
    with: Option<With>,
    expect: ExpectedEntry,
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
    fn into_scenario(mut self, speed: f64, earlier: &[Scenario]) -> Result<Scenario, String> {
        let places = Places(earlier);
        let mut after: Vec<usize> = Vec::new();
        let named = self.after.take();
        after.extend(places.of("after", named.as_ref())?);
        let (title, portal, user) = (self.title.clone(), self.portal.clone(), self.user.clone());
        let part = match (self.change, self.with.take()) {
            (None, Some(_)) => return Err("has with, but no change".to_owned()),
            (None, None) => {
                let code = (self.code.as_deref(), self.totp.as_deref());
                let code = TypedCode::read(code, named.as_ref(), &places)?;
                Part::Challenge(Box::new(self.into_challenge(speed, code)?))
            }
            (Some(change), taken) => {
                let wish = self.into_wish(change, taken.unwrap_or_default(), &places)?;
                after.extend(wish.proof.into_iter().chain(wish.unreached));
                Part::Change(Box::new(wish))
            }
        };
        Ok(Scenario { title, portal, user, after, part })
    }

    fn into_challenge(self, speed: f64, code: Option<TypedCode>) -> Result<Challenge, String> {
        let expect = self.expect.of_challenge()?;
        let cancel = match (self.cancel_after, self.cancel_when) {
            (Some(_), Some(_)) => return Err("can have only one of cancel_after and cancel_when".to_owned()),
            (Some(after), None) => Some(Cancel::After(after.div_f64(speed))),
            (None, when) => when.map(Cancel::When),
        };
        let ask = Ask {
            user: self.user,
            method: self.method.unwrap_or_default(),
            target: self.target,
            number: self.number,
            within: self.within,
            application: Some(self.title.chars().take(64).collect()),
            locale: self.locale,
        };
        Ok(Challenge { ask, cancel, block: self.block_when, code, expect })
    }

    fn into_wish(self, change: Change, with: With, places: &Places<'_>) -> Result<Wish, String> {
        let of_challenges = [
            ("method", self.method.is_some()),
            ("target", self.target.is_some()),
            ("number", self.number.is_some()),
            ("within", self.within.is_some()),
            ("cancel_after", self.cancel_after.is_some()),
            ("cancel_when", self.cancel_when.is_some()),
            ("block_when", self.block_when.is_some()),
            ("code", self.code.is_some()),
            ("totp", self.totp.is_some()),
        ];
        if let Some((name, _)) = of_challenges.into_iter().find(|(_, is_there)| *is_there) {
            return Err(format!("can't have {name} beside a change; what a change takes stands in with"));
        }
        let expect = self.expect.of_change()?;
        with.into_wish(change, self.locale, (places, expect))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{approved, done};
    use fleet_domain::Assurance;

    const DEMO: &str = include_str!("../../../ops/demo-data/scenarios.toml");

    fn scenarios(text: &str, speed: f64) -> Result<Scenarios, Error> {
        let path = Path::new("scenarios.toml");
        Scenarios::of(path, file::parse(path, text)?, speed)
    }

    fn challenge(scenarios: Scenarios) -> Challenge {
        match scenarios.all.into_iter().next().unwrap().part {
            Part::Challenge(challenge) => *challenge,
            Part::Change(_) => panic!("is a change"),
        }
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
        let stranger = |scenario: &&Scenario| !people.contains(&format!("id = \"{}\"", scenario.user));
        let strangers: Vec<&str> =
            scenarios.all.iter().filter(stranger).map(|one| one.user.as_str()).collect();
        // Oscar is known to nobody; Theo and Amelia come and go.
        assert_eq!(strangers, ["oscar", "theo", "theo", "amelia", "amelia", "amelia", "amelia"]);
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
        let scenario = challenge(scenarios(&text, 2.0).unwrap());
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
        let missed = |rest: &str| {
            let expect = challenge(scenarios(&text(rest), 1.0).unwrap()).expect;
            expect.missed_by(&approved(4))
        };
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
    fn a_change_is_read_with_what_it_takes_and_goes_on_from_those_above_it() {
        let text = [
            one(""),
            one("expect = { result = \"failed\", reason = \"no_answer\" }").replace("\"t\"", "\"u\""),
            one("change = \"phone_change\"\nlocale = \"es-US\"\nafter = \"u\"\n\
                 with = { number = \"+19195550101\", extension = \"42\", kind = \"office\", proof = \"t\" }\n\
                 expect = { result = \"done\", reason = \"ok\", next_step = \"set_pin\", rule = \"r\", help = \"h\" }"),
        ]
        .join("\n");
        let last = scenarios(&text, 1.0).unwrap().all.remove(2);
        assert_eq!(last.after, [1, 0]);
        let Part::Change(wish) = last.part else { panic!("is a challenge") };
        assert_eq!(
            (wish.change, wish.proof, wish.locale.as_deref()),
            (Change::Phone, Some(0), Some("es-US"))
        );
        let phone = wish.phone.as_ref().unwrap();
        assert_eq!((phone.number.as_str(), phone.extension.as_deref()), ("+19195550101", Some("42")));
        assert!(!format!("{wish:?}").contains("0101"));
        let missed = ["the next step set_pin", "the rule \"r\"", "the help \"h\""];
        assert_eq!(wish.expect.missed_by(&done(4)), missed);
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
            (
                one("expect = { result = \"failed\", reason = \"tired\" }"),
                "scenario \"t\": expects the reason \"tired\", and nothing ends so",
            ),
            (one("totp = \"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\""), "scenario \"t\": has totp, but no code"),
            (one("code = \"right\""), "scenario \"t\": has a code, but no totp that it is made of"),
            (one("code = \"1234\""), "scenario \"t\": code must be right, wrong, used, or 6 to 8 digits"),
            (
                one("code = \"used\"\ntotp = \"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\""),
                "scenario \"t\": types a used code, so after must be a challenge",
            ),
            (one("with = { pin = \"820571\" }"), "scenario \"t\": has with, but no change"),
            (one("change = \"block\"\nwithin = \"4s\""), "scenario \"t\": can't have within beside a change"),
            (
                one(
                    "change = \"block\"\nexpect = { result = \"done\", reason = \"ok\", assurance = \"pin\" }",
                ),
                "scenario \"t\": expects assurance, which no change has",
            ),
            (
                one(
                    "change = \"block\"\nwith = { actor = \"pat\" }\nexpect = { result = \"done\", reason = \"ok\" }",
                ),
                "scenario \"t\": needs both actor and reason",
            ),
            (
                one(
                    "change = \"pin_change\"\nwith = { proof = \"t\" }\nexpect = { result = \"done\", reason = \"ok\" }",
                ),
                "scenario \"t\": proof must be the title of a scenario above it, not \"t\"",
            ),
        ] {
            let error = scenarios(&text, 1.0).unwrap_err().line().unwrap();
            assert!(error.starts_with(&format!("fleetctl: scenarios.toml: {line}")), "{error}");
        }
    }
}
