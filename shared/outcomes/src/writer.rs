//! Writes what has gathered, batch after batch, each as one pipeline.

use std::sync::Arc;

use fleet_domain::Timestamp;
use fleet_keys::Keys;
use fleet_lifecycle::Stop;
use redis::{Pipeline, RedisError, Script};
use tokio::time::Instant;
use tracing::warn;

use crate::{
    Error, Settings, Told,
    connection::{Connection, Failure, Live, ROUNDS},
    error::Answer,
    metrics::WriteMetrics,
    names::Names,
    queue::{Queue, Waiting},
};

/// Writes one document if it is newer; read it for the rules.
pub(crate) const SCRIPT: &str = include_str!("tell.lua");

/// The task that writes.
pub(crate) struct Writer {
    pub(crate) queue: Arc<Queue>,
    pub(crate) connection: Connection,
    pub(crate) keys: Keys,
    pub(crate) names: Names,
    pub(crate) script: Script,
    pub(crate) metrics: WriteMetrics,
    pub(crate) settings: Settings,
}

/// What Redis did with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Written,
    Older,
    Expired,
}

impl Done {
    /// From the script's answer.
    fn from_code(code: i64) -> Option<Self> {
        match code {
            0 => Some(Self::Older),
            1 => Some(Self::Written),
            2 => Some(Self::Expired),
            _ => None,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Older => "older",
            Self::Expired => "expired",
        }
    }
}

impl Writer {
    /// Runs until `end` is asked to stop and nothing waits any more.
    pub(crate) async fn run(self, end: Stop) {
        loop {
            let batch = tokio::select! {
                biased;
                batch = self.queue.take(self.settings.batch_max) => batch,
                () = end.soft() => return,
            };
            self.write(batch).await;
        }
    }

    async fn write(&self, batch: Vec<Waiting>) {
        self.metrics.waiting.set(i64::try_from(self.queue.len()).unwrap_or(i64::MAX));
        self.metrics.batch.observe(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
        let calls: Vec<Call> = batch.iter().map(|waiting| self.call(&waiting.told)).collect();
        let results = self.carry_out(&calls).await;
        drop(calls);
        for (waiting, result) in batch.into_iter().zip(results) {
            self.settle(waiting, &result);
        }
    }

    fn call<'a>(&self, told: &'a Told) -> Call<'a> {
        let document = self.names.document(&told.portal, told.subject);
        let signature =
            if told.terminal { self.keys.sign_outcome(told.json.as_bytes()) } else { String::new() };
        Call { signature_key: Names::signature(&document), document, signature, told }
    }

    /// The result of each call. Repeats those that met a broken connection or an unloaded script: a call that was carried out
    /// after all finds its own `seq` in Redis and does nothing.
    async fn carry_out(&self, calls: &[Call<'_>]) -> Vec<Result<Done, Error>> {
        let deadline = Instant::now() + self.settings.command_timeout;
        let mut results = vec![Err(Error::Unavailable); calls.len()];
        let mut open: Vec<usize> = (0..calls.len()).collect();
        let mut load_script = false;
        for _ in 0..ROUNDS {
            let Ok(live) = self.connection.live(deadline).await else { break };
            let pipeline = self.pipeline(open.iter().map(|&index| &calls[index]), load_script);
            let mut redis = live.redis.clone();
            let answers = pipeline.query_async::<Vec<Result<i64, RedisError>>>(&mut redis);
            let answers = match self.connection.run(&live, deadline, answers).await {
                Ok(answers) => answers,
                Err(Failure::Lost) => continue,
                Err(Failure::TimedOut | Failure::Answered(_)) => break,
            };
            let mut unloaded = Vec::new();
            for (index, answer) in open.into_iter().zip(answers) {
                match self.judge(&live, answer) {
                    Some(result) => results[index] = result,
                    None => unloaded.push(index),
                }
            }
            open = unloaded;
            load_script = true;
            if open.is_empty() {
                break;
            }
        }
        results
    }

    fn pipeline<'a>(&self, calls: impl Iterator<Item = &'a Call<'a>>, load_script: bool) -> Pipeline {
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        if load_script {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(SCRIPT).ignore();
        }
        for call in calls {
            pipeline
                .cmd("EVALSHA")
                .arg(self.script.get_hash())
                .arg(2)
                .arg(&call.document)
                .arg(&call.signature_key)
                .arg(call.told.seq)
                .arg(&call.told.json)
                .arg(seconds_rounded_up(call.told.collect_by))
                .arg(&call.signature);
        }
        pipeline
    }

    /// What the answer to one call means; `None` if the script must be loaded first.
    fn judge(&self, live: &Live, answer: Result<i64, RedisError>) -> Option<Result<Done, Error>> {
        let error = match answer {
            Ok(code) => return Some(Done::from_code(code).ok_or(Error::Unavailable)),
            Err(error) => error,
        };
        let code = error.code().unwrap_or("ERR");
        let answer = Answer::of(code, error.detail().unwrap_or_default());
        self.connection.judge(live, answer);
        match answer {
            Answer::NoScript => None,
            Answer::WrongServer | Answer::NotNow => Some(Err(answer.error(code))),
            Answer::Refused => {
                warn!(code, "Redis refused an outcome");
                Some(Err(answer.error(code)))
            }
        }
    }

    fn settle(&self, waiting: Waiting, result: &Result<Done, Error>) {
        let label = result.as_ref().map_or("failed", |done| done.label());
        self.metrics.written.with_label_values(&[label]).inc();
        for waiter in waiting.waiters {
            self.metrics.seconds.observe(waiter.since.elapsed().as_secs_f64());
            // Whoever has given up waiting needs no answer.
            let _ = waiter.answer.send(result.clone().map(|_| ()));
        }
    }
}

/// One call of the script.
struct Call<'a> {
    /// Key of the document, name of the channel.
    document: String,
    signature_key: String,
    /// Empty for a document that is not terminal: nothing is written under `signature_key` then.
    signature: String,
    told: &'a Told,
}

/// A document is kept at least until its time, and keys expire by whole seconds.
fn seconds_rounded_up(time: Timestamp) -> i64 {
    -(-time.as_micros()).div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_never_before_its_time() {
        for (micros, seconds) in [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2), (-1, 0)] {
            assert_eq!(seconds_rounded_up(Timestamp::from_micros(micros)), seconds, "{micros}");
        }
    }
}
