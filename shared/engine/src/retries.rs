//! What could not be told yet, and when it is tried again. Pure.

use std::collections::HashMap;
use std::time::Duration;

use fleet_domain::ChallengeKey;
use tokio::time::Instant;

/// Keys at most. When so many wait, the sweep takes up no more: they stay in the database, not marked as told.
const ROOM: usize = 10_000;
/// The first pause; each one is twice the last.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(4);

/// The ended challenges that this process found untold and could not tell yet.
#[derive(Default)]
pub(crate) struct Retries(HashMap<ChallengeKey, Waiting>);

#[derive(Clone, Copy)]
struct Waiting {
    at: Instant,
    pause: Duration,
    published: bool,
}

impl Retries {
    /// How many more there is room for.
    pub(crate) fn room(&self) -> usize {
        ROOM.saturating_sub(self.0.len())
    }

    /// Notes that it could not be told, and whether its event is published at least.
    pub(crate) fn put(&mut self, key: ChallengeKey, published: bool, now: Instant) {
        let pause = self.0.get(&key).map_or(FIRST, |waiting| (waiting.pause * 2).min(LONGEST));
        self.0.insert(key, Waiting { at: now + pause, pause, published });
    }

    /// Notes that nothing is left to tell.
    pub(crate) fn done(&mut self, key: &ChallengeKey) {
        self.0.remove(key);
    }

    /// Up to `limit` keys whose time has come, with whether their events are published. They stay until they are done.
    pub(crate) fn due(&self, now: Instant, limit: usize) -> Vec<(ChallengeKey, bool)> {
        let due = self.0.iter().filter(|(_, waiting)| waiting.at <= now);
        due.take(limit).map(|(key, waiting)| (key.clone(), waiting.published)).collect()
    }
}

#[cfg(test)]
mod tests {
    use fleet_domain::{ChallengeId, PortalName, Timestamp};

    use super::*;

    fn key(number: u16) -> ChallengeKey {
        let mut random = [0; 10];
        random[8..].copy_from_slice(&number.to_be_bytes());
        ChallengeKey {
            id: ChallengeId::from_parts(Timestamp::default(), random),
            portal: PortalName::parse("vpn").unwrap(),
        }
    }

    #[test]
    fn what_failed_is_due_again_and_again_with_longer_pauses_until_it_is_done() {
        let mut retries = Retries::default();
        let mut now = Instant::now();
        for pause in [500, 1000, 2000, 4000, 4000].map(Duration::from_millis) {
            retries.put(key(1), false, now);
            assert!(retries.due(now + pause - Duration::from_millis(1), 10).is_empty());
            now += pause;
            assert_eq!(retries.due(now, 10), [(key(1), false)]);
        }
        retries.put(key(1), true, now);
        assert_eq!(retries.due(now + LONGEST, 10), [(key(1), true)], "its event is not published again");
        retries.done(&key(1));
        assert!(retries.due(now + LONGEST, 10).is_empty());
    }

    #[test]
    fn there_is_no_room_beyond_the_bound() {
        let mut retries = Retries::default();
        let now = Instant::now();
        for number in 0..u16::try_from(ROOM).unwrap() {
            retries.put(key(number), false, now);
        }
        assert_eq!(retries.room(), 0);
        retries.done(&key(7));
        assert_eq!(retries.room(), 1);
        assert_eq!(retries.due(now + FIRST, 3).len(), 3);
    }
}
