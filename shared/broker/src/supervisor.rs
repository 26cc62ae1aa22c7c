//! Keeps a connection open: connects, watches, and connects again, each time to the next node, until the
//! process has stopped.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use fleet_lifecycle::Context;
use futures_util::StreamExt;
use lapin::{Connection, Event, uri::AMQPUri};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, interval},
};
use tracing::{info, warn};

use crate::{
    backoff::Backoff,
    connection,
    metrics::ConnectionMetrics,
    readiness::Part,
    settings::{Settings, address},
    topology::Topology,
};

/// lapin reports the end of a connection as an event; this is for one that it does not report.
const STATUS_CHECK: Duration = Duration::from_millis(500);

/// The users' end of a supervised connection. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Link {
    current: watch::Receiver<Option<Arc<Connection>>>,
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

    /// Lets the supervisor look at the connection at once: something on it broke.
    pub(crate) fn doubt(&self) {
        self.doubted.notify_one();
    }
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
        let doubted = Arc::new(Notify::new());
        let link = Link { current, doubted: doubted.clone() };
        let stop = context.stop.clone();
        context.tasks.spawn(self.name, async move {
            tokio::select! {
                () = stop.others_done() => {}
                never = self.supervise(&sender, &doubted) => match never {},
            }
            let last = sender.send_replace(None);
            if let Some(open) = last {
                connection::close(&open).await;
            }
            Ok(())
        });
        link
    }

    async fn supervise(
        &self,
        current: &watch::Sender<Option<Arc<Connection>>>,
        doubted: &Notify,
    ) -> Infallible {
        let mut backoff = Backoff::new();
        let timeouts = (self.connect_timeout, self.declare_timeout);
        for endpoint in self.endpoints.iter().cycle() {
            let mut opened = None;
            match connection::open(endpoint, self.name, self.topology.as_deref(), timeouts).await {
                Ok(open) => {
                    opened = Some(Instant::now());
                    self.attend(Arc::new(open), endpoint, current, doubted).await;
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
    async fn attend(
        &self,
        open: Arc<Connection>,
        endpoint: &AMQPUri,
        current: &watch::Sender<Option<Arc<Connection>>>,
        doubted: &Notify,
    ) {
        info!(connection = self.name, node = address(endpoint), "connected to RabbitMQ");
        self.metrics.connects.inc();
        self.metrics.connected.set(1);
        self.ready.set(true);
        current.send_replace(Some(open.clone()));
        self.watch(&open, doubted).await;
        current.send_replace(None);
        self.ready.set(false);
        self.metrics.connected.set(0);
        self.metrics.blocked.set(0);
        warn!(connection = self.name, node = address(endpoint), "connection to RabbitMQ lost");
    }

    async fn watch(&self, open: &Connection, doubted: &Notify) {
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
                    Some(_) => {}
                    None => return,
                },
                () = doubted.notified() => {}
                _ = check.tick() => {}
            }
        }
    }
}
