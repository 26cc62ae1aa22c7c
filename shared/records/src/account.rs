//! What is known of a user whose enrollment is to be changed, beside what a challenge has to know.

use fleet_domain::{
    Account, DeviceId, Extension, Factor, Phone, PhoneKind, PhoneNumber, PhoneRole, SeenApp, User, UserId,
};
use fleet_keys::{Keys, PinHash};
use tokio_postgres::Row;

use crate::connection::{Connections, Params};
use crate::error::Error;
use crate::phones;
use crate::pins::code;
use crate::sql_time::SqlTime;

const DOING: &str = "reading a user's enrollment";

const QUESTIONS: &str = "SELECT question FROM answers WHERE user_id = $1 ORDER BY question";
const LOCKED: &str = "SELECT locked_until FROM lockouts WHERE user_id = $1 AND factor = $2";
pub(crate) const BYPASSES: &str = "
SELECT count(*) FROM acts WHERE user_id = $1 AND act = 'bypass enrolled' AND at > fleet_now() - interval '1 year'";
const HAD_DEVICES: &str = "SELECT EXISTS (SELECT FROM devices WHERE user_id = $1)";
const APPS: &str = "
SELECT id, name, platform, activated_at FROM devices WHERE user_id = $1 AND state = 1 ORDER BY activated_at, id";
const OPTED_OUT: &str = "SELECT FROM opted_out WHERE number_index = $1";
pub(crate) const PINS: &str = "
SELECT pin FROM users WHERE id = $1 AND pin IS NOT NULL
UNION ALL (SELECT pin FROM earlier_pins WHERE user_id = $1 ORDER BY place DESC LIMIT $2)";
const ANSWERS: &str = "SELECT question, hash FROM answers WHERE user_id = $1 AND question = ANY($2)";
const TAKE_BYPASS: &str = "
UPDATE bypasses SET used_at = fleet_now() WHERE user_id = $1 AND used_at IS NULL AND until >= fleet_now() RETURNING user_id";

pub(crate) async fn account(
    connections: &Connections,
    id: &UserId,
    user: Option<User>,
) -> Result<Account, Error> {
    let (user_id, factor) = (id.as_str(), code(Factor::Answers));
    let queries: [(&str, Params<'_>); 5] = [
        (QUESTIONS, &[&user_id]),
        (LOCKED, &[&user_id, &factor]),
        (BYPASSES, &[&user_id]),
        (HAD_DEVICES, &[&user_id]),
        (APPS, &[&user_id]),
    ];
    let read = async { connections.durable().await?.pipeline(&queries).await };
    let answers = read.await.map_err(|fault| fault.into_error(DOING))?;
    let [questions, locked, bypasses, had_devices, apps] = answers.try_into().unwrap_or_default();
    let count = bypasses.first().map_or(0, |row| row.get::<_, i64>(0));
    Ok(Account {
        user,
        questions: questions.iter().map(|row| row.get(0)).collect(),
        answers_locked_until: locked.first().and_then(|row| row.get::<_, Option<SqlTime>>(0)).map(|at| at.0),
        bypasses: u8::try_from(count).unwrap_or(u8::MAX),
        had_devices: had_devices.first().is_some_and(|row| row.get(0)),
        apps: apps.iter().map(app_of).collect(),
    })
}

fn app_of(row: &Row) -> SeenApp {
    SeenApp {
        device: DeviceId::from_uuid(row.get(0)),
        name: row.get(1),
        platform: row.get(2),
        activated_at: row.get::<_, Option<SqlTime>>(3).map(|at| at.0),
    }
}

/// Whether this number asked never to be called again.
pub(crate) async fn is_opted_out(
    connections: &Connections,
    keys: &Keys,
    number: &PhoneNumber,
) -> Result<bool, Error> {
    let index = &keys.phone_index(number.e164())[..];
    let rows = connections.read(OPTED_OUT, &[&index]).await;
    rows.map(|rows| !rows.is_empty()).map_err(|fault| fault.into_error(DOING))
}

/// The user's PIN and those before it, the newest first.
pub(crate) async fn pins(
    connections: &Connections,
    user: &UserId,
    history: u8,
) -> Result<Vec<PinHash>, Error> {
    let rows = connections.read(PINS, &[&user.as_str(), &i64::from(history)]).await;
    let rows = rows.map_err(|fault| fault.into_error(DOING))?;
    Ok(rows.iter().map(|row| PinHash::from_stored(row.get(0))).collect())
}

/// The stored answers to these questions.
pub(crate) async fn answers(
    connections: &Connections,
    user: &UserId,
    questions: &[String],
) -> Result<Vec<(String, String)>, Error> {
    let rows = connections.read(ANSWERS, &[&user.as_str(), &questions]).await;
    let rows = rows.map_err(|fault| fault.into_error(DOING))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Takes the user's bypass, if there is one: only one challenge ever gets `true`.
pub(crate) async fn take_bypass(connections: &Connections, user: &UserId) -> Result<bool, Error> {
    let taken = async { connections.durable().await?.query(TAKE_BYPASS, &[&user.as_str()]).await };
    taken.await.map(|rows| !rows.is_empty()).map_err(|fault| fault.into_error("taking a bypass"))
}

/// A phone as it is stored: its number sealed for this user and role.
pub(crate) fn sealed_phone(
    keys: &Keys,
    (user, role): (&UserId, PhoneRole),
    (number, extension): (&PhoneNumber, Option<&Extension>),
    kind: PhoneKind,
) -> Phone {
    Phone {
        role,
        kind,
        verified: false,
        sealed: phones::seal(keys, (user, role), number, extension),
        masked: number.masked(),
        has_extension: extension.is_some(),
    }
}
