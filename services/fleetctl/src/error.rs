//! What can go wrong, each as one line: what, where, what to do. The exit code follows from the variant.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use fleet_settings::{NotAllowed, Settings, SettingsError};

use crate::exit::Exit;
use crate::print::clean;

/// One of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// RabbitMQ, under the fleet's own user.
    RabbitMq,
    /// RabbitMQ, under a portal's user.
    PortalRabbitMq,
    /// Redis.
    Redis,
    /// PostgreSQL.
    PostgreSql,
}

impl Server {
    /// Where its address comes from.
    const fn variable(self) -> &'static str {
        match self {
            Self::RabbitMq => "AMQP_URL",
            Self::PortalRabbitMq => "--amqp-url or PORTAL_AMQP_URLS",
            Self::Redis => "PORTAL_REDIS_URLS or REDIS_URL",
            Self::PostgreSql => "DATABASE_URL",
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RabbitMq | Self::PortalRabbitMq => "RabbitMQ",
            Self::Redis => "Redis",
            Self::PostgreSql => "PostgreSQL",
        })
    }
}

/// What a portal can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A challenge.
    Challenge,
    /// A change of an enrollment.
    Request,
}

impl Asked {
    /// What tells a portal that it was refused.
    const fn event(self) -> &'static str {
        match self {
            Self::Challenge => "challenge.refused",
            Self::Request => "enrollment.refused",
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Challenge => "challenge",
            Self::Request => "request",
        })
    }
}

/// Why a command ended without what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Where in it, and what is wrong there.
        problem: String,
    },
    /// A signature does not fit.
    #[error("the signature of {what} does not hold: {why}; do not act on this outcome")]
    Signature {
        /// What was signed.
        what: String,
        /// Why it does not hold.
        why: String,
    },
    /// There is nothing under this name.
    #[error("{what}: {advice}")]
    NotFound {
        /// What there is not.
        what: String,
        /// Where else to look.
        advice: &'static str,
    },
    /// A scenario has an app, and nobody said where people get one.
    #[error("a scenario activates an app: say with --apps URL where the simulator is")]
    NoApps,
    /// The simulator did not activate an app.
    #[error("{url}: no app was activated there: {problem}; does --apps lead to the simulator?")]
    AppNotActivated {
        /// Where it was asked for.
        url: String,
        /// What the simulator or the gateway said.
        problem: String,
    },
    /// A server is away, or does not let us in.
    #[error("{server}: {problem}; is it running, and does {} lead to it?", server.variable())]
    Unavailable {
        /// The server.
        server: Server,
        /// What it said, or did not say.
        problem: String,
    },
    /// A server answered that it will not do this.
    #[error("{server} refused: {problem}")]
    Forbidden {
        /// The server.
        server: Server,
        /// What, and what may help.
        problem: String,
    },
    /// The request breaks its contract, and was not sent.
    #[error("refused: {field} {rule}")]
    Refused {
        /// The field at fault.
        field: String,
        /// Its rule, a clause that follows the field's name.
        rule: String,
    },
    /// What cannot be undone was not confirmed, and not done.
    #[error("nothing was dropped: --yes drops these messages for good, {count} of them")]
    Unconfirmed {
        /// How many messages it is about.
        count: usize,
    },
    /// Nobody has confirmed that a person is to be erased.
    #[error("nothing was erased: {why}")]
    NotErased {
        /// Why not, and what would.
        why: String,
    },
    /// A person can't be erased yet.
    #[error(
        "{user} is blocked, but not erased yet: {count} challenges are still to end or have calls to be hung up; run it again in a minute"
    )]
    Unsettled {
        /// The user.
        user: String,
        /// How many challenges.
        count: u64,
    },
    /// The gateway was not reached, or did not do what the app asked for.
    #[error("{}", clean(&Self::chain(.0)))]
    App(#[from] fleet_app_client::Error),
    /// A setting can't be used.
    #[error("{0}")]
    Setting(String),
    /// No outcome came while it was waited for.
    #[error(
        "{what} {id} has no outcome after {}: is the fleet running (`fleetctl queues`), or was it refused (event {})?",
        fleet_settings::duration::format(*waited),
        what.event()
    )]
    NoOutcome {
        /// What was asked for.
        what: Asked,
        /// Its id.
        id: String,
        /// How long it was waited for, in whole seconds.
        waited: Duration,
    },
    /// Nobody reads the output any more.
    #[error("the output was closed")]
    OutputClosed,
    /// The output can't be written.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    /// What was typed or piped in can't be read.
    #[error("standard input: {0}")]
    Input(String),
}

impl Error {
    /// How the program ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::File { .. } | Self::Signature { .. } | Self::Input(_) => Exit::Data,
            Self::NotFound { .. } => Exit::NotFound,
            Self::Unavailable { .. } | Self::Forbidden { .. } | Self::AppNotActivated { .. } => {
                Exit::Unavailable
            }
            Self::Refused { .. } => Exit::Refused,
            Self::App(error) => app_exit(error),
            Self::Unconfirmed { .. } | Self::NotErased { .. } | Self::NoApps => Exit::Usage,
            Self::Setting(_) => Exit::Settings,
            Self::NoOutcome { .. } | Self::Unsettled { .. } => Exit::NoOutcome,
            Self::OutputClosed => Exit::OutputClosed,
            Self::Output(_) => Exit::Output,
        }
    }

    /// The line for people; nothing where nobody reads any more.
    pub fn line(&self) -> Option<String> {
        if matches!(self, Self::OutputClosed) {
            return None;
        }
        let text = self.to_string();
        Some(format!("fleetctl: {}", text.split_whitespace().collect::<Vec<_>>().join(" ")))
    }

    /// Standard output does not take it.
    pub(crate) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::OutputClosed } else { Self::Output(error) }
    }

    /// A value that its crate refuses, with the variable that sets it.
    pub(crate) fn not_allowed(all: &Settings, refused: &NotAllowed) -> Self {
        let (section, key) = refused.setting.split_once('.').unwrap_or((refused.setting, ""));
        let variable = format!("FLEET_{}__{}", section.to_uppercase(), key.to_uppercase());
        Self::Setting(format!("{}; set {variable}", all.refuse(refused)))
    }

    /// The text with everything that lies under it.
    pub(crate) fn chain(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

fn app_exit(error: &fleet_app_client::Error) -> Exit {
    use fleet_app_client::{Error as App, Refusal};
    match error {
        App::Unreachable(_) | App::Unavailable { .. } | App::NotOurs { .. } | App::Client(_) => {
            Exit::Unavailable
        }
        App::Store { .. } => Exit::Data,
        App::Unfinished { why, .. } => app_exit(why),
        App::Refused { refusal, .. } => match refusal {
            Refusal::ActivationUnknown
            | Refusal::ActivationUsed
            | Refusal::ActivationExpired
            | Refusal::Unknown
            | Refusal::Ended => Exit::NotFound,
            Refusal::Malformed
            | Refusal::CodeMistyped
            | Refusal::Unauthorized
            | Refusal::NotAsked
            | Refusal::StaleVersion
            | Refusal::NotJose
            | Refusal::TooLarge
            | Refusal::Encoded
            | Refusal::TooSlow
            | Refusal::CutOff
            | Refusal::Internal
            | Refusal::Other(_) => Exit::Unavailable,
        },
    }
}

impl From<SettingsError> for Error {
    fn from(error: SettingsError) -> Self {
        Self::Setting(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_that_says_what_where_and_what_to_do() {
        let settings = Settings::load_from(&[fleet_keys::DEFAULTS], None, std::iter::empty()).unwrap();
        for (error, code, line) in [
            (
                Error::Unavailable { server: Server::PostgreSql, problem: "connection\nrefused".into() },
                69,
                "fleetctl: PostgreSQL: connection refused; is it running, and does DATABASE_URL lead to it?",
            ),
            (
                Error::NoOutcome {
                    what: Asked::Challenge,
                    id: "0193".into(),
                    waited: Duration::from_secs(90),
                },
                75,
                "fleetctl: challenge 0193 has no outcome after 90s: is the fleet running (`fleetctl queues`), or was it refused (event challenge.refused)?",
            ),
            (
                Error::NoOutcome { what: Asked::Request, id: "0193".into(), waited: Duration::from_secs(30) },
                75,
                "fleetctl: request 0193 has no outcome after 30s: is the fleet running (`fleetctl queues`), or was it refused (event enrollment.refused)?",
            ),
            (
                Error::not_allowed(&settings, &NotAllowed::new("keys.master", "32 bytes")),
                78,
                "fleetctl: keys.master (its default): allowed is 32 bytes; set FLEET_KEYS__MASTER",
            ),
            (
                Error::File { path: "people.toml".into(), problem: "line 3: no such field".into() },
                65,
                "fleetctl: people.toml: line 3: no such field",
            ),
        ] {
            assert_eq!((error.exit().code(), error.line().as_deref()), (code, Some(line)));
        }
    }

    #[test]
    fn a_closed_output_ends_the_program_without_a_word() {
        let error = Error::output(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((error.exit(), error.line()), (Exit::OutputClosed, None));
        assert_eq!(Error::output(io::Error::from(io::ErrorKind::StorageFull)).exit(), Exit::Output);
    }
}
