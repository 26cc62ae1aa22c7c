//! The engine's errors, by what a caller can do.

use std::time::Duration;

use fleet_broker::{Poison, PublishError, Verdict};
use fleet_records::ErrorClass;

/// How long a message rests before its handling is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Why something could not be carried through.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database did not take it or cannot be reached. Nothing is lost; try again.
    #[error("the database: {0}")]
    Records(#[from] fleet_records::Error),
    /// The row changed under every try. Try again.
    #[error("the challenge changed under every one of {0} tries")]
    Contended(u32),
    /// Work could not be handed to another queue. Try again.
    #[error("handing over: {0}")]
    HandOver(#[from] PublishError),
    /// There is no such challenge.
    #[error("there is no such challenge")]
    Unknown,
    /// The portal is not registered.
    #[error("the portal is not registered")]
    UnknownPortal,
    /// The database has not told yet which portals there are. Try again.
    #[error("the portals are not known yet")]
    PortalsNotLoaded,
}

impl Error {
    /// What becomes of a message whose handling failed so.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Records(error) => match error.class() {
                ErrorClass::Retry => Verdict::RetryIn(AGAIN),
                ErrorClass::Culprit => {
                    Verdict::Poison(Poison::hash_only("not_storable", error.to_string(), Vec::new()))
                }
            },
            Self::Contended(_) | Self::HandOver(_) | Self::PortalsNotLoaded => Verdict::RetryIn(AGAIN),
            Self::Unknown => Verdict::Done,
            Self::UnknownPortal => Verdict::Poison(Poison::hash_only(
                "unknown_portal",
                "the sender is not a registered portal: register it, then let it ask again",
                Vec::new(),
            )),
        }
    }
}
