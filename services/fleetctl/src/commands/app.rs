//! `fleetctl app`: an authenticator for the terminal, on top of the app's client.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use fleet_app_client::{
    Activation, Challenge, Decided, Denial, Device, DeviceAlg, Platform, Timestamp, UserVerification,
    Verified,
};
use fleet_contracts::NumberMatch;
use fleet_domain::{ChallengeId, ChallengeResult};
use fleet_lifecycle::Clock;

use crate::cli::{AppAct, AppArgs, KeyKind};
use crate::error::Error;
use crate::exit::Exit;
use crate::file::mistake;
use crate::input;
use crate::print::{Screen, Style, clean};
use crate::qr::Qr;

/// Runs the command.
pub(super) async fn run(args: AppArgs, screen: &mut Screen) -> Result<Exit, Error> {
    if let AppAct::Qr { text, svg } = args.act {
        let text = if text == "-" { piped()? } else { text };
        return qr(&text, svg.as_deref(), screen);
    }
    let state = state(args.state)?;
    match args.act {
        AppAct::Qr { .. } => Ok(Exit::Done),
        AppAct::Activate { code, url, name, key } => {
            let code = if code == "-" { input::secret("code")? } else { code };
            activate(&state, &activation(&code, url.as_deref())?, (&name, key), screen).await
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
            fs::remove_file(&state).map_err(|error| {
                let rest = "the device is given up, but its file cannot be removed";
                mistake(&state, format!("{rest}: {error}; it is of no use any more: remove it yourself"))
            })?;
            screen.line("the device is given up, and its file removed")?;
            Ok(Exit::Done)
        }
    }
}

/// All of standard input.
fn piped() -> Result<String, Error> {
    let mut text = String::new();
    let read = io::stdin().take(4_096).read_to_string(&mut text);
    read.map_err(|error| Error::Input(format!("cannot be read: {error}")))?;
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
    let alg = match key {
        KeyKind::Es256 => DeviceAlg::Es256,
        KeyKind::Eddsa => DeviceAlg::EdDsa,
    };
    let device = Device::activate_in(state, activation, alg, (name, Platform::Other), None).await?;
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
    for challenge in &challenges {
        show(challenge, screen)?;
        // It only shows the portal that somebody looks; the answer does not depend on it.
        let _ = device.opened(challenge).await;
    }
    Ok(Exit::Done)
}

/// Everything that a person needs to decide.
fn show(challenge: &Challenge, screen: &mut Screen) -> Result<(), Error> {
    screen.spans(&[(Style::Bold, clean(&challenge.challenge_id))])?;
    for (name, value) in facts(challenge, Clock::system().now()) {
        screen.spans(&[(Style::Dim, format!("  {:11} ", clean(name))), (Style::Plain, clean(&value))])?;
    }
    Ok(())
}

fn facts(challenge: &Challenge, now: Timestamp) -> Vec<(&str, String)> {
    let purpose = match challenge.purpose.as_str() {
        "sign_in" => "a sign-in",
        "enrollment_test" => "the test of an enrollment",
        other => other,
    };
    let context = &challenge.context;
    let told =
        [("application", &context.application), ("place", &context.place), ("from", &context.client_ip)];
    let told = told.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    let own = context.fields.iter().map(|field| (field.name.as_str(), field.value.clone()));
    let number = challenge.number_match.then(|| "the digits on the portal's page (--number)".to_owned());
    let verify = match challenge.require_user_verification {
        UserVerification::Off => None,
        UserVerification::Any => Some("pin or biometric (--uv)"),
        UserVerification::Pin => Some("pin (--uv pin)"),
        UserVerification::Biometric => Some("biometric (--uv biometric)"),
    };
    let mut facts = vec![("portal", challenge.portal_title.clone()), ("asks for", purpose.to_owned())];
    facts.extend(told.chain(own));
    facts.extend(number.map(|number| ("type", number)));
    facts.extend(verify.map(|verify| ("verify", verify.to_owned())));
    facts.push(("time left", format!("{} s", challenge.answer_by.since(now).as_secs())));
    facts
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
    show(&challenge, screen)?;
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
    let challenge = find(device, id).await?;
    show(&challenge, screen)?;
    let decided = device.deny(&challenge, denial).await?;
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
        Some(path) => {
            let written = create(path)?.write_all(qr.svg().as_bytes());
            written.map_err(|error| mistake(path, format!("cannot be written: {error}")))?;
        }
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
    options.open(path).map_err(|error| mistake(path, format!("cannot be made: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_shows_everything_that_a_person_needs_to_decide() {
        let challenge: Challenge = serde_json::from_str(
            r#"{
                "portal": "operations", "portal_title": "Operations Portal", "nonce": "n",
                "challenge_id": "0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b", "purpose": "sign_in",
                "answer_by": "2026-11-24T09:32:00.000Z", "accepted_at": "2026-11-24T09:30:00.120Z",
                "number_match": true, "require_user_verification": "any",
                "context": {
                    "application": "Payroll", "client_ip": "198.51.100.24", "place": "Raleigh",
                    "fields": [{ "name": "Amount", "value": "1000 EUR" }]
                }
            }"#,
        )
        .unwrap();
        let now = Timestamp::from_micros(challenge.answer_by.as_millis() * 1_000 - 27_000_000);
        let shown: Vec<String> =
            facts(&challenge, now).into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            shown,
            [
                "portal: Operations Portal",
                "asks for: a sign-in",
                "application: Payroll",
                "place: Raleigh",
                "from: 198.51.100.24",
                "Amount: 1000 EUR",
                "type: the digits on the portal's page (--number)",
                "verify: pin or biometric (--uv)",
                "time left: 27 s",
            ]
        );
    }
}
