//! A delivery as a handler sees it, and who sent it.
//!
//! Portals write every property and header of what they publish, except one: RabbitMQ refuses a message whose
//! `user-id` is not the user of the connection. All trust starts there, and in the exchanges that portals have
//! no permission to write to.

use std::sync::Arc;

use bytes::Bytes;
use fleet_domain::{PortalName, Timestamp};
use lapin::{
    Acker, BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::time::Instant;

use crate::topology::{Exchange, Queue, Topology};

/// The proved portal of a message, on exchanges that portals can't write to.
pub(crate) const PORTAL_HEADER: &str = "x-mfa-portal";
/// W3C trace context.
pub(crate) const TRACEPARENT_HEADER: &str = "traceparent";
/// RabbitMQ's count of the deliveries that came back. Absent from the first delivery.
const DELIVERY_COUNT_HEADER: &str = "x-delivery-count";
/// RabbitMQ's own record of the queues that gave a message up, newest first.
pub(crate) const DEATHS_HEADER: &str = "x-death";

/// A message that is being worked on.
#[derive(Debug)]
pub struct Delivery {
    /// The body, as it was sent. It holds at most `broker.max_body_bytes`.
    pub body: Bytes,
    /// Who sent it.
    pub sender: Sender,
    /// The queue it was taken from.
    pub queue: Queue,
    /// Whether it may have been delivered before. `false` is certain, `true` is not.
    pub redelivered: bool,
    /// The sender's id of the message.
    pub message_id: Option<String>,
    /// The type of the body, as the sender named it.
    pub content_type: Option<String>,
    /// W3C trace context of the sender; nothing where it has another form.
    pub traceparent: Option<String>,
    /// When it arrived here.
    pub received_at: Instant,
    /// When it was published, by the sender's clock, in whole seconds.
    pub published_at: Option<Timestamp>,
    /// Why it is in the queue `dead`; nothing elsewhere.
    pub dead: Option<DeadInfo>,
    /// Whether it was delivered so often without an ack that the broker is about to drop it: `Handler::give_up` gets it.
    pub last_chance: bool,
    /// Whether the broker still counts on this process. Nothing in deliveries made for tests.
    acker: Option<Acker>,
}

impl Delivery {
    /// A delivery that no broker sent, for tests of handlers. It is always usable.
    pub fn for_test(queue: Queue, sender: Sender, body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            sender,
            queue,
            redelivered: false,
            message_id: None,
            content_type: None,
            traceparent: None,
            received_at: Instant::now(),
            published_at: None,
            dead: None,
            last_chance: false,
            acker: None,
        }
    }

    /// Whether this process still has the message. Once its connection is lost, another one is getting it: ask
    /// right before anything that must not happen twice.
    pub fn usable(&self) -> bool {
        self.acker.as_ref().is_none_or(Acker::usable)
    }

    pub(crate) fn read(queue: Queue, message: &lapin::message::Delivery, body: Bytes, trust: &Trust) -> Self {
        let properties = &message.properties;
        let text = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
        Self {
            body,
            sender: trust.sender(message.exchange.as_str(), properties),
            queue,
            redelivered: message.redelivered,
            message_id: text(properties.message_id()),
            content_type: text(properties.content_type()),
            traceparent: traceparent(properties),
            received_at: Instant::now(),
            published_at: published_at(properties),
            // Elsewhere the header is whatever a portal wrote.
            dead: if queue == Queue::Dead { trust.dead_info(properties) } else { None },
            // A first delivery carries whatever count a portal wrote; later ones carry the broker's. (Written twice, a forged
            // one stays: its sender then has its own message ended early, or dropped untold.)
            last_chance: message.redelivered && queue.is_last_chance(delivery_count(properties)),
            acker: Some(message.acker.clone()),
        }
    }
}

/// Who sent a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A portal: RabbitMQ validated that its own user published this.
    Portal(PortalName),
    /// A part of the fleet.
    Fleet {
        /// The portal for which it was sent.
        portal: Option<PortalName>,
    },
    /// Nobody that can be named. Such a message is to be parked.
    Unproved,
}

impl Sender {
    /// The proved portal, whether it sent this itself or the fleet did for it.
    pub fn portal(&self) -> Option<&PortalName> {
        match self {
            Self::Portal(portal) => Some(portal),
            Self::Fleet { portal } => portal.as_ref(),
            Self::Unproved => None,
        }
    }
}

/// Why a queue gave a message up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadInfo {
    /// The queue, unless RabbitMQ named one that this version does not know.
    pub queue: Option<Queue>,
    /// RabbitMQ's word: `delivery_limit`, `expired`, `maxlen` or `rejected`.
    pub reason: String,
    /// How often this queue gave it up for this reason.
    pub count: u64,
}

/// What is known about who may write where.
#[derive(Debug)]
pub(crate) struct Trust {
    topology: Arc<Topology>,
    fleet_users: Vec<String>,
}

impl Trust {
    pub(crate) fn new(topology: Arc<Topology>, fleet_users: Vec<String>) -> Self {
        Self { topology, fleet_users }
    }

    pub(crate) fn sender(&self, exchange: &str, properties: &BasicProperties) -> Sender {
        let user = properties.user_id().as_ref().map(ShortString::as_str);
        let claimed = || header(properties, PORTAL_HEADER).and_then(|name| PortalName::parse(&name).ok());
        self.judge(self.topology.exchange_named(exchange), user, claimed)
    }

    fn judge(
        &self,
        exchange: Option<Exchange>,
        user: Option<&str>,
        claimed: impl FnOnce() -> Option<PortalName>,
    ) -> Sender {
        let portal = || match user.map(PortalName::parse) {
            Some(Ok(portal)) => Sender::Portal(portal),
            Some(Err(_)) | None => Sender::Unproved,
        };
        match exchange {
            Some(Exchange::Requests) => portal(),
            Some(Exchange::Internal | Exchange::Return | Exchange::Parked) => {
                Sender::Fleet { portal: claimed() }
            }
            // Queues give up what portals sent as well, with the headers that they wrote.
            Some(Exchange::Dead) => match user {
                Some(user) if self.fleet_users.iter().any(|fleet| fleet == user) => {
                    Sender::Fleet { portal: claimed() }
                }
                Some(_) | None => portal(),
            },
            // Nothing is consumed from these, and no queue of ours is bound to any other.
            Some(Exchange::Events | Exchange::Delay(_)) | None => Sender::Unproved,
        }
    }

    pub(crate) fn dead_info(&self, properties: &BasicProperties) -> Option<DeadInfo> {
        let deaths = properties.headers().as_ref()?.inner().get(DEATHS_HEADER)?.as_array()?;
        deaths
            .as_slice()
            .iter()
            .filter_map(AMQPValue::as_field_table)
            .find_map(|death| self.read_death(death))
    }

    /// Reads one entry; a rest in a rung is no death.
    fn read_death(&self, death: &FieldTable) -> Option<DeadInfo> {
        let queue = self.topology.queue_named(&text(death.inner().get("queue")?)?);
        if matches!(queue, Some(Queue::Delay(_))) {
            return None;
        }
        let count = death.inner().get("count")?.as_long_long_int()?;
        let reason = text(death.inner().get("reason")?)?;
        Some(DeadInfo { queue, reason, count: u64::try_from(count).unwrap_or(0) })
    }
}

/// How often a message came back to its queue, as RabbitMQ counts in `x-delivery-count`.
fn delivery_count(properties: &BasicProperties) -> i64 {
    let header = properties.headers().as_ref().and_then(|all| all.inner().get(DELIVERY_COUNT_HEADER));
    header.and_then(AMQPValue::as_long_long_int).unwrap_or(0)
}

/// The header `traceparent`, if it is one of W3C's form: 55 characters of version 00.
pub(crate) fn traceparent(properties: &BasicProperties) -> Option<String> {
    header(properties, TRACEPARENT_HEADER).filter(|text| is_traceparent(text))
}

pub(crate) fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, digits: usize| {
        part.len() == digits
            && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next(), parts.next(), parts.next(), parts.next());
    version == Some("00")
        && trace.is_some_and(|part| hex(part, 32))
        && span.is_some_and(|part| hex(part, 16))
        && flags.is_some_and(|part| hex(part, 2))
        && parts.next().is_none()
}

/// A header's text.
pub(crate) fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    text(properties.headers().as_ref()?.inner().get(name)?)
}

pub(crate) fn published_at(properties: &BasicProperties) -> Option<Timestamp> {
    let seconds = i64::try_from((*properties.timestamp())?).ok()?;
    seconds.checked_mul(1_000_000).map(Timestamp::from_micros)
}

fn text(value: &AMQPValue) -> Option<String> {
    let long = value.as_long_string().and_then(|text| std::str::from_utf8(text.as_bytes()).ok());
    long.or_else(|| value.as_short_string().map(ShortString::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delay::Rung;
    use lapin::types::FieldArray;

    fn trust() -> Trust {
        Trust::new(Topology::new("", 1000).into(), vec!["fleet".into(), "gateway".into()])
    }

    fn portal(name: &str) -> PortalName {
        PortalName::parse(name).unwrap()
    }

    #[test]
    fn the_sender_is_proved_by_the_broker_or_by_the_exchange() {
        let from = |name| Sender::Portal(portal(name));
        let fleet = Sender::Fleet { portal: Some(portal("victim")) };
        // The exchange, the user that RabbitMQ validated; the header always claims `victim`.
        let cases = [
            (Some(Exchange::Requests), Some("attacker"), from("attacker")),
            (Some(Exchange::Requests), Some("Not_A_Portal"), Sender::Unproved),
            (Some(Exchange::Requests), None, Sender::Unproved),
            (Some(Exchange::Internal), Some("gateway"), fleet.clone()),
            (Some(Exchange::Return), Some("gateway"), fleet.clone()),
            (Some(Exchange::Parked), Some("gateway"), fleet.clone()),
            (Some(Exchange::Dead), Some("gateway"), fleet),
            (Some(Exchange::Dead), Some("attacker"), from("attacker")),
            (Some(Exchange::Dead), None, Sender::Unproved),
            (Some(Exchange::Events), Some("gateway"), Sender::Unproved),
            (Some(Exchange::Delay(Rung::Two)), Some("gateway"), Sender::Unproved),
            (None, Some("attacker"), Sender::Unproved),
        ];
        for (exchange, user, sender) in cases {
            let judged = trust().judge(exchange, user, || Some(portal("victim")));
            assert_eq!(judged, sender, "{exchange:?} {user:?}");
        }
    }

    #[test]
    fn the_newest_death_that_was_no_rest_counts() {
        let death = |queue: &str, reason: &str, count: i64| {
            let mut table = FieldTable::default();
            table.insert("queue".into(), AMQPValue::LongString(queue.into()));
            table.insert("reason".into(), AMQPValue::LongString(reason.into()));
            table.insert("count".into(), AMQPValue::LongLongInt(count));
            AMQPValue::FieldTable(table)
        };
        let info = |deaths: AMQPValue| {
            let mut headers = FieldTable::default();
            headers.insert(DEATHS_HEADER.into(), deaths);
            trust().dead_info(&BasicProperties::default().with_headers(headers))
        };
        let deaths = vec![
            death("delay.2s", "expired", 3),
            death("voice.dial", "delivery_limit", 1),
            death("control", "maxlen", 1),
        ];
        let expected = DeadInfo { queue: Some(Queue::VoiceDial), reason: "delivery_limit".into(), count: 1 };
        assert_eq!(info(AMQPValue::FieldArray(FieldArray::from(deaths))), Some(expected));
        assert_eq!(info(AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::Void]))), None);
        assert_eq!(info(AMQPValue::Boolean(true)), None);
        assert_eq!(trust().dead_info(&BasicProperties::default()), None);
    }

    #[test]
    fn only_the_w3c_form_is_a_traceparent() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good));
        for bad in
            ["", "00", "00-1-2-01", &good.to_uppercase(), &format!("{good}-00"), &good.replace("00-", "01-")]
        {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }

    #[test]
    fn a_delivery_for_a_test_is_usable() {
        assert!(Delivery::for_test(Queue::Control, Sender::Unproved, "{}").usable());
    }
}
