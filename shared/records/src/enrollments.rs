//! Requests to change an enrollment: opened, carried on, and stored as a whole. Few and slow beside challenges, so each has
//! transactions of its own.

mod patch;
mod row;

use fleet_domain::{ChallengeKey, Enrollment, EnrollmentReason, RequestKey, Timestamp, UserId};
use fleet_keys::Keys;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::activations::{self, UntestedDevice};
use crate::connection::{Connections, Params, Session};
use crate::error::{Error, Fault};
use crate::sql_time::SqlTime;
use row::{Columns, columns, read, read_all};

/// The columns of an act: who changes what, in which version of which request.
const NOTE: &str = "
INSERT INTO acts (at, act, user_id, masked, actor, reason, id, portal, version)
VALUES (fleet_now(), $1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";

const INSERT: &str = "
INSERT INTO enrollments (version, told, result, passed, test, live, id, portal, user_id, respond_by, collect_by, request)
VALUES ($1, 0, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING RETURNING id";

pub(crate) const UPDATE: &str = "
UPDATE enrollments SET version = $1, result = $2, passed = $3, test = $4, live = $5
WHERE id = $6 AND portal = $7 AND version = $8 RETURNING id";

const SPEND: &str = "
INSERT INTO spent_proofs (id, portal, at) VALUES ($1, $2, fleet_now()) ON CONFLICT DO NOTHING RETURNING id";

pub(crate) const LOAD: &str =
    concat!("SELECT ", columns!(), " FROM enrollments e WHERE e.id = $1 AND e.portal = $2");
pub(crate) const OF_TEST: &str =
    concat!("SELECT ", columns!(), " FROM enrollments e WHERE e.test = $1 AND e.portal = $2");
pub(crate) const OPEN_OF: &str =
    concat!("SELECT ", columns!(), " FROM enrollments e WHERE e.user_id = $1 AND e.result = 0");

/// Open ones for which something is due: their time is over, the change is still to be stored, their test has ended and
/// nobody has said so, or their user was blocked.
pub(crate) const DUE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM enrollments e WHERE e.result = 0 AND (e.respond_by < $1 OR e.passed OR EXISTS (
        SELECT FROM challenges c WHERE c.id = e.test AND c.portal = e.portal AND c.result <> 0
    ) OR EXISTS (
        SELECT FROM users u WHERE u.id = e.user_id AND u.blocked AND coalesce(u.blocked_until > $1, true)
    )) ORDER BY e.respond_by LIMIT $2"
);
pub(crate) const UNTOLD: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM enrollments e WHERE e.told < e.version ORDER BY e.respond_by LIMIT $1"
);
pub(crate) const TO_COLLECT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM enrollments e WHERE (e.collect_by, e.id, e.portal) > ($1, $2, $3) ORDER BY e.collect_by, e.id, e.portal LIMIT $4"
);
pub(crate) const MARK: &str = "UPDATE enrollments SET told = $3 WHERE id = $1 AND portal = $2 AND told < $3";

/// A request as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEnrollment {
    /// The request.
    pub enrollment: Enrollment,
    /// The highest version known to be told to the portal.
    pub told: u32,
}

/// What came of opening a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenedEnrollment {
    /// It is stored, by this very call.
    New,
    /// It was stored before.
    Exists(Box<StoredEnrollment>),
    /// What it shows as its proof has proved another one before.
    ProofSpent,
    /// Another request of the same user was opened or went on meanwhile.
    Contended,
}

/// What is stored together with a new request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// The user's open request before and after it gave way.
    pub superseded: Option<(&'a Enrollment, &'a Enrollment)>,
    /// What has proved it: the id of a challenge or a request of the same portal.
    pub proof: Option<Uuid>,
}

pub(crate) async fn open(
    connections: &Connections,
    new: &Enrollment,
    beside: Beside<'_>,
    keys: &Keys,
) -> Result<OpenedEnrollment, Error> {
    let doing = "opening an enrollment request";
    match insert(connections, new, beside, keys).await.map_err(|fault| fault.into_error(doing))? {
        OpenedEnrollment::Contended => {
            let stored = load(connections, &new.key).await?;
            Ok(stored
                .map_or(OpenedEnrollment::Contended, |stored| OpenedEnrollment::Exists(Box::new(stored))))
        }
        other @ (OpenedEnrollment::New | OpenedEnrollment::Exists(_) | OpenedEnrollment::ProofSpent) => {
            Ok(other)
        }
    }
}

async fn insert(
    connections: &Connections,
    new: &Enrollment,
    beside: Beside<'_>,
    keys: &Keys,
) -> Result<OpenedEnrollment, Fault> {
    let mut session = connections.durable().await?;
    // A session that is dropped within its transaction is closed, and PostgreSQL undoes what it did.
    session.begin("BEGIN").await?;
    if let Some((before, after)) = beside.superseded
        && !update(&mut session, before, after).await?
    {
        return Ok(OpenedEnrollment::Contended);
    }
    let columns = Columns::of(new);
    let (respond_by, collect_by) = (SqlTime(new.request.respond_by), SqlTime(new.request.collect_by));
    let user = new.request.user.as_str();
    let request = new.encode_request();
    let params: Params<'_> = &[
        &columns.version,
        &columns.result,
        &columns.passed,
        &columns.test,
        &columns.live,
        &columns.id,
        &columns.portal,
        &user,
        &respond_by,
        &collect_by,
        &request,
    ];
    if session.query(INSERT, params).await?.is_empty() {
        return Ok(OpenedEnrollment::Contended);
    }
    if let Some(proof) = beside.proof
        && session.query(SPEND, &[&proof, &columns.portal]).await?.is_empty()
    {
        return Ok(OpenedEnrollment::ProofSpent);
    }
    activations::note_code(&mut session, keys, None, new).await?;
    note(&mut session, new).await?;
    session.commit().await?;
    Ok(OpenedEnrollment::New)
}

/// What came of committing a request's next version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommittedEnrollment {
    /// It is stored.
    Stored,
    /// The row was in another version than the one that was read: load it and step again.
    Contended,
    /// Its change can't take effect any more, and nothing was stored: the account has changed since it was asked for.
    Unfit(EnrollmentReason),
}

/// Commits the next version and its act, if the row is still in the version that was read; the one in which the change takes
/// effect with the change itself.
pub(crate) async fn commit(
    connections: &Connections,
    before: &Enrollment,
    after: &Enrollment,
    keys: &Keys,
) -> Result<CommittedEnrollment, Error> {
    let doing = "committing an enrollment request";
    let takes_effect = after.result() == fleet_domain::EnrollmentResult::Done;
    let statements = if takes_effect { patch::statements(keys, after)? } else { Vec::new() };
    let committed: Result<CommittedEnrollment, Fault> = async {
        let mut session = connections.durable().await?;
        session.begin("BEGIN").await?;
        if !update(&mut session, before, after).await? {
            return Ok(CommittedEnrollment::Contended);
        }
        activations::note_code(&mut session, keys, Some(before), after).await?;
        if takes_effect && let Some(reason) = patch::unfit(&mut session, after).await? {
            return Ok(CommittedEnrollment::Unfit(reason));
        }
        for statement in &statements {
            if let Some(reason) = statement.run(&mut session).await? {
                return Ok(CommittedEnrollment::Unfit(reason));
            }
        }
        session.commit().await?;
        Ok(CommittedEnrollment::Stored)
    }
    .await;
    committed.map_err(|fault| fault.into_error(doing))
}

/// Commits the version that was activated on a device, if the row is still in the version that was read, and the device.
pub(crate) async fn activate(
    connections: &Connections,
    (before, after): (&Enrollment, &Enrollment),
    device: &UntestedDevice,
) -> Result<bool, Error> {
    let committed: Result<bool, Fault> = async {
        let mut session = connections.durable().await?;
        session.begin("BEGIN").await?;
        if !update(&mut session, before, after).await? {
            return Ok(false);
        }
        activations::put_untested(&mut session, after, device).await?;
        session.commit().await?;
        Ok(true)
    }
    .await;
    committed.map_err(|fault| fault.into_error("activating a device"))
}

/// The next version and its act. `false` where the row is in another version than `before`.
async fn update(session: &mut Session, before: &Enrollment, after: &Enrollment) -> Result<bool, Fault> {
    let columns = Columns::of(after);
    let expected = i32::try_from(before.version).unwrap_or(i32::MAX);
    let params: Params<'_> = &[
        &columns.version,
        &columns.result,
        &columns.passed,
        &columns.test,
        &columns.live,
        &columns.id,
        &columns.portal,
        &expected,
    ];
    if session.query(UPDATE, params).await?.is_empty() {
        return Ok(false);
    }
    activations::drop_untested(session, before, after).await?;
    note(session, after).await?;
    Ok(true)
}

/// One act for each version: what the request is and how far it has come, by whom, and why it ended.
async fn note(session: &mut Session, enrollment: &Enrollment) -> Result<(), Fault> {
    let request = &enrollment.request;
    let act = format!("{} {}", request.change, enrollment.live.state);
    let actor = request.cause.as_ref().map_or_else(
        || format!("person at {}", enrollment.key.portal),
        |cause| format!("operator {} at {}", cause.actor, enrollment.key.portal),
    );
    let said = request.cause.as_ref().map(|cause| cause.reason.as_str());
    let reason = match (&enrollment.live.end, said) {
        (Some(end), Some(said)) => format!("{}: {said}", end.reason),
        (Some(end), None) => end.reason.to_string(),
        (None, Some(said)) => said.to_owned(),
        (None, None) => request.authority.to_string(),
    };
    let masked = request.patch.phones.first().map(|phone| phone.masked.as_str());
    let version = i32::try_from(enrollment.version).unwrap_or(i32::MAX);
    let (id, portal) = (enrollment.key.id.uuid(), enrollment.key.portal.as_str());
    let user = request.user.as_str();
    let params: Params<'_> = &[&act, &user, &masked, &actor, &reason, &id, &portal, &version];
    session.query(NOTE, params).await.map(drop)
}

pub(crate) async fn load(
    connections: &Connections,
    key: &RequestKey,
) -> Result<Option<StoredEnrollment>, Error> {
    one(connections, LOAD, &[&key.id.uuid(), &key.portal.as_str()]).await
}

pub(crate) async fn of_test(
    connections: &Connections,
    test: &ChallengeKey,
) -> Result<Option<StoredEnrollment>, Error> {
    one(connections, OF_TEST, &[&test.id.uuid(), &test.portal.as_str()]).await
}

pub(crate) async fn open_of(
    connections: &Connections,
    user: &UserId,
) -> Result<Option<StoredEnrollment>, Error> {
    one(connections, OPEN_OF, &[&user.as_str()]).await
}

pub(crate) async fn due(
    connections: &Connections,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<StoredEnrollment>, Error> {
    many(connections, DUE, &[&SqlTime(now), &limit]).await
}

pub(crate) async fn untold(connections: &Connections, limit: i64) -> Result<Vec<StoredEnrollment>, Error> {
    many(connections, UNTOLD, &[&limit]).await
}

/// The next page of those whose outcome is still to be collected, behind the place of the one before.
pub(crate) async fn to_collect(
    connections: &Connections,
    (collect_by, id, portal): (Timestamp, Uuid, &str),
    limit: i64,
) -> Result<Vec<StoredEnrollment>, Error> {
    many(connections, TO_COLLECT, &[&SqlTime(collect_by), &id, &portal, &limit]).await
}

pub(crate) async fn mark_told(
    connections: &Connections,
    key: &RequestKey,
    version: u32,
) -> Result<(), Error> {
    let version = i32::try_from(version).unwrap_or(i32::MAX);
    let work = async {
        connections.relaxed().await?.query(MARK, &[&key.id.uuid(), &key.portal.as_str(), &version]).await
    };
    work.await.map(drop).map_err(|fault| fault.into_error("marking an enrollment request as told"))
}

async fn one(
    connections: &Connections,
    sql: &str,
    params: Params<'_>,
) -> Result<Option<StoredEnrollment>, Error> {
    let rows = rows(connections, sql, params).await?;
    rows.first().map(read).transpose()
}

async fn many(
    connections: &Connections,
    sql: &str,
    params: Params<'_>,
) -> Result<Vec<StoredEnrollment>, Error> {
    Ok(read_all(&rows(connections, sql, params).await?))
}

async fn rows(connections: &Connections, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Error> {
    let rows = connections.read(sql, params).await;
    rows.map_err(|fault| fault.into_error("reading enrollment requests"))
}
