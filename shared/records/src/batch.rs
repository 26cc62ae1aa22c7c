//! Lanes: jobs that come in while a batch is under way are the next batch.
//!
//! Each lane is one task that runs one batch at a time. There is no linger: a lone job goes at once, and the
//! busier the fleet is, the more jobs share one statement and one commit. What a batch does is a [`Unit`];
//! how failures are settled is the same for all of them and stands in `run`.

use std::collections::HashSet;
use std::future::ready;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use fleet_lifecycle::{Context, Stop};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::error::{Error, Fault};
use crate::metrics::RecordsMetrics;

/// How many times a batch is run at most before its callers are told to try later.
const TRIES: u8 = 2;
/// Full batches that may wait in a lane.
const BATCHES_WAITING: usize = 16;

/// What the batches of one lane do.
pub(crate) trait Unit: Send + Sync + 'static {
    /// What a caller asks for.
    type Ask: Send + Sync + 'static;
    /// What the caller gets.
    type Answer: Send + 'static;
    /// What no two jobs of one batch may have in common.
    type Key: Eq + Hash + Send;

    /// The value of the label `lane` in metrics.
    fn lane(&self) -> &'static str;

    /// The words for what could not be done.
    fn doing(&self) -> &'static str;

    /// What this job must have for itself in its batch; `None` where nothing clashes.
    fn key(ask: &Self::Ask) -> Option<Self::Key>;

    /// Runs the batch: one answer per job, in order.
    fn attempt(&self, asks: &[&Self::Ask]) -> impl Future<Output = Result<Answers<Self>, Fault>> + Send;

    /// After the answer of a batch was lost: what has become of each job; `None` where nothing has, as of all that only read.
    fn settle(&self, asks: &[&Self::Ask]) -> impl Future<Output = Result<Settled<Self>, Fault>> + Send {
        ready(Ok(asks.iter().map(|_| None).collect()))
    }
}

/// One answer per job.
pub(crate) type Answers<U> = Vec<Result<<U as Unit>::Answer, Error>>;
/// What was found out about each job.
pub(crate) type Settled<U> = Vec<Option<Result<<U as Unit>::Answer, Error>>>;

struct Job<U: Unit> {
    ask: U::Ask,
    reply: oneshot::Sender<Result<U::Answer, Error>>,
    since: Instant,
}

/// The limits of a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Jobs in one batch at most.
    pub(crate) batch_max: usize,
    /// A job that has waited for longer than this is given back: its caller's own time is running out.
    pub(crate) wait_max: Duration,
}

/// The way into a lane.
pub(crate) struct Lane<U: Unit> {
    jobs: mpsc::Sender<Job<U>>,
    unit: Arc<U>,
    wait_max: Duration,
}

impl<U: Unit> Clone for Lane<U> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), unit: self.unit.clone(), wait_max: self.wait_max }
    }
}

impl<U: Unit> Lane<U> {
    /// Starts the lane's task. It ends after all others that might still ask for something.
    pub(crate) fn start(unit: U, limits: Limits, metrics: RecordsMetrics, context: &Context) -> Self {
        let (sender, jobs) = mpsc::channel(limits.batch_max * BATCHES_WAITING);
        let unit = Arc::new(unit);
        let worker = Worker { jobs, held: Vec::new(), unit: unit.clone(), limits, metrics };
        context.tasks.spawn(unit.lane(), worker.serve(context.stop.clone()));
        Self { jobs: sender, unit, wait_max: limits.wait_max }
    }

    /// Puts a job into the lane and waits for its answer.
    pub(crate) async fn ask(&self, ask: U::Ask) -> Result<U::Answer, Error> {
        let (reply, answer) = oneshot::channel();
        let job = Job { ask, reply, since: Instant::now() };
        match timeout(self.wait_max, self.jobs.send(job)).await {
            // The lane answers every job that it takes, within a time that its own limits bound.
            Ok(Ok(())) => answer.await.unwrap_or_else(|_| Err(Error::late(self.unit.doing()))),
            Ok(Err(_)) | Err(_) => Err(Error::late(self.unit.doing())),
        }
    }
}

struct Worker<U: Unit> {
    jobs: mpsc::Receiver<Job<U>>,
    /// Jobs that wait for the next batch, in order: those whose key was in the last one, and those that ended a wait.
    held: Vec<Job<U>>,
    unit: Arc<U>,
    limits: Limits,
    metrics: RecordsMetrics,
}

impl<U: Unit> Worker<U> {
    async fn serve(mut self, stop: Stop) -> anyhow::Result<()> {
        loop {
            let batch = self.gather();
            if !batch.is_empty() {
                self.run(batch).await;
            } else if self.held.is_empty() {
                tokio::select! {
                    biased;
                    taken = self.jobs.recv_many(&mut self.held, self.limits.batch_max) => if taken == 0 {
                        // Nobody holds this lane any more, and nothing is left in it.
                        stop.soft().await;
                        return Ok(());
                    },
                    () = stop.others_done() => return Ok(()),
                }
            }
        }
    }

    /// All that may go now, oldest first.
    fn gather(&mut self) -> Vec<Job<U>> {
        let mut keys = HashSet::new();
        let mut batch = Vec::new();
        let mut held = Vec::new();
        let mut late = 0;
        let mut waiting = std::mem::take(&mut self.held).into_iter();
        while batch.len() < self.limits.batch_max {
            let Some(job) = waiting.next().or_else(|| self.jobs.try_recv().ok()) else { break };
            if job.since.elapsed() > self.limits.wait_max {
                late += 1;
                let _ = job.reply.send(Err(Error::late(self.unit.doing())));
            } else if U::key(&job.ask).is_none_or(|key| keys.insert(key)) {
                batch.push(job);
            } else {
                held.push(job);
            }
        }
        held.extend(waiting);
        self.held = held;
        self.metrics.failed(self.unit.lane(), "late", late);
        batch
    }

    /// Runs a batch to the last answer: in halves where its data is refused, again where it was refused for
    /// the moment, and settled first where its answer was lost.
    async fn run(&self, batch: Vec<Job<U>>) {
        let lane = self.unit.lane();
        let mut parts = vec![(batch, TRIES)];
        while let Some((mut jobs, tries)) = parts.pop() {
            let fault = match self.attempt(&jobs).await {
                Ok(answers) => {
                    answer(jobs, answers);
                    continue;
                }
                Err(fault) => fault,
            };
            match &fault {
                Fault::Data(_) if jobs.len() > 1 => {
                    let half = jobs.split_off(jobs.len() / 2);
                    self.metrics.repeated(lane, fault.label());
                    parts.extend([(half, tries), (jobs, tries)]);
                    continue;
                }
                Fault::Lost(_) => jobs = self.settle(jobs).await,
                Fault::Data(_) | Fault::Refused(_) | Fault::Unsent(_) => {}
            }
            let again = match &fault {
                Fault::Refused(_) | Fault::Lost(_) => tries > 1,
                Fault::Data(_) | Fault::Unsent(_) => false,
            };
            if again && !jobs.is_empty() {
                self.metrics.repeated(lane, fault.label());
                parts.push((jobs, tries - 1));
            } else {
                self.fail(jobs, &fault);
            }
        }
    }

    async fn attempt(&self, jobs: &[Job<U>]) -> Result<Answers<U>, Fault> {
        let asks: Vec<&U::Ask> = jobs.iter().map(|job| &job.ask).collect();
        let began = Instant::now();
        let answers = self.unit.attempt(&asks).await;
        self.metrics.batch(self.unit.lane(), asks.len(), began.elapsed());
        answers
    }

    /// Answers the jobs of which something was found; gives back those that nothing has become of.
    async fn settle(&self, jobs: Vec<Job<U>>) -> Vec<Job<U>> {
        let asks: Vec<&U::Ask> = jobs.iter().map(|job| &job.ask).collect();
        match self.unit.settle(&asks).await {
            Ok(found) => {
                let mut open = Vec::new();
                for (job, found) in jobs.into_iter().zip(found) {
                    match found {
                        Some(answer) => drop(job.reply.send(answer)),
                        None => open.push(job),
                    }
                }
                open
            }
            Err(fault) => {
                self.fail(jobs, &fault);
                Vec::new()
            }
        }
    }

    fn fail(&self, jobs: Vec<Job<U>>, fault: &Fault) {
        self.metrics.failed(self.unit.lane(), fault.label(), jobs.len());
        for job in jobs {
            let _ = job.reply.send(Err(fault.clone().into_error(self.unit.doing())));
        }
    }
}

/// Answers each job. A caller that has gone meanwhile needs no answer.
fn answer<U: Unit>(jobs: Vec<Job<U>>, answers: Answers<U>) {
    for (job, answer) in jobs.into_iter().zip(answers) {
        let _ = job.reply.send(answer);
    }
}
