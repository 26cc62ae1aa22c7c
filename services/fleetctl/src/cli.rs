//! The command line: commands, arguments, and help that teaches. What is done to users is in `user`.

mod app;
mod user;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use fleet_contracts::NumberMatch;
use fleet_domain::{ChallengeId, PhoneNumber, PortalName, Target, Timestamp, UserId};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::ask::{GivenCode, Method, parse_code, parse_number, parse_target};
use crate::help;

pub(crate) use self::app::{AppAct, AppArgs, KeyKind};
pub(crate) use self::user::{ChangeArgs, ExportArgs, GoOnArgs, GoOnWith, ImportArgs, UserAct};

/// Ask for challenges as a portal does, and look into a running fleet.
#[derive(Debug, Parser)]
#[command(name = "fleetctl", version, max_term_width = 110, after_help = help::FLEETCTL)]
#[command(propagate_version = true, arg_required_else_help = true, subcommand_required = true)]
pub struct Cli {
    /// Also log to standard error what the connections are doing.
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print new secret keys for a fleet, as lines for its environment.
    #[command(after_help = help::KEYS)]
    Keys,
    /// Bring the tables of PostgreSQL up to this version.
    #[command(after_help = help::MIGRATE)]
    Migrate,
    /// Load portals, users, phones and devices from a file into PostgreSQL.
    #[command(after_help = help::DEMO_DATA)]
    DemoData {
        /// TOML with [[portal]], [[user]] and [[device]] sections.
        file: PathBuf,
    },
    /// Challenge a user, and optionally watch how it goes.
    #[command(after_help = help::CHALLENGE)]
    Challenge(ChallengeArgs),
    /// Call a challenge off.
    #[command(after_help = help::CANCEL)]
    Cancel(OneChallenge),
    /// Hand on a one-time code that the person has typed.
    #[command(after_help = help::CODE)]
    Code {
        /// The challenge, which waits for a code.
        #[command(flatten)]
        challenge: OneChallenge,
        /// The 6 to 8 digits, blanks allowed; `-` reads them from standard input.
        #[arg(value_parser = parse_code, allow_hyphen_values = true, default_value = "-")]
        code: GivenCode,
    },
    /// Have a challenge's push sent once more.
    #[command(after_help = help::RESEND)]
    Resend(OneChallenge),
    /// Show what has become of a challenge, as its portal sees it in Redis.
    #[command(after_help = help::OUTCOME)]
    Outcome(OutcomeArgs),
    /// Show every version of a challenge, from the audit rows in PostgreSQL.
    #[command(after_help = help::HISTORY)]
    History {
        /// The portal that asked.
        #[arg(long, short, value_parser = PortalName::parse)]
        portal: PortalName,
        /// The challenge's id.
        #[arg(value_parser = ChallengeId::parse)]
        id: ChallengeId,
    },
    /// Look at messages that were given up, send them again, or drop them.
    #[command(after_help = help::DEAD, subcommand_required = true, arg_required_else_help = true)]
    Dead {
        /// What to do about them.
        #[command(subcommand)]
        act: Dead,
    },
    /// Block or unblock a user, show, export or erase what is stored, change an enrollment, import and export users.
    #[command(after_help = help::USER, subcommand_required = true, arg_required_else_help = true)]
    User {
        /// What to do.
        #[command(subcommand)]
        act: UserAct,
    },
    /// Check that the audit trail is as it was sealed, or list its seals.
    #[command(after_help = help::AUDIT, subcommand_required = true, arg_required_else_help = true)]
    Audit {
        /// What to do.
        #[command(subcommand)]
        act: AuditAct,
    },
    /// Let a number be called again that asked never to be.
    #[command(after_help = help::PHONE, subcommand_required = true, arg_required_else_help = true)]
    Phone {
        /// What to do.
        #[command(subcommand)]
        act: PhoneAct,
    },
    /// Show how many calls a second each carrier is given, and how many wait for their turn; or change it.
    #[command(after_help = help::CARRIERS)]
    Carriers {
        /// What to do; without it, they are shown.
        #[command(subcommand)]
        act: Option<CarriersAct>,
    },
    /// Show how full every queue is, and who reads it.
    #[command(after_help = help::QUEUES)]
    Queues,
    /// Be an authenticator: activate, list, approve, deny, one-time codes. Draws QR codes too.
    #[command(after_help = help::APP, subcommand_required = true, arg_required_else_help = true)]
    App(Box<AppArgs>),
    /// Run a file of challenges, show them live, and check how each of them ends.
    #[command(after_help = help::PLAY)]
    Play(PlayArgs),
}

/// `fleetctl audit`.
#[derive(Debug, Subcommand)]
pub enum AuditAct {
    /// Walk the chain of seals and hold every row against it.
    #[command(after_help = help::AUDIT_VERIFY)]
    Verify {
        /// From when on: how long ago (`7d`), or a time such as `2026-01-31T00:00:00Z`. From the first seal if absent.
        #[arg(long, value_parser = parse_since, value_name = "TIME")]
        since: Option<Since>,
    },
    /// Show the newest seals, newest first.
    #[command(after_help = help::AUDIT_LIST)]
    List {
        /// How many at most.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,
    },
}

/// From when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// At this time.
    At(Timestamp),
}

/// `fleetctl carriers`.
#[derive(Debug, Subcommand)]
pub enum CarriersAct {
    /// Change how many calls a second the whole fleet gives a carrier. It counts within a second.
    #[command(after_help = help::CARRIERS_RATE)]
    Rate {
        /// The carrier's name, as `fleetctl carriers` shows it.
        carrier: String,
        /// Calls per second, 1 to 10000: no more than the carrier itself takes, or it queues them.
        #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
        calls_per_second: u16,
        /// Why, for the audit: 1 to 200 characters.
        #[arg(long, short, value_parser = parse_reason)]
        reason: String,
    },
}

/// `fleetctl phone`.
#[derive(Debug, Subcommand)]
pub enum PhoneAct {
    /// Let a number be called again.
    #[command(after_help = help::PHONE_OPT_IN)]
    OptIn {
        /// The number in E.164 form.
        #[arg(value_parser = PhoneNumber::parse)]
        number: PhoneNumber,
        /// Why, for the audit: 1 to 200 characters.
        #[arg(long, short, value_parser = parse_reason)]
        reason: String,
    },
}

/// `fleetctl dead`.
#[derive(Debug, Subcommand)]
pub enum Dead {
    /// List the messages in `dead` and `parked`, oldest first.
    #[command(after_help = help::DEAD_LIST)]
    List {
        /// How many of each to list at most. They are out of their consumers' reach while they are read.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,
    },
    /// Show one message, its body only where it was parked as fit to be seen.
    #[command(after_help = help::DEAD_SHOW)]
    Show {
        /// The message's id, as the list has it.
        id: String,
    },
    /// Send one message to where it came from again. A request for a challenge is never sent again.
    #[command(after_help = help::DEAD_REPLAY)]
    Replay {
        /// The message's id, as the list has it.
        id: String,
    },
    /// Remove one message, or all that fit, for good.
    #[command(after_help = help::DEAD_DROP)]
    Drop {
        /// The message's id, as the list has it.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All messages that fit the other options, of both queues.
        #[arg(long)]
        all: bool,
        /// Those that were given up for this reason.
        #[arg(long, value_name = "WORD", requires = "all")]
        reason: Option<String>,
        /// Those that were published longer ago than this (`12h`, `30d`), by their senders' clocks.
        #[arg(long, value_parser = fleet_settings::duration::parse, value_name = "TIME", requires = "all")]
        older_than: Option<Duration>,
        /// Do it; without this it is only shown what would be dropped.
        #[arg(long)]
        yes: bool,
    },
}

/// Where a portal's servers are.
#[derive(Clone, Debug, Default, Args)]
pub struct PortalAccess {
    /// RabbitMQ under the portal's own user; nodes of one cluster are separated by commas.
    #[arg(long, value_name = "URL")]
    pub amqp_url: Option<String>,
    /// The same for several portals: `operations=amqp://…,provider=amqp://…`.
    #[arg(long, env = "PORTAL_AMQP_URLS", hide_env_values = true, value_name = "PORTAL=URL,…")]
    pub portal_amqp_urls: Option<String>,
    /// Redis under the portals' own users; for a portal that is not named here it is the fleet's (`REDIS_URL`).
    #[arg(long, env = "PORTAL_REDIS_URLS", hide_env_values = true, value_name = "PORTAL=URL,…")]
    pub portal_redis_urls: Option<String>,
}

/// `fleetctl challenge`.
#[derive(Debug, Args)]
pub struct ChallengeArgs {
    /// The portal that asks: its user at RabbitMQ.
    #[arg(long, short, value_parser = PortalName::parse, default_value = "operations")]
    pub portal: PortalName,
    /// Whom to challenge.
    #[arg(long, short, value_parser = UserId::parse)]
    pub user: UserId,
    /// By a call, a push, a one-time code, or the method that the user chose.
    #[arg(long, short, value_enum, default_value_t = Method::Default, hide_possible_values = false)]
    pub method: Method,
    /// Which phone, or which one device: `primary`, `backup`, or the device's id.
    #[arg(long, short, value_parser = parse_target)]
    pub target: Option<Target>,
    /// Digits that the portal shows and the person keys, 2 to 6.
    #[arg(long, short, value_parser = parse_number)]
    pub number: Option<NumberMatch>,
    /// How long the person may take (`45s`, `2m`), at most 10m; the portal's policy decides if absent.
    #[arg(long, value_parser = fleet_settings::duration::parse, value_name = "TIME")]
    pub within: Option<Duration>,
    /// What the person is signing in to.
    #[arg(long, value_name = "NAME")]
    pub application: Option<String>,
    /// The language of the prompts, such as `en-GB` (BCP 47).
    #[arg(long, value_name = "TAG")]
    pub locale: Option<String>,
    /// Wait for the end and show every step.
    #[arg(long, short)]
    pub watch: bool,
    /// Wait for the end and print the final outcome as JSON; nothing else goes to standard output.
    #[arg(long)]
    pub json: bool,
    /// Where the portal's servers are.
    #[command(flatten)]
    pub access: PortalAccess,
}

/// A challenge by portal and id.
#[derive(Debug, Args)]
pub struct OneChallenge {
    /// The portal that asked.
    #[arg(long, short, value_parser = PortalName::parse)]
    pub portal: PortalName,
    /// The challenge's id.
    #[arg(value_parser = ChallengeId::parse)]
    pub id: ChallengeId,
    /// Where the portal's servers are.
    #[command(flatten)]
    pub access: PortalAccess,
}

/// `fleetctl outcome`.
#[derive(Debug, Args)]
pub struct OutcomeArgs {
    /// The challenge.
    #[command(flatten)]
    pub challenge: OneChallenge,
    /// Print the document as it stands in Redis.
    #[arg(long)]
    pub json: bool,
    /// Check the fleet's signature; the keys must be set as for the fleet.
    #[arg(long)]
    pub verify: bool,
}

/// `fleetctl play`.
#[derive(Debug, Args)]
pub struct PlayArgs {
    /// TOML with [[scenario]] sections.
    pub file: PathBuf,
    /// How much faster than life the simulated people are: `cancel_after` shrinks with it.
    #[arg(long, default_value_t = 1.0, value_parser = parse_speed, value_name = "N")]
    pub speed: f64,
    /// Where people get the app: the base URL of a simulator. Needed for scenarios with an `app`.
    #[arg(long, value_name = "URL")]
    pub apps: Option<String>,
    /// How many challenges run at the same time, instead of what the file says.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..), value_name = "N")]
    pub parallel: Option<u16>,
    /// Where the portals' servers are.
    #[command(flatten)]
    pub access: PortalAccess,
}

fn parse_reason(text: &str) -> Result<String, &'static str> {
    let reason = text.trim();
    if (1..=200).contains(&reason.chars().count()) && !reason.contains(char::is_control) {
        Ok(reason.to_owned())
    } else {
        Err("must be 1 to 200 characters, without control characters")
    }
}

fn parse_since(text: &str) -> Result<Since, &'static str> {
    if let Ok(ago) = fleet_settings::duration::parse(text) {
        return Ok(Since::Ago(ago));
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).ok();
    let micros = time.and_then(|time| i64::try_from(time.unix_timestamp_nanos() / 1_000).ok());
    let at = micros.map(|micros| Since::At(Timestamp::from_micros(micros)));
    at.ok_or("must be how long ago, such as 12h or 7d, or a time such as 2026-01-31T00:00:00Z")
}

fn parse_speed(text: &str) -> Result<f64, &'static str> {
    let speed = text.parse().ok().filter(|speed: &f64| *speed > 0.0 && *speed <= 100_000.0);
    speed.ok_or("must be a number above 0, at most 100000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, error::ErrorKind};

    /// Every command that can be run, with its path.
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        let path = format!("{path} {}", command.get_name());
        found.push((path.trim().to_owned(), command.clone()));
        for inner in command.get_subcommands() {
            leaves(inner, &path, found);
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_has_an_example_of_its_command_and_its_exit_codes() {
        let mut commands = Vec::new();
        leaves(&Cli::command(), "", &mut commands);
        assert!(commands.len() >= 17);
        for (path, mut command) in commands {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{path}");
            assert!(help.contains(&format!("  {path}")), "{path} is not in its own example:\n{help}");
            assert!(help.contains("Exit codes:\n   0  "), "{path}");
        }
    }

    #[test]
    fn every_example_can_be_parsed() {
        let mut commands = Vec::new();
        leaves(&Cli::command(), "", &mut commands);
        for (path, command) in commands {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let commands = help.lines().flat_map(|line| line.split(';'));
            for example in commands.filter_map(|command| command.trim().strip_prefix("fleetctl ")) {
                let words = example.split(['>', '|', '#']).next().unwrap_or_default();
                let words = std::iter::once("fleetctl").chain(words.split_whitespace());
                if let Err(error) = Cli::try_parse_from(words) {
                    assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{path}: {example}\n{error}");
                }
            }
        }
    }

    #[test]
    fn a_beginning_is_how_long_ago_or_a_time() {
        assert_eq!(parse_since("12h"), Ok(Since::Ago(Duration::from_hours(12))));
        let at = Timestamp::from_micros(1_790_000_000_000_000);
        assert_eq!(parse_since("2026-09-21T14:13:20Z"), Ok(Since::At(at)));
        assert_eq!(parse_since("2026-09-21T16:13:20+02:00"), Ok(Since::At(at)));
        assert!(parse_since("yesterday").is_err());
    }

    #[test]
    fn a_reason_says_something() {
        assert_eq!(parse_reason(" lost phone "), Ok("lost phone".to_owned()));
        for bad in [" ", "a\u{1b}[2J", &"x".repeat(201)] {
            assert!(parse_reason(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn secrets_in_the_environment_are_not_shown_by_help() {
        let (mut command, mut commands) = (Cli::command(), Vec::new());
        command.build();
        leaves(&command, "", &mut commands);
        let mut secrets = 0;
        for (path, inner) in commands {
            for argument in inner.get_arguments().filter(|argument| argument.get_env().is_some()) {
                assert!(argument.is_hide_env_values_set(), "{path} {}", argument.get_id());
                secrets += usize::from(path == "fleetctl user change");
            }
        }
        assert_eq!(secrets, 3, "two addresses and a key");
    }
}
