//! Waiting inside a call: for carrier time to pass or a request to be answered, unless the call ends first.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Call, Status, life};
use crate::world::World;

/// What stops a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// The call has ended, or the simulator stops.
    Over,
    /// An update wants another document performed.
    Redirected,
}

/// The one task's grip on its call.
pub(super) struct Line {
    pub(super) world: Arc<World>,
    pub(super) call: Arc<Call>,
    /// When the call ends by itself, and by whom.
    hang_up: Option<(Instant, &'static str)>,
}

impl Line {
    pub(super) fn new(world: Arc<World>, call: Arc<Call>) -> Self {
        Self { world, call, hang_up: None }
    }

    /// Lets the call end at that time, unless it ends earlier anyway.
    pub(super) fn hang_up_at(&mut self, at: Instant, by: &'static str) {
        if self.hang_up.is_none_or(|(earlier, _)| at < earlier) {
            self.hang_up = Some((at, by));
        }
    }

    /// Lets this much carrier time pass.
    pub(super) async fn pass(&self, carrier: Duration) -> Result<(), Interrupt> {
        let until = self.world.time.after(carrier);
        // Who comes first is decided by the times and not by timers, which may be late together.
        match self.hang_up {
            Some((at, _)) if at <= until => self.during(std::future::pending()).await,
            Some(_) | None => self.during(tokio::time::sleep_until(until)).await,
        }
    }

    /// Waits for `work`, which is dropped when the call ends or is redirected.
    pub(super) async fn during<F: Future>(&self, work: F) -> Result<F::Output, Interrupt> {
        let mut work = std::pin::pin!(work);
        // Without a hang-up time, a day is longer than any wait.
        let (at, by) = self.hang_up.unwrap_or((Instant::now() + Duration::from_hours(24), "nobody"));
        loop {
            self.interrupted()?;
            tokio::select! {
                biased;
                () = self.call.changed.notified() => {}
                () = self.world.stop.soft() => return Err(Interrupt::Over),
                output = &mut work => return Ok(output),
                () = tokio::time::sleep_until(at) => {
                    life::end(&self.world, &self.call, Status::Completed, 200, by);
                    return Err(Interrupt::Over);
                }
            }
        }
    }

    fn interrupted(&self) -> Result<(), Interrupt> {
        let state = self.call.state();
        if state.status.is_final() {
            Err(Interrupt::Over)
        } else if state.redirect.is_some() {
            Err(Interrupt::Redirected)
        } else {
            Ok(())
        }
    }
}
