//! What is asked of the tasks: go on, stop softly, stop hard.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The stop signal that every task of a service listens to. Clones are the same signal.
#[derive(Clone, Debug)]
pub struct Stop {
    soft: CancellationToken,
    hard: CancellationToken,
    /// How many tasks still work. Those inside `others_done` are not counted.
    working: Arc<watch::Sender<isize>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// A signal that nothing has requested yet.
    pub fn new() -> Self {
        Self {
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            working: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Waits until new work is no longer wanted. Work already taken is to be finished.
    pub async fn soft(&self) {
        self.soft.cancelled().await;
    }

    /// Waits until everything must be dropped at once.
    pub async fn hard(&self) {
        self.hard.cancelled().await;
    }

    /// Whether a soft or a hard stop was requested.
    pub fn is_soft(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Whether a hard stop was requested.
    pub fn is_hard(&self) -> bool {
        self.hard.is_cancelled()
    }

    /// Asks for a soft stop. Asking again changes nothing.
    pub fn request_soft(&self) {
        self.soft.cancel();
    }

    /// Asks for a hard stop, which is a soft stop too.
    pub fn request_hard(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// For a task that attends the others to their end: waits for a soft stop, then until every task that does not wait
    /// here has ended, or for a hard stop. A task may wait here once at a time, since it is counted out while it waits.
    pub async fn others_done(&self) {
        self.soft().await;
        let mut working = self.working.subscribe();
        let _aside = Aside::step(&self.working);
        tokio::select! {
            _ = working.wait_for(|&count| count <= 0) => {}
            () = self.hard() => {}
        }
    }

    /// Counts a task as working until the returned guard is dropped.
    pub(crate) fn count_working(&self) -> Working {
        self.working.send_modify(|count| *count += 1);
        Working(self.working.clone())
    }
}

/// One working task.
pub(crate) struct Working(Arc<watch::Sender<isize>>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// A working task that waits for the others. A guard, because the waiting may be dropped half-way.
struct Aside<'a>(&'a watch::Sender<isize>);

impl<'a> Aside<'a> {
    fn step(working: &'a watch::Sender<isize>) -> Self {
        working.send_modify(|count| *count -= 1);
        Self(working)
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count += 1);
    }
}
