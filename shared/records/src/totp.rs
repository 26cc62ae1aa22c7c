//! Secrets of one-time codes at rest, and the time steps of which a code was taken.
//!
//! A code is taken by one statement on the row of its device: the try that moves the row forward has it, and of any number of
//! tries only one does. The row never moves back, so a code that is older than the latest one is never taken. It remembers the
//! try, so that a process which dies before it has said that the code was right takes nothing with it.

use fleet_domain::{DeviceId, UserId};
use fleet_keys::{Keys, TotpSecret};

use crate::connection::{Connections, Params};
use crate::enrolled::ACTIVE;
use crate::error::Error;

const SECRETS: &str = "SELECT id, totp, totp_try FROM devices
    WHERE user_id = $1 AND state = $2 AND totp IS NOT NULL ORDER BY id";
/// A device that is revoked at this moment has no codes any more.
const TAKE: &str = "UPDATE devices SET totp_step = $2, totp_try = $4
    WHERE id = $1 AND (totp_step < $2 OR (totp_step = $2 AND totp_try = $4)) AND state = $3 RETURNING id";

/// What a device's one-time codes are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeDevice {
    /// Whose codes they are.
    pub id: DeviceId,
    /// The secret they come from.
    pub secret: TotpSecret,
    /// The try that took the latest one.
    pub taken_by: Option<Vec<u8>>,
}

/// The secret as it is stored for this device of this user.
pub(crate) fn seal(keys: &Keys, (user, device): (&UserId, DeviceId), secret: &TotpSecret) -> Vec<u8> {
    keys.seal_totp(user.as_str(), device.uuid().as_bytes(), secret)
}

/// The user's active devices with codes. One whose secret can't be opened is left out and reported: the other devices' codes
/// still count.
pub(crate) async fn devices(
    connections: &Connections,
    keys: &Keys,
    user: &UserId,
) -> Result<Vec<CodeDevice>, Error> {
    let rows = connections.read(SECRETS, &[&user.as_str(), &ACTIVE]).await;
    let rows = rows.map_err(|fault| fault.into_error("reading secrets of one-time codes"))?;
    let opened = rows.iter().filter_map(|row| {
        let (id, sealed) = (DeviceId::from_uuid(row.get(0)), row.get::<_, Vec<u8>>(1));
        match keys.open_totp(user.as_str(), id.uuid().as_bytes(), &sealed) {
            Ok(secret) => Some(CodeDevice { id, secret, taken_by: row.get(2) }),
            Err(error) => {
                tracing::error!(device = %id, %error, "a stored secret of one-time codes cannot be opened: the app must be activated anew");
                None
            }
        }
    });
    Ok(opened.collect())
}

pub(crate) async fn take(
    connections: &Connections,
    (device, step): (DeviceId, u64),
    by: &[u8],
) -> Result<bool, Error> {
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    let params: Params<'_> = &[&device.uuid(), &step, &ACTIVE, &by];
    let taken = async { connections.durable().await?.query(TAKE, params).await };
    taken.await.map(|rows| !rows.is_empty()).map_err(|fault| fault.into_error("taking a one-time code"))
}
