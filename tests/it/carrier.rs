//! Calls at a carrier that does what it is told and nothing else: it queues, it is slow, it breaks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use fleet_domain::{Attempt, AttemptState, ChallengeId, ChallengeResult, Reason};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::world::{ALL, Service, World, until};

const SID: &str = "CA00000000000000000000000000000007";
const NUMBER: &str = "+19195550101";
const SECOND: Duration = Duration::from_secs(1);

/// What it was asked, and what it answers.
struct Book {
    /// Places for the answers to creates: with none, they wait.
    answers: Semaphore,
    /// Milliseconds for which a call is said to be queued.
    queue_time: &'static str,
    creates: Mutex<u32>,
    /// The bodies of updates.
    updates: Mutex<Vec<String>>,
    /// The status of every answer but that to a create.
    otherwise: StatusCode,
}

struct Carrier {
    book: Arc<Book>,
    _server: JoinSet<()>,
}

impl Carrier {
    /// A carrier that the world's services call from now on.
    async fn of(world: &mut World, queue_time: &'static str, otherwise: StatusCode, answers: usize) -> Self {
        let (creates, updates) = (Mutex::default(), Mutex::default());
        let book = Book { answers: Semaphore::new(answers), queue_time, creates, updates, otherwise };
        let book = Arc::new(book);
        let app = Router::new()
            .route("/2010-04-01/Accounts/{account}/Calls.json", post(create))
            .route("/2010-04-01/Accounts/{account}/Calls/{sid}", get(look).post(update))
            .with_state(book.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        world.set("FLEET_TWILIO__BASE_URL", &format!("http://{}", listener.local_addr().unwrap()));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { book, _server: server }
    }

    fn creates(&self) -> u32 {
        *self.book.creates.lock().unwrap()
    }

    fn updates(&self) -> Vec<String> {
        self.book.updates.lock().unwrap().clone()
    }
}

async fn create(State(book): State<Arc<Book>>) -> (StatusCode, String) {
    *book.creates.lock().unwrap() += 1;
    book.answers.acquire().await.unwrap().forget();
    let call = json!({ "sid": SID, "status": "queued", "queue_time": book.queue_time });
    (StatusCode::CREATED, call.to_string())
}

async fn update(State(book): State<Arc<Book>>, body: String) -> (StatusCode, String) {
    book.updates.lock().unwrap().push(body);
    (book.otherwise, json!({ "sid": SID, "status": "canceled" }).to_string())
}

async fn look(State(book): State<Arc<Book>>) -> (StatusCode, String) {
    (book.otherwise, json!({ "sid": SID, "status": "queued" }).to_string())
}

/// The first attempt, once it is known which call it has.
async fn placed(world: &World, id: ChallengeId) -> Attempt {
    let first = async || world.stored(id).await.and_then(|challenge| challenge.attempt(1).cloned());
    until("its call is known", || async { first().await.is_some_and(|attempt| attempt.sid.is_some()) }).await;
    first().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_carrier_queues_for_too_long_is_canceled_at_once() {
    let mut world = World::new("").await;
    let carrier = Carrier::of(&mut world, "600000", StatusCode::OK, 1).await;
    let alice = world.caller("alice", NUMBER).await;
    let fleet = world.start(&ALL).await;
    let outcome = world.challenge(&alice).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Denied, Some(Reason::Throttled)));
    assert_eq!((outcome.attempts.len(), outcome.attempts[0].reason), (1, Some(Reason::Throttled)));
    until("it is canceled", || async { carrier.updates() == ["Status=canceled"] }).await;
    assert_eq!(carrier.creates(), 1);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_leaves_the_carriers_queue_in_time_is_left_alone() {
    let mut world = World::new("").await;
    let carrier = Carrier::of(&mut world, "3000", StatusCode::OK, 1).await;
    let alice = world.caller("alice", NUMBER).await;
    let fleet = world.start(&[Service::Voice]).await;
    let id = world.ask(&world.portal.draft(alice)).await;
    let attempt = placed(&world, id).await;
    assert_eq!(attempt.state, AttemptState::Placed);
    let stored = world.stored(id).await.unwrap();
    let rings_from = stored.time_of(attempt.placed_ms.unwrap()).plus(SECOND * 3);
    assert!(attempt.check_at.unwrap() > rings_from.plus(stored.ring_time(1)), "{attempt:?}");
    assert!(carrier.updates().is_empty());
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_placed_call_is_stored_as_soon_as_the_database_is_back() {
    let mut world = World::new("").await;
    let carrier = Carrier::of(&mut world, "0", StatusCode::OK, 0).await;
    let alice = world.caller("alice", NUMBER).await;
    let fleet = world.start(&[Service::Voice]).await;
    let id = world.ask(&world.portal.draft(alice)).await;
    until("the call is being placed", || async { carrier.creates() == 1 }).await;
    let away = world.scratch.hold("LOCK TABLE challenges IN ACCESS EXCLUSIVE MODE").await;
    let failed = |lane: &str| fleet.count("mfa_records_failures_total", &[lane]);
    carrier.book.answers.add_permits(1);
    // The first time it is the commit that fails, then the loading before it.
    until("its id could not be stored, three times", || async {
        failed("lane=\"bulk\"") >= 1 && failed("lane=\"load_challenge\"") >= 2
    })
    .await;
    away.commit().await;
    let attempt = placed(&world, id).await;
    assert_eq!((attempt.state, attempt.sid.as_deref()), (AttemptState::Placed, Some(SID)));
    assert_eq!(carrier.creates(), 1);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_placed_that_nobody_has_the_time_to_answer() {
    let mut world = World::new("").await;
    let carrier = Carrier::of(&mut world, "0", StatusCode::OK, 1).await;
    let alice = world.caller("alice", NUMBER).await;
    // A first process declares the queues; then nobody is there until three seconds are left.
    let first = world.start(&[Service::Voice]).await;
    until("it has declared them", || async {
        first.assembly.readiness.failing().iter().all(|failing| failing.check != "rabbitmq")
    })
    .await;
    assert!(first.stop().await);
    let draft = world.portal.draft(alice).answer_within(SECOND * 60);
    let id = world.ask(&draft).await;
    world.shift_clock(56).await;
    let fleet = world.start(&[Service::Voice]).await;
    let outcome = world.outcome(id).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Expired, Some(Reason::NotStarted)));
    assert_eq!(outcome.attempts[0].reason, Some(Reason::NotStarted), "it was taken up, and not placed");
    assert_eq!(carrier.creates(), 0);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watch_over_a_call_of_which_nothing_is_heard_any_more_ends() {
    let mut world = World::new("").await;
    let carrier = Carrier::of(&mut world, "0", StatusCode::INTERNAL_SERVER_ERROR, 1).await;
    let alice = world.caller("alice", NUMBER).await;
    let fleet = world.start(&[Service::Voice]).await;
    let id = world.ask(&world.portal.draft(alice).answer_within(SECOND * 60)).await;
    placed(&world, id).await;
    // Its ringing (20 s), the carrier's own limit (120 s) and a minute are over.
    world.shift_clock(230).await;
    assert_eq!(world.outcome(id).await.reason, Some(Reason::NoResponse));
    until("nobody looks at it any more", || async {
        world.scratch.sql("SELECT count(*) FROM calls").await == ["0"]
    })
    .await;
    let attempt = world.stored(id).await.unwrap().attempt(1).cloned().unwrap();
    assert_eq!((attempt.state, attempt.check_at), (AttemptState::Superseded, None));
    assert_eq!(attempt.reason, Some(Reason::ProviderUnavailable));
    assert!(!carrier.updates().is_empty(), "it was told to end");
    assert_eq!(carrier.creates(), 1);
    assert!(fleet.stop().await);
}
