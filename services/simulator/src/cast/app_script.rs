//! How the scripts of apps are written: `[[device]]` in TOML, the same shape in JSON, and in `POST /sim/apps`.

use std::sync::Arc;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::script::one_second;
use super::{Address, BadCast, Device, entry_fault};
use crate::device_key::DeviceKey;
use crate::fcm::SendFault;
use crate::settings::SwarmConduct;

/// What an app and the person who holds it do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each one is a word that a script can have")]
pub(crate) struct AppScript {
    /// What the person decides; `None` for one who never does.
    pub(crate) decision: Option<Decision>,
    /// Carrier time from the push to the answer.
    pub(crate) after: Duration,
    /// The number that is typed where the gateway asks for one.
    pub(crate) types: Typing,
    /// How the app makes sure of who holds it, whether it is asked to or not; `None` for not at all.
    pub(crate) uv: Option<Verification>,
    /// Whether answers are signed with another key than the device's.
    pub(crate) signs_badly: bool,
    /// Whether each answer is sent twice, and the first one for every later challenge too.
    pub(crate) replays: bool,
    /// Whether the gateway is told that the person is looking, before the time `after` begins.
    pub(crate) opens: bool,
    /// Whether the answer waits until `answer_by` has passed.
    pub(crate) answers_late: bool,
    /// Carrier time between two requests for the list without any push; zero for an app that waits for pushes.
    pub(crate) polls: Duration,
    /// How FCM refuses this device.
    pub(crate) token_fault: Option<SendFault>,
}

/// What the person decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Approve,
    Deny(Denial),
}

impl Decision {
    /// Its word in an answer.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny(_) => "deny",
        }
    }
}

/// Why the person denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Denial {
    NotMe,
    Mistake,
    Canceled,
}

/// Which number is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typing {
    Nothing,
    Number(String),
    /// That of `POST /sim/apps/{device_id}/types`, when it comes.
    Waits,
}

/// How an app makes sure of who holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verification {
    Pin,
    Biometric,
}

/// The words of a script.
#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each one is a word that a script can have")]
pub(crate) struct AppEntry {
    #[serde(default)]
    approves: bool,
    denies: Option<Denial>,
    #[serde(default)]
    ignores: bool,
    token_fault: Option<SendFault>,
    #[serde(default = "one_second", with = "fleet_settings::duration")]
    after: Duration,
    types: Option<String>,
    uv: Option<Verification>,
    #[serde(default)]
    signs_badly: bool,
    #[serde(default)]
    replays: bool,
    #[serde(default)]
    opens: bool,
    #[serde(default)]
    answers_late: bool,
    #[serde(default, with = "fleet_settings::duration")]
    polls: Duration,
}

/// The words of a device that only the enrollment data needs.
const OF_ENROLLMENT: [&str; 4] = ["user", "name", "alg", "totp"];

/// A device.
#[derive(Deserialize)]
pub(crate) struct DeviceEntry {
    device_id: Uuid,
    fcm_token: Option<String>,
    fid: Option<String>,
    private_key: String,
    public_key: Option<String>,
    #[serde(flatten)]
    script: AppEntry,
    #[serde(flatten, deserialize_with = "only_of_enrollment")]
    _rest: (),
}

fn only_of_enrollment<'de, D: Deserializer<'de>>(rest: D) -> Result<(), D::Error> {
    only(&OF_ENROLLMENT, rest)
}

/// Refuses the words that neither an order nor a script has: one that is spelt otherwise would play something else in silence.
pub(crate) fn nothing_else<'de, D: Deserializer<'de>>(rest: D) -> Result<(), D::Error> {
    only(&[], rest)
}

fn only<'de, D: Deserializer<'de>>(known: &[&str], rest: D) -> Result<(), D::Error> {
    let rest = serde_json::Map::deserialize(rest)?;
    match rest.into_iter().map(|(word, _)| word).find(|word| !known.contains(&word.as_str())) {
        Some(word) => Err(D::Error::custom(format_args!(
            "unknown field `{word}`: neither an app nor its script has it"
        ))),
        None => Ok(()),
    }
}

impl AppScript {
    /// What the swarm does.
    pub(super) fn of_swarm(conduct: SwarmConduct, after: Duration) -> Self {
        let decision = match conduct {
            SwarmConduct::Approves => Some(Decision::Approve),
            SwarmConduct::Ignores => None,
        };
        Self {
            decision,
            after,
            types: Typing::Nothing,
            uv: None,
            signs_badly: false,
            replays: false,
            opens: false,
            answers_late: false,
            polls: Duration::ZERO,
            token_fault: None,
        }
    }
}

impl AppEntry {
    /// The script, or what makes it one that can't be played.
    pub(crate) fn into_script(self) -> Result<AppScript, &'static str> {
        let ways = [
            (self.approves, Some(Decision::Approve)),
            (self.denies.is_some(), self.denies.map(Decision::Deny)),
            (self.ignores || self.token_fault.is_some(), None),
        ];
        let mut chosen = ways.into_iter().filter(|(holds, _)| *holds).map(|(_, decision)| decision);
        let (Some(decision), None) = (chosen.next(), chosen.next()) else {
            return Err("needs exactly one of approves, denies, ignores, token_fault");
        };
        let types = match self.types {
            None => Typing::Nothing,
            Some(word) if word == "wait" => Typing::Waits,
            Some(number) => Typing::Number(number),
        };
        if decision != Some(Decision::Approve) && (types != Typing::Nothing || self.uv.is_some()) {
            return Err("has types or uv, which only one that approves has a use for");
        }
        let Self { after, uv, signs_badly, replays, opens, answers_late, polls, token_fault, .. } = self;
        Ok(AppScript {
            decision,
            after,
            types,
            uv,
            signs_badly,
            replays,
            opens,
            answers_late,
            polls,
            token_fault,
        })
    }
}

/// A device of the gateway at this base URL, and where pushes find it.
pub(super) fn device(entry: DeviceEntry, url: &Arc<str>) -> Result<(Arc<Device>, Vec<Address>), BadCast> {
    let who = format!("device {}", entry.device_id);
    let key = DeviceKey::parse(&entry.private_key).map_err(|fault| entry_fault(&who, fault))?;
    if entry.public_key.is_some_and(|public| public != key.public()) {
        return Err(entry_fault(&who, "has a public_key that does not belong to its private_key"));
    }
    let script = entry.script.into_script().map_err(|fault| entry_fault(&who, fault))?;
    let addresses = [entry.fcm_token.map(Address::Token), entry.fid.map(Address::Fid)];
    let device = Device::new(entry.device_id, Arc::new(key), Arc::new(script), Arc::clone(url));
    Ok((Arc::new(device), addresses.into_iter().flatten().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(inside: &str) -> Result<AppScript, &'static str> {
        toml::from_str::<AppEntry>(inside).unwrap().into_script()
    }

    #[test]
    fn each_conduct_has_its_word_and_alike_in_json() {
        let text = r#"
            approves = true
            after = "0s"
            types = "47"
            uv = "biometric"
            signs_badly = true
            replays = true
            opens = true
            answers_late = true
            polls = "2s"
        "#;
        let expected = AppScript {
            decision: Some(Decision::Approve),
            after: Duration::ZERO,
            types: Typing::Number("47".to_owned()),
            uv: Some(Verification::Biometric),
            signs_badly: true,
            replays: true,
            opens: true,
            answers_late: true,
            polls: Duration::from_secs(2),
            token_fault: None,
        };
        assert_eq!(script(text).unwrap(), expected);
        let json: toml::Value = toml::from_str(text).unwrap();
        let json: AppEntry = serde_json::from_value(serde_json::to_value(json).unwrap()).unwrap();
        assert_eq!(json.into_script().unwrap(), expected);
        assert_eq!(script("approves = true\ntypes = \"wait\"").unwrap().types, Typing::Waits);
        let denies = script("denies = \"not_me\"").unwrap();
        assert_eq!((denies.decision, denies.after), (Some(Decision::Deny(Denial::NotMe)), one_second()));
        assert_eq!(script("ignores = true\nopens = true").unwrap().decision, None);
        assert_eq!(
            script("token_fault = \"UNREGISTERED\"").unwrap().token_fault,
            Some(SendFault::Unregistered)
        );
    }

    #[test]
    fn a_word_that_no_device_has_is_refused_by_its_name() {
        let entry = |more: &str| {
            let id = "device_id = \"00000000-0000-4000-8000-000000000001\"\nprivate_key = \"k\"\n";
            toml::from_str::<DeviceEntry>(&format!("{id}{more}"))
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            entry("user = \"grace\"\nname = \"g\"\nalg = \"ES256\"\ntotp = \"s\"\napproves = true"),
            Ok(())
        );
        for misspelt in ["aproves = true", "polls_every = \"2s\"", "token_faults = \"UNREGISTERED\""] {
            let word = misspelt.split(' ').next().unwrap();
            assert!(entry(misspelt).unwrap_err().contains(&format!("`{word}`")), "{misspelt}");
        }
    }

    #[test]
    fn a_script_that_contradicts_itself_is_refused() {
        for inside in [
            "",
            "approves = true\nignores = true",
            "denies = \"mistake\"\ntypes = \"47\"",
            "ignores = true\nuv = \"pin\"",
        ] {
            assert!(script(inside).is_err(), "{inside}");
        }
    }
}
