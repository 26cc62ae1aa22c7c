//! Messages that a work queue gave up: their challenges end as `failed/internal`, so that no portal waits in
//! vain. What cannot be tied to a challenge is parked.

use fleet_broker::{Delivery, Handler, Poison, Sender, Verdict};
use fleet_contracts::{self as contracts, Message};
use fleet_domain::{ChallengeKey, Event, Reason, owed};
use fleet_records::Actor;

use crate::{Accepted, Apply, Begin, Engine, Error, Hands};

/// Takes the queue `dead`. Idempotent by (portal, challenge id): a challenge ends once.
pub struct DeadHandler<H> {
    engine: Engine,
    hands: H,
}

impl<H: Hands> DeadHandler<H> {
    /// What is owed after the end is carried out by `hands`.
    pub fn new(engine: Engine, hands: H) -> Self {
        Self { engine, hands }
    }

    async fn end(&self, delivery: &Delivery) -> Result<Verdict, Error> {
        let key = match self.key_of(delivery).await? {
            Ok(key) => key,
            Err(verdict) => return Ok(verdict),
        };
        let halt = Apply::urgent(&key, Actor::Fleet);
        match self.engine.apply(halt, |_| Event::Halt { reason: Reason::Internal }).await {
            Ok(applied) => {
                tracing::error!(challenge = %key, queue = ?delivery.dead, "a message was given up; its challenge ends");
                for effect in owed(&applied.stored().challenge) {
                    self.hands.carry_out(applied.stored().clone(), effect).await?;
                }
                Ok(Verdict::Done)
            }
            Err(Error::Unknown) => Ok(Verdict::Done),
            Err(error) => Err(error),
        }
    }

    /// The challenge that the message is about. A request that never became one does so now.
    async fn key_of(&self, delivery: &Delivery) -> Result<Result<ChallengeKey, Verdict>, Error> {
        let message = match contracts::parse(&delivery.body) {
            Ok(envelope) => envelope.event.message,
            Err(invalid) => {
                let poison = Poison::hash_only("dead_unreadable", invalid.to_string(), invalid.known_fields);
                return Ok(Err(Verdict::Poison(poison)));
            }
        };
        match message {
            Message::ChallengeRequested(_) => {
                match self.engine.accept(delivery, None, Begin::Queued).await? {
                    Accepted::New { stored, .. } | Accepted::Known(stored) => Ok(Ok(stored.challenge.key)),
                    Accepted::Refused(verdict) => Ok(Err(verdict)),
                }
            }
            Message::CancelRequested(request) => match delivery.sender.portal() {
                Some(portal) => Ok(Ok(ChallengeKey { id: request.challenge_id, portal: portal.clone() })),
                None => Ok(Err(parked("dead_without_portal"))),
            },
            // Only the fleet says so for a portal: a portal that writes such a message names whom it likes.
            Message::DialOwed(owed) | Message::HangUpOwed(owed) | Message::SendOwed(owed) => {
                let fleet = Sender::Fleet { portal: Some(owed.portal.clone()) };
                Ok(if delivery.sender == fleet { Ok(owed.key()) } else { Err(parked("dead_not_the_fleets")) })
            }
            Message::ChallengeResolved(_) | Message::ChallengeRefused(_) => Ok(Err(parked("dead_event"))),
        }
    }
}

fn parked(reason: &'static str) -> Verdict {
    Verdict::Poison(Poison::hash_only(reason, "a dead letter that belongs to no challenge", Vec::new()))
}

impl<H: Hands> Handler for DeadHandler<H> {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        self.end(&delivery).await.unwrap_or_else(|error| error.verdict())
    }
}
