#![doc = include_str!("../README.md")]

mod client;
mod draft;
mod error;
mod outcome;
mod settings;
mod watch;

pub use client::PortalClient;
pub use draft::Draft;
pub use error::Error;
pub use fleet_broker::PublishError;
pub use fleet_contracts::{Invalid, Outcome};
pub use fleet_domain::{
    ChallengeId, ChallengeResult, Channel, Context, DeviceId, Field, Offer, PortalName, Progress, Reason,
    Target, UserId,
};
pub use settings::PortalSettings;
pub use watch::Watch;
