//! One-time codes, from the portal's messages to the outcome, over the real queues.

use std::time::Duration;

use fleet_contracts::{OneTimeCode, Outcome};
use fleet_domain::{
    Assurance, ChallengeId, ChallengeKey, ChallengeResult, Channel, DeviceId, Event, Policy, PortalName,
    Progress, PushToken, Reason, Target, UserId,
};
use fleet_engine::Apply;
use fleet_hostile::{Attacker, Message, Properties};
use fleet_keys::{Keys, TotpSecret};
use fleet_records::{Actor, Cause, DeviceAlg, NewDevice};
use futures_util::future::join_all;
use serde_json::json;

use crate::world::{ALL, PORTAL, Running, Service, World, decoded, until};

/// A world whose portal may ask for codes.
async fn world(people: &str) -> World {
    let world = World::new(people).await;
    world.register(policy()).await;
    world
}

fn policy() -> Policy {
    let channels = vec![Channel::Voice, Channel::Push, Channel::Totp];
    Policy { channels, approve_only: true, ring_s: 20, prompts: 2, ..Policy::default() }
}

/// Stores a user whose method is the codes of one device. It is one of the simulator's swarm, and approves every push.
async fn typist(world: &World, id: &str) -> (UserId, TotpSecret) {
    let secret = Keys::new_totp_secret();
    // Each user has a device of its own.
    let number = id.bytes().fold(0_u64, |number, byte| (number * 32 + u64::from(byte & 31)) % 99_991);
    let device = NewDevice {
        id: DeviceId::parse(&format!("00000000-0000-8000-8000-{number:012x}")).unwrap(),
        alg: DeviceAlg::Es256,
        public_key: decoded(&fleet_simulator::swarm_public_key().unwrap()),
        push_token: Some(PushToken::new(format!("swarm-{number}"))),
        totp: Some(secret.clone()),
    };
    (world.user(id, Channel::Totp, Vec::new(), vec![device]).await, secret)
}

/// Moves the fleet's clock to the beginning of a time step, so that a test is over before the next one.
async fn at_the_start_of_a_step(world: &World) {
    let now = fleet_lifecycle::Clock::system().now().as_secs();
    world.shift_clock(u64::try_from(30 - now % 30).unwrap()).await;
}

fn now(fleet: &Running) -> u64 {
    u64::try_from(fleet.assembly.engine.now().as_secs()).unwrap()
}

/// The code that the app shows so many steps from now.
fn code(fleet: &Running, secret: &TotpSecret, steps: i64) -> OneTimeCode {
    OneTimeCode::parse(&secret.code_at(now(fleet).saturating_add_signed(steps * 30))).unwrap()
}

fn wrong(fleet: &Running, secret: &TotpSecret) -> OneTimeCode {
    code(fleet, secret, 1_000)
}

/// Asks for a challenge of this user, and waits until it waits for a code.
async fn awaited(world: &World, user: &UserId) -> ChallengeId {
    let id = world.ask(&world.portal.draft(user.clone())).await;
    until("a code is awaited", || async {
        world.portal.outcome(id).await.unwrap().is_some_and(|told| told.progress == Progress::AwaitingCode)
    })
    .await;
    id
}

/// Types a code, and waits until so many were found wrong.
async fn mistype(world: &World, id: ChallengeId, (code, number): (&OneTimeCode, u8)) {
    world.portal.enter_code(id, code).await.unwrap();
    until("it is found wrong", || async {
        let told = world.portal.outcome(id).await.unwrap().unwrap();
        told.attempts.last().unwrap().wrong_codes == Some(number)
    })
    .await;
}

/// Types a code, and waits for the outcome.
async fn type_last(world: &World, id: ChallengeId, code: &OneTimeCode) -> Outcome {
    world.portal.enter_code(id, code).await.unwrap();
    world.outcome(id).await
}

/// A challenge in which this code is typed three times.
async fn thrice(world: &World, user: &UserId, code: &OneTimeCode) -> Outcome {
    let id = awaited(world, user).await;
    mistype(world, id, (code, 1)).await;
    mistype(world, id, (code, 2)).await;
    type_last(world, id, code).await
}

fn count(fleet: &Running, result: &str) -> u64 {
    fleet.count("mfa_codes_total", &[&format!("result=\"{result}\"")])
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_a_right_code_approves_once_and_is_a_wrong_one_from_then_on() {
    let world = world("").await;
    at_the_start_of_a_step(&world).await;
    let (tess, secret) = typist(&world, "tess").await;
    let fleet = world.start(&ALL).await;
    let right = code(&fleet, &secret, 0);
    let id = awaited(&world, &tess).await;
    let outcome = type_last(&world, id, &right).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Approved, Some(Reason::OkTotp)));
    assert_eq!(outcome.assurance, Some(Assurance::Totp));
    let attempt = &outcome.attempts[0];
    assert_eq!((attempt.channel, attempt.wrong_codes, outcome.attempts.len()), (Channel::Totp, None, 1));
    assert_eq!(outcome.alternatives.iter().map(|one| one.channel).collect::<Vec<_>>(), [Channel::Push]);

    let denied = thrice(&world, &tess, &right).await;
    assert_eq!((denied.result, denied.reason), (ChallengeResult::Denied, Some(Reason::TotpMismatch)));
    assert_eq!(denied.attempts[0].wrong_codes, Some(3));
    assert_eq!((count(&fleet, "right"), count(&fleet, "replayed")), (1, 3));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_a_code_of_half_a_minute_before_or_after_counts_and_none_that_is_older_than_the_last() {
    let world = world("").await;
    at_the_start_of_a_step(&world).await;
    let mut people = Vec::new();
    for id in ["ahead", "early", "late", "stale"] {
        people.push(typist(&world, id).await);
    }
    let fleet = world.start(&ALL).await;
    // First the one that a new step would make right.
    for ((user, secret), (steps, reason)) in people.iter().zip([
        (2, Reason::TotpMismatch),
        (1, Reason::OkTotp),
        (-1, Reason::OkTotp),
        (-2, Reason::TotpMismatch),
    ]) {
        let typed = code(&fleet, secret, steps);
        let outcome = if reason == Reason::OkTotp {
            type_last(&world, awaited(&world, user).await, &typed).await
        } else {
            thrice(&world, user, &typed).await
        };
        assert_eq!(outcome.reason, Some(reason), "{user}");
    }
    // The code that the app shows now was never typed, but a later one was.
    let (early, secret) = &people[1];
    assert_eq!(thrice(&world, early, &code(&fleet, secret, 0)).await.reason, Some(Reason::TotpMismatch));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_a3_challenges_with_wrong_codes_lock_the_users_codes_until_help_desk_lifts_that() {
    let mut world = world("").await;
    world.set("FLEET_ENGINE__LOCKOUT_CHALLENGES", "2");
    at_the_start_of_a_step(&world).await;
    let (tess, secret) = typist(&world, "tess").await;
    let fleet = world.start(&ALL).await;
    let open = awaited(&world, &tess).await;
    for _ in 0..2 {
        let denied = thrice(&world, &tess, &wrong(&fleet, &secret)).await;
        assert_eq!(denied.reason, Some(Reason::TotpMismatch));
    }
    // Right, and not compared: else a guess would be told from a wrong one.
    let right = code(&fleet, &secret, 0);
    assert_eq!(type_last(&world, open, &right).await.reason, Some(Reason::LockedOut));
    assert_eq!(world.challenge(&tess).await.reason, Some(Reason::LockedOut));
    assert_eq!((count(&fleet, "wrong"), count(&fleet, "locked_out")), (6, 1));

    assert!(world.records.unblock(&tess, &Cause::operator("it was she")).await.unwrap());
    let id = awaited(&world, &tess).await;
    mistype(&world, id, (&wrong(&fleet, &secret), 1)).await;
    assert_eq!(type_last(&world, id, &right).await.reason, Some(Reason::OkTotp));
    assert_eq!(world.scratch.sql("SELECT count(*) FROM lockouts").await, ["0"], "a right one forgives");
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_one_code_in_two_challenges_at_two_workers_at_once_approves_one_of_them() {
    let world = world("").await;
    at_the_start_of_a_step(&world).await;
    let mut people = Vec::new();
    for number in 0..8 {
        people.push(typist(&world, &format!("t{number}")).await);
    }
    let workers = [world.start(&[Service::Voice]).await, world.start(&[Service::Voice]).await];
    let mut pairs = Vec::new();
    for (user, secret) in &people {
        let both = [awaited(&world, user).await, awaited(&world, user).await];
        pairs.push((both, code(&workers[0], secret, 0)));
    }
    let typed = pairs.iter().flat_map(|(both, code)| both.map(|id| world.portal.enter_code(id, code)));
    for entered in join_all(typed).await {
        entered.unwrap();
    }
    for (both, _) in &pairs {
        until("each code is judged", || async {
            let told = join_all(both.map(|id| world.portal.outcome(id))).await;
            let told = told.into_iter().map(|told| told.unwrap().unwrap()).collect::<Vec<_>>();
            let right = told.iter().filter(|told| told.reason == Some(Reason::OkTotp)).count();
            let wrong = told.iter().filter(|told| told.attempts[0].wrong_codes == Some(1)).count();
            assert!(right <= 1);
            (right, wrong) == (1, 1)
        })
        .await;
    }
    let total = |result| workers.iter().map(|worker| count(worker, result)).sum::<u64>();
    assert_eq!((total("right"), total("replayed")), (8, 8));
    for worker in workers {
        assert!(worker.stop().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_without_redis_a_code_approves_and_the_portal_hears_of_it_when_redis_is_back() {
    let mut world = world("").await;
    at_the_start_of_a_step(&world).await;
    let (tess, secret) = typist(&world, "tess").await;
    let here = world.environment.iter().find(|(name, _)| name == "REDIS_URL").unwrap().1.clone();
    world.set("REDIS_URL", "redis://127.0.0.1:1");
    let fleet = world.start(&ALL).await;
    let id = world.ask(&world.portal.draft(tess)).await;
    until("a code is awaited", || async {
        world.stored(id).await.is_some_and(|challenge| challenge.awaiting_code().is_some())
    })
    .await;
    world.portal.enter_code(id, &code(&fleet, &secret, 0)).await.unwrap();
    until("it is approved", || async { !world.stored(id).await.unwrap().is_open() }).await;
    assert_eq!(world.portal.outcome(id).await.unwrap(), None);
    assert!(fleet.stop().await);
    world.set("REDIS_URL", &here);
    let fleet = world.start(&ALL).await;
    assert_eq!(world.outcome(id).await.reason, Some(Reason::OkTotp));
    assert!(fleet.stop().await);
}

/// The states and the message that a worker leaves behind that dies between the try and the finding: before it has taken the
/// code, and after.
#[tokio::test(flavor = "multi_thread")]
async fn r3_a_code_whose_worker_died_is_judged_by_the_next_one_under_the_same_try() {
    let world = world("").await;
    at_the_start_of_a_step(&world).await;
    let fleet = world.start(&ALL).await;
    goes_on(&world, &fleet, ("tess", false)).await;
    goes_on(&world, &fleet, ("tom", true)).await;
    assert!(fleet.stop().await);
}

async fn goes_on(world: &World, fleet: &Running, (name, is_taken): (&str, bool)) {
    let (user, secret) = typist(world, name).await;
    let id = awaited(world, &user).await;
    let right = code(fleet, &secret, 0);
    let key = ChallengeKey { id, portal: PortalName::parse(PORTAL).unwrap() };
    let parts = [PORTAL.as_bytes(), id.as_bytes().as_slice(), b"a code", right.reveal().as_bytes()];
    let this_try = world.keys().keyed_hash("code_try", &parts);
    let entered = Event::CodeEntered { attempt: 1, id: this_try };
    fleet.assembly.engine.apply(Apply::urgent(&key, Actor::Person), |_| entered.clone()).await.unwrap();
    assert_eq!(world.stored(id).await.unwrap().live.tries, 1);
    if is_taken {
        let device = world.records.user(&user).await.unwrap().unwrap().devices[0].id;
        assert!(world.records.take_code((device, now(fleet) / 30), &this_try).await.unwrap());
        // Too late for the code, if it had not been taken.
        world.shift_clock(62).await;
    }

    let namespace = world.environment.iter().find(|(name, _)| name == "FLEET_BROKER__NAMESPACE").unwrap();
    let mut broker = Attacker::connect(&fleet_testkit::amqp_url()).await.unwrap();
    let body = json!({
        "specversion": "1.0", "id": "a code", "source": "/portals/fleet", "type": "mfa.challenge.code_entered.v1",
        "data": { "challenge_id": id.to_string(), "code": right.reveal() },
    });
    let properties = Properties { user_id: Some(PORTAL.into()), ..Properties::default() };
    let message =
        Message { routing_key: "challenge.code".to_owned(), properties, body: body.to_string().into_bytes() };
    let exchange = format!("{}.mfa.requests", namespace.1);
    broker.publish(&exchange, &message).await.unwrap();
    assert_eq!(world.outcome(id).await.reason, Some(Reason::OkTotp));
    let ended = world.stored(id).await.unwrap();
    let tries = &ended.live.attempts[0].codes.as_ref().unwrap().tries;
    assert_eq!((tries.len(), ended.live.tries), (1, 0), "no second try was taken");
    // Delivered once more after all, it changes nothing.
    let late = count(fleet, "late");
    broker.publish(&exchange, &message).await.unwrap();
    until("it is done", || async { count(fleet, "late") == late + 1 }).await;
    assert_eq!(world.stored(id).await, Some(ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_a_code_that_nothing_waits_for_changes_nothing_and_one_that_overtakes_its_challenge_waits_for_it()
{
    let world = world("").await;
    let (tess, secret) = typist(&world, "tess").await;
    let fleet = world.start(&ALL).await;
    let canceled = awaited(&world, &tess).await;
    world.portal.cancel(canceled).await.unwrap();
    let before = world.outcome(canceled).await;
    assert_eq!(before.reason, Some(Reason::CallerCanceled));
    world.portal.enter_code(canceled, &wrong(&fleet, &secret)).await.unwrap();
    until("it came too late", || async { count(&fleet, "late") == 1 }).await;
    assert_eq!(world.portal.outcome(canceled).await.unwrap(), Some(before));

    let draft = world.portal.draft(tess);
    world.portal.enter_code(draft.id(), &code(&fleet, &secret, 0)).await.unwrap();
    until("it waits", || async {
        fleet.count("mfa_broker_deliveries_total", &["queue=\"challenge.code\"", "end=\"retry\""]) >= 1
    })
    .await;
    world.ask(&draft).await;
    assert_eq!(world.outcome(draft.id()).await.reason, Some(Reason::OkTotp));

    let long_ago = fleet_lifecycle::Clock::system().now().minus(Duration::from_secs(31));
    let unknown = ChallengeId::from_parts(long_ago, [7; 10]);
    world.portal.enter_code(unknown, &wrong(&fleet, &secret)).await.unwrap();
    until("it is refused", || async {
        fleet.count("mfa_challenges_refused_total", &["reason=\"invalid_request\""]) == 1
    })
    .await;
    assert_eq!((count(&fleet, "unknown"), world.stored(unknown).await), (1, None));
    assert_eq!(fleet.count("mfa_broker_parked_total", &[]), 0);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_r3_codes_are_a_step_of_a_workflow_that_leads_on_by_its_time_alone() {
    let person =
        "[[person]]\nname = \"rings out\"\nnumber = \"+19195550105\"\nanswers = { after = \"100s\" }\n";
    let world = world(person).await;
    at_the_start_of_a_step(&world).await;
    let caller = world.caller("rings-out", "+19195550105").await;
    let (tess, secret) = typist(&world, "tess").await;
    let (sam, _) = typist(&world, "sam").await;
    let fleet = world.start(&ALL).await;
    let soon = Some(Duration::from_secs(5));
    let silent = world.portal.draft(sam).then_by(Channel::Totp, Target::Primary, soon).then_by(
        Channel::Push,
        Target::Primary,
        None,
    );
    let outcome = {
        world.ask(&silent).await;
        world.outcome(silent.id()).await
    };
    assert_eq!(outcome.reason, Some(Reason::OkPush), "nothing was typed");
    assert_eq!(outcome.attempts[0].reason, Some(Reason::NoResponse));

    let typed = world.portal.draft(tess).answer_within(Duration::from_secs(10));
    let typed =
        typed.then_by(Channel::Totp, Target::Primary, soon).then_by(Channel::Push, Target::Primary, None);
    world.ask(&typed).await;
    until("a code is awaited", || async { world.portal.outcome(typed.id()).await.unwrap().is_some() }).await;
    mistype(&world, typed.id(), (&wrong(&fleet, &secret), 1)).await;
    let outcome = world.outcome(typed.id()).await;
    assert_eq!((outcome.reason, outcome.attempts.len()), (Some(Reason::NoResponse), 1), "no push followed");

    // Without a device that has a secret there is nothing to type.
    let none = world.portal.draft(caller).by(Channel::Totp);
    world.ask(&none).await;
    assert_eq!(world.outcome(none.id()).await.reason, Some(Reason::NoDevice));
    assert!(fleet.stop().await);
}
