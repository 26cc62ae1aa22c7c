//! What the enrollment-worker counts.

use fleet_telemetry::{IntCounterVec, Metrics};

use fleet_domain::Enrollment;

/// The metrics of this service.
#[derive(Clone)]
pub(crate) struct EnrollmentMetrics {
    requests: IntCounterVec,
    ended: IntCounterVec,
    refused: IntCounterVec,
}

impl EnrollmentMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.counter(
                "mfa_enrollment_requests_total",
                "Requests to change an enrollment that were accepted, by change and by what allowed them.",
                &["change", "authority"],
            ),
            ended: metrics.counter(
                "mfa_enrollment_ended_total",
                "Requests to change an enrollment that have ended, by change and reason.",
                &["change", "reason"],
            ),
            refused: metrics.counter(
                "mfa_enrollment_refused_total",
                "Messages about enrollments that were refused before a request existed, by reason.",
                &["reason"],
            ),
        }
    }

    pub(crate) fn opened(&self, enrollment: &Enrollment) {
        let request = &enrollment.request;
        self.requests.with_label_values(&[request.change.as_str(), request.authority.as_str()]).inc();
        self.stepped(enrollment);
    }

    /// Counts the request if it has ended in this version.
    pub(crate) fn stepped(&self, enrollment: &Enrollment) {
        if let Some(end) = &enrollment.live.end {
            self.ended.with_label_values(&[enrollment.request.change.as_str(), end.reason.as_str()]).inc();
        }
    }

    pub(crate) fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}
