#![doc = include_str!("../README.md")]

pub mod duration;
mod error;
mod file_secret;
mod fragment;
mod layers;
mod names;
mod reference;
mod section;

#[cfg(test)]
mod tests;

pub use error::{NotAllowed, SettingsError};
pub use layers::Settings;
pub use reference::{reference, undocumented};
pub use secrecy::{ExposeSecret, SecretString};
