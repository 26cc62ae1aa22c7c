//! How long challenges take, and what becomes of them.

use fleet_domain::{Attempt, Challenge, Channel, Reason, Timestamp};
use fleet_telemetry::{HistogramVec, IntCounterVec, LATENCY_SECONDS, Metrics};

/// The engine's metrics.
#[derive(Clone)]
pub(crate) struct EngineMetrics {
    queue_wait: HistogramVec,
    ringing: HistogramVec,
    answer: HistogramVec,
    input: HistogramVec,
    outcome: HistogramVec,
    accepted: IntCounterVec,
    refused: IntCounterVec,
    ended: IntCounterVec,
    swept: IntCounterVec,
    cut_short: IntCounterVec,
    told: IntCounterVec,
    caller_ids: IntCounterVec,
    codes: IntCounterVec,
    wishes: Wishes,
}

/// What people asked for instead of answering.
#[derive(Clone)]
struct Wishes {
    fraud_reports: IntCounterVec,
    opted_out: IntCounterVec,
}

impl Wishes {
    fn new(metrics: &Metrics) -> Self {
        Self {
            fraud_reports: metrics.counter(
                "mfa_fraud_reports_total",
                "Reports of fraud by people who were asked, by what was done about the user: blocked or not_blocked.",
                &["channel", "done"],
            ),
            opted_out: metrics.counter(
                "mfa_numbers_opted_out_total",
                "Numbers that asked in a call never to be called again.",
                &[],
            ),
        }
    }
}

impl EngineMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let seconds = |name, help, labels| metrics.histogram(name, help, labels, LATENCY_SECONDS);
        Self {
            queue_wait: seconds(
                "mfa_queue_wait_seconds",
                "From the time inside a challenge's id, when its portal made it, to its acceptance.",
                &["channel"],
            ),
            ringing: seconds(
                "mfa_accept_to_ringing_seconds",
                "From acceptance to the phone's ringing, or to the push service's taking the push.",
                &["channel"],
            ),
            answer: seconds(
                "mfa_ringing_to_answer_seconds",
                "From ringing to the answer of a call.",
                &["channel"],
            ),
            input: seconds(
                "mfa_answer_to_input_seconds",
                "From the answer of a call, or from the push, to the person's decision.",
                &["channel"],
            ),
            outcome: seconds(
                "mfa_publish_to_outcome_seconds",
                "From the time inside a challenge's id to its end.",
                &["channel", "result"],
            ),
            accepted: metrics.counter("mfa_challenges_accepted_total", "Challenges accepted.", &["channel"]),
            refused: metrics.counter(
                "mfa_challenges_refused_total",
                "Requests refused before a challenge existed.",
                &["reason"],
            ),
            ended: metrics.counter(
                "mfa_challenges_ended_total",
                "Challenges ended, by the channel in which they were answered, or else of the last attempt.",
                &["channel", "result", "reason"],
            ),
            swept: metrics.counter(
                "mfa_swept_total",
                "What sweeps took up: overdue challenges, attempts due for a look, outcomes not told.",
                &["what"],
            ),
            cut_short: metrics.counter(
                "mfa_sweeps_cut_short_total",
                "Rounds of sweeps that failed, wholly or in part, by task: expire, look, tell, retell.",
                &["task"],
            ),
            told: metrics.counter(
                "mfa_outcomes_told_total",
                "Versions told to portals, those that could not be told at once, and events that a full queue of the portal rejected.",
                &["result"],
            ),
            caller_ids: caller_ids(metrics),
            codes: codes(metrics),
            wishes: Wishes::new(metrics),
        }
    }

    pub(crate) fn fraud_reported(&self, channel: &'static str, blocked: bool) {
        let done = if blocked { "blocked" } else { "not_blocked" };
        self.wishes.fraud_reports.with_label_values(&[channel, done]).inc();
    }

    pub(crate) fn opted_out(&self) {
        let no_labels: [&str; 0] = [];
        self.wishes.opted_out.with_label_values(&no_labels).inc();
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    pub(crate) fn code(&self, result: &'static str) {
        self.codes.with_label_values(&[result]).inc();
    }

    pub(crate) fn swept(&self, what: &'static str, count: usize) {
        self.swept.with_label_values(&[what]).inc_by(count as u64);
    }

    pub(crate) fn cut_short(&self, task: &'static str) {
        self.cut_short.with_label_values(&[task]).inc();
    }

    pub(crate) fn told(&self, result: &'static str) {
        self.told.with_label_values(&[result]).inc();
    }

    /// Counts what is new in `after`.
    pub(crate) fn observe(&self, before: Option<&Challenge>, after: &Challenge) {
        let channel = channel(after);
        let asked_at = after.key.id.created_at();
        if before.is_none() {
            self.accepted.with_label_values(&[channel]).inc();
            self.queue_wait
                .with_label_values(&[channel])
                .observe(seconds(asked_at, after.request.accepted_at));
        }
        self.observe_attempt(before, after);
        self.observe_caller_ids(before, after);
        if let Some(end) = &after.live.end
            && before.is_none_or(Challenge::is_open)
        {
            let result = end.reason.result().as_str();
            self.ended.with_label_values(&[channel, result, end.reason.as_str()]).inc();
            self.outcome.with_label_values(&[channel, result]).observe(seconds(asked_at, end.at));
            let asked = after.telling_attempt().and_then(|a| match a.channel {
                Channel::Push => a.placed_ms,
                Channel::Voice | Channel::Totp => a.answered_ms.or(a.placed_ms),
            });
            if let Some(from) = asked {
                let waited = after.elapsed_ms(end.at).saturating_sub(from);
                self.input.with_label_values(&[channel]).observe(f64::from(waited) / 1_000.0);
            }
        }
    }

    /// Counts what has become known of each call's caller ID.
    fn observe_caller_ids(&self, before: Option<&Challenge>, after: &Challenge) {
        for attempt in &after.live.attempts {
            let Some(caller_id) = &attempt.caller_id else { continue };
            let known = before.and_then(|challenge| challenge.attempt(attempt.number));
            let known = known.map(of_caller_id).unwrap_or_default();
            for outcome in
                of_caller_id(attempt).into_iter().flatten().filter(|new| !known.contains(&Some(*new)))
            {
                self.caller_ids.with_label_values(&[caller_id.step.as_str(), outcome]).inc();
            }
        }
    }

    fn observe_attempt(&self, before: Option<&Challenge>, after: &Challenge) {
        let Some(attempt) = after.live.attempts.last() else { return };
        let earlier = before.and_then(|c| c.attempt(attempt.number));
        let label = attempt.channel.as_str();
        let reached = |a: &Attempt| match a.channel {
            Channel::Push => a.placed_ms,
            Channel::Voice | Channel::Totp => a.ringing_ms,
        };
        if let (Some(ms), None) = (reached(attempt), earlier.and_then(reached)) {
            self.ringing.with_label_values(&[label]).observe(f64::from(ms) / 1_000.0);
        }
        if attempt.channel == Channel::Voice
            && let (Some(answered), None) = (attempt.answered_ms, earlier.and_then(|a| a.answered_ms))
            && let Some(rang) = attempt.ringing_ms
        {
            self.answer
                .with_label_values(&[label])
                .observe(f64::from(answered.saturating_sub(rang)) / 1_000.0);
        }
    }
}

fn caller_ids(metrics: &Metrics) -> IntCounterVec {
    metrics.counter(
        "mfa_caller_ids_total",
        "Caller IDs of calls by their step of the caller-ID plan: sent, rang where a phone then rang, rejected where carrier, network or callee did not take it.",
        &["step", "outcome"],
    )
}

fn codes(metrics: &Metrics) -> IntCounterVec {
    metrics.counter(
        "mfa_codes_total",
        "Codes that people typed into portals: right, wrong, replayed (right but taken before), locked_out, no_device, late where none was awaited, unknown without a challenge.",
        &["result"],
    )
}

/// What is known of the caller ID of an attempt, in the words of its metric.
fn of_caller_id(attempt: &Attempt) -> [Option<&'static str>; 3] {
    let rang = attempt.ringing_ms.is_some() || attempt.answered_ms.is_some();
    let rejected = attempt.reason == Some(Reason::CarrierRejectedCallerId);
    [attempt.caller_id.is_some().then_some("sent"), rang.then_some("rang"), rejected.then_some("rejected")]
}

fn channel(challenge: &Challenge) -> &'static str {
    let attempted = challenge.telling_attempt().map(|attempt| attempt.channel);
    let planned = challenge.request.steps.first().map(fleet_domain::Step::channel);
    attempted.or(planned).map_or("none", Channel::as_str)
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.since(from).as_secs_f64()
}
