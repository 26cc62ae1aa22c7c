//! Which deliveries of a channel to ack next: pure bookkeeping, no IO.
//!
//! RabbitMQ numbers the deliveries of a channel 1, 2, 3 … and one ack may settle all up to a number. Deliveries
//! are finished in any order, so the finished ones before the first unfinished one are acked together, and
//! those beyond it one by one.

use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A handler has it.
    Open,
    /// To be acked.
    Finished,
    /// Acked or sent back: the broker no longer knows its number.
    Settled,
}

/// The deliveries of one channel that are not settled, with the gaps between them.
#[derive(Debug)]
pub(crate) struct Acks {
    /// The number of `window`'s first element.
    first: u64,
    window: VecDeque<State>,
    open: usize,
    finished: usize,
}

impl Acks {
    pub(crate) fn new() -> Self {
        Self { first: 1, window: VecDeque::new(), open: 0, finished: 0 }
    }

    /// The next delivery has come.
    pub(crate) fn delivered(&mut self) {
        self.window.push_back(State::Open);
        self.open += 1;
    }

    /// How many deliveries are neither finished nor sent back.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// How many finished deliveries wait to be acked.
    pub(crate) fn finished(&self) -> usize {
        self.finished
    }

    /// A delivery is done and is to be acked.
    pub(crate) fn finish(&mut self, tag: u64) {
        if self.leave_open(tag, State::Finished) {
            self.finished += 1;
        }
    }

    /// A delivery goes back to its queue; the caller tells the broker.
    pub(crate) fn send_back(&mut self, tag: u64) {
        self.leave_open(tag, State::Settled);
    }

    /// The number up to which everything can be acked with one ack, if there is anything to ack.
    pub(crate) fn take_run(&mut self) -> Option<u64> {
        let mut last_finished = None;
        while let Some(state) = self.window.front() {
            match state {
                State::Open => break,
                State::Finished => {
                    // Not the run's last number but its last finished one: the broker refuses a number it has
                    // forgotten.
                    last_finished = Some(self.first);
                    self.finished -= 1;
                }
                State::Settled => {}
            }
            self.window.pop_front();
            self.first += 1;
        }
        last_finished
    }

    /// The finished deliveries beyond the first open one, to be acked one by one.
    pub(crate) fn take_scattered(&mut self) -> Vec<u64> {
        let mut tags = Vec::with_capacity(self.finished);
        for (tag, state) in (self.first..).zip(self.window.iter_mut()) {
            if *state == State::Finished {
                *state = State::Settled;
                tags.push(tag);
            }
        }
        self.finished = 0;
        tags
    }

    fn leave_open(&mut self, tag: u64, next: State) -> bool {
        let place = tag.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        match place.and_then(|place| self.window.get_mut(place)) {
            Some(state) if *state == State::Open => {
                *state = next;
                self.open -= 1;
                true
            }
            Some(_) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delivered(count: usize) -> Acks {
        let mut acks = Acks::new();
        for _ in 0..count {
            acks.delivered();
        }
        acks
    }

    #[test]
    fn what_is_finished_in_order_is_acked_with_one_ack() {
        let mut acks = delivered(5);
        for tag in [2, 1, 3] {
            acks.finish(tag);
        }
        assert_eq!(acks.take_run(), Some(3));
        assert_eq!(acks.take_run(), None);
        assert_eq!((acks.open(), acks.finished()), (2, 0));
    }

    #[test]
    fn a_slow_delivery_does_not_hold_back_the_others() {
        let mut acks = delivered(4);
        for tag in [2, 4] {
            acks.finish(tag);
        }
        assert_eq!(acks.take_run(), None);
        assert_eq!(acks.take_scattered(), [2, 4]);
        acks.finish(1);
        assert_eq!(acks.take_run(), Some(1), "2 was acked before and is not named again");
        acks.finish(3);
        assert_eq!(acks.take_run(), Some(3));
    }

    #[test]
    fn what_was_sent_back_is_never_acked() {
        let mut acks = delivered(3);
        acks.finish(1);
        acks.send_back(2);
        assert_eq!(acks.take_run(), Some(1));
        acks.send_back(3);
        assert_eq!(acks.take_run(), None);
        assert_eq!(acks.open(), 0);
    }

    #[test]
    fn unknown_and_repeated_numbers_change_nothing() {
        let mut acks = delivered(1);
        acks.finish(0);
        acks.finish(7);
        assert_eq!(acks.open(), 1);
        acks.finish(1);
        acks.finish(1);
        acks.send_back(1);
        assert_eq!((acks.open(), acks.finished()), (0, 1));
    }

    proptest! {
        #[test]
        fn every_finished_delivery_is_acked_exactly_once_and_no_other(
            steps in prop::collection::vec((0_u8..6, any::<prop::sample::Index>()), 0..400),
        ) {
            let mut acks = Acks::new();
            // What the broker would think of each number.
            let mut broker: Vec<State> = Vec::new();
            let mut open: Vec<u64> = Vec::new();
            let settle = |broker: &mut Vec<State>, tag: u64, multiple: bool| {
                let at = usize::try_from(tag).unwrap() - 1;
                assert_eq!(broker[at], State::Finished, "acked {tag}");
                let from = if multiple { 0 } else { at };
                for state in &mut broker[from..=at] {
                    assert_ne!(*state, State::Open);
                    *state = State::Settled;
                }
            };
            for (action, index) in steps {
                match action {
                    0 | 1 => {
                        acks.delivered();
                        broker.push(State::Open);
                        open.push(broker.len() as u64);
                    }
                    2 | 3 if !open.is_empty() => {
                        let tag = open.swap_remove(index.index(open.len()));
                        acks.finish(tag);
                        broker[usize::try_from(tag).unwrap() - 1] = State::Finished;
                    }
                    4 if !open.is_empty() => {
                        let tag = open.swap_remove(index.index(open.len()));
                        acks.send_back(tag);
                        broker[usize::try_from(tag).unwrap() - 1] = State::Settled;
                    }
                    _ => {
                        if let Some(tag) = acks.take_run() {
                            settle(&mut broker, tag, true);
                        }
                        for tag in acks.take_scattered() {
                            settle(&mut broker, tag, false);
                        }
                        prop_assert!(broker.iter().all(|state| *state != State::Finished));
                    }
                }
                prop_assert_eq!(acks.open(), open.len());
            }
        }
    }
}
