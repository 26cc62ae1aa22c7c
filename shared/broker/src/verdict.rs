//! What a handler decides about a message, and the one place that turns it into what is done at the broker.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use fleet_domain::PortalName;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, LongString, ShortString},
};

use crate::{
    delay::Rung,
    delivery::{DEATHS_HEADER, PORTAL_HEADER, TRACEPARENT_HEADER, traceparent},
    error::PublishError,
    publish::{Outgoing, PERSISTENT},
    topology::{Exchange, Queue},
};

/// Why a message is in `parked`.
pub(crate) const REASON_HEADER: &str = "x-mfa-reason";
/// A sentence for operators, without values from the message.
pub(crate) const DETAIL_HEADER: &str = "x-mfa-detail";
/// The queue it was taken from.
pub(crate) const QUEUE_HEADER: &str = "x-mfa-queue";
/// SHA-256 of the body as it came, hex.
pub(crate) const SHA256_HEADER: &str = "x-mfa-sha256";
/// Bytes of the body as it came.
pub(crate) const SIZE_HEADER: &str = "x-mfa-size";

const DETAIL_CHARS_MAX: usize = 200;
const KNOWN_FIELDS_MAX: usize = 100;

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The work is done, or nothing is to be done: the message is acked.
    Done,
    /// It comes back after about this time: the longest of 2, 5 and 15 seconds that is not longer, but at least 2.
    RetryIn(Duration),
    /// It can never be handled and is parked for an operator.
    Poison(Poison),
}

/// Why a message can't be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// One of few words fixed in code, such as `schema_violation`; also a metric's label.
    pub reason: &'static str,
    /// A sentence for operators. No values from the message; what is longer than 200 characters is cut off.
    pub detail: String,
    /// What may be kept of the body.
    pub body: PoisonBody,
}

/// What is kept of a parked body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoisonBody {
    /// All of it. Only for a body that passed its schema and holds nothing secret.
    Whole,
    /// Its hash, its size and these names.
    HashOnly {
        /// Names of those fields of the body that its schema knows.
        known_fields: Vec<String>,
    },
}

impl Poison {
    /// Without the body's values.
    pub fn hash_only(reason: &'static str, detail: impl Into<String>, known_fields: Vec<String>) -> Self {
        Self { reason, detail: detail.into(), body: PoisonBody::HashOnly { known_fields } }
    }

    /// With the whole body.
    pub fn whole(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), body: PoisonBody::Whole }
    }
}

/// What came of a handler.
#[derive(Debug)]
pub(crate) enum Outcome {
    Verdict(Verdict),
    Panicked,
}

/// What is done about a delivery.
#[derive(Debug)]
pub(crate) enum Step {
    Ack,
    /// The follow-up must be confirmed before the ack, so that at every moment the broker has the message.
    PublishThenAck(Box<Outgoing>),
    /// The queue's delivery limit ends it if it goes on.
    PauseThenRequeue,
    /// Acked although its follow-up is not published: the broker is about to drop it anyway, and untold.
    Lose,
}

/// The message that a verdict is about.
pub(crate) struct Origin {
    pub(crate) queue: Queue,
    pub(crate) body: Bytes,
    pub(crate) properties: BasicProperties,
    pub(crate) portal: Option<PortalName>,
    /// Whether the broker is about to drop it.
    pub(crate) last_chance: bool,
}

/// Turns what came of a handler into what is done.
pub(crate) fn decide(outcome: &Outcome, origin: &Origin) -> Step {
    match outcome {
        Outcome::Verdict(Verdict::Done) => Step::Ack,
        Outcome::Verdict(Verdict::RetryIn(wait)) => Step::PublishThenAck(Box::new(later(*wait, origin))),
        Outcome::Verdict(Verdict::Poison(poison)) => Step::PublishThenAck(Box::new(parked(poison, origin))),
        Outcome::Panicked => Step::PauseThenRequeue,
    }
}

/// What is done once the follow-up was published, or could not be.
pub(crate) fn after_publish(result: Result<(), PublishError>, last_chance: bool) -> Step {
    match result {
        Ok(()) => Step::Ack,
        Err(_) if last_chance => Step::Lose,
        Err(_) => Step::PauseThenRequeue,
    }
}

fn later(wait: Duration, origin: &Origin) -> Outgoing {
    let mut headers = FieldTable::default();
    // Only in `dead` is this the broker's own word.
    let deaths = origin.properties.headers().as_ref().and_then(|all| all.inner().get(DEATHS_HEADER));
    if let (Queue::Dead, Some(deaths)) = (origin.queue, deaths) {
        headers.insert(DEATHS_HEADER.into(), deaths.clone());
    }
    Outgoing {
        exchange: Exchange::Delay(Rung::nearest(wait)),
        routing_key: origin.queue.name().into(),
        mandatory: true,
        body: origin.body.clone(),
        properties: follow_up(origin, origin.properties.content_type().clone(), headers),
    }
}

fn parked(poison: &Poison, origin: &Origin) -> Outgoing {
    let sha256 = fleet_keys::sha256_hex(&origin.body);
    let mut headers = FieldTable::default();
    let mut set = |name: &str, value: &str| {
        headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
    };
    set(REASON_HEADER, poison.reason);
    set(DETAIL_HEADER, &poison.detail.chars().take(DETAIL_CHARS_MAX).collect::<String>());
    set(QUEUE_HEADER, origin.queue.name());
    set(SHA256_HEADER, &sha256);
    set(SIZE_HEADER, &origin.body.len().to_string());
    let (body, content_type) = match &poison.body {
        PoisonBody::Whole => (origin.body.clone(), origin.properties.content_type().clone()),
        PoisonBody::HashOnly { known_fields } => {
            let known_fields: BTreeSet<&String> = known_fields.iter().take(KNOWN_FIELDS_MAX).collect();
            let summary = serde_json::json!({
                "sha256": sha256,
                "size": origin.body.len(),
                "known_fields": known_fields,
            });
            (Bytes::from(summary.to_string()), Some("application/json".into()))
        }
    };
    Outgoing {
        exchange: Exchange::Parked,
        routing_key: origin.queue.name().into(),
        mandatory: true,
        body,
        properties: follow_up(origin, content_type, headers),
    }
}

/// A list of what is kept, because portals write headers and some of them, such as `CC`, make RabbitMQ deliver elsewhere.
fn follow_up(origin: &Origin, content_type: Option<ShortString>, mut headers: FieldTable) -> BasicProperties {
    if let Some(traceparent) = traceparent(&origin.properties) {
        headers.insert(TRACEPARENT_HEADER.into(), AMQPValue::LongString(traceparent.as_str().into()));
    }
    if let Some(portal) = &origin.portal {
        headers.insert(PORTAL_HEADER.into(), AMQPValue::LongString(portal.as_str().into()));
    }
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
    if let Some(content_type) = content_type {
        properties = properties.with_content_type(content_type);
    }
    if let Some(message_id) = origin.properties.message_id() {
        properties = properties.with_message_id(message_id.clone());
    }
    if let Some(timestamp) = origin.properties.timestamp() {
        properties = properties.with_timestamp(*timestamp);
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::header;

    const BODY: &str = r#"{"number_match":"42"}"#;
    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn origin() -> Origin {
        let mut headers = FieldTable::default();
        for (name, value) in
            [("CC", "voice.dial"), (PORTAL_HEADER, "victim"), (TRACEPARENT_HEADER, TRACEPARENT)]
        {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        Origin {
            queue: Queue::ChallengeVoice,
            body: BODY.into(),
            properties: BasicProperties::default()
                .with_message_id("m1".into())
                .with_content_type("application/cloudevents+json".into())
                .with_expiration("1".into())
                .with_user_id("operations".into())
                .with_headers(headers),
            portal: PortalName::parse("operations").ok(),
            last_chance: false,
        }
    }

    fn published(verdict: Verdict) -> Outgoing {
        match decide(&Outcome::Verdict(verdict), &origin()) {
            Step::PublishThenAck(outgoing) => *outgoing,
            step @ (Step::Ack | Step::PauseThenRequeue | Step::Lose) => panic!("{step:?}"),
        }
    }

    #[test]
    fn done_is_acked_and_a_panic_goes_back_to_the_queue() {
        assert!(matches!(decide(&Outcome::Verdict(Verdict::Done), &origin()), Step::Ack));
        assert!(matches!(decide(&Outcome::Panicked, &origin()), Step::PauseThenRequeue));
    }

    #[test]
    fn only_a_confirmed_follow_up_lets_the_message_go() {
        assert!(matches!(after_publish(Ok(()), false), Step::Ack));
        assert!(matches!(after_publish(Ok(()), true), Step::Ack));
        for error in [
            PublishError::Unroutable,
            PublishError::Nacked,
            PublishError::TimedOut,
            PublishError::NotConnected,
            PublishError::Refused,
            PublishError::TooLong("message_id"),
        ] {
            assert!(matches!(after_publish(Err(error), false), Step::PauseThenRequeue), "{error:?}");
            assert!(matches!(after_publish(Err(error), true), Step::Lose), "{error:?}");
        }
    }

    #[test]
    fn a_retry_waits_in_a_rung_under_its_queues_name_and_proved_portal() {
        let outgoing = published(Verdict::RetryIn(Duration::from_secs(6)));
        assert_eq!(outgoing.exchange, Exchange::Delay(Rung::Five));
        assert_eq!(outgoing.routing_key.as_str(), "challenge.voice");
        assert!(outgoing.mandatory);
        assert_eq!(outgoing.body, BODY);
        let properties = &outgoing.properties;
        assert_eq!(properties.message_id(), origin().properties.message_id());
        assert_eq!(properties.content_type(), origin().properties.content_type());
        assert_eq!(header(properties, PORTAL_HEADER).as_deref(), Some("operations"));
        assert_eq!(header(properties, TRACEPARENT_HEADER).as_deref(), Some(TRACEPARENT));
    }

    #[test]
    fn a_retry_drops_what_would_change_where_and_when_it_comes_back() {
        let outgoing = published(Verdict::RetryIn(Duration::ZERO));
        assert_eq!(header(&outgoing.properties, "CC"), None);
        assert_eq!(outgoing.properties.expiration(), &None);
        let unproved = Origin { portal: None, ..origin() };
        assert_eq!(header(&later(Duration::ZERO, &unproved).properties, PORTAL_HEADER), None);
    }

    #[test]
    fn a_poison_is_parked_whole_only_if_its_handler_says_so() {
        let whole = published(Verdict::Poison(Poison::whole("unknown_version", "v2")));
        assert_eq!((whole.exchange, whole.mandatory), (Exchange::Parked, true));
        assert_eq!(whole.body, BODY);
        assert_eq!(header(&whole.properties, QUEUE_HEADER).as_deref(), Some("challenge.voice"));
        assert_eq!(header(&whole.properties, TRACEPARENT_HEADER).as_deref(), Some(TRACEPARENT));

        let poison = Poison::hash_only("schema_violation", "é".repeat(300), vec!["number_match".into()]);
        let hashed = published(Verdict::Poison(poison));
        let text = std::str::from_utf8(&hashed.body).unwrap();
        assert!(!text.contains("42") && text.contains("number_match"), "{text}");
        let header = |name| header(&hashed.properties, name).unwrap();
        assert!(text.contains(&header(SHA256_HEADER)));
        assert_eq!(header(SHA256_HEADER), fleet_keys::sha256_hex(BODY.as_bytes()));
        assert_eq!(header(SIZE_HEADER), BODY.len().to_string());
        assert_eq!(header(REASON_HEADER), "schema_violation");
        assert_eq!(header(DETAIL_HEADER).chars().count(), 200);
        assert_eq!(header(PORTAL_HEADER), "operations");
    }
}
