//! Hostile messages and what must become of them: every kind of body in turn, under properties that are hostile too.

use crate::{
    bodies::{Body, KINDS},
    chance::Chance,
    properties::{Message, Properties},
    table::{Table, Value},
};

/// What becomes of a hostile message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It is parked with this reason, under its message id.
    Parked(&'static str),
    /// Its sender is told by an event that it is refused for this reason.
    Refused(&'static str),
    /// The broker takes it and may drop it before anybody has seen it, as it asked.
    MayExpire,
    /// The broker does not take it.
    NotTaken,
}

/// A hostile message.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// What is wrong with it.
    pub kind: String,
    /// The message.
    pub message: Message,
    /// What becomes of it.
    pub expected: Expected,
}

const KEYS: [&str; 5] =
    ["challenge.voice", "challenge.push", "challenge.default", "control.cancel", "control.resend"];

/// All of them lead to the same queue.
const ENROLLMENT_KEYS: [&str; 3] = ["enrollment.request", "enrollment.continue", "enrollment.anything"];

/// Levels that a parser in a debug build, with the usual stack, still survives.
const HARMLESS_DEPTH: usize = 50;

/// `count` hostile messages, the same for the same seed. `now_ms` is the fleet's time in milliseconds since 1970, `user` the
/// RabbitMQ user that publishes them.
pub fn messages(seed: u64, count: usize, now_ms: u64, user: &str) -> Vec<Hostile> {
    let mut chance = Chance::new(seed);
    let made = (0..count).map(|number| {
        let (kind, make) = KINDS.get(number % KINDS.len()).copied()?;
        let id = format!("hostile-{seed}-{number}");
        let body = make(&mut chance, now_ms);
        Some(dress(&mut chance, kind, body, (&id, user, &KEYS)))
    });
    made.flatten().collect()
}

/// The same for messages about enrollments, whose boxes `seal` seals.
pub fn enrollments(
    seed: u64,
    count: usize,
    (now_ms, user): (u64, &str),
    seal: crate::Seal<'_>,
) -> Vec<Hostile> {
    let kinds = crate::enrollments::KINDS;
    let mut chance = Chance::new(seed);
    let made = (0..count).map(|number| {
        let (kind, make) = kinds.get(number % kinds.len()).copied()?;
        let id = format!("hostile-enrollment-{seed}-{number}");
        let body = make(&mut chance, now_ms, seal);
        Some(dress(&mut chance, kind, body, (&id, user, &ENROLLMENT_KEYS)))
    });
    made.flatten().collect()
}

/// A message that breaks the connection of each consumer whose library wants text in properties.
pub fn breaker(routing_key: &str, user: &str) -> Message {
    let properties = Properties {
        message_id: Some(vec![0xff, 0xfe]),
        user_id: Some(user.as_bytes().to_vec()),
        ..Properties::default()
    };
    Message { routing_key: routing_key.into(), properties, body: b"{}".to_vec() }
}

/// A message with a header of so many lists in each other. Each costs five bytes; the whole must fit the broker's `frame_max`.
pub fn nested(routing_key: &str, user: &str, depth: usize) -> Message {
    let properties = Properties {
        headers: Some(Table::of([("h", Value::Nested(depth))])),
        user_id: Some(user.as_bytes().to_vec()),
        ..Properties::default()
    };
    Message { routing_key: routing_key.into(), properties, body: b"{}".to_vec() }
}

/// A message whose header fills a frame to the last byte: what the broker adds when it delivers it again no longer fits.
pub fn swelling(routing_key: &str, user: &str, frame_max: usize) -> Message {
    let with = |filling: usize| Properties {
        headers: Some(Table::of([("h", Value::Bytes(vec![b'x'; filling]))])),
        user_id: Some(user.as_bytes().to_vec()),
        ..Properties::default()
    };
    // A frame's own 8 bytes, and the 12 before a content header's properties.
    let room = frame_max.saturating_sub(8 + 12 + with(0).bytes().len());
    Message { routing_key: routing_key.into(), properties: with(room), body: b"swells".to_vec() }
}

fn dress(
    chance: &mut Chance,
    kind: &str,
    (body, mut expected): Body,
    (id, user, keys): (&str, &str, &[&str]),
) -> Hostile {
    let mut properties = Properties {
        content_type: Some(b"application/cloudevents+json".to_vec()),
        message_id: Some(id.as_bytes().to_vec()),
        user_id: Some(user.as_bytes().to_vec()),
        ..Properties::default()
    };
    let dress = chance.below(16);
    let dressed = match dress {
        0..=3 => "forged x-death",
        4 => {
            properties.user_id = None;
            expected = match expected {
                // Its size is looked at first.
                Expected::Parked("oversize_body") => expected,
                Expected::Parked(_) | Expected::Refused(_) | Expected::MayExpire | Expected::NotTaken => {
                    Expected::Parked("unproved_sender")
                }
            };
            "no user-id"
        }
        5 => {
            properties.user_id = Some(b"victim".to_vec());
            expected = Expected::NotTaken;
            "another's user-id"
        }
        6 => {
            properties.expiration = Some(b"1".to_vec());
            expected = Expected::MayExpire;
            "expires at once"
        }
        7 => {
            properties.expiration = Some(b"soon".to_vec());
            expected = Expected::NotTaken;
            "expires at no time"
        }
        8 => {
            properties.reply_to = Some(b"mfa.internal".to_vec());
            "wrong reply-to"
        }
        9 => {
            properties.content_type = Some(b"text/html; charset=utf-16".to_vec());
            "wrong content type"
        }
        _ => "forged headers",
    };
    properties.headers = match dress {
        0..=3 => Some(Table::of([("x-death", forged_death(chance))])),
        10..=16 => Some(forged_header(chance)),
        _ => None,
    };
    let key = keys.get(chance.below(keys.len())).copied().unwrap_or("challenge.default");
    // Where only cancels and re-sends are taken, any request is one of the wrong type.
    if key.starts_with("control.") && matches!(expected, Expected::Refused(_)) {
        expected = Expected::Parked("invalid_request");
    }
    let message = Message { routing_key: key.into(), properties, body };
    Hostile { kind: format!("{kind}, {dressed}, {key}"), message, expected }
}

/// Each of these crashes a dead-letter worker of RabbitMQ 3.10.8, if it is let near one.
fn forged_death(chance: &mut Chance) -> Value {
    let entry = |entries| Value::List(vec![Value::Table(entries)]);
    let queue = || ("queue", Value::text("challenge.voice"));
    let forged = [
        Value::List(vec![Value::text("text")]),
        Value::List(vec![Value::Void]),
        Value::List(vec![Value::List(vec![Value::List(Vec::new())])]),
        Value::Long(5),
        entry(Table::default()),
        entry(Table::of([queue(), ("reason", Value::text("expired"))])),
        entry(Table::of([queue(), ("reason", Value::text("expired")), ("count", Value::text("many"))])),
        entry(Table::of([("queue", Value::Long(3)), ("reason", Value::Bytes(vec![0xff; 300]))])),
        entry(Table::of([("queue", Value::Table(Table::of([("queue", Value::Nested(9))])))])),
        entry(Table::of([queue(), ("time", Value::Time(1)), ("routing-keys", Value::text("k"))])),
    ];
    forged.get(chance.below(forged.len())).cloned().unwrap_or(Value::Void)
}

fn forged_header(chance: &mut Chance) -> Table {
    let forged = [
        Table::of([("x-mfa-portal", Value::text("victim")), ("x-mfa-reason", Value::text("none"))]),
        Table::of([("x-delivery-count", Value::Long(1_000_000))]),
        Table::of([("x-delivery-count", Value::text("many"))]),
        Table::of([("CC", Value::List(vec![Value::text("voice.dial"), Value::text("dead")]))]),
        Table::of([("traceparent", Value::Nested(HARMLESS_DEPTH))]),
        Table::of([("traceparent", Value::Bytes(vec![0xff; 200]))]),
        Table::of([("h", Value::Nested(HARMLESS_DEPTH))]),
        Table::of([("twice", Value::Boolean(true))]).with("twice", Value::Boolean(false)),
        Table::of([("large", Value::Bytes(vec![b'x'; 3_000]))]),
    ];
    forged.get(chance.below(forged.len())).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_messages_of_every_kind_and_all_fit_a_small_frame() {
        let now = 1_790_000_000_000;
        let (one, two) = (messages(7, 1_000, now, "fleet"), messages(7, 1_000, now, "fleet"));
        assert_eq!(one.len(), 1_000);
        assert!(one.iter().zip(&two).all(|(one, two)| one.message == two.message));
        assert!(
            one.iter().zip(messages(8, 1_000, now, "fleet")).any(|(one, two)| one.message != two.message)
        );
        let kinds: BTreeSet<_> = one.iter().filter_map(|hostile| hostile.kind.split(',').next()).collect();
        assert_eq!(kinds.len(), KINDS.len());
        assert!(one.iter().all(|hostile| hostile.message.properties.bytes().len() < 4_000));
    }

    #[test]
    fn those_about_enrollments_are_of_every_kind_and_the_same_for_the_same_seed() {
        let seal = |plain: &[u8]| ("0".repeat(16), format!("box-of-{}", plain.len()));
        let make = |seed| enrollments(seed, 500, (1_790_000_000_000, "fleet"), &seal);
        let one = make(7);
        assert!(one.iter().zip(make(7)).all(|(one, two)| one.message == two.message));
        assert!(one.iter().zip(make(8)).any(|(one, two)| one.message != two.message));
        let kinds: BTreeSet<_> = one.iter().filter_map(|hostile| hostile.kind.split(',').next()).collect();
        assert_eq!(kinds.len(), crate::enrollments::KINDS.len());
    }
}
