//! Handing owed work to the service that can do it, through a queue.

use bytes::Bytes;
use fleet_broker::{Exchange, Message, Queue};
use fleet_contracts::{self as contracts, FLEET_SOURCE, Owed};
use fleet_domain::{ChallengeKey, Effect};

use crate::tell::CONTENT_TYPE;
use crate::{Engine, Error};

impl Engine {
    /// Puts the work into the queue of the service that does it. Confirmed: once this returns, the broker
    /// keeps it. Doing it twice is harmless, since the challenge's row decides.
    pub async fn hand_over(&self, key: &ChallengeKey, effect: &Effect) -> Result<(), Error> {
        let owed = Owed::from(key.clone());
        match effect {
            Effect::Dial => self.owe(key, Queue::VoiceDial, contracts::Message::DialOwed(owed)).await,
            Effect::Push | Effect::Resend | Effect::Withdraw => {
                self.owe(key, Queue::PushSend, contracts::Message::SendOwed(owed)).await
            }
            Effect::HangUp { .. } => {
                self.owe(key, Queue::VoiceHangup, contracts::Message::HangUpOwed(owed)).await
            }
        }
    }

    /// Asks a voice-worker to look the challenge's call up at its carrier.
    pub async fn hand_over_look(&self, key: &ChallengeKey) -> Result<(), Error> {
        self.hand_over(key, &Effect::Dial).await
    }

    /// Tells an enrollment-worker that the challenge of a test has ended.
    pub(crate) async fn hand_over_test(&self, key: &ChallengeKey) -> Result<(), Error> {
        let owed = Owed::from(key.clone());
        self.owe(key, Queue::TestEnded, contracts::Message::TestEnded(owed)).await
    }

    async fn owe(&self, key: &ChallengeKey, queue: Queue, owed: contracts::Message) -> Result<(), Error> {
        let id = format!("{key}/{}", owed.event_type());
        let body = contracts::Event::new(id.clone(), FLEET_SOURCE, self.now(), owed).to_json();
        let message = Message {
            exchange: Exchange::Internal,
            routing_key: queue.name().into(),
            body: Bytes::from(body),
            message_id: id,
            portal: Some(key.portal.clone()),
            content_type: CONTENT_TYPE.into(),
            mandatory: true,
            traceparent: None,
        };
        Ok(self.inner.publisher.publish(message).await?)
    }
}
