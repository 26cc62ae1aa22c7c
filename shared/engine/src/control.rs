//! Portals' cancels and re-sends, taken by any worker.

use fleet_broker::{Delivery, Handler, Verdict};
use fleet_contracts::{self as contracts, CancelRequest, ChallengeRefused, Message, ResendRequest};
use fleet_domain::{ChallengeKey, Event, Portal, owed, tombstone};
use fleet_records::{Actor, Created, Note, Stored};

use crate::accept::unexpected;
use crate::{Apply, Engine, Error, Hands};

/// Takes the queue `control`. Idempotent by (portal, challenge id): a challenge is canceled once, and its push sent once
/// more.
pub struct ControlHandler<H> {
    engine: Engine,
    hands: H,
}

impl<H: Hands> ControlHandler<H> {
    /// What is owed after it is carried out by `hands`.
    pub fn new(engine: Engine, hands: H) -> Self {
        Self { engine, hands }
    }

    async fn take(&self, delivery: &Delivery) -> Result<Verdict, Error> {
        let portal = match self.engine.portal_of(delivery)? {
            Ok(portal) => portal,
            Err(verdict) => return Ok(verdict),
        };
        let stored = match contracts::parse(&delivery.body) {
            Ok(envelope) => match envelope.event.message {
                Message::CancelRequested(request) => self.engine.cancel(&portal, &request).await?,
                Message::ResendRequested(request) => self.engine.ask_resend(&portal, &request).await?,
                other @ (Message::ChallengeRequested(_)
                | Message::CodeEntered(_)
                | Message::ChallengeResolved(_)
                | Message::ChallengeRefused(_)
                | Message::FraudReported(_)
                | Message::EnrollmentRequested(_)
                | Message::EnrollmentContinued(_)
                | Message::EnrollmentChanged(_)
                | Message::EnrollmentRefused(_)
                | Message::TestEnded(_)
                | Message::DialOwed(_)
                | Message::HangUpOwed(_)
                | Message::SendOwed(_)) => {
                    return self.engine.refuse_invalid(&portal.name, &unexpected(other.event_type())).await;
                }
            },
            Err(invalid) => return self.engine.refuse_invalid(&portal.name, &invalid).await,
        };
        if let Some(stored) = stored {
            for effect in owed(&stored.challenge) {
                self.hands.carry_out(stored.clone(), effect).await?;
            }
        }
        Ok(Verdict::Done)
    }
}

impl<H: Hands> Handler for ControlHandler<H> {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        self.take(&delivery).await.unwrap_or_else(|error| error.verdict())
    }

    async fn give_up(&self, delivery: Delivery) -> Verdict {
        self.engine.give_up(&delivery, &self.hands).await
    }
}

impl Engine {
    /// Cancels the challenge, or leaves a tombstone that its request will find. `None` when the request for
    /// the cancel was itself refused.
    async fn cancel(&self, portal: &Portal, request: &CancelRequest) -> Result<Option<Stored>, Error> {
        let key = ChallengeKey { id: request.challenge_id, portal: portal.name.clone() };
        match self.apply(Apply::urgent(&key, Actor::Portal), |_| Event::Cancel).await {
            Ok(applied) => return Ok(Some(applied.stored().clone())),
            Err(Error::Unknown) => {}
            Err(error) => return Err(error),
        }
        let stone = match tombstone(key.clone(), portal, self.now()) {
            Ok(stone) => stone,
            Err(why) => {
                self.inner.metrics.refused(why.refusal.as_str());
                self.publish_refused(&key.portal, ChallengeRefused::of_not_opened(key.id, &why)).await?;
                return Ok(None);
            }
        };
        match self.inner.records.create(&stone, Note { event: "cancel", actor: Actor::Portal }).await? {
            Created::New => {
                let stored = Stored { challenge: stone, told: 0 };
                self.inner.metrics.observe(None, &stored.challenge);
                self.tell_soon(stored.clone());
                Ok(Some(stored))
            }
            // Its request came at the same moment.
            Created::Exists(stored) => {
                let again = Apply::urgent(&key, Actor::Portal).knowing(stored);
                Ok(Some(self.apply(again, |_| Event::Cancel).await?.stored().clone()))
            }
        }
    }

    /// Notes that the person asks for the push once more. Where that is not due, or nothing is known of the challenge,
    /// nothing is noted, and the portal is not told: its outcome says whether the push was sent again.
    async fn ask_resend(&self, portal: &Portal, request: &ResendRequest) -> Result<Option<Stored>, Error> {
        let key = ChallengeKey { id: request.challenge_id, portal: portal.name.clone() };
        match self.apply(Apply::urgent(&key, Actor::Portal), |_| Event::ResendAsked).await {
            Ok(applied) => Ok(Some(applied.stored().clone())),
            Err(Error::Unknown) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
