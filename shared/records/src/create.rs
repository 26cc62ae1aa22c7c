//! The lane that stores new challenges.

use std::collections::{HashMap, HashSet};

use fleet_domain::{Challenge, ChallengeKey, Watch, watch_changes};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::batch::{Answers, Settled, Unit};
use crate::connection::Connections;
use crate::error::{Error, Fault};
use crate::load::find;
use crate::metrics::RecordsMetrics;
use crate::note::{Detail, Note};
use crate::row::{key_of, signed};
use crate::sql_time::SqlTime;
use crate::transition::Created;

/// One statement for the whole batch. The rows go in by their key: two processes that store the same ones wait for each
/// other in one order, never in a circle. `IS TRUE` makes PostgreSQL look the keys up by hash, where it would
/// otherwise compare all pairs. What a challenge may begin with is a push, never a call.
pub(crate) const CREATE: &str = "
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::int4[], $4::int8[], $5::int2[], $6::bytea[], $7::timestamptz[],
        $8::text[], $9::bytea[], $10::text[], $11::bytea[])
        AS g(id, portal, version, transition, result, live, answer_by, user_id, request, event, detail)
), stored AS (
    INSERT INTO challenges (version, told, transition, result, live, id, portal, answer_by, user_id, request)
    SELECT version, 0, transition, result, live, id, portal, answer_by, user_id, request
    FROM given ORDER BY id, portal
    ON CONFLICT DO NOTHING
    RETURNING id, portal
), audited AS (
    INSERT INTO audit (at, id, portal, version, result, event, detail)
    SELECT (SELECT fleet_now()), id, portal, version, result, event, detail
    FROM given WHERE ((id, portal) IN (SELECT id, portal FROM stored)) IS TRUE
), watched AS (
    INSERT INTO calls (id, portal, attempt, check_at, by_voice)
    SELECT id, portal, attempt, check_at, false
    FROM unnest($12::uuid[], $13::text[], $14::int2[], $15::timestamptz[]) AS w(id, portal, attempt, check_at)
    WHERE ((id, portal) IN (SELECT id, portal FROM stored)) IS TRUE
)
SELECT id, portal FROM stored";

/// A new challenge on its way into its row.
pub(crate) struct NewRow {
    key: ChallengeKey,
    version: i32,
    transition: i64,
    result: i16,
    live: Vec<u8>,
    answer_by: SqlTime,
    user: Option<String>,
    request: Vec<u8>,
    event: &'static str,
    detail: Vec<u8>,
    watches: Vec<(i16, SqlTime)>,
}

impl NewRow {
    pub(crate) fn of(challenge: &Challenge, note: &Note) -> Self {
        let watches = watch_changes(None, challenge).into_iter().filter_map(|watch| match watch {
            Watch::Until { attempt, check_at } => Some((i16::from(attempt), SqlTime(check_at))),
            Watch::Over { .. } => None,
        });
        Self {
            key: challenge.key.clone(),
            version: signed(challenge.version),
            transition: i64::from_ne_bytes(fleet_keys::random_bytes()),
            result: i16::from(challenge.result().code()),
            live: challenge.encode_live(),
            answer_by: SqlTime(challenge.request.answer_by),
            user: challenge.request.user.as_ref().map(ToString::to_string),
            request: challenge.encode_request(),
            event: note.event,
            detail: Detail::of(None, challenge, &note.actor).encode(),
            watches: watches.collect(),
        }
    }
}

/// Stores new challenges.
pub(crate) struct Create {
    pub(crate) connections: Connections,
    pub(crate) metrics: RecordsMetrics,
}

impl Create {
    async fn store(&self, asks: &[&NewRow]) -> Result<HashSet<ChallengeKey>, Fault> {
        let columns = Columns::of(asks);
        let rows = self.connections.durable().await?.query(CREATE, &columns.params()).await?;
        Ok(rows.iter().filter_map(|row: &Row| key_of(row).ok()).collect())
    }

    /// What is stored under the keys of these asks.
    async fn existing(&self, asks: &[&NewRow]) -> Result<Settled<Self>, Fault> {
        let keys: Vec<&ChallengeKey> = asks.iter().map(|ask| &ask.key).collect();
        let mut found = find(&self.connections, &keys).await?;
        let settled = asks.iter().map(|ask| {
            let loaded = found.remove(&ask.key)?;
            Some(loaded.map(|loaded| {
                // A batch whose answer was lost, and its second run, find their own rows.
                let ours = loaded.transition == ask.transition;
                if ours { Created::New } else { Created::Exists(loaded.stored) }
            }))
        });
        Ok(settled.collect())
    }
}

impl Unit for Create {
    type Ask = NewRow;
    type Answer = Created;
    type Key = ChallengeKey;

    fn lane(&self) -> &'static str {
        "create"
    }

    fn doing(&self) -> &'static str {
        "storing a new challenge"
    }

    fn key(ask: &NewRow) -> Option<ChallengeKey> {
        Some(ask.key.clone())
    }

    async fn attempt(&self, asks: &[&NewRow]) -> Result<Answers<Self>, Fault> {
        let stored = self.store(asks).await?;
        let others: Vec<&NewRow> = asks.iter().copied().filter(|ask| !stored.contains(&ask.key)).collect();
        let mut existing = HashMap::new();
        if !others.is_empty() {
            let found = self.existing(&others).await?;
            existing = others.iter().map(|other| &other.key).zip(found).collect();
        }
        let answers: Answers<Self> = asks
            .iter()
            .map(|ask| match existing.remove(&ask.key) {
                None => Ok(Created::New),
                Some(Some(found)) => found,
                Some(None) => Err(Error::late(self.doing())),
            })
            .collect();
        for answer in answers.iter().flatten() {
            self.metrics.commit(
                self.lane(),
                match answer {
                    Created::New => "done",
                    Created::Exists(_) => "exists",
                },
            );
        }
        Ok(answers)
    }

    async fn settle(&self, asks: &[&NewRow]) -> Result<Settled<Self>, Fault> {
        self.existing(asks).await
    }
}

#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    portals: Vec<&'a str>,
    versions: Vec<i32>,
    transitions: Vec<i64>,
    results: Vec<i16>,
    lives: Vec<&'a [u8]>,
    answer_bys: Vec<SqlTime>,
    users: Vec<Option<&'a str>>,
    requests: Vec<&'a [u8]>,
    events: Vec<&'a str>,
    details: Vec<&'a [u8]>,
    watched_ids: Vec<Uuid>,
    watched_portals: Vec<&'a str>,
    watched_attempts: Vec<i16>,
    check_ats: Vec<SqlTime>,
}

impl<'a> Columns<'a> {
    fn of(asks: &[&'a NewRow]) -> Self {
        let mut columns = Self::default();
        for ask in asks {
            columns.ids.push(ask.key.id.uuid());
            columns.portals.push(ask.key.portal.as_str());
            columns.versions.push(ask.version);
            columns.transitions.push(ask.transition);
            columns.results.push(ask.result);
            columns.lives.push(&ask.live);
            columns.answer_bys.push(ask.answer_by);
            columns.users.push(ask.user.as_deref());
            columns.requests.push(&ask.request);
            columns.events.push(ask.event);
            columns.details.push(&ask.detail);
            for (attempt, check_at) in &ask.watches {
                columns.watched_ids.push(ask.key.id.uuid());
                columns.watched_portals.push(ask.key.portal.as_str());
                columns.watched_attempts.push(*attempt);
                columns.check_ats.push(*check_at);
            }
        }
        columns
    }

    fn params(&self) -> [&(dyn ToSql + Sync); 15] {
        [
            &self.ids,
            &self.portals,
            &self.versions,
            &self.transitions,
            &self.results,
            &self.lives,
            &self.answer_bys,
            &self.users,
            &self.requests,
            &self.events,
            &self.details,
            &self.watched_ids,
            &self.watched_portals,
            &self.watched_attempts,
            &self.check_ats,
        ]
    }
}
