//! A portal's side: reading documents and hearing of new ones, with the portal's own Redis user.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use fleet_domain::PortalName;
use fleet_lifecycle::Tasks;
use futures_util::Stream;
use redis::{RedisError, aio::MultiplexedConnection};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    Error, Settings, SignedDocument,
    connection::{Connection, Probe},
    listener::{Listener, Request},
    names::{Names, Subject},
    outcomes::{EndOnDrop, spawn},
    read::read,
};

/// Reads outcomes and listens to them. Clones share two connections, one that reads and one that listens. Their tasks end when
/// the last clone is dropped; keep one until the stop, since for `Tasks` an earlier end is a failure.
#[derive(Clone)]
pub struct Watcher {
    connection: Connection,
    names: Names,
    command_timeout: Duration,
    requests: UnboundedSender<Request>,
    _end: Arc<EndOnDrop>,
}

impl Watcher {
    /// Starts the tasks that connect. Never waits for Redis.
    pub fn start(settings: &Settings, tasks: &Tasks) -> Result<Self, Error> {
        settings.check()?;
        let client = settings.client()?;
        let (connection, keeper) = Connection::new(client.clone(), settings, PingProbe);
        let (requests, received) = unbounded_channel();
        let listener = Listener::new(client, settings, received);
        let end = EndOnDrop::new();
        spawn(tasks, "outcomes reader", keeper.run(end.stop()));
        spawn(tasks, "outcomes listener", listener.run(end.stop()));
        Ok(Self {
            connection,
            names: Names::new(&settings.key_prefix),
            command_timeout: settings.command_timeout,
            requests,
            _end: Arc::new(end),
        })
    }

    /// The document as it is now. `None` means "not known yet", never denied or approved.
    pub async fn get(
        &self,
        portal: &PortalName,
        subject: impl Into<Subject>,
    ) -> Result<Option<SignedDocument>, Error> {
        read(&self.connection, &self.names.document(portal, subject.into()), self.command_timeout).await
    }

    /// Listens to what becomes of it until the stream is dropped. Read the document at every `Notice::Listening`: what was published
    /// before was not heard.
    pub fn subscribe(&self, portal: &PortalName, subject: impl Into<Subject>) -> Notices {
        let channel = self.names.document(portal, subject.into());
        let (notices, received) = unbounded_channel();
        let request = Request::Subscribe { channel: channel.clone(), notices };
        // Without a listener the stream ends at once, since the request holds its only sender.
        let _ = self.requests.send(request);
        Notices { received, channel, requests: self.requests.clone() }
    }
}

/// What is heard of a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// From now on every new document is heard, until the connection is lost; then this comes again.
    Listening,
    /// A new document. Only `seq` says which is the newest. It has no signature here: read the terminal one before acting on it.
    Document(String),
    /// Redis refuses this channel to this user. Nothing follows.
    Refused(Error),
}

/// The notices of one challenge. Ends after a refusal, or when the listener was stopped.
pub struct Notices {
    /// Unbounded, but a challenge has few versions.
    received: UnboundedReceiver<Notice>,
    channel: String,
    requests: UnboundedSender<Request>,
}

impl Stream for Notices {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.received.poll_recv(context)
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        // So that the listener finds this stream closed.
        self.received.close();
        let _ = self.requests.send(Request::Unsubscribe { channel: std::mem::take(&mut self.channel) });
    }
}

struct PingProbe;

impl Probe for PingProbe {
    async fn probe(&mut self, mut connection: MultiplexedConnection) -> Result<(), RedisError> {
        redis::cmd("PING").exec_async(&mut connection).await
    }
}
