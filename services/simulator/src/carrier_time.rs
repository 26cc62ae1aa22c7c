//! Carrier time: what a second of ringing, speaking or thinking lasts in this run.
//!
//! Dates and network time-outs stay real; only durations inside calls and apps are scaled.

use std::time::Duration;

use fleet_lifecycle::Clock;
use tokio::time::Instant;

/// The clock of the simulated world.
#[derive(Clone)]
pub(crate) struct CarrierTime {
    clock: Clock,
    speed: f64,
}

impl CarrierTime {
    pub(crate) fn new(clock: Clock, speed: f64) -> Self {
        Self { clock, speed }
    }

    /// Now, in microseconds since the Unix epoch.
    pub(crate) fn now_micros(&self) -> i64 {
        self.clock.now().as_micros()
    }

    /// Now, in seconds since the Unix epoch.
    pub(crate) fn now_secs(&self) -> i64 {
        self.now_micros().div_euclid(1_000_000)
    }

    /// How long this much carrier time really lasts.
    pub(crate) fn real(&self, carrier: Duration) -> Duration {
        carrier.div_f64(self.speed)
    }

    /// When this much carrier time will have passed.
    pub(crate) fn after(&self, carrier: Duration) -> Instant {
        Instant::now() + self.real(carrier)
    }

    /// Whole seconds of carrier time between two times in microseconds.
    pub(crate) fn seconds_between(&self, from: i64, to: i64) -> u64 {
        let real = Duration::from_micros(u64::try_from(to - from).unwrap_or(0));
        real.mul_f64(self.speed).as_secs()
    }
}
