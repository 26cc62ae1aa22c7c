#![doc = include_str!("../README.md")]

mod accept;
mod allocator;
mod apply;
mod assembly;
mod codes;
mod control;
mod dead;
mod error;
mod hand_over;
mod happened;
mod links;
mod metrics;
mod owed_work;
mod retell;
mod retries;
mod settings;
mod sweep;
mod tell;
mod tests_of_enrollments;
mod wishes;

use std::sync::Arc;

use fleet_broker::Publisher;
use fleet_domain::Timestamp;
use fleet_keys::Keys;
use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_outcomes::Outcomes;
use fleet_records::Records;
use fleet_telemetry::Metrics;

pub use accept::{Accepted, Begin};
pub use apply::{Applied, Apply};
pub use assembly::{Assembly, SHARED_DEFAULTS, assemble, serve};
pub use codes::CodeHandler;
pub use control::ControlHandler;
pub use dead::DeadHandler;
pub use error::Error;
pub use links::Links;
pub use owed_work::owed_verdict;
pub use settings::{DEFAULTS, Settings};
pub use sweep::Hands;

/// Carries challenges on: what workers and gateway share. Clones share everything.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    records: Records,
    outcomes: Outcomes,
    publisher: Publisher,
    keys: Keys,
    links: Links,
    clock: Clock,
    stop: Stop,
    tasks: Tasks,
    metrics: metrics::EngineMetrics,
}

/// The outside systems that an engine works on.
pub struct Parts {
    /// PostgreSQL.
    pub records: Records,
    /// Redis.
    pub outcomes: Outcomes,
    /// RabbitMQ.
    pub publisher: Publisher,
    /// The fleet's keys.
    pub keys: Keys,
}

impl Engine {
    /// Joins the parts.
    pub fn new(settings: Settings, parts: Parts, context: &Context, metrics: &Metrics) -> Self {
        let links = Links::new(settings.public_url.clone(), parts.keys.clone());
        Self {
            inner: Arc::new(Inner {
                settings,
                records: parts.records,
                outcomes: parts.outcomes,
                publisher: parts.publisher,
                keys: parts.keys,
                links,
                clock: context.clock.clone(),
                stop: context.stop.clone(),
                tasks: context.tasks.clone(),
                metrics: metrics::EngineMetrics::new(metrics),
            }),
        }
    }

    /// The time that decides: the database's.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The URLs that providers and apps are given.
    pub fn links(&self) -> &Links {
        &self.inner.links
    }

    /// The database.
    pub fn records(&self) -> &Records {
        &self.inner.records
    }

    /// The fleet's keys.
    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    /// Runs something beside everything else; a soft stop waits for its end.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.inner.tasks.spawn_detail(name, work);
    }

    /// Redis.
    pub fn outcomes(&self) -> &Outcomes {
        &self.inner.outcomes
    }
}
