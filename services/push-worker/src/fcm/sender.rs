//! `Fcm`: sends one push to one device, and tries once more what was surely not delivered, or may be so twice.

use std::sync::Arc;
use std::time::Duration;

use fleet_domain::PushToken;
use fleet_lifecycle::{Clock, Context};
use fleet_telemetry::{Metrics, Readiness};
use reqwest::Url;
use tokio::time::{Instant, sleep};

use super::breaker::Breaker;
use super::client::{Connections, Unusable};
use super::error::{FcmError, Remedy};
use super::message::Push;
use super::settings::Profile;
use super::token::{AccessToken, Refresher, Tokens};
use crate::metrics::{BreakerMetrics, PushMetrics, TokenMetrics};

/// What a second try must have left to be worth beginning.
const LEAST_TRY: Duration = Duration::from_secs(1);

/// The push service. Clones share everything.
#[derive(Clone)]
pub(crate) struct Fcm {
    inner: Arc<Inner>,
}

struct Inner {
    send_url: Url,
    connections: Connections,
    breaker: Breaker,
    tokens: Tokens,
    clock: Clock,
    metrics: PushMetrics,
    send_timeout: Duration,
}

impl Fcm {
    /// Builds the connections and starts the task that keeps the access token fresh. Connects nowhere yet.
    pub(crate) fn start(
        profile: Profile,
        context: &Context,
        metrics: &Metrics,
        readiness: &Readiness,
    ) -> Result<Self, Unusable> {
        let connections = Connections::new(&profile)?;
        let Profile { send_url, account, request_timeout, .. } = profile;
        let (refresher, tokens) = Refresher::new(
            account,
            TokenMetrics::new(metrics, context.clock.clone()),
            readiness.check("fcm"),
        );
        context.tasks.spawn("fcm access token", refresher.run(context.stop.clone()));
        Ok(Self {
            inner: Arc::new(Inner {
                send_url,
                connections,
                breaker: Breaker::new(BreakerMetrics::new(metrics)),
                tokens,
                clock: context.clock.clone(),
                metrics: PushMetrics::new(metrics),
                send_timeout: request_timeout,
            }),
        })
    }

    /// How long [`Fcm::send`] may take.
    pub(crate) fn send_timeout(&self) -> Duration {
        self.inner.send_timeout
    }

    /// Sends the push to the device with this token. `Ok` means that FCM took it, not that it arrived.
    ///
    /// It is tried once more where there was no connection or FCM asked for a short pause, and once more with a new access
    /// token where the old one was refused. A prompt that may have been delivered is never tried again here.
    pub(crate) async fn send(&self, push: &Push, token: &PushToken) -> Result<(), FcmError> {
        let now = self.inner.clock.now();
        let give_up = Instant::now() + self.inner.send_timeout.min(push.answer_by().since(now));
        let Some(mut access) = self.inner.tokens.current(left(give_up)).await else {
            return Err(self.not_sent(push, FcmError::NoAccessToken));
        };
        let (mut may_try, mut may_renew) = (true, true);
        loop {
            let Err(error) = self.post(push, token, &access, give_up).await else { return Ok(()) };
            match error.remedy(push.is_prompt()) {
                Remedy::RenewAccess if may_renew => {
                    may_renew = false;
                    let Some(renewed) = self.inner.tokens.instead_of(&access, left(give_up)).await else {
                        return Err(error);
                    };
                    access = renewed;
                }
                Remedy::TryAgain { after } if may_try => {
                    may_try = false;
                    let Some(pause) = pause(after, left(give_up), fleet_keys::random_bytes()) else {
                        return Err(error);
                    };
                    sleep(pause).await;
                }
                Remedy::None | Remedy::RenewAccess | Remedy::TryAgain { .. } => return Err(error),
            }
        }
    }

    async fn post(
        &self,
        push: &Push,
        token: &PushToken,
        access: &AccessToken,
        give_up: Instant,
    ) -> Result<(), FcmError> {
        let now = self.inner.clock.now();
        let ttl_s = push.ttl_s(now).ok_or_else(|| self.not_sent(push, FcmError::TooLate))?;
        let body = push.body(token, ttl_s).map_err(|_| self.not_sent(push, FcmError::BadPayload))?;
        let begun = Instant::now();
        let (url, authorization) = (self.inner.send_url.clone(), access.authorization().clone());
        let posting = self.inner.connections.post(url, authorization, body, (now, give_up - begun));
        let result = self.inner.breaker.pass(posting).await;
        match result {
            Err(away @ FcmError::Away { .. }) => return Err(self.not_sent(push, away)),
            Ok(()) | Err(_) => self.inner.metrics.sent(push.is_prompt(), result, begun.elapsed()),
        }
        result
    }

    fn not_sent(&self, push: &Push, why: FcmError) -> FcmError {
        self.inner.metrics.not_sent(push.is_prompt(), why);
        why
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// How long to wait before the second try: what FCM asked for and up to a second of jitter, so that many pushes
/// don't return in step. `None` where too little time would be left.
fn pause(after: Duration, left: Duration, random: [u8; 2]) -> Option<Duration> {
    let room = left.checked_sub(after)?.checked_sub(LEAST_TRY)?;
    let jitter =
        Duration::from_secs(1).min(room) * u32::from(u16::from_le_bytes(random)) / u32::from(u16::MAX);
    Some(after + jitter)
}

#[cfg(test)]
mod tests;
