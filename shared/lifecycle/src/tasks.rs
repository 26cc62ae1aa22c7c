//! The tasks of a service: all are awaited at stop, and none dies unnoticed.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio_util::task::TaskTracker;
use tracing::{debug, error};

use crate::Stop;

/// Starts tasks and waits for them. Clones share the tasks.
#[derive(Clone, Debug)]
pub struct Tasks {
    stop: Stop,
    tracker: TaskTracker,
    failed: Arc<AtomicBool>,
}

impl Tasks {
    /// No tasks yet; one that fails will request a soft stop from `stop`.
    pub fn new(stop: Stop) -> Self {
        Self { stop, tracker: TaskTracker::new(), failed: Arc::default() }
    }

    /// What tells these tasks to stop.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Starts a task that lasts until the stop. If it ends before a soft stop was requested, fails or panics,
    /// then the service stops softly and its exit code will be 1.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let working = self.stop.count_working();
        let tasks = self.clone();
        self.tracker.spawn(async move {
            // The future is dropped right after a panic, so nothing can see it half-changed.
            let end = AssertUnwindSafe(task).catch_unwind().await;
            tasks.judge(name, end);
            drop(working);
        });
    }

    /// Starts a short-lived task, such as the handling of one message, that is awaited at stop.
    /// A panic in it is logged and stops nothing.
    pub fn spawn_detail(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let working = self.stop.count_working();
        self.tracker.spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                error!(task = name, "a detail task panicked");
            }
            drop(working);
        });
    }

    /// Waits until all tasks have ended, at most for `grace`. Returns whether they have.
    /// It requests nothing: whoever calls it has requested the stop.
    pub async fn wait(&self, grace: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(grace, self.tracker.wait()).await.is_ok()
    }

    /// Whether a task ended early, failed or panicked.
    pub fn any_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// How many tasks have not ended yet.
    pub(crate) fn running(&self) -> usize {
        self.tracker.len()
    }

    fn judge(&self, name: &'static str, end: std::thread::Result<anyhow::Result<()>>) {
        match end {
            Ok(Ok(())) if self.stop.is_soft() => {
                debug!(task = name, "task ended");
                return;
            }
            Ok(Ok(())) => error!(task = name, "task ended early"),
            Ok(Err(error)) => error!(task = name, error = format!("{error:#}"), "task failed"),
            // The panic hook has logged the message and the place.
            Err(_panic) => error!(task = name, "task panicked"),
        }
        self.failed.store(true, Ordering::Release);
        self.stop.request_soft();
    }
}
