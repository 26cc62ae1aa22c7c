//! Carries a challenge's push out: commits that it is about to be sent, sends it to all devices at once, commits
//! what came of it, and hands over what is owed then.

use std::sync::Arc;
use std::time::Duration;

use fleet_broker::{Delivery, Verdict};
use fleet_domain::{
    Attempt, AttemptState, Challenge, Device, DeviceId, Event, Purpose, PushToken, Step, User,
    has_resend_left, owed,
};
use fleet_engine::{Applied, Apply, Engine, Error};
use fleet_lifecycle::{CrashPoint, crash_during, crash_point};
use fleet_records::{Actor, Stored};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::timeout;

use crate::fcm::{Fcm, FcmError, Push};
use crate::metrics::{PushMetrics, Resend};
use crate::outcome::Sent;
use crate::turn::{Turn, turn};

/// How much longer than the sending itself an attempt is left alone: for its commits.
const COMMIT_MARGIN: Duration = Duration::from_secs(2);
/// How long a delivery waits for a place. In a rush one is free much sooner; handing the push over would cost a message and a
/// commit more.
const PLACE_WAIT: Duration = Duration::from_millis(500);

/// Sends pushes. Clones share everything.
#[derive(Clone)]
pub(crate) struct Dispatch {
    engine: Engine,
    fcm: Fcm,
    metrics: PushMetrics,
    /// Places for pushes that are sent by the deliveries that ask for them: see [`Dispatch::place`].
    places: Arc<Semaphore>,
}

impl Dispatch {
    pub(crate) fn new(engine: Engine, fcm: Fcm, metrics: PushMetrics, places: usize) -> Self {
        Self { engine, fcm, metrics, places: Arc::new(Semaphore::new(places)) }
    }

    /// A place for a delivery that accepts a challenge to send its push as well. `None` where FCM is so slow that all stay
    /// taken: the push is then left to the deliveries of another queue, so that accepting goes on.
    pub(crate) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        timeout(PLACE_WAIT, self.places.acquire()).await.ok()?.ok()
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
                let devices = of_step(user.map(|user| user.devices).unwrap_or_default(), &stored.challenge);
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
            Turn::Count(attempt) => {
                let devices = self.devices(&stored.challenge).await?;
                let devices = Sent::before(1, &devices).may_show();
                let settled = self.settle(&stored, &Event::Pushed { attempt, devices }).await?;
                self.hand_over_owed(&settled).await
            }
            Turn::GiveUp { attempt, round } => {
                let devices = self.devices(&stored.challenge).await?;
                let settled = self.settle(&stored, &Sent::lost(attempt, round, &devices)).await?;
                self.hand_over_owed(&settled).await
            }
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
        let mut sent = Sent::before(attempt.rounds, &devices);
        if !is_first {
            if push.ttl_s(self.engine.now()).is_some() {
                self.metrics.resent(cause(attempt));
            }
            if let Some(resend) = &attempt.resend {
                devices.retain(|device| resend.devices.contains(&device.id));
            }
        }
        crash_point(CrashPoint::Committed);
        // An attempt that a device has taken before only gets its devices.
        let taken_before = matches!(attempt.state, AttemptState::Pushed | AttemptState::Opened);
        let pushed = Event::Pushed { attempt: number, devices: sent.may_show() };
        let (taken, is_taken) = oneshot::channel();
        let sending = self.send_to_all(&push, &devices, taken);
        let committing = async {
            match is_taken.await {
                Ok(()) if !taken_before => self.settle(&stored, &pushed).await.map(Some),
                Ok(()) | Err(_) => Ok(taken_before.then(|| stored.clone())),
            }
        };
        let (failures, settled) = tokio::join!(sending, committing);
        sent.failures.extend(failures);
        let random = fleet_keys::random_bytes();
        let (before, event) = if let Some(settled) = settled? {
            (settled, sent.unreached(number, random).filter(|_| is_first))
        } else {
            log_failure(&stored.challenge, number, &sent);
            (stored, Some(sent.failed(number, random)))
        };
        let settled = match event {
            Some(event) => self.settle(&before, &event).await?,
            None => before,
        };
        self.come_back_or_hand_over(&settled).await
    }

    /// Sends the push to all devices at once, and says as soon as the first has taken it, since that makes the challenge
    /// `pushed`: a slow one must not hold it up. Returns those that did not take it, and why.
    async fn send_to_all(
        &self,
        push: &Push,
        devices: &[Device],
        taken: oneshot::Sender<()>,
    ) -> Vec<(DeviceId, FcmError)> {
        let mut taken = Some(taken);
        let mut failures = Vec::new();
        let mut sends: FuturesUnordered<_> =
            devices.iter().filter_map(|device| self.send_to(push, device)).collect();
        while let Some((device, result)) = sends.next().await {
            match result {
                Ok(()) => {
                    if let Some(taken) = taken.take() {
                        let _ = taken.send(());
                    }
                }
                Err(error) => failures.push((device, error)),
            }
        }
        failures
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

    /// Reads the devices of the step.
    async fn devices(&self, challenge: &Challenge) -> Result<Vec<Device>, Error> {
        Ok(of_step(self.all_devices(challenge).await?, challenge))
    }

    /// Reads the devices that any step may ask. One that is being tested is not among its user's yet.
    pub(crate) async fn all_devices(&self, challenge: &Challenge) -> Result<Vec<Device>, Error> {
        let records = self.engine.records();
        let user = match &challenge.request.user {
            Some(user) => records.user(user).await?,
            None => None,
        };
        let mut devices = user.map(|user| user.devices).unwrap_or_default();
        if challenge.request.purpose == Purpose::EnrollmentTest
            && let [Step::Push { device: Some(tested), .. }] = challenge.request.steps[..]
            && devices.iter().all(|device| device.id != tested)
        {
            devices.extend(records.untested_device(tested).await?);
        }
        Ok(devices)
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
                    self.retire_soon(device.id, token.clone());
                }
            }
            (device.id, result)
        })
    }

    /// Forgets a token in a task of its own: the next step waits for nothing. Where it fails, the next push tries again.
    fn retire_soon(&self, device: DeviceId, token: PushToken) {
        let dispatch = self.clone();
        self.engine.spawn("retire a push token", async move {
            match dispatch.engine.records().retire_push_token(device, &token).await {
                Ok(true) => dispatch.metrics.retired(),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%device, %error, "a push token could not be retired; the next push tries again");
                }
            }
        });
    }

    /// Commits what came of a sending. It is not thrown away where that fails: everybody would be prompted again.
    pub(crate) async fn settle(&self, stored: &Stored, event: &Event) -> Result<Stored, Error> {
        crash_point(CrashPoint::Posted);
        let applied = self.engine.commit_happened(stored.clone(), event).await?;
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
fn of_step(mut devices: Vec<Device>, challenge: &Challenge) -> Vec<Device> {
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
    match sent.telling() {
        // That was said once for all of them.
        Some(cause @ FcmError::Away { .. }) => {
            tracing::debug!(%challenge, attempt, devices, %cause, "the push was not tried");
        }
        Some(cause) => tracing::warn!(%challenge, attempt, devices, %cause, "no device took the push"),
        None => tracing::debug!(%challenge, attempt, devices, "no device has a push token"),
    }
}
