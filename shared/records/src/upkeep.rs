//! What every process does again and again: follow the database's clock, read the portals, keep partitions, seal the audit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleet_domain::Timestamp;
use fleet_lifecycle::{Clock, Context};
use fleet_telemetry::ReadyFlag;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::connection::Connections;
use crate::error::Fault;
use crate::metrics::RecordsMetrics;
use crate::portals::Portals;
use crate::sealing::{EVERY, Sealer};
use crate::sql_time::SqlTime;

/// Between two measurements of the clock, and two readings of the portals.
const OFTEN: Duration = Duration::from_secs(1);
/// Between two rounds of partition upkeep.
const SELDOM: Duration = Duration::from_hours(1);
/// After a failed round.
const SOON: Duration = Duration::from_secs(1);
/// Round trips per measurement; the quickest one counts, since it leaves the least doubt.
const ROUND_TRIPS: usize = 3;
/// For how many days ahead there are partitions: as long as the upkeep may fail unnoticed.
const DAYS_AHEAD: i32 = 3;

const NOW: &str = "SELECT fleet_now()";
const MAKE_PARTITIONS: &str = "SELECT make_partitions($1)";
const DROP_PARTITIONS: &str = "SELECT drop_partitions($1)";
/// Who waits for a carrier that nobody dials by any more would stay for ever.
const FORGET_WAITING: &str = "DELETE FROM waiting_calls WHERE begin_by < fleet_now() - interval '1 hour'";

/// Requests to change an enrollment are kept as long as challenges; a proof is spent for longer than it could count.
const FORGET_ENROLLMENTS: &str =
    "DELETE FROM enrollments WHERE collect_by < fleet_now() - $1 * interval '1 day' AND result <> 0";
const FORGET_PROOFS: &str = "DELETE FROM spent_proofs WHERE at < fleet_now() - interval '1 day'";

/// Everything that upkeep works with.
#[derive(Clone)]
pub(crate) struct Upkeep {
    pub(crate) connections: Connections,
    pub(crate) portals: Portals,
    pub(crate) sealer: Sealer,
    pub(crate) clock: Clock,
    pub(crate) ready: ReadyFlag,
    pub(crate) metrics: RecordsMetrics,
    pub(crate) days_kept: u16,
    /// By task, whether it failed the last time: a failure is logged once, not every second.
    pub(crate) failing: Arc<[AtomicBool; 4]>,
    /// Whether the last round of seals left some to be made.
    pub(crate) behind: Arc<AtomicBool>,
}

impl Upkeep {
    /// Does everything once, and then again and again until the stop.
    pub(crate) async fn start(self, context: &Context) {
        let (_, _, kept) =
            tokio::join!(self.once(Task::Clock), self.once(Task::Portals), self.once(Task::Partitions));
        for (name, task) in [("database_clock", Task::Clock), ("portals", Task::Portals)] {
            let (upkeep, stop) = (self.clone(), context.stop.clone());
            context.tasks.spawn(name, async move {
                while tokio::select! { () = sleep(OFTEN) => true, () = stop.soft() => false } {
                    upkeep.once(task).await;
                }
                Ok(())
            });
        }
        // Not at once: a program that only looks something up is gone before, and seals nothing.
        let (upkeep, stop) = (self.clone(), context.stop.clone());
        context.tasks.spawn("seals", async move {
            let mut pause = EVERY;
            while tokio::select! { () = sleep(pause) => true, () = stop.soft() => false } {
                upkeep.once(Task::Seals).await;
                pause = if upkeep.behind.swap(false, Ordering::Relaxed) { SOON } else { EVERY };
            }
            Ok(())
        });
        let stop = context.stop.clone();
        context.tasks.spawn("partitions", async move {
            let mut pause = if kept { SELDOM } else { SOON };
            while tokio::select! { () = sleep(pause) => true, () = stop.soft() => false } {
                pause = if self.once(Task::Partitions).await { SELDOM } else { SOON };
            }
            Ok(())
        });
    }

    /// Does one task once, and says whether it succeeded. The first of several failures is logged, and the success
    /// after them.
    async fn once(&self, task: Task) -> bool {
        let done = match task {
            Task::Clock => self.measure_clock().await,
            Task::Portals => self.portals.refresh(&self.connections).await,
            Task::Partitions => self.keep_partitions().await,
            Task::Seals => self.seal().await,
        };
        let (name, failing) = (task.as_str(), &self.failing[task as usize]);
        match done {
            Ok(()) => {
                if failing.swap(false, Ordering::Relaxed) {
                    info!(task = name, "upkeep works again");
                }
                true
            }
            Err(fault) => {
                self.metrics.upkeep_failed(name);
                if !failing.swap(true, Ordering::Relaxed) {
                    let error = fault.into_error(task.doing());
                    warn!(task = name, error = error.in_full(), "upkeep fails; it is tried again and again");
                }
                false
            }
        }
    }

    /// Follows the database's clock. Whether PostgreSQL answers here is what readiness tells.
    async fn measure_clock(&self) -> Result<(), Fault> {
        let measured = self.time().await;
        match &measured {
            Ok((time, at)) => {
                self.clock.measured(*time, *at);
                self.ready.set_ready(true);
            }
            // No more than that: the text of an error may name hosts and users.
            Err(fault) => self.ready.set_failing(format!("no answer: {}", fault.label())),
        }
        measured.map(drop)
    }

    /// The database's time, and the moment at which it was that.
    async fn time(&self) -> Result<(Timestamp, Instant), Fault> {
        let mut session = self.connections.durable().await?;
        let mut best: Option<(Duration, Timestamp, Instant)> = None;
        for _ in 0..ROUND_TRIPS {
            let began = Instant::now();
            let rows = session.query(NOW, &[]).await?;
            let took = began.elapsed();
            let Some(row) = rows.first() else { continue };
            if best.is_none_or(|(quickest, ..)| took < quickest) {
                best = Some((took, row.get::<_, SqlTime>(0).0, began + took / 2));
            }
        }
        best.map(|(_, time, at)| (time, at)).ok_or(Fault::Lost(None))
    }

    /// Seals what is closed of the audit.
    async fn seal(&self) -> Result<(), Fault> {
        let sealed = self.sealer.round().await?;
        self.behind.store(sealed.behind, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the partitions of the days to come and drops the old ones.
    async fn keep_partitions(&self) -> Result<(), Fault> {
        let mut session = self.connections.durable().await?;
        session.query(MAKE_PARTITIONS, &[&DAYS_AHEAD]).await?;
        session.query(DROP_PARTITIONS, &[&i32::from(self.days_kept)]).await?;
        session.query(FORGET_WAITING, &[]).await?;
        session.query(FORGET_ENROLLMENTS, &[&f64::from(self.days_kept)]).await?;
        session.query(FORGET_PROOFS, &[]).await?;
        Ok(())
    }
}

/// What upkeep does.
#[derive(Clone, Copy)]
enum Task {
    Clock,
    Portals,
    Partitions,
    Seals,
}

impl Task {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Portals => "portals",
            Self::Partitions => "partitions",
            Self::Seals => "seals",
        }
    }

    const fn doing(self) -> &'static str {
        match self {
            Self::Clock => "asking for the time",
            Self::Portals => "reading the portals",
            Self::Partitions => "keeping partitions",
            Self::Seals => "sealing the audit",
        }
    }
}
