//! `Timestamp` as PostgreSQL's `timestamptz`: both count microseconds, from different years.

use std::error::Error;

use bytes::BytesMut;
use fleet_domain::Timestamp;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// 2000-01-01T00:00:00Z in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;

/// A `Timestamp` as a parameter or a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SqlTime(pub(crate) Timestamp);

impl ToSql for SqlTime {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.0.as_micros().saturating_sub(EPOCH).to_sql(ty, out)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for SqlTime {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_sql(ty, raw)?;
        Ok(Self(Timestamp::from_micros(micros.saturating_add(EPOCH))))
    }

    accepts!(TIMESTAMPTZ);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_microseconds_since_2000_and_read_back() {
        for (micros, stored) in [(EPOCH, 0_i64), (EPOCH + 1, 1), (0, -EPOCH), (EPOCH - 1, -1)] {
            let time = SqlTime(Timestamp::from_micros(micros));
            let mut out = BytesMut::new();
            time.to_sql(&Type::TIMESTAMPTZ, &mut out).unwrap();
            assert_eq!(out[..], stored.to_be_bytes());
            assert_eq!(SqlTime::from_sql(&Type::TIMESTAMPTZ, &out).unwrap(), time);
        }
    }
}
