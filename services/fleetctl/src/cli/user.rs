//! `fleetctl user`: what is done to one user, and to users in bulk.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use fleet_contracts::NumberMatch;
use fleet_domain::{
    ChallengeId, Change, Channel, DeviceId, PhoneKind, PhoneRole, PortalName, RequestId, UserId,
};

use super::{PortalAccess, parse_reason};
use crate::ask::parse_number;
use crate::bulk::format::Format;
use crate::help;

/// `fleetctl user`.
#[derive(Debug, Subcommand)]
pub enum UserAct {
    /// Block a user: what is open ends now, calls that ring are hung up, and nothing new is accepted.
    #[command(after_help = help::USER_BLOCK)]
    Block {
        /// The user.
        #[arg(value_parser = UserId::parse)]
        user: UserId,
        /// Why, for the audit: 1 to 200 characters.
        #[arg(long, short, value_parser = parse_reason)]
        reason: String,
        /// For how long (`12h`, `90d`); until it is lifted if absent.
        #[arg(long = "for", value_parser = fleet_settings::duration::parse, value_name = "TIME")]
        lasting: Option<Duration>,
    },
    /// Lift a user's block, and every lockout: after wrong PINs, codes and answers.
    #[command(after_help = help::USER_UNBLOCK)]
    Unblock {
        /// The user.
        #[arg(value_parser = UserId::parse)]
        user: UserId,
        /// Why, for the audit: 1 to 200 characters.
        #[arg(long, short, value_parser = parse_reason)]
        reason: String,
    },
    /// Write everything that is stored about a user as JSON, with numbers in clear and without secrets.
    #[command(after_help = help::USER_EXPORT)]
    Export {
        /// The user.
        #[arg(value_parser = UserId::parse)]
        user: UserId,
        /// A new file, which only you can read; standard output if absent.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Remove a user and everything that leads to the person, for good.
    #[command(after_help = help::USER_ERASE)]
    Erase {
        /// The user.
        #[arg(value_parser = UserId::parse)]
        user: UserId,
        /// Why, for the audit, where it stays: 1 to 200 characters that do not name the person.
        #[arg(long, short, value_parser = parse_reason)]
        reason: String,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Show whether a user is blocked or locked out, and what was done about it by whom.
    #[command(after_help = help::USER_SHOW)]
    Show {
        /// The user.
        #[arg(value_parser = UserId::parse)]
        user: UserId,
    },
    /// Store the users of a file, line by line; what is refused is listed, and the rest stored.
    #[command(after_help = help::USER_IMPORT)]
    Import(ImportArgs),
    /// Change a user's enrollment as a portal does, and follow the change to its end.
    #[command(after_help = help::USER_CHANGE)]
    Change(Box<ChangeArgs>),
    /// Bring a change on that waits for another message, and follow it to its end.
    #[command(after_help = help::USER_CONTINUE)]
    Continue(Box<GoOnArgs>),
    /// Write all users to a file that `import` reads.
    #[command(after_help = help::USER_EXPORT_ALL)]
    ExportAll(ExportArgs),
}

/// `fleetctl user change`.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// The user.
    #[arg(value_parser = UserId::parse)]
    pub user: UserId,
    /// What to change: enroll, method_change, phone_change, phone_remove, phone_test, pin_change, questions_change, device_revoke,
    /// device_activate, recovery, read, device_lost, block, unblock, bypass, delete.
    #[arg(value_parser = parse_change, value_name = "CHANGE")]
    pub change: Change,
    /// The portal that asks: your own, if you are an operator.
    #[arg(long, short, value_parser = PortalName::parse)]
    pub portal: PortalName,
    /// The method: voice, push or totp.
    #[arg(long, value_parser = parse_channel)]
    pub method: Option<Channel>,
    /// The audience of a user who is new.
    #[arg(long)]
    pub audience: Option<String>,
    /// The phone's number, such as +19195550100.
    #[arg(long)]
    pub number: Option<String>,
    /// What is keyed after the answer.
    #[arg(long, requires = "number")]
    pub extension: Option<String>,
    /// Where the phone stands: mobile or office.
    #[arg(long, requires = "number", value_parser = parse_kind)]
    pub kind: Option<PhoneKind>,
    /// Which phone: primary or backup.
    #[arg(long = "of", value_parser = parse_role, value_name = "PHONE")]
    pub role: Option<PhoneRole>,
    /// Read a PIN from standard input.
    #[arg(long)]
    pub pin: bool,
    /// Read an answer to each of these security questions from standard input, a line each.
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    pub questions: Vec<String>,
    /// The device.
    #[arg(long, value_parser = DeviceId::parse)]
    pub device: Option<DeviceId>,
    /// An approved challenge that proves who asks.
    #[arg(long, value_parser = ChallengeId::parse, value_name = "CHALLENGE")]
    pub proof: Option<ChallengeId>,
    /// A request that proves it instead: a change whose test has just passed, or a recovery.
    #[arg(long, value_parser = RequestId::parse, value_name = "REQUEST", conflicts_with = "proof")]
    pub proof_request: Option<RequestId>,
    /// The challenge that could not reach the user, for a recovery.
    #[arg(long, value_parser = ChallengeId::parse, value_name = "CHALLENGE")]
    pub after: Option<ChallengeId>,
    /// The digits that the person keys or types in the test.
    #[arg(long, value_parser = parse_number, value_name = "DIGITS")]
    pub show: Option<NumberMatch>,
    /// For how many seconds a bypass holds, 10 to 300.
    #[arg(long, value_parser = clap::value_parser!(u16).range(10..=300))]
    pub seconds: Option<u16>,
    /// For how long a block holds (`12h`, `90d`); until it is lifted if absent.
    #[arg(long = "for", value_parser = fleet_settings::duration::parse, value_name = "TIME")]
    pub lasting: Option<Duration>,
    /// Why, for the audit: 1 to 200 characters. An operators' portal must say so.
    #[arg(long, short, value_parser = parse_reason)]
    pub reason: Option<String>,
    /// The help desk's number of the case.
    #[arg(long)]
    pub ticket: Option<String>,
    /// The fleet's public enrollment key, base64url.
    #[arg(long, env = "ENROLLMENT_KEY", hide_env_values = true, value_name = "KEY")]
    pub enrollment_key: Option<String>,
    /// Print the outcome as JSON and nothing else.
    #[arg(long)]
    pub json: bool,
    /// Where the portal's own servers are.
    #[command(flatten)]
    pub access: PortalAccess,
}

/// `fleetctl user continue`.
#[derive(Debug, Args)]
pub struct GoOnArgs {
    /// The request's id, as `fleetctl user change` has printed it.
    #[arg(value_parser = RequestId::parse, value_name = "REQUEST")]
    pub id: RequestId,
    /// With what it goes on.
    #[arg(value_enum)]
    pub with: GoOnWith,
    /// The portal that asked.
    #[arg(long, short, value_parser = PortalName::parse)]
    pub portal: PortalName,
    /// The digits that the person keys or types in the test.
    #[arg(long, value_parser = parse_number, value_name = "DIGITS")]
    pub show: Option<NumberMatch>,
    /// The fleet's public enrollment key, base64url; for answers alone.
    #[arg(long, env = "ENROLLMENT_KEY", hide_env_values = true, value_name = "KEY")]
    pub enrollment_key: Option<String>,
    /// Print the outcome as JSON and nothing else.
    #[arg(long)]
    pub json: bool,
    /// Where the portal's own servers are.
    #[command(flatten)]
    pub access: PortalAccess,
}

/// With what a change goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum GoOnWith {
    /// The test, for the first time or once more.
    Test,
    /// The one-time code of a test that is one, read from standard input.
    Code,
    /// The answers to the questions of a recovery, read from standard input, a line each.
    Answers,
    /// Another activation code; the one before is void.
    Activation,
    /// Nothing: it is called off.
    Cancel,
}

impl GoOnWith {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Code => "code",
            Self::Answers => "answers",
            Self::Activation => "activation",
            Self::Cancel => "cancel",
        }
    }
}

/// `fleetctl user import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// CSV under a line of names, or one JSON object a line; UTF-8.
    pub file: PathBuf,
    /// The format, where the file's name does not tell it (.csv, .jsonl).
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// What becomes of users that are there already.
    #[arg(long, value_enum, default_value_t = OnExisting::Skip)]
    pub(crate) existing: OnExisting,
    /// Check every line and store nothing. PostgreSQL is not needed.
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
    /// Where refused lines are listed, by number, field and rule; FILE.rejects.csv if absent.
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Go on where an import of this file was stopped.
    #[arg(long)]
    pub resume: bool,
    /// Read a number of digits alone as if a spreadsheet had eaten its +.
    #[arg(long)]
    pub add_plus: bool,
    /// How much of the time the import may use the database, in per cent, 5 to 100; the rest is left to challenges.
    #[arg(long, default_value_t = 33, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(5..=100))]
    pub share: u8,
}

/// What becomes of users that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnExisting {
    /// They stay as they are.
    Skip,
    /// What the line gives takes the place of what was there; the rest stays.
    Update,
}

impl OnExisting {
    pub(crate) const fn is_update(self) -> bool {
        matches!(self, Self::Update)
    }
}

/// `fleetctl user export-all`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The file; only its owner can read it.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The format, where the file's name does not tell it (.csv, .jsonl).
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
}

/// A word of a closed list, or a sentence with all of them.
fn parse_word<T: Copy>(
    text: &str,
    all: &[T],
    (parse, show): (impl Fn(&str) -> Option<T>, impl Fn(T) -> &'static str),
) -> Result<T, String> {
    let words = || all.iter().map(|word| show(*word)).collect::<Vec<_>>().join(", ");
    parse(text).ok_or_else(|| format!("must be one of {}", words()))
}

fn parse_change(text: &str) -> Result<Change, String> {
    parse_word(text, Change::ALL, (Change::parse, Change::as_str))
}

fn parse_channel(text: &str) -> Result<Channel, String> {
    parse_word(text, Channel::ALL, (Channel::parse, Channel::as_str))
}

fn parse_kind(text: &str) -> Result<PhoneKind, String> {
    parse_word(text, PhoneKind::ALL, (PhoneKind::parse, PhoneKind::as_str))
}

fn parse_role(text: &str) -> Result<PhoneRole, String> {
    parse_word(text, PhoneRole::ALL, (PhoneRole::parse, PhoneRole::as_str))
}
