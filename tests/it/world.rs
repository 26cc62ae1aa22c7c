//! A whole fleet for one test: real RabbitMQ, Redis and PostgreSQL with names of its own, the simulator as
//! carrier, FCM, phones and apps, and services that are started and stopped like processes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use fleet_contracts::Outcome;
use fleet_domain::{
    Challenge, ChallengeId, ChallengeKey, Channel, DeviceId, PhoneKind, PhoneNumber, PhoneRole, Policy,
    Portal, PortalName, PushToken, Reason, UserId,
};
use fleet_engine::Assembly;
use fleet_keys::Keys;
use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_portal_client::{Draft, PortalClient, PortalSettings};
use fleet_records::testing::Scratch;
use fleet_records::{DeviceAlg, NewDevice, NewPhone, NewUser, Records};
use fleet_settings::Settings;
use fleet_telemetry::{Metrics, Readiness};
use serde_json::Value;

/// The portal of the tests: the RabbitMQ user of the private servers, so that the broker proves it.
pub(crate) const PORTAL: &str = "fleet";
/// How long an outcome is waited for, unless a test says otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
const MASTER: &str = "6d6173746572206b65792066726f6d20746865207465737473206f6e6c7921212121";
const ENROLLMENT_KEY: &str = "656e726f6c6c6d656e74206b65792066726f6d20746865207465737473212121";
/// How much faster than life the simulator is.
const SPEED: &str = "20";

/// One service of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Voice,
    Push,
    Enrollment,
    Gateway,
}

pub(crate) const ALL: [Service; 4] = [Service::Voice, Service::Push, Service::Enrollment, Service::Gateway];

pub(crate) struct World {
    pub(crate) records: Records,
    pub(crate) portal: PortalClient,
    pub(crate) simulator_url: String,
    pub(crate) environment: Vec<(String, String)>,
    context: Context,
    folder: PathBuf,
    /// How the challenges of this test ended.
    ends: Mutex<BTreeSet<Reason>>,
    /// Last, so that the schema outlives what uses it.
    pub(crate) scratch: Scratch,
}

/// Services that run until they are stopped.
pub(crate) struct Running {
    pub(crate) assembly: Assembly,
    context: Context,
}

impl Running {
    /// The sum of a counter's series that have all these labels, such as `queue="control"`.
    pub(crate) fn count(&self, name: &str, labels: &[&str]) -> u64 {
        let page = self.assembly.metrics.render();
        let series = page.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        let wanted = series.filter(|line| labels.iter().all(|label| line.contains(label)));
        wanted.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }

    /// A soft stop, as SIGTERM asks for it; says whether everything ended within the grace period.
    pub(crate) async fn stop(self) -> bool {
        let Self { assembly, context } = self;
        drop(assembly);
        context.stop.request_soft();
        context.tasks.wait(Duration::from_secs(30)).await
    }
}

fn context() -> Context {
    let stop = Stop::new();
    Context { stop: stop.clone(), tasks: Tasks::new(stop), clock: Clock::system() }
}

impl World {
    /// People and devices are the simulator's `people` file; users are stored from the same names.
    pub(crate) async fn new(people: &str) -> Self {
        fleet_keys::install_tls_provider();
        let scratch = Scratch::new().await;
        let name =
            scratch.settings().schema.trim_start_matches("scratch_").chars().take(12).collect::<String>();
        let folder = std::env::temp_dir().join(format!("fleet-it-{name}"));
        std::fs::create_dir_all(&folder).unwrap();
        let people_file = folder.join("people.toml");
        std::fs::write(&people_file, people).unwrap();
        let (gateway, context) = (format!("127.0.0.1:{}", fleet_testkit::free_port()), context());
        let gateway_url = format!("http://{gateway}");
        let simulator_url = start_simulator(&context, &folder, &gateway_url).await;
        let credentials = folder.join("fcm.json");
        fleet_simulator::write_credentials(&credentials, "demo-mfa", &simulator_url).unwrap();
        let environment = [
            ("FLEET_TELEMETRY__LISTEN", "127.0.0.1:0".to_owned()),
            ("FLEET_KEYS__MASTER", MASTER.into()),
            ("FLEET_KEYS__OUTCOME_SIGNING_KEY", signing_key()),
            ("FLEET_ENROLLMENT_KEYS__CURRENT", ENROLLMENT_KEY.into()),
            ("AMQP_URL", fleet_testkit::amqp_url()),
            ("REDIS_URL", fleet_testkit::redis_url()),
            ("DATABASE_URL", fleet_testkit::database_url()),
            ("FLEET_RECORDS__SCHEMA", scratch.settings().schema.clone()),
            ("FLEET_RECORDS__POOL_SIZE", "6".into()),
            ("FLEET_BROKER__NAMESPACE", name.clone()),
            ("FLEET_OUTCOMES__KEY_PREFIX", format!("t-{name}")),
            ("FLEET_ENGINE__PUBLIC_URL", gateway_url.clone()),
            ("FLEET_GATEWAY__LISTEN", gateway),
            ("FLEET_TWILIO__BASE_URL", simulator_url.clone()),
            ("FLEET_TWILIO__ACCOUNT_SID", "AC00000000000000000000000000000001".into()),
            ("FLEET_TWILIO__AUTH_TOKEN", "simulator-auth-token".into()),
            ("FLEET_TWILIO__CALLS_PER_SECOND", "10000".into()),
            ("FLEET_TWILIO__CALLER_IDS", "[\"+19195550100\"]".into()),
            ("FLEET_FCM__BASE_URL", simulator_url.clone()),
            ("FLEET_FCM__CREDENTIALS", credentials.display().to_string()),
        ];
        let environment: Vec<(String, String)> =
            environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let records = {
            let all = settings(&environment);
            let keys = Keys::from_settings(&all.section("keys").unwrap()).unwrap();
            let section = all.section("records").unwrap();
            Records::start(section, keys, &context, &Metrics::new(), &Readiness::new()).await.unwrap()
        };
        let portal = {
            let mut client = PortalSettings::new(
                PortalName::parse(PORTAL).unwrap(),
                &fleet_testkit::amqp_url(),
                &fleet_testkit::redis_url(),
            );
            client.broker_namespace.clone_from(&name);
            client.key_prefix = format!("t-{name}");
            client.outcome_jwk = Some(keys(&environment).outcome_jwk());
            PortalClient::start(&client, &context, &Metrics::new()).unwrap()
        };
        let ends = Mutex::default();
        let world = Self { records, portal, simulator_url, environment, context, folder, ends, scratch };
        world.register(Policy { approve_only: true, ring_s: 20, prompts: 2, ..Policy::default() }).await;
        world
    }

    /// The gateway's base URL.
    pub(crate) fn gateway_url(&self) -> &str {
        let url = self.environment.iter().find(|(name, _)| name == "FLEET_ENGINE__PUBLIC_URL");
        url.map(|(_, url)| url.as_str()).unwrap()
    }

    /// A file of this test alone.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Registers the tests' portal with this policy.
    pub(crate) async fn register(&self, policy: Policy) {
        let portal = Portal {
            name: PortalName::parse(PORTAL).unwrap(),
            title: "Operations Portal".into(),
            audiences: vec!["staff".into()],
            policy,
        };
        self.records.put_portal(&portal).await.unwrap();
    }

    /// The tests' portal as it is registered.
    pub(crate) fn portal_record(&self) -> Portal {
        (*self.records.portal(&PortalName::parse(PORTAL).unwrap()).unwrap()).clone()
    }

    /// The fleet's keys.
    pub(crate) fn keys(&self) -> Keys {
        keys(&self.environment)
    }

    /// Stores a user who is called at `number`.
    pub(crate) async fn caller(&self, id: &str, number: &str) -> UserId {
        let phone = NewPhone {
            role: PhoneRole::Primary,
            kind: PhoneKind::Mobile,
            number: PhoneNumber::parse(number).unwrap(),
            extension: None,
            verified: true,
        };
        self.user(id, Channel::Voice, vec![phone], Vec::new()).await
    }

    /// Stores a user with these devices: id, public key, push token.
    pub(crate) async fn app_user(&self, id: &str, devices: &[(&str, &str)]) -> UserId {
        let public_key = swarm_public_key();
        let devices = devices.iter().map(|(device, token)| NewDevice {
            id: DeviceId::parse(device).unwrap(),
            alg: DeviceAlg::Es256,
            public_key: public_key.clone(),
            push_token: Some(PushToken::new((*token).to_owned())),
            totp: None,
        });
        self.user(id, Channel::Push, Vec::new(), devices.collect()).await
    }

    pub(crate) async fn user(
        &self,
        id: &str,
        method: Channel,
        phones: Vec<NewPhone>,
        devices: Vec<NewDevice>,
    ) -> UserId {
        let id = UserId::parse(id).unwrap();
        let user = NewUser { id: id.clone(), audience: "staff".into(), method, phones, devices };
        self.records.put_user(&user).await.unwrap();
        id
    }

    /// Starts services in one process of their own: their own connections, their own stop.
    pub(crate) async fn start(&self, services: &[Service]) -> Running {
        let context = context();
        let all = settings(&self.environment);
        let assembly = fleet_engine::assemble(context.clone(), &all).await.unwrap();
        for service in services {
            match service {
                Service::Voice => fleet_voice_worker::start(&assembly, &all).unwrap(),
                Service::Push => fleet_push_worker::start(&assembly, &all).unwrap(),
                Service::Enrollment => fleet_enrollment_worker::start(&assembly, &all).unwrap(),
                Service::Gateway => fleet_gateway::start(&assembly, &all).await.unwrap(),
            }
        }
        Running { assembly, context }
    }

    /// Publishes until a queue takes it: the fleet declares its queues while it starts.
    pub(crate) async fn ask(&self, draft: &Draft) -> ChallengeId {
        for _ in 0..200 {
            match self.portal.challenge(draft).await {
                Ok(id) => return id,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        panic!("no queue takes the request")
    }

    /// The final outcome.
    pub(crate) async fn outcome(&self, id: ChallengeId) -> Outcome {
        self.outcome_within(id, PATIENCE).await
    }

    /// The final outcome of a challenge that may take longer.
    pub(crate) async fn outcome_within(&self, id: ChallengeId, patience: Duration) -> Outcome {
        let outcome = self.portal.wait(id, patience).await.unwrap_or_else(|error| panic!("{id}: {error}"));
        self.ends.lock().unwrap().extend(outcome.reason);
        outcome
    }

    /// Asks for a challenge of this user by the user's own method, and waits for its outcome.
    pub(crate) async fn challenge(&self, user: &UserId) -> Outcome {
        let id = self.ask(&self.portal.draft(user.clone())).await;
        self.outcome(id).await
    }

    /// Changes a setting of services that are started from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Moves the fleet's clock to this many seconds after the real one.
    pub(crate) async fn shift_clock(&self, seconds: u64) {
        let clock = format!(
            "CREATE OR REPLACE FUNCTION fleet_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
             AS 'SELECT clock_timestamp() + {seconds} * interval ''1 s'''"
        );
        self.scratch.sql(&clock).await;
    }

    /// The challenge as it is stored.
    pub(crate) async fn stored(&self, id: ChallengeId) -> Option<Challenge> {
        let key = ChallengeKey { id, portal: PortalName::parse(PORTAL).unwrap() };
        self.records.load(&key).await.unwrap().map(|stored| stored.challenge)
    }

    /// Everything in the simulator's log of this fact.
    pub(crate) async fn facts(&self, fact: &str) -> Vec<Value> {
        let url = format!("{}/sim/log?limit=1000000", self.simulator_url);
        let client = reqwest::Client::builder().build().unwrap();
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["fact"] == fact).collect()
    }

    /// Makes the simulator fail as told: the body of `POST /sim/faults`.
    pub(crate) async fn faults(&self, body: &Value) {
        let client = reqwest::Client::builder().build().unwrap();
        let url = format!("{}/sim/faults", self.simulator_url);
        client.post(url).json(body).send().await.unwrap().error_for_status().unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.context.stop.request_soft();
        let _ = std::fs::remove_dir_all(&self.folder);
        if !std::thread::panicking() {
            crate::reasons::settle(&self.ends.lock().unwrap());
        }
    }
}

/// Polls until it holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not come true in 20 s")
}

fn settings(environment: &[(String, String)]) -> Settings {
    let mut defaults = fleet_engine::SHARED_DEFAULTS.to_vec();
    let services = [
        &fleet_voice_worker::DEFAULTS[..],
        &fleet_push_worker::DEFAULTS[..],
        &fleet_enrollment_worker::DEFAULTS[..],
        &fleet_gateway::DEFAULTS[..],
    ];
    for section in services.concat() {
        if !defaults.contains(&section) {
            defaults.push(section);
        }
    }
    Settings::load_from(&defaults, None, environment.iter().cloned()).unwrap()
}

pub(crate) fn keys(environment: &[(String, String)]) -> Keys {
    Keys::from_settings(&settings(environment).section("keys").unwrap()).unwrap()
}

/// The keys that open sealed boxes.
pub(crate) fn enrollment_keys(environment: &[(String, String)]) -> fleet_keys::EnrollmentKeys {
    let section = settings(environment).section("enrollment_keys").unwrap();
    fleet_keys::EnrollmentKeys::from_settings(&section).unwrap()
}

/// One key for the whole run: outcomes are signed by each of the fleet's processes.
fn signing_key() -> String {
    static KEY: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    KEY.get_or_init(fleet_keys::new_signing_key).clone()
}

fn swarm_public_key() -> Vec<u8> {
    decoded(&fleet_simulator::swarm_public_key().unwrap())
}

/// The bytes of a public key as the simulator writes it.
pub(crate) fn decoded(public_key: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(public_key).unwrap()
}

async fn start_simulator(context: &Context, folder: &std::path::Path, gateway_url: &str) -> String {
    let environment = [
        ("FLEET_SIMULATOR__LISTEN", "127.0.0.1:0".to_owned()),
        ("FLEET_SIMULATOR__PEOPLE", folder.join("people.toml").display().to_string()),
        ("FLEET_SIMULATOR__LOG", folder.join("calls.jsonl").display().to_string()),
        ("FLEET_SIMULATOR__SPEED", SPEED.into()),
        ("FLEET_SIMULATOR__APP_URL", gateway_url.to_owned()),
        ("FLEET_SIMULATOR__DEVICE_SWARM", "100000".into()),
    ];
    let all = Settings::load_from(
        &[fleet_simulator::DEFAULTS],
        None,
        environment.into_iter().map(|(name, value)| (name.to_owned(), value)),
    )
    .unwrap();
    let settings: fleet_simulator::Settings = all.section("simulator").unwrap();
    let bound = fleet_simulator::start(&settings, context, &Metrics::new()).await.unwrap();
    format!("http://{bound}")
}
