//! Messages that a work queue gave up: their challenges end as `failed/internal`, so that no portal waits in
//! vain, unless what the message asked for is not owed any more. What cannot be tied to a challenge is parked.

use fleet_broker::{Delivery, Handler, Poison, Sender, Verdict};
use fleet_contracts::{self as contracts, Message, Owed};
use fleet_domain::{Challenge, ChallengeKey, Effect, Event, Reason, owed};
use fleet_records::Actor;

use crate::{Accepted, Applied, Apply, Begin, Engine, Error, Hands};

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
        let message = match contracts::parse(&delivery.body) {
            Ok(envelope) => envelope.event.message,
            Err(invalid) => {
                let poison = Poison::hash_only("dead_unreadable", invalid.to_string(), invalid.known_fields);
                return Ok(Verdict::Poison(poison));
            }
        };
        match message {
            // A request that never became a challenge does so now.
            Message::ChallengeRequested(_) => {
                match self.engine.accept(delivery, None, Begin::Queued).await? {
                    Accepted::New { stored, .. } | Accepted::Known(stored) => {
                        self.halt_if(delivery, &stored.challenge.key, |_| true).await
                    }
                    Accepted::Refused(verdict) => Ok(verdict),
                }
            }
            Message::CancelRequested(request) => match delivery.sender.portal() {
                Some(portal) => {
                    let key = ChallengeKey { id: request.challenge_id, portal: portal.clone() };
                    self.halt_if(delivery, &key, |_| true).await
                }
                None => Ok(parked("dead_without_portal")),
            },
            // The same message asks for looks: its challenge ends only where this very thing is still owed.
            Message::DialOwed(work) => self.settle(delivery, &work, |e| *e == Effect::Dial).await,
            Message::SendOwed(work) => self.settle(delivery, &work, |e| *e == Effect::Push).await,
            Message::HangUpOwed(work) => self.settle(delivery, &work, |_| false).await,
            Message::ChallengeResolved(_) | Message::ChallengeRefused(_) => Ok(parked("dead_event")),
        }
    }

    /// Settles owed work that was given up: where what was to be done is owed still, nobody can do it, and the
    /// challenge ends.
    async fn settle(
        &self,
        delivery: &Delivery,
        work: &Owed,
        is_it: impl Fn(&Effect) -> bool,
    ) -> Result<Verdict, Error> {
        // Only the fleet says so for a portal: a portal that writes such a message names whom it likes.
        if delivery.sender != (Sender::Fleet { portal: Some(work.portal.clone()) }) {
            return Ok(parked("dead_not_the_fleets"));
        }
        self.halt_if(delivery, &work.key(), |challenge| owed(challenge).iter().any(&is_it)).await
    }

    /// Ends the challenge if `holds` says so of it as it stands; carries out what it owes then.
    async fn halt_if(
        &self,
        delivery: &Delivery,
        key: &ChallengeKey,
        holds: impl Fn(&Challenge) -> bool,
    ) -> Result<Verdict, Error> {
        let halt = |challenge: &Challenge| {
            if holds(challenge) {
                Event::Halt { reason: Reason::Internal }
            } else {
                // It does what is due anyway, and nothing else.
                Event::Expire
            }
        };
        let applied = match self.engine.apply(Apply::urgent(key, Actor::Fleet), halt).await {
            Ok(applied) => applied,
            Err(Error::Unknown) => return Ok(Verdict::Done),
            Err(error) => return Err(error),
        };
        let ended = matches!(applied, Applied::Changed { .. });
        tracing::error!(challenge = %key, queue = ?delivery.dead, ended, "a message was given up");
        for effect in owed(&applied.stored().challenge) {
            self.hands.carry_out(applied.stored().clone(), effect).await?;
        }
        Ok(Verdict::Done)
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
