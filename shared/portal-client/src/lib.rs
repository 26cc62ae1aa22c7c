#![doc = include_str!("../README.md")]

mod client;
mod draft;
mod enrollment;
mod error;
mod outcome;
mod settings;
mod watch;

pub use client::PortalClient;
pub use draft::Draft;
pub use enrollment::{EnrollmentDraft, GivenPhone, SealedDraft};
pub use error::Error;
pub use fleet_broker::PublishError;
pub use fleet_contracts::{EnrollmentOutcome, Invalid, NumberMatch, OneTimeCode, Outcome};
pub use fleet_domain::{
    ChallengeId, ChallengeResult, Change, Channel, Context, DeviceId, EnrollmentReason, EnrollmentResult,
    EnrollmentState, Field, NextStep, Offer, PhoneKind, PhoneRole, PortalName, Progress, Reason, RequestId,
    Target, UserId,
};
pub use fleet_keys::EnrollmentPublicKey;
pub use settings::PortalSettings;
pub use watch::Watch;
