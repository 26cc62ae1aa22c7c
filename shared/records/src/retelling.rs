//! Everything whose outcome is still to be collected, page by page: for when Redis has lost it.
//!
//! One process at a time goes through it. An advisory lock sees to that: it belongs to the transaction in which the
//! pages are read, and so ends with the process, or with its connection.

use std::time::Duration;

use fleet_domain::{COLLECT, Timestamp};
use uuid::Uuid;

use crate::connection::{Connections, Session};
use crate::error::Error;
use crate::row::{challenge_columns, first_id_of};
use crate::sql_time::SqlTime;
use crate::sweep::{ID_BEFORE_DEADLINE, read_all, rows_max, time_of};
use crate::transition::Stored;

const TRY_LOCK: &str =
    "SELECT pg_try_advisory_xact_lock(hashtextextended('mfa-fleet retelling of ' || current_schema(), 0))";

pub(crate) const PAGE: &str = concat!(
    "SELECT ",
    challenge_columns!(),
    ", c.answer_by FROM challenges c
      WHERE c.answer_by >= $1 AND (c.answer_by, c.id, c.portal) > ($1, $2, $3) AND c.id >= $4
      ORDER BY c.answer_by, c.id, c.portal LIMIT $5"
);

const DOING: &str = "looking for outcomes that are still to be collected";

/// The way through every challenge whose outcome is still to be collected. Dropped before its end, it lets another
/// process begin anew.
pub struct Retelling {
    session: Session,
    page_timeout: Duration,
    lowest: Uuid,
    /// Behind which row the next page begins.
    after: (Timestamp, Uuid, String),
}

impl Retelling {
    pub(crate) async fn begin(
        connections: &Connections,
        now: Timestamp,
        page_timeout: Duration,
    ) -> Result<Option<Self>, Error> {
        let locked = async {
            let mut session = connections.durable().await?;
            session.begin("BEGIN READ ONLY").await?;
            let rows = session.query(TRY_LOCK, &[]).await?;
            if rows.first().is_some_and(|row| row.get(0)) {
                return Ok(Some(session));
            }
            session.commit().await?;
            Ok(None)
        };
        let session: Result<Option<Session>, crate::error::Fault> = locked.await;
        let from = now.minus(COLLECT);
        let way = |session| Self {
            session,
            page_timeout,
            lowest: first_id_of(from.minus(ID_BEFORE_DEADLINE)),
            after: (from, Uuid::nil(), String::new()),
        };
        session.map(|session| session.map(way)).map_err(|fault| fault.into_error(DOING))
    }

    /// The next `limit` challenges by their deadlines; `None` when all were handed out. The next page must be asked
    /// for within five seconds, or PostgreSQL ends the transaction.
    pub async fn next_page(&mut self, limit: usize) -> Result<Option<Vec<Stored>>, Error> {
        self.session.extend(self.page_timeout);
        let (at, id, portal) = &self.after;
        let rows = self
            .session
            .query(PAGE, &[&SqlTime(*at), id, portal, &self.lowest, &rows_max(limit)])
            .await
            .map_err(|fault| fault.into_error(DOING))?;
        let Some(last) = rows.last() else {
            self.session.commit().await.map_err(|fault| fault.into_error(DOING))?;
            return Ok(None);
        };
        self.after = (time_of(7)(last), last.get(0), last.get(1));
        Ok(Some(read_all(&rows)))
    }
}
