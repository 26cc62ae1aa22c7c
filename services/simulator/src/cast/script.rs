//! How the scripts of people are written: `[[person]]` in TOML, the same shape in JSON.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::app_script::DeviceEntry;
use super::{BadCast, entry_fault};

/// A file of scripts. Other sections (`[[user]]`, `[[portal]]`) belong to other readers of the same file.
#[derive(Default, Deserialize)]
pub(crate) struct CastFile {
    #[serde(default)]
    pub(crate) person: Vec<PersonEntry>,
    #[serde(default)]
    pub(crate) device: Vec<DeviceEntry>,
}

/// What a called person does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) reach: Reach,
    /// The answers to successive prompts; after the last one, silence.
    pub(crate) presses: Vec<Press>,
    /// Carrier time from the start of a prompt to the first key.
    pub(crate) think: Duration,
    /// Carrier time from picking up to hanging up.
    pub(crate) hangs_up: Option<Duration>,
    /// The code with which Twilio refuses to call this number.
    pub(crate) api_error: Option<u32>,
    /// Callers that this number can't be reached from.
    pub(crate) blocks: Vec<Block>,
}

/// Calls from some numbers do not reach the phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// How their numbers begin.
    from: String,
    pub(crate) by: BlockedBy,
}

/// Who blocks a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockedBy {
    /// Twilio refuses to place the call, with this code.
    Twilio(u32),
    /// The network ends it with this SIP code, after this much carrier time, without any ringing.
    Network(u16, Duration),
}

/// What comes of dialing a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Somebody picks up after this much ringing.
    Answers(Duration),
    /// A machine picks up after this much ringing.
    Voicemail(Duration),
    /// The person declines after this much ringing.
    Rejects(Duration),
    /// It rings until the time-out.
    NoAnswer,
    /// The network ends the call with this SIP code before it rings.
    Fails(u16),
}

/// The answer to one prompt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Press {
    /// These keys, one after the other.
    Keys(String),
    /// Nothing.
    Silent {
        /// Always `true`: the word is there to be read.
        #[serde(rename = "silent")]
        _silent: bool,
    },
    /// Hanging up, this much carrier time after the prompt began.
    HangsUp {
        #[serde(with = "fleet_settings::duration")]
        hang_up_after: Duration,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    #[serde(default = "one_second", with = "fleet_settings::duration")]
    after: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fails {
    sip: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockEntry {
    #[serde(default)]
    from: String,
    code: Option<u32>,
    sip: Option<u16>,
    #[serde(default, with = "fleet_settings::duration")]
    after: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each one is a word that a script can have")]
pub(crate) struct PersonEntry {
    #[serde(default)]
    name: String,
    #[serde(default)]
    number: String,
    answers: Option<After>,
    #[serde(default)]
    presses: Vec<Press>,
    #[serde(default = "one_second", with = "fleet_settings::duration")]
    think: Duration,
    hangs_up: Option<After>,
    #[serde(default)]
    busy: bool,
    #[serde(default)]
    no_answer: bool,
    #[serde(default)]
    rejects: bool,
    #[serde(default)]
    voicemail: bool,
    #[serde(default)]
    unreachable: bool,
    fails: Option<Fails>,
    api_error: Option<u32>,
    #[serde(default)]
    blocks: Vec<BlockEntry>,
}

impl Script {
    /// A script written as the inside of an inline table.
    pub(crate) fn parse(who: &str, inside: &str) -> Result<Self, BadCast> {
        #[derive(Deserialize)]
        struct Wrapped {
            script: PersonEntry,
        }
        let Wrapped { script } = toml::from_str(&format!("script = {{ {inside} }}"))?;
        script.into_script(who)
    }

    /// Who blocks this caller, if anybody does.
    pub(crate) fn blocked_by(&self, caller: &str) -> Option<BlockedBy> {
        self.blocks.iter().find(|block| caller.starts_with(&block.from)).map(|block| block.by)
    }

    /// The code with which Twilio refuses to call this number from that one.
    pub(crate) fn refusal(&self, caller: &str) -> Option<u32> {
        let of_caller = self.blocked_by(caller).and_then(|by| match by {
            BlockedBy::Twilio(code) => Some(code),
            BlockedBy::Network(..) => None,
        });
        self.api_error.or(of_caller)
    }
}

impl BlockEntry {
    fn into_block(self, who: &str) -> Result<Block, BadCast> {
        let by = match (self.code, self.sip) {
            (Some(code), None) if self.after.is_zero() => BlockedBy::Twilio(code),
            (None, Some(sip)) => BlockedBy::Network(sip, self.after),
            (Some(_), None | Some(_)) | (None, None) => {
                return Err(entry_fault(who, "needs in blocks either a code, or a sip and perhaps an after"));
            }
        };
        Ok(Block { from: self.from, by })
    }
}

impl PersonEntry {
    fn into_script(self, who: &str) -> Result<Script, BadCast> {
        let pick_up = self.answers.map(|answers| answers.after);
        let ways = [
            (self.busy, Reach::Fails(486)),
            (self.no_answer, Reach::NoAnswer),
            (self.rejects, Reach::Rejects(pick_up.unwrap_or(Duration::from_secs(3)))),
            (self.voicemail, Reach::Voicemail(pick_up.unwrap_or(Duration::from_secs(20)))),
            (self.unreachable, Reach::Fails(480)),
            (self.fails.is_some(), Reach::Fails(self.fails.as_ref().map_or(0, |fails| fails.sip))),
        ];
        let mut chosen = ways.into_iter().filter(|(holds, _)| *holds).map(|(_, reach)| reach);
        let reach = chosen.next().unwrap_or(Reach::Answers(pick_up.unwrap_or_else(one_second)));
        if chosen.next().is_some() {
            return Err(entry_fault(
                who,
                "can be only one of busy, no_answer, rejects, voicemail, unreachable, fails",
            ));
        }
        let keys_exist = |press: &Press| match press {
            Press::Keys(keys) => keys.chars().all(|key| "0123456789*#".contains(key)),
            Press::Silent { .. } | Press::HangsUp { .. } => true,
        };
        if !self.presses.iter().all(keys_exist) {
            return Err(entry_fault(who, "can press only the keys 0-9, * and #"));
        }
        Ok(Script {
            reach,
            presses: self.presses,
            think: self.think,
            hangs_up: self.hangs_up.map(|hangs_up| hangs_up.after),
            api_error: self.api_error,
            blocks: self.blocks.into_iter().map(|block| block.into_block(who)).collect::<Result<_, _>>()?,
        })
    }
}

/// A person's number and script.
pub(super) fn person(entry: PersonEntry) -> Result<(String, Arc<Script>), BadCast> {
    let (name, number) = (entry.name.clone(), entry.number.clone());
    let script = entry.into_script(&format!("person {name}"))?;
    if !number.starts_with('+') {
        return Err(entry_fault(&format!("person {name}"), "needs a number in E.164 form"));
    }
    Ok((number, Arc::new(script)))
}

pub(super) fn one_second() -> Duration {
    Duration::from_secs(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(inside: &str) -> Result<Script, BadCast> {
        Script::parse("test", inside)
    }

    #[test]
    fn each_way_to_be_reached_has_its_word() {
        let table = [
            ("", Reach::Answers(Duration::from_secs(1))),
            (r#"answers = { after = "2s" }"#, Reach::Answers(Duration::from_secs(2))),
            ("busy = true", Reach::Fails(486)),
            ("no_answer = true", Reach::NoAnswer),
            ("rejects = true", Reach::Rejects(Duration::from_secs(3))),
            (r#"voicemail = true, answers = { after = "9s" }"#, Reach::Voicemail(Duration::from_secs(9))),
            ("unreachable = true", Reach::Fails(480)),
            ("fails = { sip = 503 }", Reach::Fails(503)),
        ];
        for (inside, reach) in table {
            assert_eq!(script(inside).unwrap().reach, reach, "{inside}");
        }
    }

    #[test]
    fn answers_to_prompts_can_be_keys_silence_or_hanging_up() {
        let presses =
            script(r#"presses = ["1234#", { silent = true }, { hang_up_after = "1500ms" }]"#).unwrap();
        assert_eq!(
            presses.presses,
            [
                Press::Keys("1234#".to_owned()),
                Press::Silent { _silent: true },
                Press::HangsUp { hang_up_after: Duration::from_millis(1500) },
            ]
        );
    }

    #[test]
    fn callers_are_blocked_by_how_their_numbers_begin() {
        let script = script(
            r#"blocks = [
                { from = "+19195550100", code = 21210 },
                { from = "+1", sip = 608 },
                { sip = 603, after = "9s" },
            ]"#,
        )
        .unwrap();
        for (caller, by, refusal) in [
            ("+19195550100", BlockedBy::Twilio(21210), Some(21210)),
            ("+19195550101", BlockedBy::Network(608, Duration::ZERO), None),
            ("+442079460000", BlockedBy::Network(603, Duration::from_secs(9)), None),
        ] {
            assert_eq!((script.blocked_by(caller), script.refusal(caller)), (Some(by), refusal), "{caller}");
        }
        assert_eq!(Script::parse("test", "").unwrap().blocked_by("+19195550100"), None);
    }

    #[test]
    fn a_script_that_contradicts_itself_or_names_nothing_is_refused() {
        for inside in [
            "busy = true, no_answer = true",
            r#"presses = ["12a"]"#,
            "answer = true",
            "blocks = [{ sip = 608, code = 21210 }]",
            r#"blocks = [{ code = 21210, after = "1s" }]"#,
            r#"blocks = [{ from = "+1" }]"#,
        ] {
            assert!(script(inside).is_err(), "{inside}");
        }
    }
}
