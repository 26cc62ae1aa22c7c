//! The outcome: what became of a challenge, as a document that portals poll in Redis and get as an event.
//!
//! It is a function of the challenge's version and the portal's help texts alone, so that whoever writes a
//! version writes the same bytes.

use fleet_domain::{
    Alternative, Assurance, Attempt, AttemptState, CallerId, CallerIdStep, Challenge, ChallengeId,
    ChallengeResult, Channel, Detection, PhoneRole, Portal, PortalName, Progress, Purpose, Reason, Skipped,
    Step, Target, Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::form::{OptionalText, Text, not_null};

/// What became of a challenge, in one version of its row.
///
/// `seq` is the first field in the JSON text, where the script in Redis that keeps the highest one reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// The version of the challenge's row, from 1: readers keep the document with the highest.
    #[schemars(range(min = 1))]
    pub seq: u32,
    /// What became of the challenge; everything but `pending` is final.
    #[schemars(with = "Text<ChallengeResult>")]
    pub result: ChallengeResult,
    /// How far it has come, to be shown to the person.
    #[schemars(with = "Text<Progress>")]
    pub progress: Progress,
    /// Why it ended; absent while it is pending.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<Reason>")]
    pub reason: Option<Reason>,
    /// After how many seconds a new challenge may fare better; only where it was `throttled`.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1))]
    pub retry_after_s: Option<u32>,
    /// How strong the proof was; only where it was approved.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<Assurance>")]
    pub assurance: Option<Assurance>,
    /// What it is for.
    #[schemars(with = "Text<Purpose>")]
    pub purpose: Purpose,
    /// The challenge.
    #[serde(with = "Text::<ChallengeId>")]
    pub challenge_id: ChallengeId,
    /// The portal that asked for it.
    #[serde(with = "Text::<PortalName>")]
    pub portal: PortalName,
    /// All attempts, oldest first.
    pub attempts: Vec<AttemptReport>,
    /// The steps that were asked for and left out, because this user cannot go them; absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedReport>,
    /// The caller ID of the last call; absent while there was none.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CallerIdReport")]
    pub caller_id: Option<CallerIdReport>,
    /// What the person could try instead, each as a new challenge.
    pub alternatives: Vec<AlternativeReport>,
    /// What the portal wants a person to be told whose challenge was denied, failed or expired.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub help: Option<String>,
    /// When the answer must be there.
    #[serde(with = "Text::<Timestamp>")]
    pub answer_by: Timestamp,
    /// Until when this document can be read.
    #[serde(with = "Text::<Timestamp>")]
    pub collect_by: Timestamp,
    /// After how many milliseconds to look again; 0 when nothing more will change.
    pub poll_after_ms: u32,
}

/// One attempt: one call, one push to the person's devices, or one wait for a code. Times that it has not come to are absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct AttemptReport {
    /// Its number within the challenge, from 1.
    #[schemars(range(min = 1))]
    pub number: u8,
    /// Its channel.
    #[schemars(with = "Text<Channel>")]
    pub channel: Channel,
    /// Which phone, or which one device; `primary` for all of them.
    #[serde(with = "Text::<Target>")]
    pub target: Target,
    /// The number that was called, its middle hidden.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub to: Option<String>,
    /// The caller ID of the call.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SentCallerId")]
    pub caller_id: Option<SentCallerId>,
    /// What is known of machine detection; absent for a call in which it found none.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<Detection>")]
    pub amd: Option<Detection>,
    /// Where it stands.
    #[schemars(with = "Text<AttemptState>")]
    pub state: AttemptState,
    /// How it ended.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<Reason>")]
    pub reason: Option<Reason>,
    /// The provider's own code.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub provider_code: Option<u32>,
    /// The SIP status of the call.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u16")]
    pub sip_status: Option<u16>,
    /// Whether the push was sent once more; absent where it was not.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub resent: bool,
    /// When its place was kept.
    #[serde(with = "Text::<Timestamp>")]
    pub reserved_at: Timestamp,
    /// When the provider took it.
    #[serde(with = "OptionalText::<Timestamp>", default, skip_serializing_if = "Option::is_none")]
    pub placed_at: Option<Timestamp>,
    /// When the phone rang, or the app showed the challenge.
    #[serde(with = "OptionalText::<Timestamp>", default, skip_serializing_if = "Option::is_none")]
    pub ringing_at: Option<Timestamp>,
    /// When it was answered.
    #[serde(with = "OptionalText::<Timestamp>", default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// When it was over.
    #[serde(with = "OptionalText::<Timestamp>", default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How many of the codes that were typed for it were wrong; absent while none was.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u8", range(min = 1))]
    pub wrong_codes: Option<u8>,
    /// How long the call lasted, in seconds.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub duration_s: Option<u32>,
}

/// The caller ID that a call was placed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct SentCallerId {
    /// The number that was sent, one of the fleet's own.
    pub sent: String,
    /// The step of the caller-ID plan that chose it.
    #[schemars(with = "Text<CallerIdStep>")]
    pub step: CallerIdStep,
}

/// The caller ID of a challenge's last call, and what it is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct CallerIdReport {
    /// The number that was sent, one of the fleet's own.
    pub sent: String,
    /// The step of the caller-ID plan that chose it.
    #[schemars(with = "Text<CallerIdStep>")]
    pub step: CallerIdStep,
    /// Always false: a carrier on the way may have changed or hidden it.
    #[schemars(extend("const" = false))]
    pub guaranteed: bool,
}

/// A step that was left out when the challenge was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct SkippedReport {
    /// By which channel.
    #[schemars(with = "Text<Channel>")]
    pub channel: Channel,
    /// To which phone or device.
    #[serde(with = "Text::<Target>")]
    pub target: Target,
    /// Why the user cannot go it.
    #[schemars(with = "Text<Reason>")]
    pub reason: Reason,
}

/// Something that the person could try instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct AlternativeReport {
    /// By which channel.
    #[schemars(with = "Text<Channel>")]
    pub channel: Channel,
    /// To which phone or device.
    #[serde(with = "Text::<Target>")]
    pub target: Target,
}

impl Outcome {
    /// What is to be told of this version of the challenge.
    #[must_use]
    pub fn of(challenge: &Challenge, portal: &Portal) -> Self {
        let Challenge { key, version, request, live } = challenge;
        let result = challenge.result();
        let progress = challenge.progress();
        let last_call = live.attempts.iter().rev().find_map(|attempt| attempt.caller_id.as_ref());
        Self {
            seq: *version,
            result,
            progress,
            reason: live.end.as_ref().map(|end| end.reason),
            retry_after_s: live.end.as_ref().and_then(|end| end.retry_after_s),
            assurance: live.end.as_ref().and_then(|end| end.assurance),
            purpose: request.purpose,
            challenge_id: key.id,
            portal: key.portal.clone(),
            attempts: live.attempts.iter().map(|attempt| AttemptReport::of(attempt, challenge)).collect(),
            skipped: request.skipped.iter().map(SkippedReport::from).collect(),
            caller_id: last_call.map(CallerIdReport::from),
            alternatives: request.alternatives.iter().map(AlternativeReport::from).collect(),
            help: if needs_help(result) {
                portal.policy.help(&request.locale).map(str::to_owned)
            } else {
                None
            },
            answer_by: request.answer_by,
            collect_by: request.collect_by,
            poll_after_ms: poll_after_ms(progress),
        }
    }

    /// The document as it stands in Redis; it begins with `{"seq":`.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of them: there is nothing in it that JSON cannot say.
        serde_json::to_string(self).unwrap_or_else(|_| unreachable!("outcomes are plain data"))
    }

    /// Reads a document; `None` for what is none, or has a word that this version does not know.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

const fn needs_help(result: ChallengeResult) -> bool {
    match result {
        ChallengeResult::Denied | ChallengeResult::Expired | ChallengeResult::Failed => true,
        ChallengeResult::Pending | ChallengeResult::Approved | ChallengeResult::Canceled => false,
    }
}

/// After how many milliseconds a portal should look again: sooner while the person has it in the hand.
#[must_use]
pub const fn poll_after_ms(progress: Progress) -> u32 {
    match progress {
        Progress::Ringing
        | Progress::Answered
        | Progress::DialingExtension
        | Progress::AwaitingInput
        | Progress::AwaitingCode
        | Progress::Pushed
        | Progress::Opened => 500,
        Progress::Queued
        | Progress::Dialing
        | Progress::Pushing
        | Progress::PushFailed
        | Progress::FallingBack => 1_000,
        Progress::Ended => 0,
    }
}

impl AttemptReport {
    fn of(attempt: &Attempt, challenge: &Challenge) -> Self {
        let time = |ms: Option<u32>| ms.map(|ms| challenge.time_of(ms));
        let (target, to) = match challenge.request.steps.get(usize::from(attempt.step)) {
            Some(Step::Voice { phone, .. }) => (target_of(phone.role), Some(phone.masked.clone())),
            Some(Step::Push { device: Some(device), .. } | Step::Totp { device: Some(device), .. }) => {
                (Target::Device(*device), None)
            }
            Some(Step::Push { device: None, .. } | Step::Totp { device: None, .. }) | None => {
                (Target::Primary, None)
            }
        };
        Self {
            number: attempt.number,
            channel: attempt.channel,
            target,
            to,
            caller_id: attempt.caller_id.as_ref().map(SentCallerId::from),
            amd: detection(attempt, challenge),
            state: attempt.state,
            reason: attempt.reason,
            provider_code: attempt.provider_code,
            sip_status: attempt.sip,
            resent: attempt.channel == Channel::Push && attempt.rounds > 1,
            reserved_at: challenge.time_of(attempt.reserved_ms),
            placed_at: time(attempt.placed_ms),
            ringing_at: time(attempt.ringing_ms),
            answered_at: time(attempt.answered_ms),
            ended_at: time(attempt.ended_ms),
            wrong_codes: u8::try_from(attempt.wrong_codes()).ok().filter(|wrong| *wrong > 0),
            duration_s: attempt.duration_s,
        }
    }
}

fn detection(attempt: &Attempt, challenge: &Challenge) -> Option<Detection> {
    match challenge.request.steps.get(usize::from(attempt.step)) {
        Some(Step::Voice { phone, .. }) if phone.has_extension => Some(Detection::Unavailable),
        Some(Step::Voice { .. }) if attempt.reason == Some(Reason::Voicemail) => Some(Detection::Machine),
        Some(Step::Voice { .. } | Step::Push { .. } | Step::Totp { .. }) | None => None,
    }
}

const fn target_of(role: PhoneRole) -> Target {
    match role {
        PhoneRole::Primary => Target::Primary,
        PhoneRole::Backup => Target::Backup,
    }
}

impl From<&CallerId> for SentCallerId {
    fn from(caller_id: &CallerId) -> Self {
        Self { sent: caller_id.number.clone(), step: caller_id.step }
    }
}

impl From<&CallerId> for CallerIdReport {
    fn from(caller_id: &CallerId) -> Self {
        Self { sent: caller_id.number.clone(), step: caller_id.step, guaranteed: false }
    }
}

impl From<&Skipped> for SkippedReport {
    fn from(skipped: &Skipped) -> Self {
        Self { channel: skipped.channel, target: skipped.target, reason: skipped.reason }
    }
}

impl From<&Alternative> for AlternativeReport {
    fn from(alternative: &Alternative) -> Self {
        Self { channel: alternative.channel, target: alternative.target }
    }
}

#[cfg(test)]
mod tests;
