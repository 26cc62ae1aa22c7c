//! Exit codes: one per result of a challenge, and those of `sysexits.h` for everything else.

use std::process::ExitCode;

use fleet_domain::ChallengeResult;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; a challenge was approved.
    Done,
    /// A played challenge did not end as expected.
    NotAsExpected,
    /// The person or a rule said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// It was called off.
    Canceled,
    /// The fleet or the provider could not ask.
    Failed,
    /// The request breaks its contract and was not sent.
    Refused,
    /// The command line makes no sense.
    Usage,
    /// A file or a signature is wrong.
    Data,
    /// There is nothing under this name.
    NotFound,
    /// A server is not available, or refused.
    Unavailable,
    /// What was written could not be written.
    Output,
    /// There was no outcome in time.
    NoOutcome,
    /// A setting is missing or wrong.
    Settings,
    /// Nobody reads the output any more.
    OutputClosed,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NotAsExpected => 1,
            Self::Denied => 10,
            Self::Expired => 11,
            Self::Canceled => 12,
            Self::Failed => 13,
            Self::Refused => 14,
            Self::Usage => 64,
            Self::Data => 65,
            Self::NotFound => 66,
            Self::Unavailable => 69,
            Self::Output => 74,
            Self::NoOutcome => 75,
            Self::Settings => 78,
            // As if SIGPIPE had ended it: 0 would say "approved" to whoever waits for a challenge.
            Self::OutputClosed => 141,
        }
    }

    /// The end that a result comes to.
    pub const fn of(result: ChallengeResult) -> Self {
        match result {
            ChallengeResult::Pending => Self::NoOutcome,
            ChallengeResult::Approved => Self::Done,
            ChallengeResult::Denied => Self::Denied,
            ChallengeResult::Expired => Self::Expired,
            ChallengeResult::Canceled => Self::Canceled,
            ChallengeResult::Failed => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_has_its_own_code() {
        let codes = ChallengeResult::ALL.iter().map(|result| (result.as_str(), Exit::of(*result).code()));
        assert_eq!(
            codes.collect::<Vec<_>>(),
            [
                ("pending", 75),
                ("approved", 0),
                ("denied", 10),
                ("expired", 11),
                ("canceled", 12),
                ("failed", 13)
            ]
        );
        assert_eq!(Exit::Refused.code(), 14);
    }
}
