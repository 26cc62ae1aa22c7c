//! PINs and the lockouts of those who guess at them.
//!
//! A call is counted when it begins to guess, in one statement on the row of its user and factor: however many gateways
//! take guesses at once, no more calls begin than the limit allows. The call that reaches the limit locks the factor for
//! a time; the first one after that begins a new count, and a right answer forgets the count.

use std::time::Duration;

use fleet_domain::{Factor, Timestamp, UserId};
use fleet_keys::PinHash;
use tokio_postgres::Row;

use crate::connection::{Connections, Params};
use crate::error::{Error, Fault};
use crate::sql_time::SqlTime;

/// Stores PINs, and forgets what was guessed at those before.
pub(crate) const SET: &str = "
WITH given AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::text[]) AS g(id, pin)), forgotten AS (
    DELETE FROM lockouts WHERE factor = $3 AND user_id IN (SELECT id FROM given)
)
UPDATE users u SET pin = g.pin, pin_set_at = CASE WHEN g.pin IS NOT NULL THEN fleet_now() END
FROM given g WHERE u.id = g.id";

/// Another form of the same PIN, unless somebody has set another one meanwhile. It keeps its age.
const REWRITE: &str = "UPDATE users SET pin = $3 WHERE id = $1 AND pin = $2";

/// The count goes on after a lock, and each lock lasts twice as long as the one before: who only waits for its end gets
/// nowhere (NIST SP 800-63B-4, section 3.2.2). Twenty doublings are more than any user's life.
const COUNT: &str = "
INSERT INTO lockouts AS l (user_id, factor, wrong, locked_until)
SELECT id, $2, 1, CASE WHEN $3 <= 1 THEN fleet_now() + $4 * interval '1 second' END FROM users WHERE id = $1
ON CONFLICT (user_id, factor) DO UPDATE SET
    wrong = l.wrong + 1,
    locked_until = CASE WHEN (l.wrong + 1) % $3 = 0
        THEN fleet_now() + $4 * power(2, least((l.wrong + 1) / $3 - 1, 20)) * interval '1 second'
    END
WHERE l.locked_until IS NULL OR l.locked_until <= fleet_now()
RETURNING wrong";

const READ: &str = "SELECT pin, pin_set_at FROM users WHERE id = $1 AND pin IS NOT NULL";
const FORGET: &str = "DELETE FROM lockouts WHERE user_id = $1 AND factor = $2";

/// How often a factor may be guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuessLimit {
    /// Calls with a wrong answer, since the last right one or the last lock, after which the factor is locked; at least 1.
    pub calls: u16,
    /// For how long it is locked the first time since the last right answer; each time after that, twice as long.
    pub lock_for: Duration,
}

/// Whether a guess at a PIN may be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guess {
    /// It may be compared with this.
    Compare {
        /// What is stored of the PIN.
        hash: PinHash,
        /// When it was set.
        set_at: Timestamp,
    },
    /// Too many calls were wrong: nothing may be compared.
    LockedOut,
    /// The user has no PIN.
    NoPin,
}

pub(crate) async fn set(connections: &Connections, pins: &[(UserId, Option<PinHash>)]) -> Result<(), Error> {
    let ids: Vec<&str> = pins.iter().map(|(user, _)| user.as_str()).collect();
    let hashes: Vec<Option<&str>> = pins.iter().map(|(_, pin)| pin.as_ref().map(PinHash::as_str)).collect();
    let factor = code(Factor::Pin);
    let work = async { connections.durable().await?.query(SET, &[&ids, &hashes, &factor]).await };
    work.await.map(drop).map_err(|fault| fault.into_error("storing PINs"))
}

pub(crate) async fn rewrite(
    connections: &Connections,
    user: &UserId,
    (old, new): (&PinHash, &PinHash),
) -> Result<(), Error> {
    let params: Params<'_> = &[&user.as_str(), &old.as_str(), &new.as_str()];
    let work = async { connections.durable().await?.query(REWRITE, params).await };
    work.await.map(drop).map_err(|fault| fault.into_error("storing a PIN's other form"))
}

pub(crate) async fn take_guess(
    connections: &Connections,
    user: &UserId,
    counting: Option<GuessLimit>,
) -> Result<Guess, Error> {
    let guess: Result<Guess, Fault> = async {
        let mut session = connections.durable().await?;
        let pin = session.query(READ, &[&user.as_str()]).await?;
        let Some(row) = pin.first() else { return Ok(Guess::NoPin) };
        if let Some(limit) = counting {
            let seconds = limit.lock_for.as_secs_f64();
            let calls = i32::from(limit.calls);
            let factor = code(Factor::Pin);
            let counted = session.query(COUNT, &[&user.as_str(), &factor, &calls, &seconds]).await?;
            if counted.is_empty() {
                return Ok(Guess::LockedOut);
            }
        }
        Ok(compare(row))
    }
    .await;
    guess.map_err(|fault| fault.into_error("taking a guess at a PIN"))
}

/// Counts a guess at this factor before it is compared. `false` where nothing may be compared.
pub(crate) async fn count(
    connections: &Connections,
    user: &UserId,
    factor: Factor,
    limit: GuessLimit,
) -> Result<bool, Error> {
    let (seconds, calls, factor) = (limit.lock_for.as_secs_f64(), i32::from(limit.calls), code(factor));
    let work = async {
        connections.durable().await?.query(COUNT, &[&user.as_str(), &factor, &calls, &seconds]).await
    };
    work.await.map(|rows| !rows.is_empty()).map_err(|fault| fault.into_error("counting a guess"))
}

pub(crate) async fn forget(connections: &Connections, user: &UserId, factor: Factor) -> Result<(), Error> {
    let factor = code(factor);
    let work = async { connections.durable().await?.query(FORGET, &[&user.as_str(), &factor]).await };
    work.await.map(drop).map_err(|fault| fault.into_error("forgetting wrong answers"))
}

fn compare(row: &Row) -> Guess {
    let set_at = row.get::<_, Option<SqlTime>>(1).map_or(Timestamp::default(), |time| time.0);
    Guess::Compare { hash: PinHash::from_stored(row.get(0)), set_at }
}

pub(crate) const fn code(factor: Factor) -> i16 {
    factor.code() as i16
}
