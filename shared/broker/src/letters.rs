//! For operators: how full the queues are, what lies in `dead` and `parked`, and taking letters out of there.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use fleet_domain::{PortalName, Timestamp};
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::time::timeout;

use crate::{
    connection,
    delivery::{TRACEPARENT_HEADER, Trust, header, is_traceparent, published_at},
    error::Error,
    publish::Message,
    supervisor::Link,
    topology::{Exchange, Queue, Topology},
    verdict::{DETAIL_HEADER, QUEUE_HEADER, REASON_HEADER, SHA256_HEADER, SIZE_HEADER},
};

/// How full a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    /// The queue.
    pub queue: Queue,
    /// Messages that wait for a consumer. Those being worked on are not counted.
    pub ready: u32,
    /// Consumers of all processes.
    pub consumers: u32,
}

/// A queue for messages that were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterBox {
    /// What queues gave up. Workers empty it.
    Dead,
    /// What handlers refused. Only operators empty it.
    Parked,
}

impl LetterBox {
    /// The queue.
    pub fn queue(self) -> Queue {
        match self {
            Self::Dead => Queue::Dead,
            Self::Parked => Queue::Parked,
        }
    }
}

/// A message that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The sender's id of the message.
    pub message_id: Option<String>,
    /// The queue it was in.
    pub queue: Option<Queue>,
    /// Why it is here: a handler's reason, or RabbitMQ's.
    pub reason: String,
    /// A sentence from the handler.
    pub detail: String,
    /// The proved portal.
    pub portal: Option<PortalName>,
    /// The type of the body.
    pub content_type: Option<String>,
    /// When it was published, by the sender's clock.
    pub published_at: Option<Timestamp>,
    /// All headers that are text or numbers.
    pub headers: BTreeMap<String, String>,
    /// The body: the original, or a summary without its values.
    pub body: Bytes,
}

impl Letter {
    /// SHA-256 of the body as it came, hex.
    pub fn sha256(&self) -> String {
        let as_it_came = self.headers.get(SHA256_HEADER).cloned();
        as_it_came.unwrap_or_else(|| fleet_keys::sha256_hex(&self.body))
    }

    /// Bytes of the body as it came.
    pub fn size(&self) -> String {
        self.headers.get(SIZE_HEADER).cloned().unwrap_or_else(|| self.body.len().to_string())
    }

    /// Whether the body is the original, and no summary of it.
    pub fn is_whole(&self) -> bool {
        self.headers.get(SHA256_HEADER).is_none_or(|sha256| *sha256 == fleet_keys::sha256_hex(&self.body))
    }

    /// The same message once more, to another place: its id, portal and trace are kept.
    pub fn again(&self, exchange: Exchange, routing_key: String) -> Message {
        Message {
            exchange,
            routing_key,
            body: self.body.clone(),
            message_id: self.message_id.clone().unwrap_or_default(),
            portal: self.portal.clone(),
            content_type: self.content_type.clone().unwrap_or_default(),
            // Whether a portal listens to events is its affair.
            mandatory: exchange != Exchange::Events,
            traceparent: self.headers.get(TRACEPARENT_HEADER).filter(|text| is_traceparent(text)).cloned(),
        }
    }
}

/// Asks for the depth of every queue.
pub(crate) async fn depths(desk: Desk<'_>) -> Result<Vec<QueueDepth>, Error> {
    let channel = desk.channel().await?;
    let mut depths = Vec::with_capacity(Queue::ALL.len());
    for queue in Queue::ALL {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declare = channel.queue_declare(desk.topology.queue(queue), passive, FieldTable::default());
        let found = desk.bounded(declare).await?;
        depths.push(QueueDepth { queue, ready: found.message_count(), consumers: found.consumer_count() });
    }
    connection::close_channel(&channel).await;
    Ok(depths)
}

/// Letters that an operator holds in hand. Whatever is not removed goes back to its place when the pile is put back, and
/// just so when the process dies.
pub struct Pile {
    letters: Vec<Letter>,
    tags: Vec<u64>,
    channel: Channel,
    timeout: Duration,
}

impl Pile {
    /// The letters, oldest first.
    pub fn letters(&self) -> &[Letter] {
        &self.letters
    }

    /// Takes the letter at this place out of its box, for good.
    pub async fn remove(&self, place: usize) -> Result<(), Error> {
        let Some(tag) = self.tags.get(place) else { return Ok(()) };
        bounded(self.timeout, self.channel.basic_ack(*tag, BasicAckOptions { multiple: false })).await
    }

    /// Puts what was not removed back to the front of its box.
    pub async fn put_back(self) -> Vec<Letter> {
        // The end of the channel does it; in `dead` it counts as a delivery. A nack would put those of `parked` to the
        // back, because that queue has no delivery limit.
        connection::close_channel(&self.channel).await;
        self.letters
    }
}

/// Takes up to `limit` letters from the front of a box.
pub(crate) async fn take_up(desk: Desk<'_>, letter_box: LetterBox, limit: usize) -> Result<Pile, Error> {
    let channel = desk.channel().await?;
    let (mut letters, mut tags) = (Vec::new(), Vec::new());
    while letters.len() < limit {
        let get =
            channel.basic_get(desk.topology.queue(letter_box.queue()), BasicGetOptions { no_ack: false });
        let Some(message) = desk.bounded(get).await? else { break };
        tags.push(message.delivery.delivery_tag);
        letters.push(read(message.delivery, desk.trust));
    }
    Ok(Pile { letters, tags, channel, timeout: desk.timeout })
}

fn read(message: lapin::message::Delivery, trust: &Trust) -> Letter {
    let properties = &message.properties;
    let text = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    let parked_queue = header(properties, QUEUE_HEADER).and_then(|name| Queue::from_name(&name));
    let dead = trust.dead_info(properties);
    Letter {
        message_id: text(properties.message_id()),
        queue: parked_queue.or_else(|| dead.as_ref().and_then(|dead| dead.queue)),
        reason: header(properties, REASON_HEADER).or(dead.map(|dead| dead.reason)).unwrap_or_default(),
        detail: header(properties, DETAIL_HEADER).unwrap_or_default(),
        portal: trust.sender(message.exchange.as_str(), properties).portal().cloned(),
        content_type: text(properties.content_type()),
        published_at: published_at(properties),
        headers: headers(properties.headers().as_ref()),
        body: message.data.into(),
    }
}

fn headers(table: Option<&FieldTable>) -> BTreeMap<String, String> {
    let printable = |value: &AMQPValue| {
        let text = value.as_long_string().map(ToString::to_string);
        let number = || value.as_long_long_int().or_else(|| value.as_long_int().map(i64::from));
        text.or_else(|| number().map(|number| number.to_string()))
    };
    table
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.to_string(), printable(value)?)))
        .collect()
}

/// What an operator's question needs.
pub(crate) struct Desk<'a> {
    pub(crate) link: &'a Link,
    pub(crate) topology: &'a Topology,
    pub(crate) trust: &'a Trust,
    pub(crate) timeout: Duration,
}

impl Desk<'_> {
    async fn channel(&self) -> Result<Channel, Error> {
        let Ok(connection) = timeout(self.timeout, self.link.connection()).await else {
            return Err(Error::NotConnected);
        };
        self.bounded(connection.create_channel()).await
    }

    async fn bounded<T>(&self, answer: impl Future<Output = lapin::Result<T>>) -> Result<T, Error> {
        bounded(self.timeout, answer).await
    }
}

async fn bounded<T>(limit: Duration, answer: impl Future<Output = lapin::Result<T>>) -> Result<T, Error> {
    match timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::TimedOut),
    }
}
