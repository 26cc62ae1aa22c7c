//! Firebase Cloud Messaging, HTTP v1.
//!
//! `sender` sends one push to one device and decides what is tried again; `message` is what is sent, `client`
//! how, `token` with which right, `breaker` whether at all, and `error` what an answer means.

mod breaker;
mod client;
mod error;
mod message;
mod sender;
mod settings;
#[cfg(test)]
mod stub;
mod token;

pub(crate) use error::FcmError;
pub(crate) use message::Push;
pub(crate) use sender::Fcm;
pub use settings::{Http2, Settings};
