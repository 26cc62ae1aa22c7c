//! Taking requests: read, settle duplicates, store. Nothing is placed or sent here.

use std::sync::Arc;

use fleet_broker::{Delivery, Poison, Sender, Verdict};
use fleet_contracts::{self as contracts, ChallengeRefused, ChallengeRequest, Invalid};
use fleet_domain::{
    Ask, Challenge, ChallengeKey, Channel, Event, NotOpened, Portal, PortalName, Refusal, User, bypass,
    may_bypass, open, step,
};
use fleet_lifecycle::{CrashPoint, crash_point};
use fleet_records::{Actor, Created, Note, Stored};

use crate::{Engine, Error};

/// What the row's first version is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Accepted; nothing begun.
    Queued,
    /// Where the first step is a push: accepted and about to be sent, in one commit. Whoever asks for it
    /// sends the push.
    Sending,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub enum Accepted {
    /// It was stored by this very call.
    New {
        /// The challenge.
        stored: Stored,
        /// The user as it was read for that, so that whoever carries the challenge on need not ask again.
        user: Option<User>,
    },
    /// It was stored before.
    Known(Stored),
    /// It did not become a challenge; its sender was told if it can be. This is what becomes of the message.
    Refused(Verdict),
}

impl Engine {
    /// Takes the request for a challenge. Idempotent by (portal, challenge id): the same request again finds
    /// the same challenge; another one under the same id is refused as `conflict`.
    ///
    /// `channel` is what the queue stands for; `None` for the user's own method.
    pub async fn accept(
        &self,
        delivery: &Delivery,
        channel: Option<Channel>,
        begin: Begin,
    ) -> Result<Accepted, Error> {
        crash_point(CrashPoint::Delivered);
        let portal = match self.portal_of(delivery)? {
            Ok(portal) => portal,
            Err(verdict) => return Ok(Accepted::Refused(verdict)),
        };
        let (request, canonical) = match read_request(&delivery.body) {
            Ok(read) => read,
            Err(invalid) => return self.refuse_invalid(&portal.name, &invalid).await.map(Accepted::Refused),
        };
        let ask = self.ask(request, &portal.name, channel, &canonical);
        self.open(&ask, &portal, begin).await
    }

    async fn open(&self, ask: &Ask, portal: &Portal, begin: Begin) -> Result<Accepted, Error> {
        let user = self.inner.records.user(&ask.user).await?;
        let opened = match open(ask, user.as_ref(), portal, self.now()) {
            Ok(challenge) => challenge,
            Err(not_opened) => {
                // A redelivery may come after its id has grown stale: what was accepted stays accepted.
                if let Some(stored) = self.inner.records.load(&ask.key).await? {
                    return self.known(stored, ask).await;
                }
                return self.refuse_not_opened(&ask.key, &not_opened).await.map(Accepted::Refused);
            }
        };
        let may_bypass = may_bypass(&opened, user.as_ref(), portal);
        // One that is known already, and comes again, must not take it.
        if may_bypass && let Some(stored) = self.inner.records.load(&ask.key).await? {
            return self.known(stored, ask).await;
        }
        let first = if may_bypass && self.inner.records.take_bypass(&ask.user).await? {
            tracing::warn!(challenge = %ask.key, "approved by a bypass");
            bypass(opened, self.now())
        } else {
            match begin {
                Begin::Queued => opened,
                Begin::Sending => self.sending(opened),
            }
        };
        let note = Note { event: "accept", actor: Actor::Portal };
        match self.inner.records.create(&first, note).await? {
            Created::New => {
                crash_point(CrashPoint::Accepted);
                let stored = Stored { challenge: first, told: 0 };
                self.inner.metrics.observe(None, &stored.challenge);
                self.tell_soon(stored.clone());
                Ok(Accepted::New { stored, user })
            }
            Created::Exists(stored) => self.known(stored, ask).await,
        }
    }

    /// The first version, already about to send its push, where that is how it begins.
    fn sending(&self, opened: Challenge) -> Challenge {
        match step(&opened, &Event::Send { check_after: None }, self.now()) {
            Ok(sending) if sending.is_open() => Challenge { version: 1, ..sending },
            Ok(_) | Err(_) => opened,
        }
    }

    async fn known(&self, stored: Stored, ask: &Ask) -> Result<Accepted, Error> {
        let known = stored.challenge.request.body_hash;
        // A cancel that came first left a tombstone without a body.
        if known == ask.body_hash || known == [0; 32] {
            return Ok(Accepted::Known(stored));
        }
        let conflict = NotOpened {
            refusal: Refusal::Conflict,
            field: "challenge_id",
            rule: "came before with another body: a challenge's id is used once",
        };
        self.refuse_not_opened(&ask.key, &conflict).await.map(Accepted::Refused)
    }

    fn ask(
        &self,
        request: ChallengeRequest,
        portal: &PortalName,
        channel: Option<Channel>,
        canonical: &[u8],
    ) -> Ask {
        let key = ChallengeKey { id: request.challenge_id, portal: portal.clone() };
        let body_hash = self.body_hash(&key, canonical);
        request.into_ask(portal.clone(), channel, body_hash, |digits| self.number_hash(&key, digits))
    }

    /// What is stored of a request's body, to tell it from another one under the same id. Keyed, because the digits
    /// of a number match are in the body and everything else of it can be known: whoever reads the table could
    /// otherwise try them all.
    fn body_hash(&self, key: &ChallengeKey, canonical: &[u8]) -> [u8; 32] {
        let parts = [key.portal.as_str().as_bytes(), key.id.as_bytes().as_slice(), canonical];
        self.inner.keys.keyed_digest("request_body", &parts)
    }

    /// The keyed hash of the digits that a portal shows for a challenge: what is stored instead of them.
    pub fn number_hash(&self, key: &ChallengeKey, digits: &str) -> [u8; 16] {
        let parts = [key.portal.as_str().as_bytes(), key.id.as_bytes().as_slice(), digits.as_bytes()];
        self.inner.keys.keyed_hash("number_match", &parts)
    }

    /// The portal that sent a message, proved by the broker; or what becomes of the message without one.
    pub fn portal_of(&self, delivery: &Delivery) -> Result<Result<Arc<Portal>, Verdict>, Error> {
        let Some(name) = delivery.sender.portal() else {
            self.inner.metrics.refused("unproved_sender");
            let detail = match delivery.sender {
                Sender::Unproved => {
                    "the message has no user-id property that names a portal; set it to the portal's RabbitMQ user"
                }
                Sender::Portal(_) | Sender::Fleet { .. } => "an internal message that names no portal",
            };
            return Ok(Err(Verdict::Poison(Poison::hash_only("unproved_sender", detail, Vec::new()))));
        };
        let found = self.portal(name);
        if matches!(found, Err(Error::UnknownPortal)) {
            self.inner.metrics.refused("unknown_portal");
        }
        Ok(Ok(found?))
    }

    /// The registered portal of this name, as of the last second.
    pub fn portal(&self, name: &PortalName) -> Result<Arc<Portal>, Error> {
        match self.inner.records.portal(name) {
            Some(portal) => Ok(portal),
            None if self.inner.records.knows_portals() => Err(Error::UnknownPortal),
            None => Err(Error::PortalsNotLoaded),
        }
    }

    /// Tells the sender, where the id of its request can be read, and parks the message without its values.
    pub(crate) async fn refuse_invalid(
        &self,
        portal: &PortalName,
        invalid: &Invalid,
    ) -> Result<Verdict, Error> {
        self.inner.metrics.refused(Refusal::InvalidRequest.as_str());
        if let Some(refused) = ChallengeRefused::of_invalid(invalid) {
            self.publish_refused(portal, refused).await?;
        }
        let known = invalid.known_fields.clone();
        Ok(Verdict::Poison(Poison::hash_only("invalid_request", invalid.to_string(), known)))
    }

    pub(crate) async fn refuse_not_opened(
        &self,
        key: &ChallengeKey,
        why: &NotOpened,
    ) -> Result<Verdict, Error> {
        self.inner.metrics.refused(why.refusal.as_str());
        self.publish_refused(&key.portal, ChallengeRefused::of_not_opened(key.id, why)).await?;
        Ok(Verdict::Done)
    }
}

/// The request, and the canonical form of its data.
fn read_request(body: &[u8]) -> Result<(ChallengeRequest, Vec<u8>), Invalid> {
    let envelope = contracts::parse(body)?;
    let contracts::Message::ChallengeRequested(request) = envelope.event.message else {
        return Err(unexpected(envelope.event.message.event_type()));
    };
    let canonical = contracts::canonical(envelope.data)?;
    Ok((request, canonical))
}

/// A message of a known type in a queue that does not take it.
pub(crate) fn unexpected(event_type: contracts::EventType) -> Invalid {
    Invalid {
        field: "type".into(),
        rule: format!("does not belong here: this queue takes no {event_type}"),
        challenge_id: None,
        request_id: None,
        known_fields: Vec::new(),
    }
}
