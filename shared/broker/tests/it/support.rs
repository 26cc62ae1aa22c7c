//! A fleet of one process, a portal that breaks the rules, and a network that can be cut.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fleet_broker::{
    Broker, Delivery, Exchange, Handler, Message, PublishError, Publisher, Queue, Settings, Verdict,
};
use fleet_domain::PortalName;
use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_telemetry::{Metrics, Readiness};
use fleet_testkit::{amqp_url, unique_name};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueDeclareOptions,
        QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
    uri::AMQPUri,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::timeout,
};

/// Longer than anything here takes on a busy machine; nothing waits this long unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// One process of the fleet, in its own namespace.
pub(crate) struct Fleet {
    pub(crate) broker: Broker,
    pub(crate) settings: Settings,
    pub(crate) context: Context,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
}

pub(crate) fn context() -> Context {
    let stop = Stop::new();
    Context { tasks: Tasks::new(stop.clone()), stop, clock: Clock::system() }
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::for_urls(vec![amqp_url().into()]).unwrap();
        settings.namespace = unique_name("t");
        settings.redelivery_pause = Duration::ZERO;
        settings.confirm_timeout = PATIENCE;
        settings.declare_timeout = PATIENCE;
        settings.connect_timeout = PATIENCE;
        change(&mut settings);
        let (context, metrics, readiness) = (context(), Metrics::new(), Readiness::new());
        let broker = Broker::start(&settings, &context, &metrics, &readiness).unwrap();
        let fleet = Self { broker, settings, context, metrics, readiness };
        fleet.until(|| fleet.readiness.is_ready()).await;
        fleet
    }

    /// Stops softly; all tasks must end by themselves.
    pub(crate) async fn stop(&self) {
        self.context.stop.request_soft();
        assert!(self.context.tasks.wait(PATIENCE).await, "tasks did not end");
        assert!(!self.context.tasks.any_failed(), "a task failed");
    }

    /// Stops and removes what was declared.
    pub(crate) async fn end(self) {
        self.stop().await;
        let raw = Raw::connect(&self.settings).await;
        for queue in Queue::ALL {
            raw.delete(queue).await;
        }
        for exchange in Exchange::ALL {
            let name = raw.name(exchange.name()).into();
            raw.channel.exchange_delete(name, ExchangeDeleteOptions::default()).await.unwrap();
        }
    }

    /// Waits for what has no event to wait for.
    pub(crate) async fn until(&self, holds: impl Fn() -> bool) {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        let wait = async {
            while !holds() {
                tick.tick().await;
            }
        };
        timeout(PATIENCE, wait).await.expect("never came true");
    }

    pub(crate) fn publisher(&self) -> Publisher {
        self.broker.publisher()
    }

    /// Consumes `queue` and answers each delivery with `verdict`; the deliveries can be read from the result.
    pub(crate) fn watch(
        &self,
        queue: Queue,
        verdict: impl Fn(&Delivery) -> Verdict + Send + Sync + 'static,
    ) -> Seen {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.broker.consume(queue, 16, Watcher { verdict, sender });
        Seen(receiver)
    }

    /// The value of a metric with these labels, as it is exported.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let text = self.metrics.render();
        let value = text.lines().find_map(|line| line.strip_prefix(series)).unwrap_or("0");
        value.trim().parse().unwrap()
    }
}

struct Watcher<F> {
    verdict: F,
    sender: mpsc::UnboundedSender<Delivery>,
}

impl<F: Fn(&Delivery) -> Verdict + Send + Sync + 'static> Handler for Watcher<F> {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        let verdict = (self.verdict)(&delivery);
        let _ = self.sender.send(delivery);
        verdict
    }
}

/// The deliveries that a handler has got.
pub(crate) struct Seen(mpsc::UnboundedReceiver<Delivery>);

impl Seen {
    pub(crate) async fn next(&mut self) -> Delivery {
        timeout(PATIENCE, self.0.recv()).await.expect("no delivery came").expect("the consumer has ended")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(crate) fn portal(name: &str) -> PortalName {
    PortalName::parse(name).unwrap()
}

/// A message to `queue` from inside the fleet, or from the portal that this process plays for queues of requests.
pub(crate) fn message(queue: Queue, body: &'static str) -> Message {
    let internal = matches!(queue, Queue::VoiceDial | Queue::VoiceHangup | Queue::PushSend);
    let exchange = if internal { Exchange::Internal } else { Exchange::Requests };
    Message {
        exchange,
        routing_key: queue.name().into(),
        body: Bytes::from_static(body.as_bytes()),
        message_id: unique_name("m"),
        portal: Some(portal("operations")),
        content_type: "application/cloudevents+json".into(),
        mandatory: true,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

/// A client without our rules.
pub(crate) struct Raw {
    _connection: Connection,
    pub(crate) channel: Channel,
    namespace: String,
    pub(crate) user: String,
}

impl Raw {
    pub(crate) async fn connect(settings: &Settings) -> Self {
        let uri: AMQPUri = amqp_url().parse().unwrap();
        let user = uri.authority.userinfo.username.clone();
        let connection = Connection::connect_uri(uri, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { _connection: connection, channel, namespace: settings.namespace.clone(), user }
    }

    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.namespace)
    }

    /// Publishes with any headers, and as any user or none.
    pub(crate) async fn publish(&self, queue: Queue, headers: &[(&str, &str)], user: Option<&str>) {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            let text = AMQPValue::LongString((*value).into());
            // RabbitMQ accepts this one as a list only.
            let value = if *name == "CC" { AMQPValue::FieldArray(vec![text].into()) } else { text };
            table.insert((*name).into(), value);
        }
        let mut properties = BasicProperties::default().with_headers(table).with_message_id("forged".into());
        if let Some(user) = user {
            properties = properties.with_user_id(user.into());
        }
        let confirm = self
            .channel
            .basic_publish(
                self.name(Exchange::Requests.name()).into(),
                queue.name().into(),
                BasicPublishOptions { mandatory: true, immediate: false },
                b"{}",
                properties,
            )
            .await
            .unwrap();
        assert_eq!(confirm.await.unwrap(), lapin::Confirmation::Ack(None));
    }

    pub(crate) async fn delete(&self, queue: Queue) {
        let name = self.name(queue.name()).into();
        self.channel.queue_delete(name, QueueDeleteOptions::default()).await.unwrap();
    }

    /// Messages that wait in `queue`.
    pub(crate) async fn ready(&self, queue: Queue) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let name = self.name(queue.name()).into();
        self.channel.queue_declare(name, passive, FieldTable::default()).await.unwrap().message_count()
    }
}

/// A TCP proxy to RabbitMQ whose connections can be cut and refused.
pub(crate) struct Network {
    pub(crate) url: String,
    cut: watch::Sender<u64>,
    up: Arc<AtomicBool>,
}

impl Network {
    #[expect(clippy::disallowed_methods, reason = "the network is not a task of the fleet under test")]
    pub(crate) async fn start() -> Self {
        let mut uri: AMQPUri = amqp_url().parse().unwrap();
        let target = (uri.authority.host.clone(), uri.authority.port);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        uri.authority.host = "127.0.0.1".into();
        uri.authority.port = listener.local_addr().unwrap().port();
        let (cut, _) = watch::channel(0);
        let up = Arc::new(AtomicBool::new(true));
        let (cuts, is_up) = (cut.clone(), up.clone());
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if is_up.load(Ordering::SeqCst) {
                    tokio::spawn(forward(client, target.clone(), cuts.subscribe()));
                }
            }
        });
        Self { url: uri.to_string(), cut, up }
    }

    /// Breaks all connections.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Breaks all connections, and refuses new ones until `restore`.
    pub(crate) fn fail(&self) {
        self.up.store(false, Ordering::SeqCst);
        self.cut();
    }

    pub(crate) fn restore(&self) {
        self.up.store(true, Ordering::SeqCst);
    }
}

async fn forward(mut client: TcpStream, target: (String, u16), mut cut: watch::Receiver<u64>) {
    let mut server = TcpStream::connect(target).await.unwrap();
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = cut.changed() => {}
    }
}

/// Publishes until a queue takes it, as a publisher does whose queue is just being made again.
pub(crate) async fn publish_until_routed(publisher: &Publisher, message: &Message) {
    let publish = async {
        while let Err(error) = publisher.publish(message.clone()).await {
            assert_eq!(error, PublishError::Unroutable);
        }
    };
    timeout(PATIENCE, publish).await.expect("never routed");
}
