//! What keeps a request from its effect, and the words for it in metrics.

use fleet_domain::Refused;

/// Why a response says that nothing was done; the guard around all routes counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Because(pub(crate) &'static str);

/// Why the fleet could not do what a valid request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setback {
    /// The database is away or too slow. The same request may succeed later.
    Unavailable,
    /// The row changed under every try. The same request may succeed at once.
    Contended,
    /// There is no such challenge.
    Unknown,
    /// The database cannot store or read this very challenge.
    Fault,
}

impl Setback {
    /// The value of the label `reason`.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Contended => "contended",
            Self::Unknown => "unknown_challenge",
            Self::Fault => "fault",
        }
    }
}

impl From<fleet_engine::Error> for Setback {
    fn from(error: fleet_engine::Error) -> Self {
        match error {
            fleet_engine::Error::Records(error) => error.into(),
            fleet_engine::Error::Contended(_) => Self::Contended,
            fleet_engine::Error::Unknown => Self::Unknown,
            fleet_engine::Error::HandOver(_)
            | fleet_engine::Error::UnknownPortal
            | fleet_engine::Error::PortalsNotLoaded => Self::Unavailable,
        }
    }
}

impl From<fleet_records::Error> for Setback {
    fn from(error: fleet_records::Error) -> Self {
        match error.class() {
            fleet_records::ErrorClass::Retry => {
                // Its metric and readiness check tell of an outage; a line per request would only bury it.
                tracing::debug!(%error, "the database is away");
                Self::Unavailable
            }
            fleet_records::ErrorClass::Culprit => {
                tracing::error!(%error, "a challenge cannot be stored or read");
                Self::Fault
            }
        }
    }
}

/// The value of the label `reason` for an event that changed nothing.
pub(crate) const fn refused_label(refused: Refused) -> &'static str {
    match refused {
        Refused::Unchanged => "unchanged",
        Refused::Ended => "ended",
        Refused::NotLive => "not_live",
        Refused::OtherCall => "other_call",
        Refused::OutOfPlace => "out_of_place",
        Refused::Stale => "stale",
        Refused::NotDue => "not_due",
    }
}
