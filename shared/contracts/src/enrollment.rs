//! Enrollments on the wire: what portals ask for, the secrets that go with it in a sealed box, and what they are told.

mod asked;
mod outcome;
mod parts;
mod secrets;
mod told;

pub use asked::{EnrollmentContinue, EnrollmentRequest, With};
pub use outcome::{
    ActivationReport, DeviceReport, EnrolledApp, EnrolledPhone, EnrolledReport, EnrollmentOutcome,
    MethodReport, PhoneReport, TestReport,
};
pub use parts::{BoxText, KeyId, Proof, Sealed};
pub use secrets::{SecretAnswer, SecretPhone, Secrets};
pub use told::{EnrollmentChanged, EnrollmentRefusedEvent};
