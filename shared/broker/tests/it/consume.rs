//! What becomes of a delivery.

use std::{sync::Arc, time::Duration};

use fleet_broker::{DeadInfo, Delivery, Handler, LetterBox, Poison, Queue, Sender, Verdict};
use futures_util::future::join_all;
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

use crate::support::{Fleet, PATIENCE, Raw, message, portal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_comes_back_after_its_rung_with_its_portal() {
    let fleet = Fleet::start().await;
    let mut seen = fleet.watch(Queue::ChallengeVoice, |delivery| match &delivery.sender {
        Sender::Fleet { .. } => Verdict::Done,
        Sender::Portal(_) | Sender::Unproved => Verdict::RetryIn(Duration::from_millis(2500)),
    });
    let sent = message(Queue::ChallengeVoice, r#"{"id":1}"#);
    let started = Instant::now();
    fleet.publisher().publish(sent.clone()).await.unwrap();
    let user = Raw::connect(&fleet.settings).await.user;
    assert_eq!(seen.next().await.sender, Sender::Portal(portal(&user)));
    let again = seen.next().await;
    assert!(started.elapsed() >= Duration::from_secs(2));
    assert_eq!(again.sender, Sender::Fleet { portal: Some(portal(&user)) });
    assert_eq!(again.body, sent.body);
    assert_eq!(again.message_id, Some(sent.message_id));
    assert_eq!(again.content_type, Some(sent.content_type));
    assert_eq!(again.traceparent, sent.traceparent);
    assert_eq!(fleet.metric(r#"mfa_broker_deliveries_total{end="retry",queue="challenge.voice"}"#), 1);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_is_parked_with_its_reason_and_without_values() {
    let fleet = Fleet::start().await;
    let mut seen = fleet.watch(Queue::ChallengePush, |delivery| {
        Verdict::Poison(if delivery.body.starts_with(b"{\"number") {
            Poison::hash_only("schema_violation", "answer_by: not a time", vec!["number_match".into()])
        } else {
            Poison::whole("unknown_version", "challenge v9")
        })
    });
    let (whole, hashed) = (r#"{"id":1}"#, r#"{"number_match":"4711"}"#);
    let parked = r#"mfa_broker_deliveries_total{end="poison",queue="challenge.push"}"#;
    for (body, count) in [(whole, 1), (hashed, 2)] {
        fleet.publisher().publish(message(Queue::ChallengePush, body)).await.unwrap();
        seen.next().await;
        fleet.until(|| fleet.metric(parked) == count).await;
    }
    let letters = fleet.broker.browse(LetterBox::Parked, 10).await.unwrap();
    let [first, second] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((first.reason.as_str(), first.detail.as_str()), ("unknown_version", "challenge v9"));
    assert_eq!(first.body, whole);
    assert_eq!(second.reason, "schema_violation");
    assert!(!format!("{second:?}").contains("4711"));
    assert!(String::from_utf8_lossy(&second.body).contains("number_match"));
    assert_eq!(second.queue, Some(Queue::ChallengePush));
    assert_eq!(second.portal, first.portal);
    assert!(first.portal.is_some());
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversize_body_is_parked_before_a_handler_sees_it() {
    let fleet = Fleet::start_with(|settings| settings.max_body_bytes = 1024).await;
    let mut seen = fleet.watch(Queue::ChallengePush, |_| Verdict::Done);
    let large = fleet_broker::Message { body: vec![b' '; 1025].into(), ..message(Queue::ChallengePush, "") };
    let fitting =
        fleet_broker::Message { body: vec![b' '; 1024].into(), ..message(Queue::ChallengePush, "") };
    fleet.publisher().publish(large).await.unwrap();
    fleet.publisher().publish(fitting).await.unwrap();
    assert_eq!(seen.next().await.body.len(), 1024);
    fleet.until(|| fleet.metric(r#"mfa_broker_parked_total{reason="oversize_body"}"#) == 1).await;
    assert!(seen.is_empty());
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_always_panics_ends_in_dead_and_holds_nobody_up() {
    let fleet = Fleet::start().await;
    let mut dead = fleet.watch(Queue::Dead, |_| Verdict::Done);
    let mut seen = fleet.watch(Queue::VoiceDial, |delivery| {
        assert_ne!(delivery.body, "poison", "as a bug in a handler does");
        Verdict::Done
    });
    let poison = message(Queue::VoiceDial, "poison");
    fleet.publisher().publish(poison.clone()).await.unwrap();
    fleet.publisher().publish(message(Queue::VoiceDial, "good")).await.unwrap();
    assert_eq!(seen.next().await.body, "good");
    let letter = dead.next().await;
    assert_eq!(letter.message_id, Some(poison.message_id));
    assert_eq!(letter.sender, Sender::Fleet { portal: poison.portal });
    let reason = DeadInfo { queue: Some(Queue::VoiceDial), reason: "delivery_limit".into(), count: 1 };
    assert_eq!(letter.dead, Some(reason));
    assert_eq!(fleet.metric(r#"mfa_broker_deliveries_total{end="panic",queue="voice.dial"}"#), 21);
    fleet.end().await;
}

/// Says when it begins, and ends when it may.
struct Slow {
    begun: mpsc::UnboundedSender<Delivery>,
    may_end: Arc<Semaphore>,
}

impl Handler for Slow {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        let _ = self.begun.send(delivery);
        self.may_end.acquire().await.unwrap().forget();
        Verdict::Done
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soft_stop_finishes_what_was_begun_and_leaves_the_rest() {
    let fleet = Fleet::start().await;
    let publishes = (0..10).map(|_| message(Queue::PushSend, "{}"));
    join_all(publishes.map(|sent| async { fleet.publisher().publish(sent).await.unwrap() })).await;
    let (begun, mut deliveries) = mpsc::unbounded_channel();
    let may_end = Arc::new(Semaphore::new(0));
    fleet.broker.consume(Queue::PushSend, 3, Slow { begun, may_end: may_end.clone() });
    for _ in 0..3 {
        deliveries.recv().await.unwrap();
    }
    fleet.context.stop.request_soft();
    may_end.add_permits(3);
    assert!(fleet.context.tasks.wait(PATIENCE).await);
    assert!(deliveries.is_empty(), "a handler began after the stop");
    assert_eq!(Raw::connect(&fleet.settings).await.ready(Queue::PushSend).await, 7);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_delivery_does_not_hold_up_the_others() {
    let fleet = Fleet::start().await;
    let (begun, mut deliveries) = mpsc::unbounded_channel();
    let may_end = Arc::new(Semaphore::new(0));
    fleet.broker.consume(Queue::PushSend, 2, Slow { begun, may_end: may_end.clone() });
    for _ in 0..2 {
        fleet.publisher().publish(message(Queue::PushSend, "{}")).await.unwrap();
        deliveries.recv().await.unwrap();
    }
    // One of the two ends; its place must be free for the next although the other one goes on.
    for _ in 0..5 {
        may_end.add_permits(1);
        fleet.publisher().publish(message(Queue::PushSend, "{}")).await.unwrap();
        tokio::time::timeout(PATIENCE, deliveries.recv()).await.unwrap().unwrap();
    }
    may_end.add_permits(2);
    fleet.end().await;
}
