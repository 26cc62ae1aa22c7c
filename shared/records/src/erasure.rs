//! Erasing one person, in such a way that the audit trail still shows that nobody else has touched it.
//!
//! What only says something of the person is deleted ([`crate::person::PARTS`]). What is part of the trail stays without the
//! person: rows of `audit` lose device and calls' ids, acts lose user, number and reason; challenges, to which the rows of `audit` belong,
//! lose the user and what was asked. All of it bears another name from then on, the pseudonym, which is random. Each row of the
//! trail keeps the leaf under which it was sealed, with the fleet's mark on what is left of it ([`crate::leaf`]). At last the
//! person's salt is deleted: without it nobody can try out whether a leaf was this or that person's.
//!
//! Challenges are erased some at a time, each with its rows in one commit, and the person's own rows at the very end: an
//! erasure that was cut off is done to its end by the next one. It takes turns with sealing by the same lock, so that no row
//! is sealed under a salt that goes at the same moment. An erased challenge is a new version of itself, so that nobody who
//! has read it before can write back what it was.
//!
//! Limits: that a number is never to be called stays, as its keyed index: else it could be called again. Acts on a number that
//! somebody else has too are that person's as well, and stay. Texts in acts of others may name anybody. Facts that a carrier
//! tells later are stored with the challenge, which is nobody's by then. Redis forgets outcomes by itself, backups do not.

use std::time::Duration;

use fleet_domain::{Challenge, Timestamp, UserId};
use fleet_keys::Keys;
use tokio::time::{Instant, sleep};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::connection::{Connections, Session};
use crate::error::{Error, Fault};
use crate::history::versions;
use crate::leaf::{ActLine, AuditLine, HASH, subject_of_number};
use crate::note::{Actor, Detail};
use crate::person::PARTS;
use crate::row::{Loaded, challenge_columns, signed};
use crate::sealing::LOCK;
use crate::sql_time::SqlTime;

const DOING: &str = "erasing a person";
/// How long one step may take, with the wait for whoever seals.
const TIME: Duration = Duration::from_mins(1);
/// Challenges that are erased in one commit.
const CHUNK: i64 = 20;
/// How long challenges are waited for whose calls are still to be hung up.
const PATIENCE: Duration = Duration::from_secs(8);
/// Between two looks at them.
const PAUSE: Duration = Duration::from_millis(500);

const NEXT: &str = concat!(
    "SELECT ",
    challenge_columns!(),
    " FROM challenges c WHERE c.user_id = $1 AND (c.id, c.portal) > ($2, $3)
      ORDER BY c.id, c.portal LIMIT $4"
);
/// Only what is settled is taken from whoever works on it.
const TAKE: &str = "SELECT 1 FROM challenges WHERE id = $1 AND portal = $2 AND version = $3 FOR UPDATE";
const SALT: &str = "SELECT salt FROM audit_salts WHERE subject = $1";
const ABOUT: &str = "SELECT fleet_now(), session_user::text";
const EMPTY_VERSION: &str =
    "UPDATE audit SET detail = $5 WHERE at = $1 AND id = $2 AND portal = $3 AND version = $4";
/// What was told stays told. What was not is told without the person.
const EMPTY_CHALLENGE: &str = "
UPDATE challenges SET version = $3, told = CASE WHEN told >= version THEN $3 ELSE told END, transition = $4, live = $5,
    user_id = NULL, request = $6
WHERE id = $1 AND portal = $2";
const NOTE_VERSION: &str = "INSERT INTO audit (at, id, portal, version, result, event, detail)
    VALUES (fleet_now(), $1, $2, $3, $4, 'erased', $5)";

const LEFT: &str = "SELECT count(*) FROM challenges WHERE user_id = $1";
/// The person's numbers, but for those that somebody else has too.
const NUMBERS: &str = "
(SELECT number_index FROM phones WHERE user_id = $1
    UNION SELECT number_index FROM acts WHERE user_id = $1 AND number_index IS NOT NULL)
EXCEPT SELECT number_index FROM phones WHERE user_id <> $1";
const ACTS: &str = "
SELECT a.at, a.act, a.user_id, a.number_index, a.masked, a.actor, a.reason, a.until, a.id, a.portal, a.carrier, a.erased, a.version,
    s.salt, a.ctid::text
FROM acts a LEFT JOIN audit_salts s ON s.subject = coalesce(a.user_id, 'number ' || encode(a.number_index, 'hex'))
WHERE a.user_id = $1 OR (a.user_id IS NULL AND a.number_index = ANY($2))
FOR UPDATE OF a";
const EMPTY_ACT: &str = "
UPDATE acts SET user_id = $2, number_index = NULL, masked = NULL, actor = $3, reason = '', erased = $4
WHERE ctid = $1::text::tid";
const FORGET_SALTS: &str = "DELETE FROM audit_salts WHERE subject = ANY($1) RETURNING subject";
const NOTE: &str = "INSERT INTO acts (at, act, user_id, actor, reason)
    VALUES (fleet_now(), 'erased', $1, 'operator ' || session_user, $2)";

/// What became of an erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erasure {
    /// Nothing is stored about such a person.
    Unknown,
    /// So many challenges are open, or have calls that are still to be hung up. What could be erased is; the person is still
    /// there.
    Unsettled(u64),
    /// The person is erased.
    Done(Erased),
}

/// What an erasure has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// What stands for the person in acts from now on.
    pub pseudonym: String,
    /// Challenges that lost their person in this run.
    pub challenges: u64,
    /// Acts that did.
    pub acts: u64,
    /// Rows that were deleted, by the table's name in exports.
    pub deleted: Vec<(&'static str, u64)>,
}

/// What the steps of one erasure share.
struct Eraser<'a> {
    connections: &'a Connections,
    keys: &'a Keys,
    user: &'a UserId,
    reason: &'a str,
}

pub(crate) async fn erase(
    connections: &Connections,
    keys: &Keys,
    user: &UserId,
    reason: &str,
) -> Result<Erasure, Error> {
    let eraser = Eraser { connections, keys, user, reason };
    let began = Instant::now();
    let mut challenges = 0;
    loop {
        let (emptied, unsettled) = eraser.all_challenges().await?;
        challenges += emptied;
        if unsettled == 0 {
            match eraser.person(challenges).await.map_err(failed)? {
                Some(erasure) => return Ok(erasure),
                // One came in between.
                None => continue,
            }
        }
        if began.elapsed() >= PATIENCE {
            return Ok(Erasure::Unsettled(unsettled));
        }
        sleep(PAUSE).await;
    }
}

fn failed(fault: Fault) -> Error {
    fault.into_error(DOING)
}

impl Eraser<'_> {
    /// A transaction under the lock of sealing.
    async fn begin(&self) -> Result<Session, Fault> {
        let mut session = self.connections.durable().await?;
        session.extend(TIME);
        let time = TIME.as_millis() / 2;
        session
            .begin(&format!("BEGIN; SET LOCAL statement_timeout = {time}; SET LOCAL lock_timeout = {time}"))
            .await?;
        session.query(LOCK, &[]).await?;
        Ok(session)
    }

    /// Erases every challenge that is settled. Says how many these were, and how many are not.
    async fn all_challenges(&self) -> Result<(u64, u64), Error> {
        let (mut erased, mut unsettled) = (0, 0);
        let mut after = (Uuid::nil(), String::new());
        loop {
            let mut session = self.begin().await.map_err(failed)?;
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&self.user.as_str(), &after.0, &after.1, &CHUNK];
            let rows = session.query(NEXT, &params).await.map_err(failed)?;
            let Some(last) = rows.last() else { return Ok((erased, unsettled)) };
            after = (last.get(0), last.get(1));
            let about = session.query(ABOUT, &[]).await.map_err(failed)?;
            let about = about.first().ok_or_else(|| Error::late(DOING))?;
            let (now, login): (Timestamp, String) = (about.get::<_, SqlTime>(0).0, about.get(1));
            let salt = self.salt(&mut session).await.map_err(failed)?;
            for row in &rows {
                let challenge = Loaded::read(row)?.stored.challenge;
                if challenge.is_settled(now) && take(&mut session, &challenge).await.map_err(failed)? {
                    self.challenge(&mut session, &challenge, (&salt, &login)).await?;
                    erased += 1;
                } else {
                    unsettled += 1;
                }
            }
            session.commit().await.map_err(failed)?;
        }
    }

    /// The person's salt. Where nothing of the person was sealed yet, one that nobody will know.
    async fn salt(&self, session: &mut Session) -> Result<Vec<u8>, Fault> {
        let rows = session.query(SALT, &[&self.user.as_str()]).await?;
        Ok(rows.first().map_or_else(|| fleet_keys::random_bytes::<HASH>().to_vec(), |row| row.get(0)))
    }

    /// Takes the person out of a challenge and of its versions.
    async fn challenge(
        &self,
        session: &mut Session,
        challenge: &Challenge,
        (salt, login): (&[u8], &str),
    ) -> Result<(), Error> {
        let rows = versions(session, challenge).await.map_err(failed)?;
        session.extend(TIME);
        for row in &rows {
            let line = AuditLine::of(row);
            let leaf = line.leaf(self.keys, Some(salt), 0);
            let detail = line.erased(self.keys, &leaf.hash, &impersonal(&line.detail)?);
            let at = SqlTime(line.at);
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&at, &line.id, &line.portal, &line.version, &detail];
            session.query(EMPTY_VERSION, &params).await.map_err(failed)?;
        }
        let next = challenge.without_person();
        let detail = Detail::of(Some(&next), &next, &Actor::Operator(login.to_owned())).encode();
        let (id, portal) = (next.key.id.uuid(), next.key.portal.as_str());
        let (version, result) = (signed(next.version), i16::from(next.result().code()));
        let transition = i64::from_ne_bytes(fleet_keys::random_bytes());
        let (live, request) = (next.encode_live(), next.encode_request());
        let emptied = async {
            session.query(EMPTY_CHALLENGE, &[&id, &portal, &version, &transition, &live, &request]).await?;
            session.query(NOTE_VERSION, &[&id, &portal, &version, &result, &detail]).await
        };
        emptied.await.map(drop).map_err(failed)
    }

    /// Erases the person, unless challenges are left. Nobody seals meanwhile, so what comes in from now on gets a salt of its
    /// own one day.
    async fn person(&self, challenges: u64) -> Result<Option<Erasure>, Fault> {
        let mut session = self.begin().await?;
        let user = self.user.as_str();
        let left = session.query(LEFT, &[&user]).await?;
        if left.first().is_some_and(|row| row.get::<_, i64>(0) > 0) {
            session.commit().await?;
            return Ok(None);
        }
        let pseudonym = format!("erased-{:016x}", u64::from_ne_bytes(fleet_keys::random_bytes()));
        let numbers: Vec<Vec<u8>> =
            session.query(NUMBERS, &[&user]).await?.iter().map(|row| row.get(0)).collect();
        let acts = session.query(ACTS, &[&user, &numbers]).await?;
        for row in &acts {
            self.act(&mut session, row, &pseudonym).await?;
        }
        let mut subjects: Vec<String> = numbers.iter().map(|index| subject_of_number(index)).collect();
        subjects.push(user.to_owned());
        let salts = session.query(FORGET_SALTS, &[&subjects]).await?;
        let mut deleted = Vec::with_capacity(PARTS.len());
        for part in PARTS.iter().filter(|part| part.deleted) {
            let sql = format!(
                "WITH gone AS (DELETE FROM {} WHERE {} RETURNING 1) SELECT count(*) FROM gone",
                part.table, part.of
            );
            let rows = session.query(&sql, &[&user]).await?;
            let count = rows.first().map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0));
            deleted.extend((count > 0).then_some((part.name, count)));
        }
        if challenges == 0 && acts.is_empty() && salts.is_empty() && deleted.is_empty() {
            session.commit().await?;
            return Ok(Some(Erasure::Unknown));
        }
        session.query(NOTE, &[&pseudonym, &self.reason]).await?;
        session.commit().await?;
        Ok(Some(Erasure::Done(Erased { pseudonym, challenges, acts: acts.len() as u64, deleted })))
    }

    /// Takes the person out of an act.
    async fn act(&self, session: &mut Session, row: &Row, pseudonym: &str) -> Result<(), Fault> {
        let line = ActLine::of(row);
        let salt = row.get::<_, Option<Vec<u8>>>(13);
        let salt = salt.unwrap_or_else(|| fleet_keys::random_bytes::<HASH>().to_vec());
        let leaf = line.leaf(self.keys, Some(&salt), 0);
        // An operator may be called what a user is called, and stays.
        let is_person = !line.actor.starts_with("operator ") && line.actor.contains(self.user.as_str());
        let left = ActLine {
            user_id: Some(pseudonym.to_owned()),
            number_index: None,
            masked: None,
            actor: if is_person { "person".to_owned() } else { line.actor },
            reason: String::new(),
            ..line
        };
        let proof = left.proof(self.keys, &leaf.hash);
        let place: &str = row.get(14);
        session.query(EMPTY_ACT, &[&place, &pseudonym, &left.actor, &proof]).await.map(drop)
    }
}

/// Locks a challenge, if it is still as it was read.
async fn take(session: &mut Session, challenge: &Challenge) -> Result<bool, Fault> {
    let (id, portal) = (challenge.key.id.uuid(), challenge.key.portal.as_str());
    Ok(!session.query(TAKE, &[&id, &portal, &signed(challenge.version)]).await?.is_empty())
}

/// What an audit row says without what leads to the person: device, and the provider's ids of calls.
fn impersonal(detail: &[u8]) -> Result<Vec<u8>, Error> {
    let mut detail = Detail::decode(detail)?;
    detail.device = None;
    for attempt in &mut detail.attempts {
        attempt.sid = None;
    }
    Ok(detail.encode())
}
