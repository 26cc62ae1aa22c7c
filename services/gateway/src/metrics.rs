//! The metrics of the gateway. Labels are words of this code, never anything that a request brought along.

use std::time::Duration;

use axum::http::StatusCode;
use fleet_telemetry::{HistogramVec, IntCounterVec, IntGaugeVec, LATENCY_SECONDS, Metrics};

const NO_LABELS: &[&str] = &[];

/// The gateway's metrics.
#[derive(Clone)]
pub(crate) struct GatewayMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    without_effect: IntCounterVec,
    unknown_deny_reasons: IntCounterVec,
    pins: IntCounterVec,
    connections: IntGaugeVec,
}

impl GatewayMetrics {
    /// Declares the metrics.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.counter(
                "mfa_gateway_requests_total",
                "Requests answered, by route and class of the HTTP status.",
                &["route", "status"],
            ),
            seconds: metrics.histogram(
                "mfa_gateway_request_seconds",
                "From the head of a request to its answer, in seconds.",
                &["route"],
                LATENCY_SECONDS,
            ),
            without_effect: metrics.counter(
                "mfa_gateway_without_effect_total",
                "Requests that were refused, changed nothing or were cut short, by why.",
                &["route", "reason"],
            ),
            unknown_deny_reasons: metrics.counter(
                "mfa_gateway_unknown_deny_reasons_total",
                "Denials by an app with a reason that is not known; they count as a plain denial.",
                &[],
            ),
            pins: metrics.counter(
                "mfa_gateway_pins_total",
                "PINs keyed in calls, by what came of them: right, wrong and expired were compared, locked_out and no_pin were not, busy were asked for again.",
                &["finding"],
            ),
            connections: metrics.gauge("mfa_gateway_connections", "Open connections.", &[]),
        }
    }

    /// Counts an answered request.
    pub(crate) fn answered(&self, route: &'static str, status: StatusCode, took: Duration) {
        self.requests.with_label_values(&[route, class(status)]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    /// Counts a request that did not do what it was for.
    pub(crate) fn without_effect(&self, route: &'static str, reason: &'static str) {
        self.without_effect.with_label_values(&[route, reason]).inc();
    }

    /// Counts a denial with an unknown reason.
    pub(crate) fn unknown_deny_reason(&self) {
        self.unknown_deny_reasons.with_label_values(NO_LABELS).inc();
    }

    /// Counts a PIN that was keyed.
    pub(crate) fn pin(&self, finding: &'static str) {
        self.pins.with_label_values(&[finding]).inc();
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn connection(&self) -> OpenConnection {
        self.connections.with_label_values(NO_LABELS).inc();
        OpenConnection(self.connections.clone())
    }
}

/// An open connection.
pub(crate) struct OpenConnection(IntGaugeVec);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.with_label_values(NO_LABELS).dec();
    }
}

const fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_lists_every_metric() {
        let metrics = Metrics::new();
        GatewayMetrics::new(&metrics);
        let own: Vec<_> =
            metrics.reference().into_iter().filter(|doc| doc.name.starts_with("mfa_gateway_")).collect();
        assert_eq!(own.len(), 6);
        for doc in own {
            assert!(include_str!("../README.md").contains(&format!("| `{}` |", doc.name)), "{}", doc.name);
        }
    }
}
