//! Enrollments: what a person may change, what proves who asks, and the live test that comes before every change.
//!
//! ```text
//! pending_user_data ──► awaiting_test ──► test_passed ──► enrolled
//!         │                │    ▲ │
//!         └────────────────┴────┼─┴──► refused (also: expired, canceled)
//!                         retry ┘
//! ```
//!
//! Another activation code leads from `awaiting_test` back to `pending_user_data`.
//!
//! Nothing takes effect before its test has passed; the old value counts until then and never after, since the change is
//! stored in the commit that makes the request `enrolled`.

mod activation;
mod authority;
mod open;
mod plan;
mod policy;
mod request;
mod seen;
mod step;
mod words;

pub use activation::{ACTIVATION, MAX_CODES, MistypedCode, TypedCode};
pub use authority::{RECOVERY_AFTER, Shown, allows_recovery, authority, proves};
pub use open::open_enrollment;
pub use policy::EnrollmentPolicy;
pub use request::{
    Account, ActivatedDevice, Activation, COLLECT_ENROLLMENT, DevicesOut, Enrollment, EnrollmentAsk,
    EnrollmentEnd, EnrollmentLive, EnrollmentRequest, Flaw, NewTest, OperatorCause, Patch, StandingChange,
    StoredAnswer, Test, TestPlan, Wanted,
};
pub use seen::{Seen, SeenApp, SeenPhone};
pub use step::{
    Answers, EnrollmentEffect, EnrollmentEvent, EnrollmentRefused, LEAST_TEST, MAX_TESTS, owed_enrollment,
    step_enrollment, test_challenge,
};
pub use words::{Authority, Change, EnrollmentReason, EnrollmentResult, EnrollmentState, LineType, NextStep};
