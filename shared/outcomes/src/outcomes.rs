//! The fleet's side: telling outcomes, and what Redis has of them.

use std::{sync::Arc, time::Duration};

use fleet_domain::{PortalName, Timestamp};
use fleet_keys::Keys;
use fleet_lifecycle::{Stop, Tasks};
use fleet_telemetry::{IntCounterVec, Metrics};
use redis::Script;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    Error, Settings, SignedDocument,
    connection::Connection,
    epoch::EpochProbe,
    metrics::{ConnectionMetrics, WriteMetrics},
    names::{Names, Subject},
    queue::Queue,
    read::read,
    writer::{SCRIPT, Writer},
};

/// One version of the public document of a challenge or an enrollment request.
#[derive(Clone, Debug)]
pub struct Told {
    /// The portal that asked.
    pub portal: PortalName,
    /// What it is about.
    pub subject: Subject,
    /// The version. Only a higher one replaces what Redis has.
    pub seq: u32,
    /// The document, byte for byte as portals will read it. It begins with `{"seq":N,`, N being `seq`.
    pub json: String,
    /// Whether that has ended. From then on every version of it is terminal, and signed.
    pub terminal: bool,
    /// Until when Redis keeps it, rounded up to the second.
    pub collect_by: Timestamp,
}

impl Told {
    fn begins_with_its_seq(&self) -> bool {
        let number = self.json.strip_prefix("{\"seq\":").and_then(|rest| rest.split_once(','));
        number.is_some_and(|(digits, _)| {
            digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse() == Ok(self.seq)
        })
    }
}

/// The fleet's access to Redis. Clones share one connection. Its tasks write what is waiting and end when the last clone is
/// dropped; a service keeps one until its stop, since for `Tasks` an earlier end is a failure.
#[derive(Clone)]
pub struct Outcomes {
    queue: Arc<Queue>,
    connection: Connection,
    names: Names,
    command_timeout: Duration,
    epoch: watch::Receiver<u64>,
    written: IntCounterVec,
    /// Last, so that what is still waiting is written first.
    _end: Arc<EndOnDrop>,
}

impl Outcomes {
    /// Starts the tasks that connect and write. Never waits for Redis: until it answers, telling fails and costs nothing else.
    pub fn start(settings: Settings, keys: Keys, tasks: &Tasks, metrics: &Metrics) -> Result<Self, Error> {
        settings.check()?;
        let names = Names::new(&settings.key_prefix);
        let (epoch_sender, epoch) = watch::channel(0);
        let probe = EpochProbe::new(&names, epoch_sender);
        let (connection, keeper) = Connection::new(settings.client()?, &settings, probe);
        let keeper = keeper.with_metrics(ConnectionMetrics::declare(metrics));
        let write_metrics = WriteMetrics::declare(metrics);
        let queue = Arc::new(Queue::new(settings.waiting_max));
        let command_timeout = settings.command_timeout;
        let writer = Writer {
            queue: Arc::clone(&queue),
            connection: connection.clone(),
            keys,
            names: names.clone(),
            script: Script::new(SCRIPT),
            metrics: write_metrics.clone(),
            settings,
        };
        let end = EndOnDrop::new();
        spawn(tasks, "outcomes connection", keeper.run(end.stop()));
        spawn(tasks, "outcomes writer", writer.run(end.stop()));
        Ok(Self {
            queue,
            connection,
            names,
            command_timeout,
            epoch,
            written: write_metrics.written,
            _end: Arc::new(end),
        })
    }

    /// Writes the document if Redis has none or one of a lower `seq`, and publishes it on the channel of the same name, both in
    /// one step. A terminal document is signed, and its signature written in the same step.
    ///
    /// Succeeds when Redis has this version or a higher one, or when `collect_by` is past and there is nothing to tell any more.
    /// Fails within `command_timeout`; at once while Redis is not reachable. Telling again is harmless.
    pub async fn tell(&self, told: Told) -> Result<(), Error> {
        if !told.begins_with_its_seq() {
            return Err(Error::Misnumbered);
        }
        let deadline = Instant::now() + self.command_timeout;
        let answered = if self.connection.is_down() { None } else { self.queue.put(told) };
        let Some(answered) = answered else {
            self.written.with_label_values(&["failed"]).inc();
            return Err(Error::Unavailable);
        };
        match timeout_at(deadline, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Error::Unavailable),
        }
    }

    /// The document as portals see it now.
    pub async fn get(
        &self,
        portal: &PortalName,
        subject: impl Into<Subject>,
    ) -> Result<Option<SignedDocument>, Error> {
        read(&self.connection, &self.names.document(portal, subject.into()), self.command_timeout).await
    }

    /// Grows when Redis may have lost outcomes: it was found empty, restarted, or replaced by another server. Whoever watches
    /// it tells again every outcome that is still to be collected. Noticed after a second at most.
    pub fn epoch(&self) -> watch::Receiver<u64> {
        self.epoch.clone()
    }
}

/// Runs what serves the handles: until the last one is dropped, or, at a stop, until every other task has ended,
/// for they may still have something to tell.
pub(crate) fn spawn(tasks: &Tasks, name: &'static str, run: impl Future<Output = ()> + Send + 'static) {
    let stop = tasks.stop().clone();
    tasks.spawn(name, async move {
        tokio::select! {
            () = run => {}
            () = stop.others_done() => {}
        }
        Ok(())
    });
}

/// Ends tasks when the last handle to them is dropped.
pub(crate) struct EndOnDrop(Stop);

impl EndOnDrop {
    pub(crate) fn new() -> Self {
        Self(Stop::new())
    }

    /// What the tasks listen to.
    pub(crate) fn stop(&self) -> Stop {
        self.0.clone()
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.request_soft();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_must_begin_with_its_own_seq() {
        for (json, good) in [
            (r#"{"seq":7,"result":"pending"}"#, true),
            (r#"{"seq":70,"result":"pending"}"#, false),
            (r#"{"seq":+7,"result":"pending"}"#, false),
            (r#"{"seq": 7,"result":"pending"}"#, false),
            (r#"{"result":"pending","seq":7}"#, false),
            ("", false),
        ] {
            let told = Told {
                portal: PortalName::parse("vpn").unwrap(),
                subject: fleet_domain::ChallengeId::from_parts(Timestamp::default(), [0; 10]).into(),
                seq: 7,
                json: json.to_owned(),
                terminal: false,
                collect_by: Timestamp::default(),
            };
            assert_eq!(told.begins_with_its_seq(), good, "{json}");
        }
    }
}
