//! `fleetctl app`: an authenticator for the terminal.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use fleet_app_client::{Denial, Verified};
use fleet_contracts::NumberMatch;
use fleet_domain::ChallengeId;

use crate::ask::parse_number;
use crate::help;

/// `fleetctl app`.
#[derive(Debug, Args)]
pub struct AppArgs {
    /// Where the device is kept with its key; `~/.config/fleetctl/app.json` if absent. Only you may read it.
    #[arg(long, global = true, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub act: AppAct,
}

/// What `fleetctl app` does.
#[derive(Debug, Subcommand)]
pub enum AppAct {
    /// Activate this terminal as a device, with the code that a portal shows; once more where no answer came.
    #[command(after_help = help::APP_ACTIVATE)]
    Activate {
        /// The QR code's text, or the code to be typed; `-` asks for it, or reads it from standard input.
        #[arg(value_name = "QR-OR-CODE")]
        code: String,
        /// The URL beside the code; a QR code has it in its text.
        #[arg(long)]
        url: Option<String>,
        /// What the portal calls this device, 1 to 64 characters.
        #[arg(long, default_value = "fleetctl")]
        name: String,
        /// The algorithm of the device's key.
        #[arg(long, value_enum, default_value_t = KeyKind::Es256)]
        key: KeyKind,
    },
    /// Show what waits for an answer.
    #[command(after_help = help::APP_LIST)]
    List,
    /// Approve a sign-in that is your own.
    #[command(after_help = help::APP_APPROVE)]
    Approve {
        /// The challenge, as the list has it.
        #[arg(value_parser = ChallengeId::parse)]
        id: ChallengeId,
        /// The digits on the portal's page.
        #[arg(long, short, value_parser = parse_number)]
        number: Option<NumberMatch>,
        /// How you made sure of who holds this device.
        #[arg(long, value_enum)]
        uv: Option<Verification>,
    },
    /// Say no.
    #[command(after_help = help::APP_DENY)]
    Deny {
        /// The challenge, as the list has it.
        #[arg(value_parser = ChallengeId::parse)]
        id: ChallengeId,
        /// Why.
        #[arg(long, short, value_enum, default_value_t = DenyReason::Mistake)]
        reason: DenyReason,
    },
    /// Show the present one-time code, and for how many seconds it is shown.
    #[command(after_help = help::APP_CODE)]
    Code,
    /// Give the device up, and remove its file.
    #[command(after_help = help::APP_REVOKE)]
    Revoke,
    /// Draw a QR code.
    #[command(after_help = help::APP_QR)]
    Qr {
        /// What it says; `-` reads it from standard input.
        text: String,
        /// Write it to this file as SVG instead.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
}

/// `--key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyKind {
    /// ECDSA over P-256.
    Es256,
    /// Ed25519.
    Eddsa,
}

/// `--uv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Verification {
    /// By a PIN.
    Pin,
    /// By fingerprint or face.
    Biometric,
}

/// `--reason` of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum DenyReason {
    /// Somebody else is signing in: reports fraud, and blocks the account where the portal's policy says so.
    NotMe,
    /// Asked for by mistake.
    Mistake,
    /// Not wanted any more.
    Canceled,
}

impl From<Verification> for Verified {
    fn from(verification: Verification) -> Self {
        match verification {
            Verification::Pin => Self::Pin,
            Verification::Biometric => Self::Biometric,
        }
    }
}

impl From<DenyReason> for Denial {
    fn from(reason: DenyReason) -> Self {
        match reason {
            DenyReason::NotMe => Self::NotMe,
            DenyReason::Mistake => Self::Mistake,
            DenyReason::Canceled => Self::Canceled,
        }
    }
}
