//! The metrics of this service: what was sent, and the right to send it.

use std::time::Duration;

use fleet_lifecycle::Clock;
use fleet_telemetry::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, LATENCY_SECONDS, Metrics,
};

use crate::fcm::FcmError;

/// Why a challenge's push was sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resend {
    /// It may not have reached some devices.
    Unreached,
    /// Whoever had begun to send it was gone.
    Abandoned,
    /// The person asked for it.
    Asked,
}

impl Resend {
    const fn label(self) -> &'static str {
        match self {
            Self::Unreached => "unreached",
            Self::Abandoned => "abandoned",
            Self::Asked => "asked",
        }
    }
}

/// What is counted of pushes.
#[derive(Clone)]
pub(crate) struct PushMetrics {
    sends: IntCounterVec,
    withdrawals: IntCounterVec,
    /// The one result that is counted thousands of times a second.
    accepted: IntCounter,
    seconds: Histogram,
    resends: IntCounterVec,
    retired: IntCounter,
    alarms: IntCounterVec,
}

impl PushMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let sends = metrics.counter(
            "mfa_push_sends_total",
            "Pushes that ask for an answer, each to one device, by result: accepted, or why not. Each try counts.",
            &["result"],
        );
        let seconds: HistogramVec = metrics.histogram(
            "mfa_push_send_seconds",
            "Time from a request to the push service to its whole answer or its failure.",
            &[],
            LATENCY_SECONDS,
        );
        let retired = metrics.counter(
            "mfa_push_tokens_retired_total",
            "Push tokens retired, because the app is gone or the token is none.",
            &[],
        );
        Self {
            accepted: sends.with_label_values(&["accepted"]),
            sends,
            withdrawals: metrics.counter(
                "mfa_push_withdrawals_total",
                "Pushes that take a prompt back, each to one device, by result: accepted, or why not. None is sent again.",
                &["result"],
            ),
            seconds: seconds.with_label_values::<&str>(&[]),
            resends: metrics.counter(
                "mfa_push_resends_total",
                "Challenges whose push was sent once more, under the same collapse id: it may not have reached some devices \
                 (unreached), whoever had begun to send it was gone (abandoned), or the person asked for it (asked).",
                &["cause"],
            ),
            retired: retired.with_label_values::<&str>(&[]),
            alarms: metrics.counter(
                "mfa_push_configuration_alarms_total",
                "Pushes refused because an account, a key, a setting or the fleet's own message is wrong: someone must act.",
                &["cause"],
            ),
        }
    }

    /// A request and what came of it; `is_prompt` where it asked for an answer.
    pub(crate) fn sent(&self, is_prompt: bool, result: Result<(), FcmError>, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        match result {
            Ok(()) if is_prompt => self.accepted.inc(),
            Ok(()) => self.withdrawals.with_label_values(&["accepted"]).inc(),
            Err(error) => self.not_sent(is_prompt, error),
        }
    }

    /// A push that was not taken, or not even sent.
    pub(crate) fn not_sent(&self, is_prompt: bool, why: FcmError) {
        let counter = if is_prompt { &self.sends } else { &self.withdrawals };
        counter.with_label_values(&[why.label()]).inc();
    }

    pub(crate) fn resent(&self, why: Resend) {
        self.resends.with_label_values(&[why.label()]).inc();
    }

    pub(crate) fn retired(&self) {
        self.retired.inc();
    }

    pub(crate) fn alarm(&self, cause: FcmError) {
        self.alarms.with_label_values(&[cause.label()]).inc();
    }
}

/// What is told of the breaker.
pub(crate) struct BreakerMetrics {
    open: IntGauge,
    opened: IntCounter,
}

impl BreakerMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let open = metrics.gauge(
            "mfa_push_breaker_open",
            "1 while no pushes are tried because the push service failed or hung for all of them; else 0.",
            &[],
        );
        let opened = metrics.counter(
            "mfa_push_breaker_opened_total",
            "How often pushes stopped being tried because the push service failed or hung for all of them.",
            &[],
        );
        Self { open: open.with_label_values::<&str>(&[]), opened: opened.with_label_values::<&str>(&[]) }
    }

    pub(crate) fn opened(&self) {
        self.open.set(1);
        self.opened.inc();
    }

    pub(crate) fn closed(&self) {
        self.open.set(0);
    }
}

/// What is told of access tokens.
#[derive(Clone)]
pub(crate) struct TokenMetrics {
    clock: Clock,
    fetched_at: IntGauge,
    expires_at: IntGauge,
    refreshes: IntCounterVec,
}

impl TokenMetrics {
    pub(crate) fn new(metrics: &Metrics, clock: Clock) -> Self {
        let gauge = |name, help| metrics.gauge(name, help, &[]).with_label_values::<&str>(&[]);
        Self {
            clock,
            fetched_at: gauge(
                "mfa_push_access_token_fetched_timestamp_seconds",
                "When the access token for the push service was fetched, in Unix time; 0 before the first.",
            ),
            expires_at: gauge(
                "mfa_push_access_token_expires_timestamp_seconds",
                "When the access token for the push service expires, in Unix time; 0 before the first.",
            ),
            refreshes: metrics.counter(
                "mfa_push_access_token_refreshes_total",
                "Fetches of an access token for the push service, by result: ok or failed.",
                &["result"],
            ),
        }
    }

    pub(crate) fn refreshed(&self, lifetime: Duration) {
        let now = self.clock.now();
        self.fetched_at.set(now.as_secs());
        self.expires_at.set(now.plus(lifetime).as_secs());
        self.refreshes.with_label_values(&["ok"]).inc();
    }

    pub(crate) fn failed(&self) {
        self.refreshes.with_label_values(&["failed"]).inc();
    }
}
