//! The history of one challenge. For a help desk, not for the hot path: it reads some minutes of the audit.

use std::time::Duration;

use fleet_domain::{Challenge, ChallengeKey};
use tokio_postgres::Row;

use crate::connection::{Connections, Session};
use crate::error::{Error, Fault};
use crate::load::find;
use crate::note::{AuditRow, Detail};
use crate::row::{result_of, signed, unsigned};
use crate::sql_time::SqlTime;

/// How long one statement of the reading may take.
pub(crate) const TIME: Duration = Duration::from_secs(30);
/// How long after its deadline the last version of a challenge is looked for, one after the other: facts about its calls
/// mostly come in within minutes; after an outage they may come later, and so may its end.
const LATE: [Duration; 3] =
    [Duration::from_mins(15), Duration::from_hours(24), Duration::from_hours(24 * 3650)];
/// What clocks may differ.
const CLOCKS: Duration = Duration::from_mins(1);

/// Audit rows are found by their time alone, through an index over ranges of pages.
const VERSIONS: &str = "SELECT at, id, portal, version, result, event, detail FROM audit
    WHERE at BETWEEN $1 AND $2 AND id = $3 AND portal = $4 ORDER BY version";

pub(crate) async fn history(connections: &Connections, key: &ChallengeKey) -> Result<Vec<AuditRow>, Error> {
    let doing = "reading a challenge's history";
    let found = find(connections, &[key]).await.map_err(|fault| fault.into_error(doing))?;
    let Some(loaded) = found.into_values().next() else { return Ok(Vec::new()) };
    let challenge = loaded?.stored.challenge;
    let read = async {
        let mut session = connections.durable().await?;
        session.extend(TIME);
        session
            .begin(&format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", TIME.as_millis()))
            .await?;
        let rows = versions(&mut session, &challenge).await?;
        session.commit().await?;
        Ok(rows)
    };
    let rows = read.await.map_err(|fault: Fault| fault.into_error(doing))?;
    rows.iter().map(row_of).collect()
}

/// All versions of a challenge that are kept: columns as in the table, in the order of their numbers.
pub(crate) async fn versions(session: &mut Session, challenge: &Challenge) -> Result<Vec<Row>, Fault> {
    let (id, portal) = (challenge.key.id.uuid(), challenge.key.portal.as_str());
    let since = SqlTime(challenge.request.accepted_at.minus(CLOCKS));
    let mut rows = Vec::new();
    for late in LATE {
        session.extend(TIME);
        let until = SqlTime(challenge.request.answer_by.plus(late));
        rows = session.query(VERSIONS, &[&since, &until, &id, &portal]).await?;
        let newest = rows.last().map_or(0, |row| row.get(3));
        if newest >= signed(challenge.version) {
            break;
        }
    }
    Ok(rows)
}

/// Reads a row of [`versions`].
pub(crate) fn row_of(row: &Row) -> Result<AuditRow, Error> {
    Ok(AuditRow {
        at: row.get::<_, SqlTime>(0).0,
        version: unsigned(row.get(3)),
        result: result_of(row.get(4))?,
        event: row.get(5),
        detail: Detail::decode(row.get(6))?,
    })
}
