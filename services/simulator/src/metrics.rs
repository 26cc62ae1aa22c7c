//! The simulator's metrics, all in one place.

use fleet_telemetry::{IntCounterVec, Metrics};

/// Every metric, with its help text.
pub(crate) struct SimulatorMetrics {
    pub(crate) calls: IntCounterVec,
    pub(crate) callbacks: IntCounterVec,
    pub(crate) pushes: IntCounterVec,
    pub(crate) app_answers: IntCounterVec,
}

/// Label values of `mfa_simulator_app_answers_total`.
pub(crate) const APP_RESULTS: [&str; 5] = ["accepted", "refused", "not_open", "unreachable", "withdrawn"];

impl SimulatorMetrics {
    /// Registers them.
    pub(crate) fn register(metrics: &Metrics) -> Self {
        Self {
            calls: metrics.counter(
                "mfa_simulator_calls_total",
                "Calls that ended, by final status.",
                &["status"],
            ),
            callbacks: metrics.counter(
                "mfa_simulator_callbacks_total",
                "Status callbacks, by event and whether the customer took them.",
                &["event", "result"],
            ),
            pushes: metrics.counter(
                "mfa_simulator_pushes_total",
                "Messages asked to be sent, by `accepted` or the reason of the refusal; dry runs are none.",
                &["result"],
            ),
            app_answers: metrics.counter(
                "mfa_simulator_app_answers_total",
                "What apps did with the pushes they act on, by result.",
                &["result"],
            ),
        }
    }
}
