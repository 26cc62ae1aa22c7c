//! All metrics of this crate. They are per process.

use std::time::Duration;

use fleet_domain::Timestamp;
use fleet_telemetry::{HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, LATENCY_SECONDS, Metrics};

/// Upper limits for the number of jobs in a batch.
const BATCH_JOBS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1000.0];

#[derive(Clone)]
pub(crate) struct RecordsMetrics {
    jobs: HistogramVec,
    seconds: HistogramVec,
    repeats: IntCounterVec,
    failures: IntCounterVec,
    commits: IntCounterVec,
    pool_wait: HistogramVec,
    slots: IntCounterVec,
    told_marks: IntCounterVec,
    upkeep: IntCounterVec,
    sealed_until: IntGaugeVec,
    seals_lost: IntCounterVec,
}

impl RecordsMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            jobs: metrics.histogram(
                "mfa_records_batch_jobs",
                "Jobs that shared one statement, by lane.",
                &["lane"],
                BATCH_JOBS,
            ),
            seconds: metrics.histogram(
                "mfa_records_batch_seconds",
                "Time of one batch with its commit, by lane.",
                &["lane"],
                LATENCY_SECONDS,
            ),
            repeats: metrics.counter(
                "mfa_records_repeats_total",
                "Batches that were run again, by lane and cause: data (in halves, to find the culprit), refused, lost.",
                &["lane", "cause"],
            ),
            failures: metrics.counter(
                "mfa_records_failures_total",
                "Jobs that failed, by lane and cause: data, refused, unsent, lost, late.",
                &["lane", "cause"],
            ),
            commits: metrics.counter(
                "mfa_records_commits_total",
                "Transitions and new challenges by lane and what became of them.",
                &["lane", "outcome"],
            ),
            pool_wait: metrics.histogram(
                "mfa_records_pool_wait_seconds",
                "Time until a connection was there, by pool.",
                &["pool"],
                LATENCY_SECONDS,
            ),
            slots: metrics.counter(
                "mfa_records_slots_total",
                "Slots that calls asked for: at_once, waits for its turn, or too_late for the challenge.",
                &["outcome"],
            ),
            told_marks: metrics.counter(
                "mfa_records_told_marks_total",
                "Marks that a version was told: stored, or dropped for want of a database; then a sweep tells it again.",
                &["outcome"],
            ),
            upkeep: metrics.counter(
                "mfa_records_upkeep_failures_total",
                "Failed rounds of upkeep, by task: portals, clock, partitions, seals, low_water.",
                &["task"],
            ),
            sealed_until: metrics.gauge(
                "mfa_records_sealed_until_seconds",
                "Until when the audit is sealed, in seconds since 1970; 0 where it never was. Minus the time: how old the newest seal is.",
                &[],
            ),
            seals_lost: metrics.counter(
                "mfa_records_seals_lost_total",
                "How often the newest seal of the audit was an older or another one than this process had seen before.",
                &[],
            ),
        }
    }

    pub(crate) fn batch(&self, lane: &str, jobs: usize, took: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most 1000 jobs")]
        self.jobs.with_label_values(&[lane]).observe(jobs as f64);
        self.seconds.with_label_values(&[lane]).observe(took.as_secs_f64());
    }

    pub(crate) fn repeated(&self, lane: &str, cause: &str) {
        self.repeats.with_label_values(&[lane, cause]).inc();
    }

    pub(crate) fn failed(&self, lane: &str, cause: &str, jobs: usize) {
        self.failures.with_label_values(&[lane, cause]).inc_by(jobs as u64);
    }

    pub(crate) fn commit(&self, lane: &str, outcome: &str) {
        self.commits.with_label_values(&[lane, outcome]).inc();
    }

    pub(crate) fn pool_wait(&self, pool: &str, took: Duration) {
        self.pool_wait.with_label_values(&[pool]).observe(took.as_secs_f64());
    }

    pub(crate) fn slot(&self, outcome: &str) {
        self.slots.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn told_marks(&self, outcome: &str) -> IntCounter {
        self.told_marks.with_label_values(&[outcome])
    }

    pub(crate) fn sealed_until(&self, until: Timestamp) {
        self.sealed_until.with_label_values::<&str>(&[]).set(until.as_secs());
    }

    pub(crate) fn seals_lost(&self) {
        self.seals_lost.with_label_values::<&str>(&[]).inc();
    }

    pub(crate) fn upkeep_failed(&self, task: &str) {
        self.upkeep.with_label_values(&[task]).inc();
    }
}
