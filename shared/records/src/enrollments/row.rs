//! A request as its row holds it.

use fleet_domain::{Enrollment, EnrollmentState, PortalName, RequestId, RequestKey};
use tokio_postgres::Row;
use uuid::Uuid;

use super::StoredEnrollment;
use crate::error::Error;

/// The columns that [`read`] wants, in its order.
macro_rules! columns {
    () => {
        "e.id, e.portal, e.version, e.told, e.live, e.request"
    };
}

pub(super) use columns;

/// The values of the columns that change.
pub(super) struct Columns<'a> {
    pub(super) version: i32,
    pub(super) result: i16,
    pub(super) passed: bool,
    pub(super) test: Option<Uuid>,
    pub(super) live: Vec<u8>,
    pub(super) id: Uuid,
    pub(super) portal: &'a str,
}

impl<'a> Columns<'a> {
    pub(super) fn of(enrollment: &'a Enrollment) -> Self {
        let is_open = enrollment.is_open();
        Self {
            version: i32::try_from(enrollment.version).unwrap_or(i32::MAX),
            result: enrollment.result().code().into(),
            passed: is_open && enrollment.live.state == EnrollmentState::TestPassed,
            test: enrollment.live_test().map(|test| test.id.uuid()),
            live: enrollment.encode_live(),
            id: enrollment.key.id.uuid(),
            portal: enrollment.key.portal.as_str(),
        }
    }
}

/// A row's id that is no UUIDv7.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("an enrollment request's id is no UUIDv7")]
struct NoId;

pub(super) fn read(row: &Row) -> Result<StoredEnrollment, Error> {
    let id = RequestId::from_uuid(row.get(0)).ok_or_else(|| Error::corrupt(NoId))?;
    let portal = PortalName::parse(row.get(1)).map_err(Error::corrupt)?;
    let number = |column| u32::try_from(row.get::<_, i32>(column)).unwrap_or(0);
    let enrollment = Enrollment::decode(RequestKey { id, portal }, number(2), row.get(5), row.get(4))?;
    Ok(StoredEnrollment { enrollment, told: number(3) })
}

/// Those that can be read; the others are logged, and must not hold these up.
pub(super) fn read_all(rows: &[Row]) -> Vec<StoredEnrollment> {
    let read = |row: &Row| match read(row) {
        Ok(stored) => Some(stored),
        Err(error) => {
            tracing::error!(id = %row.get::<_, Uuid>(0), error = error.in_full(), "an enrollment request can't be read");
            None
        }
    };
    rows.iter().filter_map(read).collect()
}
