//! The rows of the audit trail as seals see them: each is one leaf, whether or not its person was erased.
//!
//! A leaf is HMAC-SHA256 over the whole row, salted with what belongs to the row's person. When the person is erased, the
//! row keeps its leaf, loses what is personal, and gets the fleet's own mark on what is left; the salt goes. So the leaf is
//! still what was sealed, nobody can try out what the row has said, and nobody without the fleet's key can pass a row off as
//! erased or change what is left of one. [`crate::seals`] has the whole.
//!
//! Bytes of a row: the table's name, then its columns in the order of their declaration, each as one byte 0 for null, or 1,
//! its length (four bytes, the highest first) and its value. Numbers and times (microseconds since 1970) have the highest
//! byte first, texts are UTF-8, ids are their 16 bytes. A column that is added one day is appended where it is not null.

use fleet_domain::Timestamp;
use fleet_keys::{Keys, constant_time_eq, hmac_sha256};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::sql_time::SqlTime;

/// SHA-256's length, and an HMAC's over it.
pub(crate) const HASH: usize = 32;

/// What rows are salted with that are nobody's.
const NOBODYS: [u8; HASH] = [0; HASH];
/// The head of a CBOR byte string of 64 bytes: leaf and mark, behind the detail of an audit row.
const PROOF_HEAD: [u8; 2] = [0x58, 0x40];
const DAY_MICROS: i64 = 86_400_000_000;

/// A row of `audit`.
#[derive(Clone, Debug)]
pub(crate) struct AuditLine {
    pub(crate) at: Timestamp,
    pub(crate) id: Uuid,
    pub(crate) portal: String,
    pub(crate) version: i32,
    pub(crate) result: i16,
    pub(crate) event: String,
    pub(crate) detail: Vec<u8>,
}

/// A row of `acts`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ActLine {
    pub(crate) at: Timestamp,
    pub(crate) act: String,
    pub(crate) user_id: Option<String>,
    pub(crate) number_index: Option<Vec<u8>>,
    pub(crate) masked: Option<String>,
    pub(crate) actor: String,
    pub(crate) reason: String,
    pub(crate) until: Option<Timestamp>,
    pub(crate) id: Option<Uuid>,
    pub(crate) portal: Option<String>,
    pub(crate) carrier: Option<String>,
    pub(crate) erased: Option<Vec<u8>>,
    pub(crate) version: Option<i32>,
}

/// A row's place in a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Leaf {
    pub(crate) at: Timestamp,
    pub(crate) hash: [u8; HASH],
    /// Which of the rows that were read.
    pub(crate) row: usize,
    /// Whether its person was erased.
    pub(crate) erased: bool,
    /// Whether the mark on what is left fits. True of rows that are whole.
    pub(crate) genuine: bool,
}

impl AuditLine {
    /// Reads the first seven columns.
    pub(crate) fn of(row: &Row) -> Self {
        Self {
            at: row.get::<_, SqlTime>(0).0,
            id: row.get(1),
            portal: row.get(2),
            version: row.get(3),
            result: row.get(4),
            event: row.get(5),
            detail: row.get(6),
        }
    }

    /// Whether it is salted for the person of its challenge. A row that came more than a day after its challenge's id, after
    /// a long outage, is not: retention may drop the challenge before it.
    pub(crate) fn is_salted(&self) -> bool {
        // The first 48 bits of the id are its milliseconds.
        let asked = i64::try_from(self.id.as_u128() >> 80).unwrap_or(i64::MAX).saturating_mul(1000);
        self.at.as_micros().div_euclid(DAY_MICROS) - asked.div_euclid(DAY_MICROS) <= 1
    }

    /// Its leaf and whether it is genuine. `salt` is that of its challenge's person.
    pub(crate) fn leaf(&self, keys: &Keys, salt: Option<&[u8]>, row: usize) -> Leaf {
        let (rest, proof) = split(&self.detail);
        let bytes = self.bytes(rest);
        let salt = salt.filter(|_| self.is_salted());
        leaf_of(keys, (self.at, row), &bytes, (proof, salt))
    }

    /// The detail with which it takes this one's place in the table, once its person is erased.
    pub(crate) fn erased(&self, keys: &Keys, leaf: &[u8; HASH], rest: &[u8]) -> Vec<u8> {
        let mark = mark(keys, leaf, &self.bytes(rest));
        [rest, &PROOF_HEAD[..], leaf, &mark].concat()
    }

    fn bytes(&self, detail: &[u8]) -> Vec<u8> {
        let mut bytes = Bytes::of("audit");
        bytes.time(Some(self.at)).put(Some(self.id.as_bytes())).text(Some(&self.portal));
        bytes.put(Some(&self.version.to_be_bytes())).put(Some(&self.result.to_be_bytes()));
        bytes.text(Some(&self.event)).put(Some(detail));
        bytes.0
    }
}

impl ActLine {
    /// Reads the first thirteen columns.
    pub(crate) fn of(row: &Row) -> Self {
        Self {
            at: row.get::<_, SqlTime>(0).0,
            act: row.get(1),
            user_id: row.get(2),
            number_index: row.get(3),
            masked: row.get(4),
            actor: row.get(5),
            reason: row.get(6),
            until: row.get::<_, Option<SqlTime>>(7).map(|time| time.0),
            id: row.get(8),
            portal: row.get(9),
            carrier: row.get(10),
            erased: row.get(11),
            version: row.get(12),
        }
    }

    /// Its leaf and whether it is genuine. `salt` is that of its user, or else of its number.
    pub(crate) fn leaf(&self, keys: &Keys, salt: Option<&[u8]>, row: usize) -> Leaf {
        leaf_of(keys, (self.at, row), &self.bytes(), (self.erased.as_deref().and_then(proof), salt))
    }

    /// What its column `erased` has to hold, where its leaf was this one and the other columns are what is left.
    pub(crate) fn proof(&self, keys: &Keys, leaf: &[u8; HASH]) -> Vec<u8> {
        [&leaf[..], &mark(keys, leaf, &self.bytes())].concat()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Bytes::of("acts");
        bytes.time(Some(self.at)).text(Some(&self.act)).text(self.user_id.as_deref());
        bytes.put(self.number_index.as_deref()).text(self.masked.as_deref());
        bytes.text(Some(&self.actor)).text(Some(&self.reason)).time(self.until);
        bytes.put(self.id.as_ref().map(|id| &id.as_bytes()[..]));
        bytes.text(self.portal.as_deref()).text(self.carrier.as_deref());
        // It came later: rows without it are as they always were.
        if let Some(version) = self.version {
            bytes.put(Some(&version.to_be_bytes()));
        }
        bytes.0
    }
}

/// The salt's subject where an act names a number and no user. No user's id has a blank in it.
pub(crate) fn subject_of_number(index: &[u8]) -> String {
    use std::fmt::Write;
    index.iter().fold("number ".to_owned(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn leaf_of(
    keys: &Keys,
    (at, row): (Timestamp, usize),
    bytes: &[u8],
    (proof, salt): (Option<Proof>, Option<&[u8]>),
) -> Leaf {
    if let Some(Proof { leaf, mark: found }) = proof {
        let genuine = constant_time_eq(&mark(keys, &leaf, bytes), &found);
        return Leaf { at, hash: leaf, row, erased: true, genuine };
    }
    let hash = hmac_sha256(salt.unwrap_or(&NOBODYS), bytes);
    Leaf { at, hash, row, erased: false, genuine: true }
}

fn mark(keys: &Keys, leaf: &[u8; HASH], rest: &[u8]) -> [u8; HASH] {
    keys.audit_mac("erased", &[leaf, rest])
}

/// What an erased row is known by.
struct Proof {
    leaf: [u8; HASH],
    mark: [u8; HASH],
}

fn proof(bytes: &[u8]) -> Option<Proof> {
    let (leaf, rest) = bytes.split_first_chunk::<HASH>()?;
    Some(Proof { leaf: *leaf, mark: rest.try_into().ok()? })
}

/// The detail of an audit row and, if its person was erased, the proof behind it. Who reads the detail alone passes over what
/// stands behind it.
fn split(detail: &[u8]) -> (&[u8], Option<Proof>) {
    let mut decoder = minicbor::Decoder::new(detail);
    if decoder.skip().is_err() {
        return (detail, None);
    }
    let (rest, behind) = detail.split_at(decoder.position());
    match behind.strip_prefix(&PROOF_HEAD).and_then(proof) {
        Some(proof) => (rest, Some(proof)),
        None => (detail, None),
    }
}

/// The bytes of a row, field by field.
struct Bytes(Vec<u8>);

impl Bytes {
    fn of(table: &str) -> Self {
        let mut bytes = Self(Vec::with_capacity(256));
        bytes.text(Some(table));
        bytes
    }

    fn put(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            None => self.0.push(0),
            Some(value) => {
                self.0.push(1);
                // A value of PostgreSQL is below one gigabyte.
                self.0.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
                self.0.extend_from_slice(value);
            }
        }
        self
    }

    fn text(&mut self, value: Option<&str>) -> &mut Self {
        self.put(value.map(str::as_bytes))
    }

    fn time(&mut self, value: Option<Timestamp>) -> &mut Self {
        self.put(value.map(|time| time.as_micros().to_be_bytes()).as_ref().map(|bytes| &bytes[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; HASH] = [7; HASH];

    fn line() -> AuditLine {
        AuditLine {
            at: Timestamp::from_micros(1_790_000_000_000_001),
            id: crate::row::first_id_of(Timestamp::from_micros(1_790_000_000_000_000)),
            portal: "vpn".into(),
            version: 2,
            result: 1,
            event: "answered".into(),
            detail: vec![0x81, 0x07],
        }
    }

    fn act() -> ActLine {
        ActLine {
            at: Timestamp::from_micros(1_790_000_000_000_001),
            act: "blocked".into(),
            user_id: Some("ann".into()),
            actor: "operator dora".into(),
            reason: "stolen".into(),
            ..ActLine::default()
        }
    }

    /// Computed with Python's `hmac` from the format above; a change would make every seal look broken.
    #[test]
    fn leaves_never_change() {
        use std::fmt::Write;
        let keys = Keys::for_tests();
        let leaves = [line().leaf(&keys, Some(&SALT), 0), act().leaf(&keys, None, 0)];
        let hex = leaves.iter().fold(String::new(), |mut text, leaf| {
            leaf.hash.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
            text + "\n"
        });
        assert_eq!(hex, include_str!("../tests/leaves.txt"));
    }

    #[test]
    fn every_column_and_the_salt_change_the_leaf() {
        let keys = Keys::for_tests();
        let whole = line().leaf(&keys, Some(&SALT), 0);
        let changes: [fn(&mut AuditLine); 7] = [
            |line| line.at = line.at.plus(std::time::Duration::from_micros(1)),
            |line| line.id = Uuid::from_u128(line.id.as_u128() + 1),
            |line| line.portal.push('2'),
            |line| line.version += 1,
            |line| line.result += 1,
            |line| line.event.clear(),
            |line| line.detail.push(0),
        ];
        for change in changes {
            let mut line = line();
            change(&mut line);
            assert_ne!(line.leaf(&keys, Some(&SALT), 0).hash, whole.hash);
        }
        assert_ne!(line().leaf(&keys, None, 0).hash, whole.hash);
        let moved = ActLine { masked: act().user_id, user_id: None, ..act() };
        assert_ne!(moved.leaf(&keys, None, 0).hash, act().leaf(&keys, None, 0).hash);
    }

    #[test]
    fn an_erased_row_keeps_its_leaf_without_its_salt_and_only_the_fleet_can_make_one() {
        let keys = Keys::for_tests();
        let (whole, rest) = (line().leaf(&keys, Some(&SALT), 0), vec![0x80]);
        let erased = AuditLine { detail: line().erased(&keys, &whole.hash, &rest), ..line() };
        let leaf = erased.leaf(&keys, None, 0);
        assert_eq!((leaf.hash, leaf.erased, leaf.genuine), (whole.hash, true, true));
        let changed = AuditLine { event: "fraud".into(), ..erased.clone() };
        assert!(!changed.leaf(&keys, None, 0).genuine);
        let mut forged = erased.detail;
        forged[0] = 0x81;
        forged.insert(1, 0x05);
        assert!(!AuditLine { detail: forged, ..line() }.leaf(&keys, None, 0).genuine);

        let whole = act().leaf(&keys, Some(&SALT), 0);
        let mut left = ActLine { user_id: Some("erased-1".into()), reason: String::new(), ..act() };
        left.erased = Some(left.proof(&keys, &whole.hash));
        let leaf = left.leaf(&keys, None, 0);
        assert_eq!((leaf.hash, leaf.erased, leaf.genuine), (whole.hash, true, true));
        left.actor = "operator eve".into();
        assert!(!left.leaf(&keys, None, 0).genuine);
    }

    #[test]
    fn what_stands_behind_a_detail_does_not_disturb_who_reads_the_detail() {
        let detail = crate::Detail {
            actor: crate::Actor::Fleet,
            progress: fleet_domain::Progress::Ended,
            previous: None,
            attempts: Vec::new(),
            tries: 0,
            reason: None,
            assurance: None,
            device: None,
        };
        let erased = line().erased(&Keys::for_tests(), &[1; HASH], &detail.encode());
        assert_eq!(crate::Detail::decode(&erased).unwrap(), detail);
    }

    #[test]
    fn a_row_that_came_days_after_its_challenge_is_salted_for_nobody() {
        let days =
            |n: u64| AuditLine { at: line().at.plus(std::time::Duration::from_hours(24 * n)), ..line() };
        assert!(days(1).is_salted() && !days(2).is_salted());
    }
}
