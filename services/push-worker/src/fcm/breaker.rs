//! The breaker: while FCM fails or hangs for everybody, pushes are not tried, so that nobody waits for it.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::error::FcmError;
use crate::metrics::BreakerMetrics;

/// So many failures without an answer between them open it: half of all requests may fail before that happens by chance.
const OPENS_AFTER: u32 = 20;
/// A request that has no answer by then counts as a failure, though it is waited for.
const SLOW: Duration = Duration::from_secs(4);
/// How long FCM is left alone before one request tries it again.
const PAUSE: Duration = Duration::from_secs(10);
/// How long after that other requests may fare better: that one must have been answered.
const PROBE: Duration = Duration::from_secs(1);

/// Whether FCM is tried.
pub(crate) struct Breaker {
    state: Mutex<State>,
    metrics: BreakerMetrics,
}

#[derive(Default)]
struct State {
    /// Failures since the last answer.
    strikes: u32,
    /// While it is open: when FCM is tried again.
    open_until: Option<Instant>,
    /// Whether one request tries it just now.
    probing: bool,
}

impl Breaker {
    pub(crate) fn new(metrics: BreakerMetrics) -> Self {
        Self { state: Mutex::default(), metrics }
    }

    /// Makes the request, unless FCM is left alone.
    pub(crate) async fn pass(
        &self,
        request: impl Future<Output = Result<(), FcmError>>,
    ) -> Result<(), FcmError> {
        let mut turn = self.turn()?;
        let mut request = pin!(request);
        let result = if let Ok(result) = timeout(SLOW, &mut request).await {
            result
        } else {
            turn.fail();
            request.await
        };
        match result {
            Err(error) if is_failure_of_all(error) => turn.fail(),
            Ok(()) | Err(_) => turn.succeed(),
        }
        result
    }

    fn turn(&self) -> Result<Turn<'_>, FcmError> {
        let mut state = self.state();
        let is_probe = match state.open_until {
            None => false,
            Some(until) if state.probing || Instant::now() < until => {
                let left = until.saturating_duration_since(Instant::now());
                return Err(FcmError::Away { after: left + PROBE });
            }
            Some(_) => true,
        };
        state.probing = is_probe;
        Ok(Turn { breaker: self, is_probe, has_failed: false })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request's turn. A probe whose request is dropped makes room for another one.
struct Turn<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
    has_failed: bool,
}

impl Turn<'_> {
    /// Counts once for each request.
    fn fail(&mut self) {
        if std::mem::replace(&mut self.has_failed, true) {
            return;
        }
        let mut state = self.breaker.state();
        state.strikes = state.strikes.saturating_add(1);
        let opens = state.open_until.is_none() && state.strikes >= OPENS_AFTER;
        if opens || self.is_probe {
            state.open_until = Some(Instant::now() + PAUSE);
            state.probing = false;
        }
        if opens {
            self.breaker.metrics.opened();
            tracing::warn!(failures = state.strikes, pause = ?PAUSE, "FCM fails or hangs: pushes are not tried until one of them is taken again");
        }
    }

    /// An answer to whatever request says that FCM works; while it is left alone, only the one that tries it does.
    fn succeed(&self) {
        let mut state = self.breaker.state();
        if self.is_probe {
            self.breaker.metrics.closed();
            tracing::info!("FCM answers again: pushes are sent as before");
            *state = State::default();
        } else if state.open_until.is_none() {
            state.strikes = 0;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_probe && !self.has_failed {
            self.breaker.state().probing = false;
        }
    }
}

/// Whether others will fail alike, and it is FCM or the way to it that does.
const fn is_failure_of_all(error: FcmError) -> bool {
    matches!(
        error,
        FcmError::Unavailable { .. } | FcmError::Internal | FcmError::NotConnected | FcmError::Unclear { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_telemetry::Metrics;
    use std::future::{pending, ready};
    use std::sync::Arc;

    const LOST: Result<(), FcmError> = Err(FcmError::Unclear { http_status: None });

    struct Case {
        breaker: Arc<Breaker>,
        metrics: Metrics,
    }

    impl Case {
        fn new() -> Self {
            let metrics = Metrics::new();
            Self { breaker: Arc::new(Breaker::new(BreakerMetrics::new(&metrics))), metrics }
        }

        async fn open(&self) {
            for _ in 0..OPENS_AFTER {
                assert_eq!(self.breaker.pass(ready(LOST)).await, LOST);
            }
        }

        fn is_open(&self) -> bool {
            self.metrics.render().lines().any(|line| line == "mfa_push_breaker_open 1")
        }

        async fn is_away(&self) -> bool {
            matches!(self.breaker.pass(ready(Ok(()))).await, Err(FcmError::Away { .. }))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn p8_it_opens_after_failures_in_a_row_and_one_request_closes_it_again() {
        let case = Case::new();
        for _ in 1..OPENS_AFTER {
            case.breaker.pass(ready(LOST)).await.unwrap_err();
        }
        // A token that is gone is an answer.
        case.breaker.pass(ready(Err(FcmError::Unregistered))).await.unwrap_err();
        assert!(!case.is_open());
        case.open().await;
        assert!(case.is_open());
        tokio::time::advance(PAUSE / 2).await;
        let away = FcmError::Away { after: PAUSE / 2 + PROBE };
        assert_eq!(case.breaker.pass(ready(Ok(()))).await, Err(away));
        tokio::time::advance(PAUSE / 2).await;
        case.breaker.pass(ready(LOST)).await.unwrap_err();
        assert!(case.is_away().await, "the one that tried it failed");
        tokio::time::advance(PAUSE).await;
        case.breaker.pass(ready(Ok(()))).await.unwrap();
        assert!(!case.is_open());
        case.breaker.pass(ready(LOST)).await.unwrap_err();
        assert!(!case.is_away().await, "it counts anew");
    }

    #[tokio::test(start_paused = true)]
    async fn p8_requests_that_hang_open_it_before_they_time_out() {
        let case = Case::new();
        let mut hanging = tokio::task::JoinSet::new();
        for _ in 0..OPENS_AFTER {
            let breaker = Arc::clone(&case.breaker);
            hanging.spawn(async move { breaker.pass(pending()).await });
        }
        tokio::task::yield_now().await;
        tokio::time::advance(SLOW + Duration::from_millis(1)).await;
        tokio::task::yield_now().await;
        assert!(case.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_request_that_tries_fcm_is_dropped_another_one_may() {
        let case = Case::new();
        case.open().await;
        tokio::time::advance(PAUSE).await;
        assert!(timeout(Duration::from_millis(1), case.breaker.pass(pending())).await.is_err());
        assert!(!case.is_away().await);
        assert!(!case.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn while_one_request_tries_fcm_the_others_do_not() {
        let case = Case::new();
        case.open().await;
        tokio::time::advance(PAUSE).await;
        let slowly = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        };
        let (probed, others_are_away) = tokio::join!(case.breaker.pass(slowly), case.is_away());
        assert_eq!((probed, others_are_away), (Ok(()), true));
    }
}
