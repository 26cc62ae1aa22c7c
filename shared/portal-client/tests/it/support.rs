//! A portal, and the hand of the fleet that writes its outcomes.

use std::time::Duration;

use fleet_domain::{ChallengeId, PortalName, Purpose, Timestamp, UserId};
use fleet_keys::{Keys, new_signing_key};
use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_outcomes::{Outcomes, Told};
use fleet_portal_client::{ChallengeResult, Outcome, PortalClient, PortalSettings, Progress, Reason};
use fleet_telemetry::Metrics;
use fleet_testkit::{amqp_url, redis_url, unique_name};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Fleet and portal under names of their own.
pub(crate) struct Stage {
    pub(crate) outcomes: Outcomes,
    pub(crate) portal: PortalClient,
    pub(crate) settings: PortalSettings,
    pub(crate) context: Context,
}

/// Waits for what has no event to wait for.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let wait = async {
        while !holds() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("never came true");
}

/// Who the tests are to RabbitMQ.
pub(crate) fn portal_name() -> PortalName {
    let url = amqp_url();
    let (user, _) = url.split_once("//").and_then(|(_, rest)| rest.split_once(':')).unwrap();
    PortalName::parse(user).unwrap()
}

impl Stage {
    pub(crate) fn set() -> Self {
        Self::with_redis(&redis_url())
    }

    /// The portal, but not the fleet, reads under this URL.
    pub(crate) fn with_redis(portal_redis: &str) -> Self {
        let stop = Stop::new();
        let context = Context { tasks: Tasks::new(stop.clone()), stop, clock: Clock::system() };
        let mut settings = PortalSettings::new(portal_name(), &amqp_url(), portal_redis)
            .verifying(Keys::for_tests().outcome_jwk());
        settings.broker_namespace = unique_name("t");
        settings.key_prefix.clone_from(&settings.broker_namespace);
        let outcomes = writer(&settings, Keys::for_tests(), &context);
        let portal = PortalClient::start(&settings, &context, &Metrics::new()).unwrap();
        Self { outcomes, portal, settings, context }
    }

    pub(crate) fn new_id(&self) -> ChallengeId {
        self.portal.draft(UserId::parse("avery.lee").unwrap()).id()
    }

    /// Tells an outcome as the fleet does.
    pub(crate) async fn tell(&self, outcome: &Outcome) {
        self.outcomes.tell(told(outcome)).await.unwrap();
    }

    /// Another fleet's hand, whose signature is worth nothing to the portal.
    pub(crate) fn forger(&self) -> Outcomes {
        let master = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let settings = fleet_settings::Settings::load_from(
            &[fleet_keys::DEFAULTS],
            None,
            [("FLEET_KEYS__MASTER", master), ("FLEET_KEYS__OUTCOME_SIGNING_KEY", &new_signing_key())]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter(),
        );
        let keys = Keys::from_settings(&settings.unwrap().section("keys").unwrap()).unwrap();
        writer(&self.settings, keys, &self.context)
    }

    /// Stops everything; all tasks must end by themselves.
    pub(crate) async fn end(self) {
        self.context.stop.request_soft();
        drop((self.outcomes, self.portal));
        assert!(self.context.tasks.wait(PATIENCE).await, "tasks did not end");
        assert!(!self.context.tasks.any_failed(), "a task failed");
    }
}

fn writer(settings: &PortalSettings, keys: Keys, context: &Context) -> Outcomes {
    let mut outcomes = fleet_outcomes::Settings::for_url(redis_url().as_str().into()).unwrap();
    outcomes.key_prefix.clone_from(&settings.key_prefix);
    // A busy machine must not fail a test of something else.
    (outcomes.command_timeout, outcomes.connect_timeout) = (Duration::from_secs(20), Duration::from_secs(20));
    Outcomes::start(outcomes, keys, &context.tasks, &Metrics::new()).unwrap()
}

/// Now, to the millisecond, as outcomes tell times.
fn now() -> Timestamp {
    Timestamp::from_micros(Clock::system().now().as_millis() * 1000)
}

/// An outcome that is pending.
pub(crate) fn pending(id: ChallengeId, seq: u32) -> Outcome {
    Outcome {
        seq,
        result: ChallengeResult::Pending,
        progress: Progress::Ringing,
        reason: None,
        retry_after_s: None,
        assurance: None,
        purpose: Purpose::SignIn,
        challenge_id: id,
        portal: portal_name(),
        attempts: Vec::new(),
        caller_id: None,
        skipped: Vec::new(),
        alternatives: Vec::new(),
        help: None,
        answer_by: now().plus(Duration::from_mins(1)),
        collect_by: now().plus(Duration::from_mins(2)),
        poll_after_ms: 500,
    }
}

pub(crate) fn approved(id: ChallengeId, seq: u32) -> Outcome {
    Outcome {
        result: ChallengeResult::Approved,
        progress: Progress::Ended,
        reason: Some(Reason::OkKey),
        poll_after_ms: 0,
        ..pending(id, seq)
    }
}

pub(crate) fn told(outcome: &Outcome) -> Told {
    Told {
        portal: outcome.portal.clone(),
        subject: outcome.challenge_id.into(),
        seq: outcome.seq,
        json: outcome.to_json(),
        terminal: outcome.result != ChallengeResult::Pending,
        collect_by: outcome.collect_by,
    }
}
