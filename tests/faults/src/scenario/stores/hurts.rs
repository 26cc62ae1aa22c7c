//! What can be done to a store, and how it is undone.

use std::pin::Pin;
use std::time::Duration;

use fleet_faults::proxy::Fault;

use crate::scenario::Stage;
use crate::site::Site;

/// A store of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Postgresql,
    Redis,
    Rabbitmq,
    /// RabbitMQ as three nodes.
    Cluster,
}

impl Store {
    /// Challenges asked for from one fault to the next, and how long that is; the load stays the same meanwhile.
    pub(super) const fn window(self) -> (usize, Duration) {
        match self {
            Self::Postgresql | Self::Redis => (500, Duration::from_secs(20)),
            // A node takes half of this to come back.
            Self::Rabbitmq | Self::Cluster => (500, Duration::from_secs(30)),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Redis => "redis",
            Self::Rabbitmq => "rabbitmq",
            Self::Cluster => "cluster",
        }
    }
}

/// In this time everything that was under way at PostgreSQL is committed.
const COMMITTING: Duration = Duration::from_millis(300);

/// Ends the sessions of everybody else.
const TERMINATE: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND datname = current_database()";

/// Does it where the flag is set, undoes it where not.
type Act = for<'a> fn(&'a Stage, &'a Site, bool) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// One fault.
pub(crate) struct Hurt {
    /// As the report says it.
    pub(crate) name: &'static str,
    /// How long it lasts.
    pub(crate) hold: Duration,
    /// Whether the store is out of reach while it lasts.
    pub(crate) away: bool,
    /// Whether the short form has it too.
    short: bool,
    pub(crate) act: Act,
}

/// Shortens the table below: one fault of it.
macro_rules! hurt {
    ($name:literal, $hold:literal s, away: $away:literal, short: $short:literal, |$stage:ident, $site:ident| $do:expr, $undo:expr) => {
        Hurt {
            name: $name,
            hold: Duration::from_secs($hold),
            away: $away,
            short: $short,
            act: |$stage, $site, doing| {
                Box::pin(async move {
                    let _ = ($stage, $site);
                    if doing {
                        $do
                    } else {
                        $undo
                    }
                    Ok(())
                })
            },
        }
    };
}

/// The faults of a store.
pub(crate) fn hurts(store: Store, short: bool) -> Vec<Hurt> {
    let all = match store {
        Store::Postgresql => postgresql(),
        Store::Redis => redis(),
        Store::Rabbitmq => rabbitmq(),
        Store::Cluster => cluster(),
    };
    all.into_iter().filter(|hurt| hurt.short || !short).collect()
}

fn postgresql() -> Vec<Hurt> {
    vec![
        hurt!("PostgreSQL killed, down for 5 s", 5 s, away: true, short: true,
            |stage, site| { stage.servers.stack("kill", &["postgresql"]).await?; },
            { stage.servers.stack("start", &["postgresql"]).await?; }),
        // Whatever was committing is stored, and nobody has heard of it.
        hurt!("PostgreSQL killed at commit, down for 3 s", 3 s, away: true, short: false,
        |stage, site| {
            site.postgresql.set(Fault::HoldAnswers).await;
            tokio::time::sleep(COMMITTING).await;
            stage.servers.stack("kill", &["postgresql"]).await?;
        },
        {
            site.postgresql.set(Fault::Reset).await;
            stage.servers.stack("start", &["postgresql"]).await?;
            site.postgresql.set(Fault::None).await;
        }),
        hurt!("PostgreSQL frozen for 6 s", 6 s, away: true, short: false,
            |stage, site| { stage.servers.stack("freeze", &["postgresql"]).await?; },
            { stage.servers.stack("thaw", &["postgresql"]).await?; }),
        hurt!("PostgreSQL: all connections reset", 0 s, away: false, short: true,
            |stage, site| site.postgresql.set(Fault::Reset).await,
            site.postgresql.set(Fault::None).await),
        hurt!("PostgreSQL terminates all sessions (pg_terminate_backend)", 0 s, away: false, short: false,
            |stage, site| { stage.servers.postgresql(TERMINATE).await?; },
            {}),
        hurt!("PostgreSQL: open connections go dead (half-open)", 5 s, away: false, short: false,
            |stage, site| site.postgresql.set(Fault::BlackHoleOld).await,
            site.postgresql.set(Fault::None).await),
        hurt!("PostgreSQL 20 ms further away for 6 s", 6 s, away: false, short: false,
            |stage, site| site.postgresql.set(slow(20)).await,
            site.postgresql.set(Fault::None).await),
    ]
}

fn redis() -> Vec<Hurt> {
    vec![
        hurt!("Redis killed, down for 5 s", 5 s, away: true, short: false,
            |stage, site| { stage.servers.stack("kill", &["redis"]).await?; },
            { stage.servers.stack("start", &["redis"]).await?; }),
        hurt!("Redis loses everything", 0 s, away: true, short: true,
            |stage, site| { stage.servers.stack("wipe", &["redis"]).await?; },
            {}),
        hurt!("Redis frozen for 6 s", 6 s, away: true, short: false,
            |stage, site| { stage.servers.stack("freeze", &["redis"]).await?; },
            { stage.servers.stack("thaw", &["redis"]).await?; }),
        hurt!("Redis: open connections go dead (half-open)", 5 s, away: false, short: true,
            |stage, site| site.redis.set(Fault::BlackHoleOld).await,
            site.redis.set(Fault::None).await),
        hurt!("Redis refuses connections for 5 s, and resets those it has", 5 s, away: true, short: false,
            |stage, site| { site.redis.set(Fault::Reset).await; site.redis.set(Fault::Refuse).await },
            site.redis.set(Fault::None).await),
        hurt!("Redis answers READONLY for 5 s", 5 s, away: true, short: false,
            |stage, site| { stage.servers.redis(&["REPLICAOF", "127.0.0.1", "1"]).await?; },
            { stage.servers.redis(&["REPLICAOF", "NO", "ONE"]).await?; }),
    ]
}

fn rabbitmq() -> Vec<Hurt> {
    vec![
        hurt!("RabbitMQ killed, down for 2 s", 2 s, away: true, short: true,
            |stage, site| { stage.servers.stack("kill", &["rabbitmq"]).await?; },
            { stage.servers.stack("start", &["rabbitmq"]).await?; }),
        hurt!("RabbitMQ frozen for 6 s", 6 s, away: true, short: false,
            |stage, site| { stage.servers.stack("freeze", &["rabbitmq"]).await?; },
            { stage.servers.stack("thaw", &["rabbitmq"]).await?; }),
        hurt!("RabbitMQ blocks publishers (memory alarm) for 5 s", 5 s, away: false, short: false,
            |stage, site| { watermark(stage, "0.00001").await?; },
            { watermark(stage, "0.4").await?; }),
        hurt!("RabbitMQ: all connections reset", 0 s, away: false, short: true,
            |stage, site| site.rabbitmq.set(Fault::Reset).await,
            site.rabbitmq.set(Fault::None).await),
        hurt!("RabbitMQ: open connections go dead (half-open)", 5 s, away: false, short: false,
            |stage, site| site.rabbitmq.set(Fault::BlackHoleOld).await,
            site.rabbitmq.set(Fault::None).await),
    ]
}

fn cluster() -> Vec<Hurt> {
    vec![
        hurt!("node 1 of three killed, down for 5 s", 5 s, away: false, short: true,
            |stage, site| { stage.servers.stack("kill", &["rabbitmq"]).await?; },
            { restart(stage, "rabbitmq").await?; }),
        hurt!("node 2 of three killed, down for 5 s", 5 s, away: false, short: false,
            |stage, site| { stage.servers.stack("kill", &["rabbitmq.2"]).await?; },
            { restart(stage, "rabbitmq.2").await?; }),
        hurt!("node 3 of three killed, down for 5 s", 5 s, away: false, short: false,
            |stage, site| { stage.servers.stack("kill", &["rabbitmq.3"]).await?; },
            { restart(stage, "rabbitmq.3").await?; }),
        hurt!("node 1 of three frozen for 8 s", 8 s, away: false, short: true,
            |stage, site| { stage.servers.stack("freeze", &["rabbitmq"]).await?; },
            { thaw(stage, "rabbitmq").await?; }),
        hurt!("node 2 of three frozen for 8 s", 8 s, away: false, short: false,
            |stage, site| { stage.servers.stack("freeze", &["rabbitmq.2"]).await?; },
            { thaw(stage, "rabbitmq.2").await?; }),
        hurt!("node 3 of three frozen for 8 s", 8 s, away: false, short: false,
            |stage, site| { stage.servers.stack("freeze", &["rabbitmq.3"]).await?; },
            { thaw(stage, "rabbitmq.3").await?; }),
    ]
}

async fn restart(stage: &Stage, node: &str) -> anyhow::Result<()> {
    stage.servers.stack("start", &[node]).await?;
    Ok(())
}

/// A node that was frozen for long stays outside its cluster until it is brought back.
async fn thaw(stage: &Stage, node: &str) -> anyhow::Result<()> {
    stage.servers.stack("thaw", &[node]).await?;
    stage.servers.stack("heal", &[]).await?;
    Ok(())
}

async fn watermark(stage: &Stage, share: &str) -> anyhow::Result<()> {
    stage.servers.stack("rabbitmqctl", &["--", "set_vm_memory_high_watermark", share]).await?;
    Ok(())
}

const fn slow(millis: u64) -> Fault {
    Fault::Latency { delay: Duration::from_millis(millis), jitter: Duration::from_millis(millis / 4) }
}
