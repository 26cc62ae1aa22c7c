//! The errors, by what the app can do about them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Why the gateway was not asked, or did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer came. An answer to a challenge may have counted all the same: list again before you send another one.
    #[error("the gateway can't be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The fleet can't do it now: the same again after this time.
    #[error("the fleet can't do it now; try again in {} s", after.as_secs())]
    Unavailable {
        /// When to try again.
        after: Duration,
    },
    /// The fleet will not do it.
    #[error("{refusal}: {message}; {}", refusal.advice())]
    Refused {
        /// The protocol's code.
        refusal: Refusal,
        /// What the gateway says, for people who write apps.
        message: String,
    },
    /// What came is not of this protocol.
    #[error("the answer is not that of an MFA fleet (HTTP status {status}): check the URL")]
    NotOurs {
        /// The HTTP status.
        status: u16,
    },
    /// The device can't be stored, or read again.
    #[error("{}: {problem}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The code may have counted, or counts still. The file has the key: the same activation again goes on with it.
    #[error("the device is not activated yet, and {} has its key: activate again, with the same file", path.display())]
    Unfinished {
        /// The file.
        path: PathBuf,
        /// Why nothing came of it yet.
        #[source]
        why: Box<Self>,
    },
    /// HTTP can't be spoken at all.
    #[error("the HTTP client can't be made")]
    Client(#[source] reqwest::Error),
}

/// The protocol's codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A claim breaks its rule.
    Malformed,
    /// The check character does not fit.
    CodeMistyped,
    /// The signature, the device or the time is not right.
    Unauthorized,
    /// There is no such code.
    ActivationUnknown,
    /// Another phone was faster.
    ActivationUsed,
    /// The code is too old, or a newer one has taken its place.
    ActivationExpired,
    /// This device was not asked.
    NotAsked,
    /// There is no such challenge.
    Unknown,
    /// Answered already, here or elsewhere, or too late.
    Ended,
    /// A later push address is stored already.
    StaleVersion,
    /// The body is no JWS.
    NotJose,
    /// The body is larger than any message.
    TooLarge,
    /// The body is compressed.
    Encoded,
    /// The body has not arrived in time.
    TooSlow,
    /// The body broke off.
    CutOff,
    /// A fault of the fleet's own.
    Internal,
    /// A code that this version does not know.
    Other(String),
}

impl Error {
    /// Whether an activation code is worth nothing any more, or never was.
    pub(crate) const fn voids_the_code(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } => refusal.voids_the_code(),
            Self::Unreachable(_)
            | Self::Unavailable { .. }
            | Self::NotOurs { .. }
            | Self::Store { .. }
            | Self::Unfinished { .. }
            | Self::Client(_) => false,
        }
    }
}

impl Refusal {
    /// The refusal of a code.
    #[must_use]
    pub fn of(code: &str) -> Self {
        let known = [
            Self::Malformed,
            Self::CodeMistyped,
            Self::Unauthorized,
            Self::ActivationUnknown,
            Self::ActivationUsed,
            Self::ActivationExpired,
            Self::NotAsked,
            Self::Unknown,
            Self::Ended,
            Self::StaleVersion,
            Self::NotJose,
            Self::TooLarge,
            Self::Encoded,
            Self::TooSlow,
            Self::CutOff,
            Self::Internal,
        ];
        known
            .into_iter()
            .find(|refusal| refusal.code() == code)
            .unwrap_or_else(|| Self::Other(code.to_owned()))
    }

    /// The protocol's code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Malformed => "malformed",
            Self::CodeMistyped => "code_mistyped",
            Self::Unauthorized => "unauthorized",
            Self::ActivationUnknown => "activation_unknown",
            Self::ActivationUsed => "activation_used",
            Self::ActivationExpired => "activation_expired",
            Self::NotAsked => "not_asked",
            Self::Unknown => "unknown",
            Self::Ended => "ended",
            Self::StaleVersion => "stale_version",
            Self::NotJose => "not_jose",
            Self::TooLarge => "too_large",
            Self::Encoded => "encoded",
            Self::TooSlow => "too_slow",
            Self::CutOff => "cut_off",
            Self::Internal => "internal",
            Self::Other(code) => code,
        }
    }

    /// What the person, or whoever writes the app, can do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Malformed | Self::NotJose | Self::TooLarge | Self::Encoded | Self::Other(_) => {
                "the app and the fleet do not understand each other: update the app"
            }
            Self::CodeMistyped => "compare the code with the portal's page",
            Self::Unauthorized => {
                "check this machine's clock; if it is right, the device was removed and must be activated anew"
            }
            Self::ActivationUnknown => "compare code and URL with the portal's page",
            Self::ActivationUsed | Self::ActivationExpired => "ask the portal for a new code",
            Self::NotAsked => "answer on the device that was asked",
            Self::Unknown | Self::Ended => "list again: it was answered, called off, or too late",
            Self::StaleVersion => "nothing is to be done: a later address is stored",
            Self::TooSlow | Self::CutOff => "check the network, and try again",
            Self::Internal => "try again later, and tell the portal if it stays so",
        }
    }

    const fn voids_the_code(&self) -> bool {
        match self {
            Self::Malformed
            | Self::CodeMistyped
            | Self::ActivationUnknown
            | Self::ActivationUsed
            | Self::ActivationExpired => true,
            Self::Unauthorized
            | Self::NotAsked
            | Self::Unknown
            | Self::Ended
            | Self::StaleVersion
            | Self::NotJose
            | Self::TooLarge
            | Self::Encoded
            | Self::TooSlow
            | Self::CutOff
            | Self::Internal
            | Self::Other(_) => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_protocols_tables_is_known_and_says_what_to_do() {
        let protocol = include_str!("../../contracts/app/README.md");
        let codes: Vec<&str> = protocol
            .lines()
            .filter(|line| line.starts_with("| 4") || line.starts_with("| 500"))
            .filter_map(|line| line.split('`').nth(1))
            .collect();
        assert!(codes.len() >= 16, "{codes:?}");
        for code in codes {
            let refusal = Refusal::of(code);
            assert!(!matches!(refusal, Refusal::Other(_)), "{code}");
            assert_eq!(refusal.code(), code);
        }
        assert_eq!(Refusal::of("teapot"), Refusal::Other("teapot".into()));
    }
}
