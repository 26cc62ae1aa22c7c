//! Keeps a connection open: connects, watches, and connects again, each time to the next node, until the
//! process has stopped.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use fleet_lifecycle::Context;
use futures_util::StreamExt;
use lapin::{Connection, ErrorKind, Event, uri::AMQPUri};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, interval, sleep, timeout},
};
use tracing::{info, warn};

use crate::{
    backoff::{self, Backoff},
    connection,
    metrics::ConnectionMetrics,
    readiness::Part,
    settings::{Settings, address},
    topology::Topology,
};

/// lapin reports the end of a connection as an event; this is for one that it does not report.
const STATUS_CHECK: Duration = Duration::from_millis(500);

/// How long lapin's reason for the end of a connection is waited for.
const LAST_WORD: Duration = Duration::from_millis(50);

/// The pause after a message that lapin can't read, before its jitter.
const UNREADABLE_PAUSE: Duration = Duration::from_millis(20);

/// AMQP's reply code for a frame that is too large.
const FRAME_ERROR: u16 = 501;

/// Why a connection ended.
enum End {
    /// The network, the broker or this process ended it.
    Lost,
    /// lapin did, over a message that it can't read.
    Unreadable,
}

impl End {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Unreadable => "a message that the client library can't read",
        }
    }
}

fn is_unreadable(error: &lapin::Error) -> bool {
    // The second is a header that has grown beyond a frame when the broker added its own to it.
    matches!(error.kind(), ErrorKind::ParsingError(_))
        || matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == FRAME_ERROR)
}

/// The users' end of a supervised connection. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Link {
    current: watch::Receiver<Option<Arc<Connection>>>,
    unreadable: watch::Receiver<Option<Instant>>,
    doubted: Arc<Notify>,
}

impl Link {
    /// The connection, as soon as there is one.
    pub(crate) async fn connection(&self) -> Arc<Connection> {
        let mut current = self.current.clone();
        let found =
            current.wait_for(|current| current.as_ref().is_some_and(|open| open.status().connected())).await;
        match found.ok().and_then(|connection| connection.clone()) {
            Some(connection) => connection,
            // The supervisor has ended: there will be none.
            None => std::future::pending().await,
        }
    }

    /// Whether there is a connection now.
    pub(crate) fn is_connected(&self) -> bool {
        self.current.borrow().as_ref().is_some_and(|open| open.status().connected())
    }

    /// When a message last broke the connection that lapin can't read.
    pub(crate) fn unreadable_at(&self) -> Option<Instant> {
        *self.unreadable.borrow()
    }

    /// Lets the supervisor look at the connection at once: something on it broke.
    pub(crate) fn doubt(&self) {
        self.doubted.notify_one();
    }
}

/// Where the supervisor tells of its connection.
struct Telling {
    current: watch::Sender<Option<Arc<Connection>>>,
    unreadable: watch::Sender<Option<Instant>>,
    doubted: Arc<Notify>,
}

/// Keeps one connection open.
pub(crate) struct Supervisor {
    name: &'static str,
    endpoints: Vec<AMQPUri>,
    connect_timeout: Duration,
    declare_timeout: Duration,
    /// What to declare after connecting; portals declare nothing.
    topology: Option<Arc<Topology>>,
    metrics: ConnectionMetrics,
    ready: Part,
}

impl Supervisor {
    pub(crate) fn new(
        name: &'static str,
        settings: &Settings,
        endpoints: Vec<AMQPUri>,
        metrics: ConnectionMetrics,
        ready: Part,
    ) -> Self {
        Self {
            name,
            endpoints,
            connect_timeout: settings.connect_timeout,
            declare_timeout: settings.declare_timeout,
            topology: None,
            metrics,
            ready,
        }
    }

    pub(crate) fn declaring(self, topology: Arc<Topology>) -> Self {
        Self { topology: Some(topology), ..self }
    }

    /// Starts the supervision; it ends when all who may use the connection have.
    pub(crate) fn start(self, context: &Context) -> Link {
        let (sender, current) = watch::channel(None);
        let (unreadable_sender, unreadable) = watch::channel(None);
        let doubted = Arc::new(Notify::new());
        let link = Link { current, unreadable, doubted: doubted.clone() };
        let telling = Telling { current: sender, unreadable: unreadable_sender, doubted };
        let stop = context.stop.clone();
        context.tasks.spawn(self.name, async move {
            tokio::select! {
                () = stop.others_done() => {}
                never = self.supervise(&telling) => match never {},
            }
            let last = telling.current.send_replace(None);
            if let Some(open) = last {
                connection::close(&open).await;
            }
            Ok(())
        });
        link
    }

    async fn supervise(&self, telling: &Telling) -> Infallible {
        let mut backoff = Backoff::new();
        let timeouts = (self.connect_timeout, self.declare_timeout);
        for endpoint in self.endpoints.iter().cycle() {
            let mut opened = None;
            match connection::open(endpoint, self.name, self.topology.as_deref(), timeouts).await {
                Ok(open) => {
                    opened = Some(Instant::now());
                    if let End::Unreadable = self.attend(Arc::new(open), endpoint, telling).await {
                        // The broker is well, and good messages wait behind the bad one: no growing pause.
                        sleep(backoff::jittered(UNREADABLE_PAUSE)).await;
                        continue;
                    }
                }
                Err(fault) => {
                    warn!(connection = self.name, node = address(endpoint), error = %fault, "cannot connect to RabbitMQ");
                }
            }
            backoff.pause(opened.map_or(Duration::ZERO, |opened| opened.elapsed())).await;
        }
        // Settings without a URI are refused at the start.
        std::future::pending().await
    }

    /// Lends the connection out until it is lost.
    async fn attend(&self, open: Arc<Connection>, endpoint: &AMQPUri, telling: &Telling) -> End {
        info!(connection = self.name, node = address(endpoint), "connected to RabbitMQ");
        self.metrics.connects.inc();
        self.metrics.connected.set(1);
        self.ready.set(true);
        telling.current.send_replace(Some(open.clone()));
        let end = self.watch(&open, &telling.doubted).await;
        if let End::Unreadable = end {
            self.metrics.unreadable.inc();
            telling.unreadable.send_replace(Some(Instant::now()));
        }
        telling.current.send_replace(None);
        self.ready.set(false);
        self.metrics.connected.set(0);
        self.metrics.blocked.set(0);
        warn!(
            connection = self.name,
            node = address(endpoint),
            reason = end.as_str(),
            "connection to RabbitMQ lost"
        );
        end
    }

    async fn watch(&self, open: &Connection, doubted: &Notify) -> End {
        let mut events = pin!(open.events_listener());
        let mut check = interval(STATUS_CHECK);
        while open.status().connected() {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        warn!(connection = self.name, reason, "RabbitMQ takes no messages");
                        self.metrics.blocked.set(1);
                    }
                    Some(Event::ConnectionUnblocked) => {
                        info!(connection = self.name, "RabbitMQ takes messages again");
                        self.metrics.blocked.set(0);
                    }
                    Some(Event::Error(error)) if is_unreadable(&error) => return End::Unreadable,
                    Some(_) => {}
                    None => return End::Lost,
                },
                () = doubted.notified() => {}
                _ = check.tick() => {}
            }
        }
        // lapin changes the state before it tells why.
        while let Ok(Some(event)) = timeout(LAST_WORD, events.next()).await {
            if let Event::Error(error) = event {
                return if is_unreadable(&error) { End::Unreadable } else { End::Lost };
            }
        }
        End::Lost
    }
}
