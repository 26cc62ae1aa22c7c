//! Confirmed publishing.

use fleet_broker::{Broker, Exchange, Message, PublishError, Queue, Sender, Verdict};
use fleet_testkit::amqp_url;
use futures_util::future::join_all;

use crate::support::{Fleet, Network, Raw, context, message, portal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_arrives_as_it_was_published() {
    let fleet = Fleet::start().await;
    let mut seen = fleet.watch(Queue::VoiceDial, |_| Verdict::Done);
    let sent = message(Queue::VoiceDial, r#"{"id":1}"#);
    fleet.publisher().publish(sent.clone()).await.unwrap();
    let delivery = seen.next().await;
    assert_eq!(delivery.body, sent.body);
    assert_eq!(delivery.sender, Sender::Fleet { portal: sent.portal });
    assert_eq!(delivery.message_id, Some(sent.message_id));
    assert_eq!(delivery.content_type, Some(sent.content_type));
    assert_eq!(delivery.traceparent, sent.traceparent);
    assert_eq!((delivery.queue, delivery.redelivered, delivery.dead), (Queue::VoiceDial, false, None));
    let age = fleet.context.clock.now().since(delivery.published_at.unwrap());
    assert!(age.as_secs() < 60, "{age:?}");
    fleet.stop().await;
    assert_eq!(Raw::connect(&fleet.settings).await.ready(Queue::VoiceDial).await, 0);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mandatory_message_that_no_queue_takes_is_an_error_and_an_event_is_not() {
    let fleet = Fleet::start().await;
    let lost = Message { routing_key: "challenge.sms".into(), ..message(Queue::ChallengeVoice, "{}") };
    assert_eq!(fleet.publisher().publish(lost).await, Err(PublishError::Unroutable));
    let event = Message {
        exchange: Exchange::Events,
        routing_key: "operations.challenge.resolved".into(),
        mandatory: false,
        ..message(Queue::ChallengeVoice, "{}")
    };
    assert_eq!(fleet.publisher().publish(event).await, Ok(()));
    assert_eq!(fleet.metric(r#"mfa_broker_published_total{exchange="mfa.requests",result="unroutable"}"#), 1);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_publishers_is_told_about_its_own_message() {
    let fleet = Fleet::start_with(|settings| settings.publisher_channels = 1).await;
    let publisher = fleet.publisher();
    // Rounds of several publishers, so that the confirms of queues and the returns of unroutable messages mix.
    let publishers = (0..60).map(|place| {
        let publisher = publisher.clone();
        async move {
            for round in 0..40 {
                let routable = (place + round) % 3 != 0;
                let key = if routable { "push.send" } else { "nobody.takes.this" };
                let sent = Message { routing_key: key.into(), ..message(Queue::PushSend, "{}") };
                let expected = if routable { Ok(()) } else { Err(PublishError::Unroutable) };
                assert_eq!(publisher.publish(sent).await, expected, "{place} {round}");
            }
        }
    });
    join_all(publishers).await;
    assert_eq!(Raw::connect(&fleet.settings).await.ready(Queue::PushSend).await, 1600);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_instead_of_dropping() {
    let fleet = Fleet::start_with(|settings| settings.max_length = 1000).await;
    let publisher = fleet.publisher();
    let mut stored = 0;
    let mut refused = 0;
    while refused == 0 {
        let sent = (0..500).map(|_| publisher.publish(message(Queue::VoiceHangup, "{}")));
        for result in join_all(sent).await {
            match result {
                Ok(()) => stored += 1,
                Err(error) => {
                    assert_eq!(error, PublishError::Nacked);
                    refused += 1;
                }
            }
        }
    }
    assert!(stored >= 1000, "{stored}");
    assert_eq!(Raw::connect(&fleet.settings).await.ready(Queue::VoiceHangup).await, stored);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_publishes_requests_under_its_own_user() {
    let fleet = Fleet::start().await;
    let mut seen = fleet.watch(Queue::Control, |_| Verdict::Done);
    let context = context();
    let publisher = Broker::portal(&fleet.settings, &context, &fleet.metrics).unwrap();
    let cancel =
        Message { routing_key: "control.cancel".into(), portal: None, ..message(Queue::Control, "{}") };
    publisher.publish(cancel).await.unwrap();
    let user = Raw::connect(&fleet.settings).await.user;
    assert_eq!(seen.next().await.sender, Sender::Portal(portal(&user)));
    context.stop.request_soft();
    assert!(context.tasks.wait(crate::support::PATIENCE).await);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_connection_a_publish_fails_in_time() {
    let network = Network::start().await;
    let fleet = Fleet::start_with(|settings| {
        settings.urls = vec![network.url.clone().into()];
        settings.confirm_timeout = std::time::Duration::from_millis(300);
    })
    .await;
    network.fail();
    fleet.until(|| !fleet.publisher().is_connected()).await;
    let result = fleet.publisher().publish(message(Queue::VoiceDial, "{}")).await;
    assert_eq!(result, Err(PublishError::NotConnected));
    network.restore();
    fleet.until(|| fleet.readiness.is_ready()).await;
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_node_that_answers_is_taken() {
    let fleet = Fleet::start_with(|settings| {
        let network = amqp_url();
        // Nothing listens on the discard port.
        let uri: lapin::uri::AMQPUri = network.parse().unwrap();
        let mut dead = uri;
        dead.authority.port = 9;
        settings.urls = vec![dead.to_string().into(), network.into()];
    })
    .await;
    fleet.publisher().publish(message(Queue::VoiceDial, "{}")).await.unwrap();
    fleet.end().await;
}
