//! The broker goes away, or forgets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fleet_broker::{Delivery, Handler, Queue, Verdict};
use tokio::sync::{Notify, mpsc};

use crate::support::{Fleet, Network, PATIENCE, Raw, message, publish_until_routed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_outlives_the_deletion_of_its_queue() {
    let fleet = Fleet::start_with(|settings| settings.idle_check = Duration::from_secs(1)).await;
    let mut seen = fleet.watch(Queue::VoiceHangup, |_| Verdict::Done);
    fleet.publisher().publish(message(Queue::VoiceHangup, "before")).await.unwrap();
    assert_eq!(seen.next().await.body, "before");
    Raw::connect(&fleet.settings).await.delete(Queue::VoiceHangup).await;
    publish_until_routed(&fleet.publisher(), &message(Queue::VoiceHangup, "after")).await;
    assert_eq!(seen.next().await.body, "after");
    fleet.end().await;
}

/// The first delivery waits until its connection is lost.
struct Interrupted {
    seen: mpsc::UnboundedSender<bool>,
    first: AtomicBool,
    go_on: Arc<Notify>,
}

impl Handler for Interrupted {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        assert!(delivery.usable());
        // From here on the test may cut the connection.
        let _ = self.seen.send(delivery.redelivered);
        if self.first.swap(false, Ordering::SeqCst) {
            self.go_on.notified().await;
            assert!(!delivery.usable());
            // Dropped, since the other delivery of the message decides.
            return Verdict::RetryIn(Duration::ZERO);
        }
        Verdict::Done
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_lost_connection_unacked_messages_come_again_and_late_verdicts_are_dropped() {
    let network = Network::start().await;
    let fleet = Fleet::start_with(|settings| settings.urls = vec![network.url.clone().into()]).await;
    let (seen, mut redelivered) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let handler = Interrupted { seen, first: AtomicBool::new(true), go_on: go_on.clone() };
    fleet.broker.consume(Queue::VoiceDial, 4, handler);
    fleet.publisher().publish(message(Queue::VoiceDial, "{}")).await.unwrap();
    assert!(!redelivered.recv().await.unwrap());
    network.cut();
    let again = tokio::time::timeout(PATIENCE, redelivered.recv()).await.unwrap();
    assert_eq!(again, Some(true));
    go_on.notify_one();
    fleet.until(|| fleet.metric(r#"mfa_broker_deliveries_total{end="lost",queue="voice.dial"}"#) == 1).await;
    fleet.until(|| fleet.metric(r#"mfa_broker_deliveries_total{end="done",queue="voice.dial"}"#) == 1).await;
    fleet.stop().await;
    let raw = Raw::connect(&fleet.settings).await;
    for queue in Queue::ALL {
        assert_eq!(raw.ready(queue).await, 0, "{queue:?}");
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishes_outlive_a_lost_connection() {
    let network = Network::start().await;
    let fleet = Fleet::start_with(|settings| settings.urls = vec![network.url.clone().into()]).await;
    let publisher = fleet.publisher();
    let sent = (0..200).map(|turn| {
        let (publisher, network) = (publisher.clone(), &network);
        async move {
            if turn == 100 {
                network.cut();
            }
            publisher.publish(message(Queue::PushSend, "{}")).await
        }
    });
    for result in futures_util::future::join_all(sent).await {
        assert_eq!(result, Ok(()));
    }
    // What was stored before the cut and sent again is there twice.
    assert!(Raw::connect(&fleet.settings).await.ready(Queue::PushSend).await >= 200);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_follows_the_connections() {
    let network = Network::start().await;
    let fleet = Fleet::start_with(|settings| settings.urls = vec![network.url.clone().into()]).await;
    network.fail();
    fleet.until(|| !fleet.readiness.is_ready()).await;
    network.restore();
    fleet.until(|| fleet.readiness.is_ready()).await;
    assert!(fleet.metric(r#"mfa_broker_connects_total{connection="consume"}"#) >= 2);
    fleet.end().await;
}
