//! What portals ask for: a challenge, and its end; and the codes that are typed into them. All are read strictly: an unknown field is a mistake
//! that its sender should hear of, not one to pass over.

use core::fmt;
use core::time::Duration;

use fleet_domain::{
    Ask, AskedStep, ChallengeId, ChallengeKey, Channel, Context, MAX_STEPS, PortalName, Purpose, STEP_S,
    Target, Timestamp, UserId,
};
use schemars::{JsonSchema, Schema, json_schema};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::context::{self, ContextForm};
use crate::form::{Form, Locale, OptionalText, Text};
use crate::invalid::Fault;
use crate::object::Object;

/// Asks for a challenge: `data` of `mfa.challenge.requested.v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    /// The challenge's id, a UUIDv7 that the portal chooses: 74 random bits, and the time at which it asks.
    /// The same id with the same body is the same challenge; with another body it is a conflict.
    #[serde(with = "Text::<ChallengeId>")]
    pub challenge_id: ChallengeId,
    /// Whom to challenge.
    #[serde(with = "Text::<UserId>")]
    pub user_id: UserId,
    /// What for; `sign_in` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<Purpose>")]
    pub purpose: Option<Purpose>,
    /// Which phone, or which one device; `primary` if absent, which for a push means all devices.
    #[serde(with = "OptionalText::<Target>", default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The order of channels to try, at most 5; the routing key decides if absent, and under `challenge.default` the portal's
    /// policy, then the user's method.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_STEPS))]
    pub workflow: Vec<WorkflowStep>,
    /// The 2 to 6 digits that the portal shows and the person keys or types.
    #[serde(with = "OptionalText::<NumberMatch>", default, skip_serializing_if = "Option::is_none")]
    pub number_match: Option<NumberMatch>,
    /// When the answer must be there; the portal's policy decides if absent.
    #[serde(with = "OptionalText::<Timestamp>", default, skip_serializing_if = "Option::is_none")]
    pub answer_by: Option<Timestamp>,
    /// What the portal tells about the sign-in.
    #[serde(with = "ContextForm", default, skip_serializing_if = "is_empty")]
    pub context: Context,
    /// The locale for prompts and help (BCP 47); the portal's policy decides if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<Locale>")]
    pub locale: Option<String>,
}

/// One step of the order of channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct WorkflowStep {
    /// The channel.
    #[schemars(with = "Text<Channel>")]
    pub channel: Channel,
    /// Which phone, or which one device; `primary` if absent.
    #[serde(with = "OptionalText::<Target>", default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// After how many seconds without an answer the next step follows; a phone rings no longer than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "timeout_schema")]
    pub timeout_s: Option<u16>,
}

/// The digits that the portal shows. `Debug` masks them.
#[derive(Clone, PartialEq, Eq)]
pub struct NumberMatch(String);

/// Brings what a person has typed into the portal: `data` of `mfa.challenge.code_entered.v1`. Each message with an `id` of its
/// own is a try; the same message again is the same try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeEntered {
    /// The challenge, whose outcome says `awaiting_code`.
    #[serde(with = "Text::<ChallengeId>")]
    pub challenge_id: ChallengeId,
    /// The 6 to 8 digits, without the blanks that people type between them.
    #[serde(with = "Text::<OneTimeCode>")]
    pub code: OneTimeCode,
}

/// A code that a person has typed: one of the app's, or one that a call has read out. `Debug` masks it.
#[derive(Clone, PartialEq, Eq)]
pub struct OneTimeCode(String);

/// Calls a challenge off: `data` of `mfa.challenge.cancel_requested.v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// The challenge.
    #[serde(with = "Text::<ChallengeId>")]
    pub challenge_id: ChallengeId,
}

/// Has a challenge's push sent once more: `data` of `mfa.challenge.resend_requested.v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResendRequest {
    /// The challenge.
    #[serde(with = "Text::<ChallengeId>")]
    pub challenge_id: ChallengeId,
}

fn is_empty(context: &Context) -> bool {
    *context == Context::default()
}

fn timeout_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": STEP_S.start(), "maximum": STEP_S.end() })
}

impl NumberMatch {
    /// Checks the digits and wraps them; `None` unless they are 2 to 6 of `0` to `9`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let right = (2..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        right.then(|| Self(text.to_owned()))
    }

    /// The digits, to be shown by the portal or to be hashed, and for nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl OneTimeCode {
    /// Checks the digits and wraps them; `None` unless they are 6 to 8 of `0` to `9`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let right = (6..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        right.then(|| Self(text.to_owned()))
    }

    /// The same of what a person has typed: blanks and hyphens between the digits are passed over.
    #[must_use]
    pub fn parse_typed(text: &str) -> Option<Self> {
        Self::parse(&text.replace([' ', '-', '\u{a0}'], ""))
    }

    /// The digits, to be compared and for nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OneTimeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeCode(***)")
    }
}

impl Form for OneTimeCode {
    fn rule() -> String {
        "must be text of 6 to 8 digits".into()
    }

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{6,8}$" })
    }
}

impl fmt::Debug for NumberMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NumberMatch(***)")
    }
}

impl Form for NumberMatch {
    fn rule() -> String {
        "must be text of 2 to 6 digits".into()
    }

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{2,6}$" })
    }
}

impl ChallengeRequest {
    pub(crate) const FIELDS: &[&str] = &[
        "challenge_id",
        "user_id",
        "purpose",
        "target",
        "workflow",
        "number_match",
        "answer_by",
        "context",
        "locale",
    ];

    /// A request that leaves everything but the user to the portal's policy and the user's method.
    #[must_use]
    pub fn new(challenge_id: ChallengeId, user_id: UserId) -> Self {
        Self {
            challenge_id,
            user_id,
            purpose: None,
            target: None,
            workflow: Vec::new(),
            number_match: None,
            answer_by: None,
            context: Context::default(),
            locale: None,
        }
    }

    /// The request as the domain takes it. `channel` is that of the routing key, `body_hash` the hash of
    /// [`canonical`](crate::canonical) `data` and `hash_number` that of the digits, both under a key of the fleet.
    #[must_use]
    pub fn into_ask(
        self,
        portal: PortalName,
        channel: Option<Channel>,
        body_hash: [u8; 32],
        hash_number: impl Fn(&str) -> [u8; 16],
    ) -> Ask {
        Ask {
            key: ChallengeKey { id: self.challenge_id, portal },
            user: self.user_id,
            purpose: self.purpose.unwrap_or(Purpose::SignIn),
            channel,
            target: self.target.unwrap_or_default(),
            workflow: self.workflow.into_iter().map(AskedStep::from).collect(),
            number_match: self.number_match.map(|digits| hash_number(digits.reveal())),
            answer_by: self.answer_by,
            locale: self.locale,
            context: self.context,
            body_hash,
        }
    }

    pub(crate) fn read(data: &RawValue) -> Result<Self, Fault> {
        let object = Object::read(data.get(), "data")?.only(Self::FIELDS)?;
        Ok(Self {
            challenge_id: object.required("challenge_id")?,
            user_id: object.required("user_id")?,
            purpose: object.optional("purpose")?,
            target: object.optional("target")?,
            workflow: match object.get("workflow") {
                None => Vec::new(),
                Some(raw) => read_workflow(raw, &object.path_of("workflow"))?,
            },
            number_match: object.optional("number_match")?,
            answer_by: object.optional("answer_by")?,
            context: match object.get("context") {
                None => Context::default(),
                Some(raw) => context::read(raw, &object.path_of("context"))?,
            },
            locale: object.optional::<Locale>("locale")?.map(|locale| locale.0),
        })
    }
}

fn read_workflow(raw: &RawValue, path: &str) -> Result<Vec<WorkflowStep>, Fault> {
    let steps: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| Fault::new(path, "must be a list of steps"))?;
    if steps.len() > MAX_STEPS {
        return Err(Fault::new(path, format!("must have at most {MAX_STEPS} steps")));
    }
    let read = |(at, raw): (usize, &&RawValue)| WorkflowStep::read(raw, format!("{path}[{at}]"));
    steps.iter().enumerate().map(read).collect()
}

impl WorkflowStep {
    fn read(raw: &RawValue, path: String) -> Result<Self, Fault> {
        let object = Object::read(raw.get(), path)?.only(&["channel", "target", "timeout_s"])?;
        let timeout_s = match object.get("timeout_s") {
            None => None,
            Some(raw) => Some(seconds(raw).ok_or_else(|| {
                let rule = format!("must be a whole number from {} to {}", STEP_S.start(), STEP_S.end());
                Fault::new(object.path_of("timeout_s"), rule)
            })?),
        };
        Ok(Self { channel: object.required("channel")?, target: object.optional("target")?, timeout_s })
    }
}

/// A whole number of seconds in the range of a step's timeout. `30.0` is whole to JSON Schema and to RFC
/// 8785, so it is here.
fn seconds(raw: &RawValue) -> Option<u16> {
    let number: f64 = serde_json::from_str(raw.get()).ok()?;
    STEP_S.into_iter().find(|whole| f64::from(*whole).total_cmp(&number).is_eq())
}

impl From<WorkflowStep> for AskedStep {
    fn from(step: WorkflowStep) -> Self {
        Self {
            channel: step.channel,
            target: step.target.unwrap_or_default(),
            timeout: step.timeout_s.map(|seconds| Duration::from_secs(seconds.into())),
        }
    }
}

impl CodeEntered {
    pub(crate) const FIELDS: &[&str] = &["challenge_id", "code"];

    pub(crate) fn read(data: &RawValue) -> Result<Self, Fault> {
        let object = Object::read(data.get(), "data")?.only(Self::FIELDS)?;
        Ok(Self { challenge_id: object.required("challenge_id")?, code: object.required("code")? })
    }
}

impl CancelRequest {
    pub(crate) const FIELDS: &[&str] = &["challenge_id"];

    pub(crate) fn read(data: &RawValue) -> Result<Self, Fault> {
        let object = Object::read(data.get(), "data")?.only(Self::FIELDS)?;
        Ok(Self { challenge_id: object.required("challenge_id")? })
    }
}

impl ResendRequest {
    pub(crate) const FIELDS: &[&str] = &["challenge_id"];

    pub(crate) fn read(data: &RawValue) -> Result<Self, Fault> {
        let object = Object::read(data.get(), "data")?.only(Self::FIELDS)?;
        Ok(Self { challenge_id: object.required("challenge_id")? })
    }
}
