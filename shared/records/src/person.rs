//! What is stored about one person, in one list: what an export tells, and what an erasure removes.
//!
//! Who adds a table or a column that says something of a person adds it to [`PARTS`]. A test compares the list with the
//! schema: each table with a user must be here, and each of its columns either be shown or be kept back on purpose
//! (`everything_that_is_stored_about_a_person_is_on_the_list`). Beside the list stand the challenges, which hold more than
//! columns, and the audit trail, from which nothing may be removed ([`crate::erasure`]).

use fleet_domain::{Challenge, Channel, Factor, Phone, PhoneKind, PhoneRole, UserId};
use fleet_keys::Keys;
use serde_json::{Map, Value};

use crate::connection::{Connections, Session};
use crate::enrolled::{ACTIVE, LOST, alg_of};
use crate::error::{Error, Fault};
use crate::history::{TIME, row_of, versions};
use crate::note::AuditRow;
use crate::phones;
use crate::row::challenge_columns;
use crate::sweep::read_all;

const DOING: &str = "reading what is stored about a person";

type Finish = fn(&Keys, &UserId, &mut Map<String, Value>) -> Result<(), Error>;

/// A table that says something of a person.
pub(crate) struct Part {
    /// What its rows are called in an export.
    pub(crate) name: &'static str,
    pub(crate) table: &'static str,
    /// Which rows are the person's, `$1`.
    pub(crate) of: &'static str,
    /// What an export tells: columns, or expressions with a name.
    pub(crate) shown: &'static [&'static str],
    /// Columns that it does not tell: secrets, what only the fleet can use, and what stands in `shown` in another form.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "it says what was left out on purpose"))]
    pub(crate) kept_back: &'static [&'static str],
    /// Puts words in the place of codes, and opens what is sealed.
    finish: Finish,
    /// Whether an erasure deletes the rows. Where not, it has a way of its own with them.
    pub(crate) deleted: bool,
}

/// Everything, in the order in which it can be deleted.
pub(crate) const PARTS: [Part; 10] = [
    Part {
        name: "acts",
        table: "acts",
        of: "user_id = $1 OR (user_id IS NULL AND number_index IN (SELECT number_index FROM phones WHERE user_id = $1))",
        shown: &["at", "act", "user_id", "masked", "actor", "reason", "until", "id", "portal", "version"],
        kept_back: &["number_index", "carrier", "erased"],
        finish: |_, _, _| Ok(()),
        deleted: false,
    },
    Part {
        name: "untested_devices",
        table: "untested_devices",
        of: "user_id = $1",
        shown: &[
            "device AS id",
            "alg",
            "translate(encode(public_key, 'base64'), E'\\n', '') AS public_key",
            "left(push_token, 4) || '…' AS push_token",
            "push_fid",
            "push_version",
            "push_retired",
            "name",
            "platform",
            "activated_at",
        ],
        kept_back: &["user_id", "id", "portal", "device", "public_key", "push_token", "totp"],
        finish: |_, _, row| {
            word(row, "alg", |code| Some(alg_of(code)?.as_str()));
            Ok(())
        },
        deleted: true,
    },
    Part {
        name: "enrollments",
        table: "enrollments",
        of: "user_id = $1",
        shown: &["id", "portal", "version", "result", "respond_by", "collect_by"],
        kept_back: &["user_id", "told", "passed", "test", "live", "request"],
        finish: |_, _, _| Ok(()),
        deleted: true,
    },
    Part {
        name: "answers",
        table: "answers",
        of: "user_id = $1",
        shown: &["question"],
        kept_back: &["user_id", "hash"],
        finish: |_, _, _| Ok(()),
        deleted: true,
    },
    Part {
        name: "earlier_pins",
        table: "earlier_pins",
        of: "user_id = $1",
        shown: &["place"],
        kept_back: &["user_id", "pin"],
        finish: |_, _, _| Ok(()),
        deleted: true,
    },
    Part {
        name: "bypasses",
        table: "bypasses",
        of: "user_id = $1",
        shown: &["until", "used_at"],
        kept_back: &["user_id"],
        finish: |_, _, _| Ok(()),
        deleted: true,
    },
    Part {
        name: "lockouts",
        table: "lockouts",
        of: "user_id = $1",
        shown: &["factor", "wrong", "locked_until"],
        kept_back: &["user_id"],
        finish: |_, _, row| {
            word(row, "factor", |code| Some(Factor::from_code(code)?.as_str()));
            Ok(())
        },
        deleted: true,
    },
    Part {
        name: "devices",
        table: "devices",
        of: "user_id = $1",
        shown: &[
            "id",
            "alg",
            "translate(encode(public_key, 'base64'), E'\\n', '') AS public_key",
            "left(push_token, 4) || '…' AS push_token",
            "push_fid",
            "push_version",
            "push_retired",
            "state",
            "name",
            "platform",
            "activated_at",
            "totp IS NOT NULL AS has_totp",
            "totp_step",
        ],
        kept_back: &["user_id", "public_key", "push_token", "totp", "totp_try"],
        finish: |_, _, row| {
            word(row, "alg", |code| Some(alg_of(code)?.as_str()));
            word(row, "state", |code| Some(device_state(code.into())));
            Ok(())
        },
        deleted: true,
    },
    Part {
        name: "phones",
        table: "phones",
        of: "user_id = $1",
        shown: &[
            "role",
            "kind",
            "verified",
            "encode(sealed, 'hex') AS sealed",
            "number_index IN (SELECT number_index FROM opted_out) AS opted_out",
        ],
        kept_back: &["user_id", "number_index", "sealed", "masked", "has_extension"],
        finish: open_phone,
        deleted: true,
    },
    Part {
        name: "user",
        table: "users",
        of: "id = $1",
        shown: &[
            "id",
            "audience",
            "method",
            "blocked",
            "blocked_until",
            "pin IS NOT NULL AS has_pin",
            "pin_set_at",
        ],
        kept_back: &["pin"],
        finish: |_, _, row| {
            word(row, "method", |code| Some(Channel::from_code(code)?.as_str()));
            Ok(())
        },
        deleted: true,
    },
];

pub(crate) const CHALLENGES: &str = concat!(
    "SELECT ",
    challenge_columns!(),
    " FROM challenges c WHERE c.user_id = $1 ORDER BY c.id, c.portal"
);
const COUNT_CHALLENGES: &str = "SELECT count(*) FROM challenges WHERE user_id = $1";

/// Everything that is stored about one person.
#[derive(Clone, Debug)]
pub struct Person {
    /// The rows of each table, by the table's name in exports. No secrets, but numbers in clear.
    pub parts: Vec<(&'static str, Vec<Value>)>,
    /// The challenges that are still kept, oldest first.
    pub challenges: Vec<PersonsChallenge>,
}

/// A challenge with its history.
#[derive(Clone, Debug)]
pub struct PersonsChallenge {
    /// What it is now.
    pub challenge: Challenge,
    /// Its versions, as far as they are kept.
    pub history: Vec<AuditRow>,
}

/// How much is stored about the person: the tables' names in exports, and `challenges`. Nothing where there is nothing.
pub(crate) async fn count(
    connections: &Connections,
    user: &UserId,
) -> Result<Vec<(&'static str, u64)>, Error> {
    let mut counts = Vec::with_capacity(PARTS.len() + 1);
    let of_parts = PARTS
        .iter()
        .map(|part| (part.name, format!("SELECT count(*) FROM {} WHERE {}", part.table, part.of)));
    for (name, sql) in of_parts.chain([("challenges", COUNT_CHALLENGES.to_owned())]) {
        let rows =
            connections.read(&sql, &[&user.as_str()]).await.map_err(|fault| fault.into_error(DOING))?;
        let count = rows.first().map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0));
        if count > 0 {
            counts.push((name, count));
        }
    }
    Ok(counts)
}

/// Everything about the person, as of one moment. `None` where there is nothing.
pub(crate) async fn export(
    connections: &Connections,
    keys: &Keys,
    user: &UserId,
) -> Result<Option<Person>, Error> {
    let failed = |fault: Fault| fault.into_error(DOING);
    let mut session = connections.durable().await.map_err(failed)?;
    session.extend(TIME);
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {}",
        TIME.as_millis()
    );
    session.begin(&begin).await.map_err(failed)?;
    let mut parts = Vec::with_capacity(PARTS.len());
    for part in PARTS.iter().rev() {
        let rows = part.read(&mut session, user).await.map_err(failed)?;
        let rows =
            rows.into_iter().map(|row| part.finished(keys, user, row)).collect::<Result<Vec<_>, _>>()?;
        parts.push((part.name, rows));
    }
    let stored = read_all(&session.query(CHALLENGES, &[&user.as_str()]).await.map_err(failed)?);
    let mut challenges = Vec::with_capacity(stored.len());
    for stored in stored {
        let rows = versions(&mut session, &stored.challenge).await.map_err(failed)?;
        let history = rows.iter().map(row_of).collect::<Result<_, _>>()?;
        challenges.push(PersonsChallenge { challenge: stored.challenge, history });
    }
    session.commit().await.map_err(failed)?;
    let anything = !challenges.is_empty() || parts.iter().any(|(_, rows)| !rows.is_empty());
    Ok(anything.then_some(Person { parts, challenges }))
}

impl Part {
    async fn read(&self, session: &mut Session, user: &UserId) -> Result<Vec<Value>, Fault> {
        let (shown, table, of) = (self.shown.join(", "), self.table, self.of);
        let sql = format!("SELECT to_jsonb(s) FROM (SELECT {shown} FROM {table} WHERE {of}) s ORDER BY 1");
        session.extend(TIME);
        Ok(session.query(&sql, &[&user.as_str()]).await?.iter().map(|row| row.get(0)).collect())
    }

    fn finished(&self, keys: &Keys, user: &UserId, mut row: Value) -> Result<Value, Error> {
        if let Some(fields) = row.as_object_mut() {
            (self.finish)(keys, user, fields)?;
        }
        Ok(row)
    }
}

/// Puts the word of a code in its place. A code that this version does not know stays.
fn word(row: &mut Map<String, Value>, column: &str, word: impl Fn(u8) -> Option<&'static str>) {
    let code = row.get(column).and_then(Value::as_u64).and_then(|code| u8::try_from(code).ok());
    if let Some(word) = code.and_then(word) {
        row.insert(column.to_owned(), word.into());
    }
}

/// The word of a device's state.
const fn device_state(code: i16) -> &'static str {
    match code {
        ACTIVE => "active",
        LOST => "lost",
        _ => "revoked",
    }
}

/// Puts number and extension in the place of what is sealed.
fn open_phone(keys: &Keys, user: &UserId, row: &mut Map<String, Value>) -> Result<(), Error> {
    let code = row.get("role").and_then(Value::as_u64).and_then(|code| u8::try_from(code).ok());
    let role = code.and_then(PhoneRole::from_code);
    word(row, "role", |code| Some(PhoneRole::from_code(code)?.as_str()));
    word(row, "kind", |code| Some(PhoneKind::from_code(code)?.as_str()));
    let sealed = row.remove("sealed");
    let (Some(role), Some(sealed)) = (role, sealed.as_ref().and_then(Value::as_str)) else { return Ok(()) };
    let phone = Phone {
        role,
        kind: PhoneKind::Mobile,
        verified: false,
        sealed: bytes_of(sealed),
        masked: String::new(),
        has_extension: false,
    };
    let (number, extension) = phones::reveal(keys, user, &phone)?;
    row.insert("number".to_owned(), number.e164().into());
    row.insert("extension".to_owned(), extension.map_or(Value::Null, |extension| extension.as_str().into()));
    Ok(())
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digit =
        |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
    hex.as_bytes().as_chunks::<2>().0.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
}
