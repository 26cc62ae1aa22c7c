//! `fleetctl app`: an authenticator for the terminal, on top of the app's client.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use fleet_app_client::{
    Activation, Challenge, Decided, Denial, Device, DeviceAlg, DeviceKeyPair, Platform, Timestamp,
    UserVerification, Verified,
};
use fleet_contracts::NumberMatch;
use fleet_domain::{ChallengeId, ChallengeResult};
use fleet_lifecycle::Clock;

use crate::cli::{AppAct, AppArgs, KeyKind};
use crate::error::Error;
use crate::exit::Exit;
use crate::print::{Screen, clean};
use crate::qr::Qr;
use crate::table::{self, Cell};

const HEADS: [&str; 7] = ["challenge", "portal", "application", "place", "number", "verify", "left"];
/// What a challenge does not tell.
const NOTHING: &str = "-";

/// Runs the command.
pub(super) async fn run(args: AppArgs, screen: &mut Screen) -> Result<Exit, Error> {
    if let AppAct::Qr { text, svg } = args.act {
        return qr(&given(text)?, svg.as_deref(), screen);
    }
    let state = state(args.state)?;
    match args.act {
        AppAct::Qr { .. } => Ok(Exit::Done),
        AppAct::Activate { code, url, name, key } => {
            activate(&state, &activation(&given(code)?, url.as_deref())?, (&name, key), screen).await
        }
        AppAct::List => list(&Device::load(&state)?, screen).await,
        AppAct::Approve { id, number, uv } => {
            let answer = (number.as_ref(), uv.map(Verified::from));
            approve(&Device::load(&state)?, id, answer, screen).await
        }
        AppAct::Deny { id, reason } => deny(&Device::load(&state)?, (id, reason.into()), screen).await,
        AppAct::Code => code(&Device::load(&state)?, screen),
        AppAct::Revoke => {
            Device::load(&state)?.revoke().await?;
            fs::remove_file(&state)?;
            screen.line("the device is given up, and its key removed")?;
            Ok(Exit::Done)
        }
    }
}

/// The argument, or standard input for `-`: what stands there is in no history and no list of processes.
fn given(argument: String) -> Result<String, Error> {
    if argument != "-" {
        return Ok(argument);
    }
    let mut text = String::new();
    io::stdin().take(4_096).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn state(given: Option<PathBuf>) -> Result<PathBuf, Error> {
    given.or_else(|| Some(std::env::home_dir()?.join(".config/fleetctl/app.json"))).ok_or_else(|| {
        Error::Setting("there is no home directory to keep the device in: name a file with --state".into())
    })
}

fn activation(code: &str, url: Option<&str>) -> Result<Activation, Error> {
    let parsed = match url {
        _ if code.contains("://") => Activation::scan(code),
        Some(url) => Activation::typed(code, url),
        None => {
            let rule = "is required with a code that was typed: the URL that the page shows beside it";
            return Err(Error::Refused { field: "--url".into(), rule: rule.into() });
        }
    };
    parsed.map_err(|invalid| Error::Refused { field: "the code:".into(), rule: invalid.to_string() })
}

async fn activate(
    state: &Path,
    activation: &Activation,
    (name, key): (&str, KeyKind),
    screen: &mut Screen,
) -> Result<Exit, Error> {
    if state.exists() {
        let problem = "is a device already: give it up with `fleetctl app revoke`, remove the file if the fleet knows it no more, or name another one with --state";
        return Err(Error::File { path: state.to_owned(), problem: problem.into() });
    }
    let alg = match key {
        KeyKind::Es256 => DeviceAlg::Es256,
        KeyKind::Eddsa => DeviceAlg::EdDsa,
    };
    let about = (name, Platform::Other);
    let device = Device::activate(activation, DeviceKeyPair::generate(alg), about, None).await?;
    device.save(state)?;
    let (portal, account) = device.account();
    screen.line(&format!(
        "activated for {} at {}: device {}",
        clean(account),
        clean(portal),
        clean(device.id())
    ))?;
    screen.line("it counts when its test is answered: `fleetctl app list`")?;
    Ok(Exit::Done)
}

async fn list(device: &Device, screen: &mut Screen) -> Result<Exit, Error> {
    let challenges = device.list().await?;
    if challenges.is_empty() {
        screen.line("nothing waits for an answer")?;
        return Ok(Exit::Done);
    }
    let now = Clock::system().now();
    table::print(screen, &HEADS, &challenges.iter().map(|one| cells(one, now)).collect::<Vec<_>>())?;
    for challenge in &challenges {
        // It only shows the portal that somebody looks; the answer does not depend on it.
        let _ = device.opened(challenge).await;
    }
    Ok(Exit::Done)
}

fn cells(challenge: &Challenge, now: Timestamp) -> Vec<Cell> {
    let or_nothing = |text: &Option<String>| Cell::text(text.as_deref().unwrap_or(NOTHING));
    let number = if challenge.number_match { "type it" } else { NOTHING };
    let verify = match challenge.require_user_verification {
        UserVerification::Off => NOTHING,
        demanded @ (UserVerification::Any | UserVerification::Pin | UserVerification::Biometric) => {
            demanded.as_str()
        }
    };
    vec![
        Cell::text(&challenge.challenge_id),
        Cell::text(&challenge.portal_title),
        or_nothing(&challenge.context.application),
        or_nothing(&challenge.context.place),
        Cell::text(number),
        Cell::text(verify),
        Cell::number(format!("{} s", challenge.answer_by.since(now).as_secs())),
    ]
}

/// The challenge of this id, if it waits for an answer of this device.
async fn find(device: &Device, id: ChallengeId) -> Result<Challenge, Error> {
    let id = id.to_string();
    device.list().await?.into_iter().find(|challenge| challenge.challenge_id == id).ok_or_else(|| {
        Error::NotFound {
            what: format!("no challenge {id} waits for an answer of this device"),
            advice: "it was answered, called off, or too late; `fleetctl app list` shows what waits",
        }
    })
}

async fn approve(
    device: &Device,
    id: ChallengeId,
    (number, verified): (Option<&NumberMatch>, Option<Verified>),
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let challenge = find(device, id).await?;
    complete(&challenge, number.is_some(), verified)?;
    let decided = device.approve(&challenge, number.map(NumberMatch::reveal), verified).await?;
    say(&decided, screen)?;
    // What is no word of ours is no approval.
    Ok(ChallengeResult::parse(&decided.result).map_or(Exit::Failed, Exit::of))
}

/// What is missing in an approval, before it is sent: there is no second try.
fn complete(challenge: &Challenge, has_number: bool, verified: Option<Verified>) -> Result<(), Error> {
    let missing = |field: &str, rule: &str| Err(Error::Refused { field: field.into(), rule: rule.into() });
    if challenge.number_match && !has_number {
        return missing("--number", "is required: the digits on the portal's page");
    }
    match (challenge.require_user_verification, verified) {
        (UserVerification::Off, _)
        | (UserVerification::Any, Some(_))
        | (UserVerification::Pin, Some(Verified::Pin))
        | (UserVerification::Biometric, Some(Verified::Biometric)) => Ok(()),
        (UserVerification::Any, None) => missing("--uv", "is required: pin or biometric"),
        (UserVerification::Pin, _) => missing("--uv", "must be pin"),
        (UserVerification::Biometric, _) => missing("--uv", "must be biometric"),
    }
}

async fn deny(
    device: &Device,
    (id, denial): (ChallengeId, Denial),
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let decided = device.deny(&find(device, id).await?, denial).await?;
    say(&decided, screen)?;
    Ok(Exit::Done)
}

fn say(decided: &Decided, screen: &mut Screen) -> Result<(), Error> {
    screen.line(&format!("{}: {}", clean(&decided.result), clean(&decided.reason)))
}

fn code(device: &Device, screen: &mut Screen) -> Result<Exit, Error> {
    let code = device.one_time_code().ok_or_else(|| Error::NotFound {
        what: "this device has no one-time codes".into(),
        advice: "the fleet gave no secret for them when it was activated",
    })?;
    screen.line(&format!("{}  {} s", code.digits, code.seconds_left))?;
    Ok(Exit::Done)
}

fn qr(text: &str, svg: Option<&Path>, screen: &mut Screen) -> Result<Exit, Error> {
    let too_long =
        |_| Error::Refused { field: "the text".into(), rule: "is longer than a QR code can say".into() };
    let qr = Qr::of(text).map_err(too_long)?;
    match svg {
        None => draw(&qr, screen)?,
        // It may say an activation code: for its owner alone.
        Some(path) => create(path)?.write_all(qr.svg().as_bytes())?,
    }
    Ok(Exit::Done)
}

/// Draws a QR code on the screen.
pub(super) fn draw(qr: &Qr, screen: &mut Screen) -> Result<(), Error> {
    qr.lines(screen.colour()).iter().try_for_each(|line| screen.line(line))
}

fn create(path: &Path) -> Result<fs::File, Error> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options
        .open(path)
        .map_err(|error| Error::File { path: path.to_owned(), problem: format!("cannot be made: {error}") })
}
