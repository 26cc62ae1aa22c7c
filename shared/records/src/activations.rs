//! Activation codes and the devices that are activated by them, up to the test that makes them count.
//!
//! A code stands nowhere: it follows from its request's id and a counter. What is stored is a keyed hash under which a code
//! that is shown is found again, also when it counts no more, so that its owner can be told why.

use fleet_domain::{
    Device, DeviceId, Enrollment, PortalName, PushToken, RequestId, RequestKey, TypedCode, UserId,
};
use fleet_keys::{DeviceAlg, Keys};
use tokio_postgres::Row;

use crate::connection::{Connections, Params, Session};
use crate::enrolled::code_of;
use crate::error::{Error, Fault};

const DOING: &str = "activating a device";

const PUT_CODES: &str = "
INSERT INTO activations (code_index, id, portal, counter)
SELECT code_index, $2, $3, $4 FROM unnest($1::bytea[]) AS c(code_index) ON CONFLICT DO NOTHING";
pub(crate) const FIND: &str = "SELECT id, portal, counter FROM activations WHERE code_index = $1";

const PUT_DEVICE: &str = "
INSERT INTO untested_devices
    (device, id, portal, user_id, alg, public_key, name, platform, push_token, push_fid, activated_at, totp)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, fleet_now(), $11)";
const DROP_DEVICE: &str = "DELETE FROM untested_devices WHERE id = $1 AND portal = $2";
pub(crate) const UNTESTED: &str =
    "SELECT push_token, push_fid, push_retired FROM untested_devices WHERE device = $1";
pub(crate) const ACTIVATED: &str = "
SELECT public_key, totp FROM untested_devices WHERE device = $1
UNION ALL SELECT public_key, totp FROM devices WHERE id = $1 AND state = 1 AND totp IS NOT NULL";

/// Only a version above the stored one counts: refreshes may overtake each other.
pub(crate) const REFRESH: &str = "
WITH tested AS (
    UPDATE devices SET push_token = $2, push_fid = $3, push_version = $4, push_retired = false
    WHERE id = $1 AND state = 1 AND push_version < $4 RETURNING id
), untested AS (
    UPDATE untested_devices SET push_token = $2, push_fid = $3, push_version = $4, push_retired = false
    WHERE device = $1 AND push_version < $4 RETURNING device
)
SELECT id FROM tested UNION ALL SELECT device FROM untested";
pub(crate) const REVOKE: &str = "
WITH untested AS (
    DELETE FROM untested_devices WHERE device = $1 RETURNING user_id
), tested AS (
    UPDATE devices SET state = 2, push_token = NULL, totp = NULL WHERE id = $1 AND state = 1 RETURNING user_id
), gone AS (
    SELECT user_id FROM tested UNION ALL SELECT user_id FROM untested
)
INSERT INTO acts (at, act, user_id, actor, reason)
SELECT fleet_now(), 'device_revoked', user_id, 'person', 'removed from the app: ' || $1::uuid FROM gone
RETURNING user_id";

/// Both forms of one activation code.
#[derive(Clone, PartialEq, Eq)]
pub struct ActivationCode {
    /// The one in the QR code: 128 bits in 22 characters. Not to be logged.
    pub long: String,
    /// The one to be typed.
    pub typed: TypedCode,
}

/// An activation code as an app shows it.
#[derive(Clone, PartialEq, Eq)]
pub enum ShownCode {
    /// The one in the QR code.
    Long(String),
    /// The one that was typed.
    Typed(TypedCode),
}

/// The request that a code belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundActivation {
    /// The request.
    pub key: RequestKey,
    /// Which of its codes it is.
    pub counter: u8,
}

/// A device that was activated and is to be tested.
#[derive(Clone, Debug)]
pub struct UntestedDevice {
    /// Its id.
    pub id: DeviceId,
    /// The algorithm of its key.
    pub alg: DeviceAlg,
    /// Its public key.
    pub public_key: Vec<u8>,
    /// Where its pushes go; `None` for an app that only polls.
    pub push_token: Option<PushToken>,
    /// The secret of its one-time codes, sealed for this user and device.
    pub totp: Vec<u8>,
}

/// The code of a request with this counter.
pub(crate) fn code(keys: &Keys, key: &RequestKey, counter: u8) -> ActivationCode {
    let secret = keys.activation_secret(key.portal.as_str(), key.id.as_bytes(), counter);
    ActivationCode { long: secret.long, typed: TypedCode::of(secret.number) }
}

fn long_index(keys: &Keys, code: &str) -> [u8; 16] {
    keys.keyed_hash("activation_long", &[code.as_bytes()])
}

fn typed_index(keys: &Keys, code: &TypedCode) -> [u8; 16] {
    keys.keyed_hash("activation_typed", &[code.as_bytes()])
}

/// Stores what is needed to find the code that this version of a request has got and the one before had not.
pub(crate) async fn note_code(
    session: &mut Session,
    keys: &Keys,
    before: Option<&Enrollment>,
    after: &Enrollment,
) -> Result<(), Fault> {
    let counter_of = |enrollment: &Enrollment| enrollment.live.activation.as_ref().map(|of| of.counter);
    let Some(counter) = counter_of(after).filter(|new| before.and_then(counter_of) != Some(*new)) else {
        return Ok(());
    };
    let code = code(keys, &after.key, counter);
    let indexes = [&long_index(keys, &code.long)[..], &typed_index(keys, &code.typed)[..]];
    let (id, portal) = (after.key.id.uuid(), after.key.portal.as_str());
    session.query(PUT_CODES, &[&&indexes[..], &id, &portal, &i16::from(counter)]).await.map(drop)
}

/// Forgets the device of a request that has ended without having been tested, or that has let it go.
pub(crate) async fn drop_untested(
    session: &mut Session,
    before: &Enrollment,
    after: &Enrollment,
) -> Result<(), Fault> {
    let is_done = after.result() == fleet_domain::EnrollmentResult::Done;
    let goes_on = after.is_open() && after.activated() == before.activated();
    if before.activated().is_none() || is_done || goes_on {
        return Ok(());
    }
    session.query(DROP_DEVICE, &[&after.key.id.uuid(), &after.key.portal.as_str()]).await.map(drop)
}

/// Stores the device that this version of its request was activated on.
pub(crate) async fn put_untested(
    session: &mut Session,
    after: &Enrollment,
    device: &UntestedDevice,
) -> Result<(), Fault> {
    let activated = after.live.activation.as_ref().and_then(|activation| activation.device.as_ref());
    let (name, platform) = activated.map_or(("", ""), |device| (&device.name, &device.platform));
    let params: Params<'_> = &[
        &device.id.uuid(),
        &after.key.id.uuid(),
        &after.key.portal.as_str(),
        &after.request.user.as_str(),
        &code_of(device.alg),
        &device.public_key,
        &name,
        &platform,
        &device.push_token.as_ref().map(PushToken::reveal),
        &device.push_token.as_ref().is_some_and(PushToken::is_fid),
        &device.totp,
    ];
    session.query(PUT_DEVICE, params).await.map(drop)
}

/// The request of a code that was shown, in whatever state it is.
pub(crate) async fn find(
    connections: &Connections,
    keys: &Keys,
    shown: &ShownCode,
) -> Result<Option<FoundActivation>, Error> {
    let index = match shown {
        ShownCode::Long(long) => long_index(keys, long),
        ShownCode::Typed(typed) => typed_index(keys, typed),
    };
    let rows = connections.read(FIND, &[&&index[..]]).await.map_err(|fault| fault.into_error(DOING))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let id = RequestId::from_uuid(row.get(0));
    let portal = PortalName::parse(row.get(1)).map_err(Error::corrupt)?;
    let counter = u8::try_from(row.get::<_, i16>(2)).unwrap_or(0);
    Ok(id.map(|id| FoundActivation { key: RequestKey { id, portal }, counter }))
}

/// Where the pushes of a device go that is not tested yet.
pub(crate) async fn untested(connections: &Connections, id: DeviceId) -> Result<Option<Device>, Error> {
    let rows = connections.read(UNTESTED, &[&id.uuid()]).await.map_err(|fault| fault.into_error(DOING))?;
    Ok(rows.first().map(|row| {
        let wrap = if row.get(1) { PushToken::fid } else { PushToken::new };
        let push_token = row.get::<_, Option<String>>(0).map(wrap);
        let push_gone = push_token.is_none() && row.get(2);
        // Only the codes of active devices are checked.
        Device { id, push_token, push_gone, has_totp: false }
    }))
}

/// The public key and the sealed secret of one-time codes of a device that was activated by a code and may still be used.
pub(crate) async fn activated(
    connections: &Connections,
    id: DeviceId,
) -> Result<Option<(Vec<u8>, Vec<u8>)>, Error> {
    let rows = connections.read(ACTIVATED, &[&id.uuid()]).await.map_err(|fault| fault.into_error(DOING))?;
    Ok(rows.first().map(|row| (row.get(0), row.get(1))))
}

/// Changes where a device's pushes go. `false` where a later refresh was stored before, or the device is gone.
pub(crate) async fn refresh_push(
    connections: &Connections,
    id: DeviceId,
    (token, version): (Option<&PushToken>, i64),
) -> Result<bool, Error> {
    let params: Params<'_> =
        &[&id.uuid(), &token.map(PushToken::reveal), &token.is_some_and(PushToken::is_fid), &version];
    let rows = wherever_it_is(connections, REFRESH, params).await;
    rows.map(|rows| !rows.is_empty()).map_err(|fault| fault.into_error("changing a push address"))
}

/// Gives a device up, as its own user asked for in the app. The user, where it was not given up before.
pub(crate) async fn revoke(connections: &Connections, id: DeviceId) -> Result<Option<UserId>, Error> {
    let rows = wherever_it_is(connections, REVOKE, &[&id.uuid()]).await;
    let rows = rows.map_err(|fault| fault.into_error("giving up a device"))?;
    rows.first().map(|row| UserId::parse(row.get(0)).map_err(Error::corrupt)).transpose()
}

/// Runs a statement that looks for a device among those under test and the others. One that is moved by another commit
/// meanwhile is in neither: a statement sees what was stored when it began. Then it is where the next one looks.
async fn wherever_it_is(connections: &Connections, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Fault> {
    let mut session = connections.durable().await?;
    let rows = session.query(sql, params).await?;
    if rows.is_empty() { session.query(sql, params).await } else { Ok(rows) }
}
