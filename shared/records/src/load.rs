//! The lanes that read: challenges, users and devices, many by one statement.

use std::collections::HashMap;

use fleet_domain::{
    ChallengeKey, Channel, Device, DeviceId, Phone, PhoneKind, PhoneRole, PushToken, Timestamp, User, UserId,
};
use fleet_keys::DeviceAlg;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::batch::{Answers, Unit};
use crate::connection::Connections;
use crate::enrolled::{DeviceRecord, alg_of, standing_of};
use crate::error::{Error, Fault, UnknownCode};
use crate::row::{Loaded, challenge_columns, first_id_of, key_of, lowest};
use crate::sql_time::SqlTime;
use crate::sweep::{ID_BEFORE_DEADLINE, read_all};
use crate::transition::Stored;

pub(crate) const CHALLENGES: &str = concat!(
    "SELECT ",
    challenge_columns!(),
    " FROM unnest($1::uuid[], $2::text[]) AS k(id, portal)
      JOIN challenges c ON c.id = k.id AND c.portal = k.portal
      WHERE c.id >= $3"
);
pub(crate) const USERS: &str =
    "SELECT u.id, u.audience, u.method, u.blocked AND coalesce(u.blocked_until > fleet_now(), true),
        u.pin IS NOT NULL, l.locked_until, b.user_id IS NOT NULL, t.locked_until
    FROM users u LEFT JOIN lockouts l ON l.user_id = u.id AND l.factor = 1
    LEFT JOIN lockouts t ON t.user_id = u.id AND t.factor = 3
    LEFT JOIN bypasses b ON b.user_id = u.id AND b.used_at IS NULL AND b.until >= fleet_now()
    WHERE u.id = ANY($1)";
pub(crate) const PHONES: &str =
    "SELECT p.user_id, p.role, p.kind, p.verified, p.sealed, p.masked, p.has_extension,
        o.number_index IS NOT NULL
    FROM phones p LEFT JOIN opted_out o ON o.number_index = p.number_index
    WHERE p.user_id = ANY($1) ORDER BY p.user_id, p.role";
const DEVICES_OF: &str =
    "SELECT user_id, id, push_token, push_fid, totp IS NOT NULL, push_retired FROM devices
    WHERE user_id = ANY($1) AND state = 1 ORDER BY user_id, id";
pub(crate) const DEVICES: &str = "SELECT id, user_id, alg, public_key, state FROM devices WHERE id = ANY($1)
    UNION ALL SELECT device, user_id, alg, public_key, 0::smallint FROM untested_devices WHERE device = ANY($1)";

/// A user's rows are gathered by the index on the user before anything is put in order: on the way of the order, the
/// planner would walk through everybody's.
pub(crate) const OPEN_OF: &str = concat!(
    "SELECT c.* FROM unnest($1::text[]) AS u(id) CROSS JOIN LATERAL (
        WITH open AS MATERIALIZED (
            SELECT * FROM challenges WHERE user_id = u.id AND result = 0 AND id >= $2
        )
        SELECT ",
    challenge_columns!(),
    " FROM open c WHERE c.answer_by > $3 ORDER BY c.id DESC LIMIT 200
    ) c"
);
/// Users whose open challenges are read at once: there may be many of each.
pub(crate) const OPEN_BATCH_MAX: usize = 32;

/// The rows under these keys, as far as there are any; one that can't be read is an error of its own.
pub(crate) async fn find(
    connections: &Connections,
    keys: &[&ChallengeKey],
) -> Result<HashMap<ChallengeKey, Result<Loaded, Error>>, Fault> {
    let ids: Vec<Uuid> = keys.iter().map(|key| key.id.uuid()).collect();
    let portals: Vec<&str> = keys.iter().map(|key| key.portal.as_str()).collect();
    let lowest = lowest(keys.iter().copied());
    let rows = connections.read(CHALLENGES, &[&ids, &portals, &lowest]).await?;
    Ok(rows.iter().filter_map(|row| Some((key_of(row).ok()?, Loaded::read(row)))).collect())
}

/// Loads challenges.
pub(crate) struct LoadChallenges(pub(crate) Connections);

impl Unit for LoadChallenges {
    type Ask = ChallengeKey;
    type Answer = Option<Stored>;
    type Key = ();

    fn lane(&self) -> &'static str {
        "load_challenge"
    }

    fn doing(&self) -> &'static str {
        "loading a challenge"
    }

    fn key(_: &ChallengeKey) -> Option<()> {
        None
    }

    async fn attempt(&self, asks: &[&ChallengeKey]) -> Result<Answers<Self>, Fault> {
        let found = find(&self.0, asks).await?;
        let answer = |key: &&ChallengeKey| match found.get(*key) {
            None => Ok(None),
            Some(loaded) => loaded.clone().map(|loaded| Some(loaded.stored)),
        };
        Ok(asks.iter().map(answer).collect())
    }
}

/// Loads a user's newest challenges that are open and not overdue at a time, newest first.
pub(crate) struct LoadOpen(pub(crate) Connections);

impl Unit for LoadOpen {
    type Ask = (UserId, Timestamp);
    type Answer = Vec<Stored>;
    type Key = ();

    fn lane(&self) -> &'static str {
        "load_open"
    }

    fn doing(&self) -> &'static str {
        "listing a user's open challenges"
    }

    fn key(_: &(UserId, Timestamp)) -> Option<()> {
        None
    }

    async fn attempt(&self, asks: &[&(UserId, Timestamp)]) -> Result<Answers<Self>, Fault> {
        let mut users: Vec<&str> = asks.iter().map(|(user, _)| user.as_str()).collect();
        users.sort_unstable();
        users.dedup();
        let earliest = asks.iter().map(|(_, now)| *now).min().unwrap_or_default();
        let lowest = first_id_of(earliest.minus(ID_BEFORE_DEADLINE));
        let rows = self.0.read(OPEN_OF, &[&users, &lowest, &SqlTime(earliest)]).await?;
        let mut found: HashMap<UserId, Vec<Stored>> = HashMap::new();
        for stored in read_all(&rows) {
            if let Some(user) = &stored.challenge.request.user {
                found.entry(user.clone()).or_default().push(stored);
            }
        }
        let answer = |(user, now): &&(UserId, Timestamp)| {
            let open = found.get(user).into_iter().flatten();
            let mut open: Vec<Stored> =
                open.filter(|stored| stored.challenge.request.answer_by > *now).cloned().collect();
            open.sort_unstable_by(|one, other| other.challenge.key.cmp(&one.challenge.key));
            Ok(open)
        };
        Ok(asks.iter().map(answer).collect())
    }
}

/// Loads users with their phones and active devices.
pub(crate) struct LoadUsers(pub(crate) Connections);

impl Unit for LoadUsers {
    type Ask = UserId;
    type Answer = Option<User>;
    type Key = ();

    fn lane(&self) -> &'static str {
        "load_user"
    }

    fn doing(&self) -> &'static str {
        "loading a user"
    }

    fn key(_: &UserId) -> Option<()> {
        None
    }

    async fn attempt(&self, asks: &[&UserId]) -> Result<Answers<Self>, Fault> {
        let mut ids: Vec<&str> = asks.iter().map(|id| id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut session = self.0.durable().await?;
        let queries: [(&str, crate::connection::Params<'_>); 3] =
            [(USERS, &[&ids]), (PHONES, &[&ids]), (DEVICES_OF, &[&ids])];
        let answers = session.pipeline(&queries).await?;
        let [users, phones, devices] = answers.try_into().unwrap_or_default();
        let mut found: HashMap<String, Result<User, Error>> =
            users.iter().map(|row| (row.get(0), user_of(row))).collect();
        for row in &phones {
            join(&mut found, row, |user, row| {
                let phone = phone_of(row)?;
                if row.get(7) {
                    user.opted_out.push(phone.role);
                }
                user.phones.push(phone);
                Ok(())
            });
        }
        for row in &devices {
            join(&mut found, row, |user, row| {
                let wrap = if row.get(3) { PushToken::fid } else { PushToken::new };
                let push_token = row.get::<_, Option<String>>(2).map(wrap);
                let (id, has_totp) = (DeviceId::from_uuid(row.get(1)), row.get(4));
                let push_gone = push_token.is_none() && row.get(5);
                user.devices.push(Device { id, push_token, push_gone, has_totp });
                Ok(())
            });
        }
        Ok(asks.iter().map(|id| found.get(id.as_str()).cloned().transpose()).collect())
    }
}

/// Adds a row to the user whose id stands in its first column. Users come and go between the three
/// statements: a row without its user is left out.
fn join(
    users: &mut HashMap<String, Result<User, Error>>,
    row: &Row,
    add: impl Fn(&mut User, &Row) -> Result<(), Error>,
) {
    if let Some(found) = users.get_mut(row.get::<_, &str>(0))
        && let Ok(user) = found
        && let Err(error) = add(user, row)
    {
        *found = Err(error);
    }
}

fn user_of(row: &Row) -> Result<User, Error> {
    Ok(User {
        id: UserId::parse(row.get(0)).map_err(Error::corrupt)?,
        audience: row.get(1),
        method: word(row, 2, ("method", Channel::from_code))?,
        blocked: row.get(3),
        has_pin: row.get(4),
        pin_locked_until: row.get::<_, Option<SqlTime>>(5).map(|time| time.0),
        totp_locked_until: row.get::<_, Option<SqlTime>>(7).map(|time| time.0),
        bypass: row.get(6),
        opted_out: Vec::new(),
        phones: Vec::new(),
        devices: Vec::new(),
    })
}

fn phone_of(row: &Row) -> Result<Phone, Error> {
    Ok(Phone {
        role: word(row, 1, ("role", PhoneRole::from_code))?,
        kind: word(row, 2, ("kind", PhoneKind::from_code))?,
        verified: row.get(3),
        sealed: row.get(4),
        masked: row.get(5),
        has_extension: row.get(6),
    })
}

/// The word whose code stands in a column.
fn word<T>(
    row: &Row,
    index: usize,
    (column, from_code): (&'static str, fn(u8) -> Option<T>),
) -> Result<T, Error> {
    let code: i16 = row.get(index);
    let word = u8::try_from(code).ok().and_then(from_code);
    word.ok_or_else(|| Error::corrupt(UnknownCode { column, code }))
}

/// Loads devices by their ids.
pub(crate) struct LoadDevices(pub(crate) Connections);

impl Unit for LoadDevices {
    type Ask = DeviceId;
    type Answer = Option<DeviceRecord>;
    type Key = ();

    fn lane(&self) -> &'static str {
        "load_device"
    }

    fn doing(&self) -> &'static str {
        "loading a device"
    }

    fn key(_: &DeviceId) -> Option<()> {
        None
    }

    async fn attempt(&self, asks: &[&DeviceId]) -> Result<Answers<Self>, Fault> {
        let mut ids: Vec<Uuid> = asks.iter().map(|id| id.uuid()).collect();
        ids.sort_unstable();
        ids.dedup();
        let rows = self.0.read(DEVICES, &[&ids]).await?;
        let found: HashMap<Uuid, Result<DeviceRecord, Error>> =
            rows.iter().map(|row| (row.get(0), device_of(row))).collect();
        Ok(asks.iter().map(|id| found.get(&id.uuid()).cloned().transpose()).collect())
    }
}

fn device_of(row: &Row) -> Result<DeviceRecord, Error> {
    let alg: DeviceAlg = word(row, 2, ("alg", alg_of))?;
    Ok(DeviceRecord {
        id: DeviceId::from_uuid(row.get(0)),
        user: UserId::parse(row.get(1)).map_err(Error::corrupt)?,
        alg,
        public_key: row.get(3),
        standing: standing_of(row.get(4)),
    })
}
