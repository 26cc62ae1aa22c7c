//! What a portal asks for, as it is written on the command line and in a file of scenarios.

use std::time::Duration;

use fleet_contracts::{NumberMatch, OneTimeCode};
use fleet_domain::{Channel, DeviceId, Target, UserId};
use serde::Deserialize;

/// How the person is to be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A phone call.
    Voice,
    /// A push to the app.
    Push,
    /// A one-time code of the app, typed into the portal (`fleetctl code`).
    Totp,
    /// The method that the user chose.
    #[default]
    Default,
}

impl Method {
    /// The channel; none for the user's own.
    pub(crate) const fn channel(self) -> Option<Channel> {
        match self {
            Self::Voice => Some(Channel::Voice),
            Self::Push => Some(Channel::Push),
            Self::Totp => Some(Channel::Totp),
            Self::Default => None,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::Push => "push",
            Self::Totp => "totp",
            Self::Default => "default",
        }
    }
}

/// A challenge to be asked for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) user: UserId,
    pub(crate) method: Method,
    pub(crate) target: Option<Target>,
    pub(crate) number: Option<NumberMatch>,
    pub(crate) within: Option<Duration>,
    pub(crate) application: Option<String>,
    pub(crate) locale: Option<String>,
}

/// Reads a target.
pub(crate) fn parse_target(text: &str) -> Result<Target, &'static str> {
    match text {
        "primary" => Ok(Target::Primary),
        "backup" => Ok(Target::Backup),
        device => DeviceId::parse(device)
            .map(Target::Device)
            .map_err(|_| "must be primary, backup or the id of a device"),
    }
}

/// A code as the command line has it.
#[derive(Clone, Debug)]
pub enum GivenCode {
    /// `-`: it is read from standard input, so that no shell remembers it.
    Stdin,
    /// It stands there.
    Typed(OneTimeCode),
}

/// Reads a code, or where it is to be read.
pub(crate) fn parse_code(text: &str) -> Result<GivenCode, &'static str> {
    if text == "-" {
        return Ok(GivenCode::Stdin);
    }
    OneTimeCode::parse_typed(text)
        .map(GivenCode::Typed)
        .ok_or("must be 6 to 8 digits, or - for standard input")
}

/// Reads the digits of a number match.
pub(crate) fn parse_number(text: &str) -> Result<NumberMatch, &'static str> {
    NumberMatch::parse(text).ok_or("must be 2 to 6 digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_by_their_words_and_ids() {
        assert_eq!(parse_target("primary"), Ok(Target::Primary));
        assert!(matches!(parse_target("5d0b8a52-6c1e-4f0a-9e00-000000000004"), Ok(Target::Device(_))));
        assert!(parse_target("home").is_err());
    }
}
