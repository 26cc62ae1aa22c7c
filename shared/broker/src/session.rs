//! One consuming channel: takes what comes, starts the work on it, and settles what is finished. Acks happen
//! here and nowhere else.

use std::{sync::Arc, time::Duration};

use fleet_lifecycle::{CrashPoint, crash_point};
use futures_util::{FutureExt, StreamExt};
use lapin::{
    Channel, Connection,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
        QueueDeclareOptions,
    },
    types::{FieldTable, ShortString},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tracing::debug;

use crate::{
    acks::Acks,
    connection,
    consume::{Consumer, Handler, Settlement},
    error::Fault,
};

/// Settlements taken at once.
const SETTLE_BATCH: usize = 256;

/// How long a finished delivery waits for a slower one before it, so that both are acked together.
const SCATTERED_WAIT: Duration = Duration::from_millis(50);

/// What comes after something that happened on a channel without a fault.
pub(crate) enum Next {
    Continue,
    /// A new channel, because the bound on what is taken at once has changed.
    Reopen,
    Drain,
}

/// Consuming on one channel.
pub(crate) struct Session<H> {
    shared: Arc<Consumer<H>>,
    channel: Channel,
    consumer: lapin::Consumer,
    prefetch: u16,
    /// When `prefetch` need not be as small as it is any more.
    careful_until: Option<Instant>,
    acks: Acks,
    /// Given to each delivery. Unbounded, because no more come in than `prefetch`.
    settled: mpsc::UnboundedSender<Settlement>,
    settlements: mpsc::UnboundedReceiver<Settlement>,
    batch: Vec<Settlement>,
    /// When finished deliveries that wait for a slower one are acked without it.
    scattered_until: Option<Instant>,
    /// When something last came from the broker.
    last_active: Instant,
}

impl<H: Handler> Session<H> {
    /// Subscribes on a new channel.
    pub(crate) async fn open(
        shared: Arc<Consumer<H>>,
        connection: &Connection,
        prefetch: u16,
        careful_until: Option<Instant>,
    ) -> Result<Self, Fault> {
        let channel = connection.create_channel().await?;
        // It may have been deleted since the connection was opened.
        shared.topology.declare_queue(&channel, shared.queue).await?;
        let qos = BasicQosOptions {
            global: false, // quorum queues know no other
        };
        // The only bound on what lapin buffers, so it must be set before consuming.
        channel.basic_qos(prefetch, qos).await?;
        let options = BasicConsumeOptions {
            no_local: false,  // RabbitMQ has no such thing
            no_ack: false,    // a message lives until its work is done
            exclusive: false, // other processes consume the same queue
            nowait: false,    // an error must be seen here
        };
        let tag = ShortString::default(); // RabbitMQ chooses a unique one
        let consumer = channel
            .basic_consume(shared.topology.queue(shared.queue), tag, options, FieldTable::default())
            .await?;
        let (settled, settlements) = mpsc::unbounded_channel();
        Ok(Self {
            shared,
            channel,
            consumer,
            prefetch,
            careful_until,
            acks: Acks::new(),
            settled,
            settlements,
            batch: Vec::with_capacity(SETTLE_BATCH),
            scattered_until: None,
            last_active: Instant::now(),
        })
    }

    /// Waits for one thing to happen and deals with it.
    pub(crate) async fn turn(&mut self) -> Result<Next, Fault> {
        let (scattered_until, careful_until) = (self.scattered_until, self.careful_until);
        let idle_until = self.last_active + self.shared.limits.idle_check;
        tokio::select! {
            biased;
            () = self.shared.stop.soft() => return Ok(Next::Drain),
            _ = self.settlements.recv_many(&mut self.batch, SETTLE_BATCH) => self.settle().await?,
            message = self.consumer.next() => {
                self.take(message)?;
                // What has arrived together is started together.
                while let Some(message) = self.consumer.next().now_or_never() {
                    self.take(message)?;
                }
            }
            () = sleep_until(scattered_until.unwrap_or(idle_until)), if scattered_until.is_some() => {
                self.ack_scattered().await?;
            }
            () = sleep_until(careful_until.unwrap_or(idle_until)), if careful_until.is_some() => {
                return Ok(Next::Reopen);
            }
            () = sleep_until(idle_until) => self.check_subscription().await?,
        }
        Ok(Next::Continue)
    }

    /// Starts the work on a delivery.
    fn take(&mut self, message: Option<lapin::Result<lapin::message::Delivery>>) -> Result<(), Fault> {
        let message = message.ok_or(Fault::Cancelled)??;
        // lapin still hands out what it had buffered when the connection broke. Others are already getting it.
        if !message.acker.usable() {
            debug!(queue = self.shared.queue.name(), "delivery of a broken channel dropped");
            return Ok(());
        }
        self.acks.delivered();
        self.last_active = Instant::now();
        let work = self.shared.clone().work(message, self.settled.clone());
        self.shared.tasks.spawn_detail("delivery", work);
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Fault> {
        let mut back = Vec::new();
        for Settlement { tag, ack } in self.batch.drain(..) {
            if ack {
                self.acks.finish(tag);
            } else {
                self.acks.send_back(tag);
                back.push(tag);
            }
        }
        for tag in back {
            self.send_back(tag).await?;
        }
        if let Some(tag) = self.acks.take_run() {
            self.ack(tag, true).await?;
        }
        // Unacked ones take the places of new deliveries, so few of them may wait for a slow neighbour.
        let scattered = self.acks.finished();
        if scattered > usize::from(self.prefetch / 4) {
            self.ack_scattered().await?;
        } else if scattered == 0 {
            self.scattered_until = None;
        } else if self.scattered_until.is_none() {
            self.scattered_until = Some(Instant::now() + SCATTERED_WAIT);
        }
        Ok(())
    }

    async fn ack_scattered(&mut self) -> Result<(), Fault> {
        self.scattered_until = None;
        for tag in self.acks.take_scattered() {
            self.ack(tag, false).await?;
        }
        Ok(())
    }

    async fn ack(&self, tag: u64, multiple: bool) -> Result<(), Fault> {
        let ack = self.channel.basic_ack(tag, BasicAckOptions { multiple });
        timeout(self.shared.limits.connect_timeout, ack).await??;
        crash_point(CrashPoint::Acked);
        Ok(())
    }

    async fn send_back(&self, tag: u64) -> Result<(), Fault> {
        let options = BasicNackOptions { multiple: false, requeue: true };
        let nack = self.channel.basic_nack(tag, options);
        Ok(timeout(self.shared.limits.connect_timeout, nack).await??)
    }

    /// RabbitMQ 3.10 can delete a quorum queue without telling its consumers.
    async fn check_subscription(&mut self) -> Result<(), Fault> {
        self.last_active = Instant::now();
        if self.acks.open() >= usize::from(self.prefetch) {
            return Ok(());
        }
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let name = self.shared.topology.queue(self.shared.queue);
        let declare = self.channel.queue_declare(name, passive, FieldTable::default());
        let queue = timeout(self.shared.limits.connect_timeout, declare).await??;
        let waits_in_vain = queue.message_count() > 0 && self.acks.open() == 0;
        if queue.consumer_count() == 0 || waits_in_vain {
            return Err(Fault::Forgotten);
        }
        Ok(())
    }

    /// Takes no more, sends back what no handler has begun, and waits for the handlers.
    pub(crate) async fn drain(mut self) -> Result<(), Fault> {
        let cancel = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions { nowait: false });
        timeout(self.shared.limits.connect_timeout, cancel).await??;
        crash_point(CrashPoint::Draining);
        while let Some(message) = self.consumer.next().await {
            let tag = message?.delivery_tag;
            self.acks.delivered();
            self.acks.send_back(tag);
            self.send_back(tag).await?;
        }
        while self.acks.open() > 0 {
            tokio::select! {
                () = self.shared.stop.hard() => return Ok(()),
                _ = self.settlements.recv_many(&mut self.batch, SETTLE_BATCH) => self.settle().await?,
            }
        }
        // Nothing is open any more, so one ack settles all that is left.
        if let Some(tag) = self.acks.take_run() {
            self.ack(tag, true).await?;
        }
        connection::close_channel(&self.channel).await;
        Ok(())
    }
}
