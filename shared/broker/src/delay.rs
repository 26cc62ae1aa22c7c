//! The rungs: queues in which a message waits for a fixed time before it returns to its own queue.
//!
//! A quorum queue drops expired messages only at its head, so each delay needs a queue of its own; a longer
//! wait is made of several.

use std::time::Duration;

/// A fixed delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rung {
    /// Two seconds.
    Two,
    /// Five seconds.
    Five,
    /// Fifteen seconds.
    Fifteen,
}

impl Rung {
    /// All rungs, the shortest first.
    pub const ALL: [Self; 3] = [Self::Two, Self::Five, Self::Fifteen];

    /// How long a message waits here.
    pub const fn delay(self) -> Duration {
        match self {
            Self::Two => Duration::from_secs(2),
            Self::Five => Duration::from_secs(5),
            Self::Fifteen => Duration::from_secs(15),
        }
    }

    /// The longest rung that does not wait longer than `wanted`, else the shortest.
    pub(crate) fn nearest(wanted: Duration) -> Self {
        Self::ALL.into_iter().rev().find(|rung| rung.delay() <= wanted).unwrap_or(Self::Two)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_takes_the_longest_rung_that_is_not_too_long() {
        for (wanted_ms, rung) in [
            (0, Rung::Two),
            (1_999, Rung::Two),
            (2_000, Rung::Two),
            (4_999, Rung::Two),
            (5_000, Rung::Five),
            (14_999, Rung::Five),
            (15_000, Rung::Fifteen),
            (3_600_000, Rung::Fifteen),
        ] {
            assert_eq!(Rung::nearest(Duration::from_millis(wanted_ms)), rung, "{wanted_ms} ms");
        }
    }
}
