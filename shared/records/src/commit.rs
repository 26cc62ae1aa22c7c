//! The lanes that commit transitions: many share one statement, each guarded by the version that was read.
//!
//! Processes never wait for each other in a circle. A challenge that somebody else holds is skipped, which its
//! caller sees as a conflict. Then the lines are taken, in the order of their keys: the only place where a
//! statement waits for another's commit. Rows of `calls` are changed and freed after that, under the lock of
//! their challenge.

use std::collections::HashMap;
use std::sync::Arc;

use fleet_domain::{ChallengeKey, Channel, Watch, watch_changes};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::batch::{Answers, Settled, Unit};
use crate::connection::Connections;
use crate::error::{Error, Fault};
use crate::load::find;
use crate::metrics::RecordsMetrics;
use crate::note::Detail;
use crate::row::{lowest, signed};
use crate::sql_time::SqlTime;
use crate::transition::{Committed, Lane, Line, Transition};

/// One statement for the whole batch. It returns the jobs whose row it could lock, and whether each was stored; one
/// that was not stored has found its line busy.
///
/// `watched` reads `stored` to its end before it yields its first row, and `stored` has `leased` behind it: so all
/// lines are taken before the first one is freed, which keeps the waiting in one order. `IS TRUE` and `OR` make
/// PostgreSQL look up the rows of an earlier step by hash, where it would otherwise compare all pairs.
pub(crate) const COMMIT: &str = "
WITH locked AS MATERIALIZED (
    SELECT g.* FROM unnest($1::int4[], $2::uuid[], $3::text[], $4::int4[], $5::int4[], $6::int4[], $7::int8[], $8::int2[],
        $9::bytea[], $10::text[], $11::bytea[], $12::int2[], $13::timestamptz[], $14::bytea[], $15::bytea[], $16::bool[])
        AS g(job, id, portal, before, version, told, transition, result, live, event, detail,
            attempt, check_at, to_key, from_key, shared)
    JOIN challenges c ON c.id = g.id AND c.portal = g.portal AND c.version = g.before
    WHERE c.id >= $23
    FOR NO KEY UPDATE OF c SKIP LOCKED
), leased AS (
    INSERT INTO calls (id, portal, attempt, check_at, to_key, from_key, shared, by_voice)
    SELECT id, portal, attempt, check_at, to_key, from_key, shared, true
    FROM locked WHERE to_key IS NOT NULL ORDER BY to_key, from_key
    ON CONFLICT DO NOTHING
    RETURNING id, portal
), stored AS (
    UPDATE challenges c
    SET version = l.version, told = greatest(c.told, l.told), transition = l.transition, result = l.result, live = l.live
    FROM locked l
    WHERE c.id = l.id AND c.portal = l.portal AND c.id >= $23
        AND (l.to_key IS NULL OR (l.id, l.portal) IN (SELECT id, portal FROM leased))
    RETURNING l.job, l.id, l.portal, l.version, l.result, l.event, l.detail
), audited AS (
    INSERT INTO audit (at, id, portal, version, result, event, detail)
    SELECT (SELECT fleet_now()), id, portal, version, result, event, detail FROM stored
), watched AS MATERIALIZED (
    SELECT w.* FROM unnest($17::int4[], $18::uuid[], $19::text[], $20::int2[], $21::timestamptz[], $22::int2[])
        AS w(job, id, portal, attempt, check_at, change)
    WHERE (job IN (SELECT job FROM stored)) IS TRUE
), begun AS (
    INSERT INTO calls (id, portal, attempt, check_at, by_voice)
    SELECT id, portal, attempt, check_at, change = 3 FROM watched WHERE change IN (0, 3)
), moved AS (
    UPDATE calls c SET check_at = w.check_at FROM watched w
    WHERE w.change = 1 AND c.id = w.id AND c.portal = w.portal AND c.attempt = w.attempt
), over AS (
    DELETE FROM calls c USING watched w
    WHERE w.change = 2 AND c.id = w.id AND c.portal = w.portal AND c.attempt = w.attempt
)
SELECT l.job, (l.job IN (SELECT job FROM stored)) IS TRUE FROM locked l";

/// What becomes of the row that watches an attempt: the codes of `change` in the statement.
#[derive(Clone, Copy)]
enum Change {
    Begin = 0,
    Move = 1,
    End = 2,
    BeginCall = 3,
}

/// A transition without its line's attempt: nothing would ever free the line.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a line was asked for without an attempt that is watched")]
struct LineWithoutAttempt;

/// A transition on its way into its row.
pub(crate) struct Step {
    key: ChallengeKey,
    before: i32,
    version: i32,
    told: i32,
    transition: i64,
    result: i16,
    live: Vec<u8>,
    event: &'static str,
    detail: Vec<u8>,
    line: Option<(Line, i16, SqlTime)>,
    watches: Vec<(i16, Option<SqlTime>, Change)>,
}

impl Step {
    pub(crate) fn of(transition: &Transition<'_>) -> Result<Self, Error> {
        let Transition { before, after, note, line } = transition;
        let line = match line {
            None => None,
            Some(line) => {
                let attempt = after.live.attempts.last();
                let watched = attempt.and_then(|attempt| Some((attempt.number, attempt.check_at?)));
                let (number, check_at) =
                    watched.ok_or_else(|| Error::Rejected(Arc::new(LineWithoutAttempt)))?;
                Some((*line, i16::from(number), SqlTime(check_at)))
            }
        };
        Ok(Self {
            key: after.key.clone(),
            before: signed(before.challenge.version),
            version: signed(after.version),
            told: signed(before.told),
            transition: i64::from_ne_bytes(fleet_keys::random_bytes()),
            result: i16::from(after.result().code()),
            live: after.encode_live(),
            event: note.event,
            detail: Detail::of(Some(&before.challenge), after, &note.actor).encode(),
            watches: watches(transition, line.map(|(_, attempt, _)| attempt)),
            line,
        })
    }
}

/// The changes to rows of `calls`. The row that the line brings is no change: it takes the place of the one
/// that watched its attempt until now.
fn watches(transition: &Transition<'_>, with_line: Option<i16>) -> Vec<(i16, Option<SqlTime>, Change)> {
    let before = &transition.before.challenge;
    let watched = |number| before.attempt(number).is_some_and(|attempt| attempt.check_at.is_some());
    let changes = watch_changes(Some(before), transition.after).into_iter().filter_map(|watch| match watch {
        Watch::Until { attempt, .. } if with_line == Some(i16::from(attempt)) => {
            watched(attempt).then_some((i16::from(attempt), None, Change::End))
        }
        Watch::Until { attempt, check_at } => {
            let is_call = transition.after.attempt(attempt).is_some_and(|a| a.channel == Channel::Voice);
            let change = match (watched(attempt), is_call) {
                (true, _) => Change::Move,
                (false, true) => Change::BeginCall,
                (false, false) => Change::Begin,
            };
            Some((i16::from(attempt), Some(SqlTime(check_at)), change))
        }
        Watch::Over { attempt } => Some((i16::from(attempt), None, Change::End)),
    });
    changes.collect()
}

/// Commits transitions of one lane.
pub(crate) struct Commit {
    pub(crate) lane: Lane,
    pub(crate) connections: Connections,
    pub(crate) metrics: RecordsMetrics,
}

impl Unit for Commit {
    type Ask = Step;
    type Answer = Committed;
    type Key = ChallengeKey;

    fn lane(&self) -> &'static str {
        self.lane.as_str()
    }

    fn doing(&self) -> &'static str {
        "committing a transition"
    }

    /// A second transition of the same challenge waits for the next batch, where its version decides.
    fn key(ask: &Step) -> Option<ChallengeKey> {
        Some(ask.key.clone())
    }

    async fn attempt(&self, asks: &[&Step]) -> Result<Answers<Self>, Fault> {
        let columns = Columns::of(asks);
        let rows = self.connections.durable().await?.query(COMMIT, &columns.params()).await?;
        let locked: HashMap<i32, bool> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let outcomes = (0..).zip(asks).map(|(job, _)| match locked.get(&job) {
            Some(true) => Committed::Done,
            Some(false) => Committed::LineBusy,
            None => Committed::Conflict,
        });
        let outcomes: Vec<Committed> = outcomes.collect();
        for outcome in &outcomes {
            self.metrics.commit(self.lane(), outcome.as_str());
        }
        Ok(outcomes.into_iter().map(Ok).collect())
    }

    async fn settle(&self, asks: &[&Step]) -> Result<Settled<Self>, Fault> {
        let keys: Vec<&ChallengeKey> = asks.iter().map(|ask| &ask.key).collect();
        let found = find(&self.connections, &keys).await?;
        let settled = asks.iter().map(|ask| match found.get(&ask.key)? {
            Err(error) => Some(Err(error.clone())),
            Ok(loaded) if loaded.transition == ask.transition => Some(Ok(Committed::Done)),
            // Still as it was read: this transition may be run again.
            Ok(loaded) if signed(loaded.stored.challenge.version) == ask.before => None,
            // Another one came in between, perhaps after ours. The caller loads and steps again; what had
            // counted is then refused by the rules, and what only this commit entitled to is not done.
            Ok(_) => Some(Ok(Committed::Conflict)),
        });
        Ok(settled.collect())
    }
}

#[derive(Default)]
struct Columns<'a> {
    jobs: Vec<i32>,
    ids: Vec<Uuid>,
    portals: Vec<&'a str>,
    befores: Vec<i32>,
    versions: Vec<i32>,
    told: Vec<i32>,
    transitions: Vec<i64>,
    results: Vec<i16>,
    lives: Vec<&'a [u8]>,
    events: Vec<&'a str>,
    details: Vec<&'a [u8]>,
    line_attempts: Vec<Option<i16>>,
    line_check_ats: Vec<Option<SqlTime>>,
    to_keys: Vec<Option<&'a [u8]>>,
    from_keys: Vec<Option<&'a [u8]>>,
    shared: Vec<Option<bool>>,
    watched: Watched<'a>,
    lowest: Uuid,
}

#[derive(Default)]
struct Watched<'a> {
    jobs: Vec<i32>,
    ids: Vec<Uuid>,
    portals: Vec<&'a str>,
    attempts: Vec<i16>,
    check_ats: Vec<Option<SqlTime>>,
    changes: Vec<i16>,
}

impl<'a> Columns<'a> {
    fn of(asks: &[&'a Step]) -> Self {
        let mut columns = Self::default();
        for (job, ask) in (0..).zip(asks) {
            columns.push(job, ask);
        }
        columns.lowest = lowest(asks.iter().map(|ask| &ask.key));
        columns
    }

    fn push(&mut self, job: i32, ask: &'a Step) {
        self.jobs.push(job);
        self.ids.push(ask.key.id.uuid());
        self.portals.push(ask.key.portal.as_str());
        self.befores.push(ask.before);
        self.versions.push(ask.version);
        self.told.push(ask.told);
        self.transitions.push(ask.transition);
        self.results.push(ask.result);
        self.lives.push(&ask.live);
        self.events.push(ask.event);
        self.details.push(&ask.detail);
        let line = ask.line.as_ref();
        self.line_attempts.push(line.map(|(_, attempt, _)| *attempt));
        self.line_check_ats.push(line.map(|(_, _, check_at)| *check_at));
        self.to_keys.push(line.map(|(line, ..)| &line.to[..]));
        self.from_keys.push(line.map(|(line, ..)| &line.from[..]));
        self.shared.push(line.map(|(line, ..)| line.shared));
        for (attempt, check_at, change) in &ask.watches {
            self.watched.jobs.push(job);
            self.watched.ids.push(ask.key.id.uuid());
            self.watched.portals.push(ask.key.portal.as_str());
            self.watched.attempts.push(*attempt);
            self.watched.check_ats.push(*check_at);
            self.watched.changes.push(*change as i16);
        }
    }

    fn params(&self) -> [&(dyn ToSql + Sync); 23] {
        [
            &self.jobs,
            &self.ids,
            &self.portals,
            &self.befores,
            &self.versions,
            &self.told,
            &self.transitions,
            &self.results,
            &self.lives,
            &self.events,
            &self.details,
            &self.line_attempts,
            &self.line_check_ats,
            &self.to_keys,
            &self.from_keys,
            &self.shared,
            &self.watched.jobs,
            &self.watched.ids,
            &self.watched.portals,
            &self.watched.attempts,
            &self.watched.check_ats,
            &self.watched.changes,
            &self.lowest,
        ]
    }
}
