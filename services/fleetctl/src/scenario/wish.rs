//! What a change takes, as a file has it.

use std::collections::BTreeMap;
use std::fmt;

use fleet_domain::{Change, Channel, PhoneKind};
use fleet_portal_client::{GivenPhone, NumberMatch};
use serde::Deserialize;

use super::{ExpectedChange, Part, Scenario};

/// A change that a portal asks for. Numbers, PIN and answers are those of people who do not exist, and are hidden like those
/// of others.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) change: Change,
    pub(crate) method: Option<Channel>,
    pub(crate) phone: Option<GivenPhone>,
    pub(crate) pin: Option<String>,
    /// By question. In a recovery those that are asked for are given.
    pub(crate) answers: BTreeMap<String, String>,
    /// The sign-in, test or recovery that proves who asks, by its place in the file.
    pub(crate) proof: Option<usize>,
    /// The challenge that could not reach the person.
    pub(crate) unreached: Option<usize>,
    /// Who asks at the help desk, and why.
    pub(crate) operator: Option<(String, String)>,
    pub(crate) ticket: Option<String>,
    pub(crate) seconds: Option<u16>,
    /// What the person's app does once it is activated, in the simulator's words.
    pub(crate) app: Option<toml::Table>,
    /// The digits on the portal's page in the test.
    pub(crate) shows: Option<NumberMatch>,
    pub(crate) locale: Option<String>,
    pub(crate) expect: ExpectedChange,
}

impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wish").field("change", &self.change).finish_non_exhaustive()
    }
}

/// The table `with`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct With {
    method: Option<Channel>,
    number: Option<String>,
    extension: Option<String>,
    kind: Option<PhoneKind>,
    pin: Option<String>,
    #[serde(default)]
    answers: BTreeMap<String, String>,
    proof: Option<String>,
    unreached: Option<String>,
    actor: Option<String>,
    reason: Option<String>,
    ticket: Option<String>,
    seconds: Option<u16>,
    app: Option<toml::Table>,
    #[serde(default, deserialize_with = "super::number")]
    shows: Option<NumberMatch>,
}

/// The scenarios above, found by their titles.
pub(super) struct Places<'a>(pub(super) &'a [Scenario]);

impl Places<'_> {
    /// The place of the scenario that a field names.
    pub(super) fn of(&self, field: &str, title: Option<&String>) -> Result<Option<usize>, String> {
        let place = |title: &String| {
            let place = self.0.iter().position(|scenario| scenario.title == *title);
            place.ok_or_else(|| format!("{field} must be the title of a scenario above it, not {title:?}"))
        };
        title.map(place).transpose()
    }

    pub(super) fn is_challenge(&self, place: usize) -> bool {
        self.0.get(place).is_some_and(|scenario| matches!(scenario.part, Part::Challenge(_)))
    }
}

impl With {
    pub(super) fn into_wish(
        self,
        change: Change,
        locale: Option<String>,
        (places, expect): (&Places<'_>, ExpectedChange),
    ) -> Result<Wish, String> {
        let unreached = places.of("unreached", self.unreached.as_ref())?;
        if unreached.is_some_and(|place| !places.is_challenge(place)) {
            return Err("unreached must be a challenge".to_owned());
        }
        let kind = self.kind.unwrap_or(PhoneKind::Mobile);
        let extension = self.extension;
        let phone = match self.number {
            Some(number) => Some(GivenPhone { number, extension, kind }),
            None if extension.is_some() => return Err("has an extension, but no number".to_owned()),
            None => None,
        };
        let operator = match (self.actor, self.reason) {
            (Some(actor), Some(reason)) => Some((actor, reason)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err("needs both actor and reason".to_owned()),
        };
        Ok(Wish {
            change,
            method: self.method,
            phone,
            pin: self.pin,
            answers: self.answers,
            proof: places.of("proof", self.proof.as_ref())?,
            unreached,
            operator,
            ticket: self.ticket,
            seconds: self.seconds,
            app: self.app,
            shows: self.shows,
            locale,
            expect,
        })
    }
}
