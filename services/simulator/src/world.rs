//! The world: what the providers, the people and the apps of one simulator share.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fleet_lifecycle::{Stop, Tasks};
use tokio::time::Instant;

use crate::app::Apps;
use crate::call::CallBook;
use crate::call::webhook::Webhooks;
use crate::carrier_time::CarrierTime;
use crate::cast::Cast;
use crate::faults::Faults;
use crate::fcm::Fcm;
use crate::journal::Journal;
use crate::metrics::SimulatorMetrics;
use crate::twilio::Accounts;

/// Everything that is shared, by all requests and tasks.
pub(crate) struct World {
    pub(crate) account_sid: String,
    pub(crate) accounts: Accounts,
    pub(crate) post_dial: Duration,
    pub(crate) provider_delay: Duration,
    pub(crate) time: CarrierTime,
    pub(crate) pace: Pace,
    pub(crate) calls: CallBook,
    pub(crate) cast: Cast,
    pub(crate) webhooks: Webhooks,
    pub(crate) fcm: Fcm,
    pub(crate) apps: Apps,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    pub(crate) metrics: SimulatorMetrics,
    pub(crate) tasks: Tasks,
    pub(crate) stop: Stop,
}

/// Calls per second: those above the rate wait in the queue, in the order of their creation.
pub(crate) struct Pace {
    /// Real time between two calls; zero without a limit.
    interval: Duration,
    /// When the next call may start.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most this many calls per second; 0 for no limit.
    pub(crate) fn new(calls_per_second: u32) -> Self {
        let interval = Duration::from_secs(1).checked_div(calls_per_second).unwrap_or_default();
        Self { interval, next: Mutex::default() }
    }

    /// Takes the next turn and tells how long to wait for it.
    pub(crate) fn next_turn(&self, now: Instant) -> Duration {
        if self.interval.is_zero() {
            return Duration::ZERO;
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = next.unwrap_or(now).max(now);
        *next = Some(turn + self.interval);
        turn - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_above_the_rate_wait_their_turn() {
        let (pace, now) = (Pace::new(4), Instant::now());
        let waits: Vec<_> = (0..3).map(|_| pace.next_turn(now).as_millis()).collect();
        assert_eq!(waits, [0, 250, 500]);
        assert_eq!(pace.next_turn(now + Duration::from_secs(5)), Duration::ZERO);
        assert_eq!(Pace::new(0).next_turn(now), Duration::ZERO);
    }
}
