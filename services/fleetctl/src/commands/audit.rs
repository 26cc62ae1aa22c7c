//! `fleetctl audit`: whether the audit trail is as it was sealed.

use std::time::Duration;

use fleet_records::{Finding, Records, RowName, Seal, SealCheck};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::history::date;
use crate::cli::Since;
use crate::error::Error;
use crate::exit::Exit;
use crate::print::{Screen, Style, clean, seconds};
use crate::session::{Session, records_error};
use crate::settings::Sections;
use crate::table::{self, Cell};

const HEADS: [&str; 7] = ["seal", "from", "to", "versions", "acts", "sealed after", "hash"];
/// How much of a hash is shown in a table.
const SHORT: usize = 16;
/// Between two drawings of the progress.
const FRAME: Duration = Duration::from_millis(100);
/// Findings that are shown; the rest are counted.
const SHOWN: usize = 100;

pub(super) async fn list(limit: u16, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let session = Session::new();
    let records = session.records(sections).await?;
    let seals = records.audit_seals(limit).await;
    drop(records);
    session.end().await;
    let seals = seals.map_err(|error| records_error(&error))?;
    if seals.is_empty() {
        screen.line("nothing is sealed yet")?;
        return Ok(Exit::Done);
    }
    table::print(screen, &HEADS, &seals.iter().map(cells).collect::<Vec<_>>())?;
    Ok(Exit::Done)
}

fn cells(seal: &Seal) -> Vec<Cell> {
    vec![
        Cell::number(seal.number.to_string()),
        Cell::text(date(seal.since)),
        Cell::text(date(seal.until)),
        Cell::number(seal.audit_rows.to_string()),
        Cell::number(seal.acts_rows.to_string()),
        Cell::number(seconds(seal.sealed_at.since(seal.until))),
        Cell::text(seal.hash_hex().chars().take(SHORT).collect::<String>()),
    ]
}

pub(super) async fn verify(
    since: Option<Since>,
    sections: &Sections,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let session = Session::new();
    let records = session.records(sections).await?;
    let walked = walk(&records, since, screen).await;
    drop(records);
    session.end().await;
    let report = walked?;
    let Some(newest) = &report.newest else {
        return Err(Error::NotFound {
            what: "no seal covers that time".to_owned(),
            advice: "the fleet seals what is older than two minutes; were the seals removed? Its logs name each \
                     (audit sealed)",
        });
    };
    for line in &report.findings {
        screen.spans(&[(Style::Bad, line.clone())])?;
    }
    for line in report.lines(newest) {
        screen.line(&line)?;
    }
    Ok(if report.found == 0 { Exit::Done } else { Exit::Data })
}

/// What the way along the chain has shown.
#[derive(Debug, Default)]
struct Report {
    seals: u64,
    rows: u64,
    erased: u64,
    dropped: u64,
    found: usize,
    /// The first of what was found.
    findings: Vec<String>,
    newest: Option<Seal>,
}

async fn walk(records: &Records, since: Option<Since>, screen: &mut Screen) -> Result<Report, Error> {
    let failed = |error: fleet_records::Error| records_error(&error);
    let since = match since {
        None => None,
        Some(Since::At(at)) => Some(at),
        Some(Since::Ago(ago)) => Some(records.now().map_err(failed)?.minus(ago)),
    };
    let mut verification = records.verify_audit(since).await.map_err(failed)?;
    let (total, live) = (verification.total(), screen.can_redraw(1));
    let (mut report, began) = (Report::default(), Instant::now());
    let mut frame = interval(FRAME);
    frame.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while let Some(check) = verification.next().await.map_err(failed)? {
        report.take(check);
        let due = tokio::select! { biased; _ = frame.tick() => true, () = std::future::ready(()) => false };
        if live && (due || report.seals == total) {
            screen.redraw(&[vec![(Style::Dim, progress(&report, total, began.elapsed()))]])?;
        }
    }
    Ok(report)
}

fn progress(report: &Report, total: u64, elapsed: Duration) -> String {
    let done = report.seals * 100 / total.max(1);
    let found = if report.found == 0 { String::new() } else { format!(", {} findings", report.found) };
    format!("{done:3} %  seal {} of {total}, {} rows{found}  {}", report.seals, report.rows, seconds(elapsed))
}

impl Report {
    fn take(&mut self, check: SealCheck) {
        self.seals += 1;
        self.rows += check.rows;
        self.erased += check.erased;
        self.dropped += check.dropped;
        self.found += check.findings.len();
        let room = SHOWN.saturating_sub(self.findings.len());
        self.findings.extend(check.findings.iter().take(room).map(|finding| line(&check.seal, finding)));
        self.newest = Some(check.seal);
    }

    fn lines(&self, newest: &Seal) -> Vec<String> {
        let mut lines = Vec::new();
        let more = self.found - self.findings.len();
        lines.extend((more > 0).then(|| format!("and {more} more")));
        let verdict = match self.found {
            0 => "all is as it was sealed".to_owned(),
            found => format!("{found} findings: see \"Audit\" in the runbook"),
        };
        lines.push(format!("checked {} seals and {} rows: {verdict}", self.seals, self.rows));
        lines
            .extend((self.erased > 0).then(|| format!("rows of erased persons among them: {}", self.erased)));
        lines
            .extend((self.dropped > 0).then(|| {
                format!("rows that retention has dropped since they were sealed: {}", self.dropped)
            }));
        lines.push(format!(
            "the newest seal is {}, until {}, {}",
            newest.number,
            date(newest.until),
            newest.hash_hex()
        ));
        lines
    }
}

fn line(seal: &Seal, finding: &Finding) -> String {
    let (since, until) = (date(seal.since), date(seal.until));
    clean(&format!("seal {}, {since} to {until}: {}", seal.number, what(finding)))
}

fn what(finding: &Finding) -> String {
    let row = |row: &RowName, has: &str| format!("{} {has}: {}", date(row.at), row.what);
    match finding {
        Finding::SealsMissing { from, to } if from == to => format!("seal {from} before it is missing"),
        Finding::SealsMissing { from, to } => format!("seals {from} to {to} before it are missing"),
        Finding::SealAltered => "the seal was altered, or the one before it".to_owned(),
        Finding::SealForged => "the seal was not made with this fleet's key".to_owned(),
        Finding::RowAltered(name) => row(name, "was altered"),
        Finding::RowRemoved(name) => row(name, "was removed"),
        Finding::RowInserted(name) => row(name, "was inserted"),
        Finding::RowNotErasedByFleet(name) => {
            row(name, "is marked as an erased person's, but not with this fleet's key, or was altered since")
        }
        Finding::Rows { table } => format!("rows of {table} do not fit; which ones can't be told"),
        Finding::DayRemoved { day } => {
            format!("the audit of {day} is gone, and no act says that retention dropped it")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_domain::Timestamp;

    #[test]
    fn every_finding_names_its_seal_and_what_is_wrong() {
        let at = Timestamp::from_micros(1_790_000_000_000_000);
        let name = || RowName { at, what: "version 2 (placed) of challenge vpn/0193".to_owned() };
        for (finding, part) in [
            (Finding::SealsMissing { from: 2, to: 2 }, "seal 2 before it is missing"),
            (Finding::SealsMissing { from: 2, to: 4 }, "seals 2 to 4 before it are missing"),
            (Finding::SealAltered, "the seal was altered, or the one before it"),
            (Finding::SealForged, "the seal was not made with this fleet's key"),
            (
                Finding::RowAltered(name()),
                "2026-09-21T14:13:20Z was altered: version 2 (placed) of challenge vpn/0193",
            ),
            (Finding::RowRemoved(name()), "was removed: "),
            (Finding::RowInserted(name()), "was inserted: "),
            (
                Finding::RowNotErasedByFleet(name()),
                "is marked as an erased person's, but not with this fleet's key",
            ),
            (Finding::Rows { table: "acts" }, "rows of acts do not fit; which ones can't be told"),
            (Finding::DayRemoved { day: "20260921".to_owned() }, "the audit of 20260921 is gone"),
        ] {
            assert!(what(&finding).contains(part), "{}", what(&finding));
        }
    }

    #[test]
    fn progress_tells_how_far_it_is() {
        let report = Report { seals: 30, rows: 1200, found: 2, ..Report::default() };
        let line = progress(&report, 120, Duration::from_millis(1500));
        assert_eq!(line, " 25 %  seal 30 of 120, 1200 rows, 2 findings  1.50 s");
    }
}
