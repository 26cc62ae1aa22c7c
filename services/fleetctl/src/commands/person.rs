//! `fleetctl user export` and `fleetctl user erase`: everything about one person, told or removed.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use fleet_domain::{Attempt, Challenge, Step, Target, Timestamp, UserId};
use fleet_records::{Actor, AuditRow, Erasure, Person, PersonsChallenge};
use serde_json::{Map, Value, json};

use super::history::{actor, date};
use super::standing::no_such;
use crate::error::Error;
use crate::exit::Exit;
use crate::file::mistake;
use crate::print::Screen;
use crate::session::{Session, engine_error, records_error};
use crate::settings::Sections;

pub(super) async fn export(
    user: &UserId,
    out: Option<&Path>,
    sections: &Sections,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let session = Session::new();
    let records = session.records(sections).await?;
    let found = async { Ok((records.person(user).await?, records.now()?)) }.await;
    drop(records);
    session.end().await;
    let (person, now) = found.map_err(|error: fleet_records::Error| records_error(&error))?;
    let person = person.ok_or_else(|| no_such(user))?;
    let text = format!("{:#}", document(user, &person, now));
    let Some(path) = out else {
        screen.line(&text)?;
        return Ok(Exit::Done);
    };
    // Numbers are in it: nobody else is to read it, and nothing is overwritten.
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(format!("{text}\n").as_bytes()));
    written.map_err(|error| mistake(path, format!("cannot be written: {error}")))?;
    let challenges = person.challenges.len();
    screen.line(&format!("{user} was exported to {}, with {challenges} challenges", path.display()))?;
    Ok(Exit::Done)
}

pub(super) async fn erase(
    user: &UserId,
    (reason, confirmed): (&str, bool),
    sections: &Sections,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let session = Session::new();
    let records = session.records(sections).await?;
    let counts = records.count_person(user).await;
    drop(records);
    session.end().await;
    let counts = counts.map_err(|error| records_error(&error))?;
    if counts.is_empty() {
        return Err(no_such(user));
    }
    let stored: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    screen.line(&format!("stored about {user}: {}", stored.join(", ")))?;
    if !confirmed {
        confirm(user, screen)?;
    }
    match block_and_erase(user, reason, sections).await? {
        Erasure::Unknown => Err(no_such(user)),
        Erasure::Unsettled(count) => Err(Error::Unsettled { user: user.to_string(), count }),
        Erasure::Done(erased) => {
            screen.line(&format!(
                "{user} was erased: {} challenges and {} acts are nobody's now; the audit calls nobody {}",
                erased.challenges, erased.acts, erased.pseudonym
            ))?;
            Ok(Exit::Done)
        }
    }
}

/// What is open ends as by a block; what the carriers still have to be told is handed over.
async fn block_and_erase(user: &UserId, reason: &str, sections: &Sections) -> Result<Erasure, Error> {
    let session = Session::new();
    let engine = session.engine(sections).await?;
    let done = async {
        let login = engine.records().login().await?;
        // Of a user who is gone already there may be challenges left.
        let _known = engine.block(user, None, (&Actor::Operator(login), reason)).await?;
        Ok(engine.records().erase(user, reason).await?)
    };
    let done = done.await;
    drop(engine);
    session.end().await;
    done.map_err(|error: fleet_engine::Error| engine_error(&error))
}

fn confirm(user: &UserId, screen: &mut Screen) -> Result<(), Error> {
    let question = format!("This cannot be undone. To erase {user} for good, type the id again: ");
    match screen.ask(&question)? {
        Some(answer) if answer == user.as_str() => Ok(()),
        Some(_) => Err(Error::NotErased { why: "what was typed is another id".to_owned() }),
        None => {
            Err(Error::NotErased { why: format!("--yes erases {user} for good where nobody can be asked") })
        }
    }
}

fn document(user: &UserId, person: &Person, now: Timestamp) -> Value {
    let mut document = Map::new();
    document.insert("user_id".to_owned(), user.as_str().into());
    document.insert("exported_at".to_owned(), date(now).into());
    for (name, rows) in &person.parts {
        document.insert((*name).to_owned(), Value::Array(rows.clone()));
    }
    document.insert("challenges".to_owned(), person.challenges.iter().map(challenge).collect());
    Value::Object(document)
}

fn challenge(one: &PersonsChallenge) -> Value {
    let PersonsChallenge { challenge, history } = one;
    let (request, end) = (&challenge.request, &challenge.live.end);
    let fields: Vec<Value> = request
        .context
        .fields
        .iter()
        .map(|field| json!({ "name": field.name, "value": field.value }))
        .collect();
    json!({
        "id": challenge.key.id.to_string(),
        "portal": challenge.key.portal.as_str(),
        "purpose": request.purpose.as_str(),
        "result": challenge.result().as_str(),
        "reason": end.as_ref().map(|end| end.reason.as_str()),
        "assurance": end.as_ref().and_then(|end| end.assurance).map(fleet_domain::Assurance::as_str),
        "device": end.as_ref().and_then(|end| end.device).map(|device| device.to_string()),
        "accepted_at": date(request.accepted_at),
        "answer_by": date(request.answer_by),
        "ended_at": end.as_ref().map(|end| date(end.at)),
        "locale": request.locale,
        "context": {
            "application": request.context.application,
            "client_ip": request.context.client_ip,
            "place": request.context.place,
            "fields": fields,
        },
        "steps": request.steps.iter().map(step).collect::<Value>(),
        "skipped": request.skipped.iter().map(|one| format!("{} {}: {}", one.channel, target(one.target), one.reason)).collect::<Value>(),
        "user_verification": request.user_verification.as_str(),
        "alternatives": request.alternatives.iter().map(|other| format!("{} {}", other.channel, target(other.target))).collect::<Value>(),
        "wrong_answers": challenge.live.tries,
        "attempts": challenge.live.attempts.iter().map(|one| attempt(challenge, one)).collect::<Value>(),
        "history": history.iter().map(version).collect::<Value>(),
    })
}

fn step(step: &Step) -> Value {
    match step {
        Step::Voice { phone, ring_s } => json!({
            "channel": "voice", "phone": phone.role.as_str(), "number": phone.masked, "rings_s": ring_s,
        }),
        Step::Push { device, timeout_ms } | Step::Totp { device, timeout_ms } => json!({
            "channel": step.channel().as_str(), "device": device.map(|device| device.to_string()),
            "timeout_ms": timeout_ms,
        }),
    }
}

fn target(target: Target) -> String {
    match target {
        Target::Primary => "primary".to_owned(),
        Target::Backup => "backup".to_owned(),
        Target::Device(device) => device.to_string(),
    }
}

fn attempt(challenge: &Challenge, attempt: &Attempt) -> Value {
    let time = |elapsed: Option<u32>| elapsed.map(|elapsed| date(challenge.time_of(elapsed)));
    json!({
        "number": attempt.number,
        "channel": attempt.channel.as_str(),
        "state": attempt.state.as_str(),
        "reason": attempt.reason.map(fleet_domain::Reason::as_str),
        "call_id": attempt.sid,
        "caller_id": attempt.caller_id.as_ref().map(|id| &id.number),
        "provider_code": attempt.provider_code,
        "sip": attempt.sip,
        "placed_at": time(attempt.placed_ms),
        "ringing_at": time(attempt.ringing_ms),
        "answered_at": time(attempt.answered_ms),
        "ended_at": time(attempt.ended_ms),
        "duration_s": attempt.duration_s,
    })
}

fn version(row: &AuditRow) -> Value {
    let detail = &row.detail;
    json!({
        "version": row.version,
        "at": date(row.at),
        "event": row.event,
        "by": actor(&detail.actor),
        "result": row.result.as_str(),
        "progress": detail.progress.as_str(),
        "reason": detail.reason.map(fleet_domain::Reason::as_str),
        "attempts": detail.attempts.iter().map(super::history::attempt).collect::<Value>(),
    })
}
