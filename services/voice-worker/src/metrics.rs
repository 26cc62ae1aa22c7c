//! All metrics of this service. Rate and waiting calls are the whole fleet's, told alike by every voice-worker.

use fleet_domain::Timestamp;
use fleet_records::CarrierRate;
use fleet_telemetry::{IntCounter, IntGaugeVec, Metrics};

#[derive(Clone)]
pub(crate) struct VoiceMetrics {
    missed: IntCounter,
    rate: IntGaugeVec,
    waiting: IntGaugeVec,
    waiting_seconds: IntGaugeVec,
}

impl VoiceMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let by_carrier = |name, help| metrics.gauge(name, help, &["carrier"]);
        Self {
            missed: metrics
                .counter(
                    "mfa_voice_slots_missed_total",
                    "Slots that a call came too late for, by more than 20 ms; it takes another one.",
                    &[],
                )
                .with_label_values::<&str>(&[]),
            rate: by_carrier(
                "mfa_voice_calls_per_second",
                "Calls that the fleet gives the carrier in a second at most.",
            ),
            waiting: by_carrier(
                "mfa_voice_calls_waiting",
                "Calls of the whole fleet that wait for their turn at the carrier.",
            ),
            waiting_seconds: by_carrier(
                "mfa_voice_calls_waiting_seconds",
                "For how long the first of them has waited.",
            ),
        }
    }

    pub(crate) fn missed_slot(&self) {
        self.missed.inc();
    }

    pub(crate) fn waiting(&self, carrier: &CarrierRate, now: Timestamp) {
        let name = [carrier.name.as_str()];
        let seconds = carrier.waiting_since.map_or(0, |since| now.since(since).as_secs());
        self.rate.with_label_values(&name).set(carrier.calls_per_second.into());
        self.waiting.with_label_values(&name).set(i64::try_from(carrier.waiting).unwrap_or(i64::MAX));
        self.waiting_seconds.with_label_values(&name).set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}
