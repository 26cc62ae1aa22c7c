//! Connections: how they are set up, and one unit of work on one of them.
//!
//! PostgreSQL goes on with a statement whose client has given up, and the next user of the connection would wait behind it.
//! So a connection on which something was left under way comes back to its pool only when PostgreSQL is done with it, and
//! keeps its place there until then. Were it closed and another one opened at once, a PostgreSQL that is too slow would get
//! more to do for every client that gives up, and would stay so.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{ConfigConnectImpl, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use fleet_settings::NotAllowed;
use futures_util::future::try_join_all;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Settings;
use crate::error::Fault;
use crate::metrics::RecordsMetrics;
use crate::opening::Openings;

/// The name under which the fleet's sessions are shown in `pg_stat_activity`.
const APPLICATION_NAME: &str = "mfa-fleet";
/// Connections for what may be lost when PostgreSQL crashes: marks, and the low-water mark.
const RELAXED_POOL_SIZE: usize = 2;

/// The parameters of one statement.
pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The connections of this process.
#[derive(Clone)]
pub(crate) struct Connections {
    durable: Pool,
    relaxed: Pool,
    unit_timeout: Duration,
    statement_timeout: Duration,
    metrics: RecordsMetrics,
}

impl Connections {
    /// Opens nothing yet.
    pub(crate) fn new(settings: &Settings, metrics: RecordsMetrics) -> Result<Self, NotAllowed> {
        let durable = pool(settings, settings.pool_size, &session_options(settings))?;
        let relaxed_options = format!("{} -c synchronous_commit=off", session_options(settings));
        let relaxed = pool(settings, RELAXED_POOL_SIZE, &relaxed_options)?;
        let Settings { unit_timeout, statement_timeout, .. } = *settings;
        Ok(Self { durable, relaxed, unit_timeout, statement_timeout, metrics })
    }

    /// A session whose commits are on disk when they return.
    pub(crate) async fn durable(&self) -> Result<Session, Fault> {
        self.session(&self.durable, "durable").await
    }

    /// A session whose commits may be lost when PostgreSQL crashes within the next second.
    pub(crate) async fn relaxed(&self) -> Result<Session, Fault> {
        self.session(&self.relaxed, "relaxed").await
    }

    /// Runs one statement that only reads, once more where the first connection turns out to be dead.
    pub(crate) async fn read(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Fault> {
        match self.durable().await?.query(sql, params).await {
            Err(Fault::Lost(Some(_))) => self.durable().await?.query(sql, params).await,
            other => other,
        }
    }

    async fn session(&self, pool: &Pool, name: &'static str) -> Result<Session, Fault> {
        let began = Instant::now();
        let deadline = began + self.unit_timeout;
        let object = timeout_at(deadline, pool.get()).await;
        self.metrics.pool_wait(name, began.elapsed());
        match object {
            Ok(Ok(object)) => Ok(Session {
                object: Some(object),
                deadline,
                statement_timeout: self.statement_timeout,
                in_transaction: false,
            }),
            Ok(Err(error)) => Err(Fault::Unsent(Arc::new(error))),
            Err(elapsed) => Err(Fault::Unsent(Arc::new(elapsed))),
        }
    }
}

/// One unit of work on one connection, within the unit's time.
pub(crate) struct Session {
    /// The connection while nothing is under way on it; none after something was left so.
    object: Option<Object>,
    deadline: Instant,
    statement_timeout: Duration,
    /// Whether a transaction is open: then nothing but its commit makes the connection fit for others.
    in_transaction: bool,
}

impl Session {
    /// Gives the unit another time, counted from now.
    pub(crate) fn extend(&mut self, time: Duration) {
        self.deadline = Instant::now() + time;
    }

    /// Runs one statement, which commits by itself.
    pub(crate) async fn query(&mut self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Fault> {
        let mut answers = self.pipeline(&[(sql, params)]).await?;
        Ok(answers.pop().unwrap_or_default())
    }

    /// Runs statements, each committing by itself, without waiting for one before the next is sent.
    pub(crate) async fn pipeline(&mut self, queries: &[(&str, Params<'_>)]) -> Result<Vec<Vec<Row>>, Fault> {
        let busy = self.take()?;
        let work = try_join_all(queries.iter().map(|(sql, params)| {
            let client = busy.client();
            async move {
                let client = client?;
                let statement = client.prepare_cached(sql).await?;
                Ok(client.query(&statement, params).await?)
            }
        }));
        let answers = timeout_at(self.deadline, work).await.map_err(|_| Fault::Lost(None))?;
        match &answers {
            Ok(_) => self.object = busy.finish(),
            Err(Fault::Data(_) | Fault::Refused(_)) if self.undone(&busy).await => {
                self.object = busy.finish();
            }
            Err(Fault::Data(_) | Fault::Refused(_)) => {}
            Err(Fault::Unsent(_) | Fault::Lost(_)) => busy.throw_away(),
        }
        answers
    }

    /// PostgreSQL tells of an error before it has undone the statement: waits until it has and all locks are
    /// free, so that the next run of a batch does not trip over the last one. Says whether it came to that.
    async fn undone(&self, busy: &Busy) -> bool {
        let Ok(client) = busy.client() else { return false };
        matches!(timeout_at(self.deadline, client.batch_execute("")).await, Ok(Ok(())))
    }

    /// Opens a transaction, and runs what stands after `BEGIN`.
    pub(crate) async fn begin(&mut self, sql: &str) -> Result<(), Fault> {
        self.in_transaction = true;
        self.execute(sql).await
    }

    /// Commits the transaction.
    pub(crate) async fn commit(&mut self) -> Result<(), Fault> {
        self.execute("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn execute(&mut self, sql: &str) -> Result<(), Fault> {
        let busy = self.take()?;
        let work = async { Ok(busy.client()?.batch_execute(sql).await?) };
        match timeout_at(self.deadline, work).await {
            Ok(Ok(())) => {
                self.object = busy.finish();
                Ok(())
            }
            Ok(Err(fault)) => {
                busy.throw_away();
                Err(fault)
            }
            Err(_) => Err(Fault::Lost(None)),
        }
    }

    fn take(&mut self) -> Result<Busy, Fault> {
        let object = self.object.take().ok_or(Fault::Lost(None))?;
        let (undo, patience) = (if self.in_transaction { "ROLLBACK" } else { "" }, self.statement_timeout);
        Ok(Busy { object: Some(object), undo, patience })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.in_transaction {
            drop(self.take());
        }
    }
}

/// A connection on which something is under way. Dropped like that, it comes back to its pool when that is over.
struct Busy {
    object: Option<Object>,
    /// What undoes what is left of it.
    undo: &'static str,
    /// How long PostgreSQL itself goes on with a statement.
    patience: Duration,
}

impl Busy {
    fn client(&self) -> Result<&Object, Fault> {
        self.object.as_ref().ok_or(Fault::Lost(None))
    }

    fn finish(mut self) -> Option<Object> {
        self.object.take()
    }

    /// Closes the connection; it leaves its pool.
    fn throw_away(mut self) {
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        let (undo, patience) = (self.undo, self.patience);
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(come_back(object, undo, patience))),
            Err(_) => drop(Object::take(object)),
        }
    }
}

/// Waits until PostgreSQL is done with what was left under way. Where it is not by the time at which it would have ended it
/// itself, it is gone or frozen, and so is the connection.
async fn come_back(object: Object, undo: &str, patience: Duration) {
    if !matches!(timeout(patience, object.batch_execute(undo)).await, Ok(Ok(()))) {
        drop(Object::take(object));
    }
}

/// A pool whose sessions begin with these options.
pub(crate) fn pool(settings: &Settings, size: usize, options: &str) -> Result<Pool, NotAllowed> {
    let config = config(settings, options)?;
    // `Verified` costs a round trip for each use; a dead connection is noticed by its first statement.
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let patience = settings.connect_timeout * 2;
    let manager = if config.get_ssl_mode() == SslMode::Disable {
        Manager::from_connect(config, Openings::new(ConfigConnectImpl { tls: NoTls }, patience), recycling)
    } else {
        let tls = verified_tls()?;
        Manager::from_connect(config, Openings::new(ConfigConnectImpl { tls }, patience), recycling)
    };
    let pool = Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        // Without these, a pool waits for ever.
        .wait_timeout(Some(settings.unit_timeout))
        .create_timeout(Some(patience))
        .recycle_timeout(Some(Duration::from_millis(500)))
        .build();
    pool.map_err(|_| NotAllowed::new("records.pool_size", "6 to 200"))
}

fn config(settings: &Settings, options: &str) -> Result<Config, NotAllowed> {
    let mut config = settings.target()?;
    config
        .application_name(APPLICATION_NAME)
        .options(options)
        .connect_timeout(settings.connect_timeout)
        // A frozen server or a cut cable is noticed after this, not after the system's many minutes.
        .tcp_user_timeout(Duration::from_secs(5))
        .keepalives_idle(Duration::from_secs(10))
        // With several hosts, only the primary takes what we write.
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    if config.get_ssl_mode() == SslMode::Prefer {
        // Encryption that gives way when it is refused protects nothing: it is either required or off.
        config.ssl_mode(SslMode::Disable);
    }
    Ok(config)
}

pub(crate) fn session_options(settings: &Settings) -> String {
    let options = [
        ("search_path", settings.schema.clone()),
        ("statement_timeout", settings.statement_timeout.as_millis().to_string()),
        ("lock_timeout", settings.lock_timeout.as_millis().to_string()),
        ("idle_in_transaction_session_timeout", "5000".to_owned()),
        // A new day's partition is empty and has no statistics, so the planner would guess wrongly what to scan. There
        // is one right plan for each statement: through its index, row by row. A test looks at the plans.
        ("plan_cache_mode", "force_generic_plan".to_owned()),
        ("enable_seqscan", "off".to_owned()),
        ("enable_hashjoin", "off".to_owned()),
        ("enable_mergejoin", "off".to_owned()),
        ("enable_material", "off".to_owned()),
        ("jit", "off".to_owned()),
        ("timezone", "UTC".to_owned()),
    ];
    options.map(|(name, value)| format!("-c {name}={value}")).join(" ")
}

/// TLS that checks the server's certificate against the system's roots.
fn verified_tls() -> Result<MakeRustlsConnect, NotAllowed> {
    fleet_keys::install_tls_provider();
    let (tls, _unreadable) = MakeRustlsConnect::with_native_certs().map_err(|_| {
        NotAllowed::new("records.url", "sslmode=disable: this system has no root certificates")
    })?;
    Ok(tls)
}
