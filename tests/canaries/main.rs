//! Canaries: secrets and numbers that occur nowhere else are put into every place that takes one, and looked for
//! wherever the fleet leaves anything: logs, metrics, events, parked letters, tables, Redis.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod enrollments;
mod nests;
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "other scenarios use the rest")]
mod world;
mod reasons {
    //! What ends here is not noted: the scenarios of `tests/it` are what the reference of reasons names.

    pub(crate) const fn settle(_ends: &std::collections::BTreeSet<fleet_domain::Reason>) {}
}

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet_contracts::{NumberMatch, OneTimeCode};
use fleet_domain::{
    ChallengeId, ChallengeKey, Channel, Context, DeviceId, Extension, Field, PhoneKind, PhoneNumber,
    PhoneRole, PinRule, Policy, PortalName, Reason, Target, UserId,
};
use fleet_hostile::{Attacker, Message, Properties, Table, Value};
use fleet_keys::{Pin, TotpSecret};
use fleet_records::{DeviceAlg, NewDevice, NewPhone};
use fleet_telemetry::{LogFormat, LogSettings};
use serde_json::{Value as Json, json};

use nests::{Bird, Nest, redis};
use world::{ALL, PORTAL, Running, World, until};

const PIN: &str = "739184620552";
const WRONG_PIN: &str = "184620573991";
const NUMBER: &str = "839146";
/// A code that no app shows: it has too many digits.
const CODE: &str = "71846203";
/// The secret of an app's codes.
const TOTP: &str = "NZYJOHHD52TZNJFMTV5DVJDKPDIJCKW4";
const PRIMARY: &str = "+14845557391";
const EXTENSION: &str = ",,51729364#";
const WRONG: &str = "+14845558462";
const FRAUD: &str = "+14845559513";
const REFUSED: &str = "+14845554175";
const BACKUP: &str = "+14845556284";
const CARD: &str = "4929123456781234";
/// What a hostile portal puts everywhere.
const HOSTILE: &str = "zanzibar-4929876543214321-839157";
const DEVICE: &str = "00000000-0000-8000-8000-000000031337";
const PUSH_TOKEN: &str = "swarm-201527";

/// Everything of ours, and of libraries what the most talkative operator turns on.
const FILTER: &str = "debug,fleet_broker=trace,fleet_engine=trace,fleet_enrollment_worker=trace,fleet_gateway=trace,fleet_keys=trace,\
    fleet_lifecycle=trace,fleet_outcomes=trace,fleet_push_worker=trace,fleet_records=trace,fleet_settings=trace,\
    fleet_telemetry=trace,fleet_twilio=trace,fleet_voice_worker=trace,fleet_simulator=off,fleet_hostile=off";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn people() -> String {
    let person = |number: &str, presses: &[&str]| {
        format!(
            "[[person]]\nname = \"{number}\"\nnumber = \"{number}\"\nanswers = {{ after = \"1s\" }}\npresses = {presses:?}\n"
        )
    };
    let (pin, wrong, number) = (format!("{PIN}#"), format!("{WRONG_PIN}#"), format!("{NUMBER}#"));
    [
        person(PRIMARY, &[&pin, &number]),
        person(BACKUP, &[&pin, &number]),
        person(WRONG, &[&wrong, "1846205739#", &wrong]),
        person(FRAUD, &["0#", "1#"]),
        enrollments::people(),
    ]
    .concat()
}

fn phone(role: PhoneRole, number: &str, extension: Option<&str>) -> NewPhone {
    NewPhone {
        role,
        kind: PhoneKind::Office,
        number: PhoneNumber::parse(number).unwrap(),
        extension: extension.map(|text| Extension::parse(text).unwrap()),
        verified: true,
    }
}

/// Challenges of every kind of end, with a canary wherever one fits. Gives their ids.
async fn challenges(world: &World, fleet: &Running) -> Vec<ChallengeId> {
    let shown = || Context {
        application: Some(format!("Payroll {CARD}")),
        place: Some(format!("Durham {CARD}")),
        fields: vec![Field { name: "card".into(), value: CARD.into() }],
        ..Context::default()
    };
    let mut ids = Vec::new();
    for (user, number, target, reason) in [
        ("refused", REFUSED, Target::Primary, Reason::InvalidNumber),
        ("right", PRIMARY, Target::Primary, Reason::OkNumberMatch),
        ("behind-a-switchboard", "+14845550001", Target::Backup, Reason::OkNumberMatch),
        ("wrong", WRONG, Target::Primary, Reason::PinMismatch),
        ("fraud", FRAUD, Target::Primary, Reason::FraudReported),
    ] {
        let phones =
            vec![phone(PhoneRole::Primary, number, None), phone(PhoneRole::Backup, BACKUP, Some(EXTENSION))];
        let user = world.user(user, Channel::Voice, phones, Vec::new()).await;
        with_pin(world, &user).await;
        let draft = world.portal.draft(user).to(target).context(shown());
        let id = world.ask(&draft.showing(NumberMatch::parse(NUMBER).unwrap())).await;
        assert_eq!(world.outcome(id).await.reason, Some(reason));
        ids.push(id);
    }
    let app = world.app_user("app", &[(DEVICE, PUSH_TOKEN)]).await;
    let id = world.ask(&world.portal.draft(app).context(shown())).await;
    world.outcome(id).await;
    ids.push(id);
    ids.push(typed(world, fleet).await);
    until("fraud is told", || async { fleet.count("mfa_fraud_reports_total", &[]) == 1 }).await;
    ids
}

/// Codes that are wrong, that come when none is awaited, and one that is right.
async fn typed(world: &World, fleet: &Running) -> ChallengeId {
    let secret = TotpSecret::from_base32(TOTP).unwrap();
    let device = NewDevice {
        id: DeviceId::parse("00000000-0000-8000-8000-000000031338").unwrap(),
        alg: DeviceAlg::EdDsa,
        public_key: vec![2; 32],
        push_token: None,
        totp: Some(secret.clone()),
    };
    let user = world.user("typist", Channel::Totp, Vec::new(), vec![device]).await;
    let id = world.ask(&world.portal.draft(user)).await;
    let wrong = OneTimeCode::parse(CODE).unwrap();
    world.portal.enter_code(id, &wrong).await.unwrap();
    until("it is found wrong", || async { fleet.count("mfa_codes_total", &["wrong"]) == 1 }).await;
    let now = u64::try_from(fleet.assembly.engine.now().as_secs()).unwrap();
    world.portal.enter_code(id, &OneTimeCode::parse(&secret.code_at(now)).unwrap()).await.unwrap();
    assert_eq!(world.outcome(id).await.reason, Some(Reason::OkTotp));
    world.portal.enter_code(id, &wrong).await.unwrap();
    until("one comes too late", || async { fleet.count("mfa_codes_total", &["late"]) == 1 }).await;
    id
}

async fn with_pin(world: &World, user: &UserId) {
    let hash = world.keys().hash_pin(user.as_str(), &Pin::parse(PIN).unwrap());
    world.records.set_pins(&[(user.clone(), Some(hash))]).await.unwrap();
}

/// Requests and cancels that break their contracts in one field each.
fn hostile_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let mut bodies = Vec::new();
    let id = ChallengeId::from_parts(fleet_lifecycle::Clock::system().now(), [7; 10]);
    for (queue, kind, mut data) in [
        ("challenge.voice", "mfa.challenge.requested.v1", json!({ "user_id": "right" })),
        ("control.cancel", "mfa.challenge.cancel_requested.v1", json!({})),
        ("challenge.code", "mfa.challenge.code_entered.v1", json!({ "code": CODE })),
        ("control.resend", "mfa.challenge.resend_requested.v1", json!({})),
    ] {
        data["challenge_id"] = id.to_string().into();
        let good = json!({ "specversion": "1.0", "id": "1", "source": "/t", "type": kind, "data": data });
        let fields =
            ["specversion", "id", "source", "type", "time", "subject", "datacontenttype", "traceparent"];
        let inner = [
            "challenge_id",
            "user_id",
            "purpose",
            "target",
            "workflow",
            "number_match",
            "answer_by",
            "context",
            "locale",
            "code",
            HOSTILE,
        ];
        for value in
            [json!(HOSTILE), json!([HOSTILE]), json!({ HOSTILE: HOSTILE }), json!(4_929_876_543_214_321_u64)]
        {
            for field in fields {
                let mut body = good.clone();
                body[field] = if value.is_string() { json!(HOSTILE.repeat(20)) } else { value.clone() };
                bodies.push((queue, body));
            }
            for field in inner {
                let mut body = good.clone();
                body["data"][field] = match (field, value.is_string()) {
                    ("number_match", true) => json!("839157x"),
                    // Nearly anything else is an id of a user.
                    ("user_id", true) => json!(format!("{HOSTILE} {HOSTILE}")),
                    (_, _) => value.clone(),
                };
                bodies.push((queue, body));
            }
            for deep in ["client_ip", HOSTILE] {
                let mut body = good.clone();
                body["data"]["context"] = json!({ deep: value });
                bodies.push((queue, body));
            }
            for deep in ["channel", "target", "timeout_s", HOSTILE] {
                let mut body = good.clone();
                body["data"]["workflow"] = json!([{ "channel": "voice", deep: value }]);
                bodies.push((queue, body));
            }
            bodies.push((queue, json!({ HOSTILE: value })));
        }
        bodies.push((queue, Json::String(HOSTILE.into())));
    }
    let bodies = bodies.into_iter().map(|(queue, body)| (queue, body.to_string().into_bytes()));
    bodies.chain(unreadable()).collect()
}

/// What is no message at all.
fn unreadable() -> [(&'static str, Vec<u8>); 3] {
    [
        ("challenge.voice", HOSTILE.into()),
        ("challenge.push", format!("{{\"specversion\":\"1.0\",\"id\":\"{HOSTILE}\"").into_bytes()),
        ("challenge.push", HOSTILE.repeat(4_000).into_bytes()),
    ]
}

/// Publishes them, each with hostile headers too; some without proof of who sends them.
async fn attack(world: &World, attacker: &mut Attacker, namespace: &str) -> u64 {
    let enrollments = enrollments::hostile_bodies(world).into_iter();
    let enrollments = enrollments.map(|(key, body)| (key, body.to_string().into_bytes()));
    let bodies: Vec<_> = hostile_bodies().into_iter().chain(enrollments).collect();
    for (number, (routing_key, body)) in bodies.iter().enumerate() {
        let names = ["traceparent", "x-mfa-portal", "x-mfa-detail", "x-death", HOSTILE];
        let headers = names.map(|name| (name.as_bytes().to_vec(), Value::text(HOSTILE))).to_vec();
        let properties = Properties {
            content_type: Some(HOSTILE.into()),
            message_id: Some(number.to_string().into_bytes()),
            user_id: (number % 5 > 0).then(|| PORTAL.into()),
            reply_to: Some(HOSTILE.into()),
            headers: Some(Table(headers)),
            expiration: None,
        };
        let message = Message { routing_key: (*routing_key).to_owned(), properties, body: body.clone() };
        attacker.publish(&format!("{namespace}.mfa.requests"), &message).await.unwrap();
    }
    bodies.len() as u64
}

/// What is logged from now on, panics too.
fn capture() -> Log {
    let log = Log::default();
    let logged = log.clone();
    let settings = LogSettings { filter: FILTER.to_owned(), format: LogFormat::Text };
    assert!(fleet_telemetry::capture_logs(&settings, move || logged.clone()));
    let (panics, told) = (Mutex::new(log.clone()), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        let _ = writeln!(panics.lock().unwrap(), "panicked: {panic}");
        told(panic);
    }));
    log
}

/// Every place where the fleet leaves something, but the log.
async fn nests(
    world: &World,
    fleet: &Running,
    (attacker, events, namespace): (&mut Attacker, &str, &str),
) -> Vec<Nest> {
    let mut nests = vec![
        Nest::new("a metric", fleet.assembly.metrics.render().as_bytes()),
        Nest::new("Redis", &redis(&format!("t-{namespace}")).await),
        Nest::new("an event", &drain(attacker, events).await),
        Nest::new("a parked letter", &drain(attacker, &format!("{namespace}.parked")).await),
        Nest::new("a dead letter", &drain(attacker, &format!("{namespace}.dead")).await),
    ];
    let tables =
        world.scratch.sql("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").await;
    assert!(tables.len() > 8, "{tables:?}");
    for table in tables {
        let rows = world.scratch.sql(&format!("SELECT t::text FROM {table} t")).await;
        nests.push(Nest::table(&table, rows.join("\n").as_bytes()));
    }
    nests
}

/// The tokens in the URLs of calls.
fn tokens(fleet: &Running, ids: &[ChallengeId]) -> Vec<String> {
    let links = fleet.assembly.engine.links();
    let portal = PortalName::parse(PORTAL).unwrap();
    let keys = ids.iter().map(|id| ChallengeKey { id: *id, portal: portal.clone() });
    let paths = keys.flat_map(|key| [1, 2].map(|attempt| links.call_path(&key, attempt)));
    paths.map(|path| path.rsplit('/').next().unwrap().to_owned()).collect()
}

fn birds(tokens: &[String]) -> Vec<Bird> {
    let mut birds = vec![
        Bird::secret("the PIN", PIN),
        Bird::secret("a wrong PIN", WRONG_PIN),
        Bird::secret("the number to match", NUMBER),
        Bird::secret("a code", CODE),
        Bird::secret("the secret of codes", TOTP),
        Bird::secret("the extension", "51729364"),
        Bird::secret("the push token", PUSH_TOKEN),
        Bird::secret("the account's token", "simulator-auth-token"),
        Bird::secret("the master key", "6d6173746572206b"),
        Bird::shown("a field of the context", CARD),
        Bird::shown("a hostile word", "zanzibar"),
        Bird::shown("a hostile card", "4929876543214321"),
        Bird::secret("a hostile number to match", "839157"),
    ];
    for number in [PRIMARY, BACKUP, WRONG, FRAUD, REFUSED] {
        birds.push(Bird::secret("a phone number", &number[2..]));
    }
    birds.extend(enrollments::birds());
    birds.extend(tokens.iter().map(|token| Bird::secret("an attempt's token", token)));
    birds
}

#[tokio::test(flavor = "multi_thread")]
async fn m8_no_pin_number_code_answer_token_or_hostile_word_is_left_anywhere() {
    let log = capture();
    let world = World::new(&people()).await;
    world
        .register(Policy {
            approve_only: true,
            ring_s: 20,
            prompts: 3,
            pin: PinRule::Required,
            channels: vec![Channel::Voice, Channel::Push, Channel::Totp],
            ..Policy::default()
        })
        .await;
    let namespace =
        world.environment.iter().find(|(name, _)| name == "FLEET_BROKER__NAMESPACE").unwrap().1.clone();
    let fleet = world.start(&ALL).await;
    let mut attacker = Attacker::connect(&fleet_testkit::amqp_url()).await.unwrap();
    let events = attacker.overhear(&format!("{namespace}.mfa.events")).await.unwrap();
    world
        .faults(
            &json!({ "rules": [{ "place": "call_create", "fault": "refused", "code": 21211, "count": 1 }] }),
        )
        .await;
    let ids = challenges(&world, &fleet).await;
    let made = enrollments::changes(&world, &fleet).await;
    let sent = attack(&world, &mut attacker, &namespace).await;
    until("all that is hostile is settled", || async {
        fleet.count("mfa_broker_deliveries_total", &["end=\"poison\""])
            + fleet.count("mfa_broker_deliveries_total", &["end=\"done\""])
            >= sent
    })
    .await;
    until("everything is told", || async { fleet.count("mfa_broker_parked_total", &[]) > sent / 2 }).await;
    tokio::time::sleep(Duration::from_secs(1)).await;

    let mut nests = nests(&world, &fleet, (&mut attacker, &events, &namespace)).await;
    let tokens = tokens(&fleet, &ids);
    assert!(fleet.stop().await);
    let logged = log.0.lock().unwrap().clone();
    let text = String::from_utf8_lossy(&logged);
    assert!(text.contains("DEBUG") && text.lines().count() > 100, "logs are captured:\n{text}");
    assert!(text.contains("fleet_enrollment_worker"), "enrollments are logged");
    assert!(!text.contains("panicked"), "something panicked");
    nests.push(Nest::new("the log", &logged));

    let birds: Vec<Bird> = birds(&tokens).into_iter().chain(made).collect();
    let found: Vec<String> =
        nests.iter().flat_map(|nest| birds.iter().filter_map(|bird| nest.find(bird))).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    // The search finds what is there.
    let masked = Bird::secret("a masked number", "+1484*****91");
    assert!(nests.iter().any(|nest| nest.find(&masked).is_some()), "Redis shows masked numbers");
    let kept = nests.iter().filter(|nest| nest.find(&enrollments::said_by_an_operator()).is_some()).count();
    assert_eq!(kept, 2, "acts and requests tell what operators said");
}

async fn drain(attacker: &mut Attacker, queue: &str) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(message) = attacker.take(queue).await.unwrap() {
        all.extend(message);
    }
    all
}
