#![doc = include_str!("../README.md")]

mod asked;
mod context;
mod enrollment;
mod envelope;
mod form;
mod invalid;
mod jcs;
mod object;
mod outcome;
mod owed;
mod schemas;
mod told;

pub use asked::{
    CancelRequest, ChallengeRequest, CodeEntered, NumberMatch, OneTimeCode, ResendRequest, WorkflowStep,
};
pub use enrollment::{
    ActivationReport, BoxText, DeviceReport, EnrolledApp, EnrolledPhone, EnrolledReport, EnrollmentChanged,
    EnrollmentContinue, EnrollmentOutcome, EnrollmentRefusedEvent, EnrollmentRequest, KeyId, MethodReport,
    PhoneReport, Proof, Sealed, SecretAnswer, SecretPhone, Secrets, TestReport, With,
};
pub use envelope::{Envelope, Event, EventType, FLEET_SOURCE, Message, event_id, parse};
pub use invalid::Invalid;
pub use jcs::canonical;
pub use outcome::{
    AlternativeReport, AttemptReport, CallerIdReport, Outcome, SentCallerId, SkippedReport, poll_after_ms,
};
pub use owed::Owed;
pub use schemas::schemas;
pub use told::{ChallengeRefused, FraudReported, Resolved};
