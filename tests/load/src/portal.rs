//! The portal that asks.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use fleet_broker::{Broker, Exchange, Message, Publisher};
use fleet_contracts::{self as contracts, ChallengeRequest};
use fleet_domain::{ChallengeId, Timestamp};
use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;

use crate::seed::user_id;
use crate::surroundings::{PORTAL, Surroundings};

/// How many publishes wait for their confirm at once.
const WINDOW: usize = 1_000;
const ROUTING_KEY: &str = "challenge.push";

/// Connects as the portal: its own login, from PORTAL_AMQP_URLS.
pub(crate) fn publisher(surroundings: &Surroundings) -> anyhow::Result<Publisher> {
    #[expect(clippy::disallowed_methods, reason = "a portal's login is no setting of the fleet")]
    let urls =
        std::env::var("PORTAL_AMQP_URLS").context("PORTAL_AMQP_URLS is not set; ./ops/bench sets it")?;
    let prefix = format!("{PORTAL}=");
    let url = urls
        .split(',')
        .find_map(|pair| pair.strip_prefix(&prefix))
        .with_context(|| format!("PORTAL_AMQP_URLS has no {PORTAL}=amqp://…"))?;
    let mut settings: fleet_broker::Settings = surroundings.settings.section("broker")?;
    settings.urls = vec![url.to_owned().into()];
    Ok(Broker::portal(&settings, &surroundings.context, &surroundings.metrics)?)
}

/// A request of the portal for the next challenge of this user.
pub(crate) fn request(index: u64, now: Timestamp) -> anyhow::Result<(ChallengeId, Message)> {
    let id = ChallengeId::from_parts(now, fleet_keys::random_bytes());
    let request = ChallengeRequest::new(id, user_id(index)?);
    let event = contracts::Event::new(
        id.to_string(),
        "/portals/bench",
        now,
        contracts::Message::ChallengeRequested(request),
    );
    let message = Message {
        exchange: Exchange::Requests,
        routing_key: ROUTING_KEY.into(),
        body: Bytes::from(event.to_json()),
        message_id: id.to_string(),
        portal: None,
        content_type: "application/cloudevents+json".into(),
        mandatory: true,
        traceparent: None,
    };
    Ok((id, message))
}

pub(crate) async fn fill(count: u64, users: u64) -> anyhow::Result<()> {
    let surroundings = Surroundings::new()?;
    let publisher = publisher(&surroundings)?;
    let bar = ProgressBar::new(count);
    let now = || surroundings.context.clock.now();
    let mut sent = stream::iter(0..count)
        .map(|index| {
            let publisher = publisher.clone();
            let request = request(index % users, now());
            async move {
                let (_, message) = request?;
                while let Err(error) = publisher.publish(message.clone()).await {
                    // The queues are declared by the fleet; a connection may still be on its way.
                    anyhow::ensure!(error.class() != fleet_domain::FailureClass::Permanent, error);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok(())
            }
        })
        .buffer_unordered(WINDOW);
    while let Some(result) = sent.next().await {
        result?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}
