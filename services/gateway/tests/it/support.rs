//! A gateway with everything behind it, and the carrier that calls it back.

use std::time::Duration;

use fleet_broker::{Broker, Delivery, Handler, Queue, Verdict};
use fleet_domain::{
    Ask, AskedStep, CallerId, CallerIdStep, Challenge, ChallengeId, ChallengeKey, Channel, Context as Shown,
    Event, PhoneKind, PhoneNumber, PhoneRole, Policy, Portal, PortalName, Purpose, Target, Timestamp, UserId,
    open,
};
use fleet_engine::{Applied, Apply, Engine};
use fleet_keys::{Keys, hmac_sha1_base64, random_bytes};
use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_outcomes::Outcomes;
use fleet_records::testing::Scratch;
use fleet_records::{Actor, NewPhone, NewUser, Note, Records};
use fleet_telemetry::{Metrics, Readiness};
use fleet_testkit::{amqp_url, redis_url, unique_name};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::phone::Phone;

pub(crate) const PUBLIC_URL: &str = "https://mfa.example.org";
pub(crate) const TITLE: &str = "Example University";
pub(crate) const SID: &str = "CA00000000000000000000000000000007";
/// The header with the carrier's signature.
pub(crate) const SIGNATURE: &str = "x-twilio-signature";
const AUTH_TOKEN: &str = "4f9c1d7e2ab84c06b3d5e8f7a1902c6d";
const NUMBER: &str = "+14155550123";
const CALLER_ID: &str = "+15005550006";
/// Where a database works, nothing is cut short because the tests keep the machine busy.
const UNHURRIED: [(&str, &str); 1] = [("REQUEST_TIMEOUT", "10s")];
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Fleet {
    pub(crate) engine: Engine,
    pub(crate) context: Context,
    pub(crate) metrics: Metrics,
    pub(crate) broker: Broker,
    pub(crate) address: String,
    pub(crate) scratch: Option<Scratch>,
    client: reqwest::Client,
}

/// An answer of the gateway.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        let scratch = Scratch::new().await;
        let settings = patient(&scratch);
        let fleet = Self::on(settings, Some(scratch), &UNHURRIED).await;
        fleet.policy(Policy::default()).await;
        fleet
    }

    /// With a database that nobody listens for.
    pub(crate) async fn without_database() -> Self {
        Self::without_database_but(&[]).await
    }

    /// Without a database, and with some settings of the gateway's own.
    pub(crate) async fn without_database_but(settings: &[(&str, &str)]) -> Self {
        let url = "postgresql://fleet@127.0.0.1:1/fleet".to_owned();
        Self::on(fleet_records::Settings::for_url(url.into()).unwrap(), None, settings).await
    }

    /// Another gateway over the same database, with connections of its own.
    pub(crate) async fn beside(&self) -> Self {
        self.beside_with(&UNHURRIED).await
    }

    /// The same, with some settings of the gateway's own.
    pub(crate) async fn beside_with(&self, settings: &[(&str, &str)]) -> Self {
        let records = patient(self.scratch.as_ref().expect("a fleet with a database"));
        let beside = Self::on(records, None, settings).await;
        beside.until(|fleet| fleet.engine.records().portal(&portal()).is_some()).await;
        beside
    }

    /// Polls until it holds.
    pub(crate) async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let began = tokio::time::Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < PATIENCE, "it did not come true");
            tokio::task::yield_now().await;
        }
    }

    /// Registers the portal with this policy.
    pub(crate) async fn policy(&self, policy: Policy) {
        self.put_policy(policy).await.unwrap();
    }

    /// Registers the portal with this policy, if it may have it.
    pub(crate) async fn put_policy(&self, policy: Policy) -> Result<(), fleet_records::Error> {
        let policy = Policy { approve_only: true, ..policy };
        let portal = Portal { name: portal(), title: TITLE.into(), audiences: vec!["staff".into()], policy };
        self.engine.records().put_portal(&portal).await
    }

    async fn on(
        records: fleet_records::Settings,
        scratch: Option<Scratch>,
        settings: &[(&str, &str)],
    ) -> Self {
        fleet_keys::install_tls_provider();
        let stop = Stop::new();
        let context = Context { tasks: Tasks::new(stop.clone()), stop, clock: Clock::system() };
        let (metrics, readiness, keys) = (Metrics::new(), Readiness::new(), Keys::for_tests());
        let mut broker = fleet_broker::Settings::for_urls(vec![amqp_url().into()]).unwrap();
        // Of this run alone: queues that an older version declared with other arguments would be refused.
        broker.namespace = namespace();
        let broker = Broker::start(&broker, &context, &metrics, &readiness).unwrap();
        let mut outcomes = fleet_outcomes::Settings::for_url(redis_url().into()).unwrap();
        outcomes.key_prefix = unique_name("t");
        let parts = fleet_engine::Parts {
            records: Records::start(records, keys.clone(), &context, &metrics, &readiness).await.unwrap(),
            outcomes: Outcomes::start(outcomes, keys.clone(), &context.tasks, &metrics).unwrap(),
            publisher: broker.publisher(),
            keys,
        };
        let engine = Engine::new(engine_settings(), parts, &context, &metrics);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let parts = fleet_gateway::Parts {
            context: context.clone(),
            engine: engine.clone(),
            carrier: twilio_settings().profile().unwrap(),
            metrics: metrics.clone(),
            readiness,
            settings: gateway_settings(settings),
        };
        fleet_gateway::start_on(listener, parts);
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self { engine, context, metrics, broker, address, scratch, client }
    }

    /// Stops softly; all tasks must end by themselves.
    pub(crate) async fn end(self) {
        self.context.stop.request_soft();
        assert!(self.context.tasks.wait(PATIENCE).await, "tasks did not end");
        assert!(!self.context.tasks.any_failed(), "a task failed");
    }

    pub(crate) async fn enroll(&self, id: &str, phones: &[&Phone]) -> UserId {
        let user = NewUser {
            id: UserId::parse(id).unwrap(),
            audience: "staff".into(),
            method: Channel::Voice,
            phones: vec![NewPhone {
                role: PhoneRole::Primary,
                kind: PhoneKind::Mobile,
                number: PhoneNumber::parse(NUMBER).unwrap(),
                extension: None,
                verified: true,
            }],
            devices: phones.iter().map(|phone| phone.enrolled()).collect(),
        };
        self.engine.records().put_user(&user).await.unwrap();
        user.id
    }

    /// The routes without a port, counting for themselves.
    pub(crate) fn router(&self) -> axum::Router {
        fleet_gateway::router(&fleet_gateway::Parts {
            context: self.context.clone(),
            engine: self.engine.clone(),
            carrier: twilio_settings().profile().unwrap(),
            metrics: Metrics::new(),
            readiness: Readiness::new(),
            settings: gateway_settings(&UNHURRIED),
        })
    }

    /// Stores a challenge as its acceptance leaves it.
    pub(crate) async fn challenge(
        &self,
        user: &UserId,
        workflow: &[AskedStep],
        number: Option<&str>,
    ) -> ChallengeKey {
        self.challenge_until(user, workflow, (number, None)).await
    }

    /// The same with a deadline other than the policy's.
    pub(crate) async fn challenge_until(
        &self,
        user: &UserId,
        workflow: &[AskedStep],
        (number, answer_by): (Option<&str>, Option<Timestamp>),
    ) -> ChallengeKey {
        let now = self.engine.now();
        let key = ChallengeKey { id: ChallengeId::from_parts(now, random_bytes()), portal: portal() };
        let ask = Ask {
            number_match: number.map(|digits| self.engine.number_hash(&key, digits)),
            key: key.clone(),
            user: user.clone(),
            purpose: Purpose::SignIn,
            channel: None,
            target: Target::Primary,
            workflow: workflow.to_vec(),
            answer_by,
            locale: None,
            context: Shown { application: Some("Payroll".into()), ..Shown::default() },
            body_hash: [1; 32],
        };
        let records = self.engine.records();
        let user = records.user(user).await.unwrap();
        // A reading of all portals that began before this one was stored may still take it away for a second.
        let portal = loop {
            match records.portal(&portal()) {
                Some(portal) => break portal,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let challenge = open(&ask, user.as_ref(), &portal, now).unwrap();
        assert!(challenge.is_open(), "{challenge:?}");
        records.create(&challenge, Note { event: "accept", actor: Actor::Portal }).await.unwrap();
        key
    }

    /// A challenge by call whose attempt is being dialed.
    pub(crate) async fn dialing(&self, number: Option<&str>) -> ChallengeKey {
        let user = self.enroll("ada", &[]).await;
        let key = self.challenge(&user, &[by(Channel::Voice)], number).await;
        self.dial(&key).await;
        key
    }

    pub(crate) async fn dial(&self, key: &ChallengeKey) {
        self.dial_line(key, (false, CALLER_ID)).await;
    }

    /// Dials from this number; to a phone that people share, others may be dialed from other numbers.
    pub(crate) async fn dial_line(&self, key: &ChallengeKey, (shared, from): (bool, &str)) {
        let line = self.engine.records().line(&PhoneNumber::parse(NUMBER).unwrap(), shared, from);
        let caller_id = CallerId { number: CALLER_ID.into(), step: CallerIdStep::Local };
        let step = self.stored(key).await.live.step;
        let dial = Event::Dial { step, caller_id, has_next_caller_id: false, check_after: PATIENCE };
        let apply = Apply::bulk(key, Actor::Fleet).taking(line);
        changed(&self.engine.apply(apply, |_| dial.clone()).await.unwrap());
    }

    /// A challenge by push that its devices were told of.
    pub(crate) async fn pushed(
        &self,
        user: &UserId,
        workflow: &[AskedStep],
        number: Option<&str>,
    ) -> ChallengeKey {
        let key = self.challenge(user, workflow, number).await;
        self.apply(&key, Event::Send { check_after: None }).await;
        self.apply(&key, Event::Pushed { attempt: 1, devices: 1 }).await;
        key
    }

    pub(crate) async fn apply(&self, key: &ChallengeKey, event: Event) {
        let applied = self.engine.apply(Apply::bulk(key, Actor::Fleet), |_| event.clone()).await.unwrap();
        changed(&applied);
    }

    pub(crate) async fn stored(&self, key: &ChallengeKey) -> Challenge {
        self.engine.records().load(key).await.unwrap().unwrap().challenge
    }

    /// What the carrier does: a form POST to a public URL, signed.
    pub(crate) async fn carrier(&self, url: &str, fields: &[(&str, &str)]) -> Reply {
        self.carrier_signing(url, fields, &signature(url, fields)).await
    }

    pub(crate) async fn carrier_signing(&self, url: &str, fields: &[(&str, &str)], signature: &str) -> Reply {
        let request = self.client.post(self.local(url)).header(SIGNATURE, signature).form(fields);
        reply(request).await
    }

    /// A request by the carrier for the call of an attempt, with the fields that all have.
    pub(crate) async fn call(&self, url: &str, fields: &[(&str, &str)]) -> Reply {
        let mut all = vec![("CallSid", SID), ("AccountSid", "AC00000000000000000000000000000001")];
        all.extend_from_slice(fields);
        self.carrier(url, &all).await
    }

    pub(crate) async fn get(&self, path: &str, phone: &Phone) -> Reply {
        let proof = self.proof(phone, "GET", path);
        reply(self.client.get(self.local(path)).header("authorization", format!("Device {proof}"))).await
    }

    pub(crate) async fn post_signed(&self, path: &str, phone: &Phone) -> Reply {
        let proof = self.proof(phone, "POST", path);
        reply(self.client.post(self.local(path)).header("authorization", format!("Device {proof}"))).await
    }

    pub(crate) fn proof(&self, phone: &Phone, method: &str, path: &str) -> String {
        let url = format!("{PUBLIC_URL}{path}");
        let iat = self.engine.now().as_secs();
        phone.sign(
            "mfa-request+jwt",
            &json!({ "htm": method, "htu": url, "iat": iat, "jti": unique_name("j") }),
        )
    }

    /// An answer to the challenge, good until its deadline, with some claims changed.
    pub(crate) async fn answer_claims(&self, key: &ChallengeKey, phone: &Phone, changes: &Value) -> Value {
        let answer_by = self.stored(key).await.request.answer_by;
        let mut claims = json!({
            "portal": key.portal.as_str(),
            "challenge_id": key.id.to_string(),
            "nonce": self.engine.keys().app_nonce(key.portal.as_str(), key.id.as_bytes()),
            "decision": "approve",
            "device_id": phone.id.to_string(),
            "exp": answer_by.as_secs(),
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    pub(crate) async fn answer(&self, key: &ChallengeKey, phone: &Phone, changes: &Value) -> Reply {
        let claims = self.answer_claims(key, phone, changes).await;
        self.post_answer(key, &phone.sign("mfa-answer+jwt", &claims)).await
    }

    pub(crate) async fn post_answer(&self, key: &ChallengeKey, jws: &str) -> Reply {
        self.post_jose(&path_of(key, "answer"), jws.to_owned()).await
    }

    /// A JWS as the body.
    pub(crate) async fn post_jose(&self, path: &str, jws: String) -> Reply {
        let request = self.client.post(self.local(path)).header("content-type", "application/jose").body(jws);
        reply(request).await
    }

    /// A form POST that nobody signed.
    pub(crate) async fn stranger(&self, path: &str) -> Reply {
        reply(self.client.post(self.local(path)).form(&[("CallSid", SID)])).await
    }

    /// The value of a series in the metrics; 0 where there is none.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let text = self.metrics.render();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Whether something for this challenge was handed to the queue.
    pub(crate) async fn handed_over(&self, queue: Queue, key: &ChallengeKey) -> bool {
        let (sender, mut taken) = mpsc::unbounded_channel();
        self.broker.consume(queue, 16, Taker { sender });
        let id = key.id.to_string();
        let found = async {
            while let Some(body) = taken.recv().await {
                if body.contains(&id) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.is_ok()
    }

    fn local(&self, url: &str) -> String {
        let path = url.strip_prefix(PUBLIC_URL).unwrap_or(url);
        format!("http://{}{}", self.address, path.split('#').next().unwrap())
    }
}

/// Settings under which nothing is cut short because the tests keep the machine busy.
fn patient(scratch: &Scratch) -> fleet_records::Settings {
    let mut settings = scratch.settings().clone();
    settings.statement_timeout = PATIENCE / 4;
    settings.lock_timeout = PATIENCE / 5;
    settings.unit_timeout = PATIENCE / 2;
    settings
}

/// One for all tests of this run: declaring the queues takes longer than most of the tests.
fn namespace() -> String {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NAME.get_or_init(|| unique_name("t")).clone()
}

struct Taker {
    sender: mpsc::UnboundedSender<String>,
}

impl Handler for Taker {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        let _ = self.sender.send(String::from_utf8_lossy(&delivery.body).into_owned());
        Verdict::Done
    }
}

fn changed(applied: &Applied) {
    assert!(matches!(applied, Applied::Changed { .. }), "{applied:?}");
}

pub(crate) async fn reply(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Reply { status, headers, body: response.text().await.unwrap() }
}

pub(crate) fn portal() -> PortalName {
    PortalName::parse("operations").unwrap()
}

pub(crate) fn by(channel: Channel) -> AskedStep {
    AskedStep { channel, target: Target::Primary, timeout: None }
}

pub(crate) fn path_of(key: &ChallengeKey, last: &str) -> String {
    format!("/app/challenges/{}/{}/{last}", key.portal, key.id)
}

/// As the account's carrier signs: the URL without its fragment, then every field in the order of the names.
pub(crate) fn signature(url: &str, fields: &[(&str, &str)]) -> String {
    signature_by(AUTH_TOKEN, url, fields)
}

/// The same by the account with this auth token.
pub(crate) fn signature_by(auth_token: &str, url: &str, fields: &[(&str, &str)]) -> String {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let joined: String = sorted.iter().flat_map(|(name, value)| [*name, *value]).collect();
    let url = url.split('#').next().unwrap();
    hmac_sha1_base64(auth_token.as_bytes(), format!("{url}{joined}").as_bytes())
}

fn engine_settings() -> fleet_engine::Settings {
    let env = std::iter::once(("FLEET_ENGINE__PUBLIC_URL".to_owned(), PUBLIC_URL.to_owned()));
    let settings = fleet_settings::Settings::load_from(&[fleet_engine::DEFAULTS], None, env).unwrap();
    settings.section("engine").unwrap()
}

fn twilio_settings() -> fleet_twilio::Settings {
    let settings =
        fleet_settings::Settings::load_from(&[fleet_twilio::DEFAULTS], None, std::iter::empty()).unwrap();
    fleet_twilio::Settings {
        account_sid: "AC00000000000000000000000000000001".into(),
        auth_token: AUTH_TOKEN.into(),
        name: "twilio".into(),
        calls_per_second: 1,
        caller_ids: vec![CALLER_ID.into()],
        ..settings.section("twilio").unwrap()
    }
}

fn gateway_settings(changes: &[(&str, &str)]) -> fleet_gateway::Settings {
    let all = [&[("HEAD_TIMEOUT", "1s"), ("BODY_LIMIT_BYTES", "8192")], changes].concat();
    let env = all.into_iter().map(|(key, value)| (format!("FLEET_GATEWAY__{key}"), value.to_owned()));
    let settings = fleet_settings::Settings::load_from(&fleet_gateway::DEFAULTS, None, env).unwrap();
    settings.section("gateway").unwrap()
}
