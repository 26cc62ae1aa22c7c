//! What operators see.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use fleet_broker::{Broker, Exchange, Letter, LetterBox, Poison, Queue, Sender, Verdict};
use fleet_telemetry::{Metrics, Readiness};

use crate::support::{Fleet, Network, Seen, context, message, portal};

/// A fleet that has parked these bodies, in this order, and whose handler is content from now on.
async fn parked(bodies: &[&'static str]) -> (Fleet, Seen) {
    let fleet = Fleet::start().await;
    let content = Arc::new(AtomicBool::new(false));
    let is_content = content.clone();
    let mut seen = fleet.watch(Queue::VoiceDial, move |_| {
        if is_content.load(Ordering::SeqCst) {
            Verdict::Done
        } else {
            Verdict::Poison(Poison::whole("not_storable", ""))
        }
    });
    for (place, body) in bodies.iter().enumerate() {
        fleet.publisher().publish(message(Queue::VoiceDial, body)).await.unwrap();
        seen.next().await;
        let parked = r#"mfa_broker_deliveries_total{end="poison",queue="voice.dial"}"#;
        fleet.until(|| fleet.metric(parked) == place as u64 + 1).await;
    }
    content.store(true, Ordering::SeqCst);
    (fleet, seen)
}

fn bodies(letters: &[Letter]) -> Vec<&str> {
    letters.iter().map(|letter| str::from_utf8(&letter.body).unwrap()).collect()
}

fn again(letter: &Letter) -> fleet_broker::Message {
    letter.again(Exchange::Return, Queue::VoiceDial.name().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m6_a_letter_that_is_sent_again_is_handled_once_and_the_others_keep_their_places() {
    let (fleet, mut seen) = parked(&["first", "second", "third", "fourth"]).await;
    let pile = fleet.broker.take_up(LetterBox::Parked, 10).await.unwrap();
    let letter = pile.letters()[1].clone();
    fleet.publisher().publish(again(&letter)).await.unwrap();
    pile.remove(1).await.unwrap();
    pile.put_back().await;
    let delivery = seen.next().await;
    assert_eq!(
        (delivery.body.as_ref(), delivery.message_id.clone()),
        (b"second".as_slice(), letter.message_id)
    );
    assert_eq!(delivery.sender, Sender::Fleet { portal: Some(portal("operations")) });
    assert_eq!(delivery.traceparent, message(Queue::VoiceDial, "").traceparent);
    let done = r#"mfa_broker_deliveries_total{end="done",queue="voice.dial"}"#;
    fleet.until(|| fleet.metric(done) == 1).await;
    let left = fleet.broker.browse(LetterBox::Parked, 10).await.unwrap();
    assert_eq!(bodies(&left), ["first", "third", "fourth"]);
    assert!(seen.is_empty());
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m6_whoever_dies_between_sending_a_letter_again_and_removing_it_leaves_it_there() {
    let (fleet, mut seen) = parked(&["first", "second"]).await;
    let network = Network::start().await;
    let (operators, mut settings) = (context(), fleet.settings.clone());
    settings.urls = vec![network.url.clone().into()];
    let operator = Broker::start(&settings, &operators, &Metrics::new(), &Readiness::new()).unwrap();
    let pile = operator.take_up(LetterBox::Parked, 10).await.unwrap();
    assert!(fleet.broker.browse(LetterBox::Parked, 10).await.unwrap().is_empty(), "they are in hand");
    operator.publisher().publish(again(&pile.letters()[0])).await.unwrap();
    assert_eq!(seen.next().await.body, "first");
    network.fail();
    let mut left = Vec::new();
    while left.len() < 2 {
        left = fleet.broker.browse(LetterBox::Parked, 10).await.unwrap();
    }
    assert_eq!(bodies(&left), ["first", "second"]);
    assert!(pile.remove(0).await.is_err());
    assert!(seen.is_empty(), "it was sent again once");
    operators.stop.request_hard();
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn depths_name_every_queue() {
    let fleet = Fleet::start().await;
    let _seen = fleet.watch(Queue::Control, |_| Verdict::Done);
    fleet.publisher().publish(message(Queue::VoiceDial, "{}")).await.unwrap();
    let mut depths = fleet.broker.queue_depths().await.unwrap();
    // The consumer subscribes in its own time.
    while depths.iter().all(|depth| depth.consumers == 0) {
        depths = fleet.broker.queue_depths().await.unwrap();
    }
    let named: Vec<Queue> = depths.iter().map(|depth| depth.queue).collect();
    assert_eq!(named, Queue::ALL);
    for depth in depths {
        assert_eq!(depth.ready, u32::from(depth.queue == Queue::VoiceDial), "{depth:?}");
        assert_eq!(depth.consumers, u32::from(depth.queue == Queue::Control), "{depth:?}");
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsing_changes_nothing() {
    let fleet = Fleet::start().await;
    let mut seen = fleet.watch(Queue::VoiceDial, |_| Verdict::Poison(Poison::whole("unknown_version", "")));
    let parked = r#"mfa_broker_deliveries_total{end="poison",queue="voice.dial"}"#;
    for (body, count) in [("first", 1), ("second", 2), ("third", 3)] {
        fleet.publisher().publish(message(Queue::VoiceDial, body)).await.unwrap();
        seen.next().await;
        fleet.until(|| fleet.metric(parked) == count).await;
    }
    for _ in 0..30 {
        let front = fleet.broker.browse(LetterBox::Parked, 2).await.unwrap();
        let bodies: Vec<&[u8]> = front.iter().map(|letter| letter.body.as_ref()).collect();
        assert_eq!(bodies, [b"first".as_slice(), b"second"]);
    }
    assert_eq!(fleet.broker.browse(LetterBox::Parked, 10).await.unwrap().len(), 3);
    assert!(fleet.broker.browse(LetterBox::Dead, 10).await.unwrap().is_empty());
    fleet.end().await;
}
