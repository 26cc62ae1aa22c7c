//! Pauses between tries, all with jitter, so that many processes do not return in step.

use std::time::Duration;

use backon::{BackoffBuilder, ConstantBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::sleep;

/// The first pause of a row, before its jitter.
pub(crate) const SHORTEST: Duration = Duration::from_millis(100);
/// The longest one; jitter may double it.
const LONGEST: Duration = Duration::from_millis(2500);
/// What has worked for this long was no failed try.
const STEADY: Duration = Duration::from_secs(10);

/// Growing pauses, from 0.1 s to 5 s.
pub(crate) struct Backoff {
    pauses: ExponentialBackoff,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(SHORTEST)
            .with_max_delay(LONGEST)
            .with_factor(2.0)
            .without_max_times() // a worker never gives the broker up
            .with_jitter()
            .build();
        Self { pauses }
    }

    /// Pauses after something that has worked for the time `lasted`.
    pub(crate) async fn pause(&mut self, lasted: Duration) {
        sleep(self.next(lasted)).await;
    }

    fn next(&mut self, lasted: Duration) -> Duration {
        if lasted >= STEADY {
            *self = Self::new();
        }
        self.pauses.next().unwrap_or(LONGEST)
    }
}

/// `shortest`, and up to as much again.
pub(crate) fn jittered(shortest: Duration) -> Duration {
    ConstantBuilder::default().with_delay(shortest).with_jitter().build().next().unwrap_or(shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds_at_most_and_start_anew_after_steady_work() {
        let mut backoff = Backoff::new();
        let pauses: Vec<Duration> = (0..50).map(|_| backoff.next(Duration::ZERO)).collect();
        assert!(pauses.iter().all(|pause| (SHORTEST..=LONGEST * 2).contains(pause)), "{pauses:?}");
        assert!(pauses[49] >= LONGEST, "{pauses:?}");
        assert!(backoff.next(STEADY) <= SHORTEST * 2);
    }

    #[test]
    fn a_jittered_pause_is_at_most_doubled() {
        let shortest = Duration::from_secs(1);
        assert!((shortest..=shortest * 2).contains(&jittered(shortest)));
        assert_eq!(jittered(Duration::ZERO), Duration::ZERO);
    }
}
