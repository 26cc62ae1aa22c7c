//! A change as the statements that store it, all of them in the commit that makes its request `enrolled`.

use fleet_domain::{
    Authority, DevicesOut, Enrollment, EnrollmentReason, Factor, Phone, PhoneRole, StandingChange, UserId,
};
use fleet_keys::Keys;
use tokio_postgres::types::ToSql;

use crate::connection::Session;
use crate::enrolled::LOST;
use crate::error::{Error, Fault};
use crate::phones;
use crate::pins::code;
use crate::sql_time::SqlTime;

const PUT_USER: &str = "
INSERT INTO users AS u (id, audience, method) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET method = excluded.method WHERE u.audience = excluded.audience RETURNING id";

const PUT_PHONE: &str = "
INSERT INTO phones (user_id, role, kind, verified, number_index, sealed, masked, has_extension)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (user_id, role) DO UPDATE SET kind = excluded.kind, verified = excluded.verified,
    number_index = excluded.number_index, sealed = excluded.sealed, masked = excluded.masked,
    has_extension = excluded.has_extension";
const DROP_PHONE: &str = "DELETE FROM phones WHERE user_id = $1 AND role = $2";

/// How many earlier PINs are kept at most: more than a policy can ask for.
const KEEP_PIN: &str = "
INSERT INTO earlier_pins (user_id, pin) SELECT id, pin FROM users WHERE id = $1 AND pin IS NOT NULL";
const FORGET_PINS: &str = "
DELETE FROM earlier_pins WHERE user_id = $1 AND place < coalesce(
    (SELECT place FROM earlier_pins WHERE user_id = $1 ORDER BY place DESC OFFSET 23 LIMIT 1), 0)";
const SET_PIN: &str = "UPDATE users SET pin = $2, pin_set_at = fleet_now() WHERE id = $1";

const DROP_ANSWERS: &str = "DELETE FROM answers WHERE user_id = $1";
const PUT_ANSWER: &str = "INSERT INTO answers (user_id, question, hash) VALUES ($1, $2, $3)";
const FORGET_WRONG: &str = "DELETE FROM lockouts WHERE user_id = $1 AND factor = $2";

const DEVICE_OUT: &str =
    "UPDATE devices SET state = $2, push_token = NULL, totp = NULL WHERE user_id = $1 AND id = $3";
const DEVICES_OUT: &str = "UPDATE devices SET state = $2, push_token = NULL, totp = NULL WHERE user_id = $1";
/// The device that has passed its test.
const DEVICE_IN: &str = "
WITH tested AS (DELETE FROM untested_devices WHERE user_id = $1 AND device = $2 RETURNING *)
INSERT INTO devices (id, user_id, alg, public_key, push_token, push_fid, push_version, push_retired, state, name,
    platform, activated_at, totp)
SELECT device, user_id, alg, public_key, push_token, push_fid, push_version, push_retired, 1, name, platform,
    activated_at, totp
FROM tested RETURNING id";

const BLOCK: &str = "UPDATE users SET blocked = true, blocked_until = $2 WHERE id = $1";
const UNBLOCK: &str = "UPDATE users SET blocked = false, blocked_until = NULL WHERE id = $1";
const UNLOCK: &str = "DELETE FROM lockouts WHERE user_id = $1";

const GIVE_BYPASS: &str = "
INSERT INTO bypasses (user_id, until) VALUES ($1, fleet_now() + $2 * interval '1 second')
ON CONFLICT (user_id) DO UPDATE SET until = excluded.until, used_at = NULL";

const DELETE: &str = "DELETE FROM users WHERE id = $1";

/// The code of a device that was given up.
const REVOKED: i16 = 2;

/// What was checked when the request was accepted may have changed since; nobody changes it before this commit is over.
const STANDING: &str = "
SELECT audience = $2, blocked AND coalesce(blocked_until > fleet_now(), true) FROM users WHERE id = $1
FOR NO KEY UPDATE";

/// Why this request's change may not be stored any more, though it was accepted and tested.
pub(super) async fn unfit(
    session: &mut Session,
    enrollment: &Enrollment,
) -> Result<Option<EnrollmentReason>, Fault> {
    let request = &enrollment.request;
    let rows = session.query(STANDING, &[&request.user.as_str(), &request.audience]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (is_same, blocked): (bool, bool) = (row.get(0), row.get(1));
    Ok(if !is_same {
        Some(EnrollmentReason::NotPermitted)
    } else if blocked && request.authority != Authority::Operator {
        Some(EnrollmentReason::LockedOut)
    } else {
        None
    })
}

/// One statement and its parameters.
pub(super) struct Statement {
    sql: &'static str,
    params: Vec<Box<dyn ToSql + Sync + Send>>,
    /// What the request is refused with where the statement gives no row.
    or_else: Option<EnrollmentReason>,
}

impl Statement {
    /// What the request is refused with, if it is to be.
    pub(super) async fn run(&self, session: &mut Session) -> Result<Option<EnrollmentReason>, Fault> {
        let params: Vec<&(dyn ToSql + Sync)> =
            self.params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect();
        let rows = session.query(self.sql, &params).await?;
        Ok(self.or_else.filter(|_| rows.is_empty()))
    }
}

/// The statements of one user's change.
struct Statements<'a> {
    user: &'a UserId,
    all: Vec<Statement>,
}

impl Statements<'_> {
    fn add(&mut self, sql: &'static str, more: Vec<Box<dyn ToSql + Sync + Send>>) {
        let mut params: Vec<Box<dyn ToSql + Sync + Send>> = vec![Box::new(self.user.to_string())];
        params.extend(more);
        self.all.push(Statement { sql, params, or_else: None });
    }

    /// One without whose row the change may not be stored.
    fn add_or(
        &mut self,
        or_else: EnrollmentReason,
        sql: &'static str,
        more: Vec<Box<dyn ToSql + Sync + Send>>,
    ) {
        self.add(sql, more);
        if let Some(last) = self.all.last_mut() {
            last.or_else = Some(or_else);
        }
    }
}

/// What storing this request's change takes.
pub(super) fn statements(keys: &Keys, enrollment: &Enrollment) -> Result<Vec<Statement>, Error> {
    let request = &enrollment.request;
    let patch = &request.patch;
    let mut all = Statements { user: &request.user, all: Vec::new() };
    if let Some(method) = patch.method {
        let params: Vec<Box<dyn ToSql + Sync + Send>> =
            vec![Box::new(request.audience.clone()), Box::new(i16::from(method.code()))];
        all.add_or(EnrollmentReason::NotPermitted, PUT_USER, params);
    }
    for phone in &patch.phones {
        put_phone(&mut all, keys, phone)?;
    }
    if patch.without_backup {
        all.add(DROP_PHONE, vec![Box::new(i16::from(PhoneRole::Backup.code()))]);
    }
    if let Some(pin) = &patch.pin {
        all.add(KEEP_PIN, Vec::new());
        all.add(FORGET_PINS, Vec::new());
        all.add(SET_PIN, vec![Box::new(pin.clone())]);
        all.add(FORGET_WRONG, vec![Box::new(code(Factor::Pin))]);
    }
    if !patch.answers.is_empty() {
        all.add(DROP_ANSWERS, Vec::new());
        for answer in &patch.answers {
            all.add(PUT_ANSWER, vec![Box::new(answer.question.clone()), Box::new(answer.hash.clone())]);
        }
        all.add(FORGET_WRONG, vec![Box::new(code(Factor::Answers))]);
    }
    match patch.devices {
        Some(DevicesOut { device: Some(device), lost }) => {
            all.add(DEVICE_OUT, vec![Box::new(state(lost)), Box::new(device.uuid())]);
        }
        Some(DevicesOut { device: None, lost }) => all.add(DEVICES_OUT, vec![Box::new(state(lost))]),
        None => {}
    }
    if let Some(device) = enrollment.activated().filter(|_| patch.activates) {
        // Its user may have removed the account from the app meanwhile.
        all.add_or(EnrollmentReason::DeviceUnknown, DEVICE_IN, vec![Box::new(device.uuid())]);
    }
    match patch.standing {
        Some(StandingChange::Block(until)) => all.add(BLOCK, vec![Box::new(until.map(SqlTime))]),
        Some(StandingChange::Unblock) => {
            all.add(UNBLOCK, Vec::new());
            all.add(UNLOCK, Vec::new());
        }
        None => {}
    }
    if let Some(seconds) = patch.bypass_s {
        all.add(GIVE_BYPASS, vec![Box::new(f64::from(seconds))]);
    }
    if patch.delete {
        all.add(DELETE, Vec::new());
    }
    Ok(all.all)
}

const fn state(lost: bool) -> i16 {
    if lost { LOST } else { REVOKED }
}

/// The number is sealed for this user and role already; its index is made here, where the key is.
fn put_phone(all: &mut Statements<'_>, keys: &Keys, phone: &Phone) -> Result<(), Error> {
    let (number, _) = phones::reveal(keys, all.user, phone)?;
    all.add(
        PUT_PHONE,
        vec![
            Box::new(i16::from(phone.role.code())),
            Box::new(i16::from(phone.kind.code())),
            Box::new(phone.verified),
            Box::new(keys.phone_index(number.e164()).to_vec()),
            Box::new(phone.sealed.clone()),
            Box::new(phone.masked.clone()),
            Box::new(phone.has_extension),
        ],
    );
    Ok(())
}
