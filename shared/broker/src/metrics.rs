//! The metrics of the broker. Every label has few values: queues, exchanges, connections, and reasons fixed in
//! code.

use fleet_telemetry::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, LATENCY_SECONDS, Metrics,
};

use crate::topology::{Exchange, Queue};

/// All metrics of this crate.
#[derive(Clone)]
pub(crate) struct BrokerMetrics {
    deliveries: IntCounterVec,
    redeliveries: IntCounterVec,
    handler_seconds: HistogramVec,
    in_flight: IntGaugeVec,
    parked: IntCounterVec,
    published: IntCounterVec,
    publish_seconds: HistogramVec,
    connected: IntGaugeVec,
    connects: IntCounterVec,
    unreadable: IntCounterVec,
    blocked: IntGaugeVec,
}

impl BrokerMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            deliveries: metrics.counter(
                "mfa_broker_deliveries_total",
                "Deliveries that were handled, by what became of them: done, retry, poison, panic, lost (the connection broke \
                 meanwhile), requeued (the follow-up could not be published), dropped (nor before the broker would drop it).",
                &["queue", "end"],
            ),
            redeliveries: metrics.counter(
                "mfa_broker_redeliveries_total",
                "Deliveries that had been delivered before.",
                &["queue"],
            ),
            handler_seconds: metrics.histogram(
                "mfa_broker_handler_seconds",
                "Time a handler took for a delivery.",
                &["queue"],
                LATENCY_SECONDS,
            ),
            in_flight: metrics.gauge(
                "mfa_broker_in_flight",
                "Deliveries that are being worked on.",
                &["queue"],
            ),
            parked: metrics.counter(
                "mfa_broker_parked_total",
                "Messages that were parked, by reason; lost are those that could not even be parked.",
                &["reason"],
            ),
            published: metrics.counter(
                "mfa_broker_published_total",
                "Publishes, by result.",
                &["exchange", "result"],
            ),
            publish_seconds: metrics.histogram(
                "mfa_broker_publish_seconds",
                "Time from a publish to its confirm.",
                &["exchange"],
                LATENCY_SECONDS,
            ),
            connected: metrics.gauge(
                "mfa_broker_connected",
                "1 while the connection is open.",
                &["connection"],
            ),
            connects: metrics.counter(
                "mfa_broker_connects_total",
                "Connections that were opened; more than one is a reconnect.",
                &["connection"],
            ),
            unreadable: metrics.counter(
                "mfa_broker_unreadable_total",
                "Connections that broke over a message that the client library can't read; it is delivered some twenty times.",
                &["connection"],
            ),
            blocked: metrics.gauge(
                "mfa_broker_blocked",
                "1 while RabbitMQ takes nothing from the connection, because it lacks memory or disk.",
                &["connection"],
            ),
        }
    }

    pub(crate) fn queue(&self, queue: Queue) -> QueueMetrics {
        let queue = queue.name();
        let end = |end| self.deliveries.with_label_values(&[queue, end]);
        QueueMetrics {
            done: end("done"),
            retry: end("retry"),
            poison: end("poison"),
            panic: end("panic"),
            lost: end("lost"),
            requeued: end("requeued"),
            dropped: end("dropped"),
            redelivered: self.redeliveries.with_label_values(&[queue]),
            handler_seconds: self.handler_seconds.with_label_values(&[queue]),
            in_flight: self.in_flight.with_label_values(&[queue]),
            parked: self.parked.clone(),
        }
    }

    pub(crate) fn publishing(&self) -> PublishMetrics {
        PublishMetrics {
            confirmed: Exchange::ALL
                .map(|exchange| self.published.with_label_values(&[exchange.name(), "confirmed"])),
            seconds: Exchange::ALL.map(|exchange| self.publish_seconds.with_label_values(&[exchange.name()])),
            published: self.published.clone(),
        }
    }

    pub(crate) fn connection(&self, name: &'static str) -> ConnectionMetrics {
        ConnectionMetrics {
            connected: self.connected.with_label_values(&[name]),
            connects: self.connects.with_label_values(&[name]),
            unreadable: self.unreadable.with_label_values(&[name]),
            blocked: self.blocked.with_label_values(&[name]),
        }
    }
}

/// Those of one queue, looked up once, because looking one up costs more than counting.
pub(crate) struct QueueMetrics {
    pub(crate) done: IntCounter,
    pub(crate) retry: IntCounter,
    pub(crate) poison: IntCounter,
    pub(crate) panic: IntCounter,
    pub(crate) lost: IntCounter,
    pub(crate) requeued: IntCounter,
    pub(crate) dropped: IntCounter,
    pub(crate) redelivered: IntCounter,
    pub(crate) handler_seconds: Histogram,
    pub(crate) in_flight: IntGauge,
    parked: IntCounterVec,
}

impl QueueMetrics {
    pub(crate) fn count_parked(&self, reason: &'static str) {
        self.parked.with_label_values(&[reason]).inc();
    }
}

/// Those of publishing.
pub(crate) struct PublishMetrics {
    /// By `Exchange::index`, as is `seconds`.
    confirmed: [IntCounter; 9],
    seconds: [Histogram; 9],
    published: IntCounterVec,
}

impl PublishMetrics {
    pub(crate) fn count_confirmed(&self, exchange: Exchange, seconds: f64) {
        self.confirmed[exchange.index()].inc();
        self.seconds[exchange.index()].observe(seconds);
    }

    pub(crate) fn count_failed(&self, exchange: Exchange, result: &'static str) {
        self.published.with_label_values(&[exchange.name(), result]).inc();
    }
}

/// Those of one connection.
pub(crate) struct ConnectionMetrics {
    pub(crate) connected: IntGauge,
    pub(crate) connects: IntCounter,
    pub(crate) unreadable: IntCounter,
    pub(crate) blocked: IntGauge,
}
