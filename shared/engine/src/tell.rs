//! Telling the portal: every version to Redis; the end, and a refusal, as an event as well.
//!
//! It is done by whoever committed the version, beside everything else. What fails here is not repeated
//! here: the sweep finds every ended challenge that is not marked as told, whoever it was that failed, and
//! tells it until that has succeeded.

use bytes::Bytes;
use fleet_broker::{Exchange, Message, PublishError};
use fleet_contracts::{self as contracts, ChallengeRefused, FLEET_SOURCE, Outcome, Resolved};
use fleet_domain::{Portal, PortalName, Purpose};
use fleet_lifecycle::{CrashPoint, crash_point};
use fleet_outcomes::Told;
use fleet_records::Stored;

use crate::{Engine, Error};

/// The media type of a CloudEvent in structured JSON.
pub(crate) const CONTENT_TYPE: &str = "application/cloudevents+json";

/// How far a version has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Telling {
    /// Redis has it, or need not have it any more.
    pub(crate) shown: bool,
    /// Nothing is left to publish.
    pub(crate) published: bool,
}

impl Telling {
    /// Whether nothing is left to tell.
    pub(crate) fn is_done(self) -> bool {
        self.shown && self.published
    }
}

impl Engine {
    /// Tells this version in a task of its own.
    pub(crate) fn tell_soon(&self, stored: Stored) {
        let engine = self.clone();
        self.inner.tasks.spawn_detail("tell", async move {
            engine.tell(&stored, false).await;
        });
    }

    /// Tells this version to Redis and, unless that is `published` already, its end as an event: neither waits for
    /// the other. Marks an ended challenge as told once both have it, or Redis need not have it any more.
    pub(crate) async fn tell(&self, stored: &Stored, published: bool) -> Telling {
        let challenge = &stored.challenge;
        let Some(portal) = self.inner.records.portal(&challenge.key.portal) else {
            let known = self.inner.records.knows_portals();
            if known {
                tracing::warn!(portal = %challenge.key.portal, "no outcome told: the portal is not registered");
            }
            return Telling { shown: known, published: known || published };
        };
        let outcome = Outcome::of(challenge, &portal);
        let event = async { published || self.publish_end(stored, &portal, outcome.clone()).await };
        let (in_redis, published) = tokio::join!(self.show(stored, &outcome), event);
        let shown = in_redis || self.now() > challenge.request.collect_by;
        let telling = Telling { shown, published };
        self.inner.metrics.told(if telling.is_done() { "told" } else { "failed" });
        if telling.is_done() && !challenge.is_open() {
            crash_point(CrashPoint::Told);
            self.inner.records.mark_told(&challenge.key, challenge.version);
        }
        telling
    }

    /// Tells this version to Redis alone. Says whether it is there; nobody waits for that of a portal that is not
    /// registered.
    pub(crate) async fn show_again(&self, stored: &Stored) -> bool {
        match self.inner.records.portal(&stored.challenge.key.portal) {
            Some(portal) => self.show(stored, &Outcome::of(&stored.challenge, &portal)).await,
            None => self.inner.records.knows_portals(),
        }
    }

    async fn show(&self, stored: &Stored, outcome: &Outcome) -> bool {
        let challenge = &stored.challenge;
        let told = Told {
            portal: challenge.key.portal.clone(),
            subject: challenge.key.id.into(),
            seq: challenge.version,
            json: outcome.to_json(),
            terminal: !challenge.is_open(),
            collect_by: challenge.request.collect_by,
        };
        self.inner.outcomes.tell(told).await.is_ok()
    }

    /// Publishes `challenge.resolved` if the challenge has ended and that was not told before, after what the person
    /// asked for by that end was done. Says whether nothing is left to publish.
    async fn publish_end(&self, stored: &Stored, portal: &Portal, outcome: Outcome) -> bool {
        let challenge = &stored.challenge;
        let Some(end) = &challenge.live.end else { return true };
        if stored.told >= end.version {
            return true;
        }
        let key = &challenge.key;
        if let Err(error) = self.carry_out_wishes(challenge, portal).await {
            tracing::warn!(challenge = %key, %error, "what a person asked for is not done yet; it is tried again");
            return false;
        }
        if challenge.request.purpose == Purpose::EnrollmentTest {
            crash_point(CrashPoint::TestEnded);
            if let Err(error) = self.hand_over_test(key).await {
                tracing::debug!(challenge = %key, %error, "the end of a test is not handed over yet");
                return false;
            }
        }
        let id = contracts::event_id(&key.portal, key.id, end.version);
        let user_id = challenge.request.user.clone();
        let resolved = Resolved { challenge_id: key.id, user_id, outcome };
        let event = contracts::Message::ChallengeResolved(Box::new(resolved));
        match self.publish_event(&key.portal, id, event).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(challenge = %key, %error, "challenge.resolved is not confirmed yet");
                false
            }
        }
    }

    /// Tells a portal that its request did not become a challenge.
    pub(crate) async fn publish_refused(
        &self,
        portal: &PortalName,
        refused: ChallengeRefused,
    ) -> Result<(), Error> {
        let id = contracts::event_id(portal, &refused.challenge_id, 0);
        self.publish_event(portal, id, contracts::Message::ChallengeRefused(refused)).await
    }

    /// Publishes an event to a portal. An id that was used before marks the same event.
    pub async fn publish_event(
        &self,
        portal: &PortalName,
        id: String,
        event: contracts::Message,
    ) -> Result<(), Error> {
        let happened = event.event_type().told_as().unwrap_or_default();
        let body = contracts::Event::new(id.clone(), FLEET_SOURCE, self.now(), event).to_json();
        let message = Message {
            exchange: Exchange::Events,
            routing_key: format!("{portal}.{happened}"),
            body: Bytes::from(body),
            message_id: id,
            portal: Some(portal.clone()),
            content_type: CONTENT_TYPE.into(),
            // Whether anyone listens is the portal's affair.
            mandatory: false,
            traceparent: None,
        };
        match self.inner.publisher.publish(message).await {
            // A portal's own queue is full and takes no more. Whether a portal listens is its affair, and it must
            // not hold up the others.
            Err(PublishError::Nacked) => {
                self.inner.metrics.told("event_rejected");
                Ok(())
            }
            published => Ok(published?),
        }
    }
}
