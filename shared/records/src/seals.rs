//! Seals over the audit trail: what was written can't be changed, removed or added to afterwards without being found.
//!
//! **What is sealed.** The rows of `audit` (one per version of a challenge) and `acts` (what was done to users and numbers),
//! by their time. A seal covers the rows of a range of time, and names the seal before it: a chain from the first row on, in
//! which nothing is left out. A range never passes midnight, so that retention drops whole ranges.
//!
//! **How.** Each row is a leaf ([`crate::leaf`]); a seal holds the SHA-256 of the leaves of each table, in the order of time
//! and leaf, and a SHA-256 over that, the range and the hash before. So anybody who may read can check the chain. It would
//! not stop who can write to the database: they would compute it anew. Therefore each seal's hash also has a MAC under a key
//! that is derived from `keys.master` and never in the database. Beside the hashes a seal holds marks, the time and eight
//! bytes of each leaf, which decide nothing and only name the row that does not fit.
//!
//! **When a range is closed.** A statement that stores a row locks the table before it reads the clock, and keeps the lock until
//! its transaction ends. So sealing reads the clock first, and then who holds such a lock: when all of these transactions have
//! ended, no row of a time before that can come in any more, whatever time-outs are set and whoever writes. What others write to
//! other tables is not waited for. A range ends a minute before that time all the same: so far a clock may be set back. One
//! that is set back further brings rows into ranges that are sealed, which are found as inserted.
//!
//! **Who.** Every process tries each minute; an advisory lock lets one. It belongs to the transaction that stores the seal,
//! so a process that dies leaves nothing half done. No row of the trail is touched, and no index is there for it.
//!
//! **Retention and erasure.** A dropped day is an act (`drop_partitions`), so the chain goes on over it: its ranges can be
//! linked, but their rows of `audit` not be checked any more. An erased person's rows keep their leaves ([`crate::erasure`]).
//!
//! **Limits.** The last two or three minutes are not sealed yet, and more where somebody writes to the trail in one long
//! transaction. Who removes the newest seals together with what they cover
//! leaves a shorter chain that fits: the number and hash of the newest seal stand in every process's log, a process that
//! sees the chain go back says so, and `mfa_records_sealed_until_seconds` goes back. Who has the fleet's key can forge. What
//! challenges are now is not sealed, only how they came to it.

use fleet_domain::Timestamp;
use fleet_keys::{Keys, constant_time_eq, sha256};
use tokio_postgres::Row;

use crate::connection::Connections;
use crate::error::Error;
use crate::leaf::{HASH, Leaf};
use crate::sql_time::SqlTime;

/// The columns that [`Seal::of`] reads.
macro_rules! seal_columns {
    () => {
        "number, since, until, sealed_at, audit_rows, audit_hash, acts_rows, acts_hash, hash, mac"
    };
}
pub(crate) use seal_columns;

/// The newest ones, newest first.
pub(crate) const NEWEST: &str =
    concat!("SELECT ", seal_columns!(), " FROM audit_seals ORDER BY number DESC LIMIT $1");

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Its number, from 1.
    pub number: u64,
    /// From when on its rows are.
    pub since: Timestamp,
    /// Before when they are.
    pub until: Timestamp,
    /// When it was made.
    pub sealed_at: Timestamp,
    /// How many versions of challenges it covers.
    pub audit_rows: u32,
    /// How many acts it covers.
    pub acts_rows: u32,
    /// Its hash, which the next one names.
    pub hash: [u8; HASH],
    pub(crate) audit_hash: [u8; HASH],
    pub(crate) acts_hash: [u8; HASH],
    pub(crate) mac: [u8; HASH],
}

impl Seal {
    /// Reads the columns of `seal_columns`.
    pub(crate) fn of(row: &Row) -> Self {
        let hash = |column| <[u8; HASH]>::try_from(row.get::<_, &[u8]>(column)).unwrap_or_default();
        let count = |column| u32::try_from(row.get::<_, i32>(column)).unwrap_or(0);
        let time = |column| row.get::<_, SqlTime>(column).0;
        Self {
            number: u64::try_from(row.get::<_, i64>(0)).unwrap_or(0),
            since: time(1),
            until: time(2),
            sealed_at: time(3),
            audit_rows: count(4),
            audit_hash: hash(5),
            acts_rows: count(6),
            acts_hash: hash(7),
            hash: hash(8),
            mac: hash(9),
        }
    }

    /// The hash that it has to have behind one with this hash.
    pub(crate) fn computed(&self, before: &[u8; HASH]) -> [u8; HASH] {
        let mut bytes = b"mfa-fleet seal 1".to_vec();
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(before);
        for time in [self.since, self.until, self.sealed_at] {
            bytes.extend_from_slice(&time.as_micros().to_be_bytes());
        }
        for (rows, hash) in [(self.audit_rows, &self.audit_hash), (self.acts_rows, &self.acts_hash)] {
            bytes.extend_from_slice(&rows.to_be_bytes());
            bytes.extend_from_slice(hash);
        }
        sha256(&bytes)
    }

    /// Whether its MAC is the fleet's, as far as its hash is its own.
    pub(crate) fn is_ours(&self, keys: &Keys) -> bool {
        constant_time_eq(&Self::mac_of(keys, &self.hash), &self.mac)
    }

    /// The MAC that its hash has to have.
    pub(crate) fn mac_of(keys: &Keys, hash: &[u8; HASH]) -> [u8; HASH] {
        keys.audit_mac("seal", &[hash])
    }

    /// The hash as 64 lower-case hex digits, as the log has it.
    pub fn hash_hex(&self) -> String {
        use std::fmt::Write;
        self.hash.iter().fold(String::with_capacity(2 * HASH), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// The hash over a table's leaves, which are in order.
pub(crate) fn hash_of(leaves: &[Leaf]) -> [u8; HASH] {
    sha256(&leaves.iter().flat_map(|leaf| leaf.hash).collect::<Vec<u8>>())
}

/// Per leaf the microseconds since the range's begin, as far as 32 bits count them, and its first eight bytes.
pub(crate) fn marks_of(leaves: &[Leaf], since: Timestamp) -> Vec<u8> {
    leaves.iter().flat_map(|leaf| mark_of(leaf, since)).collect()
}

/// The length of one mark.
pub(crate) const MARK: usize = 12;

pub(crate) fn mark_of(leaf: &Leaf, since: Timestamp) -> [u8; MARK] {
    let micros = u32::try_from(leaf.at.since(since).as_micros()).unwrap_or(u32::MAX);
    let mut mark = [0; MARK];
    mark[..4].copy_from_slice(&micros.to_be_bytes());
    mark[4..].copy_from_slice(&leaf.hash[..8]);
    mark
}

/// The newest seals, newest first.
pub(crate) async fn newest(connections: &Connections, limit: u16) -> Result<Vec<Seal>, Error> {
    let rows = connections.read(NEWEST, &[&i64::from(limit)]).await;
    Ok(rows.map_err(|fault| fault.into_error("reading the seals"))?.iter().map(Seal::of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_tells_the_time_and_the_beginning_of_the_leaf() {
        let since = Timestamp::from_micros(1_000);
        let leaf = |at| Leaf {
            at: Timestamp::from_micros(at),
            hash: [9; HASH],
            row: 0,
            erased: false,
            genuine: true,
        };
        assert_eq!(mark_of(&leaf(1_258), since), [0, 0, 1, 2, 9, 9, 9, 9, 9, 9, 9, 9]);
        assert_eq!(mark_of(&leaf(i64::MAX), since)[..4], [255; 4]);
    }

    #[test]
    fn every_field_of_a_seal_and_the_one_before_change_its_hash() {
        let time = Timestamp::from_micros;
        let seal = Seal {
            number: 7,
            since: time(1),
            until: time(2),
            sealed_at: time(3),
            audit_rows: 4,
            audit_hash: [5; HASH],
            acts_rows: 6,
            acts_hash: [7; HASH],
            hash: [0; HASH],
            mac: [0; HASH],
        };
        let hash = seal.computed(&[1; HASH]);
        assert_ne!(seal.computed(&[2; HASH]), hash);
        let changes: [fn(&mut Seal); 8] = [
            |seal| seal.number += 1,
            |seal| seal.since = seal.until,
            |seal| seal.until = seal.sealed_at,
            |seal| seal.sealed_at = seal.since,
            |seal| seal.audit_rows += 1,
            |seal| seal.audit_hash[0] += 1,
            |seal| seal.acts_rows += 1,
            |seal| seal.acts_hash[31] += 1,
        ];
        for change in changes {
            let mut other = seal.clone();
            change(&mut other);
            assert_ne!(other.computed(&[1; HASH]), hash);
        }
        assert_ne!(Seal::mac_of(&Keys::for_tests(), &hash), hash);
    }
}
