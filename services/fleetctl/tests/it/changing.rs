//! Changing an enrollment as help desk does, against the service that carries it out.

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

use crate::support::{Program, portal};

/// An enrollment-worker on names of its own, and the program as the portal that the tests' RabbitMQ user is.
struct Desk {
    program: Program,
    /// Without what seals secrets.
    keyless: Program,
    context: Context,
    assembly: fleet_engine::Assembly,
    _scratch: Scratch,
}

impl Desk {
    async fn open(policy: Policy) -> Self {
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
        let service = [
            with_key.clone(),
            vec![
                ("FLEET_TELEMETRY__LISTEN", "127.0.0.1:0"),
                ("FLEET_ENGINE__PUBLIC_URL", "http://127.0.0.1:9"),
            ],
        ]
        .concat();
        let service = service.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut defaults = fleet_engine::SHARED_DEFAULTS.to_vec();
        defaults.extend(fleet_enrollment_worker::DEFAULTS);
        let all = Settings::load_from(&defaults, None, service).unwrap();
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
    async fn ends(&self, arguments: &[&str], code: i32, part: &str) {
        let portal = portal();
        let whole = [&["user", "change"], arguments, &["--portal", &portal]].concat();
        // The worker declares its queues while it starts.
        let mut ended = self.program.run(&whole).await;
        for _ in 0..100 {
            if !ended.err.contains("no queue") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            ended = self.program.run(&whole).await;
        }
        let told = format!("{}{}", ended.out, ended.err);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
    }

    async fn close(self) {
        drop(self.assembly);
        self.context.stop.request_soft();
        assert!(self.context.tasks.wait(Duration::from_secs(30)).await);
    }
}

fn policy() -> Policy {
    let enrollment = EnrollmentPolicy {
        requests: Change::ALL.to_vec(),
        operators: true,
        test_within_s: 60,
        ..EnrollmentPolicy::default()
    };
    Policy { pin: PinRule::Off, enrollment, ..Policy::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn s31_help_desk_changes_a_user_and_is_told_what_became_of_it() {
    let desk = Desk::open(policy()).await;
    desk.ends(&["alice", "block", "--reason", "stolen", "--for", "12h"], 0, "done ok").await;
    desk.ends(&["alice", "unblock", "--reason", "found"], 0, "done ok").await;
    let bypass = ["alice", "bypass", "--seconds", "60", "--ticket", "HD-1", "--reason", "repair"];
    desk.ends(&bypass, 0, "done ok").await;
    desk.ends(&["nobody", "block", "--reason", "x"], 10, "data.user_id is no user of this portal").await;
    let wrong = ["alice", "phone_change", "--number", "+442079460000", "--reason", "moved"];
    desk.ends(&wrong, 10, "destination_not_allowed").await;
    desk.ends(&["alice", "bypass", "--reason", "repair"], 14, "data.seconds is required").await;
    desk.ends(&["alice", "promote"], 64, "must be one of enroll").await;
    let portal = portal();
    let keyless =
        desk.keyless.run(&["user", "change", "alice", "unblock", "--portal", &portal, "--reason", "x"]).await;
    assert_eq!(keyless.code, Some(78), "{}", keyless.err);
    assert!(keyless.err.contains("ENROLLMENT_KEY is not set"), "{}", keyless.err);
    let acts =
        desk.assembly.engine.records().standing(&UserId::parse("alice").unwrap()).await.unwrap().unwrap();
    let actor = format!("operator {portal} at {portal}");
    assert!(acts.acts.iter().all(|act| act.actor == actor), "{acts:?}");
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_played_file_changes_enrollments_one_after_the_other_and_holds_their_ends_against_what_was_expected()
 {
    let desk = Desk::open(policy()).await;
    // The queues are there once this has gone through.
    desk.ends(&["alice", "unblock", "--reason", "found"], 0, "done ok").await;
    let scenario = |title: &str, change: &str, with: &str, expect: &str| {
        format!(
            "[[scenario]]\ntitle = \"{title}\"\nportal = \"{}\"\nuser = \"alice\"\nchange = \"{change}\"\n\
             with = {{ actor = \"pat\", reason = \"played\"{with} }}\nexpect = {{ {expect} }}\n",
            portal(),
        )
    };
    let done = "result = \"done\", reason = \"ok\", authority = \"operator\"";
    let text = [
        scenario("block", "block", "", done),
        scenario("unblock", "unblock", "", done).replace("\nexpect", "\nafter = \"block\"\nexpect"),
        scenario(
            "abroad",
            "phone_change",
            ", number = \"+442079460000\"",
            "result = \"refused\", reason = \"destination_not_allowed\", rule = \"countries\"",
        ),
        scenario("gone", "delete", "", done).replace("\nexpect", "\nafter = \"unblock\"\nexpect"),
    ]
    .concat();
    let path = std::env::temp_dir().join(format!("{}.toml", unique_name("t")));
    for (text, code, line) in
        [(text.replace("alice", "nobody"), 1, "✗ expected done ok"), (text, 0, "4 of 4 as expected")]
    {
        std::fs::write(&path, text).unwrap();
        let played = desk.program.run(&["play", path.to_str().unwrap()]).await;
        assert_eq!(played.code, Some(code), "{}{}", played.out, played.err);
        assert!(played.out.contains(line), "{}", played.out);
    }
    let keyless = desk.keyless.run(&["play", path.to_str().unwrap()]).await;
    assert_eq!(keyless.code, Some(78), "{}", keyless.err);
    assert!(keyless.err.contains("ENROLLMENT_KEY is not set"), "{}", keyless.err);
    std::fs::remove_file(&path).unwrap();
    desk.close().await;
}
