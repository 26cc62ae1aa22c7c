//! Who sent a message is what RabbitMQ proves, whatever the message says.

use fleet_broker::{LetterBox, Queue, Sender, Verdict};

use crate::support::{Fleet, Raw, message, portal};

const FORGED: &[(&str, &str)] = &[("x-mfa-portal", "victim")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_portal_header_is_ignored() {
    let fleet = Fleet::start().await;
    let mut seen = fleet.watch(Queue::ChallengeVoice, |_| Verdict::Done);
    let raw = Raw::connect(&fleet.settings).await;
    raw.publish(Queue::ChallengeVoice, FORGED, Some(raw.user.as_str())).await;
    assert_eq!(seen.next().await.sender, Sender::Portal(portal(&raw.user)));
    raw.publish(Queue::ChallengeVoice, FORGED, None).await;
    assert_eq!(seen.next().await.sender, Sender::Unproved);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_portal_header_is_ignored_after_a_retry_too() {
    let fleet = Fleet::start().await;
    let mut seen = fleet.watch(Queue::ChallengePush, |delivery| match &delivery.sender {
        Sender::Fleet { .. } => Verdict::Done,
        Sender::Portal(_) | Sender::Unproved => Verdict::RetryIn(std::time::Duration::ZERO),
    });
    let raw = Raw::connect(&fleet.settings).await;
    raw.publish(Queue::ChallengePush, FORGED, None).await;
    assert_eq!(seen.next().await.sender, Sender::Unproved);
    assert_eq!(seen.next().await.sender, Sender::Fleet { portal: None });
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_does_not_carry_a_portals_message_into_an_internal_queue() {
    let fleet = Fleet::start().await;
    let mut internal = fleet.watch(Queue::VoiceDial, |_| Verdict::Done);
    let mut seen = fleet.watch(Queue::ChallengePush, |delivery| match &delivery.sender {
        Sender::Fleet { .. } => Verdict::Done,
        Sender::Portal(_) | Sender::Unproved => Verdict::RetryIn(std::time::Duration::ZERO),
    });
    let raw = Raw::connect(&fleet.settings).await;
    // RabbitMQ takes the header `CC` for further routing keys.
    raw.publish(Queue::ChallengePush, &[("CC", "voice.dial")], Some(raw.user.as_str())).await;
    seen.next().await;
    seen.next().await;
    fleet.publisher().publish(message(Queue::VoiceDial, "own")).await.unwrap();
    assert_eq!(internal.next().await.body, "own");
    assert!(internal.is_empty());
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_portal_header_is_ignored_in_a_letter_that_was_given_up() {
    let fleet = Fleet::start().await;
    let _killed = fleet.watch(Queue::ChallengeDefault, |_| panic!("as a message that kills its workers"));
    let raw = Raw::connect(&fleet.settings).await;
    raw.publish(Queue::ChallengeDefault, FORGED, None).await;
    fleet.until(|| fleet.metric(r#"mfa_broker_parked_total{reason="given_up"}"#) == 1).await;
    let letters = fleet.broker.browse(LetterBox::Parked, 10).await.unwrap();
    assert_eq!((letters.len(), letters[0].portal.as_ref()), (1, None));
    fleet.end().await;
}
