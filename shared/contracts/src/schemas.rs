//! The JSON Schemas (draft 2020-12) of everything on the wire, made from the types that read and write it.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::asked::{CancelRequest, ChallengeRequest, CodeEntered, ResendRequest};
use crate::enrollment::{
    EnrollmentChanged, EnrollmentContinue, EnrollmentOutcome, EnrollmentRefusedEvent, EnrollmentRequest,
    Secrets,
};
use crate::envelope::{self, EventType};
use crate::outcome::Outcome;
use crate::owed::Owed;
use crate::told::{ChallengeRefused, FraudReported, Resolved};

/// Every schema: the name of its file in `schemas/`, and its text. They refer to each other by these names.
#[must_use]
pub fn schemas() -> Vec<(&'static str, String)> {
    [
        ("event.json", envelope::schema(data_file)),
        (data_file(EventType::ChallengeRequested), of::<ChallengeRequest>()),
        (data_file(EventType::CancelRequested), of::<CancelRequest>()),
        (data_file(EventType::CodeEntered), of::<CodeEntered>()),
        (data_file(EventType::ResendRequested), of::<ResendRequest>()),
        (data_file(EventType::ChallengeResolved), of::<Resolved>()),
        (data_file(EventType::ChallengeRefused), of::<ChallengeRefused>()),
        (data_file(EventType::FraudReported), of::<FraudReported>()),
        (data_file(EventType::DialOwed), of::<Owed>()),
        (data_file(EventType::EnrollmentRequested), of::<EnrollmentRequest>()),
        (data_file(EventType::EnrollmentContinued), of::<EnrollmentContinue>()),
        (data_file(EventType::EnrollmentChanged), of::<EnrollmentChanged>()),
        (data_file(EventType::EnrollmentRefused), of::<EnrollmentRefusedEvent>()),
        ("enrollment-secrets.json", of::<Secrets>()),
        ("enrollment-outcome.json", of::<EnrollmentOutcome>()),
        ("outcome.json", of::<Outcome>()),
    ]
    .into_iter()
    .map(|(file, schema)| (file, format!("{:#}\n", schema.to_value())))
    .collect()
}

/// The file with the schema of an event's `data`.
const fn data_file(event_type: EventType) -> &'static str {
    match event_type {
        EventType::ChallengeRequested => "challenge-request.json",
        EventType::CancelRequested => "cancel-request.json",
        EventType::CodeEntered => "code-entered.json",
        EventType::ResendRequested => "resend-request.json",
        EventType::ChallengeResolved => "resolved.json",
        EventType::ChallengeRefused => "challenge-refused.json",
        EventType::FraudReported => "fraud-reported.json",
        EventType::EnrollmentRequested => "enrollment-request.json",
        EventType::EnrollmentContinued => "enrollment-continue.json",
        EventType::EnrollmentChanged => "enrollment-changed.json",
        EventType::EnrollmentRefused => "enrollment-refused.json",
        EventType::TestEnded | EventType::DialOwed | EventType::HangUpOwed | EventType::SendOwed => {
            "owed.json"
        }
    }
}

fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>()
}
