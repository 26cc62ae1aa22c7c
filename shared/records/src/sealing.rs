//! How ranges of the audit trail come to be sealed. What a seal is, and why a range is closed, stands in [`crate::seals`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fleet_domain::Timestamp;
use fleet_keys::Keys;
use tokio::time::{Instant, sleep};
use tokio_postgres::Row;
use tracing::{error, info};

use crate::connection::{Connections, Session};
use crate::error::Fault;
use crate::leaf::{ActLine, AuditLine, HASH, Leaf, subject_of_number};
use crate::metrics::RecordsMetrics;
use crate::seals::{NEWEST, Seal, hash_of, marks_of};
use crate::sql_time::SqlTime;

/// How long before now a range is closed: so far a clock may be set back.
const MARGIN: Duration = Duration::from_mins(1);
/// The shortest range that is sealed while nothing more is closed.
pub(crate) const EVERY: Duration = Duration::from_mins(1);
/// The same where nothing has happened.
const EVERY_IDLE: Duration = Duration::from_mins(10);
/// The longest range. Marks count its microseconds in 32 bits.
const RANGE_MAX: Duration = Duration::from_hours(1);
/// The shortest that is tried when a range has too many rows; below, it takes what there is.
const RANGE_MIN: Duration = Duration::from_millis(10);
/// Rows of one range at most: they are held in memory.
const ROWS_MAX: i64 = 20_000;
/// How long one round goes on, while more is closed already.
const ROUND: Duration = Duration::from_secs(5);
/// How long transactions under way are waited for; the next round waits anew.
const SETTLE: Duration = Duration::from_secs(2);
/// Between two looks at them.
const LOOK: Duration = Duration::from_millis(20);
/// How long one range may take with everything.
pub(crate) const RANGE_TIME: Duration = Duration::from_secs(30);
/// After so many leaves others get their turn.
const BREATH: usize = 500;

/// Taken in the transaction that seals, or erases, and let go with it.
macro_rules! lock {
    ($function:literal) => {
        concat!("SELECT ", $function, "(hashtextextended('mfa-fleet seals of ' || current_schema(), 0))")
    };
}
const TRY_LOCK: &str = lock!("pg_try_advisory_xact_lock");
/// Waits for whoever seals.
pub(crate) const LOCK: &str = lock!("pg_advisory_xact_lock");

const NOW: &str = "SELECT fleet_now()";
/// The transactions that write to the trail, those among them that `$1` names where it names any.
const WRITERS: &str = "
SELECT DISTINCT l.virtualtransaction FROM pg_locks l
WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.relation IN (
        SELECT 'acts'::regclass UNION ALL SELECT 'audit'::regclass
        UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = 'audit'::regclass
    )
    AND ($1::text[] IS NULL OR l.virtualtransaction = ANY ($1))";

/// The day of the oldest partition, or everything where there is none.
const OLDEST_DAY: &str = "
SELECT min(to_date(right(c.relname, 8), 'YYYYMMDD'))::timestamp AT TIME ZONE 'UTC'
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'audit'::regclass";
const COUNT: &str = "
SELECT count(*) FROM (
    (SELECT 1 FROM audit WHERE at >= $1 AND at < $2 LIMIT $3)
    UNION ALL (SELECT 1 FROM acts WHERE at >= $1 AND at < $2 LIMIT $3)
) r";
pub(crate) const AUDIT: &str = "
SELECT a.at, a.id, a.portal, a.version, a.result, a.event, a.detail, c.user_id, s.salt
FROM audit a
LEFT JOIN challenges c ON c.id = a.id AND c.portal = a.portal
LEFT JOIN audit_salts s ON s.subject = c.user_id
WHERE a.at >= $1 AND a.at < $2";
pub(crate) const ACTS: &str = "
SELECT a.at, a.act, a.user_id, a.number_index, a.masked, a.actor, a.reason, a.until, a.id, a.portal, a.carrier, a.erased, a.version,
    s.salt
FROM acts a LEFT JOIN audit_salts s ON s.subject = coalesce(a.user_id, 'number ' || encode(a.number_index, 'hex'))
WHERE a.at >= $1 AND a.at < $2";
const SALT: &str = "INSERT INTO audit_salts (subject, salt) SELECT * FROM unnest($1::text[], $2::bytea[])";
const STORE: &str = "
INSERT INTO audit_seals (number, since, until, sealed_at, audit_rows, audit_hash, acts_rows, acts_hash, hash, mac,
    audit_marks, acts_marks)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
/// Marks name rows, and these are gone.
const FORGET_MARKS: &str = "
UPDATE audit_seals SET audit_marks = NULL WHERE number IN (
    SELECT number FROM audit_seals WHERE audit_marks IS NOT NULL AND until <= $1 ORDER BY until LIMIT 100
)";

/// What one round of sealing came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Seals that were made.
    pub seals: u32,
    /// Rows that they cover.
    pub rows: u64,
    /// Whether more could be sealed already: the round's time was over, or a transaction under way did not end.
    pub behind: bool,
}

/// Seals for one process.
#[derive(Clone)]
pub(crate) struct Sealer {
    connections: Connections,
    keys: Keys,
    metrics: RecordsMetrics,
    memory: Arc<Mutex<Memory>>,
    /// One round at a time, so that what was seen is in order.
    round: Arc<tokio::sync::Mutex<()>>,
}

/// What a process remembers from range to range.
struct Memory {
    /// How long the next range may be: shorter where much happens.
    range: Duration,
    /// Number and hash of the newest seal that was seen.
    newest: Option<(u64, [u8; HASH])>,
}

/// A process with a wrong key would make every later seal look forged.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the newest seal of the audit was not made with the key that follows from keys.master: nothing is sealed behind it"
)]
struct OtherKey;

/// What became of one range.
enum Turn {
    Sealed(u64),
    NothingClosed,
    /// Another process seals, or erases.
    Busy,
}

impl Sealer {
    pub(crate) fn new(connections: Connections, keys: Keys, metrics: RecordsMetrics) -> Self {
        let memory = Arc::new(Mutex::new(Memory { range: RANGE_MAX, newest: None }));
        Self { connections, keys, metrics, memory, round: Arc::default() }
    }

    /// Seals what is closed and not sealed, range by range, for some seconds.
    pub(crate) async fn round(&self) -> Result<Sealed, Fault> {
        let _alone = self.round.lock().await;
        let began = Instant::now();
        let mut sealed = Sealed::default();
        if !self.is_due().await? {
            return Ok(sealed);
        }
        let Some(horizon) = self.horizon().await? else {
            return Ok(Sealed { behind: true, ..sealed });
        };
        loop {
            match self.turn(horizon).await? {
                Turn::Sealed(rows) => {
                    sealed.seals += 1;
                    sealed.rows += rows;
                }
                Turn::NothingClosed | Turn::Busy => return Ok(sealed),
            }
            if began.elapsed() >= ROUND {
                return Ok(Sealed { behind: true, ..sealed });
            }
        }
    }

    /// Whether the newest seal is old enough for another one. Others look at it too: mostly it is one of theirs.
    async fn is_due(&self) -> Result<bool, Fault> {
        let mut session = self.connections.durable().await?;
        let newest = session.query(NEWEST, &[&1_i64]).await?.first().map(Seal::of);
        let now = session.query(NOW, &[]).await?.first().map(|row| row.get::<_, SqlTime>(0).0);
        self.see(newest.as_ref());
        Ok(newest.is_none_or(|newest| now.is_none_or(|now| now.since(newest.until) >= MARGIN + EVERY)))
    }

    /// Until when every row is there. `None` where a transaction does not end.
    async fn horizon(&self) -> Result<Option<Timestamp>, Fault> {
        let mut session = self.connections.durable().await?;
        session.extend(SETTLE * 2);
        // The clock first: who locks the trail only after that gives its rows a later time.
        let Some(now) = session.query(NOW, &[]).await?.first().map(|row| row.get::<_, SqlTime>(0).0) else {
            return Ok(None);
        };
        let began = Instant::now();
        let mut writers: Option<Vec<String>> = None;
        loop {
            let left = session.query(WRITERS, &[&writers]).await?;
            if left.is_empty() {
                return Ok(Some(now.minus(MARGIN)));
            }
            if began.elapsed() >= SETTLE {
                return Ok(None);
            }
            writers = Some(left.iter().map(|row| row.get(0)).collect());
            sleep(LOOK).await;
        }
    }

    /// Seals the next range.
    async fn turn(&self, horizon: Timestamp) -> Result<Turn, Fault> {
        let mut session = self.connections.durable().await?;
        session.extend(RANGE_TIME);
        session.begin(&format!("BEGIN; SET LOCAL statement_timeout = {}", RANGE_TIME.as_millis())).await?;
        let locked = session.query(TRY_LOCK, &[]).await?;
        if !locked.first().is_some_and(|row| row.get(0)) {
            session.commit().await?;
            return Ok(Turn::Busy);
        }
        let newest = session.query(NEWEST, &[&1_i64]).await?.first().map(Seal::of);
        self.see(newest.as_ref());
        if newest.as_ref().is_some_and(|seal| !seal.is_ours(&self.keys)) {
            return Err(Fault::Refused(Arc::new(OtherKey)));
        }
        let since = newest.as_ref().map_or_else(Timestamp::default, |seal| seal.until);
        let oldest = session.query(OLDEST_DAY, &[]).await?;
        let oldest =
            oldest.first().and_then(|row| row.get::<_, Option<SqlTime>>(0)).map_or(horizon, |day| day.0);
        session.query(FORGET_MARKS, &[&SqlTime(oldest)]).await?;
        let until = match &newest {
            // Older than every day that is there: the first seal says that there is nothing.
            None => oldest.min(horizon),
            Some(_) => self.fitting(&mut session, since, horizon).await?,
        };
        let sealed = if until > since {
            self.seal(&mut session, newest.as_ref(), (since, until), until == horizon).await?
        } else {
            None
        };
        session.commit().await?;
        let Some(seal) = sealed else { return Ok(Turn::NothingClosed) };
        self.see(Some(&seal));
        info!(
            number = seal.number,
            hash = seal.hash_hex(),
            until_secs = seal.until.as_secs(),
            "audit sealed"
        );
        Ok(Turn::Sealed(u64::from(seal.audit_rows) + u64::from(seal.acts_rows)))
    }

    /// Until when the next range goes: not beyond the horizon or midnight, and with no more rows than are held at once.
    async fn fitting(
        &self,
        session: &mut Session,
        since: Timestamp,
        horizon: Timestamp,
    ) -> Result<Timestamp, Fault> {
        let mut range = self.memory().range;
        loop {
            let until = since.plus(range).min(horizon).min(midnight_after(since));
            if until <= since {
                return Ok(since);
            }
            let rows = session.query(COUNT, &[&SqlTime(since), &SqlTime(until), &(ROWS_MAX + 1)]).await?;
            let many = rows.first().is_some_and(|row| row.get::<_, i64>(0) > ROWS_MAX);
            if !many || range <= RANGE_MIN {
                self.memory().range = (range * 2).min(RANGE_MAX);
                return Ok(until);
            }
            range = (until.since(since) / 2).max(RANGE_MIN);
        }
    }

    /// Stores the seal of a range, unless it is still to grow.
    async fn seal(
        &self,
        session: &mut Session,
        newest: Option<&Seal>,
        (since, until): (Timestamp, Timestamp),
        may_grow: bool,
    ) -> Result<Option<Seal>, Fault> {
        let range = [SqlTime(since), SqlTime(until)];
        let audit = session.query(AUDIT, &[&range[0], &range[1]]).await?;
        let acts = session.query(ACTS, &[&range[0], &range[1]]).await?;
        let least = if audit.is_empty() && acts.is_empty() { EVERY_IDLE } else { EVERY };
        if may_grow && until.since(since) < least && newest.is_some() {
            return Ok(None);
        }
        let salts = self.new_salts(session, &audit, &acts).await?;
        let audit = leaves(&audit, |at, row| audit_leaf(&self.keys, at, row, &salts)).await;
        let acts = leaves(&acts, |at, row| act_leaf(&self.keys, at, row, &salts)).await;
        let now = session.query(NOW, &[]).await?;
        let mut seal = Seal {
            number: newest.map_or(0, |seal| seal.number) + 1,
            since,
            until,
            sealed_at: now.first().map_or(until, |row| row.get::<_, SqlTime>(0).0),
            audit_rows: u32::try_from(audit.len()).unwrap_or(u32::MAX),
            audit_hash: hash_of(&audit),
            acts_rows: u32::try_from(acts.len()).unwrap_or(u32::MAX),
            acts_hash: hash_of(&acts),
            hash: [0; HASH],
            mac: [0; HASH],
        };
        seal.hash = seal.computed(&newest.map_or([0; HASH], |seal| seal.hash));
        seal.mac = Seal::mac_of(&self.keys, &seal.hash);
        store(session, &seal, [&marks_of(&audit, since), &marks_of(&acts, since)]).await?;
        Ok(Some(seal))
    }

    /// Makes salts for those who have none yet.
    async fn new_salts(&self, session: &mut Session, audit: &[Row], acts: &[Row]) -> Result<Salts, Fault> {
        let mut salts = Salts::new();
        let of_audit = audit.iter().filter(|row| row.get::<_, Option<&[u8]>>(8).is_none());
        let of_acts = acts.iter().filter(|row| row.get::<_, Option<&[u8]>>(13).is_none());
        let subjects = of_audit.filter_map(|row| row.get(7)).chain(of_acts.filter_map(subject_of_act));
        for subject in subjects {
            salts.entry(subject).or_insert_with(fleet_keys::random_bytes);
        }
        if !salts.is_empty() {
            let (subjects, bytes): (Vec<&str>, Vec<&[u8]>) =
                salts.iter().map(|(subject, salt)| (subject.as_str(), &salt[..])).unzip();
            session.query(SALT, &[&subjects, &bytes]).await?;
        }
        Ok(salts)
    }

    /// Takes the newest seal in. A chain that went back has lost seals.
    fn see(&self, newest: Option<&Seal>) {
        let (number, hash) = newest.map_or((0, [0; HASH]), |seal| (seal.number, seal.hash));
        let before = self.memory().newest.replace((number, hash));
        if let Some(newest) = newest {
            self.metrics.sealed_until(newest.until);
        }
        if before.is_some_and(|(known, known_hash)| known > number || (known == number && known_hash != hash))
        {
            self.metrics.seals_lost();
            error!(
                number,
                known = before.map(|(known, _)| known),
                "seals of the audit were removed or replaced since this process last looked"
            );
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Salts that were just made, by subject.
type Salts = HashMap<String, [u8; HASH]>;

/// The leaf of a row of [`AUDIT`].
pub(crate) fn audit_leaf(keys: &Keys, at: usize, row: &Row, new: &Salts) -> Leaf {
    let salt = row.get::<_, Option<&[u8]>>(8);
    let salt = salt.or_else(|| new.get(row.get::<_, Option<&str>>(7)?).map(|salt| &salt[..]));
    AuditLine::of(row).leaf(keys, salt, at)
}

/// The leaf of a row of [`ACTS`].
pub(crate) fn act_leaf(keys: &Keys, at: usize, row: &Row, new: &Salts) -> Leaf {
    let made = subject_of_act(row).and_then(|subject| new.get(&subject));
    let salt = row.get::<_, Option<&[u8]>>(13).or_else(|| made.map(|salt| &salt[..]));
    ActLine::of(row).leaf(keys, salt, at)
}

fn subject_of_act(row: &Row) -> Option<String> {
    row.get::<_, Option<String>>(2).or_else(|| row.get::<_, Option<&[u8]>>(3).map(subject_of_number))
}

async fn store(session: &mut Session, seal: &Seal, [audit, acts]: [&Vec<u8>; 2]) -> Result<(), Fault> {
    let count = |rows| i32::try_from(rows).unwrap_or(i32::MAX);
    let number = i64::try_from(seal.number).unwrap_or(i64::MAX);
    let (audit_rows, acts_rows) = (count(seal.audit_rows), count(seal.acts_rows));
    let times = [seal.since, seal.until, seal.sealed_at].map(SqlTime);
    session
        .query(
            STORE,
            &[
                &number,
                &times[0],
                &times[1],
                &times[2],
                &audit_rows,
                &&seal.audit_hash[..],
                &acts_rows,
                &&seal.acts_hash[..],
                &&seal.hash[..],
                &&seal.mac[..],
                audit,
                acts,
            ],
        )
        .await
        .map(drop)
}

/// The leaves of rows that `one` reads, in order.
pub(crate) async fn leaves(rows: &[Row], one: impl Fn(usize, &Row) -> Leaf) -> Vec<Leaf> {
    let mut leaves = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        leaves.push(one(at, row));
        if at % BREATH == BREATH - 1 {
            tokio::task::yield_now().await;
        }
    }
    leaves.sort_unstable();
    leaves
}

/// The next midnight, UTC.
fn midnight_after(time: Timestamp) -> Timestamp {
    const DAY: i64 = 86_400_000_000;
    Timestamp::from_micros((time.as_micros().div_euclid(DAY) + 1).saturating_mul(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_at_midnight_and_the_next_one_begins_there() {
        let time = Timestamp::from_micros(1_790_000_000_000_000);
        let midnight = midnight_after(time);
        assert_eq!(midnight.as_secs(), 1_790_035_200);
        assert_eq!(midnight_after(midnight), midnight.plus(Duration::from_hours(24)));
    }
}
