//! A help desk: the services that carry out changes of enrollments, and the program as a portal that may ask for all of them.

use std::time::Duration;

use fleet_domain::{
    Change, Channel, EnrollmentPolicy, PhoneKind, PhoneNumber, PhoneRole, PinRule, Policy, Portal,
    PortalName, UserId,
};
use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_records::testing::Scratch;
use fleet_records::{NewPhone, NewUser};
use fleet_settings::Settings;
use fleet_testkit::{amqp_url, database_url, redis_url, unique_name};

use crate::support::{Ended, Program, portal};

/// Services on names of their own, and the program as the portal that the tests' RabbitMQ user is.
pub(crate) struct Desk {
    pub(crate) program: Program,
    /// Without what seals secrets.
    pub(crate) keyless: Program,
    context: Context,
    pub(crate) assembly: fleet_engine::Assembly,
    _scratch: Scratch,
}

impl Desk {
    /// All services of the fleet, with a portal of this policy and Alice, who has a phone.
    pub(crate) async fn open(policy: Policy) -> Self {
        fleet_keys::install_tls_provider();
        let (scratch, namespace) = (Scratch::new().await, unique_name("t"));
        let key = "11".repeat(32);
        let signing_key = fleet_keys::new_signing_key();
        let master = "ab".repeat(32);
        let (database, amqp, redis) = (database_url(), amqp_url(), redis_url());
        let portals = format!("{}={amqp}", portal());
        let keyless: Vec<(&str, &str)> = vec![
            ("DATABASE_URL", &database),
            ("AMQP_URL", &amqp),
            ("REDIS_URL", &redis),
            ("FLEET_RECORDS__SCHEMA", &scratch.settings().schema),
            ("FLEET_BROKER__NAMESPACE", &namespace),
            ("FLEET_OUTCOMES__KEY_PREFIX", &namespace),
            ("FLEET_KEYS__MASTER", &master),
            ("FLEET_KEYS__OUTCOME_SIGNING_KEY", &signing_key),
        ];
        let with_key = [keyless.clone(), vec![("FLEET_ENROLLMENT_KEYS__CURRENT", key.as_str())]].concat();
        let all = settings(&with_key);
        let stop = Stop::new();
        let context = Context { tasks: Tasks::new(stop.clone()), stop, clock: Clock::system() };
        let assembly = fleet_engine::assemble(context.clone(), &all).await.unwrap();
        let registered = Portal {
            name: PortalName::parse(&portal()).unwrap(),
            title: "Help desk".into(),
            audiences: vec!["staff".into()],
            policy,
        };
        assembly.engine.records().put_portal(&registered).await.unwrap();
        fleet_enrollment_worker::start(&assembly, &all).unwrap();
        fleet_push_worker::start(&assembly, &all).unwrap();
        fleet_voice_worker::start(&assembly, &all).unwrap();
        fleet_gateway::start(&assembly, &all).await.unwrap();
        let program = |environment: &[(&str, &str)]| {
            Program::with(&[environment, &[("PORTAL_AMQP_URLS", portals.as_str())]].concat())
        };
        let desk = Self {
            program: program(&with_key),
            keyless: program(&keyless),
            context,
            assembly,
            _scratch: scratch,
        };
        desk.staff().await;
        desk
    }

    async fn staff(&self) {
        let phone = NewPhone {
            role: PhoneRole::Primary,
            kind: PhoneKind::Mobile,
            number: PhoneNumber::parse("+19195550101").unwrap(),
            extension: None,
            verified: true,
        };
        let alice = NewUser {
            id: UserId::parse("alice").unwrap(),
            audience: "staff".into(),
            method: Channel::Voice,
            phones: vec![phone],
            devices: Vec::new(),
        };
        self.assembly.engine.records().put_user(&alice).await.unwrap();
    }

    /// Runs the program, which ends with this code and says this.
    pub(crate) async fn ends(&self, arguments: &[&str], code: i32, part: &str) -> Ended {
        // The workers declare their queues while they start.
        let mut ended = self.program.run(arguments).await;
        for _ in 0..100 {
            if !ended.err.contains("no queue") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            ended = self.program.run(arguments).await;
        }
        let told = format!("{}{}", ended.out, ended.err);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
        ended
    }

    /// Asks for a change.
    pub(crate) async fn change(&self, arguments: &[&str], code: i32, part: &str) -> Ended {
        let portal = portal();
        self.ends(&[&["user", "change"], arguments, &["--portal", &portal]].concat(), code, part).await
    }

    pub(crate) async fn close(self) {
        drop(self.assembly);
        self.context.stop.request_soft();
        assert!(self.context.tasks.wait(Duration::from_secs(30)).await);
    }
}

fn settings(environment: &[(&str, &str)]) -> Settings {
    let gateway = format!("127.0.0.1:{}", fleet_testkit::free_port());
    let gateway_url = format!("http://{gateway}");
    let service_account = include_str!("../../../push-worker/tests/fixtures/service_account.json")
        .replace("https://", "http://127.0.0.1:9/");
    let own = [
        ("FLEET_TELEMETRY__LISTEN", "127.0.0.1:0"),
        ("FLEET_ENGINE__PUBLIC_URL", &gateway_url),
        ("FLEET_GATEWAY__LISTEN", &gateway),
        // Nobody is called and nothing pushed: what is tested here is tested by apps that poll.
        ("FLEET_TWILIO__BASE_URL", "http://127.0.0.1:9"),
        ("FLEET_TWILIO__ACCOUNT_SID", "AC00000000000000000000000000000001"),
        ("FLEET_TWILIO__AUTH_TOKEN", "no-auth-token"),
        ("FLEET_TWILIO__CALLER_IDS", "[\"+19195550100\"]"),
        ("FLEET_FCM__CREDENTIALS", &service_account),
        ("FLEET_FCM__BASE_URL", "http://127.0.0.1:9"),
    ];
    let mut defaults = fleet_engine::SHARED_DEFAULTS.to_vec();
    let services = [
        &fleet_enrollment_worker::DEFAULTS[..],
        &fleet_push_worker::DEFAULTS[..],
        &fleet_voice_worker::DEFAULTS[..],
        &fleet_gateway::DEFAULTS[..],
    ]
    .concat();
    for section in services {
        if !defaults.contains(&section) {
            defaults.push(section);
        }
    }
    let owned = environment.iter().chain(&own).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load_from(&defaults, None, owned).unwrap()
}

/// Of an operators' portal that may ask for everything, by whichever channel.
pub(crate) fn policy() -> Policy {
    let enrollment = EnrollmentPolicy {
        requests: Change::ALL.to_vec(),
        operators: true,
        test_within_s: 60,
        ..EnrollmentPolicy::default()
    };
    Policy { pin: PinRule::Off, channels: Channel::ALL.to_vec(), enrollment, ..Policy::default() }
}
