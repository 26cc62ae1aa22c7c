//! The connection that listens: one for all the challenges of a process, built again whenever it is lost.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    time::Duration,
};

use fleet_lifecycle::Stop;
use futures_util::StreamExt;
use redis::{
    Client, Msg, RedisError,
    aio::{PubSubSink, PubSubStream},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender},
    time::{Instant, interval_at, sleep, timeout},
};
use tracing::{debug, warn};

use crate::{Notice, Settings, connection::pauses, error::Answer};

/// Between two looks at the connection, which may have nothing to say for long.
const PING_EVERY: Duration = Duration::from_secs(2);

/// Channels in one SUBSCRIBE, and requests handled at a time.
const GATHER_MAX: usize = 512;

/// What is asked of the listener.
pub(crate) enum Request {
    /// Tell `notices` what is published on the channel.
    Subscribe { channel: String, notices: UnboundedSender<Notice> },
    /// Somebody has stopped listening to the channel.
    Unsubscribe { channel: String },
}

/// Keeps the connection and knows who listens to what.
pub(crate) struct Listener {
    client: Client,
    connect_timeout: Duration,
    command_timeout: Duration,
    requests: UnboundedReceiver<Request>,
    channels: HashMap<String, Vec<UnboundedSender<Notice>>>,
}

/// The connection is of no use any more.
struct Broken;

/// What requests that came together change.
#[derive(Default)]
struct Changes {
    subscribe: HashSet<String>,
    unsubscribe: HashSet<String>,
}

impl Listener {
    pub(crate) fn new(client: Client, settings: &Settings, requests: UnboundedReceiver<Request>) -> Self {
        Self {
            client,
            connect_timeout: settings.connect_timeout,
            command_timeout: settings.command_timeout,
            requests,
            channels: HashMap::new(),
        }
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
            match timeout(self.connect_timeout, self.client.get_async_pubsub()).await {
                Ok(Ok(connection)) => {
                    let (sink, stream) = connection.split();
                    let started = Instant::now();
                    let Err(Broken) = self.attend(sink, stream).await;
                    debug!("connection that listens to Redis lost");
                    if started.elapsed() > PING_EVERY {
                        pauses = self::pauses();
                    }
                }
                Ok(Err(error)) => warn!(error = %error, "cannot listen to Redis"),
                Err(_) => warn!("cannot listen to Redis: connecting timed out"),
            }
            if let Some(pause) = pauses.next() {
                sleep(pause).await;
            }
        }
    }

    async fn attend(&mut self, mut sink: PubSubSink, mut stream: PubSubStream) -> Result<Infallible, Broken> {
        let known: Vec<String> = self.channels.keys().cloned().collect();
        self.subscribe(&mut sink, &known).await?;
        let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        loop {
            tokio::select! {
                Some(request) = self.requests.recv() => self.handle(request, &mut sink).await?,
                message = stream.next() => self.deliver(&message.ok_or(Broken)?),
                _ = ping.tick() => {
                    let answer = timeout(self.command_timeout, sink.ping::<redis::Value>());
                    answer.await.map_err(|_| Broken)?.map_err(|_| Broken)?;
                }
            }
        }
    }

    /// Handles this request and those that have come with it.
    async fn handle(&mut self, request: Request, sink: &mut PubSubSink) -> Result<(), Broken> {
        let mut changes = Changes::default();
        self.note(request, &mut changes);
        for _ in 1..GATHER_MAX {
            let Ok(request) = self.requests.try_recv() else { break };
            self.note(request, &mut changes);
        }
        let subscribe: Vec<String> = changes.subscribe.into_iter().collect();
        self.subscribe(sink, &subscribe).await?;
        let unsubscribe: Vec<String> = changes.unsubscribe.into_iter().collect();
        if !unsubscribe.is_empty() {
            let done = timeout(self.command_timeout, sink.unsubscribe(&unsubscribe));
            done.await.map_err(|_| Broken)?.map_err(|_| Broken)?;
        }
        Ok(())
    }

    fn note(&mut self, request: Request, changes: &mut Changes) {
        match request {
            Request::Subscribe { channel, notices } => {
                let listeners = self.channels.entry(channel.clone()).or_default();
                let is_first = listeners.is_empty() && !changes.unsubscribe.remove(&channel);
                if is_first {
                    changes.subscribe.insert(channel);
                } else if !changes.subscribe.contains(&channel) {
                    // Fails only where nobody listens any more.
                    let _ = notices.send(Notice::Listening);
                }
                listeners.push(notices);
            }
            Request::Unsubscribe { channel } => {
                let Some(listeners) = self.channels.get_mut(&channel) else { return };
                listeners.retain(|notices| !notices.is_closed());
                if listeners.is_empty() {
                    self.channels.remove(&channel);
                    if !changes.subscribe.remove(&channel) {
                        changes.unsubscribe.insert(channel);
                    }
                }
            }
        }
    }

    /// Subscribes and tells the listeners. Where Redis refuses one channel it refuses all that came with it: then one by one.
    async fn subscribe(&mut self, sink: &mut PubSubSink, channels: &[String]) -> Result<(), Broken> {
        for chunk in channels.chunks(GATHER_MAX) {
            if self.subscribe_together(sink, chunk).await? {
                continue;
            }
            for channel in chunk {
                self.subscribe_together(sink, std::slice::from_ref(channel)).await?;
            }
        }
        Ok(())
    }

    /// Whether all these channels are settled: subscribed, or a single one refused.
    async fn subscribe_together(
        &mut self,
        sink: &mut PubSubSink,
        channels: &[String],
    ) -> Result<bool, Broken> {
        let done = timeout(self.command_timeout, sink.subscribe(channels)).await.map_err(|_| Broken)?;
        match (done, channels) {
            (Ok(()), _) => {
                for channel in channels {
                    self.tell(channel, &Notice::Listening);
                }
                Ok(true)
            }
            (Err(error), [channel]) => {
                let refusal = refusal(&error)?;
                self.tell(channel, &refusal);
                self.channels.remove(channel);
                Ok(true)
            }
            (Err(error), _) => refusal(&error).map(|_| false),
        }
    }

    fn deliver(&mut self, message: &Msg) {
        if let Ok(document) = message.get_payload::<String>() {
            self.tell(message.get_channel_name(), &Notice::Document(document));
        } else {
            debug!("what was published is not text");
        }
    }

    /// Those who have stopped listening are taken out at their own request.
    fn tell(&self, channel: &str, notice: &Notice) {
        for notices in self.channels.get(channel).into_iter().flatten() {
            let _ = notices.send(notice.clone());
        }
    }
}

/// What to tell of a refused subscription; `Broken` if the server is the reason rather than the channel.
fn refusal(error: &RedisError) -> Result<Notice, Broken> {
    let code = error.code().ok_or(Broken)?;
    match Answer::of(code, error.detail().unwrap_or_default()) {
        answer @ Answer::Refused => Ok(Notice::Refused(answer.error(code))),
        Answer::NoScript | Answer::WrongServer | Answer::NotNow => Err(Broken),
    }
}
