//! Applies the migrations that are compiled in, one process at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::Settings;
use crate::connection::pool;
use crate::error::{Error, Fault};

/// How long the migrations may take, with the wait for another process that applies them.
const TIME: Duration = Duration::from_mins(10);

/// Taken on the connection that migrates, and let go with it.
const LOCK: &str =
    "SELECT pg_advisory_lock(hashtextextended('mfa-fleet migrations of ' || current_schema(), 0))";

/// The SQL of the folder `migrations`, compiled in.
mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// Applies what is not applied yet; gives the names of what was applied now.
pub(crate) async fn migrate(settings: &Settings) -> Result<Vec<String>, Error> {
    settings.check()?;
    let doing = "migrating the schema";
    match timeout(TIME, apply(settings)).await {
        Ok(applied) => applied,
        Err(elapsed) => Err(Error::Unavailable { doing, source: Some(Arc::new(elapsed)) }),
    }
}

async fn apply(settings: &Settings) -> Result<Vec<String>, Error> {
    let failed = |error: tokio_postgres::Error| Fault::from(error).into_error("migrating the schema");
    // No time-outs of the hot path here: an index takes the time it takes.
    let pool = pool(settings, 1, &format!("-c search_path={} -c timezone=UTC", settings.schema))?;
    let mut client = pool.get().await.map_err(|error| Error::Unavailable {
        doing: "migrating the schema",
        source: Some(Arc::new(error)),
    })?;
    // The name was checked: it needs no quotes.
    client
        .batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", settings.schema))
        .await
        .map_err(failed)?;
    client.batch_execute(LOCK).await.map_err(failed)?;
    let report = embedded::migrations::runner()
        .run_async(&mut **client)
        .await
        .map_err(|error| Error::Migration(Arc::new(error)))?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}
