#![doc = include_str!("../README.md")]

mod answer;
mod call;
mod callback;
mod client;
mod create;
mod error;
mod metrics;
mod settings;
mod signature;
mod sip;
mod status;

#[cfg(test)]
mod tests;

pub use call::{Call, CallList, Ended, PlacedCall};
pub use callback::{StatusCallback, VoiceRequest, hides_entry};
pub use client::{Carrier, CarrierUnusable};
pub use create::CreateCall;
pub use error::{CallError, CallErrorKind, Operation};
pub use settings::{DEFAULTS, Profile, Settings};
pub use signature::{SignedBody, SignedRequest};
pub use sip::end_reason;
pub use status::{AnsweredBy, CallStatus};
