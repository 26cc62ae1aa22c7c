//! Users by the thousand, into the tables and out of them, as an operator moves them between systems.
//!
//! An import never takes anything from a user but what it replaces, and never touches devices, blocks and answers. Every
//! user that it adds or changes has an act that says who imported it and out of what.

use std::collections::{HashMap, HashSet};

use fleet_domain::{Channel, Phone, PhoneKind, PhoneRole, UserId};
use fleet_keys::{Keys, PinHash};
use tokio_postgres::Row;

use crate::administration::PhoneColumns;
use crate::connection::{Connections, Params, Session};
use crate::enrolled::NewPhone;
use crate::error::{Error, Fault, UnknownCode};
use crate::{phones, pins};

const PRESENT: &str = "SELECT id, audience, method, pin FROM users WHERE id = ANY($1) ORDER BY id FOR UPDATE";
const PHONES: &str = "
SELECT user_id, role, kind, verified, sealed, masked, has_extension FROM phones
WHERE user_id = ANY($1) ORDER BY user_id, role";
const ADD: &str = "
INSERT INTO users (id, audience, method, pin, pin_set_at)
SELECT id, audience, method, pin, CASE WHEN pin IS NOT NULL THEN fleet_now() END
FROM unnest($1::text[], $2::text[], $3::int2[], $4::text[]) AS u(id, audience, method, pin) ORDER BY id
ON CONFLICT (id) DO NOTHING RETURNING id";
const CHANGE: &str = "
UPDATE users u SET audience = g.audience, method = g.method
FROM unnest($1::text[], $2::text[], $3::int2[]) AS g(id, audience, method) WHERE u.id = g.id";
const PUT_PHONES: &str = "
INSERT INTO phones (user_id, role, kind, verified, number_index, sealed, masked, has_extension)
SELECT * FROM unnest($1::text[], $2::int2[], $3::int2[], $4::bool[], $5::bytea[], $6::bytea[], $7::text[], $8::bool[])
ON CONFLICT (user_id, role) DO UPDATE SET kind = excluded.kind, verified = excluded.verified,
    number_index = excluded.number_index, sealed = excluded.sealed, masked = excluded.masked,
    has_extension = excluded.has_extension";
/// A run that was killed between its commit and its checkpoint does a chunk again: that is no second act.
const NOTE: &str = "
INSERT INTO acts (at, act, reason, actor, user_id)
SELECT fleet_now(), 'imported', $2, 'operator ' || session_user, u.id FROM unnest($1::text[]) AS u(id)
WHERE NOT EXISTS (SELECT FROM acts a WHERE a.user_id = u.id AND a.act = 'imported' AND a.reason = $2)";
const PAGE: &str = "
SELECT id, audience, method, pin FROM users WHERE id > $1 ORDER BY id LIMIT $2";

/// A user as files have one: without devices, blocks and answers, which do not leave the fleet.
#[derive(Clone, Debug)]
pub struct BulkUser {
    /// The user's id.
    pub id: UserId,
    /// Which portals may challenge the user.
    pub audience: String,
    /// The method that the user chose.
    pub method: Channel,
    /// The phones, at most one of each role.
    pub phones: Vec<NewPhone>,
    /// What is stored of the PIN.
    pub pin: Option<PinHash>,
}

/// What becomes of users that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// They stay as they are.
    Skip,
    /// Audience and method become the given ones, and so does each phone and the PIN where one is given. A phone whose
    /// number and extension are the same stays verified.
    Update,
}

/// What an import came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Users that were not there.
    pub added: u64,
    /// Users that were there and are other ones now.
    pub updated: u64,
    /// Users that were there and stay as they were.
    pub kept: u64,
}

/// Stores users in one commit, wholly or not at all. No two of them have the same id.
pub(crate) async fn import(
    connections: &Connections,
    keys: &Keys,
    users: &[BulkUser],
    (existing, reason): (Existing, &str),
) -> Result<Imported, Error> {
    let work = async {
        let mut session = connections.durable().await?;
        session.begin("BEGIN").await?;
        let imported = import_chunk(&mut session, keys, users, (existing, reason)).await?;
        session.commit().await?;
        Ok(imported)
    };
    work.await.map_err(|fault: Fault| fault.into_error("importing users"))
}

async fn import_chunk(
    session: &mut Session,
    keys: &Keys,
    users: &[BulkUser],
    (existing, reason): (Existing, &str),
) -> Result<Imported, Fault> {
    let ids: Vec<&str> = users.iter().map(|user| user.id.as_str()).collect();
    let rows = session.query(PRESENT, &[&ids]).await?;
    let present: HashMap<&str, &Row> = rows.iter().map(|row| (row.get(0), row)).collect();
    let (old, new): (Vec<&BulkUser>, Vec<&BulkUser>) =
        users.iter().partition(|user| present.contains_key(user.id.as_str()));
    let mut touched = add(session, keys, &new).await?;
    let added = touched.len();
    if existing == Existing::Update && !old.is_empty() {
        touched.extend(update(session, keys, &old, &present).await?);
    }
    if !touched.is_empty() {
        session.query(NOTE, &[&touched, &reason]).await?;
    }
    let updated = touched.len() - added;
    let counts = [added, updated, users.len() - added - updated].map(|count| count as u64);
    Ok(Imported { added: counts[0], updated: counts[1], kept: counts[2] })
}

/// Adds users, and says which: somebody else may have been faster.
async fn add(session: &mut Session, keys: &Keys, users: &[&BulkUser]) -> Result<Vec<String>, Fault> {
    let ids: Vec<&str> = users.iter().map(|user| user.id.as_str()).collect();
    let (audiences, methods) = audiences_and_methods(users);
    let pins: Vec<Option<&str>> = users.iter().map(|user| user.pin.as_ref().map(PinHash::as_str)).collect();
    let rows = session.query(ADD, &[&ids, &audiences, &methods, &pins]).await?;
    let added: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let there: HashSet<&str> = added.iter().map(String::as_str).collect();
    let phones = users.iter().filter(|user| there.contains(user.id.as_str()));
    let phones = phones.flat_map(|user| user.phones.iter().map(|phone| (&user.id, phone)));
    put_phones(session, &PhoneColumns::gather(keys, phones)).await?;
    Ok(added)
}

/// Changes users that are there, and says which of them are other ones now.
async fn update(
    session: &mut Session,
    keys: &Keys,
    users: &[&BulkUser],
    present: &HashMap<&str, &Row>,
) -> Result<Vec<String>, Fault> {
    let ids: Vec<&str> = users.iter().map(|user| user.id.as_str()).collect();
    let rows = session.query(PHONES, &[&ids]).await?;
    let mut old_phones: HashMap<&str, Vec<Phone>> = HashMap::new();
    for row in &rows {
        // One that can't be read is replaced.
        if let Ok(phone) = phone_of(row) {
            old_phones.entry(row.get(0)).or_default().push(phone);
        }
    }
    let mut changed: Vec<&BulkUser> = Vec::new();
    let mut phones: Vec<(&UserId, NewPhone)> = Vec::new();
    let mut pins: Vec<(&str, &str)> = Vec::new();
    for user in users {
        let Some(row) = present.get(user.id.as_str()) else { continue };
        let old = old_phones.get(user.id.as_str()).map_or(&[][..], Vec::as_slice);
        let news: Vec<NewPhone> =
            user.phones.iter().filter_map(|phone| other_phone(keys, &user.id, phone, old)).collect();
        let pin = user.pin.as_ref().filter(|pin| is_other_pin(keys, &user.id, pin, row.get(3)));
        let is_moved =
            row.get::<_, &str>(1) != user.audience || row.get::<_, i16>(2) != i16::from(user.method.code());
        if is_moved || pin.is_some() || !news.is_empty() {
            changed.push(user);
        }
        phones.extend(news.into_iter().map(|phone| (&user.id, phone)));
        pins.extend(pin.map(|pin| (user.id.as_str(), pin.as_str())));
    }
    let ids: Vec<&str> = changed.iter().map(|user| user.id.as_str()).collect();
    let (audiences, methods) = audiences_and_methods(&changed);
    session.query(CHANGE, &[&ids, &audiences, &methods]).await?;
    let phones = PhoneColumns::gather(keys, phones.iter().map(|(user, phone)| (*user, phone)));
    put_phones(session, &phones).await?;
    if !pins.is_empty() {
        let (users, hashes): (Vec<&str>, Vec<&str>) = pins.into_iter().unzip();
        let factor = pins::code(fleet_domain::Factor::Pin);
        session.query(pins::SET, &[&users, &hashes, &factor]).await?;
    }
    Ok(ids.into_iter().map(str::to_owned).collect())
}

/// The phone to store, unless the same one is there. It stays verified where its number and extension are the same.
fn other_phone(keys: &Keys, user: &UserId, given: &NewPhone, old: &[Phone]) -> Option<NewPhone> {
    let same = old.iter().find(|phone| {
        phone.role == given.role
            && phones::reveal(keys, user, phone)
                .is_ok_and(|(number, extension)| number == given.number && extension == given.extension)
    });
    let Some(same) = same else { return Some(given.clone()) };
    let verified = given.verified || same.verified;
    let is_other = verified != same.verified || given.kind != same.kind;
    is_other.then(|| NewPhone { verified, ..given.clone() })
}

/// Sealed forms of the same hash differ, so what is sealed is compared.
fn is_other_pin(keys: &Keys, user: &UserId, given: &PinHash, stored: Option<String>) -> bool {
    let Some(stored) = stored.map(PinHash::from_stored) else { return true };
    let is_same = stored == *given
        || (stored.is_imported()
            && given.is_imported()
            && keys.exported_pin(user.as_str(), &stored) == keys.exported_pin(user.as_str(), given));
    !is_same
}

fn audiences_and_methods<'a>(users: &[&'a BulkUser]) -> (Vec<&'a str>, Vec<i16>) {
    users.iter().map(|user| (user.audience.as_str(), i16::from(user.method.code()))).unzip()
}

async fn put_phones(session: &mut Session, phones: &PhoneColumns<'_>) -> Result<(), Fault> {
    if phones.users.is_empty() {
        return Ok(());
    }
    session.query(PUT_PHONES, &phones.params()).await.map(drop)
}

/// The users after this id, in the order of ids.
pub(crate) async fn page(
    connections: &Connections,
    keys: &Keys,
    after: Option<&UserId>,
    most: usize,
) -> Result<Vec<BulkUser>, Error> {
    let after = after.map_or("", UserId::as_str);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let params: Params<'_> = &[&after, &most];
    let doing = |fault: Fault| fault.into_error("reading users");
    let users = connections.read(PAGE, params).await.map_err(doing)?;
    let ids: Vec<&str> = users.iter().map(|row| row.get(0)).collect();
    let rows = connections.read(PHONES, &[&ids]).await.map_err(doing)?;
    let mut phones: HashMap<&str, Vec<&Row>> = HashMap::new();
    for row in &rows {
        phones.entry(row.get(0)).or_default().push(row);
    }
    users
        .iter()
        .map(|row| user_of(keys, row, phones.remove(row.get::<_, &str>(0)).unwrap_or_default()))
        .collect()
}

fn user_of(keys: &Keys, row: &Row, phones: Vec<&Row>) -> Result<BulkUser, Error> {
    let id = UserId::parse(row.get(0)).map_err(Error::corrupt)?;
    let method = word("method", row.get(2), Channel::from_code)?;
    let phones = phones.into_iter().map(|row| {
        let phone = phone_of(row)?;
        let (number, extension) = phones::reveal(keys, &id, &phone)?;
        Ok(NewPhone { role: phone.role, kind: phone.kind, number, extension, verified: phone.verified })
    });
    let phones = phones.collect::<Result<_, Error>>()?;
    let pin: Option<String> = row.get(3);
    Ok(BulkUser { id, audience: row.get(1), method, phones, pin: pin.map(PinHash::from_stored) })
}

fn phone_of(row: &Row) -> Result<Phone, Error> {
    Ok(Phone {
        role: word("role", row.get(1), PhoneRole::from_code)?,
        kind: word("kind", row.get(2), PhoneKind::from_code)?,
        verified: row.get(3),
        sealed: row.get(4),
        masked: row.get(5),
        has_extension: row.get(6),
    })
}

fn word<T>(column: &'static str, code: i16, from_code: fn(u8) -> Option<T>) -> Result<T, Error> {
    let word = u8::try_from(code).ok().and_then(from_code);
    word.ok_or_else(|| Error::corrupt(UnknownCode { column, code }))
}
