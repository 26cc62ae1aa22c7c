//! Challenge rows: how they are read, and the ids that bound a batch.

use fleet_domain::{Challenge, ChallengeId, ChallengeKey, ChallengeResult, PortalName, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Error, UnknownCode};
use crate::transition::Stored;

/// The columns that [`Loaded::read`] reads, of a table called `c`.
macro_rules! challenge_columns {
    () => {
        "c.id, c.portal, c.version, c.told, c.transition, c.live, c.request"
    };
}
pub(crate) use challenge_columns;

/// A challenge row with the id of the commit that made its version.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) stored: Stored,
    pub(crate) transition: i64,
}

impl Loaded {
    /// Reads the columns of `challenge_columns`.
    pub(crate) fn read(row: &Row) -> Result<Self, Error> {
        let key = key_of(row)?;
        let (version, told, transition) = (row.get::<_, i32>(2), row.get::<_, i32>(3), row.get(4));
        let (live, request): (&[u8], &[u8]) = (row.get(5), row.get(6));
        let challenge = Challenge::decode(key, unsigned(version), request, live)?;
        Ok(Self { stored: Stored { challenge, told: unsigned(told) }, transition })
    }
}

/// The key in the first two columns: id, portal.
pub(crate) fn key_of(row: &Row) -> Result<ChallengeKey, Error> {
    let portal = PortalName::parse(row.get(1)).map_err(Error::corrupt)?;
    let id = ChallengeId::from_uuid(row.get(0));
    Ok(ChallengeKey { id: id.ok_or_else(|| Error::corrupt(fleet_domain::InvalidId::Challenge))?, portal })
}

/// The result of a code.
pub(crate) fn result_of(code: i16) -> Result<ChallengeResult, Error> {
    let result = u8::try_from(code).ok().and_then(ChallengeResult::from_code);
    result.ok_or_else(|| Error::corrupt(UnknownCode { column: "result", code }))
}

/// A version as a column holds it. Versions count the transitions of one challenge: they stay small.
pub(crate) fn signed(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

/// A version as it is counted.
pub(crate) fn unsigned(version: i32) -> u32 {
    u32::try_from(version).unwrap_or(0)
}

/// The smallest id. With it in the statement, partitions of earlier days are not even opened. There is no largest id
/// beside it: the planner takes a range for so narrow that on an empty partition it would scan it for each job.
pub(crate) fn lowest<'a>(keys: impl Iterator<Item = &'a ChallengeKey>) -> Uuid {
    keys.map(|key| key.id.uuid()).min().unwrap_or_default()
}

/// The smallest id of a time.
pub(crate) fn first_id_of(at: Timestamp) -> Uuid {
    let millis = u128::try_from(at.as_millis()).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_millisecond_lie_between_its_first_id_and_the_next() {
        let at = Timestamp::from_micros(1_790_000_000_123_000);
        for random in [[0; 10], [255; 10]] {
            let id = ChallengeId::from_parts(at, random).uuid();
            assert!(
                first_id_of(at) <= id && id < first_id_of(Timestamp::from_micros(at.as_micros() + 1_000))
            );
        }
        assert_eq!(first_id_of(Timestamp::from_micros(-5)), Uuid::nil());
    }
}
