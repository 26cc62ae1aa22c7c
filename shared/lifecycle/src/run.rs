//! From the start of a service to its exit code.
//!
//! `run` is for `main`. `supervise` does the work with the signals as an argument, so that tests need no real ones.

use std::{fmt::Display, process::ExitCode, time::Duration};

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::{Clock, Stop, Tasks};

/// How long tasks may still clean up after a hard stop.
const HARD_STOP: Duration = Duration::from_secs(1);

/// `EX_CONFIG` of sysexits.h; service managers can be told not to restart after it.
const EXIT_BAD_SETTINGS: u8 = 78;

/// What the start of a service receives.
#[derive(Clone, Debug)]
pub struct Context {
    /// Tells every part when to stop.
    pub stop: Stop,
    /// Starts every part.
    pub tasks: Tasks,
    /// Tells the time.
    pub clock: Clock,
}

/// How a service ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// A stop was asked for, and all tasks ended by themselves.
    Clean,
    /// The start or a task failed; all tasks ended by themselves.
    Failed,
    /// Tasks were cut off.
    Hard,
}

/// Runs a service until it has stopped, and returns the exit code for `main`. See the crate's table of promises.
/// `start` is dropped where it waits if a stop is requested before it has returned.
///
/// After a hard stop the process exits here: the end of the runtime would wait for blocking calls, such as name lookups.
pub async fn run<F>(start: F, grace: Duration) -> ExitCode
where
    F: AsyncFnOnce(Context) -> anyhow::Result<()>,
{
    let mut signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            error!(error = format!("{error:#}"), "start failed");
            return ExitCode::FAILURE;
        }
    };
    match supervise(start, async || signals.next().await, grace).await {
        End::Clean => ExitCode::SUCCESS,
        End::Failed => ExitCode::FAILURE,
        End::Hard => std::process::exit(1),
    }
}

/// Prints the error on stderr as one line and returns exit code 78.
#[expect(clippy::print_stderr, reason = "bad settings are reported before the logs are set up")]
pub fn exit_bad_settings(err: &dyn Display) -> ExitCode {
    eprintln!("{}", one_line(err));
    ExitCode::from(EXIT_BAD_SETTINGS)
}

pub(crate) fn one_line(text: &dyn Display) -> String {
    text.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) async fn supervise<F, S>(start: F, next_signal: S, grace: Duration) -> End
where
    F: AsyncFnOnce(Context) -> anyhow::Result<()>,
    S: AsyncFnMut() -> &'static str,
{
    let stop = Stop::new();
    let tasks = Tasks::new(stop.clone());
    let context = Context { stop: stop.clone(), tasks: tasks.clone(), clock: Clock::system() };

    let (started, ended) = tokio::select! {
        end = start_and_wait(start, context, grace) => end,
        () = obey_signals(next_signal, &stop) => (true, false),
        () = stop.hard() => (true, false),
    };
    if !ended {
        stop.request_hard();
        tasks.wait(HARD_STOP).await;
        warn!(tasks = tasks.running(), "hard stop: what was not finished is cut off");
        return End::Hard;
    }
    if started && !tasks.any_failed() {
        info!("stopped");
        End::Clean
    } else {
        error!("stopped after a failure");
        End::Failed
    }
}

/// Returns whether the start succeeded, and whether all tasks ended within the grace period after the soft stop.
async fn start_and_wait<F>(start: F, context: Context, grace: Duration) -> (bool, bool)
where
    F: AsyncFnOnce(Context) -> anyhow::Result<()>,
{
    let Context { stop, tasks, .. } = context.clone();
    let start_result = tokio::select! {
        result = start(context) => result,
        () = stop.soft() => Ok(()),
    };
    if let Err(error) = &start_result {
        error!(error = format!("{error:#}"), "start failed");
        stop.request_soft();
    }
    stop.soft().await;
    info!(tasks = tasks.running(), grace_seconds = grace.as_secs_f64(), "soft stop");
    (start_result.is_ok(), tasks.wait(grace).await)
}

/// The first signal requests the soft stop. Returns at the second, even if the soft stop has another cause:
/// a service that is already stopping must not lose its grace period to the first signal.
async fn obey_signals(mut next_signal: impl AsyncFnMut() -> &'static str, stop: &Stop) {
    let first = next_signal().await;
    info!(signal = first, "signal received: soft stop");
    stop.request_soft();
    let second = next_signal().await;
    warn!(signal = second, "second signal received: hard stop");
}

/// SIGTERM and SIGINT of this process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
