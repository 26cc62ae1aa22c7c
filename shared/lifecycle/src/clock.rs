//! The one place that reads the system's time.
//!
//! Services of a fleet run on several machines but compare times with rows of one database, so the clock
//! carries an offset that follows the database's clock. Tests use a fixed clock and move it by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fleet_domain::Timestamp;

/// Tells the time. Clones share their offset.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Whether the system's time is added to `micros`.
    follows_system: bool,
    /// Microseconds: the offset from the system's time, or the whole time of a fixed clock.
    micros: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that follows the system's time, with offset 0.
    pub fn system() -> Self {
        Self { follows_system: true, micros: Arc::default() }
    }

    /// A clock for tests: it stands at `time` until `advance` is called.
    pub fn fixed_at(time: Timestamp) -> Self {
        Self { follows_system: false, micros: Arc::new(AtomicI64::new(time.as_micros())) }
    }

    /// The time, offset included. It may go backwards when the system's time or the offset is corrected.
    pub fn now(&self) -> Timestamp {
        let micros = self.micros.load(Ordering::Relaxed);
        let system = if self.follows_system { system_micros() } else { 0 };
        Timestamp::from_micros(system.saturating_add(micros))
    }

    /// The offset from the system's time in microseconds; 0 for a fixed clock.
    pub fn offset(&self) -> i64 {
        if self.follows_system { self.micros.load(Ordering::Relaxed) } else { 0 }
    }

    /// Sets the offset from the system's time in microseconds. A fixed clock ignores it: only its test moves it.
    pub fn set_offset(&self, micros: i64) {
        if self.follows_system {
            self.micros.store(micros, Ordering::Relaxed);
        }
    }

    /// Moves the clock forward, for every clone of it.
    pub fn advance(&self, by: Duration) {
        self.micros.fetch_add(micros(by), Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
fn system_micros() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since_epoch) => micros(since_epoch),
        Err(before_epoch) => -micros(before_epoch.duration()),
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
