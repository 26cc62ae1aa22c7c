//! Marks that a version was told to its portal: gathered, and written a few times a second.
//!
//! A mark that gets lost only means that a sweep tells the version once more, so nobody waits for one, its
//! commit need not be on disk, and a row that is being changed at this moment is left for the next round.

use std::collections::HashMap;
use std::time::Duration;

use fleet_domain::ChallengeKey;
use fleet_lifecycle::{Context, Stop};
use tokio::sync::mpsc;
use tokio::time::sleep;
use uuid::Uuid;

use crate::connection::Connections;
use crate::error::Fault;
use crate::metrics::RecordsMetrics;
use crate::row::{key_of, lowest, signed};

/// Between two rounds: sweeps look a second behind, so marks need not be quicker than this.
const PAUSE: Duration = Duration::from_millis(50);
/// Marks in one statement at most.
const ROUND: usize = 1000;
/// Marks that wait at most, while PostgreSQL is away.
const WAITING: usize = 50_000;
/// How often a mark is tried on a row that is being changed.
const TRIES: u8 = 5;

pub(crate) const MARK: &str = "
WITH locked AS MATERIALIZED (
    SELECT g.* FROM unnest($1::uuid[], $2::text[], $3::int4[]) AS g(id, portal, told)
    JOIN challenges c ON c.id = g.id AND c.portal = g.portal
    WHERE c.id >= $4
    FOR NO KEY UPDATE OF c SKIP LOCKED
), marked AS (
    UPDATE challenges c SET told = l.told FROM locked l
    WHERE c.id = l.id AND c.portal = l.portal AND c.told < l.told AND c.id >= $4
)
SELECT id, portal FROM locked";

/// The way in for marks.
#[derive(Clone)]
pub(crate) struct ToldMarks {
    marks: mpsc::Sender<(ChallengeKey, u32)>,
    metrics: RecordsMetrics,
}

impl ToldMarks {
    pub(crate) fn start(connections: Connections, metrics: RecordsMetrics, context: &Context) -> Self {
        let (sender, marks) = mpsc::channel(WAITING);
        let marker = Marker { connections, metrics: metrics.clone(), waiting: HashMap::new() };
        context.tasks.spawn("told_marks", marker.serve(marks, context.stop.clone()));
        Self { marks: sender, metrics }
    }

    pub(crate) fn mark(&self, key: &ChallengeKey, version: u32) {
        if self.marks.try_send((key.clone(), version)).is_err() {
            self.metrics.told_marks("dropped").inc();
        }
    }
}

struct Marker {
    connections: Connections,
    metrics: RecordsMetrics,
    /// Per challenge the highest version told, and how often its mark was tried.
    waiting: HashMap<ChallengeKey, (u32, u8)>,
}

impl Marker {
    async fn serve(
        mut self,
        mut marks: mpsc::Receiver<(ChallengeKey, u32)>,
        stop: Stop,
    ) -> anyhow::Result<()> {
        loop {
            if self.waiting.is_empty() {
                tokio::select! {
                    biased;
                    mark = marks.recv() => {
                        let Some(mark) = mark else {
                            stop.soft().await;
                            return Ok(());
                        };
                        self.take(mark);
                    }
                    () = stop.others_done() => return Ok(()),
                }
            }
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = stop.others_done() => {}
            }
            while self.waiting.len() < WAITING
                && let Ok(mark) = marks.try_recv()
            {
                self.take(mark);
            }
            let written = self.round().await;
            if !written && stop.is_soft() {
                // The sweeps of other processes tell these again.
                return Ok(());
            }
        }
    }

    fn take(&mut self, (key, version): (ChallengeKey, u32)) {
        let (told, _) = self.waiting.entry(key).or_insert((version, 0));
        *told = version.max(*told);
    }

    /// Writes what waits, as far as one statement takes it. Says whether PostgreSQL was there.
    async fn round(&mut self) -> bool {
        let keys: Vec<ChallengeKey> = self.waiting.keys().take(ROUND).cloned().collect();
        match self.write(&keys).await {
            Ok(marked) => {
                self.metrics.told_marks("stored").inc_by(marked.len() as u64);
                for key in &marked {
                    self.waiting.remove(key);
                }
                for key in &keys {
                    self.count_try(key);
                }
                true
            }
            Err(Fault::Data(_)) => {
                // Only a version beyond all counting could be refused; it must not block the others.
                self.metrics.told_marks("dropped").inc_by(keys.len() as u64);
                self.waiting.retain(|key, _| !keys.contains(key));
                true
            }
            Err(Fault::Refused(_) | Fault::Unsent(_) | Fault::Lost(_)) => false,
        }
    }

    /// Gives a mark up that never finds its row free.
    fn count_try(&mut self, key: &ChallengeKey) {
        if let Some((_, tries)) = self.waiting.get_mut(key) {
            *tries += 1;
            if *tries >= TRIES {
                self.waiting.remove(key);
                self.metrics.told_marks("dropped").inc();
            }
        }
    }

    async fn write(&self, keys: &[ChallengeKey]) -> Result<Vec<ChallengeKey>, Fault> {
        let ids: Vec<Uuid> = keys.iter().map(|key| key.id.uuid()).collect();
        let portals: Vec<&str> = keys.iter().map(|key| key.portal.as_str()).collect();
        let told: Vec<i32> =
            keys.iter().map(|key| self.waiting.get(key).map_or(0, |(told, _)| signed(*told))).collect();
        let lowest = lowest(keys.iter());
        let mut session = self.connections.relaxed().await?;
        let rows = session.query(MARK, &[&ids, &portals, &told, &lowest]).await?;
        Ok(rows.iter().filter_map(|row| key_of(row).ok()).collect())
    }
}
