//! The errors, by what the portal can do.

use fleet_broker::PublishError;
use fleet_contracts::Invalid;

/// Why a portal has no answer, or could not ask.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting can't be used.
    #[error("the settings can't be used")]
    Settings(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The request breaks the contract. It was not sent.
    #[error("the request is not valid")]
    Invalid(#[source] Invalid),
    /// The request is not confirmed. Unless the error says that it was not stored, it may be on its way: send the same draft again.
    #[error("the request was not confirmed")]
    NotConfirmed(#[source] PublishError),
    /// The outcome can't be read now.
    #[error("the outcome can't be read")]
    Unreadable(#[source] fleet_outcomes::Error),
    /// What stands in Redis is not what the fleet wrote there for this challenge: treat it as not approved, and tell operations.
    #[error("the outcome is not authentic: {0}")]
    Forged(&'static str),
    /// The challenge has not ended in the time given: treat it as not approved.
    #[error("no final outcome came in time")]
    Unanswered,
}

impl Error {
    pub(crate) fn settings(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Settings(error.into())
    }
}
