//! Publishing with confirms. What goes on inside a channel is in `lane`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fleet_domain::PortalName;
use fleet_lifecycle::{Clock, Context};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout_at},
};

use crate::{
    backoff,
    delivery::{PORTAL_HEADER, TRACEPARENT_HEADER},
    error::PublishError,
    lane::{Answer, Lane, Request},
    metrics::PublishMetrics,
    settings::Settings,
    supervisor::Link,
    topology::{Exchange, Topology},
};

/// Delivery mode 2: written to disk before it is confirmed.
pub(crate) const PERSISTENT: u8 = 2;

/// Messages that may wait for a lane. More make their publishers wait, which is all the pushback that is needed.
const LANE_QUEUE: usize = 1024;

/// How often a message is sent again whose connection broke before the confirm. Twice, because one that closes
/// the channel each time would otherwise take the channel from its neighbours for ever.
const TRIES: u32 = 3;

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub exchange: Exchange,
    /// Under which routing key, up to 255 bytes.
    pub routing_key: String,
    /// What.
    pub body: Bytes,
    /// The same for the same message however often it is published; up to 255 bytes.
    pub message_id: String,
    /// The proved portal for which the fleet sends this. Of no effect on `Exchange::Requests`, where RabbitMQ
    /// itself proves the sender.
    pub portal: Option<PortalName>,
    /// The type of the body, up to 255 bytes.
    pub content_type: String,
    /// Whether it is an error if no queue takes it. True for everything but events.
    pub mandatory: bool,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// A message as AMQP has it.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) exchange: Exchange,
    pub(crate) routing_key: ShortString,
    pub(crate) mandatory: bool,
    pub(crate) body: Bytes,
    pub(crate) properties: BasicProperties,
}

impl Message {
    fn into_outgoing(self, clock: &Clock) -> Result<Outgoing, PublishError> {
        let short =
            |field, text: String| ShortString::try_new(text).map_err(|_| PublishError::TooLong(field));
        let mut headers = FieldTable::default();
        let mut set = |name: &str, value: &str| {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        };
        if let Some(portal) = &self.portal {
            set(PORTAL_HEADER, portal.as_str());
        }
        if let Some(traceparent) = &self.traceparent {
            set(TRACEPARENT_HEADER, traceparent);
        }
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_message_id(short("message_id", self.message_id)?)
            .with_content_type(short("content_type", self.content_type)?)
            .with_timestamp(u64::try_from(clock.now().as_secs()).unwrap_or(0))
            .with_headers(headers);
        Ok(Outgoing {
            exchange: self.exchange,
            routing_key: short("routing_key", self.routing_key)?,
            mandatory: self.mandatory,
            body: self.body,
            properties,
        })
    }
}

/// Publishes messages. Clones share the connection.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

struct Shared {
    lanes: Vec<mpsc::Sender<Request>>,
    /// Counts publishes, to spread them over the lanes.
    turn: AtomicUsize,
    link: Link,
    clock: Clock,
    /// The connection's user, which RabbitMQ validates on every message: this is how a receiver knows who sent it.
    user: ShortString,
    confirm_timeout: Duration,
    metrics: PublishMetrics,
}

impl Publisher {
    /// Starts the lanes over `link`.
    pub(crate) fn start(
        settings: &Settings,
        user: ShortString,
        context: &Context,
        (link, topology): (Link, &Arc<Topology>),
        metrics: PublishMetrics,
    ) -> Self {
        let lanes = (0..settings.publisher_channels)
            .map(|_| {
                let (requests, inbox) = mpsc::channel(LANE_QUEUE);
                let lane = Lane::new(settings, link.clone(), topology.clone());
                let stop = context.stop.clone();
                context.tasks.spawn("publish", async move {
                    // Others publish until their own end, so this must outlive them.
                    tokio::select! {
                        () = stop.others_done() => Ok(()),
                        never = lane.run(inbox) => match never {},
                    }
                });
                requests
            })
            .collect();
        let shared = Shared {
            lanes,
            turn: AtomicUsize::new(0),
            link,
            clock: context.clock.clone(),
            user,
            confirm_timeout: settings.confirm_timeout,
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Publishes `message` and returns once the broker has confirmed it, at the latest after
    /// `broker.confirm_timeout`. Waits that long for a connection too, and sends again what a broken connection
    /// left unconfirmed: the receiver may get it twice.
    pub async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let exchange = message.exchange;
        match message.into_outgoing(&self.shared.clock) {
            Ok(outgoing) => self.send(outgoing).await,
            Err(error) => {
                self.shared.metrics.count_failed(exchange, error.label());
                Err(error)
            }
        }
    }

    /// Whether the connection is open now.
    pub fn is_connected(&self) -> bool {
        self.shared.link.is_connected()
    }

    pub(crate) async fn send(&self, mut outgoing: Outgoing) -> Result<(), PublishError> {
        let (started, exchange) = (Instant::now(), outgoing.exchange);
        outgoing.properties = outgoing.properties.with_user_id(self.shared.user.clone());
        let result = self.send_until(started + self.shared.confirm_timeout, Arc::new(outgoing)).await;
        match result {
            Ok(()) => self.shared.metrics.count_confirmed(exchange, started.elapsed().as_secs_f64()),
            Err(error) => self.shared.metrics.count_failed(exchange, error.label()),
        }
        result
    }

    async fn send_until(&self, deadline: Instant, outgoing: Arc<Outgoing>) -> Result<(), PublishError> {
        let mut refused = false;
        for _ in 0..TRIES {
            let Ok(answer) = timeout_at(deadline, self.send_once(outgoing.clone())).await else { break };
            refused = match answer {
                Answer::Confirmed => return Ok(()),
                Answer::Unroutable => return Err(PublishError::Unroutable),
                Answer::Nacked => return Err(PublishError::Nacked),
                Answer::Stopped => return Err(PublishError::NotConnected),
                Answer::Refused => true,
                Answer::Lost => false,
            };
            if timeout_at(deadline, sleep(backoff::jittered(backoff::SHORTEST))).await.is_err() {
                break;
            }
        }
        Err(match (refused, self.is_connected()) {
            (true, _) => PublishError::Refused,
            (false, true) => PublishError::TimedOut,
            (false, false) => PublishError::NotConnected,
        })
    }

    async fn send_once(&self, outgoing: Arc<Outgoing>) -> Answer {
        let lanes = &self.shared.lanes;
        let turn = self.shared.turn.fetch_add(1, Ordering::Relaxed);
        let Some(lane) = lanes.get(turn % lanes.len().max(1)) else {
            return Answer::Stopped;
        };
        let (answer, answered) = oneshot::channel();
        if lane.send(Request { outgoing, answer }).await.is_err() {
            return Answer::Stopped;
        }
        // A lane drops the requests of a channel that broke.
        answered.await.unwrap_or(Answer::Lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{header, published_at};
    use fleet_domain::Timestamp;

    fn message() -> Message {
        Message {
            exchange: Exchange::Internal,
            routing_key: "voice.dial".into(),
            body: "{}".into(),
            message_id: "m1".into(),
            portal: PortalName::parse("operations").ok(),
            content_type: "application/cloudevents+json".into(),
            mandatory: true,
            traceparent: None,
        }
    }

    #[test]
    fn a_message_is_persistent_and_says_when_it_was_published() {
        let now = Timestamp::from_micros(1_790_000_000_500_000);
        let properties = message().into_outgoing(&Clock::fixed_at(now)).unwrap().properties;
        assert_eq!(*properties.delivery_mode(), Some(2));
        assert_eq!(published_at(&properties), Some(Timestamp::from_micros(1_790_000_000_000_000)));
        assert_eq!(header(&properties, PORTAL_HEADER).as_deref(), Some("operations"));
        assert_eq!(header(&properties, TRACEPARENT_HEADER), None);
    }

    #[test]
    fn what_amqp_cannot_carry_is_refused_by_name() {
        let clock = Clock::fixed_at(Timestamp::default());
        let long = "x".repeat(256);
        for (field, message) in [
            ("message_id", Message { message_id: long.clone(), ..message() }),
            ("content_type", Message { content_type: long.clone(), ..message() }),
            ("routing_key", Message { routing_key: long.clone(), ..message() }),
        ] {
            assert_eq!(message.into_outgoing(&clock).unwrap_err(), PublishError::TooLong(field));
        }
    }
}
