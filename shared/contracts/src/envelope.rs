//! Messages as they stand on the broker: CloudEvents 1.0 in structured JSON, one type of `data` for each type
//! of event. Reading is two steps: the envelope, with `data` unread; then `data`, by its type.

use core::fmt;

use fleet_domain::{PortalName, Timestamp};
use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::asked::{CancelRequest, ChallengeRequest, CodeEntered, ResendRequest};
use crate::enrollment::{EnrollmentChanged, EnrollmentContinue, EnrollmentRefusedEvent, EnrollmentRequest};
use crate::form::{Form, JsonContent, Label, OptionalText, SpecVersion, Traceparent};
use crate::invalid::{Fault, Invalid};
use crate::object::Object;
use crate::owed::Owed;
use crate::told::{self, ChallengeRefused, FraudReported, Resolved};

/// The `source` of events that the fleet itself publishes.
pub const FLEET_SOURCE: &str = "/mfa/fleet";

/// The attributes that are read; all others are extensions, which are passed over.
pub(crate) const FIELDS: &[&str] =
    &["specversion", "id", "source", "type", "time", "subject", "datacontenttype", "traceparent", "data"];

type Attribute = Label<1, 256>;

/// Declares the types of events: their name, the variant of their `data`, its fields.
macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident($data:ty, $fields:ident) = $text:literal,)+) => {
        /// What a message is about. The number at the end of its text is the version of its `data`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventType { $($(#[$doc])* $variant,)+ }

        impl EventType {
            /// Every type of event.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The CloudEvents attribute `type`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The type with this text, if this version of the contracts has it.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }

            /// The fields of its `data`.
            pub(crate) const fn fields(self) -> &'static [&'static str] {
                match self { $(Self::$variant => $fields::FIELDS,)+ }
            }
        }

        /// `data`, by the type of its event.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Message { $($(#[$doc])* $variant($data),)+ }

        impl Message {
            /// The type of event that it is the `data` of.
            #[must_use]
            pub const fn event_type(&self) -> EventType {
                match self { $(Self::$variant(_) => EventType::$variant,)+ }
            }
        }
    };
}

event_types! {
    /// A portal asks for a challenge.
    ChallengeRequested(ChallengeRequest, ChallengeRequest) = "mfa.challenge.requested.v1",
    /// A portal calls a challenge off.
    CancelRequested(CancelRequest, CancelRequest) = "mfa.challenge.cancel_requested.v1",
    /// A person has typed a code into the portal.
    CodeEntered(CodeEntered, CodeEntered) = "mfa.challenge.code_entered.v1",
    /// A portal has a challenge's push sent once more.
    ResendRequested(ResendRequest, ResendRequest) = "mfa.challenge.resend_requested.v1",
    /// A challenge has ended.
    ChallengeResolved(Box<Resolved>, Resolved) = "mfa.challenge.resolved.v1",
    /// A request was refused before a challenge existed.
    ChallengeRefused(ChallengeRefused, ChallengeRefused) = "mfa.challenge.refused.v1",
    /// A person reported fraud.
    FraudReported(FraudReported, FraudReported) = "mfa.fraud.reported.v1",
    /// A portal asks for a change of an enrollment.
    EnrollmentRequested(Box<EnrollmentRequest>, EnrollmentRequest) = "mfa.enrollment.requested.v1",
    /// A portal carries a request on: its test again, its answers, or its end.
    EnrollmentContinued(EnrollmentContinue, EnrollmentContinue) = "mfa.enrollment.continued.v1",
    /// An enrollment has changed.
    EnrollmentChanged(Box<EnrollmentChanged>, EnrollmentChanged) = "mfa.enrollment.changed.v1",
    /// A request to change an enrollment was refused before it existed.
    EnrollmentRefused(EnrollmentRefusedEvent, EnrollmentRefusedEvent) = "mfa.enrollment.refused.v1",
    /// A test of an enrollment has ended. Inside the fleet only.
    TestEnded(Owed, Owed) = "mfa.enrollment.test_ended.v1",
    /// A call is owed. Inside the fleet only.
    DialOwed(Owed, Owed) = "mfa.voice.dial_owed.v1",
    /// The end of a call is owed. Inside the fleet only.
    HangUpOwed(Owed, Owed) = "mfa.voice.hang_up_owed.v1",
    /// A push is owed. Inside the fleet only.
    SendOwed(Owed, Owed) = "mfa.push.send_owed.v1",
}

impl EventType {
    /// What the fleet tells portals with it: the routing key of `mfa.events` after the portal's name. `None` for what is
    /// no event to them.
    #[must_use]
    pub const fn told_as(self) -> Option<&'static str> {
        match self {
            Self::ChallengeResolved => Some("challenge.resolved"),
            Self::ChallengeRefused => Some("challenge.refused"),
            Self::FraudReported => Some("fraud.reported"),
            Self::EnrollmentChanged => Some("enrollment.changed"),
            Self::EnrollmentRefused => Some("enrollment.refused"),
            Self::ChallengeRequested
            | Self::CancelRequested
            | Self::CodeEntered
            | Self::ResendRequested
            | Self::EnrollmentRequested
            | Self::EnrollmentContinued
            | Self::TestEnded
            | Self::DialOwed
            | Self::HangUpOwed
            | Self::SendOwed => None,
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One message with its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event's id, 1 to 256 characters: two messages of one source and id are the same event.
    pub id: String,
    /// Who made it, 1 to 256 characters. A name for people: who may do what follows from the broker's user.
    pub source: String,
    /// When it happened, by its sender's clock.
    pub time: Option<Timestamp>,
    /// What it is about, 1 to 256 characters.
    pub subject: Option<String>,
    /// The W3C trace context that it belongs to.
    pub traceparent: Option<String>,
    /// Its `data`.
    pub message: Message,
}

/// A message as it was read.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// The event.
    pub event: Event,
    /// Its `data` as it was sent, for [`canonical`](crate::canonical).
    pub data: &'a RawValue,
}

/// The id of the event that tells what became of a challenge in this version of its row: the same for every
/// process that publishes it, so that a doubled event can be told from two. Refusals are of version 0.
#[must_use]
pub fn event_id(portal: &PortalName, challenge_id: impl fmt::Display, version: u32) -> String {
    format!("{portal}/{challenge_id}/{version}")
}

impl Event {
    /// An event without subject and trace.
    #[must_use]
    pub fn new(id: String, source: &str, time: Timestamp, message: Message) -> Self {
        Self { id, source: source.to_owned(), time: Some(time), subject: None, traceparent: None, message }
    }

    /// The body of the message, UTF-8 JSON of media type `application/cloudevents+json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of them: there is nothing in it that JSON cannot say.
        serde_json::to_string(self).unwrap_or_else(|_| unreachable!("events are plain data"))
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Attributes<'a> {
            specversion: &'a str,
            id: &'a str,
            source: &'a str,
            r#type: &'a str,
            #[serde(with = "OptionalText::<Timestamp>", skip_serializing_if = "Option::is_none")]
            time: Option<Timestamp>,
            #[serde(skip_serializing_if = "Option::is_none")]
            subject: Option<&'a str>,
            datacontenttype: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            traceparent: Option<&'a str>,
            data: &'a Message,
        }
        Attributes {
            specversion: "1.0",
            id: &self.id,
            source: &self.source,
            r#type: self.message.event_type().as_str(),
            time: self.time,
            subject: self.subject.as_deref(),
            datacontenttype: "application/json",
            traceparent: self.traceparent.as_deref(),
            data: &self.message,
        }
        .serialize(s)
    }
}

/// Reads a message of any type.
pub fn parse(bytes: &[u8]) -> Result<Envelope<'_>, Invalid> {
    read(bytes).map_err(|fault| fault.in_body(bytes))
}

fn read(bytes: &[u8]) -> Result<Envelope<'_>, Fault> {
    let text = str::from_utf8(bytes).map_err(|_| Fault::new("body", "must be UTF-8"))?;
    let object = Object::read(text, "")?;
    let SpecVersion = object.required("specversion")?;
    let event_type: EventType = object.required("type")?;
    let id = object.required::<Attribute>("id")?;
    let source = object.required::<Attribute>("source")?;
    let time = object.optional("time")?;
    let subject = object.optional::<Attribute>("subject")?;
    object.optional::<JsonContent>("datacontenttype")?;
    let traceparent = object.optional::<Traceparent>("traceparent")?;
    let data = object.require("data")?;
    let event = Event {
        id: id.0,
        source: source.0,
        time,
        subject: subject.map(|text| text.0),
        traceparent: traceparent.map(|text| text.0),
        message: read_data(event_type, data)?,
    };
    Ok(Envelope { event, data })
}

fn read_data(event_type: EventType, data: &RawValue) -> Result<Message, Fault> {
    Ok(match event_type {
        EventType::ChallengeRequested => Message::ChallengeRequested(ChallengeRequest::read(data)?),
        EventType::CancelRequested => Message::CancelRequested(CancelRequest::read(data)?),
        EventType::CodeEntered => Message::CodeEntered(CodeEntered::read(data)?),
        EventType::ResendRequested => Message::ResendRequested(ResendRequest::read(data)?),
        EventType::ChallengeResolved => Message::ChallengeResolved(Box::new(told::read(data)?)),
        EventType::ChallengeRefused => Message::ChallengeRefused(told::read(data)?),
        EventType::FraudReported => Message::FraudReported(told::read(data)?),
        EventType::EnrollmentRequested => {
            Message::EnrollmentRequested(Box::new(EnrollmentRequest::read(data)?))
        }
        EventType::EnrollmentContinued => Message::EnrollmentContinued(EnrollmentContinue::read(data)?),
        EventType::EnrollmentChanged => Message::EnrollmentChanged(Box::new(told::read(data)?)),
        EventType::EnrollmentRefused => Message::EnrollmentRefused(told::read(data)?),
        EventType::TestEnded => Message::TestEnded(Owed::read(data)?),
        EventType::DialOwed => Message::DialOwed(Owed::read(data)?),
        EventType::HangUpOwed => Message::HangUpOwed(Owed::read(data)?),
        EventType::SendOwed => Message::SendOwed(Owed::read(data)?),
    })
}

/// The schema of a whole message: the envelope, and under it the schema of `data` for each type.
pub(crate) fn schema(data_file: impl Fn(EventType) -> &'static str) -> Schema {
    let by_type: Vec<_> = EventType::ALL
        .iter()
        .map(|event_type| {
            json_schema!({
                "if": { "properties": { "type": { "const": event_type.as_str() } } },
                "then": { "properties": { "data": { "$ref": data_file(*event_type) } } },
            })
        })
        .collect();
    json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event",
        "description": "One message: a CloudEvent 1.0 in structured JSON. Other attributes are extensions, which are passed over.",
        "type": "object",
        "properties": {
            "specversion": SpecVersion::schema(),
            "id": Attribute::schema(),
            "source": Attribute::schema(),
            "type": EventType::schema(),
            "time": Timestamp::schema(),
            "subject": Attribute::schema(),
            "datacontenttype": JsonContent::schema(),
            "traceparent": Traceparent::schema(),
            "data": { "type": "object" },
        },
        "required": ["specversion", "id", "source", "type", "data"],
        "allOf": by_type,
    })
}
