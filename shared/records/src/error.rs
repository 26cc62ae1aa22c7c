//! The errors, by what the caller can do, and what a failure of PostgreSQL says about what was committed.

use std::error::Error as StdError;
use std::sync::Arc;

use fleet_domain::Unreadable;
use fleet_settings::NotAllowed;
use tokio_postgres::error::SqlState;

/// What lies under an error. Shared, because one failed batch answers many callers.
pub type Source = Arc<dyn StdError + Send + Sync>;

/// Why records could not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A setting can't be used. The start must stop.
    #[error(transparent)]
    Setting(#[from] NotAllowed),
    /// PostgreSQL is away, too slow, or refused this once. Ask again later; a transition may nevertheless
    /// have been committed, which loading the challenge shows.
    #[error("PostgreSQL is not available: {doing}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// Why it failed, where there is more to say.
        #[source]
        source: Option<Source>,
    },
    /// PostgreSQL refused this very data; its neighbours in the batch were stored. Asking again is useless.
    #[error("PostgreSQL refused the data")]
    Rejected(#[source] Source),
    /// A stored row or sealed value can't be read.
    #[error("a stored row can't be read")]
    Corrupt(#[source] Source),
    /// The migrations could not be applied.
    #[error("the schema could not be migrated")]
    Migration(#[source] Source),
}

/// What may be done after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The same may succeed later.
    Retry,
    /// The same will fail again: it is this very thing that is at fault.
    Culprit,
}

impl Error {
    /// What may be done next.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unavailable { .. } => ErrorClass::Retry,
            Self::Setting(_) | Self::Rejected(_) | Self::Corrupt(_) | Self::Migration(_) => {
                ErrorClass::Culprit
            }
        }
    }

    /// The value of a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Setting(_) => "setting",
            Self::Unavailable { .. } => "unavailable",
            Self::Rejected(_) => "rejected",
            Self::Corrupt(_) => "corrupt",
            Self::Migration(_) => "migration",
        }
    }

    /// The error and everything under it in one line, for logs.
    pub(crate) fn in_full(&self) -> String {
        let mut line = self.to_string();
        let mut below = self.source();
        while let Some(error) = below {
            line = format!("{line}: {error}");
            below = error.source();
        }
        line
    }

    pub(crate) fn corrupt(source: impl StdError + Send + Sync + 'static) -> Self {
        Self::Corrupt(Arc::new(source))
    }

    pub(crate) fn late(doing: &'static str) -> Self {
        Self::Unavailable { doing, source: None }
    }
}

impl From<Unreadable> for Error {
    fn from(unreadable: Unreadable) -> Self {
        Self::corrupt(unreadable)
    }
}

/// A stored code that this version does not know.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("column `{column}` holds a code that this version does not know: {code}")]
pub(crate) struct UnknownCode {
    pub(crate) column: &'static str,
    pub(crate) code: i16,
}

/// How a statement failed, by what it says about the transaction.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The data is at fault; nothing was committed.
    Data(Source),
    /// Refused for a reason that may pass; nothing was committed.
    Refused(Source),
    /// No connection could be had; nothing was sent.
    Unsent(Source),
    /// The connection or the answer was lost: it may have been committed.
    Lost(Option<Source>),
}

impl Fault {
    /// The error for a caller.
    pub(crate) fn into_error(self, doing: &'static str) -> Error {
        match self {
            Self::Data(source) => Error::Rejected(source),
            Self::Refused(source) | Self::Unsent(source) => {
                Error::Unavailable { doing, source: Some(source) }
            }
            Self::Lost(source) => Error::Unavailable { doing, source },
        }
    }

    /// The value of the metric's label `cause`.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Data(_) => "data",
            Self::Refused(_) => "refused",
            Self::Unsent(_) => "unsent",
            Self::Lost(_) => "lost",
        }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(database) = error.as_db_error() else {
            return Self::Lost(Some(Arc::new(error)));
        };
        let state = database.code();
        // A row without a partition has the code of a broken CHECK, but names no constraint: the upkeep is
        // late, the data is good.
        let no_partition = *state == SqlState::CHECK_VIOLATION && database.constraint().is_none();
        let code = state.code();
        let data = code.starts_with("22") || code.starts_with("23") || code.starts_with("54");
        // 57P01 to 57P03 may cut off the answer of what was committed. After the others, the connection must go: its
        // plans are stale, or it leads to a standby.
        let cut_off = ["57P", "08", "XX", "0A", "26", "25"].iter().any(|class| code.starts_with(class));
        if data && !no_partition {
            Self::Data(Arc::new(error))
        } else if cut_off {
            Self::Lost(Some(Arc::new(error)))
        } else {
            Self::Refused(Arc::new(error))
        }
    }
}
