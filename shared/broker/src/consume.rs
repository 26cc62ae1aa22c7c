//! Consuming a queue: gives deliveries to the handler and carries out its verdicts. What goes on inside a
//! channel is in `session`.
//!
//! A delivery's life: taken → handled → (follow-up published and confirmed) → finished → acked. One that is not
//! finished when its channel breaks goes to another consumer, and what its handler decided afterwards is
//! dropped.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use fleet_lifecycle::{Stop, Tasks};
use fleet_telemetry::IntGauge;
use futures_util::FutureExt;
use lapin::{Acker, Connection};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tracing::{error, warn};

use crate::{
    backoff::{self, Backoff},
    delivery::{Delivery, Trust},
    error::{Fault, PublishError},
    metrics::QueueMetrics,
    publish::{Outgoing, Publisher},
    session::{Next, Session},
    supervisor::Link,
    topology::{Queue, Topology},
    verdict::{self, Origin, Outcome, Poison, Step, Verdict},
};

/// The reason of a body that is too large for a handler.
const OVERSIZE: &str = "oversize_body";
/// The metric's reason of a message that could not be parked.
const LOST: &str = "lost";

/// How often a follow-up is published where the message would be dropped otherwise.
const LAST_TRIES: u32 = 5;

/// How long few messages are taken at once after one that broke the connection. Meanwhile it comes back, again and again,
/// until its queue gives it up, and each time costs a delivery of whatever is under way beside it.
const CAUTION: Duration = Duration::from_secs(3);

/// The prefetch meanwhile: the message that breaks the connection comes alone.
const CAUTIOUS_PREFETCH: u16 = 1;

/// Handles the deliveries of a queue, several at a time.
pub trait Handler: Send + Sync + 'static {
    /// Works on one delivery and says what becomes of it. It may be called again for the same message, here or
    /// in another process, so it must be idempotent. If it panics, the message goes back to its queue; after 20
    /// times the queue gives it up, to `dead` or to `give_up`.
    fn handle(&self, delivery: Delivery) -> impl Future<Output = Verdict> + Send;

    /// Ends what the message asks for instead of doing it: it has been delivered so often without an ack that the
    /// broker is about to drop it. Unless a handler knows better, it is parked.
    fn give_up(&self, delivery: Delivery) -> impl Future<Output = Verdict> + Send {
        async move {
            drop(delivery);
            Verdict::Poison(Poison::hash_only(
                "given_up",
                "delivered over and over and never acked",
                Vec::new(),
            ))
        }
    }
}

/// What a consumer needs besides its handler.
pub(crate) struct Consumer<H> {
    pub(crate) queue: Queue,
    pub(crate) prefetch: u16,
    pub(crate) handler: H,
    pub(crate) link: Link,
    /// The connection over which the topology is declared.
    pub(crate) declaring: Link,
    pub(crate) publisher: Publisher,
    pub(crate) topology: Arc<Topology>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) metrics: QueueMetrics,
    pub(crate) tasks: Tasks,
    pub(crate) stop: Stop,
    pub(crate) limits: Limits,
}

/// The settings of a consumer.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_body_bytes: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) redelivery_pause: Duration,
    pub(crate) idle_check: Duration,
}

/// How a delivery is settled.
pub(crate) struct Settlement {
    pub(crate) tag: u64,
    /// Whether to ack it; else it goes back to its queue.
    pub(crate) ack: bool,
}

impl<H: Handler> Consumer<H> {
    /// Consumes until a soft stop, on one channel after the other.
    pub(crate) async fn run(self: Arc<Self>) -> anyhow::Result<()> {
        let mut backoff = Backoff::new();
        loop {
            let connection = tokio::select! {
                biased;
                () = self.stop.soft() => return Ok(()),
                connection = self.connection() => connection,
            };
            let opened = Instant::now();
            match self.consume(&connection).await {
                Ok(Next::Drain) => return Ok(()),
                Ok(Next::Reopen | Next::Continue) => continue,
                Err(fault) => warn!(queue = self.queue.name(), error = %fault, "consumer broke"),
            }
            self.link.doubt();
            // Where the connection is lost, the supervisor decides how long to wait.
            if !connection.status().connected() {
                continue;
            }
            tokio::select! {
                biased;
                () = self.stop.soft() => return Ok(()),
                () = backoff.pause(opened.elapsed()) => {}
            }
        }
    }

    /// The connection to consume from, once the exchanges that its queue is bound to have been declared.
    async fn connection(&self) -> Arc<Connection> {
        self.declaring.connection().await;
        self.link.connection().await
    }

    /// Consumes on one channel until it is to be opened anew or a soft stop, after which everything taken is settled.
    async fn consume(self: &Arc<Self>, connection: &Connection) -> Result<Next, Fault> {
        let careful_until =
            self.link.unreadable_at().map(|at| at + CAUTION).filter(|at| *at > Instant::now());
        let prefetch = if careful_until.is_some() { CAUTIOUS_PREFETCH } else { self.prefetch };
        let open = Session::open(self.clone(), connection, prefetch, careful_until);
        let mut session = timeout(self.limits.connect_timeout, open).await??;
        loop {
            match session.turn().await? {
                Next::Continue => {}
                next @ (Next::Reopen | Next::Drain) => {
                    session.drain().await?;
                    return Ok(next);
                }
            }
        }
    }

    /// One delivery from its arrival to its settlement.
    pub(crate) async fn work(
        self: Arc<Self>,
        mut message: lapin::message::Delivery,
        settled: mpsc::UnboundedSender<Settlement>,
    ) {
        let _counted = InFlight::count(&self.metrics.in_flight);
        let (tag, acker) = (message.delivery_tag, message.acker.clone());
        let body = Bytes::from(std::mem::take(&mut message.data));
        if message.redelivered {
            self.metrics.redelivered.inc();
        }
        let delivery = Delivery::read(self.queue, &message, body.clone(), &self.trust);
        let (portal, last_chance) = (delivery.sender.portal().cloned(), delivery.last_chance);
        let outcome = self.handle(delivery).await;
        let origin = Origin { queue: self.queue, body, properties: message.properties, portal, last_chance };
        let Some(ack) = self.follow(&outcome, &origin, &acker).await else {
            return self.metrics.lost.inc();
        };
        // The channel may have broken meanwhile; then the broker has already taken the message back.
        let _ = settled.send(Settlement { tag, ack });
    }

    async fn handle(&self, delivery: Delivery) -> Outcome {
        let size = delivery.body.len();
        if size > self.limits.max_body_bytes {
            let detail = format!("{size} bytes, allowed are {}", self.limits.max_body_bytes);
            return Outcome::Verdict(Verdict::Poison(Poison::hash_only(OVERSIZE, detail, Vec::new())));
        }
        let started = Instant::now();
        // A handler's own state must not depend on being dropped half-way: that is what being idempotent means.
        let handled = async {
            if delivery.last_chance {
                warn!(queue = self.queue.name(), "message given up");
                self.handler.give_up(delivery).await
            } else {
                self.handler.handle(delivery).await
            }
        };
        let outcome = AssertUnwindSafe(handled).catch_unwind().await;
        self.metrics.handler_seconds.observe(started.elapsed().as_secs_f64());
        match outcome {
            Ok(verdict) => Outcome::Verdict(verdict),
            Err(_panic) => {
                error!(queue = self.queue.name(), "handler panicked");
                Outcome::Panicked
            }
        }
    }

    /// Carries out what the handler decided. Says whether to ack, or nothing if the message is no longer ours.
    async fn follow(&self, outcome: &Outcome, origin: &Origin, acker: &Acker) -> Option<bool> {
        let mut step = verdict::decide(outcome, origin);
        if let Step::PublishThenAck(outgoing) = step {
            // Another consumer is getting it and will decide for itself.
            if !acker.usable() {
                return None;
            }
            let result = self.publish(*outgoing, origin.last_chance, acker).await;
            if let Err(error) = result {
                warn!(queue = self.queue.name(), error = %error, "follow-up not published");
            }
            step = verdict::after_publish(result, origin.last_chance);
        }
        match step {
            Step::Lose => {
                self.count_lost(outcome, origin);
                Some(true)
            }
            Step::Ack => {
                self.count(outcome);
                Some(true)
            }
            // `decide` has no second follow-up.
            Step::PublishThenAck(_) | Step::PauseThenRequeue => {
                match outcome {
                    Outcome::Panicked => self.metrics.panic.inc(),
                    Outcome::Verdict(_) => self.metrics.requeued.inc(),
                }
                self.pause().await;
                Some(false)
            }
        }
    }

    /// Publishes a follow-up, several times where the message would be dropped without it.
    async fn publish(
        &self,
        outgoing: Outgoing,
        last_chance: bool,
        acker: &Acker,
    ) -> Result<(), PublishError> {
        let mut result = self.publisher.send(outgoing.clone()).await;
        for _ in 1..if last_chance { LAST_TRIES } else { 1 } {
            if result.is_ok() || !acker.usable() {
                break;
            }
            self.pause().await;
            result = self.publisher.send(outgoing.clone()).await;
        }
        result
    }

    async fn pause(&self) {
        tokio::select! {
            () = self.stop.soft() => {}
            () = sleep(backoff::jittered(self.limits.redelivery_pause)) => {}
        }
    }

    /// The log is all that is left of it.
    fn count_lost(&self, outcome: &Outcome, origin: &Origin) {
        self.metrics.dropped.inc();
        let reason = match outcome {
            Outcome::Verdict(Verdict::Poison(poison)) => {
                self.metrics.count_parked(LOST);
                poison.reason
            }
            Outcome::Verdict(Verdict::Done | Verdict::RetryIn(_)) | Outcome::Panicked => "not_handled",
        };
        let portal = origin.portal.as_ref().map(ToString::to_string);
        let (sha256, size) = (fleet_keys::sha256_hex(&origin.body), origin.body.len());
        error!(queue = self.queue.name(), reason, portal, sha256, size, "message lost: nothing took it");
    }

    fn count(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Verdict(Verdict::Done) => self.metrics.done.inc(),
            Outcome::Verdict(Verdict::RetryIn(_)) => self.metrics.retry.inc(),
            Outcome::Verdict(Verdict::Poison(poison)) => {
                self.metrics.poison.inc();
                self.metrics.count_parked(poison.reason);
                warn!(queue = self.queue.name(), reason = poison.reason, "message parked");
            }
            Outcome::Panicked => self.metrics.panic.inc(),
        }
    }
}

/// Counts a delivery as being worked on until it is dropped.
struct InFlight<'a>(&'a IntGauge);

impl<'a> InFlight<'a> {
    fn count(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
