//! `fleetctl history`.

use fleet_domain::{ChallengeId, ChallengeKey, PortalName, Timestamp};
use fleet_records::{Actor, AttemptNote, AuditRow};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::Error;
use crate::exit::Exit;
use crate::print::{Screen, seconds};
use crate::progress::style_of;
use crate::session::{Session, records_error};
use crate::settings::Sections;
use crate::table::{self, Cell};

const HEADS: [&str; 8] = ["version", "after", "event", "by", "result", "progress", "attempts", "reason"];

pub(super) async fn run(
    portal: PortalName,
    id: ChallengeId,
    sections: &Sections,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let session = Session::new();
    let records = session.records(sections).await?;
    let key = ChallengeKey { id, portal };
    let found = records.history(&key).await;
    drop(records);
    session.end().await;
    let rows = found.map_err(|error| records_error(&error))?;
    let Some(first) = rows.first() else {
        return Err(Error::NotFound {
            what: format!("there is no challenge {key}"),
            advice: "is the portal right? rows are kept for `records.days_kept` days",
        });
    };
    screen.line(&format!("{key}, since {}", date(first.at)))?;
    let cells: Vec<Vec<Cell>> = rows.iter().map(|row| cells(row, first.at)).collect();
    table::print(screen, &HEADS, &cells)?;
    Ok(Exit::Done)
}

fn cells(row: &AuditRow, since: Timestamp) -> Vec<Cell> {
    let detail = &row.detail;
    let attempts: Vec<String> = detail.attempts.iter().map(attempt).collect();
    let mut reason: Vec<String> = Vec::new();
    reason.extend(detail.reason.map(|reason| reason.to_string()));
    reason.extend(detail.assurance.map(|assurance| format!("assurance {assurance}")));
    reason.extend(detail.device.map(|device| format!("device {device}")));
    if detail.tries > 0 {
        reason.push(format!("{} wrong", detail.tries));
    }
    vec![
        Cell::number(row.version.to_string()),
        Cell::number(seconds(row.at.since(since))),
        Cell::text(&row.event),
        Cell::text(actor(&detail.actor)),
        Cell::text(row.result.as_str()).styled(style_of(row.result)),
        Cell::text(detail.progress.as_str()),
        Cell::text(attempts.join("; ")),
        Cell::text(reason.join(", ")),
    ]
}

pub(super) fn actor(actor: &Actor) -> String {
    match actor {
        Actor::Fleet => "fleet".to_owned(),
        Actor::Portal => "portal".to_owned(),
        Actor::Provider => "provider".to_owned(),
        Actor::Person => "person".to_owned(),
        Actor::Operator(login) => format!("operator {login}"),
    }
}

pub(super) fn attempt(note: &AttemptNote) -> String {
    let mut text = format!("{} {} {}", note.number, note.channel, note.state);
    let more = [
        note.caller_id.as_ref().map(|id| format!("from {} ({})", id.number, id.step)),
        note.reason.map(|reason| reason.to_string()),
        note.provider_code.map(|code| format!("code {code}")),
        note.sip.map(|sip| format!("SIP {sip}")),
        note.duration_s.map(|duration| format!("{duration} s")),
        note.sid.clone(),
    ];
    for fact in more.into_iter().flatten() {
        text.push(' ');
        text.push_str(&fact);
    }
    text
}

/// The time in UTC.
pub(super) fn date(at: Timestamp) -> String {
    let nanos = i128::from(at.as_micros()) * 1_000;
    let time =
        OffsetDateTime::from_unix_timestamp_nanos(nanos).ok().and_then(|time| time.format(&Rfc3339).ok());
    time.unwrap_or_else(|| format!("{} µs", at.as_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_domain::{AttemptState, CallerId, CallerIdStep, ChallengeResult, Channel, Progress, Reason};
    use fleet_records::Detail;

    #[test]
    fn a_row_tells_who_did_what_to_which_attempt() {
        let start = Timestamp::from_micros(1_790_000_000_000_000);
        let note = AttemptNote {
            number: 1,
            channel: Channel::Voice,
            state: AttemptState::Ended,
            reason: Some(Reason::Busy),
            sid: None,
            provider_code: None,
            sip: Some(486),
            duration_s: None,
            caller_id: None,
        };
        let row = AuditRow {
            at: Timestamp::from_micros(1_790_000_001_250_000),
            version: 4,
            result: ChallengeResult::Failed,
            event: "call_ended".to_owned(),
            detail: Detail {
                actor: Actor::Provider,
                progress: Progress::Ended,
                previous: Some(ChallengeResult::Pending),
                attempts: vec![note],
                tries: 0,
                reason: Some(Reason::Busy),
                assurance: None,
                device: None,
            },
        };
        let caller_id = CallerId { number: "+442079460000".to_owned(), step: CallerIdStep::Other };
        let dialed = AttemptNote {
            state: AttemptState::Dialing,
            reason: None,
            sip: None,
            caller_id: Some(caller_id),
            ..row.detail.attempts[0].clone()
        };
        let pending = ChallengeResult::Pending;
        let dial = AuditRow {
            version: 2,
            result: pending,
            event: "dial".to_owned(),
            detail: Detail {
                actor: Actor::Fleet,
                progress: Progress::Dialing,
                attempts: vec![dialed],
                reason: None,
                ..row.detail.clone()
            },
            ..row.clone()
        };
        let golden = "\
version   after  event       by        result   progress  attempts                                    reason
      2  1.25 s  dial        fleet     pending  dialing   1 voice dialing from +442079460000 (other)
      4  1.25 s  call_ended  provider  failed   ended     1 voice ended busy SIP 486                  busy";
        let lines = table::lines(&HEADS, &[cells(&dial, start), cells(&row, start)], false);
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        assert_eq!(lines.join("\n"), golden);
        assert_eq!(date(start), "2026-09-21T14:13:20Z");
    }
}
