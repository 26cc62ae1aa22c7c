//! Who may not be called or asked: blocked users, and numbers that opted out. Every change of either is an act, stored
//! in the same statement with who did it and why.

use fleet_domain::{ChallengeKey, Factor, Phone, PhoneNumber, Timestamp, UserId};
use fleet_keys::Keys;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::connection::{Connections, Params};
use crate::enrolled::ACTIVE;
use crate::error::Error;
use crate::phones;
use crate::pins::code;
use crate::sql_time::SqlTime;

/// The columns of an act that say who and why: `$2` reason, `$3` who, `$4` and `$5` the challenge. An operator is who the
/// database says is logged in.
macro_rules! act {
    ($act:literal, $columns:literal, $values:literal) => {
        concat!(
            "INSERT INTO acts (at, act, reason, actor, id, portal, ",
            $columns,
            ") SELECT fleet_now(), '",
            $act,
            "', $2::text, CASE $3::text WHEN 'operator' THEN 'operator ' || session_user ELSE $3 END, \
               $4::uuid, $5::text, ",
            $values
        )
    };
}

/// A person's report never shortens a block that is longer.
const BLOCK: &str = concat!(
    "WITH noted AS (",
    act!("blocked", "user_id, until", "id, $6::timestamptz FROM users WHERE id = $1"),
    " ON CONFLICT DO NOTHING RETURNING user_id
    )
    UPDATE users SET blocked = true, blocked_until = CASE
        WHEN $3 = 'operator' OR NOT blocked THEN $6
        WHEN blocked_until IS NOT NULL AND $6 IS NOT NULL THEN greatest(blocked_until, $6)
    END
    WHERE id IN (SELECT user_id FROM noted) RETURNING id"
);

const LEAVE: &str = concat!(
    act!("not_blocked", "user_id", "id FROM users WHERE id = $1"),
    " ON CONFLICT DO NOTHING RETURNING user_id"
);

const UNBLOCK: &str = concat!(
    "WITH noted AS (",
    act!("unblocked", "user_id", "id FROM users WHERE id = $1"),
    " RETURNING user_id
    ), forgotten AS (
        DELETE FROM lockouts WHERE user_id IN (SELECT user_id FROM noted)
    )
    UPDATE users SET blocked = false, blocked_until = NULL
    WHERE id IN (SELECT user_id FROM noted) RETURNING id"
);

const OPT_OUT: &str = concat!(
    "WITH noted AS (",
    act!("opted_out", "user_id, number_index, masked", "$6, $1, $7"),
    " ON CONFLICT DO NOTHING RETURNING number_index
    )
    INSERT INTO opted_out (number_index, at) SELECT number_index, fleet_now() FROM noted
    ON CONFLICT DO NOTHING RETURNING number_index"
);

const OPT_IN: &str = concat!(
    "WITH gone AS (DELETE FROM opted_out WHERE number_index = $1 RETURNING number_index)",
    act!("opted_in", "number_index, masked", "number_index, $6 FROM gone"),
    " RETURNING number_index"
);

const STANDING: &str = "
SELECT u.blocked AND coalesce(u.blocked_until > fleet_now(), true), u.blocked_until, u.pin IS NOT NULL, l.wrong,
    CASE WHEN l.locked_until > fleet_now() THEN l.locked_until END,
    EXISTS (SELECT FROM devices d WHERE d.user_id = u.id AND d.state = $4 AND d.totp IS NOT NULL), t.wrong,
    CASE WHEN t.locked_until > fleet_now() THEN t.locked_until END
FROM users u LEFT JOIN lockouts l ON l.user_id = u.id AND l.factor = $2
LEFT JOIN lockouts t ON t.user_id = u.id AND t.factor = $3
WHERE u.id = $1";

const ACTS: &str = "
SELECT at, act, actor, reason, masked, until FROM acts
WHERE user_id = $1 OR number_index IN (SELECT number_index FROM phones WHERE user_id = $1)
ORDER BY at";

/// Who does something to a user or a number, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    by: By,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum By {
    /// The person who was asked, in this challenge: what it brings about happens once.
    Person(ChallengeKey),
    /// Whoever is logged in to the database.
    Operator,
}

impl Cause {
    /// The person who was asked in this challenge.
    pub fn person(key: &ChallengeKey, reason: &str) -> Self {
        Self { by: By::Person(key.clone()), reason: reason.to_owned() }
    }

    /// The operator under whose login this process is at the database.
    pub fn operator(reason: &str) -> Self {
        Self { by: By::Operator, reason: reason.to_owned() }
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) const fn who(&self) -> &'static str {
        match self.by {
            By::Person(_) => "person",
            By::Operator => "operator",
        }
    }

    fn challenge(&self) -> (Option<Uuid>, Option<&str>) {
        match &self.by {
            By::Person(key) => (Some(key.id.uuid()), Some(key.portal.as_str())),
            By::Operator => (None, None),
        }
    }
}

/// Where a user stands, for a help desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether the user is blocked now.
    pub blocked: bool,
    /// Until when; `None` for until somebody lifts it.
    pub blocked_until: Option<Timestamp>,
    /// Whether a PIN is set.
    pub has_pin: bool,
    /// Calls with a wrong PIN since the last right one.
    pub wrong_calls: u32,
    /// Until when no PIN is taken.
    pub pin_locked_until: Option<Timestamp>,
    /// Whether an active device makes one-time codes.
    pub has_totp: bool,
    /// Challenges with a wrong one-time code since the last right one.
    pub wrong_codes: u32,
    /// Until when no one-time code is taken.
    pub totp_locked_until: Option<Timestamp>,
    /// What was done, oldest first.
    pub acts: Vec<Act>,
}

/// Something that was done to a user or to one of the user's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// When.
    pub at: Timestamp,
    /// What: `blocked`, `not_blocked`, `unblocked`, `opted_out` or `opted_in`.
    pub act: String,
    /// Who: `person`, or `operator` and a login.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The number, its middle hidden.
    pub masked: Option<String>,
    /// Until when it holds.
    pub until: Option<Timestamp>,
}

pub(crate) async fn block(
    connections: &Connections,
    user: &UserId,
    until: Option<Timestamp>,
    cause: &Cause,
) -> Result<bool, Error> {
    let until = until.map(SqlTime);
    run(connections, BLOCK, (&user.as_str(), cause), &[&until]).await
}

pub(crate) async fn leave_unblocked(
    connections: &Connections,
    user: &UserId,
    cause: &Cause,
) -> Result<bool, Error> {
    run(connections, LEAVE, (&user.as_str(), cause), &[]).await
}

pub(crate) async fn unblock(connections: &Connections, user: &UserId, cause: &Cause) -> Result<bool, Error> {
    run(connections, UNBLOCK, (&user.as_str(), cause), &[]).await
}

pub(crate) async fn opt_out(
    connections: &Connections,
    keys: &Keys,
    (user, phone): (&UserId, &Phone),
    cause: &Cause,
) -> Result<bool, Error> {
    let (number, _) = phones::reveal(keys, user, phone)?;
    let index = &keys.phone_index(number.e164())[..];
    run(connections, OPT_OUT, (&index, cause), &[&user.as_str(), &number.masked()]).await
}

pub(crate) async fn opt_in(
    connections: &Connections,
    keys: &Keys,
    number: &PhoneNumber,
    cause: &Cause,
) -> Result<bool, Error> {
    let index = &keys.phone_index(number.e164())[..];
    run(connections, OPT_IN, (&index, cause), &[&number.masked()]).await
}

/// Runs an act on what `$1` names. Says whether it changed anything.
async fn run(
    connections: &Connections,
    sql: &str,
    (what, cause): (&(dyn tokio_postgres::types::ToSql + Sync), &Cause),
    more: Params<'_>,
) -> Result<bool, Error> {
    let (who, (id, portal)) = (cause.who(), cause.challenge());
    let mut params: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
        vec![what, &cause.reason, &who, &id, &portal];
    params.extend_from_slice(more);
    let work = async { connections.durable().await?.query(sql, &params).await };
    let rows = work.await.map_err(|fault| fault.into_error("changing where a user stands"))?;
    Ok(!rows.is_empty())
}

pub(crate) async fn standing(connections: &Connections, user: &UserId) -> Result<Option<Standing>, Error> {
    let doing = "reading where a user stands";
    let (pin, totp) = (code(Factor::Pin), code(Factor::Totp));
    let rows = connections.read(STANDING, &[&user.as_str(), &pin, &totp, &ACTIVE]).await;
    let rows = rows.map_err(|fault| fault.into_error(doing))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let acts = connections.read(ACTS, &[&user.as_str()]).await.map_err(|fault| fault.into_error(doing))?;
    let blocked: bool = row.get(0);
    let wrong = |column| {
        let count = row.get::<_, Option<i32>>(column);
        count.and_then(|wrong| u32::try_from(wrong).ok()).unwrap_or(0)
    };
    Ok(Some(Standing {
        blocked,
        blocked_until: row.get::<_, Option<SqlTime>>(1).map(|time| time.0).filter(|_| blocked),
        has_pin: row.get(2),
        wrong_calls: wrong(3),
        pin_locked_until: row.get::<_, Option<SqlTime>>(4).map(|time| time.0),
        has_totp: row.get(5),
        wrong_codes: wrong(6),
        totp_locked_until: row.get::<_, Option<SqlTime>>(7).map(|time| time.0),
        acts: acts.iter().map(act_of).collect(),
    }))
}

pub(crate) async fn login(connections: &Connections) -> Result<String, Error> {
    let rows = connections.read("SELECT session_user::text", &[]).await;
    let rows = rows.map_err(|fault| fault.into_error("reading the login"))?;
    Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
}

fn act_of(row: &Row) -> Act {
    Act {
        at: row.get::<_, SqlTime>(0).0,
        act: row.get(1),
        actor: row.get(2),
        reason: row.get(3),
        masked: row.get(4),
        until: row.get::<_, Option<SqlTime>>(5).map(|time| time.0),
    }
}
