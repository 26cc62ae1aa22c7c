//! What operators see.

use fleet_broker::{LetterBox, Poison, Queue, Verdict};

use crate::support::{Fleet, message};

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
