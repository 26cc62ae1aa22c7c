//! `fleetctl dead replay`: a letter goes back to where it came from, if that is harmless.
//!
//! It is published, confirmed, and then removed, so a crash in between leaves it twice and never loses it. Whatever is
//! replayed is idempotent, or its readers know it by its id.

use fleet_broker::{Broker, Exchange, Letter, Message, PublishError, Queue};
use fleet_contracts::{self as contracts, Message as Body};

use super::{go_through, name, no_such};
use crate::error::{Error, Server};
use crate::exit::Exit;
use crate::print::{Screen, clean};
use crate::settings::Sections;

pub(in crate::commands) async fn replay(
    id: &str,
    sections: &Sections,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let replay_one = async |broker: &Broker, _, letter: &Letter| {
        if name(letter) != id {
            return Ok(None);
        }
        let message = again(letter)?;
        let to = message.routing_key.clone();
        broker.publisher().publish(message).await.map_err(publish_error)?;
        Ok(Some(to))
    };
    let replayed = go_through(sections, replay_one).await?;
    if replayed.is_empty() {
        return Err(no_such(id));
    }
    for to in replayed {
        screen.line(&format!("{} was published again, to {}", clean(id), clean(&to)))?;
    }
    Ok(Exit::Done)
}

/// The message that goes back to where the letter came from, or why none may.
fn again(letter: &Letter) -> Result<Message, Error> {
    let refused = |rule: &str| Error::Refused { field: clean(&name(letter)), rule: rule.to_owned() };
    if !letter.is_whole() {
        return Err(refused(
            "can't be replayed: its body broke its contract, so that only its hash was kept; its sender has to send it again",
        ));
    }
    let body = contracts::parse(&letter.body).map_err(|invalid| {
        refused(&format!("can't be replayed: it would be parked again, since {invalid}"))
    })?;
    let Some(portal) = &letter.portal else {
        return Err(refused("can't be replayed: nobody has proved for which portal it was sent"));
    };
    let event = &body.event;
    let message = match (back_to(&event.message), event.message.event_type().told_as()) {
        (Some(queue), _) => letter.again(Exchange::Return, queue.name().to_owned()),
        (None, Some(happened)) => letter.again(Exchange::Events, format!("{portal}.{happened}")),
        (None, None) => {
            return Err(refused(
                "is of a challenge (a request for one, or a code), and never replayed: its portal publishes a new one, under \
                 a new challenge_id",
            ));
        }
    };
    // A portal that hears an event twice knows it by its id.
    let message_id =
        if message.message_id.is_empty() { event.id.clone() } else { message.message_id.clone() };
    Ok(Message { message_id, ..message })
}

/// The queue whose work it is, where doing it twice is harmless.
const fn back_to(body: &Body) -> Option<Queue> {
    match body {
        Body::CancelRequested(_) | Body::ResendRequested(_) => Some(Queue::Control),
        // Known by its id: one that was taken before changes nothing.
        Body::EnrollmentRequested(_) | Body::EnrollmentContinued(_) => Some(Queue::Enrollment),
        Body::TestEnded(_) => Some(Queue::TestEnded),
        Body::DialOwed(_) => Some(Queue::VoiceDial),
        Body::HangUpOwed(_) => Some(Queue::VoiceHangup),
        Body::SendOwed(_) => Some(Queue::PushSend),
        // A person would be asked, with nobody waiting for the answer; and the others are told to portals.
        Body::ChallengeRequested(_)
        | Body::CodeEntered(_)
        | Body::ChallengeResolved(_)
        | Body::ChallengeRefused(_)
        | Body::FraudReported(_)
        | Body::EnrollmentChanged(_)
        | Body::EnrollmentRefused(_) => None,
    }
}

fn publish_error(error: PublishError) -> Error {
    let problem = Error::chain(&error);
    match error {
        PublishError::Refused | PublishError::Unroutable | PublishError::TooLong(_) => {
            Error::Forbidden { server: Server::RabbitMq, problem }
        }
        PublishError::Nacked | PublishError::TimedOut | PublishError::NotConnected => {
            Error::Unavailable { server: Server::RabbitMq, problem }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::letter;
    use super::*;

    /// The golden examples of the contracts: a letter of each type.
    fn example(name: &str) -> Letter {
        let path = format!("{}/../../shared/contracts/examples/{name}.json", env!("CARGO_MANIFEST_DIR"));
        Letter { body: std::fs::read(path).unwrap().into(), headers: BTreeMap::default(), ..letter("") }
    }

    #[test]
    fn m6_each_type_goes_back_to_where_it_came_from_and_a_challenge_nowhere() {
        let table = [
            ("challenge-request", None),
            ("code-entered", None),
            ("cancel-request", Some((Exchange::Return, "control"))),
            ("resend-request", Some((Exchange::Return, "control"))),
            ("enrollment-request", Some((Exchange::Return, "enrollment"))),
            ("enrollment-continue", Some((Exchange::Return, "enrollment"))),
            ("test-ended", Some((Exchange::Return, "enrollment.test_ended"))),
            ("dial-owed", Some((Exchange::Return, "voice.dial"))),
            ("hang-up-owed", Some((Exchange::Return, "voice.hangup"))),
            ("send-owed", Some((Exchange::Return, "push.send"))),
            ("resolved", Some((Exchange::Events, "operations.challenge.resolved"))),
            ("challenge-refused", Some((Exchange::Events, "operations.challenge.refused"))),
            ("fraud-reported", Some((Exchange::Events, "operations.fraud.reported"))),
            ("enrollment-changed", Some((Exchange::Events, "operations.enrollment.changed"))),
            ("enrollment-refused", Some((Exchange::Events, "operations.enrollment.refused"))),
        ];
        assert_eq!(table.len(), contracts::EventType::ALL.len(), "each type has an example");
        for (name, to) in table {
            let letter = example(name);
            let again = again(&letter);
            let found = again.as_ref().ok().map(|message| (message.exchange, message.routing_key.as_str()));
            assert_eq!(found, to, "{name}");
            if let Ok(message) = again {
                assert_eq!((message.body, message.message_id), (letter.body, "0193".to_owned()), "{name}");
                assert_eq!(
                    (message.portal, message.mandatory),
                    (letter.portal, to.unwrap().0 == Exchange::Return)
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_replayed_says_why_and_what_to_do() {
        let unproved = Letter { portal: None, ..example("dial-owed") };
        let hashed = Letter {
            headers: [("x-mfa-sha256".to_owned(), "e3b0".to_owned())].into(),
            ..letter(r#"{"sha256":"e3b0","size":9,"known_fields":[]}"#)
        };
        for (letter, part) in [
            (example("challenge-request"), "publishes a new one, under a new challenge_id"),
            (hashed, "only its hash was kept; its sender has to send it again"),
            (letter("{}"), "it would be parked again, since specversion "),
            (unproved, "nobody has proved for which portal"),
        ] {
            let refused = again(&letter).unwrap_err();
            assert_eq!(refused.exit(), Exit::Refused);
            assert!(refused.line().unwrap().contains(part), "{refused}");
        }
    }
}
