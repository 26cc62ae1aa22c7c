//! The history of one challenge. For a help desk, not for the hot path: it reads some minutes of the audit.

use std::time::Duration;

use fleet_domain::{ChallengeKey, Timestamp};
use tokio_postgres::Row;

use crate::connection::Connections;
use crate::error::{Error, Fault};
use crate::load::find;
use crate::note::{AuditRow, Detail};
use crate::row::{result_of, unsigned};
use crate::sql_time::SqlTime;

/// How long the reading may take.
const TIME: Duration = Duration::from_secs(30);
/// How long after its deadline facts about a challenge's calls may still come in.
const LATE_FACTS: Duration = Duration::from_mins(15);
/// What clocks may differ.
const CLOCKS: Duration = Duration::from_mins(1);

/// Audit rows are found by their time alone, through an index over ranges of pages.
const HISTORY: &str = "SELECT at, version, result, event, detail FROM audit
    WHERE at BETWEEN $1 AND $2 AND id = $3 AND portal = $4 ORDER BY version";

pub(crate) async fn history(connections: &Connections, key: &ChallengeKey) -> Result<Vec<AuditRow>, Error> {
    let doing = "reading a challenge's history";
    let found = find(connections, &[key]).await.map_err(|fault| fault.into_error(doing))?;
    let Some(loaded) = found.into_values().next() else { return Ok(Vec::new()) };
    let request = loaded?.stored.challenge.request;
    let since = request.accepted_at.minus(CLOCKS);
    let until = request.answer_by.plus(LATE_FACTS);
    let rows = read(connections, key, (since, until)).await.map_err(|fault| fault.into_error(doing))?;
    rows.iter().map(row_of).collect()
}

async fn read(
    connections: &Connections,
    key: &ChallengeKey,
    (since, until): (Timestamp, Timestamp),
) -> Result<Vec<Row>, Fault> {
    let mut session = connections.durable().await?;
    session.extend(TIME);
    session.begin(&format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", TIME.as_millis())).await?;
    let (id, portal) = (key.id.uuid(), key.portal.as_str());
    let rows = session.query(HISTORY, &[&SqlTime(since), &SqlTime(until), &id, &portal]).await?;
    session.commit().await?;
    Ok(rows)
}

fn row_of(row: &Row) -> Result<AuditRow, Error> {
    Ok(AuditRow {
        at: row.get::<_, SqlTime>(0).0,
        version: unsigned(row.get(1)),
        result: result_of(row.get(2))?,
        event: row.get(3),
        detail: Detail::decode(row.get(4))?,
    })
}
