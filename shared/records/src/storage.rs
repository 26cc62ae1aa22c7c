//! What the database has written so far: the figures that a benchmark holds the row format to.

use crate::connection::Connections;
use crate::error::{Error, Fault};

/// Bytes of write-ahead log of the whole server, and updates of challenges, their HOT ones apart (updates that
/// touch no index).
const STORAGE: &str = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
        coalesce(sum(pg_stat_get_tuples_updated(i.inhrelid)), 0)::bigint,
        coalesce(sum(pg_stat_get_tuples_hot_updated(i.inhrelid)), 0)::bigint
    FROM pg_inherits i WHERE i.inhparent = 'challenges'::regclass";

/// Counters since the server's statistics began. Only their differences mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Bytes of write-ahead log, of everything on the server.
    pub wal_bytes: i64,
    /// Updates of challenges.
    pub updates: i64,
    /// Those of them that touched no index.
    pub hot_updates: i64,
}

pub(crate) async fn storage(connections: &Connections) -> Result<Storage, Error> {
    let read = async {
        let mut session = connections.durable().await?;
        session.query(STORAGE, &[]).await
    };
    let rows: Vec<_> = read.await.map_err(|fault: Fault| fault.into_error("reading the statistics"))?;
    let row = rows.first().ok_or_else(|| Error::late("reading the statistics"))?;
    Ok(Storage { wal_bytes: row.get(0), updates: row.get(1), hot_updates: row.get(2) })
}
