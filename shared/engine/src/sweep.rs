//! The sweep: what no message and no callback brings. Every worker runs it, none needs the others.
//!
//! It reads three things and never scans what is open: challenges past their deadline, attempts that are due
//! for a look, and ended challenges that are not marked as told.

use std::future::Future;
use std::time::Duration;

use fleet_domain::{AttemptState, ChallengeKey, Effect, Event, owed};
use fleet_records::{Actor, Stored, ToldCursor};

use crate::{Applied, Apply, Engine, Error};

/// What a service does about owed work that the sweep found.
pub trait Hands: Clone + Send + Sync + 'static {
    /// Carries out what is owed, itself or by handing it over.
    fn carry_out(&self, stored: Stored, effect: Effect) -> impl Future<Output = Result<(), Error>> + Send;

    /// Looks an attempt's call up at its carrier, itself or by handing that over.
    fn look(&self, stored: Stored, attempt: u8) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Engine {
    /// Sweeps until the stop.
    pub async fn sweep(self, hands: impl Hands) -> anyhow::Result<()> {
        let mut cursor = self.inner.records.told_cursor(self.now());
        let interval = self.inner.settings.sweep_interval;
        while !self.stops_within(interval).await {
            if let Err(error) = self.sweep_once(&hands, &mut cursor).await {
                tracing::debug!(%error, "a sweep was cut short; the next one takes up the rest");
            }
        }
        Ok(())
    }

    /// One sweep: expires, looks after what is due, tells what was not told.
    pub async fn sweep_once(&self, hands: &impl Hands, cursor: &mut ToldCursor) -> Result<(), Error> {
        self.expire_overdue(hands).await?;
        self.look_at_due(hands).await?;
        self.tell_untold(hands, cursor).await
    }

    async fn expire_overdue(&self, hands: &impl Hands) -> Result<(), Error> {
        let limit = self.inner.settings.sweep_batch;
        let overdue = self.inner.records.overdue(self.now(), limit).await?;
        self.inner.metrics.swept("overdue", overdue.len());
        let expiring = overdue.into_iter().map(|stored| async move {
            let key = stored.challenge.key.clone();
            let applied =
                self.apply(Apply::bulk(&key, Actor::Fleet).knowing(stored), |_| Event::Expire).await?;
            self.carry_out_all(hands, applied.stored().clone()).await
        });
        all(expiring).await
    }

    async fn look_at_due(&self, hands: &impl Hands) -> Result<(), Error> {
        let limit = self.inner.settings.sweep_batch;
        let due = self.inner.records.due(self.now(), limit).await?;
        self.inner.metrics.swept("due", due.len());
        all(due.into_iter().map(|(key, attempt)| async move { self.look_at(hands, &key, attempt).await }))
            .await
    }

    async fn look_at(&self, hands: &impl Hands, key: &ChallengeKey, number: u8) -> Result<(), Error> {
        let Some(stored) = self.inner.records.load(key).await? else { return Ok(()) };
        let Some(attempt) = stored.challenge.attempt(number) else { return Ok(()) };
        if needs_look(attempt.state) {
            return hands.look(stored, number).await;
        }
        let check = Apply::bulk(key, Actor::Fleet).knowing(stored);
        let applied = self.apply(check, |_| Event::Check { attempt: number }).await?;
        self.carry_out_all(hands, applied.stored().clone()).await
    }

    async fn tell_untold(&self, hands: &impl Hands, cursor: &mut ToldCursor) -> Result<(), Error> {
        let limit = self.inner.settings.sweep_batch;
        let untold = self.inner.records.untold(cursor, self.now(), limit).await?;
        self.inner.metrics.swept("untold", untold.len());
        let telling = untold.into_iter().map(|stored| async move {
            self.tell(&stored).await;
            self.carry_out_all(hands, stored).await
        });
        all(telling).await
    }

    async fn carry_out_all(&self, hands: &impl Hands, stored: Stored) -> Result<(), Error> {
        for effect in owed(&stored.challenge) {
            hands.carry_out(stored.clone(), effect).await?;
        }
        Ok(())
    }

    async fn stops_within(&self, interval: Duration) -> bool {
        tokio::time::timeout(interval, self.inner.stop.soft()).await.is_ok()
    }
}

/// Whether the state of a call must be asked of its carrier.
const fn needs_look(state: AttemptState) -> bool {
    match state {
        AttemptState::Unknown
        | AttemptState::Placed
        | AttemptState::Ringing
        | AttemptState::Answered
        | AttemptState::AwaitingInput => true,
        AttemptState::Reserved
        | AttemptState::Dialing
        | AttemptState::Sending
        | AttemptState::Pushed
        | AttemptState::PushFailed
        | AttemptState::Opened
        | AttemptState::Superseded
        | AttemptState::Ended => false,
    }
}

/// Does all at once, so that their commits share a batch; the first error is told when all are done.
async fn all(futures: impl Iterator<Item = impl Future<Output = Result<(), Error>>>) -> Result<(), Error> {
    futures_util::future::join_all(futures).await.into_iter().collect()
}

impl Applied {
    /// What is owed for the challenge as it now is.
    pub fn owed(&self) -> Vec<Effect> {
        owed(&self.stored().challenge)
    }
}
