//! Running the program, and a fleet that answers every request at once.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fleet_broker::{Broker, Delivery, Handler, Queue, Verdict};
use fleet_contracts::{Message, Outcome};
use fleet_domain::{ChallengeResult, Progress, Purpose, Reason, Timestamp};
use fleet_keys::Keys;
use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_outcomes::{Outcomes, Told};
use fleet_telemetry::{Metrics, Readiness};
use fleet_testkit::{amqp_url, redis_url, unique_name};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The program with an environment of its own.
pub(crate) struct Program {
    environment: Vec<(String, String)>,
}

/// How the program ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Program {
    pub(crate) fn with(environment: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { environment: environment.iter().map(owned).collect() }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleetctl"));
        command.args(arguments).env_clear().stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the program to its end, while the runtime goes on.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output());
        Ended::from(tokio::time::timeout(PATIENCE, output).await.expect("it ends").unwrap().unwrap())
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// A fleet without people: each user's name is the reason for which their challenges end.
pub(crate) struct Fleet {
    pub(crate) namespace: String,
    context: Context,
    readiness: Readiness,
    pub(crate) broker: Broker,
}

struct Answer {
    outcomes: Outcomes,
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        let stop = Stop::new();
        let context = Context { tasks: Tasks::new(stop.clone()), stop, clock: Clock::system() };
        let namespace = unique_name("t");
        let mut broker_settings = fleet_broker::Settings::for_urls(vec![amqp_url().into()]).unwrap();
        broker_settings.namespace.clone_from(&namespace);
        let mut outcomes_settings = fleet_outcomes::Settings::for_url(redis_url().into()).unwrap();
        outcomes_settings.key_prefix.clone_from(&namespace);
        outcomes_settings.command_timeout = Duration::from_secs(20);
        let (metrics, readiness) = (Metrics::new(), Readiness::new());
        let outcomes =
            Outcomes::start(outcomes_settings, Keys::for_tests(), &context.tasks, &metrics).unwrap();
        let broker = Broker::start(&broker_settings, &context, &metrics, &readiness).unwrap();
        broker.consume(Queue::ChallengeDefault, 1, Answer { outcomes: outcomes.clone() });
        broker.consume(Queue::ChallengeVoice, 1, Answer { outcomes });
        let fleet = Self { namespace, context, readiness, broker };
        fleet.ready().await;
        fleet
    }

    async fn ready(&self) {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        let wait = async {
            while !self.readiness.is_ready() {
                tick.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the fleet connects");
    }

    /// The program as the portal of the tests' own RabbitMQ user.
    pub(crate) fn program(&self) -> Program {
        Program::with(&[
            ("AMQP_URL", &amqp_url()),
            ("REDIS_URL", &redis_url()),
            ("PORTAL_AMQP_URLS", &format!("{}={}", portal(), amqp_url())),
            ("FLEET_BROKER__NAMESPACE", &self.namespace),
            ("FLEET_OUTCOMES__KEY_PREFIX", &self.namespace),
        ])
    }

    pub(crate) async fn stop(self) {
        self.context.stop.request_soft();
        assert!(self.context.tasks.wait(PATIENCE).await, "tasks did not end");
    }
}

impl Handler for Answer {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        let envelope = fleet_contracts::parse(&delivery.body).unwrap();
        let Message::ChallengeRequested(request) = envelope.event.message else { return Verdict::Done };
        let portal = delivery.sender.portal().unwrap().clone();
        // To the millisecond, as outcomes tell times.
        let now = Timestamp::from_micros(Clock::system().now().as_millis() * 1000);
        let queued = Outcome {
            seq: 1,
            result: ChallengeResult::Pending,
            progress: Progress::Ringing,
            reason: None,
            retry_after_s: None,
            assurance: None,
            purpose: Purpose::SignIn,
            challenge_id: request.challenge_id,
            portal,
            attempts: Vec::new(),
            caller_id: None,
            skipped: Vec::new(),
            alternatives: Vec::new(),
            help: None,
            answer_by: now.plus(PATIENCE),
            collect_by: now.plus(PATIENCE * 2),
            poll_after_ms: 500,
        };
        self.tell(&queued).await;
        if let Some(reason) = Reason::parse(request.user_id.as_str()) {
            let (result, progress) = (reason.result(), Progress::Ended);
            self.tell(&Outcome { seq: 2, result, progress, reason: Some(reason), ..queued }).await;
        }
        Verdict::Done
    }
}

impl Answer {
    async fn tell(&self, outcome: &Outcome) {
        let told = Told {
            portal: outcome.portal.clone(),
            subject: outcome.challenge_id.into(),
            seq: outcome.seq,
            json: outcome.to_json(),
            terminal: outcome.result != ChallengeResult::Pending,
            collect_by: outcome.collect_by,
        };
        self.outcomes.tell(told).await.unwrap();
    }
}

/// Who the tests are to RabbitMQ.
pub(crate) fn portal() -> String {
    let url = amqp_url();
    let (user, _) = url.split_once("//").and_then(|(_, rest)| rest.split_once(':')).unwrap();
    user.to_owned()
}
