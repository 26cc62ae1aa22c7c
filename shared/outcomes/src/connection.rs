//! One connection to Redis that is replaced when it is lost, silent, too old or leads to a server that takes no writes.
//!
//! Not redis's own `ConnectionManager`: after a kill its commands wait for all its reconnect attempts, a half-open
//! connection only ever times out without being replaced, and an answer READONLY replaces nothing either.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use fleet_keys::random_bytes;
use fleet_lifecycle::Stop;
use redis::{AsyncConnectionConfig, Client, RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tracing::{debug, info, warn};

use crate::{
    error::{Answer, Error},
    metrics::ConnectionMetrics,
    settings::Settings,
};

/// How often a command is sent at most: what met a broken connection or an unloaded script is sent again on the next one.
pub(crate) const ROUNDS: usize = 3;

/// So many time-outs in a row mean that nobody is at the other end.
const SILENT_AFTER: u32 = 3;

/// Between two looks at a connection.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Before a connection that could not be replaced by a younger one is tried again.
const AGED_PAUSE: Duration = Duration::from_secs(10);

/// Looks whether the server behind a connection is of use. Asked for every new connection and every second.
pub(crate) trait Probe: Send + 'static {
    fn probe(
        &mut self,
        connection: MultiplexedConnection,
    ) -> impl Future<Output = Result<(), RedisError>> + Send;
}

/// The handle of whoever sends commands.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Shared>);

struct Shared {
    state: watch::Sender<State>,
    /// Time-outs in a row.
    timeouts: AtomicU32,
}

/// Whether there is a connection.
#[derive(Clone)]
enum State {
    /// The first attempt since the start or the loss is under way: it is worth to wait for.
    Connecting,
    Up(Live),
    /// An attempt has failed.
    Down,
}

/// One open connection.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) redis: MultiplexedConnection,
    /// Tells this connection from the earlier ones, so that a late report about one of those harms none.
    generation: u64,
}

impl Connection {
    /// A connection, and what must be run to open and keep it.
    pub(crate) fn new<P: Probe>(client: Client, settings: &Settings, probe: P) -> (Self, Keeper<P>) {
        let shared =
            Arc::new(Shared { state: watch::Sender::new(State::Connecting), timeouts: AtomicU32::new(0) });
        let keeper = Keeper {
            connection: Self(Arc::clone(&shared)),
            client,
            config: AsyncConnectionConfig::new()
                .set_connection_timeout(Some(settings.connect_timeout))
                // Every command is under a time-out of ours.
                .set_response_timeout(None),
            connect_timeout: settings.connect_timeout,
            command_timeout: settings.command_timeout,
            age_max: settings.connection_age_max,
            probe,
            metrics: None,
            generation: 0,
        };
        (Self(shared), keeper)
    }

    /// The open connection. Waits until `deadline` while a lost one is being replaced; fails at once where that has failed.
    pub(crate) async fn live(&self, deadline: Instant) -> Result<Live, Error> {
        let mut state = self.0.state.subscribe();
        loop {
            match &*state.borrow_and_update() {
                State::Up(live) => return Ok(live.clone()),
                State::Down => return Err(Error::Unavailable),
                State::Connecting => {}
            }
            match timeout_at(deadline, state.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(Error::Unavailable),
            }
        }
    }

    /// Whether the last attempt to connect has failed.
    pub(crate) fn is_down(&self) -> bool {
        matches!(&*self.0.state.borrow(), State::Down)
    }

    /// Runs one command or pipeline to its end, or until the deadline, and judges the connection by what comes of it.
    pub(crate) async fn run<T>(
        &self,
        live: &Live,
        deadline: Instant,
        command: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, Failure> {
        match timeout_at(deadline, command).await {
            Ok(Ok(answer)) => {
                self.answered();
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.judge_error(live, &error)),
            Err(_) => {
                self.timed_out(live);
                Err(Failure::TimedOut)
            }
        }
    }

    fn judge_error(&self, live: &Live, error: &RedisError) -> Failure {
        let Some(code) = error.code() else {
            self.replace(live);
            return Failure::Lost;
        };
        self.answered();
        let answer = Answer::of(code, error.detail().unwrap_or_default());
        self.judge(live, answer);
        Failure::Answered(answer.error(code))
    }

    /// Acts on an error that the server gave as the answer to one command of many.
    pub(crate) fn judge(&self, live: &Live, answer: Answer) {
        match answer {
            Answer::WrongServer => self.replace(live),
            Answer::NoScript | Answer::NotNow | Answer::Refused => {}
        }
    }

    fn answered(&self) {
        self.0.timeouts.store(0, Ordering::Relaxed);
    }

    fn timed_out(&self, live: &Live) {
        if self.0.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= SILENT_AFTER {
            self.replace(live);
        }
    }

    /// Gives this connection up. The keeper waits for just that.
    fn replace(&self, live: &Live) {
        self.0.state.send_if_modified(|state| match state {
            State::Up(current) if current.generation == live.generation => {
                *state = State::Connecting;
                true
            }
            State::Up(_) | State::Connecting | State::Down => false,
        });
    }
}

/// Why a command has no answer to use.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server's answer is an error.
    Answered(Error),
    /// The connection broke. The command may have been carried out.
    Lost,
    /// No answer came in time. The command may still be carried out.
    TimedOut,
}

/// Opens the connection, looks after it and replaces it.
pub(crate) struct Keeper<P> {
    connection: Connection,
    client: Client,
    config: AsyncConnectionConfig,
    connect_timeout: Duration,
    command_timeout: Duration,
    age_max: Duration,
    probe: P,
    metrics: Option<ConnectionMetrics>,
    generation: u64,
}

impl<P: Probe> Keeper<P> {
    /// Shows in the metrics how the connection is.
    pub(crate) fn with_metrics(self, metrics: ConnectionMetrics) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// Runs until `end` is asked to stop.
    pub(crate) async fn run(mut self, end: Stop) {
        tokio::select! {
            () = self.keep() => {}
            () = end.soft() => {}
        }
    }

    async fn keep(&mut self) {
        let mut pauses = pauses();
        loop {
            match self.connect().await {
                Ok(live) => {
                    info!("connected to Redis");
                    pauses = self::pauses();
                    self.attend(live).await;
                    self.show_up(false);
                    warn!("connection to Redis lost");
                }
                Err(problem) => {
                    let was_down = matches!(self.set(State::Down), State::Down);
                    // Once for every outage; an attempt every few seconds says nothing new.
                    if was_down {
                        debug!(problem, "still no connection to Redis");
                    } else {
                        warn!(problem, "no connection to Redis");
                    }
                    sleep(pauses.next().unwrap_or(PAUSE_MAX)).await;
                }
            }
        }
    }

    /// Opens a connection to a server that passes the probe.
    async fn connect(&mut self) -> Result<Live, String> {
        let open = self.client.get_multiplexed_async_connection_with_config(&self.config);
        // The client's own time-out leaves out the TLS handshake and the log-in.
        let opened =
            timeout(self.connect_timeout, open).await.map_err(|_| "connecting timed out".to_owned())?;
        let redis = opened.map_err(|error| error.to_string())?;
        let probe = timeout(self.command_timeout, self.probe.probe(redis.clone()));
        probe.await.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
        self.generation += 1;
        Ok(Live { redis, generation: self.generation })
    }

    /// Offers the connection and returns when it is given up.
    async fn attend(&mut self, mut live: Live) {
        self.offer(&live);
        let mut state = self.connection.0.state.subscribe();
        let mut replace_at = Instant::now() + self.age_max;
        let mut probe_at = Instant::now() + PROBE_EVERY;
        loop {
            tokio::select! {
                () = given_up(&mut state) => return,
                () = sleep_until(replace_at) => match self.connect().await {
                    Ok(younger) => {
                        live = younger;
                        self.offer(&live);
                        replace_at = Instant::now() + self.age_max;
                    }
                    Err(problem) => {
                        debug!(problem, "connection not replaced by a younger one");
                        replace_at = Instant::now() + AGED_PAUSE;
                    }
                },
                () = sleep_until(probe_at) => {
                    probe_at = self.look(&live).await;
                }
            }
        }
    }

    /// Looks at the connection and says when to look again.
    async fn look(&mut self, live: &Live) -> Instant {
        let deadline = Instant::now() + self.command_timeout;
        let probe = self.probe.probe(live.redis.clone());
        match self.connection.run(live, deadline, probe).await {
            Ok(()) => Instant::now() + PROBE_EVERY,
            // A second look at once: three time-outs in a row must not take three seconds.
            Err(Failure::TimedOut) => Instant::now(),
            Err(Failure::Lost | Failure::Answered(_)) => {
                self.connection.replace(live);
                Instant::now() + PROBE_EVERY
            }
        }
    }

    fn offer(&self, live: &Live) {
        self.connection.answered();
        self.set(State::Up(live.clone()));
        self.show_up(true);
        if live.generation > 1
            && let Some(metrics) = &self.metrics
        {
            metrics.reconnects.inc();
        }
    }

    fn set(&self, state: State) -> State {
        self.connection.0.state.send_replace(state)
    }

    fn show_up(&self, up: bool) {
        if let Some(metrics) = &self.metrics {
            metrics.up.set(i64::from(up));
        }
    }
}

/// Waits until somebody has given the connection up.
async fn given_up(state: &mut watch::Receiver<State>) {
    // Fails only without a sender, and the keeper is one.
    let _ = state.wait_for(|state| !matches!(state, State::Up(_))).await;
}

/// The longest pause between two attempts; the jitter adds up to as much again.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The pauses between attempts, the first short.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(PAUSE_MAX)
        .without_max_times()
        .with_jitter()
        .with_jitter_seed(u64::from_le_bytes(random_bytes()))
        .build()
}
