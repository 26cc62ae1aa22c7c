//! Asking, calling off, and what became of it.

use std::{sync::Arc, time::Duration};

use fleet_broker::{Broker, Publisher};
use fleet_contracts::{OneTimeCode, Outcome};
use fleet_domain::{ChallengeId, ChallengeResult, PortalName, UserId};
use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_outcomes::Watcher;
use fleet_telemetry::Metrics;
use tokio::time::timeout;

use crate::{
    Error, PortalSettings,
    draft::{self, Draft},
    outcome::Authentic,
    watch::Watch,
};

/// A portal's access to the fleet. Clones share their connections, one to RabbitMQ and two to Redis.
#[derive(Clone)]
pub struct PortalClient {
    /// First, because it is dropped first: tasks that end before their stop is asked for count as failed.
    _own_tasks: Option<Arc<StopOnDrop>>,
    pub(crate) publisher: Publisher,
    pub(crate) watcher: Watcher,
    pub(crate) authentic: Arc<Authentic>,
    pub(crate) clock: Clock,
}

impl PortalClient {
    /// Starts to connect, in tasks that end when the last clone is dropped, and returns at once.
    pub fn connect(settings: &PortalSettings) -> Result<Self, Error> {
        let stop = Stop::new();
        let context = Context { tasks: Tasks::new(stop.clone()), stop: stop.clone(), clock: Clock::system() };
        let client = Self::start(settings, &context, &Metrics::new())?;
        Ok(Self { _own_tasks: Some(Arc::new(StopOnDrop(stop))), ..client })
    }

    /// The same for a service that has tasks and metrics already. It keeps a clone until its stop.
    pub fn start(settings: &PortalSettings, context: &Context, metrics: &Metrics) -> Result<Self, Error> {
        fleet_keys::install_tls_provider();
        let publisher = Broker::portal(&settings.broker()?, context, metrics).map_err(Error::settings)?;
        let watcher = Watcher::start(&settings.outcomes()?, &context.tasks).map_err(Error::settings)?;
        let authentic = Authentic { portal: settings.portal.clone(), jwk: settings.outcome_jwk.clone() };
        Ok(Self {
            _own_tasks: None,
            publisher,
            watcher,
            authentic: Arc::new(authentic),
            clock: context.clock.clone(),
        })
    }

    /// The portal that asks.
    pub fn portal(&self) -> &PortalName {
        &self.authentic.portal
    }

    /// A challenge of this user, to be completed and given to `challenge`.
    pub fn draft(&self, user: UserId) -> Draft {
        Draft::new(user, self.clock.now())
    }

    /// Asks for the challenge and returns once RabbitMQ has stored the request. From then on it ends by its deadline.
    pub async fn challenge(&self, draft: &Draft) -> Result<ChallengeId, Error> {
        let message = draft.message(self.portal()).map_err(Error::Invalid)?;
        self.publisher.publish(message).await.map_err(Error::NotConfirmed)?;
        Ok(draft.id())
    }

    /// Calls the challenge off, and returns once RabbitMQ has stored that. An end that came first stands.
    pub async fn cancel(&self, id: ChallengeId) -> Result<(), Error> {
        let message = draft::cancel(self.portal(), id, self.clock.now()).map_err(Error::Invalid)?;
        self.publisher.publish(message).await.map_err(Error::NotConfirmed)
    }

    /// Hands on a code that the person has typed, and returns once RabbitMQ has stored it. Each call is a try; what came of it is
    /// in the outcome: its end, or one more of `wrong_codes` in its last attempt.
    pub async fn enter_code(&self, id: ChallengeId, code: &OneTimeCode) -> Result<(), Error> {
        let message = draft::code(self.portal(), (id, code.clone()), self.clock.now());
        self.publisher.publish(message.map_err(Error::Invalid)?).await.map_err(Error::NotConfirmed)
    }

    /// Has the challenge's push sent once more, and returns once RabbitMQ has stored that. A challenge has one re-send;
    /// asked for when it is not due, nothing happens.
    pub async fn resend(&self, id: ChallengeId) -> Result<(), Error> {
        let message = draft::resend(self.portal(), id, self.clock.now()).map_err(Error::Invalid)?;
        self.publisher.publish(message).await.map_err(Error::NotConfirmed)
    }

    /// The outcome as it is now. `None` means "not known yet", never denied or approved.
    pub async fn outcome(&self, id: ChallengeId) -> Result<Option<Outcome>, Error> {
        match self.watcher.get(self.portal(), id).await {
            Ok(Some(document)) => self.authentic.read(id, &document).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(Error::Unreadable(error)),
        }
    }

    /// Every change from now on, up to the end.
    pub fn watch(&self, id: ChallengeId) -> Watch {
        Watch::new(self.clone(), self.watcher.subscribe(self.portal(), id), id)
    }

    /// The final outcome. `patience` should reach 5 s past the challenge's `answer_by`: what has not ended by then, does not end
    /// with an approval.
    pub async fn wait(&self, id: ChallengeId, patience: Duration) -> Result<Outcome, Error> {
        let mut watch = self.watch(id);
        let end = async {
            while let Some(outcome) = watch.next().await {
                match outcome {
                    Ok(outcome) if outcome.result == ChallengeResult::Pending => {}
                    final_or_error => return final_or_error,
                }
            }
            Err(Error::Unanswered)
        };
        timeout(patience, end).await.unwrap_or(Err(Error::Unanswered))
    }
}

/// Ends the tasks that `connect` started.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.request_soft();
    }
}
