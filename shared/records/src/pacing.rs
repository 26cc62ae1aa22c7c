//! Calls per second, for the whole fleet: slots, and the calls that wait for theirs.
//!
//! A carrier has one row, and every slot is given out under its lock (the functions of `V6__pacing.sql`). Nobody is
//! given a slot far ahead: whoever would have to, waits for its turn in the database instead, and any process claims the
//! first ones when their time is near. So a new rate counts at once, those whose challenge ends meanwhile cost no
//! slot, and a process that dies loses nothing but the slots of the next moments.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet_domain::{ChallengeKey, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::batch::{Answers, Settled, Unit};
use crate::connection::{Connections, Session};
use crate::error::{Error, Fault};
use crate::metrics::RecordsMetrics;
use crate::row::key_of;
use crate::sql_time::SqlTime;
use crate::standing::Cause;

/// How far ahead slots are given out.
pub const SLOTS_AHEAD: Duration = Duration::from_millis(500);
/// How long a call that was claimed is left to whoever claimed it.
const LEASE: Duration = Duration::from_secs(12);

const TAKE: &str = "
SELECT job, slot, expected, late
FROM take_slots($1, $2, make_interval(secs => $3), $4, $5, $6, $7, $8)";

const CLAIM: &str = "
SELECT call_id, call_portal, call_attempt, call_place, slot, late
FROM claim_slots($1, $2, make_interval(secs => $3), make_interval(secs => $4), $5, $6)";

const CARRIERS: &str = "
SELECT c.name, c.calls_per_second, count(w.place), min(w.since), a.at, a.actor, a.reason
FROM carriers c
LEFT JOIN waiting_calls w ON w.carrier = c.name AND w.begin_by >= fleet_now()
LEFT JOIN LATERAL (
    SELECT at, actor, reason FROM acts WHERE carrier = c.name ORDER BY at DESC LIMIT 1
) a ON true
GROUP BY c.name, a.at, a.actor, a.reason ORDER BY c.name";

const SET_RATE: &str = "
WITH changed AS (
    UPDATE carriers SET calls_per_second = $2 WHERE name = $1 RETURNING name
)
INSERT INTO acts (at, act, carrier, actor, reason)
SELECT fleet_now(), 'rate ' || $2::int4, name,
    CASE $3::text WHEN 'operator' THEN 'operator ' || session_user ELSE $3 END, $4
FROM changed RETURNING carrier";

/// A carrier whose calls are paced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PacedCarrier {
    /// Its name.
    pub name: String,
    /// The calls per second that it begins with where nobody has set a rate yet, 1 to 10,000.
    pub calls_per_second: u16,
}

/// A call that is ready to be dialed.
#[derive(Clone, Debug)]
pub struct SlotAsk {
    /// By which carrier.
    pub carrier: PacedCarrier,
    /// For which challenge.
    pub key: ChallengeKey,
    /// The attempt that it is or will be.
    pub attempt: u8,
    /// After that nobody has the time to answer.
    pub begin_by: Timestamp,
    /// Whether it had a slot and missed it: then it does not wait for its turn again.
    pub missed: bool,
}

/// When a call may be POSTed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// At this time, at most [`SLOTS_AHEAD`] away.
    At(Timestamp),
    /// It waits for its turn, which comes at this time as things stand. Whoever claims it then dials it.
    Waits(Timestamp),
    /// At this time only, as things stand, which is too late. It does not wait.
    TooLate(Timestamp),
}

/// A call whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The challenge.
    pub key: ChallengeKey,
    /// The attempt that it is or will be.
    pub attempt: u8,
    /// Its slot, or that its turn comes too late.
    pub slot: Slot,
    /// Its place, to be handed in when it was dialed or needs no call any more.
    pub place: Place,
}

/// A place among those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(i64);

/// A carrier as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierRate {
    /// Its name.
    pub name: String,
    /// Calls per second, over the whole fleet.
    pub calls_per_second: u16,
    /// Calls that wait for their slot.
    pub waiting: u64,
    /// Since when the first of them waits.
    pub waiting_since: Option<Timestamp>,
    /// Who changed the rate last: when, who, why.
    pub changed: Option<(Timestamp, String, String)>,
}

/// Gives out slots.
pub(crate) struct TakeSlots {
    pub(crate) connections: Connections,
    pub(crate) metrics: RecordsMetrics,
}

impl TakeSlots {
    /// The slots of one carrier, by the place of their ask in the batch.
    async fn of_carrier(
        &self,
        session: &mut Session,
        carrier: &PacedCarrier,
        asks: &[(usize, &SlotAsk)],
    ) -> Result<Vec<(usize, Slot)>, Fault> {
        let ids: Vec<Uuid> = asks.iter().map(|(_, ask)| ask.key.id.uuid()).collect();
        let portals: Vec<&str> = asks.iter().map(|(_, ask)| ask.key.portal.as_str()).collect();
        let attempts: Vec<i16> = asks.iter().map(|(_, ask)| i16::from(ask.attempt)).collect();
        let begin_bys: Vec<SqlTime> = asks.iter().map(|(_, ask)| SqlTime(ask.begin_by)).collect();
        let missed: Vec<bool> = asks.iter().map(|(_, ask)| ask.missed).collect();
        let (rate, ahead) = (i32::from(carrier.calls_per_second), SLOTS_AHEAD.as_secs_f64());
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
            [&carrier.name, &rate, &ahead, &ids, &portals, &attempts, &begin_bys, &missed];
        let rows = session.query(TAKE, &params).await?;
        Ok(asks.iter().zip(&rows).map(|((place, _), row)| (*place, slot_of(row))).collect())
    }
}

fn slot_of(row: &Row) -> Slot {
    let (slot, expected, late) = (row.get::<_, Option<SqlTime>>(1), row.get::<_, SqlTime>(2), row.get(3));
    match slot {
        Some(slot) => Slot::At(slot.0),
        None if late => Slot::TooLate(expected.0),
        None => Slot::Waits(expected.0),
    }
}

impl Unit for TakeSlots {
    type Ask = SlotAsk;
    type Answer = Slot;
    type Key = (ChallengeKey, u8);

    fn lane(&self) -> &'static str {
        "slots"
    }

    fn doing(&self) -> &'static str {
        "taking a slot for a call"
    }

    fn key(ask: &SlotAsk) -> Option<Self::Key> {
        Some((ask.key.clone(), ask.attempt))
    }

    async fn attempt(&self, asks: &[&SlotAsk]) -> Result<Answers<Self>, Fault> {
        let mut by_carrier: BTreeMap<&PacedCarrier, Vec<(usize, &SlotAsk)>> = BTreeMap::new();
        for (place, ask) in asks.iter().copied().enumerate() {
            by_carrier.entry(&ask.carrier).or_default().push((place, ask));
        }
        let mut session = self.connections.durable().await?;
        let mut slots = Vec::with_capacity(asks.len());
        for (carrier, asks) in by_carrier {
            slots.extend(self.of_carrier(&mut session, carrier, &asks).await?);
        }
        slots.sort_unstable_by_key(|(place, _)| *place);
        for (_, slot) in &slots {
            self.metrics.slot(match slot {
                Slot::At(_) => "at_once",
                Slot::Waits(_) => "waits",
                Slot::TooLate(_) => "too_late",
            });
        }
        Ok(slots.into_iter().map(|(_, slot)| Ok(slot)).collect())
    }

    /// Slots that were given out in a lost answer are lost with it; who waits is found waiting.
    async fn settle(&self, asks: &[&SlotAsk]) -> Result<Settled<Self>, Fault> {
        Ok(asks.iter().map(|_| None).collect())
    }
}

pub(crate) async fn claim(
    connections: &Connections,
    carrier: &PacedCarrier,
    most: usize,
    done: &[Place],
) -> Result<Vec<Claimed>, Error> {
    let done: Vec<i64> = done.iter().map(|place| place.0).collect();
    let (rate, most) = (i32::from(carrier.calls_per_second), i32::try_from(most).unwrap_or(i32::MAX));
    let (ahead, lease) = (SLOTS_AHEAD.as_secs_f64(), LEASE.as_secs_f64());
    let work = async {
        let mut session = connections.durable().await?;
        session.query(CLAIM, &[&carrier.name, &rate, &ahead, &lease, &most, &done]).await
    };
    let rows = work.await.map_err(|fault| fault.into_error("claiming calls that wait for their slot"))?;
    rows.iter().map(claimed_of).collect()
}

fn claimed_of(row: &Row) -> Result<Claimed, Error> {
    let (slot, late) = (row.get::<_, SqlTime>(4).0, row.get(5));
    Ok(Claimed {
        key: key_of(row)?,
        attempt: u8::try_from(row.get::<_, i16>(2)).unwrap_or(u8::MAX),
        place: Place(row.get(3)),
        slot: if late { Slot::TooLate(slot) } else { Slot::At(slot) },
    })
}

pub(crate) async fn carriers(connections: &Connections) -> Result<Vec<CarrierRate>, Error> {
    let rows = connections.read(CARRIERS, &[]).await;
    let rows = rows.map_err(|fault| fault.into_error("reading the carriers"))?;
    let carriers = rows.iter().map(|row| CarrierRate {
        name: row.get(0),
        calls_per_second: u16::try_from(row.get::<_, i32>(1)).unwrap_or(u16::MAX),
        waiting: u64::try_from(row.get::<_, i64>(2)).unwrap_or(0),
        waiting_since: row.get::<_, Option<SqlTime>>(3).map(|time| time.0),
        changed: row.get::<_, Option<SqlTime>>(4).map(|at| (at.0, row.get(5), row.get(6))),
    });
    Ok(carriers.collect())
}

pub(crate) async fn set_rate(
    connections: &Connections,
    carrier: &str,
    calls_per_second: u16,
    cause: &Cause,
) -> Result<bool, Error> {
    let rate = i32::from(calls_per_second);
    let work = async {
        let mut session = connections.durable().await?;
        session.query(SET_RATE, &[&carrier, &rate, &cause.who(), &cause.reason()]).await
    };
    let rows = work.await.map_err(|fault| fault.into_error("changing a carrier's rate"))?;
    Ok(!rows.is_empty())
}
