//! A fleet with its own key prefix, a look at Redis past it, a TCP proxy that can go silent, and a Redis of one's own.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use fleet_domain::{ChallengeId, PortalName, Timestamp};
use fleet_keys::{Keys, random_bytes};
use fleet_lifecycle::{Clock, Stop, Tasks};
use fleet_outcomes::{Outcomes, Settings, Told};
use fleet_telemetry::Metrics;
use fleet_testkit::unique_name;
use redis::{FromRedisValue, aio::MultiplexedConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::watch,
};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn settings(url: &str) -> Settings {
    let mut settings = Settings::for_url(url.into()).unwrap();
    settings.key_prefix = unique_name("t");
    // A busy machine must not fail a test of something else.
    settings.command_timeout = PATIENCE;
    settings.connect_timeout = PATIENCE;
    settings
}

/// The fleet's side with its tasks.
pub(crate) struct Fleet {
    pub(crate) outcomes: Outcomes,
    pub(crate) settings: Settings,
    pub(crate) tasks: Tasks,
    stop: Stop,
    metrics: Metrics,
}

impl Fleet {
    pub(crate) fn start() -> Self {
        Self::with(settings(&fleet_testkit::redis_url()))
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let stop = Stop::new();
        let tasks = Tasks::new(stop.clone());
        let metrics = Metrics::new();
        let outcomes = Outcomes::start(settings.clone(), Keys::for_tests(), &tasks, &metrics).unwrap();
        Self { outcomes, settings, tasks, stop, metrics }
    }

    pub(crate) fn key(&self, portal: &PortalName, id: ChallengeId) -> String {
        format!("{}:outcome:{portal}:{{{id}}}", self.settings.key_prefix)
    }

    /// The value of a metric as `/metrics` shows it, 0 if it is not there.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.render();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Soft stop: the tasks must end by themselves.
    pub(crate) async fn end(self) {
        self.stop.request_soft();
        drop(self.outcomes);
        assert!(self.tasks.wait(PATIENCE).await, "a task did not end");
        assert!(!self.tasks.any_failed());
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let held = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    held.await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

pub(crate) fn portal() -> PortalName {
    PortalName::parse("vpn").unwrap()
}

pub(crate) fn new_id() -> ChallengeId {
    ChallengeId::from_parts(now(), random_bytes())
}

pub(crate) fn now() -> Timestamp {
    Clock::system().now()
}

/// An open version of a challenge, to be collected within a minute.
pub(crate) fn told(id: ChallengeId, seq: u32) -> Told {
    Told {
        portal: portal(),
        subject: id.into(),
        seq,
        json: format!(r#"{{"seq":{seq},"result":"pending","note":"é {{}} \u0000"}}"#),
        terminal: false,
        collect_by: now().plus(Duration::from_mins(1)),
    }
}

pub(crate) fn terminal(id: ChallengeId, seq: u32) -> Told {
    Told { json: format!(r#"{{"seq":{seq},"result":"approved"}}"#), terminal: true, ..told(id, seq) }
}

/// Redis past the fleet.
pub(crate) async fn raw(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

/// One command, words separated by spaces.
pub(crate) async fn ask<T: FromRedisValue>(redis: &mut MultiplexedConnection, command: &str) -> T {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        cmd.arg(word);
    });
    cmd.query_async(redis).await.unwrap_or_else(|error| panic!("{command}: {error}"))
}

/// A Redis user of one test, and the address with its name.
pub(crate) async fn user(redis: &mut MultiplexedConnection, rules: &str) -> (String, String) {
    let name = unique_name("user");
    ask::<()>(redis, &format!("ACL SETUSER {name} on >pass {rules}")).await;
    let url = fleet_testkit::redis_url();
    let (_, host) = url.rsplit_once('@').unwrap_or_else(|| url.split_once("//").unwrap());
    (name.clone(), format!("redis://{name}:pass@{host}"))
}

/// Passes bytes between clients and a server until it is told to keep them.
pub(crate) struct Proxy {
    pub(crate) url: String,
    mode: watch::Sender<Mode>,
    accepted: &'static AtomicU64,
}

#[derive(Clone, Copy)]
struct Mode {
    /// Connections with a lower number are silent.
    silent_below: u64,
}

impl Proxy {
    /// In front of the server of this URL.
    pub(crate) async fn start(tasks: &Tasks, url: &str) -> Self {
        let (head, rest) = url.rsplit_once('@').unwrap_or_else(|| url.split_once("//").unwrap());
        let (server, tail) = rest.split_once('/').unwrap_or((rest, ""));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let separator = if url.contains('@') { "@" } else { "//" };
        let url = format!("{head}{separator}{}/{tail}", listener.local_addr().unwrap());
        let (mode, _) = watch::channel(Mode { silent_below: 0 });
        let accepted: &'static AtomicU64 = Box::leak(Box::default());
        let (server, modes, inner) = (server.to_owned(), mode.clone(), tasks.clone());
        tasks.spawn_detail("proxy", async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(&server).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                inner.spawn_detail("proxy up", pass(from_client, to_server, number, modes.subscribe()));
                inner.spawn_detail("proxy down", pass(from_server, to_client, number, modes.subscribe()));
            }
        });
        Self { url, mode, accepted }
    }

    /// All connections, also those still to come, are silent until `thaw`.
    pub(crate) fn freeze(&self) {
        self.mode.send_replace(Mode { silent_below: u64::MAX });
    }

    pub(crate) fn thaw(&self) {
        self.mode.send_replace(Mode { silent_below: 0 });
    }

    /// The connections that are open now stay silent for ever; new ones work.
    pub(crate) fn silence_open_ones(&self) {
        self.mode.send_replace(Mode { silent_below: self.accepted.load(Ordering::SeqCst) });
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    number: u64,
    mut mode: watch::Receiver<Mode>,
) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        if mode.wait_for(|mode| mode.silent_below <= number).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// A Redis of one test, killed when it is dropped. It keeps nothing on disk.
pub(crate) struct OwnServer {
    pub(crate) url: String,
    port: u16,
    directory: PathBuf,
    process: Child,
}

impl OwnServer {
    pub(crate) async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let directory = std::env::temp_dir().join(unique_name("redis"));
        std::fs::create_dir(&directory).unwrap();
        let process = launch(port, &directory);
        let server = Self { url: format!("redis://127.0.0.1:{port}/0"), port, directory, process };
        server.answers().await;
        server
    }

    /// Killed and started again, without its data.
    pub(crate) async fn restart(&mut self) {
        self.process.kill().await.unwrap();
        self.process = launch(self.port, &self.directory);
        self.answers().await;
    }

    async fn answers(&self) {
        until("the server answers", async || TcpStream::connect(("127.0.0.1", self.port)).await.is_ok())
            .await;
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn launch(port: u16, directory: &std::path::Path) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
        .arg(port.to_string())
        .arg("--dir")
        .arg(directory)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-server is installed")
}
