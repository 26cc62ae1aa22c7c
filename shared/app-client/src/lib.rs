#![doc = include_str!("../README.md")]

mod activation;
mod challenge;
mod claims;
mod device;
mod error;
mod http;
mod store;
#[cfg(test)]
mod vectors_tests;

pub use activation::{Activation, InvalidActivation, Platform, Push};
pub use challenge::{Challenge, Decided, Denial, Field, Shown, Verified};
pub use device::{Device, OneTimeCode};
pub use error::{Error, Refusal};
pub use fleet_domain::{DeviceId, Timestamp, UserVerification};
pub use fleet_keys::{DeviceAlg, DeviceKeyPair};
