//! The whole broker: two connections, what publishes and what consumes.

use std::sync::{Arc, Mutex, PoisonError};

use fleet_lifecycle::Context;
use fleet_telemetry::{Metrics, Readiness};
use lapin::{types::ShortString, uri::AMQPUri};

use crate::{
    consume::{Consumer, Handler, Limits},
    delivery::Trust,
    error::Error,
    letters::{self, Desk, Letter, LetterBox, Pile, QueueDepth},
    metrics::BrokerMetrics,
    publish::Publisher,
    readiness::Part,
    settings::Settings,
    supervisor::{Link, Supervisor},
    topology::{Queue, Topology},
};

/// A part of the fleet at RabbitMQ. Clones share the connections.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
}

struct Shared {
    link: Link,
    publisher: Publisher,
    topology: Arc<Topology>,
    trust: Arc<Trust>,
    metrics: BrokerMetrics,
    limits: Limits,
    settings: Settings,
    endpoints: Vec<AMQPUri>,
    context: Context,
    /// The connections of the queues that portals write to. A std mutex: it is never held over an await.
    links: Mutex<Vec<(Queue, Link)>>,
}

impl Broker {
    /// Starts two connections, one to publish and one to consume, to which `consume` adds: RabbitMQ stops reading from one that
    /// publishes when it lacks memory, and acks must not wait for that. Returns at once; the readiness check
    /// `rabbitmq` tells when both are open. They stay open until all other tasks of `context` have ended.
    pub fn start(
        settings: &Settings,
        context: &Context,
        metrics: &Metrics,
        readiness: &Readiness,
    ) -> Result<Self, Error> {
        settings.check()?;
        let endpoints = settings.endpoints()?;
        let user = user(&endpoints);
        let topology = Arc::new(Topology::new(&settings.namespace, settings.max_length));
        let metrics = BrokerMetrics::new(metrics);
        let [publish, consume] = ["publish", "consume"].map(|name| (name, metrics.connection(name)));
        let [publish_ready, consume_ready] =
            Part::of(Some(readiness.check("rabbitmq")), [publish.0, consume.0]);
        let publish_link = Supervisor::new(publish.0, settings, endpoints.clone(), publish.1, publish_ready)
            .declaring(topology.clone())
            .start(context);
        let link = Supervisor::new(consume.0, settings, endpoints.clone(), consume.1, consume_ready)
            .declaring(topology.clone())
            .start(context);
        let publisher = Publisher::start(
            settings,
            user.clone(),
            context,
            (publish_link, &topology),
            metrics.publishing(),
        );
        let mut fleet_users = settings.fleet_users.clone();
        fleet_users.push(user.as_str().to_owned());
        let shared = Shared {
            link,
            publisher,
            trust: Arc::new(Trust::new(topology.clone(), fleet_users)),
            topology,
            metrics,
            limits: Limits {
                max_body_bytes: settings.max_body_bytes,
                connect_timeout: settings.connect_timeout,
                redelivery_pause: settings.redelivery_pause,
                idle_check: settings.idle_check,
            },
            settings: settings.clone(),
            endpoints,
            context: context.clone(),
            links: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Starts the publisher of a portal: one connection under the portal's own user, which declares nothing and
    /// may write to `Exchange::Requests` only.
    pub fn portal(settings: &Settings, context: &Context, metrics: &Metrics) -> Result<Publisher, Error> {
        settings.check()?;
        let endpoints = settings.endpoints()?;
        let user = user(&endpoints);
        let topology = Arc::new(Topology::new(&settings.namespace, settings.max_length));
        let metrics = BrokerMetrics::new(metrics);
        let [ready] = Part::of(None, ["portal"]);
        let link = Supervisor::new("portal", settings, endpoints, metrics.connection("portal"), ready)
            .start(context);
        Ok(Publisher::start(settings, user, context, (link, &topology), metrics.publishing()))
    }

    /// Publishes over the broker's own connection.
    pub fn publisher(&self) -> Publisher {
        self.shared.publisher.clone()
    }

    /// Gives the messages of `queue` to `handler`, up to `prefetch` at once, until a soft stop; then finishes
    /// what the handler has begun and sends the rest back. Outlives lost connections and a deleted queue.
    pub fn consume<H: Handler>(&self, queue: Queue, prefetch: u16, handler: H) {
        let shared = &self.shared;
        let consumer = Consumer {
            queue,
            // 0 would mean without a bound.
            prefetch: prefetch.max(1),
            handler,
            link: self.link_for(queue),
            declaring: shared.link.clone(),
            publisher: shared.publisher.clone(),
            topology: shared.topology.clone(),
            trust: shared.trust.clone(),
            metrics: shared.metrics.queue(queue),
            tasks: shared.context.tasks.clone(),
            stop: shared.context.stop.clone(),
            limits: shared.limits,
        };
        shared.context.tasks.spawn(queue.name(), Arc::new(consumer).run());
    }

    /// A message that portals write can break the client library and with it the connection, so each of their queues gets one
    /// of its own: what is under way elsewhere is not delivered again for it. Consumers of the same queue share it.
    fn link_for(&self, queue: Queue) -> Link {
        let shared = &self.shared;
        if !queue.is_written_by_portals() {
            return shared.link.clone();
        }
        let mut links = shared.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, link)) = links.iter().find(|(of, _)| *of == queue) {
            return link.clone();
        }
        let [ready] = Part::of(None, [queue.name()]);
        let metrics = shared.metrics.connection(queue.name());
        let (settings, context) = (&shared.settings, &shared.context);
        let link =
            Supervisor::new(queue.name(), settings, shared.endpoints.clone(), metrics, ready).start(context);
        links.push((queue, link.clone()));
        link
    }

    /// How full every queue is.
    pub async fn queue_depths(&self) -> Result<Vec<QueueDepth>, Error> {
        letters::depths(self.desk()).await
    }

    /// Reads up to `limit` messages of a letter box from its front and leaves them there. Meanwhile its
    /// consumers don't get them.
    pub async fn browse(&self, letter_box: LetterBox, limit: usize) -> Result<Vec<Letter>, Error> {
        Ok(self.take_up(letter_box, limit).await?.put_back().await)
    }

    /// Takes up to `limit` letters from the front of a box, for an operator who decides which of them to remove. Letters
    /// that come meanwhile are not among them.
    pub async fn take_up(&self, letter_box: LetterBox, limit: usize) -> Result<Pile, Error> {
        letters::take_up(self.desk(), letter_box, limit).await
    }

    fn desk(&self) -> Desk<'_> {
        Desk {
            link: &self.shared.link,
            topology: &self.shared.topology,
            trust: &self.shared.trust,
            timeout: self.shared.limits.connect_timeout,
        }
    }
}

fn user(endpoints: &[AMQPUri]) -> ShortString {
    let user = endpoints.first().map(|endpoint| endpoint.authority.userinfo.username.clone());
    // RabbitMQ's own user names are short strings too, so a longer one can't log in anyway.
    user.and_then(|user| ShortString::try_new(user).ok()).unwrap_or_default()
}
