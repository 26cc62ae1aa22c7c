//! What a portal can write must hurt nobody else: not the broker's dead-lettering, not the messages beside it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fleet_broker::{Delivery, Handler, LetterBox, Message, Queue, Sender, Verdict};
use fleet_hostile::{Answer, Attacker, Properties, Table, Value};
use fleet_testkit::amqp_url;
use tokio::sync::mpsc;

use crate::support::{Fleet, Raw, message, portal};

/// What goes through the hands of a handler that gives up what it cannot do.
struct Careful {
    handled: mpsc::UnboundedSender<Delivery>,
    given_up: mpsc::UnboundedSender<Delivery>,
    /// Whether handling panics, as a bug does.
    broken: bool,
}

impl Handler for Careful {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        let _ = self.handled.send(delivery);
        assert!(!self.broken, "as a bug in a handler does");
        Verdict::Done
    }

    async fn give_up(&self, delivery: Delivery) -> Verdict {
        let _ = self.given_up.send(delivery);
        Verdict::Done
    }
}

type Deliveries = mpsc::UnboundedReceiver<Delivery>;

fn careful(broken: bool) -> (Careful, Deliveries, Deliveries) {
    let (handled, seen) = mpsc::unbounded_channel();
    let (given_up, ended) = mpsc::unbounded_channel();
    (Careful { handled, given_up, broken }, seen, ended)
}

fn forged(queue: Queue, headers: Table) -> fleet_hostile::Message {
    let properties =
        Properties { headers: Some(headers), expiration: Some(b"1".to_vec()), ..Properties::default() };
    fleet_hostile::Message { routing_key: queue.name().into(), properties, body: b"{}".to_vec() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_x_death_stops_nothing_that_waits_in_a_rung() {
    let fleet = Fleet::start().await;
    let raw = Raw::connect(&fleet.settings).await;
    let mut attacker = Attacker::connect(&amqp_url()).await.unwrap();
    // Nobody consumes, so it is RabbitMQ that ends these.
    for death in
        [Value::List(vec![Value::Void]), Value::List(vec![Value::Table(Table::default())]), Value::Long(5)]
    {
        let message = forged(Queue::ChallengePush, Table::of([("x-death", death)]));
        assert_eq!(attacker.publish(&raw.name("mfa.requests"), &message).await.unwrap(), Answer::Stored);
    }
    let mut seen = fleet.watch(Queue::ChallengeVoice, |delivery| match &delivery.sender {
        Sender::Fleet { .. } => Verdict::Done,
        Sender::Portal(_) | Sender::Unproved => Verdict::RetryIn(Duration::ZERO),
    });
    fleet.publisher().publish(message(Queue::ChallengeVoice, "{}")).await.unwrap();
    seen.next().await;
    // It comes back from its rung, which is RabbitMQ's dead-lettering at work.
    seen.next().await;
    assert_eq!(raw.ready(Queue::ChallengePush).await, 0, "they have expired");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portals_message_that_cannot_be_handled_is_given_up_by_its_own_handler_before_the_broker_drops_it()
{
    let fleet = Fleet::start().await;
    let (careful, mut handled, mut given_up) = careful(true);
    fleet.broker.consume(Queue::ChallengeVoice, 16, careful);
    let sent = message(Queue::ChallengeVoice, r#"{"id":1}"#);
    fleet.publisher().publish(sent.clone()).await.unwrap();
    let letter = given_up.recv().await.unwrap();
    assert!(letter.last_chance);
    assert_eq!((letter.body, letter.message_id), (sent.body, Some(sent.message_id)));
    let raw = Raw::connect(&fleet.settings).await;
    assert_eq!(letter.sender, Sender::Portal(portal(&raw.user)));
    let mut deliveries = 0;
    while let Ok(delivery) = handled.try_recv() {
        assert!(!delivery.last_chance);
        deliveries += 1;
    }
    assert_eq!(deliveries, 18, "the first one, and those that the broker counted 1 to 17");
    fleet.stop().await;
    for queue in Queue::ALL {
        assert_eq!(raw.ready(queue).await, 0, "{queue:?}");
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_parked_where_its_handler_knows_no_other_end() {
    let fleet = Fleet::start().await;
    let _seen = fleet.watch(Queue::Control, |_| panic!("as a bug in a handler does"));
    let cancel = Message { routing_key: "control.cancel".into(), ..message(Queue::Control, "{}") };
    fleet.publisher().publish(cancel).await.unwrap();
    fleet.until(|| fleet.metric(r#"mfa_broker_parked_total{reason="given_up"}"#) == 1).await;
    let letters = fleet.broker.browse(LetterBox::Parked, 10).await.unwrap();
    assert_eq!((letters.len(), letters[0].queue), (1, Some(Queue::Control)));
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_delivery_count_does_not_end_a_message_at_its_first_delivery() {
    let fleet = Fleet::start().await;
    let (careful, mut handled, mut given_up) = careful(false);
    fleet.broker.consume(Queue::ChallengeDefault, 16, careful);
    let mut attacker = Attacker::connect(&amqp_url()).await.unwrap();
    let exchange = Raw::connect(&fleet.settings).await.name("mfa.requests");
    let message = forged(Queue::ChallengeDefault, Table::of([("x-delivery-count", Value::Long(20))]));
    let unexpiring = fleet_hostile::Message {
        properties: Properties { expiration: None, ..message.properties },
        ..message
    };
    attacker.publish(&exchange, &unexpiring).await.unwrap();
    assert!(!handled.recv().await.unwrap().last_chance);
    assert!(given_up.try_recv().is_err());
    fleet.end().await;
}

/// Takes a while over each message, so that others are under way when a connection breaks.
struct Diligent {
    handled: Arc<Mutex<BTreeSet<String>>>,
    given_up: Arc<AtomicBool>,
}

impl Handler for Diligent {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        assert_ne!(delivery.body, "swells", "as a bug in a handler does");
        tokio::time::sleep(Duration::from_millis(5)).await;
        if delivery.usable() {
            self.handled.lock().unwrap().extend(delivery.message_id);
        }
        Verdict::Done
    }

    async fn give_up(&self, _: Delivery) -> Verdict {
        self.given_up.store(true, Ordering::SeqCst);
        Verdict::Done
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_that_breaks_connections_among_two_hundred_good_ones_costs_none_of_them() {
    let fleet = Fleet::start().await;
    let raw = Raw::connect(&fleet.settings).await;
    let mut attacker = Attacker::connect(&amqp_url()).await.unwrap();
    let mut sent = BTreeSet::new();
    for turn in 0..200 {
        if turn == 100 {
            let breaker = fleet_hostile::breaker(Queue::ChallengePush.name(), &raw.user);
            let stored = attacker.publish(&raw.name("mfa.requests"), &breaker).await.unwrap();
            assert_eq!(stored, Answer::Stored);
        }
        let good = message(Queue::ChallengePush, "{}");
        sent.insert(good.message_id.clone());
        fleet.publisher().publish(good).await.unwrap();
    }
    let (handled, given_up) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    let started = tokio::time::Instant::now();
    fleet.broker.consume(
        Queue::ChallengePush,
        64,
        Diligent { handled: Arc::clone(&handled), given_up: given_up.clone() },
    );
    // A neighbour on another queue does not even notice.
    let (neighbour, _handled, _) = careful(false);
    fleet.broker.consume(Queue::ChallengeVoice, 16, neighbour);
    let unreadable = r#"mfa_broker_unreadable_total{connection="challenge.push"}"#;
    fleet.until(|| handled.lock().unwrap().len() == sent.len()).await;
    println!("200 good ones handled after {:?}", started.elapsed());
    assert_eq!(*handled.lock().unwrap(), sent);
    assert!(!given_up.load(Ordering::SeqCst));
    assert_eq!(fleet.metric(unreadable), 21, "the limit of 20, and the first delivery");
    for calm in ["publish", "consume", "challenge.voice"] {
        let connects = format!(r#"mfa_broker_connects_total{{connection="{calm}"}}"#);
        assert_eq!(fleet.metric(&connects), 1, "{calm}");
    }
    fleet.stop().await;
    assert_eq!(raw.ready(Queue::ChallengePush).await, 0, "it is gone");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_outgrows_its_frame_when_it_is_delivered_again_costs_no_good_message() {
    let fleet = Fleet::start().await;
    let raw = Raw::connect(&fleet.settings).await;
    let mut attacker = Attacker::connect(&amqp_url()).await.unwrap();
    let swelling = fleet_hostile::swelling(Queue::ChallengePush.name(), &raw.user, attacker.frame_max());
    let mut sent = BTreeSet::new();
    for _ in 0..20 {
        assert_eq!(attacker.publish(&raw.name("mfa.requests"), &swelling).await.unwrap(), Answer::Stored);
        let good = message(Queue::ChallengePush, "{}");
        sent.insert(good.message_id.clone());
        fleet.publisher().publish(good).await.unwrap();
    }
    let (handled, given_up) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    let diligent = Diligent { handled: Arc::clone(&handled), given_up: given_up.clone() };
    fleet.broker.consume(Queue::ChallengePush, 64, diligent);
    fleet.until(|| *handled.lock().unwrap() == sent).await;
    assert!(!given_up.load(Ordering::SeqCst));
    assert!(fleet.metric(r#"mfa_broker_unreadable_total{connection="challenge.push"}"#) > 0);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_as_deep_as_the_broker_lets_through_is_read() {
    let fleet = Fleet::start().await;
    let raw = Raw::connect(&fleet.settings).await;
    let mut seen = fleet.watch(Queue::ChallengePush, |_| Verdict::Done);
    // `frame_max` of 8192 less what stands around the lists, five bytes each; `.cargo/config.toml` has the stack for it.
    let deepest = (8192 - 100) / 5;
    let nested = fleet_hostile::nested(Queue::ChallengePush.name(), &raw.user, deepest);
    let mut attacker = Attacker::connect(&amqp_url()).await.unwrap();
    assert_eq!(attacker.publish(&raw.name("mfa.requests"), &nested).await.unwrap(), Answer::Stored);
    assert_eq!(seen.next().await.body, "{}");
    fleet.end().await;
}
