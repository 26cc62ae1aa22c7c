//! What sweeps read: challenges past their deadline, attempts due for a look, ends not marked as told.
//!
//! None of them looks at what is open. The first begins at a low-water mark, the second at the rows of `calls`
//! whose time has come, the third follows the ended rows of the audit in the order of time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fleet_domain::{ChallengeKey, LONGEST, OLDEST_ID, Timestamp};
use tokio::time::Instant;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::connection::Connections;
use crate::error::{Error, Fault};
use crate::low_water::LowWater;
use crate::metrics::RecordsMetrics;
use crate::row::{Loaded, challenge_columns, first_id_of, key_of};
use crate::sql_time::SqlTime;
use crate::transition::Stored;

/// How far a due attempt is moved on while whoever took it works on it.
const CLAIM: Duration = Duration::from_secs(5);
/// How far it is moved on when it was given back.
const RELEASED: Duration = Duration::from_secs(1);
/// How far back a new process looks for ends that were not told.
const TOLD_BACK: Duration = Duration::from_hours(1);
/// How far the telling sweep stays behind: the process that committed an end tells it first.
const TOLD_BEHIND: Duration = Duration::from_secs(1);
/// The longest that a commit under way may hold the telling sweep back.
const TOLD_BEHIND_MAX: Duration = Duration::from_mins(1);
/// The time that the first statement of the telling sweep covers. A fleet at its limit ends some ten thousand challenges in
/// it, nearly all of them told: a fraction of `statement_timeout`.
const WINDOW_FIRST: Duration = Duration::from_secs(2);
/// The most that one covers, where hardly anything has ended.
const WINDOW_MAX: Duration = Duration::from_mins(1);
/// The least that it covers, after statements were cut off.
const WINDOW_MIN: Duration = Duration::from_millis(50);
/// After a statement that was quicker than this, the next one covers twice as much.
const WINDOW_QUICK: Duration = Duration::from_millis(20);
/// After one that was slower than this, half as much.
const WINDOW_SLOW: Duration = Duration::from_millis(200);
/// How long one call reads window after window.
const WINDOWS_FOR: Duration = Duration::from_millis(200);
/// How long before its deadline a challenge's id may have been made, with a minute for clocks.
pub(crate) const ID_BEFORE_DEADLINE: Duration =
    Duration::from_secs(OLDEST_ID.as_secs() + LONGEST.as_secs() + 60);

const READ_LOW_WATER: &str = "SELECT answer_by FROM low_water";
const RAISE_LOW_WATER: &str = "UPDATE low_water SET answer_by = $1 WHERE answer_by < $1";

pub(crate) const OVERDUE: &str = concat!(
    "SELECT ",
    challenge_columns!(),
    " FROM challenges c
      WHERE c.answer_by > $1 AND c.answer_by <= $2 AND c.result = 0 AND c.id >= $3
      ORDER BY c.answer_by LIMIT $4"
);

pub(crate) const DUE: &str = "
WITH due AS MATERIALIZED (
    SELECT id, portal, attempt FROM calls
    WHERE check_at <= $1 AND (NOT by_voice OR check_at <= $4) ORDER BY check_at LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE calls c SET check_at = $3 FROM due d
WHERE c.id = d.id AND c.portal = d.portal AND c.attempt = d.attempt
RETURNING c.id, c.portal, c.attempt";

const RELEASE: &str = "UPDATE calls SET check_at = $4
    WHERE id = $1 AND portal = $2 AND attempt = $3 AND check_at = $5";
const FORGET: &str = "DELETE FROM calls WHERE id = $1 AND portal = $2 AND attempt = $3 AND check_at = $4";

/// Until when every audit row is there to be seen. A transaction's rows carry a time after its begin, so none that is
/// still under way can come in before its own begin. A statement of its own: what it sees under way must be seen
/// before the rows are read.
const HORIZON: &str = "
SELECT greatest(least($1, fleet_now() - (clock_timestamp() - min(xact_start))), $2)
FROM pg_stat_activity
WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()";

pub(crate) const UNTOLD: &str = concat!(
    "SELECT ",
    challenge_columns!(),
    ", a.at FROM audit a JOIN challenges c ON c.id = a.id AND c.portal = a.portal
      WHERE a.result <> 0 AND a.at >= $1 AND a.at <= $2 AND (a.at, a.id, a.portal) > ($1, $3, $4)
        AND c.result <> 0 AND c.told < c.version
      ORDER BY a.at, a.id, a.portal LIMIT $5"
);

/// How far the telling sweep of one process has come.
#[derive(Clone, Debug)]
pub struct ToldCursor {
    at: Timestamp,
    id: Uuid,
    portal: String,
    /// How much time the next statement covers.
    window: Duration,
    behind: bool,
}

impl ToldCursor {
    pub(crate) fn before(now: Timestamp) -> Self {
        Self {
            at: now.minus(TOLD_BACK),
            id: Uuid::nil(),
            portal: String::new(),
            window: WINDOW_FIRST,
            behind: true,
        }
    }

    /// Whether there is more to read already, so that waiting gains nothing.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// Until when the next statement reads.
    fn until(&self, horizon: Timestamp) -> Timestamp {
        self.at.plus(self.window).min(horizon)
    }

    /// Moves behind a row.
    fn pass(&mut self, row: (Timestamp, Uuid, String)) {
        (self.at, self.id, self.portal) = row;
        self.behind = true;
    }

    /// Moves behind everything up to a time, which took the statement so long.
    fn pass_all(&mut self, until: Timestamp, horizon: Timestamp, took: Duration) {
        if until > self.at {
            // Rows at that very time have been read: the cursor stands behind the last possible one.
            (self.at, self.id, self.portal) = (until, Uuid::max(), PORTAL_LAST.to_owned());
        }
        self.behind = until < horizon;
        if took < WINDOW_QUICK {
            self.window = (self.window * 2).min(WINDOW_MAX);
        } else if took > WINDOW_SLOW {
            self.window = (self.window / 2).max(WINDOW_MIN);
        }
    }

    /// Tries less at once, after a statement was cut off.
    fn shrink(&mut self) {
        self.window = (self.window / 4).max(WINDOW_MIN);
    }
}

/// The reading side of the sweeps of this process.
pub(crate) struct Sweeps {
    connections: Connections,
    metrics: RecordsMetrics,
    /// A std mutex: it is never held over an await.
    low_water: Mutex<LowWater>,
}

impl Sweeps {
    pub(crate) fn new(connections: Connections, metrics: RecordsMetrics) -> Self {
        Self { connections, metrics, low_water: Mutex::new(LowWater::unknown()) }
    }

    pub(crate) async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<Stored>, Error> {
        let doing = "looking for overdue challenges";
        if !self.low_water().is_known() {
            let rows = self.connections.read(READ_LOW_WATER, &[]).await;
            let rows = rows.map_err(|fault| fault.into_error(doing))?;
            let mark = rows.first().map_or(Timestamp::default(), time_of(0));
            self.low_water().learn(mark);
        }
        let scan = self.low_water().next_scan(now);
        let lowest = first_id_of(scan.after.minus(ID_BEFORE_DEADLINE));
        let rows = self
            .connections
            .read(OVERDUE, &[&SqlTime(scan.after), &SqlTime(now), &lowest, &rows_max(limit)])
            .await
            .map_err(|fault| fault.into_error(doing))?;
        let overdue: Vec<Stored> = read_all(&rows);
        let deadlines: Vec<Timestamp> =
            overdue.iter().map(|stored| stored.challenge.request.answer_by).collect();
        let raised = self.low_water().scanned(scan, (now, limit), &deadlines);
        if let Some(mark) = raised {
            self.raise(mark).await;
        }
        Ok(overdue)
    }

    /// Stores the mark for processes to come. It may fail: the next one is stored in some seconds.
    async fn raise(&self, mark: Timestamp) {
        let raised =
            async { self.connections.relaxed().await?.query(RAISE_LOW_WATER, &[&SqlTime(mark)]).await };
        if raised.await.is_err() {
            self.metrics.upkeep_failed("low_water");
        }
    }

    pub(crate) async fn due(
        &self,
        (now, calls_by): (Timestamp, Timestamp),
        limit: usize,
    ) -> Result<Vec<(ChallengeKey, u8)>, Error> {
        let (now, calls_by, claim) = (SqlTime(now), SqlTime(calls_by), SqlTime(now.plus(CLAIM)));
        let work = async {
            self.connections.durable().await?.query(DUE, &[&now, &rows_max(limit), &claim, &calls_by]).await
        };
        let rows = work.await.map_err(|fault| fault.into_error("looking for attempts that are due"))?;
        rows.iter()
            .map(|row| Ok((key_of(row)?, u8::try_from(row.get::<_, i16>(2)).unwrap_or(u8::MAX))))
            .collect()
    }

    pub(crate) async fn release(&self, key: &ChallengeKey, attempt: u8, now: Timestamp) -> Result<(), Error> {
        let (again, claim) = (SqlTime(now.plus(RELEASED)), SqlTime(now.plus(CLAIM)));
        let (id, portal, attempt) = (key.id.uuid(), key.portal.as_str(), i16::from(attempt));
        let work = async {
            let mut session = self.connections.durable().await?;
            session.query(RELEASE, &[&id, &portal, &attempt, &again, &claim]).await
        };
        work.await.map(drop).map_err(|fault| fault.into_error("giving an attempt back"))
    }

    pub(crate) async fn forget(&self, key: &ChallengeKey, attempt: u8, now: Timestamp) -> Result<(), Error> {
        let claim = SqlTime(now.plus(CLAIM));
        let (id, portal, attempt) = (key.id.uuid(), key.portal.as_str(), i16::from(attempt));
        let work = async {
            let mut session = self.connections.durable().await?;
            session.query(FORGET, &[&id, &portal, &attempt, &claim]).await
        };
        work.await.map(drop).map_err(|fault| fault.into_error("ending the watch over an attempt"))
    }

    pub(crate) async fn untold(
        &self,
        cursor: &mut ToldCursor,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Stored>, Error> {
        let mut found = Vec::new();
        let read = self.read_windows(cursor, (now, limit), &mut found).await;
        if let Err(fault) = read {
            cursor.shrink();
            // What was found before the cursor stopped must be handed out: it has passed that.
            if found.is_empty() {
                return Err(fault.into_error("looking for ends that were not told"));
            }
        }
        Ok(found)
    }

    /// Reads window after window until the horizon, the limit, or the end of this call's time.
    async fn read_windows(
        &self,
        cursor: &mut ToldCursor,
        (now, limit): (Timestamp, usize),
        found: &mut Vec<Stored>,
    ) -> Result<(), Fault> {
        let began = Instant::now();
        let (behind, far_behind) = (now.minus(TOLD_BEHIND), now.minus(TOLD_BEHIND_MAX));
        let mut session = self.connections.durable().await?;
        let seen = session.query(HORIZON, &[&SqlTime(behind), &SqlTime(far_behind)]).await?;
        let horizon = seen.first().map_or(far_behind, time_of(0));
        loop {
            let until = cursor.until(horizon);
            let room = rows_max(limit.saturating_sub(found.len()));
            let (after, to) = (SqlTime(cursor.at), SqlTime(until));
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&after, &to, &cursor.id, &cursor.portal, &room];
            let asked = Instant::now();
            let rows = session.query(UNTOLD, &params).await?;
            found.extend(read_all(&rows));
            match rows.last() {
                Some(last) if rows_max(rows.len()) >= room => {
                    cursor.pass((time_of(7)(last), last.get(0), last.get(1)));
                    return Ok(());
                }
                Some(_) | None => cursor.pass_all(until, horizon, asked.elapsed()),
            }
            if !cursor.behind || began.elapsed() >= WINDOWS_FOR {
                return Ok(());
            }
        }
    }

    fn low_water(&self) -> MutexGuard<'_, LowWater> {
        self.low_water.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Greater than every portal's name.
const PORTAL_LAST: &str = "~";

pub(crate) fn rows_max(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(crate) fn time_of(column: usize) -> impl Fn(&Row) -> Timestamp {
    move |row| row.get::<_, SqlTime>(column).0
}

/// Reads the rows that can be read. One that can't must not hide the others from a sweep.
pub(crate) fn read_all(rows: &[Row]) -> Vec<Stored> {
    let mut stored = Vec::with_capacity(rows.len());
    for row in rows {
        match Loaded::read(row) {
            Ok(loaded) => stored.push(loaded.stored),
            Err(error) => {
                let (id, portal): (Uuid, &str) = (row.get(0), row.get(1));
                tracing::error!(%id, portal, error = error.in_full(), "a stored challenge can't be read");
            }
        }
    }
    stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_reads_more_at_once_where_that_is_quick_and_less_where_it_is_slow_or_cut_off() {
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        let quick = Duration::from_millis(1);
        let mut cursor = ToldCursor::before(now);
        let begin = now.minus(TOLD_BACK);
        assert_eq!(cursor.until(now), begin.plus(WINDOW_FIRST));
        cursor.shrink();
        assert_eq!(cursor.until(now), begin.plus(WINDOW_FIRST / 4));
        for _ in 0..10 {
            cursor.shrink();
        }
        assert_eq!(cursor.until(now), begin.plus(WINDOW_MIN));
        cursor.pass_all(begin.plus(WINDOW_MIN), now, quick);
        assert_eq!(cursor.until(now), begin.plus(WINDOW_MIN * 3), "twice as much");
        cursor.pass_all(begin, now, WINDOW_QUICK);
        assert_eq!(cursor.until(now), begin.plus(WINDOW_MIN * 3), "as much");
        cursor.pass_all(begin, now, WINDOW_SLOW * 2);
        assert_eq!(cursor.until(now), begin.plus(WINDOW_MIN * 2), "half as much");
        let mut statements = 0;
        let mut cursor = ToldCursor::before(now);
        while cursor.is_behind() {
            cursor.pass_all(cursor.until(now), now, quick);
            statements += 1;
        }
        assert_eq!(statements, 64, "for an hour in which nothing ended");
        let mut cursor = ToldCursor::before(now);
        cursor.pass_all(now, now, quick);
        assert!(!cursor.is_behind());
        assert_eq!(cursor.until(now), now, "never beyond the horizon");
    }
}
