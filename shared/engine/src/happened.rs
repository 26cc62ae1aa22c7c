//! What came of asking a provider for something: it has happened, and nobody else knows it.

use std::time::Duration;

use fleet_domain::Event;
use fleet_records::{Actor, Stored};

use crate::{Applied, Apply, Engine, Error};

/// Pauses before it is committed once more; the last one is repeated.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];
/// How long after its challenge is over it is still tried to be stored: a call is to be ended then, a prompt taken back.
const MARGIN: Duration = Duration::from_secs(10);

impl Engine {
    /// Commits what came of asking a provider. It is not given back to a queue while the database is away, since whoever
    /// took it up there would ask again: it is kept and tried again for as long as it matters.
    pub async fn commit_happened(&self, stored: Stored, event: &Event) -> Result<Applied, Error> {
        let key = stored.challenge.key.clone();
        let until = stored.challenge.request.answer_by.plus(MARGIN);
        let mut known = Some(stored);
        let mut pauses = PAUSES.into_iter();
        let mut pause = Duration::ZERO;
        loop {
            let mut apply = Apply::bulk(&key, Actor::Provider);
            apply.known = known.take();
            let error = match self.apply(apply, |_| event.clone()).await {
                Ok(applied) => return Ok(applied),
                Err(error) => error,
            };
            pause = pauses.next().unwrap_or(pause);
            if !may_pass(&error) || self.now().plus(pause) > until {
                return Err(error);
            }
            tracing::warn!(challenge = %key, event = event.word(), %error, "what a provider did is not stored yet; it is tried again");
            tokio::time::sleep(pause).await;
        }
    }
}

const fn may_pass(error: &Error) -> bool {
    match error {
        Error::Records(_) | Error::Contended(_) | Error::HandOver(_) | Error::PortalsNotLoaded => true,
        Error::Unknown | Error::UnknownPortal => false,
    }
}
