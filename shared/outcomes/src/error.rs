//! The errors, by what the caller can do.

use fleet_domain::FailureClass;
use fleet_settings::NotAllowed;

/// Why a document was not written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A setting can't be used. The start must stop.
    #[error(transparent)]
    Setting(#[from] NotAllowed),
    /// Redis is not reachable, not writable or full, did not answer in time, or too many documents are waiting. A document
    /// may have been written nevertheless: tell it again later.
    #[error("Redis is not available")]
    Unavailable,
    /// Redis answered for this key that it will not: the access rules forbid it, or the key holds something else.
    #[error("Redis refused the command ({code})")]
    Refused {
        /// The first word of the answer, such as `NOPERM`.
        code: String,
    },
    /// The document does not begin with the `seq` that it is told under. Not sent.
    #[error("the document does not begin with its seq")]
    Misnumbered,
}

impl Error {
    /// What may be done next. Writing is idempotent, so even an unclear failure may be repeated.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Unavailable => FailureClass::Transient,
            Self::Setting(_) | Self::Refused { .. } | Self::Misnumbered => FailureClass::Permanent,
        }
    }
}

/// What an answer with an error means for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The script is not loaded (any more).
    NoScript,
    /// This server takes no writes: connect anew, the address may lead elsewhere by now.
    WrongServer,
    /// The server can't at the moment: loading, full, without its disk.
    NotNow,
    /// A refusal of this one command.
    Refused,
}

impl Answer {
    /// By the first word of the answer and the rest of it.
    pub(crate) fn of(code: &str, detail: &str) -> Self {
        match code {
            "NOSCRIPT" => Self::NoScript,
            "READONLY" | "MOVED" => Self::WrongServer,
            "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "OOM" | "MISCONF" | "NOREPLICAS" => {
                Self::NotNow
            }
            // Before version 7, an error inside a script came as the text of a general one.
            "ERR" if detail.contains("-READONLY") => Self::WrongServer,
            "ERR" if detail.contains("-OOM") || detail.contains("-MISCONF") => Self::NotNow,
            _ => Self::Refused,
        }
    }

    /// The error for whoever waits for the command.
    pub(crate) fn error(self, code: &str) -> Error {
        match self {
            Self::NoScript | Self::WrongServer | Self::NotNow => Error::Unavailable,
            Self::Refused => Error::Refused { code: code.to_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_their_first_word() {
        for (code, detail, answer) in [
            ("NOSCRIPT", "No matching script.", Answer::NoScript),
            ("READONLY", "You can't write against a read only replica.", Answer::WrongServer),
            ("ERR", "Error running script: @user_script:4: -READONLY You can't write", Answer::WrongServer),
            ("ERR", "Error running script: @user_script:4: -OOM command not allowed", Answer::NotNow),
            ("OOM", "command not allowed when used memory > 'maxmemory'.", Answer::NotNow),
            ("LOADING", "Redis is loading the dataset in memory", Answer::NotNow),
            ("NOPERM", "this user has no permissions to access one of the keys", Answer::Refused),
            ("WRONGTYPE", "Operation against a key holding the wrong kind of value", Answer::Refused),
            ("ERR", "unknown command", Answer::Refused),
        ] {
            assert_eq!(Answer::of(code, detail), answer, "{code} {detail}");
        }
    }
}
