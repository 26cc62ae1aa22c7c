//! The one place that reads the system's time.
//!
//! Services of a fleet run on several machines but compare times with rows of one database. So once the
//! database's time was measured, the clock goes on from there by monotonic time, and a step of the system's
//! time moves nothing. Tests use a fixed clock and move it by hand.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fleet_domain::Timestamp;
use tokio::time::Instant;

/// Tells the time. Clones share what was measured.
#[derive(Clone, Debug)]
pub struct Clock {
    /// A std mutex: it is never held over an await.
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    source: Source,
    /// Microseconds by which a test has moved the clock.
    moved: i64,
}

/// Where the time comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// The system's time: nothing else was measured yet.
    System,
    /// The database's time as it was at a moment.
    Measured { time: Timestamp, at: Instant },
    /// A test's.
    Fixed(Timestamp),
}

impl Clock {
    /// A clock that follows the system's time until another one is measured.
    pub fn system() -> Self {
        Self::of(Source::System)
    }

    /// A clock for tests: it stands at `time` until `advance` is called, and counts as measured.
    pub fn fixed_at(time: Timestamp) -> Self {
        Self::of(Source::Fixed(time))
    }

    fn of(source: Source) -> Self {
        Self { state: Arc::new(Mutex::new(State { source, moved: 0 })) }
    }

    /// The time. It may go backwards by what a measurement corrects.
    pub fn now(&self) -> Timestamp {
        let State { source, moved } = *self.state();
        let time = match source {
            Source::System => system_now(),
            Source::Measured { time, at } => time.plus(at.elapsed()),
            Source::Fixed(time) => time,
        };
        Timestamp::from_micros(time.as_micros().saturating_add(moved))
    }

    /// Whether the time is the database's. Until then nothing that is stored may be decided by it.
    pub fn is_measured(&self) -> bool {
        match self.state().source {
            Source::System => false,
            Source::Measured { .. } | Source::Fixed(_) => true,
        }
    }

    /// By how many microseconds the clock is ahead of the system's time; 0 for a fixed clock.
    pub fn offset(&self) -> i64 {
        let source = self.state().source;
        match source {
            Source::System | Source::Measured { .. } => {
                self.now().as_micros().saturating_sub(system_now().as_micros())
            }
            Source::Fixed(_) => 0,
        }
    }

    /// Goes on from the database's time as it was at a moment. A fixed clock ignores it: only its test moves it.
    pub fn measured(&self, time: Timestamp, at: Instant) {
        let mut state = self.state();
        match state.source {
            Source::System | Source::Measured { .. } => state.source = Source::Measured { time, at },
            Source::Fixed(_) => {}
        }
    }

    /// Moves the clock forward, for every clone of it. For tests.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state();
        state.moved = state.moved.saturating_add(micros(by));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
fn system_now() -> Timestamp {
    Timestamp::from_micros(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since_epoch) => micros(since_epoch),
        Err(before_epoch) => -micros(before_epoch.duration()),
    })
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
