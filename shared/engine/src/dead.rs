//! Messages that were delivered over and over: their challenges end as `failed/internal`, so that no portal waits
//! in vain, unless what the message asked for is not owed any more. What cannot be tied to a challenge is parked.
//!
//! Owed work comes here through the queue `dead`. Portals' messages are given up by the handlers of their own queues:
//! RabbitMQ is not to dead-letter what a portal wrote (`fleet_broker`'s topology says why).

use fleet_broker::{Delivery, Handler, Poison, Queue, Sender, Verdict};
use fleet_contracts::{self as contracts, Message, Owed};
use fleet_domain::{Challenge, ChallengeKey, Channel, Effect, Event, Reason, owed};
use fleet_records::Actor;

use crate::{Accepted, Applied, Apply, Begin, Engine, Error, Hands, owed_verdict};

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
}

impl<H: Hands> Handler for DeadHandler<H> {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        self.engine.give_up(&delivery, &self.hands).await
    }

    /// There is nothing that costs less than the work itself.
    async fn give_up(&self, delivery: Delivery) -> Verdict {
        self.handle(delivery).await
    }
}

impl Engine {
    /// Ends what a message asks for that cannot be handled; what is owed after that is carried out by `hands`.
    /// Idempotent by (portal, challenge id).
    pub async fn give_up(&self, delivery: &Delivery, hands: &impl Hands) -> Verdict {
        let ending = Ending { engine: self, hands };
        ending.end(delivery).await.unwrap_or_else(|error| error.verdict())
    }
}

struct Ending<'a, H> {
    engine: &'a Engine,
    hands: &'a H,
}

impl<H: Hands> Ending<'_, H> {
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
                match self.engine.accept(delivery, channel_of(delivery.queue), Begin::Queued).await? {
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
            // A code that nobody can take leaves its person waiting.
            Message::CodeEntered(entered) => match delivery.sender.portal() {
                Some(portal) => {
                    let key = ChallengeKey { id: entered.challenge_id, portal: portal.clone() };
                    self.halt_if(delivery, &key, |challenge| challenge.awaiting_code().is_some()).await
                }
                None => Ok(parked("dead_without_portal")),
            },
            // The same message asks for looks: its challenge ends only where this very thing is still owed.
            Message::DialOwed(work) => self.settle(delivery, &work, |e| *e == Effect::Dial).await,
            Message::SendOwed(work) => self.settle(delivery, &work, |e| *e == Effect::Push).await,
            Message::HangUpOwed(work) => self.settle(delivery, &work, |_| false).await,
            // A challenge goes on without its re-send. The end of a test is found by the sweep of every enrollment-worker.
            Message::ResendRequested(_) | Message::TestEnded(_) => Ok(Verdict::Done),
            // Handlers of their own queue give these up: RabbitMQ does not dead-letter them.
            Message::EnrollmentRequested(_) | Message::EnrollmentContinued(_) => {
                Ok(parked("dead_enrollment"))
            }
            // What portals are told can be told again. Only the fleet's own word is kept for that.
            Message::ChallengeResolved(_)
            | Message::ChallengeRefused(_)
            | Message::FraudReported(_)
            | Message::EnrollmentChanged(_)
            | Message::EnrollmentRefused(_) => match delivery.sender {
                Sender::Fleet { portal: Some(_) } => {
                    Ok(Verdict::Poison(Poison::whole("dead_event", "an event that a queue gave up")))
                }
                Sender::Fleet { portal: None } | Sender::Portal(_) | Sender::Unproved => {
                    Ok(parked("dead_event"))
                }
            },
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
        let settled =
            self.halt_if(delivery, &work.key(), |challenge| owed(challenge).iter().any(&is_it)).await;
        Ok(settled.unwrap_or_else(|error| owed_verdict(&error)))
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
        let queue = delivery.dead.as_ref().and_then(|dead| dead.queue).unwrap_or(delivery.queue);
        tracing::error!(challenge = %key, queue = queue.name(), ended, "a message was given up");
        for effect in owed(&applied.stored().challenge) {
            self.hands.carry_out(applied.stored().clone(), effect).await?;
        }
        Ok(Verdict::Done)
    }
}

fn parked(reason: &'static str) -> Verdict {
    Verdict::Poison(Poison::hash_only(reason, "a dead letter that belongs to no challenge", Vec::new()))
}

/// The channel that a queue of requests stands for.
fn channel_of(queue: Queue) -> Option<Channel> {
    match queue {
        Queue::ChallengeVoice => Some(Channel::Voice),
        Queue::ChallengePush => Some(Channel::Push),
        Queue::ChallengeTotp => Some(Channel::Totp),
        Queue::ChallengeDefault
        | Queue::ChallengeCode
        | Queue::Control
        | Queue::VoiceDial
        | Queue::VoiceHangup
        | Queue::PushSend
        | Queue::Enrollment
        | Queue::TestEnded
        | Queue::Delay(_)
        | Queue::Dead
        | Queue::Parked => None,
    }
}
