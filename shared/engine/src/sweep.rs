//! The sweep: what no message and no callback brings. Every worker runs it, none needs the others.
//!
//! It reads three things and never scans what is open: challenges past their deadline, attempts that are due
//! for a look, and ended challenges that are not marked as told. Each has a task of its own, and what a
//! service's hands do is waited for by none of them: whatever hangs or fails, the others go on.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use fleet_domain::{AttemptState, ChallengeKey, Effect, Event, Timestamp, owed};
use fleet_lifecycle::{CrashPoint, crash_point};
use fleet_records::{Actor, ErrorClass, Stored, ToldCursor};
use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::retries::Retries;
use crate::{Applied, Apply, Engine, Error};

/// What is carried out at once, and, beside that, what is looked at.
const HANDS: usize = 64;

/// How long a call that is due is left to those who can ask its carrier, by those who can only hand that over.
const CALLS_LEFT: Duration = Duration::from_secs(2);

/// What a service does about owed work that the sweep found.
pub trait Hands: Clone + Send + Sync + 'static {
    /// Whether they ask a carrier themselves. Others take up a call only when nobody else has for a while: with the
    /// broker away, they could do nothing about it.
    const ASK_CARRIERS: bool;

    /// Carries out what is owed, itself or by handing it over.
    fn carry_out(&self, stored: Stored, effect: Effect) -> impl Future<Output = Result<(), Error>> + Send;

    /// Looks an attempt's call up at its carrier, itself or by handing that over.
    fn look(&self, stored: Stored, attempt: u8) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Engine {
    /// Sweeps until the stop, and tells outcomes again that Redis has lost.
    pub async fn sweep(self, hands: impl Hands) -> anyhow::Result<()> {
        let (tasks, stop) = (self.inner.tasks.clone(), self.inner.stop.clone());
        let sweeper = Sweeper {
            engine: self.clone(),
            hands,
            carrying: Arc::new(Semaphore::new(HANDS)),
            looking: Arc::new(Semaphore::new(HANDS)),
        };
        tasks.spawn("expire", sweeper.clone().expire());
        tasks.spawn("look", sweeper.clone().look());
        tasks.spawn("tell", sweeper.tell());
        tasks.spawn("retell", self.retell_after_losses());
        stop.soft().await;
        Ok(())
    }

    pub(crate) async fn stops_within(&self, interval: Duration) -> bool {
        tokio::time::timeout(interval, self.inner.stop.soft()).await.is_ok()
    }
}

/// The rounds of one task. Every failure is counted; the first of several is logged, and the success after them.
pub(crate) struct Round {
    task: &'static str,
    failing: bool,
}

impl Round {
    pub(crate) fn new(task: &'static str) -> Self {
        Self { task, failing: false }
    }

    /// Takes up how a round went: the first thing that failed in it, if anything did.
    pub(crate) fn note(&mut self, engine: &Engine, failure: Option<String>) {
        let task = self.task;
        match failure {
            Some(error) => {
                engine.inner.metrics.cut_short(task);
                if self.failing {
                    tracing::debug!(task, error, "a sweep was cut short again");
                } else {
                    tracing::warn!(task, error, "a sweep was cut short; the next ones take up the rest");
                }
                self.failing = true;
            }
            None if self.failing => {
                tracing::info!(task, "sweeps are whole again");
                self.failing = false;
            }
            None => {}
        }
    }
}

#[derive(Clone)]
struct Sweeper<H> {
    engine: Engine,
    hands: H,
    /// Places for what is carried out.
    carrying: Arc<Semaphore>,
    /// Places for looks: no more attempts are claimed than can be looked at.
    looking: Arc<Semaphore>,
}

impl<H: Hands> Sweeper<H> {
    async fn expire(self) -> anyhow::Result<()> {
        let mut round = Round::new("expire");
        while !self.pauses().await {
            let failure = self.expire_overdue().await.err();
            round.note(&self.engine, failure.map(in_full));
        }
        Ok(())
    }

    /// Waits for the commits of this round and for nothing else.
    async fn expire_overdue(&self) -> Result<(), Error> {
        let inner = &self.engine.inner;
        let overdue = inner.records.overdue(inner.records.now()?, inner.settings.sweep_batch).await?;
        inner.metrics.swept("overdue", overdue.len());
        let expiring = overdue.into_iter().map(|stored| async move {
            let key = stored.challenge.key.clone();
            let expire = Apply::bulk(&key, Actor::Fleet).knowing(stored);
            let applied = self.engine.apply(expire, |_| Event::Expire).await?;
            self.carry_out_soon(applied.stored());
            Ok(())
        });
        join_all(expiring).await.into_iter().collect()
    }

    async fn look(self) -> anyhow::Result<()> {
        let mut round = Round::new("look");
        while !self.pauses().await {
            let failure = self.look_at_due().await.err();
            round.note(&self.engine, failure.map(in_full));
        }
        Ok(())
    }

    async fn look_at_due(&self) -> Result<(), Error> {
        let inner = &self.engine.inner;
        let mut places = Vec::new();
        while places.len() < inner.settings.sweep_batch
            && let Ok(place) = Arc::clone(&self.looking).try_acquire_owned()
        {
            places.push(place);
        }
        if places.is_empty() {
            return Ok(());
        }
        let now = inner.records.now()?;
        let calls_by = if H::ASK_CARRIERS { now } else { now.minus(CALLS_LEFT) };
        let due = inner.records.due((now, calls_by), places.len()).await?;
        inner.metrics.swept("due", due.len());
        if !due.is_empty() {
            crash_point(CrashPoint::Swept);
        }
        for ((key, attempt), place) in due.into_iter().zip(places) {
            self.look_soon((key, attempt), now, place);
        }
        Ok(())
    }

    /// Looks at an attempt that was handed out at `claimed` in a task of its own; gives it back where that fails.
    fn look_soon(&self, (key, attempt): (ChallengeKey, u8), claimed: Timestamp, place: OwnedSemaphorePermit) {
        let sweeper = self.clone();
        self.engine.inner.tasks.spawn_detail("look", async move {
            let _place = place;
            let records = &sweeper.engine.inner.records;
            let looked = sweeper.look_at(&key, attempt).await;
            let settled = match looked {
                Ok(Looked::Done) => return,
                Ok(Looked::Gone) => records.forget(&key, attempt, claimed).await,
                Err(error) => {
                    sweeper.engine.inner.metrics.cut_short("look");
                    tracing::debug!(challenge = %key, attempt, %error, "a look failed; it is made again");
                    records.release(&key, attempt, claimed).await
                }
            };
            if let Err(error) = settled {
                tracing::debug!(challenge = %key, attempt, %error, "a look could not be settled");
            }
        });
    }

    async fn look_at(&self, key: &ChallengeKey, number: u8) -> Result<Looked, Error> {
        let stored = match self.engine.inner.records.load(key).await {
            Ok(Some(stored)) => stored,
            Ok(None) => return Ok(Looked::Gone),
            Err(error) => {
                return match error.class() {
                    ErrorClass::Retry => Err(error.into()),
                    ErrorClass::Culprit => {
                        tracing::error!(challenge = %key, %error, "an attempt is not watched any more");
                        Ok(Looked::Gone)
                    }
                };
            }
        };
        let watched = stored.challenge.attempt(number).filter(|attempt| attempt.check_at.is_some());
        let Some(attempt) = watched else { return Ok(Looked::Gone) };
        if needs_look(attempt.state) {
            self.hands.look(stored, number).await?;
            return Ok(Looked::Done);
        }
        let check = Apply::bulk(key, Actor::Fleet).knowing(stored);
        let applied = self.engine.apply(check, |_| Event::Check { attempt: number }).await?;
        for effect in applied.owed() {
            self.hands.carry_out(applied.stored().clone(), effect).await?;
        }
        Ok(Looked::Done)
    }

    async fn tell(self) -> anyhow::Result<()> {
        let mut round = Round::new("tell");
        let mut retries = Retries::default();
        let mut cursor: Option<ToldCursor> = None;
        loop {
            // What is already there to be read is read without a pause, unless that fails or nothing more is taken up.
            let behind = cursor.as_ref().is_some_and(ToldCursor::is_behind);
            let hurry = behind && !round.failing && retries.room() > 0;
            let stops = if hurry { self.engine.inner.stop.is_soft() } else { self.pauses().await };
            if stops {
                return Ok(());
            }
            let again = self.tell_again(&mut retries).await;
            let found = self.tell_untold(&mut cursor, &mut retries).await;
            round.note(&self.engine, again.and(found).err().map(in_full));
        }
    }

    /// Tells once more what could not be told.
    async fn tell_again(&self, retries: &mut Retries) -> Result<(), Error> {
        let inner = &self.engine.inner;
        let due = retries.due(Instant::now(), inner.settings.sweep_batch);
        let telling = due.into_iter().map(|(key, published)| async move {
            let stored = match inner.records.load(&key).await {
                // Another process may have been faster.
                Ok(Some(stored)) if stored.told < stored.challenge.version => stored,
                Ok(Some(_) | None) => return (key, published, Ok(true)),
                Err(error) => {
                    let gone = error.class() == ErrorClass::Culprit;
                    return (key, published, if gone { Ok(true) } else { Err(Error::from(error)) });
                }
            };
            let telling = self.engine.tell(&stored, published).await;
            (key, telling.published, Ok(telling.is_done()))
        });
        let mut whole = Ok(());
        for (key, published, told) in join_all(telling).await {
            match told {
                Ok(true) => retries.done(&key),
                Ok(false) => retries.put(key, published, Instant::now()),
                Err(error) => {
                    retries.put(key, published, Instant::now());
                    whole = Err(error);
                }
            }
        }
        whole
    }

    /// Tells what nobody has told, as far as there is room to keep what fails.
    async fn tell_untold(&self, cursor: &mut Option<ToldCursor>, retries: &mut Retries) -> Result<(), Error> {
        let inner = &self.engine.inner;
        let limit = inner.settings.sweep_batch.min(retries.room());
        if limit == 0 {
            return Ok(());
        }
        let now = inner.records.now()?;
        let cursor = cursor.get_or_insert_with(|| inner.records.told_cursor(now));
        let untold = inner.records.untold(cursor, now, limit).await?;
        inner.metrics.swept("untold", untold.len());
        let telling = untold.into_iter().map(|stored| async move {
            self.carry_out_soon(&stored);
            (self.engine.tell(&stored, false).await, stored.challenge.key)
        });
        for (telling, key) in join_all(telling).await {
            if !telling.is_done() {
                retries.put(key, telling.published, Instant::now());
            }
        }
        Ok(())
    }

    /// Carries out what is owed in a task of its own, as soon as there is a place. What a stop or a failure prevents
    /// comes again: by the watch over its attempt, or by the sweep of another process.
    fn carry_out_soon(&self, stored: &Stored) {
        let effects = owed(&stored.challenge);
        if effects.is_empty() {
            return;
        }
        let (sweeper, stored) = (self.clone(), stored.clone());
        self.engine.inner.tasks.spawn_detail("carry out", async move {
            let place = tokio::select! {
                place = sweeper.carrying.acquire() => place,
                () = sweeper.engine.inner.stop.soft() => return,
            };
            for effect in effects {
                if let Err(error) = sweeper.hands.carry_out(stored.clone(), effect).await {
                    tracing::debug!(challenge = %stored.challenge.key, %error, "what is owed was not carried out");
                }
            }
            drop(place);
        });
    }

    /// Pauses between two rounds; says whether it is time to stop.
    async fn pauses(&self) -> bool {
        self.engine.stops_within(self.engine.inner.settings.sweep_interval).await
    }
}

/// The error and everything under it in one line.
pub(crate) fn in_full(error: Error) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// What came of a look.
enum Looked {
    /// It was made, or handed over.
    Done,
    /// There is nothing to look at any more.
    Gone,
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
        | AttemptState::AwaitingCode
        | AttemptState::Superseded
        | AttemptState::Ended => false,
    }
}

impl Applied {
    /// What is owed for the challenge as it now is.
    pub fn owed(&self) -> Vec<Effect> {
        owed(&self.stored().challenge)
    }
}
