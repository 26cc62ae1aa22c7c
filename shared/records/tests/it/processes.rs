//! Several processes on one database, and a database that goes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fleet_domain::{Channel, DeviceId, step};
use fleet_records::testing::Scratch;
use fleet_records::{Committed, ErrorClass, Lane, Settings, Stored};
use fleet_settings::ExposeSecret;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::fixtures::{Process, dial, note, number, transition};

/// How long the processes hammer the same rows.
const HAMMERING: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_the_same_keys_never_deadlock_and_every_done_is_one_version() {
    let scratch = Scratch::new().await;
    let processes = [Process::start(&scratch).await, Process::start(&scratch).await];
    let stored = join_all((0..50).map(|_| processes[0].create(Channel::Voice))).await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let deadlocks_before = scratch.sql(deadlocks).await;

    let done: Vec<AtomicU32> = stored.iter().map(|_| AtomicU32::new(0)).collect();
    let until = Instant::now() + HAMMERING;
    let hammers = processes.iter().flat_map(|process| {
        let (done, stored) = (&done, &stored);
        (0..stored.len()).map(move |at| async move {
            // Everybody begins at another row, and comes to all of them.
            for turn in at.. {
                if Instant::now() > until {
                    break;
                }
                let at = turn * 7 % stored.len();
                if touch(process, &stored[at], turn).await == Committed::Done {
                    done[at].fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    });
    join_all(hammers).await;

    for (stored, done) in stored.iter().zip(&done) {
        let row = processes[1].records.load(&stored.challenge.key).await.unwrap().unwrap();
        let done = done.load(Ordering::Relaxed);
        assert!(done > 0);
        assert_eq!(row.challenge.version, stored.challenge.version + done);
    }
    assert_eq!(scratch.sql(deadlocks).await, deadlocks_before);
    for process in processes {
        process.stop().await;
    }
}

/// One more version of the row: in turn it takes a line that others want too, and gives it back.
async fn touch(process: &Process, stored: &Stored, turn: usize) -> Committed {
    let before = process.records.load(&stored.challenge.key).await.unwrap().unwrap();
    let mut after = before.challenge.clone();
    let mut line = None;
    if after.live.attempts.iter().any(|attempt| attempt.check_at.is_some()) {
        after.live.attempts[0].check_at = None;
        after.version += 1;
    } else {
        after.live.attempts.clear();
        after = step(&after, &dial(), process.now()).unwrap();
        let from = format!("+1500555{:04}", turn % 10);
        line = Some(process.records.line(&number(), true, &from));
    }
    let urgency = if turn.is_multiple_of(3) { Lane::Urgent } else { Lane::Bulk };
    process.records.commit(urgency, transition(&before, &after, line)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgresql_the_start_succeeds_and_everything_begins_when_it_comes() {
    let scratch = Scratch::new().await;
    let proxy = DeafProxy::start(scratch.settings()).await;
    proxy.refuse(true);
    let process = Process::with(proxy.settings(scratch.settings())).await;
    assert_eq!(process.readiness.failing()[0].check, "postgresql");
    assert!(!process.records.knows_portals());
    let stored =
        Stored { challenge: crate::fixtures::challenge(Channel::Push, process.now(), None), told: 0 };
    let error = process.records.create(&stored.challenge, note("accepted")).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Retry);

    proxy.refuse(false);
    let begun = Instant::now();
    while !(process.readiness.is_ready() && process.records.knows_portals()) {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    while process.records.create(&stored.challenge, note("accepted")).await.is_err() {
        // The partitions follow within a second.
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(process.records.load(&stored.challenge.key).await.unwrap(), Some(stored));
    process.stop().await;
}

fn unknown() -> DeviceId {
    DeviceId::parse("00000000-0000-8000-8000-000000000001").unwrap()
}

/// What is asked is answered again, and pools of six and two have opened no more than that.
async fn reads_over_few(process: Process, proxy: &DeafProxy) {
    let begun = Instant::now();
    while process.records.untested_device(unknown()).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    let (durable, relaxed) = (6, 2);
    assert!(proxy.opened() <= durable + relaxed, "{} connections were opened", proxy.opened());
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_give_up_cost_no_connections() {
    let scratch = Scratch::new().await;
    let proxy = DeafProxy::start(scratch.settings()).await;
    let settings = Settings { pool_size: 6, ..proxy.settings(scratch.settings()) };
    let process = Process::with(settings).await;
    let unknown = unknown();
    assert_eq!(process.records.untested_device(unknown).await.unwrap(), None);

    let slow = scratch.hold("LOCK TABLE untested_devices IN ACCESS EXCLUSIVE MODE").await;
    for _ in 0..50 {
        let read = process.records.untested_device(unknown);
        let given_up = tokio::time::timeout(Duration::from_millis(20), read).await;
        assert!(given_up.is_err(), "{given_up:?}");
    }
    slow.commit().await;
    reads_over_few(process, &proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_opens_slowly_is_there_for_those_who_come_after_whoever_gave_up() {
    let scratch = Scratch::new().await;
    let proxy = DeafProxy::start(scratch.settings()).await;
    let connect_timeout = Duration::from_secs(10);
    let settings = Settings { pool_size: 6, connect_timeout, ..proxy.settings(scratch.settings()) };
    // Each takes longer to open than any caller waits.
    proxy.hold(true);
    let process = Process::with(settings).await;
    let unknown = unknown();
    for _ in 0..50 {
        let reads = (0..8).map(|_| process.records.untested_device(unknown));
        let given_up = tokio::time::timeout(Duration::from_millis(10), join_all(reads)).await;
        assert!(given_up.is_err() || given_up.unwrap().iter().all(Result::is_err));
    }
    proxy.hold(false);
    reads_over_few(process, &proxy).await;
}

/// A proxy before PostgreSQL that can refuse connections or keep them waiting, and lose the answer to a statement.
pub(crate) struct DeafProxy {
    port: u16,
    state: Arc<watch::Sender<Trouble>>,
    opened: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Default)]
struct Trouble {
    refuse: bool,
    hold: bool,
    lose: Option<&'static str>,
}

impl DeafProxy {
    #[expect(
        clippy::disallowed_methods,
        reason = "the proxy stands for the network, which is no task of the fleet"
    )]
    pub(crate) async fn start(settings: &Settings) -> Self {
        let config: tokio_postgres::Config = settings.url.expose_secret().parse().unwrap();
        let port = config.get_ports()[0];
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let state = Arc::new(watch::Sender::new(Trouble::default()));
        let shared = state.clone();
        let opened = Arc::new(AtomicU32::new(0));
        let counted = opened.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                if !shared.borrow().refuse {
                    tokio::spawn(relay(client, port, shared.clone()));
                }
            }
        });
        Self { port: own_port, state, opened, task }
    }

    pub(crate) fn settings(&self, settings: &Settings) -> Settings {
        let url = settings.url.expose_secret();
        let (head, tail) = url.rsplit_once(':').unwrap();
        let database = tail.split_once('/').unwrap().1;
        Settings { url: format!("{head}:{}/{database}", self.port).into(), ..settings.clone() }
    }

    pub(crate) fn refuse(&self, refuse: bool) {
        self.state.send_modify(|trouble| trouble.refuse = refuse);
    }

    /// Keeps new connections waiting for their first byte.
    pub(crate) fn hold(&self, hold: bool) {
        self.state.send_modify(|trouble| trouble.hold = hold);
    }

    /// How many connections it was asked for.
    pub(crate) fn opened(&self) -> u32 {
        self.opened.load(Ordering::Relaxed)
    }

    /// The first statement with this text is executed, but instead of its answer its connection ends.
    pub(crate) fn lose_the_answer_to(&self, text: &'static str) {
        self.state.send_modify(|trouble| trouble.lose = Some(text));
    }
}

impl Drop for DeafProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How far a connection has come towards losing an answer: the statement is prepared by one message and executed by
/// the next.
#[derive(Clone, Copy, PartialEq)]
enum Hearing {
    Good,
    Prepared,
    Executed,
}

async fn relay(client: TcpStream, port: u16, state: Arc<watch::Sender<Trouble>>) {
    state.subscribe().wait_for(|trouble| !trouble.hold).await.unwrap();
    let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let hearing = watch::Sender::new(Hearing::Good);
    let asked = |bytes: &[u8]| {
        let next = match *hearing.borrow() {
            // A simple query, such as a commit, needs no preparation.
            Hearing::Good if takes_up(&state, bytes) => {
                if bytes.first() == Some(&b'Q') {
                    Hearing::Executed
                } else {
                    Hearing::Prepared
                }
            }
            Hearing::Good => Hearing::Good,
            Hearing::Prepared | Hearing::Executed => Hearing::Executed,
        };
        hearing.send_replace(next);
        true
    };
    tokio::select! {
        () = forward(client_in, server_out, asked) => {}
        () = forward(server_in, client_out, |_| *hearing.borrow() != Hearing::Executed) => {}
    }
}

/// Whether these bytes hold the statement whose answer is to be lost; then no other's is.
fn takes_up(state: &watch::Sender<Trouble>, bytes: &[u8]) -> bool {
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let found = state.borrow().lose.is_some_and(holds);
    if found {
        state.send_modify(|trouble| trouble.lose = None);
    }
    found
}

/// Passes bytes on until either side ends, or something must not pass.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, passes: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 || !passes(&buffer[..read]) || to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
}
