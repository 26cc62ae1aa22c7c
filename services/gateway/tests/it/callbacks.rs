//! Mutated, replayed, foreign and late callbacks and digits, thousands of them: none approves anything, none is answered
//! with a server error, and afterwards each call still approves by its right keys.
//!
//! The routes are called in this process, against a real database. A million (many minutes) with their counts:
//! `CALLBACKS=1000000 cargo test -p fleet-gateway --test it callbacks -- --nocapture`; `CALLBACKS_SEED` repeats a run.

mod shots;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use fleet_domain::{ChallengeKey, ChallengeResult, Channel, Event, PinRule, Policy, UserId};
use fleet_keys::{Keys, Pin};
use futures_util::future::join_all;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::hostile::Random;
use crate::support::{Fleet, PUBLIC_URL, SIGNATURE, by, signature};
use shots::{Kind, Real, Shot};

/// How many are sent where nothing else is said: what fits into every run of the tests.
const COUNT: usize = 20_000;
/// How many are sent at one set of calls, which lives for ten minutes.
const PER_SET: usize = 20_000;
const AT_ONCE: usize = 64;
const LASTING: Duration = Duration::from_mins(9);
/// Within this, calls are set up whose deadline is then waited for.
const SHORT: Duration = Duration::from_secs(8);

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secret {
    Key,
    Number(&'static str),
    Pin(&'static str),
}

/// A call at its second prompt, after a wrong entry at the first.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) key: ChallengeKey,
    pub(crate) url: String,
    /// The URL of an attempt that was never made, with its own token.
    pub(crate) next_url: String,
    pub(crate) sid: String,
    pub(crate) secret: Secret,
}

pub(crate) type Fields = Vec<(String, String)>;

pub(crate) fn owned(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn signed(url: &str, fields: &Fields) -> String {
    signature(url, &fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>())
}

impl Call {
    pub(crate) fn input(&self, round: u8) -> String {
        format!("{}/input/{round}", self.url)
    }

    /// A request for this call.
    pub(crate) fn fields(&self, more: &[(&str, &str)]) -> Fields {
        let mut fields = owned(&[
            ("AccountSid", "AC00000000000000000000000000000001"),
            ("CallSid", &self.sid),
            ("Direction", "outbound-api"),
            ("From", "+15005550006"),
        ]);
        fields.extend(owned(more));
        fields
    }

    /// The entry that approves.
    pub(crate) fn right(&self) -> Fields {
        match self.secret {
            Secret::Key => self.fields(&[("Digits", ""), ("FinishedOnKey", "#")]),
            Secret::Number(digits) | Secret::Pin(digits) => {
                self.fields(&[("Digits", digits), ("FinishedOnKey", "#")])
            }
        }
    }

    /// The entry at the first prompt, which was wrong.
    pub(crate) fn first(&self) -> Fields {
        self.fields(&[("Digits", "777"), ("FinishedOnKey", "#")])
    }
}

/// The calls that are shot at.
pub(crate) struct Calls {
    /// Only what must not move them is sent to these.
    pub(crate) live: Vec<Call>,
    /// Wrong entries and ends are sent to these.
    pub(crate) victims: Vec<Call>,
    /// These have ended otherwise than approved.
    pub(crate) ended: Vec<Call>,
    /// These have passed their deadline, and nobody has noticed.
    pub(crate) late: Vec<Call>,
}

/// The routes, called as the carrier calls them.
#[derive(Clone)]
struct Door(TowerToHyperService<Router>);

impl Door {
    /// The status of the answer; `None` for what is no HTTP request.
    async fn send(&self, shot: &Shot) -> Option<u16> {
        let path = shot.url.strip_prefix(PUBLIC_URL)?;
        let mut request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        if let Some(signature) = &shot.signature {
            request = request.header(SIGNATURE, signature);
        }
        if let Some(settings) = shot.signature_settings {
            request = request.header("x-twilio-webhooks-signature-settings", settings);
        }
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(&shot.fields).finish();
        let response = self.0.call(request.body(Body::from(form)).ok()?).await.unwrap();
        Some(response.status().as_u16())
    }

    async fn send_signed(&self, url: String, fields: Fields) -> u16 {
        let signature = Some(signed(&url, &fields));
        let shot =
            Shot { kind: Kind::Real(Real::Replayed), url, fields, signature, signature_settings: None };
        self.send(&shot).await.unwrap()
    }
}

struct Scene {
    fleet: Fleet,
    door: Door,
    made: usize,
}

impl Scene {
    async fn new() -> Self {
        let fleet = Fleet::start().await;
        let door = Door(TowerToHyperService::new(fleet.router()));
        Self { fleet, door, made: 0 }
    }

    /// So many calls, of each mode in turn, all at their second prompt.
    async fn calls(&mut self, count: usize, lasting: Duration) -> Vec<Call> {
        let numbers = self.made..self.made + count;
        self.made += count;
        let secrets = [Secret::Key, Secret::Number("42"), Secret::Key, Secret::Pin("825013")];
        let secret = |number: usize| secrets[number % secrets.len()];
        let (with_pin, others): (Vec<usize>, Vec<usize>) =
            numbers.partition(|number| matches!(secret(*number), Secret::Pin(_)));
        let mut calls = Vec::new();
        for (numbers, pin) in [(with_pin, PinRule::Required), (others, PinRule::Off)] {
            self.fleet.policy(Policy { pin, ..Policy::default() }).await;
            let made = numbers.iter().map(|number| self.call(*number, secret(*number), lasting));
            calls.extend(join_all(made).await);
        }
        calls
    }

    async fn call(&self, number: usize, secret: Secret, lasting: Duration) -> Call {
        let (fleet, user) = (&self.fleet, format!("u{number}"));
        let enrolled = fleet.enroll(&user, &[]).await;
        if let Secret::Pin(pin) = secret {
            let hash = Keys::for_tests().hash_pin(&user, &Pin::parse(pin).unwrap());
            fleet.engine.records().set_pins(&[(enrolled.clone(), Some(hash))]).await.unwrap();
        }
        let key = self.challenge(&enrolled, secret, lasting).await;
        fleet.dial_line(&key, (true, &format!("+1500{number:07}"))).await;
        let links = fleet.engine.links();
        let url = |attempt| links.twiml_url(&key, attempt).split('#').next().unwrap().to_owned();
        let (url, next_url) = (url(1), url(2));
        let call = Call { key, url, next_url, sid: format!("CA{number:032x}"), secret };
        assert_eq!(self.door.send_signed(call.url.clone(), call.fields(&[])).await, 200);
        assert_eq!(self.door.send_signed(call.input(1), call.first()).await, 200);
        let attempt = fleet.stored(&call.key).await.attempt(1).unwrap().rounds;
        assert_eq!(attempt, 2, "{call:?}");
        call
    }

    async fn challenge(&self, user: &UserId, secret: Secret, lasting: Duration) -> ChallengeKey {
        let number = match secret {
            Secret::Number(digits) => Some(digits),
            Secret::Key | Secret::Pin(_) => None,
        };
        // A reading of the portals that began before the policy was stored may bring the old one back for a moment.
        let needs_pin = matches!(secret, Secret::Pin(_));
        let portal = crate::support::portal();
        let rule = if needs_pin { PinRule::Required } else { PinRule::Off };
        self.fleet
            .until(|fleet| {
                fleet.engine.records().portal(&portal).is_some_and(|found| found.policy.pin == rule)
            })
            .await;
        let answer_by = Some(self.fleet.engine.now().plus(lasting));
        self.fleet.challenge_until(user, &[by(Channel::Voice)], (number, answer_by)).await
    }

    async fn set(&mut self, late: Vec<Call>) -> Calls {
        let live = self.calls(24, LASTING).await;
        let victims = self.calls(48, LASTING).await;
        let ended = self.calls(12, LASTING).await;
        for call in &ended {
            self.fleet.apply(&call.key, Event::Cancel).await;
        }
        Calls { live, victims, ended, late }
    }

    async fn result(&self, call: &Call) -> Option<ChallengeResult> {
        self.fleet.stored(&call.key).await.live.end.map(|end| end.reason.result())
    }

    /// No call was approved, those that were only to be left alone are where they were, and their keys pass.
    async fn judge(&self, calls: &Calls) {
        for call in &calls.live {
            let stored = self.fleet.stored(&call.key).await;
            let attempt = stored.attempt(1).unwrap();
            assert!(stored.is_open() && attempt.rounds == 2, "it was moved: {stored:?}");
        }
        for call in [&calls.victims[..], &calls.ended, &calls.late].concat() {
            assert_ne!(self.result(&call).await, Some(ChallengeResult::Approved), "{call:?}");
        }
        for call in &calls.live {
            assert_eq!(self.door.send_signed(call.input(2), call.right()).await, 200);
            assert_eq!(
                self.result(call).await,
                Some(ChallengeResult::Approved),
                "the right keys pass: {call:?}"
            );
        }
    }
}

#[derive(Default)]
struct Tally {
    by_kind: BTreeMap<Kind, usize>,
    by_status: BTreeMap<u16, usize>,
    wrong: Vec<String>,
}

impl Tally {
    fn note(&mut self, shot: &Shot, status: Option<u16>) {
        *self.by_kind.entry(shot.kind).or_default() += 1;
        *self.by_status.entry(status.unwrap_or_default()).or_default() += 1;
        if status.is_some_and(|status| !shot.kind.may_be_answered(status)) && self.wrong.len() < 10 {
            self.wrong.push(format!("{status:?}: {shot:?}"));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how much is tested is no setting of the fleet")]
fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_mutated_replayed_foreign_and_late_callbacks_approve_nothing() {
    let count = from_environment("CALLBACKS").map_or(COUNT, |count| usize::try_from(count).unwrap());
    let seed = from_environment("CALLBACKS_SEED").unwrap_or(0x0ca1_1bac_05ed);
    let (mut scene, mut random) = (Scene::new().await, Random(seed));
    let late = scene.calls(12, SHORT).await;
    let deadline = scene.fleet.engine.now().plus(SHORT);
    let (began, mut sent, mut tally, mut shooting) = (Instant::now(), 0, Tally::default(), Duration::ZERO);
    while sent < count {
        let calls = Arc::new(scene.set(late.clone()).await);
        scene.fleet.until(|fleet| fleet.engine.now() > deadline).await;
        let set_began = Instant::now();
        let end = (sent + PER_SET).min(count);
        let mut under_way = JoinSet::new();
        while sent < end || !under_way.is_empty() {
            if sent >= end || under_way.len() >= AT_ONCE {
                let (shot, status): (Shot, Option<u16>) = under_way.join_next().await.unwrap().unwrap();
                tally.note(&shot, status);
                continue;
            }
            for shot in shots::next(&mut random, &calls) {
                sent += 1;
                let door = scene.door.clone();
                under_way.spawn(async move {
                    let status = door.send(&shot).await;
                    (shot, status)
                });
            }
        }
        shooting += set_began.elapsed();
        assert!(tally.wrong.is_empty(), "seed {seed}: {:#?}", tally.wrong);
        scene.judge(&calls).await;
        println!("{sent} of {count} after {:.0?}", began.elapsed());
    }
    println!(
        "{sent} callbacks with seed {seed} in {:.0?}, {} per second while shooting; answers: {:?}; kinds: {:#?}",
        began.elapsed(),
        sent * 1_000 / usize::try_from(shooting.as_millis()).unwrap(),
        tally.by_status,
        tally.by_kind
    );
    assert_eq!(tally.by_kind.len(), Kind::COUNT, "each kind was sent");
    scene.fleet.end().await;
}
