//! What one measurement found, and how the counters of the surroundings are read around it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fleet_records::{Records, Storage};
use serde::{Deserialize, Serialize};

use crate::Probe;
use crate::processes::{Usage, usage};

/// One measurement, as it is written for the report.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// What was measured: `dispatched`, `complete`, `paced` or `limit`.
    pub(crate) what: String,
    /// The provider's delay.
    pub(crate) delay_ms: u64,
    /// How many challenges.
    pub(crate) count: u64,
    /// In how many seconds.
    pub(crate) seconds: f64,
    /// How many were done by when, in seconds.
    pub(crate) curve: Vec<(f64, u64)>,
    /// CPU seconds per 1,000 challenges, by process.
    pub(crate) cpu_s_per_1000: BTreeMap<String, f64>,
    /// Resident memory at the end in MiB, by process.
    pub(crate) rss_mib: BTreeMap<String, f64>,
    /// Bytes of write-ahead log per challenge.
    pub(crate) wal_bytes: Option<f64>,
    /// Share of updates of challenges that PostgreSQL did without touching an index.
    pub(crate) hot_share: Option<f64>,
    /// Latencies in milliseconds: name, p50, p99.
    pub(crate) latencies: Vec<(String, f64, f64)>,
}

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
        let count = self.count as f64;
        count / self.seconds.max(0.001)
    }

    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        Ok(fs::write(path, serde_json::to_string(self)?)?)
    }
}

/// The counters before a measurement.
pub(crate) struct Before {
    usage: BTreeMap<String, Usage>,
    storage: Option<Storage>,
}

impl Before {
    pub(crate) async fn read(probe: &Probe, records: Option<&Records>) -> anyhow::Result<Self> {
        Ok(Self { usage: usage(&probe.processes), storage: storage(records).await? })
    }

    /// What has changed since, per challenge.
    #[expect(clippy::cast_precision_loss, reason = "counters of a benchmark are far below 2^52")]
    pub(crate) async fn finish(
        self,
        what: &str,
        (count, seconds): (u64, f64),
        probe: &Probe,
        records: Option<&Records>,
    ) -> anyhow::Result<Measured> {
        let after = usage(&probe.processes);
        let each = count.max(1) as f64;
        let cpu = |name: &String, now: &Usage| {
            let was = self.usage.get(name).map_or(0.0, |usage| usage.cpu_s);
            (now.cpu_s - was) / each * 1_000.0
        };
        let (wal_bytes, hot_share) = match (&self.storage, storage(records).await?) {
            (Some(was), Some(now)) => {
                let updates = (now.updates - was.updates) as f64;
                let hot = (now.hot_updates - was.hot_updates) as f64;
                let share = (updates > 0.0).then(|| hot / updates);
                (Some((now.wal_bytes - was.wal_bytes) as f64 / each), share)
            }
            _ => (None, None),
        };
        Ok(Measured {
            what: what.to_owned(),
            delay_ms: probe.delay_ms,
            count,
            seconds,
            curve: Vec::new(),
            cpu_s_per_1000: after.iter().map(|(name, usage)| (name.clone(), cpu(name, usage))).collect(),
            rss_mib: after.iter().map(|(name, u)| (name.clone(), u.rss_bytes as f64 / 1_048_576.0)).collect(),
            wal_bytes,
            hot_share,
            latencies: Vec::new(),
        })
    }
}

async fn storage(records: Option<&Records>) -> anyhow::Result<Option<Storage>> {
    match records {
        Some(records) => Ok(Some(records.storage().await?)),
        None => Ok(None),
    }
}
