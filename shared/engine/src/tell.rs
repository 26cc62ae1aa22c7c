//! Telling the portal: every version to Redis; the end, and a refusal, as an event as well.
//!
//! It is done by whoever committed the version, beside everything else. What fails here is not repeated
//! here: the sweep finds every ended challenge that is not marked as told, whoever it was that failed.

use bytes::Bytes;
use fleet_broker::{Exchange, Message};
use fleet_contracts::{self as contracts, ChallengeRefused, FLEET_SOURCE, Outcome, Resolved};
use fleet_domain::PortalName;
use fleet_outcomes::Told;
use fleet_records::Stored;

use crate::{Engine, Error};

/// The media type of a CloudEvent in structured JSON.
pub(crate) const CONTENT_TYPE: &str = "application/cloudevents+json";

impl Engine {
    /// Tells this version in a task of its own.
    pub(crate) fn tell_soon(&self, stored: Stored) {
        let engine = self.clone();
        self.inner.tasks.spawn_detail("tell", async move { engine.tell(&stored).await });
    }

    /// Tells this version; marks an ended challenge as told once both Redis and the broker have it.
    pub(crate) async fn tell(&self, stored: &Stored) {
        let challenge = &stored.challenge;
        let Some(portal) = self.inner.records.portal(&challenge.key.portal) else {
            tracing::warn!(portal = %challenge.key.portal, "no outcome told: the portal is not registered");
            return;
        };
        let outcome = Outcome::of(challenge, &portal);
        let told = self.inner.outcomes.tell(Told {
            portal: challenge.key.portal.clone(),
            id: challenge.key.id,
            seq: challenge.version,
            json: outcome.to_json(),
            terminal: !challenge.is_open(),
            collect_by: challenge.request.collect_by,
        });
        let (in_redis, as_event) = tokio::join!(told, self.publish_end(stored, outcome));
        let all = in_redis.is_ok() && as_event;
        self.inner.metrics.told(if all { "told" } else { "failed" });
        if all && !challenge.is_open() {
            self.inner.records.mark_told(&challenge.key, challenge.version);
        }
    }

    /// Publishes `challenge.resolved` if the challenge has ended and that was not told before. Says whether
    /// nothing is left to publish.
    async fn publish_end(&self, stored: &Stored, outcome: Outcome) -> bool {
        let challenge = &stored.challenge;
        let Some(end) = &challenge.live.end else { return true };
        if stored.told >= end.version {
            return true;
        }
        let key = &challenge.key;
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

    async fn publish_event(
        &self,
        portal: &PortalName,
        id: String,
        event: contracts::Message,
    ) -> Result<(), Error> {
        let happened = match event.event_type() {
            contracts::EventType::ChallengeRefused => "refused",
            contracts::EventType::ChallengeResolved
            | contracts::EventType::ChallengeRequested
            | contracts::EventType::CancelRequested
            | contracts::EventType::DialOwed
            | contracts::EventType::HangUpOwed
            | contracts::EventType::SendOwed => "resolved",
        };
        let body = contracts::Event::new(id.clone(), FLEET_SOURCE, self.now(), event).to_json();
        let message = Message {
            exchange: Exchange::Events,
            routing_key: format!("{portal}.challenge.{happened}"),
            body: Bytes::from(body),
            message_id: id,
            portal: Some(portal.clone()),
            content_type: CONTENT_TYPE.into(),
            // Whether anyone listens is the portal's affair.
            mandatory: false,
            traceparent: None,
        };
        Ok(self.inner.publisher.publish(message).await?)
    }
}
