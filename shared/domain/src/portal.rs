//! A portal and its policy: what it may ask for, of whom, and what its users are told.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::enrollment::EnrollmentPolicy;
use crate::ids::PortalName;
use crate::phone::PhoneNumber;
use crate::request::{AskedStep, Target};
use crate::words::{Channel, PhoneRole, PinRule, UserVerification};

/// Steps of a workflow.
pub const MAX_STEPS: usize = 5;
/// How many seconds a step of a workflow may last.
pub const STEP_S: core::ops::RangeInclusive<u16> = 5..=300;

/// What calls say: texts by locale (`es-MX`, or `es` for all of its language) and kind.
pub type PromptTexts = BTreeMap<String, BTreeMap<String, String>>;

/// A portal, as operations registered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portal {
    /// Its name: the RabbitMQ user under which it publishes.
    pub name: PortalName,
    /// The organisation's name as the greeting says it and the app shows it.
    pub title: String,
    /// The audiences whose users it may challenge.
    pub audiences: Vec<String>,
    /// What it may ask for and how.
    pub policy: Policy,
}

/// One step of a policy's workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyStep {
    /// The channel, one of the policy's `channels`.
    pub channel: Channel,
    /// Which phone, `primary` or `backup`; `primary` for a push means all devices.
    #[serde(default = "primary")]
    pub target: PhoneRole,
    /// After how many seconds without an answer the next step follows, 5 to 300. A phone rings no longer than that. Without it a
    /// phone rings for `ring_s`, and a push waits for as long as the challenge does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u16>,
}

const fn primary() -> PhoneRole {
    PhoneRole::Primary
}

impl From<&PolicyStep> for AskedStep {
    fn from(step: &PolicyStep) -> Self {
        let target = match step.target {
            PhoneRole::Primary => Target::Primary,
            PhoneRole::Backup => Target::Backup,
        };
        let timeout = step.timeout_s.map(|seconds| Duration::from_secs(seconds.into()));
        Self { channel: step.channel, target, timeout }
    }
}

/// A portal's policy. Stored as JSON; a field that is absent has its default.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The channels that this portal may use.
    pub channels: Vec<Channel>,
    /// The order of channels for challenges whose request leaves it open, at most 5 steps; empty for the user's own method.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workflow: Vec<PolicyStep>,
    /// Whether a push may be approved by a tap alone. Named weak; off unless the portal asks for it.
    pub approve_only: bool,
    /// How an app must make sure of who holds it before it approves; an approval without is denied.
    pub user_verification: UserVerification,
    /// Whether a called person has to key a PIN.
    pub pin: PinRule,
    /// Days after which a PIN counts no more; 0 for never.
    pub pin_days: u16,
    /// Whether a call must be confirmed with the number that the portal shows: a request without one is refused.
    pub call_number_match: bool,
    /// Whether the carrier is to find out if a machine answers, where it can: the person hears silence for so long.
    pub detect_machines: bool,
    /// The numbers that its calls may show (E.164), the preferred one first; those of the destination's country come
    /// before the others. Empty for every number of the carrier.
    pub caller_ids: Vec<String>,
    /// Days that a user is blocked who reports fraud, at most 3650; 0 for not at all.
    pub fraud_block_days: u16,
    /// Seconds until a challenge must be answered when the request does not say, 10 to 600.
    pub answer_within_s: u16,
    /// How long a phone rings, in seconds, 5 to 60.
    pub ring_s: u8,
    /// How often the prompt of a call is played before the call ends for want of a key, 1 to 5.
    pub prompts: u8,
    /// The locale for prompts and help where the request names none (BCP 47).
    pub locale: String,
    /// What to tell a user whose challenge failed, by locale.
    pub help: BTreeMap<String, String>,
    /// What it may change of its users' enrollments, and how.
    pub enrollment: EnrollmentPolicy,
    /// What its calls say in its own words; `fleet-prompts` has the rest, and the rules.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub prompt_texts: PromptTexts,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            channels: alloc::vec![Channel::Voice, Channel::Push],
            workflow: Vec::new(),
            approve_only: false,
            user_verification: UserVerification::Off,
            pin: PinRule::Off,
            pin_days: 0,
            call_number_match: false,
            detect_machines: true,
            caller_ids: Vec::new(),
            fraud_block_days: 90,
            answer_within_s: 120,
            ring_s: 30,
            prompts: 3,
            locale: "en-US".into(),
            help: BTreeMap::new(),
            enrollment: EnrollmentPolicy::default(),
            prompt_texts: PromptTexts::new(),
        }
    }
}

/// A policy breaks one of its own rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy field `{field}` must be {allowed}")]
pub struct InvalidPolicy {
    /// The field.
    pub field: &'static str,
    /// What is allowed.
    pub allowed: &'static str,
}

impl Policy {
    /// Checks every range that the fields promise.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        let numbers = self.caller_ids.iter().all(|number| PhoneNumber::parse(number).is_ok());
        let is_way = |step: &PolicyStep| {
            self.channels.contains(&step.channel)
                && step.timeout_s.is_none_or(|seconds| STEP_S.contains(&seconds))
        };
        let rules = [
            (!self.channels.is_empty(), "channels", "a list of at least one channel"),
            (
                self.workflow.len() <= MAX_STEPS && self.workflow.iter().all(is_way),
                "workflow",
                "at most 5 steps, each by one of `channels`, with a `timeout_s` of 5 to 300 where it has one",
            ),
            (
                numbers,
                "caller_ids",
                "numbers in E.164 form (+19195550100), or empty for all of the carrier's",
            ),
            (self.pin_days <= 3650, "pin_days", "0 to 3650 days"),
            (self.fraud_block_days <= 3650, "fraud_block_days", "0 to 3650 days"),
            ((10..=600).contains(&self.answer_within_s), "answer_within_s", "10 to 600 seconds"),
            ((5..=60).contains(&self.ring_s), "ring_s", "5 to 60 seconds"),
            ((1..=5).contains(&self.prompts), "prompts", "1 to 5"),
            ((2..=35).contains(&self.locale.len()), "locale", "a BCP 47 tag of 2 to 35 characters"),
        ];
        match rules.into_iter().find(|(holds, _, _)| !holds) {
            None => self.enrollment.check(),
            Some((_, field, allowed)) => Err(InvalidPolicy { field, allowed }),
        }
    }

    /// How long a phone rings.
    #[must_use]
    pub fn ring(&self) -> Duration {
        Duration::from_secs(u64::from(self.ring_s))
    }

    /// The help text for a locale: the locale itself, its language, the portal's own locale, any.
    #[must_use]
    pub fn help(&self, locale: &str) -> Option<&str> {
        let language = |tag: &str| tag.split('-').next().map(String::from).unwrap_or_default();
        let find = |tag: &str| {
            self.help.get(tag).or_else(|| {
                let wanted = language(tag);
                self.help.iter().find(|(have, _)| language(have) == wanted).map(|(_, text)| text)
            })
        };
        find(locale).or_else(|| find(&self.locale)).or_else(|| self.help.values().next()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_falls_back_from_locale_to_language_to_the_portals_own() {
        let mut policy = Policy::default();
        policy.help.insert("en-US".into(), "call the help desk".into());
        policy.help.insert("es".into(), "llame".into());
        assert_eq!(policy.help("es-MX"), Some("llame"));
        assert_eq!(policy.help("fr-FR"), Some("call the help desk"));
        assert_eq!(Policy::default().help("fr-FR"), None);
    }

    #[test]
    fn a_policy_out_of_range_names_its_field() {
        let policy = Policy { ring_s: 90, ..Policy::default() };
        assert_eq!(policy.check().unwrap_err().field, "ring_s");
        let policy = Policy { caller_ids: alloc::vec!["9195550100".into()], ..Policy::default() };
        assert_eq!(policy.check().unwrap_err().field, "caller_ids");
        assert_eq!(Policy::default().check(), Ok(()));
    }

    #[test]
    fn a_workflow_has_at_most_five_steps_by_the_portals_channels_each_of_5_to_300_seconds() {
        let step = |channel, timeout_s| PolicyStep { channel, target: PhoneRole::Primary, timeout_s };
        let push = step(Channel::Push, Some(30));
        for (workflow, good) in [
            (alloc::vec![], true),
            (alloc::vec![push, step(Channel::Voice, None)], true),
            (alloc::vec![push; MAX_STEPS], true),
            (alloc::vec![push; MAX_STEPS + 1], false),
            (alloc::vec![push, step(Channel::Totp, None)], false),
            (alloc::vec![step(Channel::Push, Some(5)), step(Channel::Push, Some(300))], true),
            (alloc::vec![step(Channel::Push, Some(4))], false),
            (alloc::vec![step(Channel::Push, Some(301))], false),
        ] {
            let policy = Policy { workflow, ..Policy::default() };
            let field = policy.check().err().map(|invalid| invalid.field);
            assert_eq!(field, (!good).then_some("workflow"), "{:?}", policy.workflow);
        }
    }
}
