//! The low-water mark of deadlines: below it no challenge is open, so no sweep looks there.
//!
//! Two marks, because both being quick and being sure are wanted. Most scans begin at the near mark, two
//! seconds behind now; every ten seconds one begins at the far mark, thirty seconds behind, and finds what was
//! committed too late for the near one. Neither passes a challenge that was seen open. Pure.

use std::time::Duration;

use fleet_domain::Timestamp;

/// How far the near mark stays behind now: longer than a commit usually takes.
const NEAR: Duration = Duration::from_secs(2);
/// How far the far mark stays behind now: longer than any commit takes.
const FAR: Duration = Duration::from_secs(30);
/// Between two scans from the far mark.
const FAR_EVERY: Duration = Duration::from_secs(10);

/// The marks of one process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LowWater {
    near: Timestamp,
    far: Option<Timestamp>,
    next_far: Timestamp,
}

/// A scan for overdue challenges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Deadlines after this one are looked at.
    pub(crate) after: Timestamp,
    from_far: bool,
}

impl LowWater {
    /// The stored mark must be learned first.
    pub(crate) fn unknown() -> Self {
        let start = Timestamp::default();
        Self { near: start, far: None, next_far: start }
    }

    pub(crate) fn is_known(&self) -> bool {
        self.far.is_some()
    }

    /// Takes the stored mark up.
    pub(crate) fn learn(&mut self, stored: Timestamp) {
        self.far = Some(stored);
        self.near = stored;
    }

    /// Where the next scan begins.
    pub(crate) fn next_scan(&self, now: Timestamp) -> Scan {
        match self.far {
            Some(far) if now >= self.next_far => Scan { after: far, from_far: true },
            Some(_) | None => Scan { after: self.near, from_far: false },
        }
    }

    /// Takes the outcome of a scan up: the deadlines of the open challenges that it found, in order. Gives the
    /// mark to store, where there is a new one.
    pub(crate) fn scanned(
        &mut self,
        scan: Scan,
        (now, limit): (Timestamp, usize),
        deadlines: &[Timestamp],
    ) -> Option<Timestamp> {
        let complete = deadlines.len() < limit;
        // Just below the oldest open one, so that the next scan finds it again unless it has ended.
        let below = deadlines.first().map_or(now, |oldest| oldest.minus(Duration::from_micros(1)));
        self.near = below.min(now.minus(NEAR));
        if !(scan.from_far && complete) {
            return None;
        }
        self.next_far = now.plus(FAR_EVERY);
        let far = below.min(now.minus(FAR));
        let raised = self.far.is_none_or(|known| far > known);
        self.far = Some(far);
        raised.then_some(far)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000).plus(Duration::from_secs(seconds))
    }

    fn known() -> LowWater {
        let mut marks = LowWater::unknown();
        marks.learn(at(0));
        marks
    }

    #[test]
    fn the_first_scan_begins_at_the_stored_mark_and_later_ones_near_now() {
        let mut marks = known();
        let scan = marks.next_scan(at(100));
        assert_eq!(scan, Scan { after: at(0), from_far: true });
        assert_eq!(marks.scanned(scan, (at(100), 10), &[]), Some(at(70)));
        assert_eq!(marks.next_scan(at(101)), Scan { after: at(98), from_far: false });
        assert_eq!(marks.next_scan(at(110)), Scan { after: at(70), from_far: true });
    }

    #[test]
    fn no_mark_passes_an_open_challenge() {
        let mut marks = known();
        let scan = marks.next_scan(at(100));
        let open = at(40);
        let stored = marks.scanned(scan, (at(100), 10), &[open, at(60)]);
        assert!(stored.is_some_and(|mark| mark < open));
        assert!(marks.next_scan(at(101)).after < open);
        assert!(marks.next_scan(at(110)).after < open);
    }

    #[test]
    fn a_scan_that_was_cut_off_by_its_limit_raises_nothing_for_others_and_is_made_again() {
        let mut marks = known();
        let scan = marks.next_scan(at(100));
        assert_eq!(marks.scanned(scan, (at(100), 2), &[at(40), at(50)]), None);
        assert_eq!(marks.next_scan(at(101)), Scan { after: at(0), from_far: true });
    }

    #[test]
    fn a_mark_that_is_no_higher_is_not_stored_again() {
        let mut marks = known();
        let scan = marks.next_scan(at(100));
        let open = [at(40)];
        assert!(marks.scanned(scan, (at(100), 10), &open).is_some());
        let again = marks.next_scan(at(110));
        assert_eq!(marks.scanned(again, (at(110), 10), &open), None);
    }
}
