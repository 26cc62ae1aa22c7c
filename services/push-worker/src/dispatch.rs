//! Carries a challenge's push out: commits that it is about to be sent, sends it to all devices at once, commits
//! what came of it, and hands over what is owed then.

use std::time::Duration;

use fleet_broker::{Delivery, Verdict};
use fleet_domain::{AttemptState, Challenge, Device, Event, Step, User, owed};
use fleet_engine::{Applied, Apply, Engine, Error};
use fleet_lifecycle::{CrashPoint, crash_during, crash_point};
use fleet_records::{Actor, Stored};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::fcm::{Fcm, FcmError, Push};
use crate::metrics::{PushMetrics, Resend};
use crate::outcome;
use crate::turn::{Turn, turn};

/// How much longer than the sending itself an attempt is left alone: for its commits.
const COMMIT_MARGIN: Duration = Duration::from_secs(2);

/// Sends pushes. Clones share everything.
#[derive(Clone)]
pub(crate) struct Dispatch {
    engine: Engine,
    fcm: Fcm,
    metrics: PushMetrics,
}

impl Dispatch {
    pub(crate) const fn new(engine: Engine, fcm: Fcm, metrics: PushMetrics) -> Self {
        Self { engine, fcm, metrics }
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Carries on with a challenge that this very delivery has stored. Where it is in `sending`, that was
    /// committed for this process to send it.
    pub(crate) async fn carry_on_accepted(
        &self,
        stored: Stored,
        user: Option<User>,
        delivery: &Delivery,
    ) -> Result<Verdict, Error> {
        match sending(&stored.challenge) {
            Some(attempt) => {
                let devices = devices_of(user, &stored.challenge);
                self.send(stored, attempt, (devices, delivery)).await
            }
            None => self.carry_on(stored, delivery).await,
        }
    }

    /// Carries on with a challenge as it was found.
    pub(crate) async fn carry_on(&self, stored: Stored, delivery: &Delivery) -> Result<Verdict, Error> {
        let patience = self.fcm.send_timeout() + COMMIT_MARGIN;
        let event = match turn(&stored.challenge, delivery.redelivered, self.engine.now(), patience) {
            Turn::Commit(event) => event,
            Turn::Wait(wait) => return Ok(Verdict::RetryIn(wait)),
            Turn::Nothing => return self.hand_over_owed(&stored).await,
        };
        let key = stored.challenge.key.clone();
        let apply = Apply::bulk(&key, Actor::Fleet).knowing(stored);
        match self.engine.apply(apply, |_| event.clone()).await? {
            Applied::Changed { after, .. } => match sending(&after.challenge) {
                Some(attempt) => {
                    let devices = self.devices(&after.challenge).await?;
                    self.send(after, attempt, (devices, delivery)).await
                }
                None => self.hand_over_owed(&after).await,
            },
            // Another process was faster, and keeps watch over what it began.
            Applied::Unchanged { stored, .. } => self.hand_over_owed(&stored).await,
        }
    }

    /// Sends the push of an attempt that was moved to `sending` for this process to send it.
    async fn send(
        &self,
        stored: Stored,
        attempt: u8,
        (devices, delivery): (Vec<Device>, &Delivery),
    ) -> Result<Verdict, Error> {
        if !delivery.usable() {
            // The broker has given the delivery to another process, which finds the attempt in `sending`.
            return Ok(Verdict::RetryIn(COMMIT_MARGIN));
        }
        if stored.challenge.attempt(attempt).is_some_and(|attempt| attempt.rounds > 1) {
            self.metrics.resent(Resend::Abandoned);
        }
        crash_point(CrashPoint::Committed);
        let push = Push::new(&stored.challenge, self.engine.records().portal(&stored.challenge.key.portal));
        let mut sends: FuturesUnordered<_> =
            devices.iter().filter_map(|device| self.send_to(&push, device)).collect();
        let mut errors = Vec::new();
        let mut pushed = None;
        // The first device that takes it makes the challenge `pushed`: a slow one must not hold that up.
        while let Some(result) = sends.next().await {
            match (result, &pushed) {
                (Ok(()), None) => pushed = Some(self.settle(&stored, Event::Pushed { attempt }).await?),
                (Ok(()), Some(_)) => {}
                (Err(error), _) => errors.push(error),
            }
        }
        let settled = if let Some(settled) = pushed {
            settled
        } else {
            log_failure(&stored.challenge, attempt, devices.len(), &errors);
            self.settle(&stored, outcome::failed(attempt, devices.len(), &errors)).await?
        };
        self.hand_over_owed(&settled).await
    }

    /// Reads the devices of the step.
    async fn devices(&self, challenge: &Challenge) -> Result<Vec<Device>, Error> {
        let user = match &challenge.request.user {
            Some(user) => self.engine.records().user(user).await?,
            None => None,
        };
        Ok(devices_of(user, challenge))
    }

    /// `None` for a device that only polls.
    fn send_to<'a>(
        &'a self,
        push: &'a Push,
        device: &'a Device,
    ) -> Option<impl Future<Output = Result<(), FcmError>> + 'a> {
        let token = device.push_token.as_ref()?;
        Some(async move {
            let result = crash_during(CrashPoint::Posting, self.fcm.send(push, token)).await;
            if let Err(error) = result {
                if error.is_configuration_alarm() {
                    self.metrics.alarm(error);
                }
                if error.retires_token() {
                    match self.engine.records().retire_push_token(device.id, token).await {
                        Ok(()) => self.metrics.retired(),
                        Err(error) => tracing::warn!(
                            device = %device.id,
                            %error,
                            "a push token could not be retired; the next push tries again"
                        ),
                    }
                }
            }
            result
        })
    }

    async fn settle(&self, stored: &Stored, event: Event) -> Result<Stored, Error> {
        let key = &stored.challenge.key;
        let apply = Apply::bulk(key, Actor::Provider).knowing(stored.clone());
        crash_point(CrashPoint::Posted);
        let applied = self.engine.apply(apply, |_| event.clone()).await?;
        crash_point(CrashPoint::Stored);
        Ok(match applied {
            Applied::Changed { after, .. } => after,
            Applied::Unchanged { stored, .. } => stored,
        })
    }

    /// Hands over what is owed, a push of the next step too; then nothing is left to do for the delivery.
    async fn hand_over_owed(&self, stored: &Stored) -> Result<Verdict, Error> {
        for effect in owed(&stored.challenge) {
            self.engine.hand_over(&stored.challenge.key, &effect).await?;
        }
        Ok(Verdict::Done)
    }
}

/// The devices of the step: the one that it names, or all.
fn devices_of(user: Option<User>, challenge: &Challenge) -> Vec<Device> {
    let mut devices = user.map(|user| user.devices).unwrap_or_default();
    if let Some(Step::Push { device: Some(only), .. }) = challenge.current_step() {
        devices.retain(|device| device.id == *only);
    }
    devices
}

/// The attempt whose push is being sent.
fn sending(challenge: &Challenge) -> Option<u8> {
    let attempt = challenge.live_attempt().filter(|_| challenge.is_open())?;
    (attempt.state == AttemptState::Sending).then_some(attempt.number)
}

fn log_failure(challenge: &Challenge, attempt: u8, devices: usize, errors: &[FcmError]) {
    let challenge = &challenge.key;
    if let Some(cause) = outcome::telling(errors) {
        tracing::warn!(%challenge, attempt, devices, %cause, "no device took the push");
    } else {
        tracing::debug!(%challenge, attempt, devices, "no device has a push token");
    }
}
