//! What portals ask for: a change of an enrollment, and its next step. Read strictly; which fields a change takes stands in
//! one table, for the reader and the schema.

use core::fmt;

use fleet_domain::{ChallengeId, Change, Channel, DeviceId, PhoneRole, RequestId, Timestamp, UserId};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::parts::{Proof, Sealed};
use crate::asked::NumberMatch;
use crate::form::{Form, Label, Locale, OptionalText, Text, one_of};
use crate::invalid::Fault;
use crate::object::Object;

/// The shortest and the longest time of a bypass, in seconds.
const BYPASS_S: core::ops::RangeInclusive<u16> = 10..=300;

type Words = Label<1, 256>;
type ShortWords = Label<1, 64>;

/// Asks for a change of an enrollment: `data` of `mfa.enrollment.requested.v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = fields_of_changes()))]
pub struct EnrollmentRequest {
    /// The request's id, a UUIDv7 that the portal chooses: 74 random bits, and the time at which it asks.
    /// The same id with the same body is the same request; with another body it is a conflict.
    #[serde(with = "Text::<RequestId>")]
    pub request_id: RequestId,
    /// Whose enrollment.
    #[serde(with = "Text::<UserId>")]
    pub user_id: UserId,
    /// What is to be changed.
    #[schemars(with = "Text<Change>")]
    pub change: Change,
    /// The audience of a user who is new; the portal's only one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<ShortWords>")]
    pub audience: Option<String>,
    /// The method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<Channel>")]
    pub method: Option<Channel>,
    /// Which phone; `primary` if absent, for `phone_test` `backup`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<PhoneRole>")]
    pub phone: Option<PhoneRole>,
    /// Which device; for `device_lost` all of them if absent.
    #[serde(with = "OptionalText::<DeviceId>", default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// Numbers, PIN and answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Sealed")]
    pub sealed: Option<Sealed>,
    /// What proves that the user is the one who asks. A user's first enrollment and operators need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Proof")]
    pub proof: Option<Proof>,
    /// The challenge in which the user could not be reached, or has not answered for a minute.
    #[serde(with = "OptionalText::<ChallengeId>", default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ChallengeId>,
    /// The 2 to 6 digits that the portal shows, which the person keys or types in the test.
    #[serde(with = "OptionalText::<NumberMatch>", default, skip_serializing_if = "Option::is_none")]
    pub number_match: Option<NumberMatch>,
    /// Until when a block holds; until somebody lifts it if absent.
    #[serde(with = "OptionalText::<Timestamp>", default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// For how many seconds a bypass holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "seconds_schema")]
    pub seconds: Option<u16>,
    /// Who asks at the help desk; operators' portals must say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<ShortWords>")]
    pub actor: Option<String>,
    /// Why; operators' portals must say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<Words>")]
    pub reason: Option<String>,
    /// The help desk's number of the case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<ShortWords>")]
    pub ticket: Option<String>,
    /// The locale for prompts and help (BCP 47); the portal's policy decides if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<Locale>")]
    pub locale: Option<String>,
}

/// Fields that every change takes.
const ALWAYS: [&str; 7] = ["request_id", "user_id", "change", "locale", "actor", "reason", "ticket"];

/// The fields of its own that a change must have, and those that it may have.
const fn fields_of(change: Change) -> (&'static [&'static str], &'static [&'static str]) {
    match change {
        Change::Enroll => (&["method"], &["audience", "sealed", "proof", "number_match"]),
        Change::Method => (&["method"], &["sealed", "proof", "number_match"]),
        Change::Phone => (&["sealed"], &["phone", "proof", "number_match"]),
        Change::PhoneRemove | Change::DeviceActivate => (&[], &["proof"]),
        Change::PhoneTest => (&[], &["phone", "number_match"]),
        Change::Pin => (&["sealed"], &["proof", "number_match"]),
        Change::Questions => (&["sealed"], &["proof"]),
        Change::DeviceRevoke => (&["device"], &["proof"]),
        Change::Recovery => (&["after"], &[]),
        Change::Read => (&[], &[]),
        Change::DeviceLost => (&["actor", "reason"], &["device"]),
        Change::Block => (&["actor", "reason"], &["until"]),
        Change::Unblock | Change::Delete => (&["actor", "reason"], &[]),
        Change::Bypass => (&["actor", "reason", "ticket", "seconds"], &[]),
    }
}

/// The same table for the schema: for each change, what must be there and what must not.
fn fields_of_changes() -> Value {
    let rules = Change::ALL.iter().map(|change| {
        let (must, may) = fields_of(*change);
        let taken = |name: &&&str| ALWAYS.contains(*name) || must.contains(*name) || may.contains(*name);
        let absent: serde_json::Map<_, _> = EnrollmentRequest::FIELDS
            .iter()
            .filter(|name| !taken(name))
            .map(|name| ((*name).to_owned(), Value::Bool(false)))
            .collect();
        json!({
            "if": { "properties": { "change": { "const": change.as_str() } } },
            "then": { "required": must, "properties": absent },
        })
    });
    Value::Array(rules.collect())
}

fn seconds_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": BYPASS_S.start(), "maximum": BYPASS_S.end() })
}

impl EnrollmentRequest {
    pub(crate) const FIELDS: &[&str] = &[
        "request_id",
        "user_id",
        "change",
        "audience",
        "method",
        "phone",
        "device",
        "sealed",
        "proof",
        "after",
        "number_match",
        "until",
        "seconds",
        "actor",
        "reason",
        "ticket",
        "locale",
    ];

    /// A request for this change with nothing else in it.
    #[must_use]
    pub const fn new(request_id: RequestId, user_id: UserId, change: Change) -> Self {
        Self {
            request_id,
            user_id,
            change,
            audience: None,
            method: None,
            phone: None,
            device: None,
            sealed: None,
            proof: None,
            after: None,
            number_match: None,
            until: None,
            seconds: None,
            actor: None,
            reason: None,
            ticket: None,
            locale: None,
        }
    }

    pub(crate) fn read(data: &RawValue) -> Result<Self, Fault> {
        let object = Object::read(data.get(), "data")?.only(Self::FIELDS)?;
        let change: Change = object.required("change")?;
        check_fields(&object, change)?;
        let seconds = object.get("seconds").map(|raw| read_seconds(raw, || object.path_of("seconds")));
        Ok(Self {
            request_id: object.required("request_id")?,
            user_id: object.required("user_id")?,
            change,
            audience: object.optional::<ShortWords>("audience")?.map(|text| text.0),
            method: object.optional("method")?,
            phone: object.optional("phone")?,
            device: object.optional("device")?,
            sealed: object
                .get("sealed")
                .map(|raw| Sealed::read(raw, object.path_of("sealed")))
                .transpose()?,
            proof: object.get("proof").map(|raw| Proof::read(raw, object.path_of("proof"))).transpose()?,
            after: object.optional("after")?,
            number_match: object.optional("number_match")?,
            until: object.optional("until")?,
            seconds: seconds.transpose()?,
            actor: object.optional::<ShortWords>("actor")?.map(|text| text.0),
            reason: object.optional::<Words>("reason")?.map(|text| text.0),
            ticket: object.optional::<ShortWords>("ticket")?.map(|text| text.0),
            locale: object.optional::<Locale>("locale")?.map(|locale| locale.0),
        })
    }
}

fn check_fields(object: &Object<'_>, change: Change) -> Result<(), Fault> {
    let (must, may) = fields_of(change);
    for name in EnrollmentRequest::FIELDS {
        let (is_there, must) = (object.get(name).is_some(), must.contains(name));
        let taken = must || may.contains(name) || ALWAYS.contains(name);
        if must && !is_there {
            return Err(Fault::new(object.path_of(name), format!("is required for the change {change}")));
        }
        if is_there && !taken {
            return Err(Fault::new(object.path_of(name), format!("must be absent for the change {change}")));
        }
    }
    Ok(())
}

fn read_seconds(raw: &RawValue, path: impl Fn() -> String) -> Result<u16, Fault> {
    let number: Option<f64> = serde_json::from_str(raw.get()).ok();
    let whole = number.and_then(|number| BYPASS_S.clone().find(|s| f64::from(*s).total_cmp(&number).is_eq()));
    whole.ok_or_else(|| {
        let rule = format!("must be a whole number from {} to {}", BYPASS_S.start(), BYPASS_S.end());
        Fault::new(path(), rule)
    })
}

/// With what a request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum With {
    /// The test, for the first time or once more.
    Test,
    /// The answers to the questions that were asked, in the sealed box.
    Answers,
    /// Another activation code; the one before is void.
    Activation,
    /// Nothing: it is called off.
    Cancel,
}

impl With {
    const ALL: [Self; 4] = [Self::Test, Self::Answers, Self::Activation, Self::Cancel];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Answers => "answers",
            Self::Activation => "activation",
            Self::Cancel => "cancel",
        }
    }
}

impl With {
    /// The field that it must have, and those that it may have, beside the request.
    const fn fields(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Test => (&[], &["number_match"]),
            Self::Answers => (&["sealed"], &[]),
            Self::Activation | Self::Cancel => (&[], &[]),
        }
    }

    /// The same for the schema.
    fn fields_of_all() -> Value {
        let rules = Self::ALL.map(|with| {
            let (must, may) = with.fields();
            let absent: serde_json::Map<_, _> = ["number_match", "sealed"]
                .into_iter()
                .filter(|name| !must.contains(name) && !may.contains(name))
                .map(|name| (name.to_owned(), Value::Bool(false)))
                .collect();
            json!({
                "if": { "properties": { "with": { "const": with.as_str() } } },
                "then": { "required": must, "properties": absent },
            })
        });
        json!(rules)
    }
}

impl Form for With {
    fn rule() -> String {
        one_of(&Self::ALL.map(Self::as_str))
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|with| with.as_str() == text)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "enum": Self::ALL.map(Self::as_str) })
    }
}

/// Carries a request on: `data` of `mfa.enrollment.continued.v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = With::fields_of_all()))]
pub struct EnrollmentContinue {
    /// The request.
    #[serde(with = "Text::<RequestId>")]
    pub request_id: RequestId,
    /// With what it goes on.
    #[schemars(with = "Text<With>")]
    pub with: With,
    /// The digits that the portal shows for the test.
    #[serde(with = "OptionalText::<NumberMatch>", default, skip_serializing_if = "Option::is_none")]
    pub number_match: Option<NumberMatch>,
    /// The answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Sealed")]
    pub sealed: Option<Sealed>,
}

impl EnrollmentContinue {
    pub(crate) const FIELDS: &[&str] = &["request_id", "with", "number_match", "sealed"];

    pub(crate) fn read(data: &RawValue) -> Result<Self, Fault> {
        let object = Object::read(data.get(), "data")?.only(Self::FIELDS)?;
        let with: With = object.required("with")?;
        let (must, may) = with.fields();
        for name in ["number_match", "sealed"] {
            let is_there = object.get(name).is_some();
            if must.contains(&name) && !is_there {
                return Err(Fault::new(object.path_of(name), format!("is required with {}", with.as_str())));
            }
            if is_there && !must.contains(&name) && !may.contains(&name) {
                return Err(Fault::new(
                    object.path_of(name),
                    format!("must be absent with {}", with.as_str()),
                ));
            }
        }
        Ok(Self {
            request_id: object.required("request_id")?,
            with,
            number_match: object.optional("number_match")?,
            sealed: object
                .get("sealed")
                .map(|raw| Sealed::read(raw, object.path_of("sealed")))
                .transpose()?,
        })
    }
}
