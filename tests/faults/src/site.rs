//! One deployment under test: a schema, queues and keys of its own on the private servers, the simulator as carrier,
//! FCM, phones and apps, a load balancer before the gateways, and fault proxies before the three stores.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fleet_broker::Broker;
use fleet_domain::{Channel, EnrollmentPolicy, PinRule, Policy, Portal, PortalName};
use fleet_faults::proxy::Proxy;
use fleet_keys::{EnrollmentKeys, EnrollmentPublicKey, Keys};
use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_portal_client::{PortalClient, PortalSettings};
use fleet_records::Records;
use fleet_settings::Settings;
use fleet_telemetry::{Metrics, Readiness};
use serde_json::Value;

use crate::people::{AUDIENCE, Pace, Person, script};
use crate::process::{Recipe, Service, defaults};
use crate::servers::{Servers, address, at};

/// The portal: the RabbitMQ user of the private servers, so that the broker proves it.
const PORTAL: &str = "fleet";
/// In the scenario's folder.
const SIMULATOR_LOG: &str = "calls.jsonl";
/// What the private deployment's numbers are sealed with.
const MASTER: &str = "6661756c74206861726e6573733a206e6f206b6579206f662061206c69766520666c656574";

/// The private key that opens what this portal seals.
const ENROLLMENT_KEY: &str = "656e726f6c6c6d656e74206b6579206f66207468652068617266616e65737373";

/// How a deployment is set up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan<'a> {
    /// What the report calls it; letters, digits and dashes.
    pub(crate) name: &'a str,
    pub(crate) people: &'a [Person],
    /// More phones, in the form of the simulator's `people` file.
    pub(crate) phones: &'a str,
    /// What the portal may change of its users; nothing unless given.
    pub(crate) enrollment: Option<&'a EnrollmentPolicy>,
    /// Whether calls ask for a PIN.
    pub(crate) pin: bool,
    pub(crate) pace: Pace,
    /// How much faster than life the simulator is.
    pub(crate) speed: u32,
    /// How long a phone rings, in seconds of life.
    pub(crate) ring_s: u8,
    pub(crate) gateways: usize,
    /// Whether devices answer; those that do not leave their challenges open.
    pub(crate) apps_answer: bool,
}

/// A deployment.
pub(crate) struct Site {
    pub(crate) name: String,
    pub(crate) portal: PortalClient,
    pub(crate) records: Records,
    /// As the portal is registered.
    pub(crate) registered: Portal,
    pub(crate) rabbitmq: Proxy,
    pub(crate) redis: Proxy,
    pub(crate) postgresql: Proxy,
    pub(crate) folder: PathBuf,
    /// Before the names of its queues and exchanges.
    pub(crate) namespace: String,
    tasks: Tasks,
    /// Straight to RabbitMQ, for looking.
    pub(crate) broker: Broker,
    simulator: SocketAddr,
    environment: Vec<(String, String)>,
    gateways: Vec<SocketAddr>,
    /// Before the gateways.
    _front: Proxy,
    stop: Stop,
}

impl Site {
    /// Sets everything up but the fleet's own processes.
    pub(crate) async fn open(plan: Plan<'_>, servers: &Servers, folder: &Path) -> anyhow::Result<Self> {
        let stop = Stop::new();
        let tasks = Tasks::new(stop.clone());
        let context = Context { stop: stop.clone(), tasks: tasks.clone(), clock: Clock::system() };
        let folder = folder.join(plan.name);
        make_way(&folder)?;
        std::fs::write(
            folder.join("people.toml"),
            format!("{}{}", script(plan.people, plan.pace), plan.phones),
        )?;

        let nodes = servers.amqp_url.split(',').map(address).collect::<anyhow::Result<Vec<_>>>()?;
        let rabbitmq = Proxy::start(nodes, &tasks).await?;
        let redis = Proxy::start(vec![address(&servers.redis_url)?], &tasks).await?;
        let postgresql = Proxy::start(vec![address(&servers.database_url)?], &tasks).await?;
        let gateways = (0..plan.gateways).map(|_| free_address()).collect::<anyhow::Result<Vec<_>>>()?;
        let front = Proxy::start(gateways.clone(), &tasks).await?;
        let front_url = format!("http://{}", front.address());
        let simulator = start_simulator(&context, plan, &folder, &front_url).await?;

        let namespace = format!("f{:07x}", u32::from_ne_bytes(fleet_keys::random_bytes()) >> 4);
        let environment = environment(&namespace, &front_url, simulator, &folder)?;
        // The fleet goes through the proxies; the portal and the auditor do not.
        let first_node = servers.amqp_url.split(',').next().unwrap_or_default();
        let through = [
            ("AMQP_URL", at(first_node, rabbitmq.address())?),
            ("REDIS_URL", at(&servers.redis_url, redis.address())?),
            ("DATABASE_URL", at(&servers.database_url, postgresql.address())?),
        ];
        let direct = [
            ("AMQP_URL", servers.amqp_url.clone()),
            ("REDIS_URL", servers.redis_url.clone()),
            ("DATABASE_URL", servers.database_url.clone()),
        ];
        let all = settings(&joined(&environment, direct))?;
        let keys = Keys::from_settings(&all.section("keys")?).map_err(|e| all.refuse(&e))?;
        let section: fleet_records::Settings = all.section("records")?;
        Records::migrate(&section).await?;
        let records =
            Records::start(section, keys.clone(), &context, &Metrics::new(), &Readiness::new()).await?;
        let registered = register(&records, plan).await?;
        let broker = Broker::start(&all.section("broker")?, &context, &Metrics::new(), &Readiness::new())?;
        let portal = client(&registered, servers, (&namespace, &keys));
        Ok(Self {
            name: plan.name.to_owned(),
            portal: PortalClient::start(&portal, &context, &Metrics::new())?,
            records,
            registered,
            rabbitmq,
            redis,
            postgresql,
            folder,
            namespace,
            broker,
            tasks,
            simulator,
            environment: joined(&environment, through),
            gateways,
            _front: front,
            stop,
        })
    }

    /// How to start so many workers, each by voice and push, and all gateways.
    pub(crate) fn recipes(&self, workers: usize) -> Vec<Recipe> {
        let workers = (1..=workers).map(|number| {
            self.recipe(&format!("worker-{number}"), &[Service::Voice, Service::Push], usize::MAX)
        });
        let gateways = (0..self.gateways.len())
            .map(|number| self.recipe(&format!("gateway-{}", number + 1), &[Service::Gateway], number));
        workers.chain(gateways).collect()
    }

    /// How to start a process of this deployment with these services. A gateway has a number, from 0.
    pub(crate) fn recipe(&self, name: &str, services: &[Service], gateway: usize) -> Recipe {
        let mut environment = self.environment.clone();
        if let Some(listen) = self.gateways.get(gateway) {
            environment.push(("FLEET_GATEWAY__LISTEN".into(), listen.to_string()));
        }
        Recipe { name: name.into(), services: services.to_vec(), environment, logs: self.folder.clone() }
    }

    /// The key to which this portal seals secrets.
    pub(crate) fn enrollment_key(&self) -> anyhow::Result<EnrollmentPublicKey> {
        let all = settings(&self.environment)?;
        let keys = EnrollmentKeys::from_settings(&all.section("enrollment_keys")?);
        Ok(keys.map_err(|e| all.refuse(&e))?.current())
    }

    /// The fleet's keys.
    pub(crate) fn keys(&self) -> anyhow::Result<Keys> {
        let all = settings(&self.environment)?;
        Keys::from_settings(&all.section("keys")?).map_err(|e| all.refuse(&e).into())
    }

    /// The schema in which this deployment keeps everything.
    pub(crate) fn schema(&self) -> String {
        format!("faults_{}", self.namespace)
    }

    /// The simulator's whole log, one fact after the other.
    pub(crate) async fn facts(&self) -> anyhow::Result<Vec<Value>> {
        let url = format!("http://{}/sim/log?limit=100000000", self.simulator);
        let client = reqwest::Client::builder().build()?;
        let text = client.get(url).send().await?.error_for_status()?.text().await?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Makes the simulator fail as told: the body of `POST /sim/faults`.
    pub(crate) async fn faults(&self, body: &Value) -> anyhow::Result<()> {
        let url = format!("http://{}/sim/faults", self.simulator);
        reqwest::Client::builder().build()?.post(url).json(body).send().await?.error_for_status()?;
        Ok(())
    }

    /// Has an app activated: the body of `POST /sim/apps`. Gives the gateway's status.
    pub(crate) async fn activate(&self, order: &Value) -> anyhow::Result<u16> {
        let url = format!("http://{}/sim/apps", self.simulator);
        Ok(reqwest::Client::builder().build()?.post(url).json(order).send().await?.status().as_u16())
    }

    /// Ends everything but the servers.
    pub(crate) async fn close(self) {
        self.stop.request_soft();
        self.tasks.wait(std::time::Duration::from_secs(5)).await;
    }
}

fn client(registered: &Portal, servers: &Servers, (namespace, keys): (&str, &Keys)) -> PortalSettings {
    let mut client = PortalSettings::new(registered.name.clone(), &servers.amqp_url, &servers.redis_url);
    namespace.clone_into(&mut client.broker_namespace);
    client.key_prefix = prefix(namespace);
    client.outcome_jwk = Some(keys.outcome_jwk());
    client
}

fn prefix(namespace: &str) -> String {
    format!("faults-{namespace}")
}

fn joined<const N: usize>(
    environment: &[(String, String)],
    more: [(&str, String); N],
) -> Vec<(String, String)> {
    let more = more.into_iter().map(|(name, value)| (name.to_owned(), value));
    environment.iter().cloned().chain(more).collect()
}

fn environment(
    namespace: &str,
    public_url: &str,
    simulator: SocketAddr,
    folder: &Path,
) -> anyhow::Result<Vec<(String, String)>> {
    let simulator_url = format!("http://{simulator}");
    let credentials = folder.join("fcm.json");
    fleet_simulator::write_credentials(&credentials, "demo-mfa", &simulator_url)?;
    let environment = [
        ("FLEET_TELEMETRY__LISTEN", "127.0.0.1:0".to_owned()),
        ("FLEET_KEYS__MASTER", MASTER.into()),
        ("FLEET_KEYS__OUTCOME_SIGNING_KEY", fleet_keys::new_signing_key()),
        ("FLEET_ENROLLMENT_KEYS__CURRENT", ENROLLMENT_KEY.into()),
        ("FLEET_RECORDS__SCHEMA", format!("faults_{namespace}")),
        ("FLEET_RECORDS__POOL_SIZE", "8".into()),
        ("FLEET_BROKER__NAMESPACE", namespace.to_owned()),
        ("FLEET_OUTCOMES__KEY_PREFIX", prefix(namespace)),
        ("FLEET_ENGINE__PUBLIC_URL", public_url.to_owned()),
        ("FLEET_TWILIO__BASE_URL", simulator_url.clone()),
        ("FLEET_TWILIO__ACCOUNT_SID", "AC00000000000000000000000000000001".into()),
        ("FLEET_TWILIO__AUTH_TOKEN", "simulator-auth-token".into()),
        ("FLEET_TWILIO__CALLS_PER_SECOND", "10000".into()),
        ("FLEET_TWILIO__CALLER_IDS", "[\"+19195550100\"]".into()),
        ("FLEET_FCM__BASE_URL", simulator_url),
        ("FLEET_FCM__CREDENTIALS", credentials.display().to_string()),
    ];
    Ok(environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn settings(environment: &[(String, String)]) -> anyhow::Result<Settings> {
    let mut sections = fleet_engine::SHARED_DEFAULTS.to_vec();
    for section in defaults() {
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    Ok(Settings::load_from(&sections, None, environment.iter().cloned())?)
}

async fn register(records: &Records, plan: Plan<'_>) -> anyhow::Result<Portal> {
    let policy = Policy {
        channels: vec![Channel::Voice, Channel::Push, Channel::Totp],
        approve_only: true,
        ring_s: plan.ring_s,
        prompts: 2,
        detect_machines: false,
        pin: if plan.pin { PinRule::Required } else { PinRule::Off },
        enrollment: plan.enrollment.cloned().unwrap_or_default(),
        ..Policy::default()
    };
    let name = PortalName::parse(PORTAL)?;
    let portal = Portal { name, title: "Fault harness".into(), audiences: vec![AUDIENCE.into()], policy };
    records.put_portal(&portal).await?;
    let users = plan.people.iter().map(Person::enrolled).collect::<anyhow::Result<Vec<_>>>()?;
    records.put_users(&users).await?;
    Ok(portal)
}

/// Makes the folder. The simulator adds to its log: of an earlier run, the audit would read it too.
fn make_way(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).context("the report's folder")?;
    match std::fs::remove_file(folder.join(SIMULATOR_LOG)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("the simulator's log of an earlier run")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn start_simulator(
    context: &Context,
    plan: Plan<'_>,
    folder: &Path,
    front_url: &str,
) -> anyhow::Result<SocketAddr> {
    let environment = [
        ("FLEET_SIMULATOR__LISTEN", "127.0.0.1:0".to_owned()),
        ("FLEET_SIMULATOR__PEOPLE", folder.join("people.toml").display().to_string()),
        ("FLEET_SIMULATOR__LOG", folder.join(SIMULATOR_LOG).display().to_string()),
        ("FLEET_SIMULATOR__SPEED", plan.speed.to_string()),
        ("FLEET_SIMULATOR__APP_URL", front_url.to_owned()),
        ("FLEET_SIMULATOR__DEVICE_SWARM", "1000000".into()),
        ("FLEET_SIMULATOR__SWARM", if plan.apps_answer { "approves" } else { "ignores" }.into()),
        ("FLEET_SIMULATOR__SWARM_AFTER", format!("{}s", plan.pace.answer_s)),
    ];
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value));
    let all = Settings::load_from(&[fleet_simulator::DEFAULTS], None, environment)?;
    fleet_simulator::start(&all.section("simulator")?, context, &Metrics::new()).await
}
