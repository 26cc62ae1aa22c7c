//! What operators, the demo and the benchmark write: portals and users.

use std::sync::Arc;

use fleet_domain::{Portal, PushToken, UserId};
use fleet_keys::Keys;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::connection::{Connections, Params, Session};
use crate::enrolled::{ACTIVE, NewPhone, NewUser, code_of};
use crate::error::{Error, Fault};
use crate::{phones, totp};

/// Users that are stored by one transaction.
const CHUNK: usize = 1000;

const PUT_PORTAL: &str = "INSERT INTO portals (name, title, audiences, policy) VALUES ($1, $2, $3, $4)
    ON CONFLICT (name) DO UPDATE SET title = excluded.title, audiences = excluded.audiences, policy = excluded.policy";

const PUT_USERS: &str = "
INSERT INTO users (id, audience, method)
SELECT * FROM unnest($1::text[], $2::text[], $3::int2[]) AS u(id, audience, method) ORDER BY id
ON CONFLICT (id) DO UPDATE SET audience = excluded.audience, method = excluded.method";

/// Removes what the users no longer have, then stores what they have.
const CLEAR_PHONES: &str = "DELETE FROM phones WHERE user_id = ANY($1)";
const PUT_PHONES: &str = "
INSERT INTO phones (user_id, role, kind, verified, number_index, sealed, masked, has_extension)
SELECT * FROM unnest($1::text[], $2::int2[], $3::int2[], $4::bool[], $5::bytea[], $6::bytea[], $7::text[], $8::bool[])";
const CLEAR_DEVICES: &str = "DELETE FROM devices WHERE user_id = ANY($1)";
const PUT_DEVICES: &str = "
INSERT INTO devices (id, user_id, alg, public_key, push_token, push_fid, totp, state)
SELECT id, user_id, alg, public_key, push_token, push_fid, totp, $8
FROM unnest($1::uuid[], $2::text[], $3::int2[], $4::bytea[], $5::text[], $6::bool[], $7::bytea[])
    AS d(id, user_id, alg, public_key, push_token, push_fid, totp)";

const RETIRE_TOKEN: &str = "
WITH tested AS (
    UPDATE devices SET push_token = NULL, push_retired = true WHERE id = $1 AND push_token = $2 RETURNING id
), untested AS (
    UPDATE untested_devices SET push_token = NULL, push_retired = true
    WHERE device = $1 AND push_token = $2 RETURNING device
)
SELECT id FROM tested UNION ALL SELECT device FROM untested";

pub(crate) async fn put_portal(connections: &Connections, portal: &Portal) -> Result<(), Error> {
    portal.policy.check().map_err(|error| Error::Rejected(Arc::new(error)))?;
    fleet_prompts::lint(&portal.policy.prompt_texts).map_err(|error| Error::Rejected(Arc::new(error)))?;
    let policy = tokio_postgres::types::Json(&portal.policy);
    let params: Params<'_> = &[&portal.name.as_str(), &portal.title, &portal.audiences, &policy];
    let stored = async { connections.durable().await?.query(PUT_PORTAL, params).await };
    stored.await.map(drop).map_err(|fault| fault.into_error("storing a portal"))
}

pub(crate) async fn retire_push_token(
    connections: &Connections,
    device: Uuid,
    token: &str,
) -> Result<bool, Error> {
    let retired = async { connections.durable().await?.query(RETIRE_TOKEN, &[&device, &token]).await };
    retired.await.map(|rows| !rows.is_empty()).map_err(|fault| fault.into_error("retiring a push token"))
}

/// Stores users, each with exactly these phones and devices, in chunks of which each is stored wholly or not at all.
/// Whether a user is blocked, and the PIN, stay as they are.
pub(crate) async fn put_users(
    connections: &Connections,
    keys: &Keys,
    users: &[NewUser],
) -> Result<(), Error> {
    for chunk in users.chunks(CHUNK) {
        let (phones, devices) = (PhoneColumns::of(keys, chunk), DeviceColumns::of(keys, chunk));
        let stored = async {
            let mut session = connections.durable().await?;
            session.begin("BEGIN").await?;
            put_chunk(&mut session, chunk, (&phones, &devices)).await?;
            session.commit().await
        };
        stored.await.map_err(|fault: Fault| fault.into_error("storing users"))?;
    }
    Ok(())
}

async fn put_chunk(
    session: &mut Session,
    users: &[NewUser],
    (phones, devices): (&PhoneColumns<'_>, &DeviceColumns<'_>),
) -> Result<(), Fault> {
    let ids: Vec<&str> = users.iter().map(|user| user.id.as_str()).collect();
    let audiences: Vec<&str> = users.iter().map(|user| user.audience.as_str()).collect();
    let methods: Vec<i16> = users.iter().map(|user| i16::from(user.method.code())).collect();
    let puts: [(&str, Params<'_>); 5] = [
        (PUT_USERS, &[&ids, &audiences, &methods]),
        (CLEAR_PHONES, &[&ids]),
        (PUT_PHONES, &phones.params()),
        (CLEAR_DEVICES, &[&ids]),
        (
            PUT_DEVICES,
            &[
                &devices.ids,
                &devices.users,
                &devices.algs,
                &devices.keys,
                &devices.tokens,
                &devices.fids,
                &devices.totps,
                &ACTIVE,
            ],
        ),
    ];
    for (sql, params) in puts {
        session.query(sql, params).await?;
    }
    Ok(())
}

/// Phones as the columns of an insertion.
#[derive(Default)]
pub(crate) struct PhoneColumns<'a> {
    pub(crate) users: Vec<&'a str>,
    roles: Vec<i16>,
    kinds: Vec<i16>,
    verified: Vec<bool>,
    indexes: Vec<Vec<u8>>,
    sealed: Vec<Vec<u8>>,
    masked: Vec<String>,
    extensions: Vec<bool>,
}

impl<'a> PhoneColumns<'a> {
    fn of(keys: &Keys, users: &'a [NewUser]) -> Self {
        Self::gather(
            keys,
            users.iter().flat_map(|user| user.phones.iter().map(move |phone| (&user.id, phone))),
        )
    }

    pub(crate) fn gather<'p>(keys: &Keys, phones: impl Iterator<Item = (&'a UserId, &'p NewPhone)>) -> Self {
        let mut columns = Self::default();
        for (user, phone) in phones {
            columns.users.push(user.as_str());
            columns.roles.push(i16::from(phone.role.code()));
            columns.kinds.push(i16::from(phone.kind.code()));
            columns.verified.push(phone.verified);
            columns.indexes.push(keys.phone_index(phone.number.e164()).to_vec());
            let sealed = phones::seal(keys, (user, phone.role), &phone.number, phone.extension.as_ref());
            columns.sealed.push(sealed);
            columns.masked.push(phone.number.masked());
            columns.extensions.push(phone.extension.is_some());
        }
        columns
    }

    /// The columns in the order of the table's.
    pub(crate) fn params(&self) -> [&(dyn ToSql + Sync); 8] {
        [
            &self.users,
            &self.roles,
            &self.kinds,
            &self.verified,
            &self.indexes,
            &self.sealed,
            &self.masked,
            &self.extensions,
        ]
    }
}

#[derive(Default)]
struct DeviceColumns<'a> {
    ids: Vec<Uuid>,
    users: Vec<&'a str>,
    algs: Vec<i16>,
    keys: Vec<&'a [u8]>,
    tokens: Vec<Option<&'a str>>,
    fids: Vec<bool>,
    totps: Vec<Option<Vec<u8>>>,
}

impl<'a> DeviceColumns<'a> {
    fn of(keys: &Keys, users: &'a [NewUser]) -> Self {
        let mut columns = Self::default();
        for (user, device) in
            users.iter().flat_map(|user| user.devices.iter().map(move |device| (user, device)))
        {
            columns.ids.push(device.id.uuid());
            columns.users.push(user.id.as_str());
            columns.algs.push(code_of(device.alg));
            columns.keys.push(&device.public_key);
            columns.tokens.push(device.push_token.as_ref().map(PushToken::reveal));
            columns.fids.push(device.push_token.as_ref().is_some_and(PushToken::is_fid));
            let sealed = |secret| totp::seal(keys, (&user.id, device.id), secret);
            columns.totps.push(device.totp.as_ref().map(sealed));
        }
        columns
    }
}
