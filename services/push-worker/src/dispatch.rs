//! Carries a challenge's push out: commits that it is about to be sent, sends it to all devices at once, commits
//! what came of it, and hands over what is owed then.

use std::time::Duration;

use fleet_broker::{Delivery, Verdict};
use fleet_domain::{
    Attempt, AttemptState, Challenge, Device, DeviceId, Event, Purpose, Step, User, has_resend_left, owed,
};
use fleet_engine::{Applied, Apply, Engine, Error};
use fleet_lifecycle::{CrashPoint, crash_during, crash_point};
use fleet_records::{Actor, Stored};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::fcm::{Fcm, FcmError, Push};
use crate::metrics::{PushMetrics, Resend};
use crate::outcome::Sent;
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
        match turn(&stored.challenge, delivery.redelivered, self.engine.now(), patience) {
            Turn::Commit(event) => self.begin(stored, event, delivery).await,
            Turn::Withdraw => self.withdraw(stored).await,
            Turn::Wait(wait) => Ok(Verdict::RetryIn(wait)),
            Turn::Nothing => self.hand_over_owed(&stored).await,
        }
    }

    /// Commits that the push is about to be sent, and sends it if it was this commit that says so.
    async fn begin(&self, stored: Stored, event: Event, delivery: &Delivery) -> Result<Verdict, Error> {
        let key = stored.challenge.key.clone();
        let apply = Apply::bulk(&key, Actor::Fleet).knowing(stored);
        match self.engine.apply(apply, |_| event.clone()).await? {
            Applied::Changed { after, .. } => match to_send(&after.challenge, &event) {
                Some(attempt) => {
                    let devices = self.devices(&after.challenge).await?;
                    self.send(after, attempt, (devices, delivery)).await
                }
                None => self.hand_over_owed(&after).await,
            },
            // Another process was faster, and keeps watch over what it began; or the database's time is a little behind.
            Applied::Unchanged { stored, .. } => self.come_back_or_hand_over(&stored).await,
        }
    }

    /// Sends the push of an attempt that was committed for this process to send it.
    async fn send(
        &self,
        stored: Stored,
        number: u8,
        (mut devices, delivery): (Vec<Device>, &Delivery),
    ) -> Result<Verdict, Error> {
        let Some(attempt) = stored.challenge.attempt(number) else { return Ok(Verdict::Done) };
        let is_first = attempt.rounds < 2;
        if is_first && !delivery.usable() {
            // The broker has given the delivery to another process, which finds the attempt in `sending`.
            return Ok(Verdict::RetryIn(COMMIT_MARGIN));
        }
        let push =
            Push::prompt(&stored.challenge, self.engine.records().portal(&stored.challenge.key.portal));
        let mut sent = Sent { devices: devices.len(), failures: Vec::new() };
        if !is_first {
            if push.ttl_s(self.engine.now()).is_some() {
                self.metrics.resent(cause(attempt));
            }
            if let Some(resend) = &attempt.resend {
                devices.retain(|device| resend.devices.contains(&device.id));
            }
        }
        crash_point(CrashPoint::Committed);
        let mut sends: FuturesUnordered<_> =
            devices.iter().filter_map(|device| self.send_to(&push, device)).collect();
        // An attempt that a device has taken before only gets its devices.
        let mut settled =
            matches!(attempt.state, AttemptState::Pushed | AttemptState::Opened).then(|| stored.clone());
        // The first device that takes it makes the challenge `pushed`: a slow one must not hold that up.
        while let Some((device, result)) = sends.next().await {
            match result {
                Ok(()) if settled.is_none() => {
                    let devices = u8::try_from(sent.devices).unwrap_or(u8::MAX);
                    settled = Some(self.settle(&stored, Event::Pushed { attempt: number, devices }).await?);
                }
                Ok(()) => {}
                Err(error) => sent.failures.push((device, error)),
            }
        }
        let random = fleet_keys::random_bytes();
        let (before, event) = if let Some(settled) = settled {
            (settled, sent.unreached(number, random).filter(|_| is_first))
        } else {
            log_failure(&stored.challenge, number, &sent);
            (stored, Some(sent.failed(number, random)))
        };
        let settled = match event {
            Some(event) => self.settle(&before, event).await?,
            None => before,
        };
        self.come_back_or_hand_over(&settled).await
    }

    /// A re-send that waits for its time is brought by this very delivery.
    async fn come_back_or_hand_over(&self, settled: &Stored) -> Result<Verdict, Error> {
        let challenge = &settled.challenge;
        let live = challenge.live_attempt().filter(|_| challenge.is_open());
        let due = live.filter(|attempt| has_resend_left(challenge, attempt.number));
        match due.and_then(|attempt| attempt.resend.as_ref()) {
            Some(resend) => Ok(Verdict::RetryIn(resend.not_before.since(self.engine.now()))),
            None => self.hand_over_owed(settled).await,
        }
    }

    /// Reads the devices of the step. One that is being tested is not among its user's devices yet.
    async fn devices(&self, challenge: &Challenge) -> Result<Vec<Device>, Error> {
        let devices = devices_of(self.user(challenge).await?, challenge);
        let is_test = challenge.request.purpose == Purpose::EnrollmentTest;
        match challenge.current_step() {
            Some(Step::Push { device: Some(only), .. }) if is_test && devices.is_empty() => {
                Ok(self.engine.records().untested_device(*only).await?.into_iter().collect())
            }
            Some(Step::Push { .. } | Step::Voice { .. } | Step::Totp { .. }) | None => Ok(devices),
        }
    }

    pub(crate) async fn user(&self, challenge: &Challenge) -> Result<Option<User>, Error> {
        match &challenge.request.user {
            Some(user) => Ok(self.engine.records().user(user).await?),
            None => Ok(None),
        }
    }

    /// `None` for a device that only polls.
    pub(crate) fn send_to<'a>(
        &'a self,
        push: &'a Push,
        device: &'a Device,
    ) -> Option<impl Future<Output = (DeviceId, Result<(), FcmError>)> + 'a> {
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
            (device.id, result)
        })
    }

    pub(crate) async fn settle(&self, stored: &Stored, event: Event) -> Result<Stored, Error> {
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
    pub(crate) async fn hand_over_owed(&self, stored: &Stored) -> Result<Verdict, Error> {
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

/// The attempt whose push the event has let this process send. An overdue challenge has ended by it instead.
fn to_send(challenge: &Challenge, event: &Event) -> Option<u8> {
    if let Event::Resend { attempt } = event {
        return challenge.is_open().then_some(*attempt);
    }
    sending(challenge)
}

/// Why it is sent once more.
const fn cause(attempt: &Attempt) -> Resend {
    if attempt.resend.is_some() {
        Resend::Unreached
    } else if attempt.resend_asked {
        Resend::Asked
    } else {
        Resend::Abandoned
    }
}

fn log_failure(challenge: &Challenge, attempt: u8, sent: &Sent) {
    let (challenge, devices) = (&challenge.key, sent.devices);
    if let Some(cause) = sent.telling() {
        tracing::warn!(%challenge, attempt, devices, %cause, "no device took the push");
    } else {
        tracing::debug!(%challenge, attempt, devices, "no device has a push token");
    }
}
