//! `fleetctl carriers`: how many calls a second each carrier is given.

use fleet_domain::Timestamp;
use fleet_records::{CarrierRate, Cause};

use super::history::date;
use crate::error::Error;
use crate::exit::Exit;
use crate::print::{Screen, Style};
use crate::session::{Session, records_error};
use crate::settings::Sections;
use crate::table::{self, Cell};

const HEADS: [&str; 5] = ["carrier", "calls/s", "waiting", "for", "changed"];

pub(super) async fn show(sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let session = Session::new();
    let records = session.records(sections).await?;
    let found = async { Ok((records.carriers().await?, records.now()?)) }.await;
    drop(records);
    session.end().await;
    let (carriers, now) = found.map_err(|error| records_error(&error))?;
    if carriers.is_empty() {
        screen.line("no carrier was given a call yet")?;
        return Ok(Exit::Done);
    }
    table::print(screen, &HEADS, &carriers.iter().map(|carrier| cells(carrier, now)).collect::<Vec<_>>())?;
    Ok(Exit::Done)
}

pub(super) async fn set_rate(
    (carrier, calls_per_second): (&str, u16),
    reason: &str,
    sections: &Sections,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let session = Session::new();
    let records = session.records(sections).await?;
    let changed = records.set_rate(carrier, calls_per_second, &Cause::operator(reason)).await;
    drop(records);
    session.end().await;
    if !changed.map_err(|error| records_error(&error))? {
        return Err(Error::NotFound {
            what: format!("there is no carrier {carrier}"),
            advice: "`fleetctl carriers` shows those that were given a call; before that, the setting \
                     twilio.calls_per_second counts",
        });
    }
    screen.line(&format!("{carrier} is given {calls_per_second} calls a second by the whole fleet"))?;
    Ok(Exit::Done)
}

fn cells(carrier: &CarrierRate, now: Timestamp) -> Vec<Cell> {
    let waits = carrier.waiting > 0;
    let style = if waits { Style::Bad } else { Style::Plain };
    let waited =
        carrier.waiting_since.map_or_else(String::new, |since| format!("{} s", now.since(since).as_secs()));
    let changed = carrier.changed.as_ref();
    let changed = changed.map(|(at, who, why)| format!("{} by {who}: {why}", date(*at)));
    vec![
        Cell::text(&carrier.name),
        Cell::number(carrier.calls_per_second.to_string()),
        Cell::number(carrier.waiting.to_string()).styled(style),
        Cell::number(waited),
        Cell::text(changed.unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carrier_is_a_line_with_its_rate_and_who_waits() {
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        let busy = CarrierRate {
            name: "twilio".into(),
            calls_per_second: 20,
            waiting: 112,
            waiting_since: Some(now.minus(std::time::Duration::from_secs(6))),
            changed: Some((now, "operator dora".into(), "more contracted".into())),
        };
        let idle = CarrierRate {
            name: "other".into(),
            waiting: 0,
            waiting_since: None,
            changed: None,
            ..busy.clone()
        };
        let golden = "\
carrier  calls/s  waiting  for  changed
twilio        20      112  6 s  2026-09-21T14:13:20Z by operator dora: more contracted
other         20        0";
        let rows = [cells(&busy, now), cells(&idle, now)];
        assert_eq!(table::lines(&HEADS, &rows, false).join("\n"), golden);
    }
}
