//! A visit at the fleet's own servers: what their clients need to run in, ended when the command has its answer.

use std::time::Duration;

use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_telemetry::{Metrics, Readiness};

use crate::error::{Error, Server};
use crate::settings::Sections;

/// How long connections may take to close.
const GOODBYE: Duration = Duration::from_secs(2);

/// What clients run in. Nobody reads the metrics.
pub(crate) struct Session {
    pub(crate) context: Context,
    metrics: Metrics,
    readiness: Readiness,
}

impl Session {
    /// Nothing is connected yet.
    pub(crate) fn new() -> Self {
        let stop = Stop::new();
        Self {
            context: Context { tasks: Tasks::new(stop.clone()), stop, clock: Clock::system() },
            metrics: Metrics::new(),
            readiness: Readiness::new(),
        }
    }

    /// RabbitMQ under the fleet's user.
    pub(crate) fn broker(&self, sections: &Sections) -> Result<fleet_broker::Broker, Error> {
        let settings = sections.broker()?;
        fleet_broker::Broker::start(&settings, &self.context, &self.metrics, &self.readiness)
            .map_err(broker_error)
    }

    /// PostgreSQL.
    pub(crate) async fn records(&self, sections: &Sections) -> Result<fleet_records::Records, Error> {
        let (settings, keys) = (sections.records()?, sections.keys()?);
        fleet_records::Records::start(settings, keys, &self.context, &self.metrics, &self.readiness)
            .await
            .map_err(|error| records_error(&error))
    }

    /// An engine on all three servers. Only PostgreSQL need be there.
    pub(crate) async fn engine(&self, sections: &Sections) -> Result<fleet_engine::Engine, Error> {
        let (keys, outcomes) = (sections.keys()?, sections.fleets_outcomes()?);
        let outcomes =
            fleet_outcomes::Outcomes::start(outcomes, keys.clone(), &self.context.tasks, &self.metrics)
                .map_err(|refused| Error::Setting(Error::chain(&refused)))?;
        let parts = fleet_engine::Parts {
            records: self.records(sections).await?,
            outcomes,
            publisher: self.broker(sections)?.publisher(),
            keys,
        };
        Ok(fleet_engine::Engine::new(sections.engine()?, parts, &self.context, &self.metrics))
    }

    /// Closes the connections.
    pub(crate) async fn end(self) {
        self.context.stop.request_soft();
        self.context.tasks.wait(GOODBYE).await;
    }
}

/// What RabbitMQ's answer means here.
#[expect(clippy::needless_pass_by_value, reason = "it is used to map errors")]
pub(crate) fn broker_error(error: fleet_broker::Error) -> Error {
    match &error {
        fleet_broker::Error::Setting(refused) => Error::Setting(refused.to_string()),
        fleet_broker::Error::NotConnected
        | fleet_broker::Error::TimedOut
        | fleet_broker::Error::Broker(_) => {
            Error::Unavailable { server: Server::RabbitMq, problem: Error::chain(&error) }
        }
    }
}

/// What keeps an engine from its work.
pub(crate) fn engine_error(error: &fleet_engine::Error) -> Error {
    match error {
        fleet_engine::Error::Records(error) => records_error(error),
        fleet_engine::Error::HandOver(_) => {
            Error::Unavailable { server: Server::RabbitMq, problem: Error::chain(error) }
        }
        fleet_engine::Error::Contended(_)
        | fleet_engine::Error::Unknown
        | fleet_engine::Error::UnknownPortal
        | fleet_engine::Error::PortalsNotLoaded => {
            Error::Forbidden { server: Server::PostgreSql, problem: Error::chain(error) }
        }
    }
}

/// What PostgreSQL's answer means here.
pub(crate) fn records_error(error: &fleet_records::Error) -> Error {
    let problem = Error::chain(error);
    let server = Server::PostgreSql;
    match error {
        fleet_records::Error::Setting(_) => Error::Setting(problem),
        fleet_records::Error::Unavailable { .. } => Error::Unavailable { server, problem },
        fleet_records::Error::Rejected(_)
        | fleet_records::Error::Corrupt(_)
        | fleet_records::Error::Migration(_) => Error::Forbidden { server, problem },
    }
}
