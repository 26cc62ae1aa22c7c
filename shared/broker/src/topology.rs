//! Every exchange, queue and binding, with every option and its reason. Nothing else declares anything.
//!
//! ```text
//! portal ──► mfa.requests ──► challenge.*, control ── last deliveries ──► `Handler::give_up`
//! portal ──► mfa.requests ──► enrollment            ── likewise
//! fleet  ──► mfa.internal ──► voice.*, push.send, … ── delivery limit ──► mfa.dead ──► dead
//! retry  ──► mfa.delay.5s ──► delay.5s ── after 5 s ──► mfa.return ──► back to its queue
//! fleet  ──► mfa.parked   ──► parked          fleet ──► mfa.events ──► what portals and operators bind
//! ```

use futures_util::future::try_join_all;
use lapin::{
    Channel, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, LongString, ShortString},
};

use crate::{delay::Rung, error::Fault};

/// AMQP's reply code for a queue that exists with other arguments.
const PRECONDITION_FAILED: u16 = 406;

/// Deliveries without an ack after which a queue gives a message up. Lost connections and restarts count too, so
/// it is no retry counter: it only ends a message that kills every worker that takes it.
const DELIVERY_LIMIT: i32 = 20;

/// The same for `dead`.
const DEAD_DELIVERY_LIMIT: i32 = 100;

/// Deliveries that are left for giving a message up before the broker drops it. More than one, because a lost
/// connection costs one too.
const LAST_CHANCES: i32 = 3;

/// Bytes of bodies that a queue holds before it refuses more: what a portal can fill the broker's disk with.
const MAX_LENGTH_BYTES: i64 = 1 << 30;

/// The same for `parked`, where the oldest letters then give way.
const PARKED_MAX_LENGTH_BYTES: i64 = 1 << 28;

/// An exchange of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// Topic, the only one that portals publish to.
    Requests,
    /// Topic, what the fleet tells portals: `<portal>.<thing>.<happened>`.
    Events,
    /// Direct, work from one part of the fleet to another.
    Internal,
    /// Fanout, one for each rung; a message keeps the name of its queue as its routing key.
    Delay(Rung),
    /// Direct, from the rungs back to the queue that the routing key names.
    Return,
    /// Fanout, what queues give up.
    Dead,
    /// Fanout, what handlers refuse.
    Parked,
}

impl Exchange {
    /// All exchanges.
    pub const ALL: [Self; 9] = [
        Self::Requests,
        Self::Events,
        Self::Internal,
        Self::Delay(Rung::Two),
        Self::Delay(Rung::Five),
        Self::Delay(Rung::Fifteen),
        Self::Return,
        Self::Dead,
        Self::Parked,
    ];

    /// Its name in RabbitMQ, without the namespace.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "mfa.requests",
            Self::Events => "mfa.events",
            Self::Internal => "mfa.internal",
            Self::Delay(Rung::Two) => "mfa.delay.2s",
            Self::Delay(Rung::Five) => "mfa.delay.5s",
            Self::Delay(Rung::Fifteen) => "mfa.delay.15s",
            Self::Return => "mfa.return",
            Self::Dead => "mfa.dead",
            Self::Parked => "mfa.parked",
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Requests => 0,
            Self::Events => 1,
            Self::Internal => 2,
            Self::Delay(Rung::Two) => 3,
            Self::Delay(Rung::Five) => 4,
            Self::Delay(Rung::Fifteen) => 5,
            Self::Return => 6,
            Self::Dead => 7,
            Self::Parked => 8,
        }
    }

    fn kind(self) -> ExchangeKind {
        match self {
            // Topic, because RabbitMQ's topic permissions can then limit a portal to its own routing keys.
            Self::Requests | Self::Events => ExchangeKind::Topic,
            // Direct, because the routing key is the queue's name.
            Self::Internal | Self::Return => ExchangeKind::Direct,
            // Fanout, because the routing key must stay that of the message's own queue.
            Self::Delay(_) | Self::Dead | Self::Parked => ExchangeKind::Fanout,
        }
    }
}

/// A queue of the fleet. All are durable quorum queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Challenges by voice call.
    ChallengeVoice,
    /// Challenges by push.
    ChallengePush,
    /// Challenges by the user's own method.
    ChallengeDefault,
    /// Challenges by one-time codes.
    ChallengeTotp,
    /// Codes that people type into portals.
    ChallengeCode,
    /// Portals' cancels and re-sends.
    Control,
    /// Calls to be placed.
    VoiceDial,
    /// Calls to be ended.
    VoiceHangup,
    /// Pushes to be sent.
    PushSend,
    /// Changes of enrollments that portals ask for.
    Enrollment,
    /// Tests of enrollments that have ended.
    TestEnded,
    /// Messages that wait. Nothing consumes it: RabbitMQ moves them on.
    Delay(Rung),
    /// Messages that were delivered too often.
    Dead,
    /// Messages that nobody can handle, for operators.
    Parked,
}

impl Queue {
    /// All queues.
    pub const ALL: [Self; 16] = [
        Self::ChallengeVoice,
        Self::ChallengePush,
        Self::ChallengeDefault,
        Self::ChallengeTotp,
        Self::ChallengeCode,
        Self::Control,
        Self::VoiceDial,
        Self::VoiceHangup,
        Self::PushSend,
        Self::Enrollment,
        Self::TestEnded,
        Self::Delay(Rung::Two),
        Self::Delay(Rung::Five),
        Self::Delay(Rung::Fifteen),
        Self::Dead,
        Self::Parked,
    ];

    /// Its name in RabbitMQ, without the namespace. Also its routing key where it is addressed by name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChallengeVoice => "challenge.voice",
            Self::ChallengePush => "challenge.push",
            Self::ChallengeDefault => "challenge.default",
            Self::ChallengeTotp => "challenge.totp",
            Self::ChallengeCode => "challenge.code",
            Self::Control => "control",
            Self::VoiceDial => "voice.dial",
            Self::VoiceHangup => "voice.hangup",
            Self::PushSend => "push.send",
            Self::Enrollment => "enrollment",
            Self::TestEnded => "enrollment.test_ended",
            Self::Delay(Rung::Two) => "delay.2s",
            Self::Delay(Rung::Five) => "delay.5s",
            Self::Delay(Rung::Fifteen) => "delay.15s",
            Self::Dead => "dead",
            Self::Parked => "parked",
        }
    }

    /// The queue of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|queue| queue.name() == name)
    }

    /// The exchange and routing key from which messages first come here.
    pub(crate) const fn source(self) -> (Exchange, &'static str) {
        match self {
            Self::ChallengeVoice
            | Self::ChallengePush
            | Self::ChallengeDefault
            | Self::ChallengeTotp
            | Self::ChallengeCode => (Exchange::Requests, self.name()),
            Self::Control => (Exchange::Requests, "control.*"),
            Self::Enrollment => (Exchange::Requests, "enrollment.*"),
            Self::VoiceDial | Self::VoiceHangup | Self::PushSend | Self::TestEnded => {
                (Exchange::Internal, self.name())
            }
            // A fanout ignores the routing key.
            Self::Delay(rung) => (Exchange::Delay(rung), ""),
            Self::Dead => (Exchange::Dead, ""),
            Self::Parked => (Exchange::Parked, ""),
        }
    }

    /// Whether a message can come back here from a rung.
    const fn returns(self) -> bool {
        match self {
            Self::ChallengeVoice
            | Self::ChallengePush
            | Self::ChallengeDefault
            | Self::ChallengeTotp
            | Self::ChallengeCode
            | Self::Control
            | Self::VoiceDial
            | Self::VoiceHangup
            | Self::PushSend
            | Self::Enrollment
            | Self::TestEnded
            | Self::Dead => true,
            Self::Delay(_) | Self::Parked => false,
        }
    }

    /// Whether portals write here, every property and header as they like.
    pub(crate) const fn is_written_by_portals(self) -> bool {
        match self {
            Self::ChallengeVoice
            | Self::ChallengePush
            | Self::ChallengeDefault
            | Self::ChallengeTotp
            | Self::ChallengeCode
            | Self::Control
            | Self::Enrollment => true,
            Self::VoiceDial
            | Self::VoiceHangup
            | Self::PushSend
            | Self::TestEnded
            | Self::Delay(_)
            | Self::Dead
            | Self::Parked => false,
        }
    }

    /// Where messages go that this queue gives up.
    const fn dead_letters_to(self) -> Option<Exchange> {
        match self {
            Self::VoiceDial | Self::VoiceHangup | Self::PushSend | Self::TestEnded => Some(Exchange::Dead),
            Self::Delay(_) => Some(Exchange::Return),
            // Nothing that a portal wrote is dead-lettered: one malformed `x-death` crashes RabbitMQ's dead-letter workers, and
            // then nothing leaves the rungs of that node any more. Handlers give these up themselves. The others are last stops.
            Self::ChallengeVoice
            | Self::ChallengePush
            | Self::ChallengeDefault
            | Self::ChallengeTotp
            | Self::ChallengeCode
            | Self::Control
            | Self::Enrollment
            | Self::Dead
            | Self::Parked => None,
        }
    }

    const fn delivery_limit(self) -> Option<i32> {
        match self {
            Self::ChallengeVoice
            | Self::ChallengePush
            | Self::ChallengeDefault
            | Self::ChallengeTotp
            | Self::ChallengeCode
            | Self::Control
            | Self::VoiceDial
            | Self::VoiceHangup
            | Self::PushSend
            | Self::Enrollment
            | Self::TestEnded => Some(DELIVERY_LIMIT),
            // Here the broker then drops the letter. A handler that can't work on one yet sends it through a rung, and that
            // begins a new count. Each look at the letters counts as a delivery too.
            Self::Dead => Some(DEAD_DELIVERY_LIMIT),
            // Nothing is delivered from a rung; looking at parked letters must change nothing.
            Self::Delay(_) | Self::Parked => None,
        }
    }

    /// Whether a message that came back so often is dropped by the broker if this goes on.
    pub(crate) fn is_last_chance(self, delivery_count: i64) -> bool {
        self.dead_letters_to().is_none()
            && self.delivery_limit().is_some_and(|limit| delivery_count > i64::from(limit - LAST_CHANCES))
    }
}

/// The names as RabbitMQ knows them, and how each queue is declared.
#[derive(Debug)]
pub(crate) struct Topology {
    prefix: String,
    exchanges: [ShortString; 9],
    max_length: u32,
}

impl Topology {
    pub(crate) fn new(namespace: &str, max_length: u32) -> Self {
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}.") };
        let exchanges = Exchange::ALL.map(|exchange| format!("{prefix}{}", exchange.name()).into());
        Self { prefix, exchanges, max_length }
    }

    pub(crate) fn exchange(&self, exchange: Exchange) -> ShortString {
        self.exchanges[exchange.index()].clone()
    }

    pub(crate) fn queue(&self, queue: Queue) -> ShortString {
        format!("{}{}", self.prefix, queue.name()).into()
    }

    /// The exchange of that full name.
    pub(crate) fn exchange_named(&self, full: &str) -> Option<Exchange> {
        Exchange::ALL.into_iter().find(|exchange| self.exchanges[exchange.index()].as_str() == full)
    }

    /// The queue of that full name.
    pub(crate) fn queue_named(&self, full: &str) -> Option<Queue> {
        Queue::from_name(full.strip_prefix(self.prefix.as_str())?)
    }

    /// Declares everything. Repeating it changes nothing; a queue that exists with other arguments is an error.
    pub(crate) async fn declare(&self, channel: &Channel) -> Result<(), Fault> {
        // What is sent together on one channel is answered in order, so each step costs one round trip.
        try_join_all(Exchange::ALL.map(|exchange| self.declare_exchange(channel, exchange))).await?;
        try_join_all(Queue::ALL.map(|queue| self.declare_queue(channel, queue))).await?;
        Ok(())
    }

    /// Declares one queue and its bindings. Its exchanges must exist.
    pub(crate) async fn declare_queue(&self, channel: &Channel, queue: Queue) -> Result<(), Fault> {
        let options = QueueDeclareOptions {
            passive: false,     // create it where it is missing
            durable: true,      // quorum queues must be
            exclusive: false,   // many workers share it
            auto_delete: false, // work outlives its workers
            nowait: false,      // an error must be seen here
        };
        let declared = channel.queue_declare(self.queue(queue), options, self.arguments(queue)).await;
        declared.map_err(|error| self.explain(queue, error))?;
        let (exchange, key) = queue.source();
        self.bind(channel, queue, exchange, key).await?;
        if queue.returns() {
            self.bind(channel, queue, Exchange::Return, queue.name()).await?;
        }
        Ok(())
    }

    /// Says what an operator can do where that is known.
    fn explain(&self, queue: Queue, error: lapin::Error) -> Fault {
        if matches!(error.kind(), ErrorKind::ProtocolError(why) if why.get_id() == PRECONDITION_FAILED) {
            return Fault::OtherArguments { queue: self.queue(queue).to_string(), source: error };
        }
        Fault::Broker(error)
    }

    async fn declare_exchange(&self, channel: &Channel, exchange: Exchange) -> Result<(), lapin::Error> {
        let options = ExchangeDeclareOptions {
            passive: false,     // create it where it is missing
            durable: true,      // it must outlive a restart of the broker
            auto_delete: false, // and the last queue bound to it
            internal: false,    // clients publish to it
            nowait: false,      // an error must be seen here
        };
        channel
            .exchange_declare(self.exchange(exchange), exchange.kind(), options, FieldTable::default())
            .await
    }

    async fn bind(
        &self,
        channel: &Channel,
        queue: Queue,
        exchange: Exchange,
        key: &'static str,
    ) -> Result<(), lapin::Error> {
        let options = QueueBindOptions { nowait: false };
        let (queue, exchange) = (self.queue(queue), self.exchange(exchange));
        channel.queue_bind(queue, exchange, key.into(), options, FieldTable::default()).await
    }

    fn arguments(&self, queue: Queue) -> FieldTable {
        let mut arguments = FieldTable::default();
        let mut set = |key: &str, value: AMQPValue| {
            arguments.insert(key.into(), value);
        };
        // Replicated, and the only kind whose dead-lettering loses nothing.
        set("x-queue-type", text("quorum"));
        // A queue that nobody empties must not fill the disk …
        set("x-max-length", AMQPValue::LongLongInt(self.max_length.into()));
        let max_bytes = if queue == Queue::Parked { PARKED_MAX_LENGTH_BYTES } else { MAX_LENGTH_BYTES };
        set("x-max-length-bytes", AMQPValue::LongLongInt(max_bytes));
        // … and refuses what is new instead of dropping what is old. At-least-once dead-lettering needs this too. Parked
        // letters are only looked at: a full queue of them must not make every new bad message come back again and again.
        set("x-overflow", text(if queue == Queue::Parked { "drop-head" } else { "reject-publish" }));
        if let Some(exchange) = queue.dead_letters_to() {
            set("x-dead-letter-exchange", AMQPValue::LongString(self.exchange(exchange).as_str().into()));
            // The default, at-most-once, loses the message when the target does not take it.
            set("x-dead-letter-strategy", text("at-least-once"));
        }
        if let Some(limit) = queue.delivery_limit() {
            set("x-delivery-limit", AMQPValue::LongInt(limit));
        }
        if let Queue::Delay(rung) = queue {
            // Kept for the whole queue, since only messages at its head expire.
            let millis = i64::try_from(rung.delay().as_millis()).unwrap_or(i64::MAX);
            set("x-message-ttl", AMQPValue::LongLongInt(millis));
        }
        arguments
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_again_in_its_namespace_only() {
        let (plain, blue) = (Topology::new("", 1000), Topology::new("blue", 1000));
        for queue in Queue::ALL {
            assert_eq!(plain.queue_named(queue.name()), Some(queue));
            assert_eq!(blue.queue_named(blue.queue(queue).as_str()), Some(queue));
            assert_eq!(blue.queue_named(queue.name()), None);
        }
        for (place, exchange) in Exchange::ALL.into_iter().enumerate() {
            assert_eq!(exchange.index(), place);
            assert_eq!(blue.exchange_named(&format!("blue.{}", exchange.name())), Some(exchange));
            assert_eq!(blue.exchange_named(exchange.name()), None);
        }
    }

    #[test]
    fn a_message_is_given_up_by_its_handler_only_where_the_broker_would_drop_it() {
        let chances = |queue: Queue| (0..=200).filter(|count| queue.is_last_chance(*count)).min();
        for queue in Queue::ALL {
            let first = match queue {
                Queue::ChallengeVoice
                | Queue::ChallengePush
                | Queue::ChallengeDefault
                | Queue::ChallengeTotp
                | Queue::ChallengeCode
                | Queue::Control
                | Queue::Enrollment => Some(18),
                Queue::Dead => Some(98),
                Queue::VoiceDial
                | Queue::VoiceHangup
                | Queue::PushSend
                | Queue::TestEnded
                | Queue::Delay(_)
                | Queue::Parked => None,
            };
            assert_eq!(chances(queue), first, "{queue:?}");
        }
    }

    #[test]
    fn every_queue_dead_letters_at_least_once_or_not_at_all() {
        let topology = Topology::new("", 1000);
        for queue in Queue::ALL {
            let arguments = topology.arguments(queue);
            let set = |key: &str| arguments.contains_key(key);
            assert!(set("x-max-length") && set("x-max-length-bytes") && set("x-overflow"), "{queue:?}");
            assert_eq!(set("x-dead-letter-exchange"), set("x-dead-letter-strategy"), "{queue:?}");
            let from_portals = queue.source().0 == Exchange::Requests;
            assert_eq!(queue.is_written_by_portals(), from_portals, "{queue:?}");
            assert_eq!(
                set("x-dead-letter-exchange"),
                !from_portals && !matches!(queue, Queue::Dead | Queue::Parked),
                "{queue:?}"
            );
            assert_eq!(set("x-message-ttl"), matches!(queue, Queue::Delay(_)), "{queue:?}");
            assert!(!(set("x-delivery-limit") && set("x-message-ttl")), "{queue:?}");
        }
    }
}
