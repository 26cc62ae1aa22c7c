//! What is in force, and what it means for one connection: whether its data passes, when, and in what pieces.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Fault;

/// A limited bandwidth is dealt out in pieces of this time, so that it looks steady.
const PIECES_PER_S: u32 = 20;

/// What is in force for all connections.
#[derive(Debug)]
pub(super) struct Conditions {
    fault: Fault,
    /// Connections with a lower number are dead.
    dead_below: u64,
    /// Connections with a lower number are to be reset.
    reset_below: u64,
    /// Where new connections go.
    pub(super) upstreams: Arc<[SocketAddr]>,
}

impl Conditions {
    pub(super) fn calm(upstreams: Vec<SocketAddr>) -> Self {
        Self { fault: Fault::None, dead_below: 0, reset_below: 0, upstreams: upstreams.into() }
    }

    /// `accepted` is the number that the next connection will get.
    pub(super) fn set(&mut self, fault: Fault, accepted: u64) {
        self.fault = fault;
        match fault {
            Fault::BlackHoleOld => self.dead_below = accepted,
            Fault::Reset => self.reset_below = accepted,
            Fault::None
            | Fault::Latency { .. }
            | Fault::BlackHole
            | Fault::HoldAnswers
            | Fault::ResetAfter { .. }
            | Fault::Refuse
            | Fault::Bandwidth { .. }
            | Fault::Slice { .. } => {}
        }
    }

    pub(super) fn refuses(&self) -> bool {
        self.fault == Fault::Refuse
    }
}

/// A piece of data waits from when it arrived, and takes a `share` (0 to 1) of the jitter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) at: Instant,
    pub(super) share: f64,
}

/// How much may pass next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// So many bytes, and then a pause.
    Pass(usize, Duration),
    /// The connection has used up what it may pass.
    Reset,
}

/// What one connection sees of the conditions. Clones see the same.
#[derive(Clone, Debug)]
pub(super) struct View {
    conditions: watch::Receiver<Conditions>,
    number: u64,
    /// Whether it is about what comes from the upstream.
    answers: bool,
    /// Bytes of this connection, both ways.
    passed: Arc<AtomicU64>,
}

impl View {
    pub(super) fn new(conditions: watch::Receiver<Conditions>, number: u64) -> Self {
        Self { conditions, number, answers: false, passed: Arc::default() }
    }

    /// The same, for what comes from the upstream.
    pub(super) fn of_answers(mut self) -> Self {
        self.answers = true;
        self
    }

    pub(super) fn upstreams(&self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.conditions.borrow().upstreams)
    }

    /// Waits until this connection is to be reset (true), or the proxy is dropped (false).
    pub(super) async fn ended(&mut self) -> bool {
        let number = self.number;
        self.conditions.wait_for(|conditions| number < conditions.reset_below).await.is_ok()
    }

    /// Waits until what arrived then may pass, whatever the conditions change to meanwhile.
    pub(super) async fn due(&mut self, arrival: Arrival) {
        loop {
            match self.due_at(arrival) {
                // The timer would round a moment that has passed up to a millisecond.
                Some(due) if due <= Instant::now() => return,
                Some(due) => self.until(due).await,
                None => self.changed().await,
            }
        }
    }

    /// Waits until `then`, or until the conditions change.
    pub(super) async fn until(&mut self, then: Instant) {
        tokio::select! {
            () = sleep_until(then) => {}
            () = self.changed() => {}
        }
    }

    async fn changed(&mut self) {
        if self.conditions.changed().await.is_err() {
            // The proxy is gone, and `ended` is about to end this wait.
            std::future::pending::<()>().await;
        }
    }

    /// Takes what may pass of `len` bytes, and counts it as passed.
    pub(super) fn take(&self, len: usize) -> Allowed {
        let fault = self.conditions.borrow().fault;
        let (len, pause) = match fault {
            Fault::Bandwidth { bytes_per_s } => {
                let rate = bytes_per_s.max(1);
                let most = usize::try_from(rate.div_ceil(PIECES_PER_S)).unwrap_or(usize::MAX);
                let len = len.min(most);
                (len, Duration::from_secs(1) * u32::try_from(len).unwrap_or(rate) / rate)
            }
            Fault::Slice { bytes, pause } => (len.min(bytes.max(1)), pause),
            Fault::ResetAfter { bytes } => {
                let left = bytes.saturating_sub(self.passed.load(Ordering::Acquire));
                (len.min(usize::try_from(left).unwrap_or(usize::MAX)), Duration::ZERO)
            }
            Fault::None
            | Fault::Latency { .. }
            | Fault::BlackHole
            | Fault::HoldAnswers
            | Fault::BlackHoleOld
            | Fault::Reset
            | Fault::Refuse => (len, Duration::ZERO),
        };
        if len == 0 {
            return Allowed::Reset;
        }
        self.passed.fetch_add(len as u64, Ordering::AcqRel);
        Allowed::Pass(len, pause)
    }

    /// Nothing while the connection is in a black hole.
    fn due_at(&mut self, arrival: Arrival) -> Option<Instant> {
        let conditions = self.conditions.borrow_and_update();
        if self.number < conditions.dead_below {
            return None;
        }
        match conditions.fault {
            Fault::BlackHole => None,
            Fault::HoldAnswers if self.answers => None,
            Fault::Latency { delay, jitter } => Some(arrival.at + delay + jitter.mul_f64(arrival.share)),
            Fault::None
            | Fault::HoldAnswers
            | Fault::BlackHoleOld
            | Fault::Reset
            | Fault::ResetAfter { .. }
            | Fault::Refuse
            | Fault::Bandwidth { .. }
            | Fault::Slice { .. } => Some(arrival.at),
        }
    }
}
