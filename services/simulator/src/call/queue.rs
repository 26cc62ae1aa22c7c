//! The queue before the network: calls start in the order of their creation, at most so many in any second.
//!
//! A call above the rate is not refused, it waits. One that is canceled meanwhile takes nobody's turn.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::{Call, life};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// The account's queue.
pub(crate) struct Queue {
    pace: Mutex<Pace>,
    /// Wakes the head of the queue when the rate has changed.
    rate_changed: Notify,
    entrance: mpsc::UnboundedSender<Waiting>,
    /// Calls that wait for their turn.
    length: Arc<AtomicU32>,
}

/// A call that waits.
pub(crate) struct Waiting {
    call: Arc<Call>,
    started: oneshot::Sender<()>,
}

/// A place in the queue, given back when it is dropped.
pub(super) struct Ticket {
    /// How long the wait is likely to be, in real time.
    pub(super) estimate: Duration,
    length: Arc<AtomicU32>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.length.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Queue {
    /// A queue of this many calls per second, 0 for no limit, and its other end, for `serve`.
    pub(crate) fn new(calls_per_second: u32) -> (Self, mpsc::UnboundedReceiver<Waiting>) {
        let (entrance, exit) = mpsc::unbounded_channel();
        let pace = Mutex::new(Pace { rate: calls_per_second, ..Pace::default() });
        (Self { pace, rate_changed: Notify::new(), entrance, length: Arc::default() }, exit)
    }

    pub(crate) fn calls_per_second(&self) -> u32 {
        self.pace().rate
    }

    /// Changes the rate, also for the calls that wait already.
    pub(crate) fn set_calls_per_second(&self, rate: u32) {
        self.pace().rate = rate;
        self.rate_changed.notify_one();
    }

    /// Takes a place behind all others.
    pub(super) fn ticket(&self, now: Instant) -> Ticket {
        let pace = self.pace();
        let before = self.length.fetch_add(1, Ordering::Relaxed);
        let estimate = pace.turn(now) + pace.interval() * before - now;
        Ticket { estimate, length: Arc::clone(&self.length) }
    }

    /// Waits until the call has started. Dropping the wait leaves the queue.
    pub(super) fn wait(&self, call: &Arc<Call>) -> impl Future<Output = ()> + use<> {
        let (started, turn) = oneshot::channel();
        // After the stop nobody serves the queue any more; the wait below then has no end but the stop.
        let _ = self.entrance.send(Waiting { call: Arc::clone(call), started });
        async move {
            if turn.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts one call after the other, until the stop.
pub(crate) async fn serve(world: Arc<World>, mut exit: mpsc::UnboundedReceiver<Waiting>) {
    let serving = async {
        while let Some(mut head) = exit.recv().await {
            let Some(turn) = its_turn(&world.queue, &mut head).await else { continue };
            if life::start(&world, &head.call) {
                // Taken after the start was written down: what the log shows of any second is never too much.
                world.queue.pace().started(turn, Instant::now());
                let _ = head.started.send(());
            }
        }
    };
    tokio::select! {
        () = serving => {}
        () = world.stop.soft() => {}
    }
}

/// Waits for the turn of the head of the queue; `None` when it has left.
async fn its_turn(queue: &Queue, head: &mut Waiting) -> Option<Instant> {
    loop {
        if head.started.is_closed() {
            return None;
        }
        let now = Instant::now();
        let turn = queue.pace().turn(now);
        if turn <= now {
            return Some(turn);
        }
        tokio::select! {
            () = sleep_until(turn) => return Some(turn),
            () = queue.rate_changed.notified() => {}
            () = head.started.closed() => {}
        }
    }
}

/// The rate and what has started under it.
#[derive(Default)]
struct Pace {
    /// Calls per second of real time; 0 for no limit.
    rate: u32,
    /// When the last call should have started: the even beat, which small delays don't shift.
    last_turn: Option<Instant>,
    /// When the last ones did start, as many as the rate.
    starts: VecDeque<Instant>,
}

impl Pace {
    fn interval(&self) -> Duration {
        SECOND.checked_div(self.rate).unwrap_or_default()
    }

    /// When the next call may start: on the even beat, and never as one too many in a second.
    fn turn(&self, now: Instant) -> Instant {
        let Ok(rate) = usize::try_from(self.rate) else { return now };
        if rate == 0 {
            return now;
        }
        let beat = self.last_turn.map_or(now, |last| last + self.interval());
        let full = self.starts.len().checked_sub(rate).and_then(|place| self.starts.get(place));
        let second_ends = full.map_or(now, |oldest| *oldest + SECOND);
        now.max(beat).max(second_ends)
    }

    fn started(&mut self, turn: Instant, now: Instant) {
        self.last_turn = Some(turn);
        self.starts.push_back(now);
        while u32::try_from(self.starts.len()).is_ok_and(|starts| starts > self.rate) {
            self.starts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn calls_above_the_rate_start_on_an_even_beat() {
        let mut pace = Pace { rate: 4, ..Pace::default() };
        let began = Instant::now();
        let mut at = began;
        let mut turns = Vec::new();
        for _ in 0..6 {
            let turn = pace.turn(at);
            turns.push((turn - began).as_millis());
            pace.started(turn, turn);
            at = turn;
        }
        assert_eq!(turns, [0, 250, 500, 750, 1_000, 1_250]);
        let later = began + millis(60_000);
        assert_eq!(pace.turn(later), later);
    }

    #[test]
    fn a_late_start_neither_shifts_the_beat_nor_crowds_a_second() {
        let mut pace = Pace { rate: 2, ..Pace::default() };
        let began = Instant::now();
        pace.started(began, began + millis(30));
        assert_eq!(pace.turn(began), began + millis(500));
        pace.started(began + millis(500), began + millis(501));
        // The beat says 1000 ms; until 1030 ms it would be the third start of a second.
        assert_eq!(pace.turn(began), began + millis(1_030));
    }

    #[test]
    fn a_changed_rate_holds_from_the_next_turn_on_and_none_lets_all_go() {
        let mut pace = Pace { rate: 1, ..Pace::default() };
        let began = Instant::now();
        pace.started(began, began);
        assert_eq!(pace.turn(began), began + millis(1_000));
        pace.rate = 10;
        assert_eq!(pace.turn(began), began + millis(100));
        pace.rate = 0;
        assert_eq!(pace.turn(began), began);
    }

    #[test]
    fn the_estimate_counts_those_before() {
        let (queue, _exit) = Queue::new(2);
        let now = Instant::now();
        let tickets: Vec<_> = (0..3).map(|_| queue.ticket(now)).collect();
        let estimates = tickets.iter().map(|ticket| ticket.estimate.as_millis());
        assert_eq!(estimates.collect::<Vec<_>>(), [0, 500, 1_000]);
        drop(tickets);
        assert_eq!(queue.ticket(now).estimate, Duration::ZERO);
    }
}
