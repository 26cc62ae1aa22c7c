//! What becomes of requests: doubled, contradicted, canceled before they came, late, for nobody.

use std::time::Duration;

use fleet_contracts::NumberMatch;
use fleet_domain::{ChallengeResult, Channel, DeviceId, Policy, Reason, Target};

use crate::world::{ALL, PORTAL, Service, World, keys, until};

const DEVICE: &str = "00000000-0000-8000-8000-000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn o8_the_same_request_again_is_the_same_challenge() {
    let world = World::new("").await;
    let frank = world.app_user("frank", &[(DEVICE, "swarm-1")]).await;
    let fleet = world.start(&ALL).await;
    let draft = world.portal.draft(frank);
    let id = world.ask(&draft).await;
    for _ in 0..5 {
        assert_eq!(world.ask(&draft).await, id);
    }
    assert_eq!(world.outcome(id).await.reason, Some(Reason::OkPush));
    until("all deliveries are done", || async {
        fleet.count("mfa_broker_deliveries_total", &["queue=\"challenge.default\"", "end=\"done\""]) == 6
    })
    .await;
    assert_eq!(world.facts("push").await.len(), 1);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn o8_another_request_under_the_same_id_is_refused_and_leaves_the_outcome_alone() {
    let world = World::new("").await;
    let frank = world.app_user("frank", &[(DEVICE, "swarm-1")]).await;
    let fleet = world.start(&ALL).await;
    let draft = world.portal.draft(frank);
    let id = world.ask(&draft).await;
    let outcome = world.outcome(id).await;
    world.ask(&draft.clone().locale("es-MX")).await;
    until("it is refused", || async {
        fleet.count("mfa_challenges_refused_total", &["reason=\"conflict\""]) == 1
    })
    .await;
    assert_eq!(world.portal.outcome(id).await.unwrap(), Some(outcome));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_before_its_request_leaves_a_tombstone_that_the_request_finds() {
    let world = World::new("").await;
    let frank = world.app_user("frank", &[(DEVICE, "swarm-1")]).await;
    let fleet = world.start(&ALL).await;
    let draft = world.portal.draft(frank);
    until("the cancel is taken", || async { world.portal.cancel(draft.id()).await.is_ok() }).await;
    assert_eq!(world.outcome(draft.id()).await.reason, Some(Reason::CallerCanceled));
    world.ask(&draft).await;
    until("the request is done", || async {
        fleet.count("mfa_broker_deliveries_total", &["queue=\"challenge.default\"", "end=\"done\""]) == 1
    })
    .await;
    assert_eq!(world.outcome(draft.id()).await.result, ChallengeResult::Canceled);
    assert!(world.facts("push").await.is_empty());
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waited_past_its_deadline_was_never_started() {
    let world = World::new("").await;
    let frank = world.app_user("frank", &[(DEVICE, "swarm-1")]).await;
    // A first process declares the queues; then nobody is there for a while.
    assert!(world.start(&[Service::Push]).await.stop().await);
    let id = world.ask(&world.portal.draft(frank).answer_within(Duration::from_secs(1))).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let fleet = world.start(&ALL).await;
    let outcome = world.outcome(id).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Expired, Some(Reason::NotStarted)));
    assert!(world.facts("push").await.is_empty());
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_does_not_exist_and_one_of_another_audience_look_the_same() {
    let world = World::new("").await;
    let stranger = fleet_records::NewUser {
        id: fleet_domain::UserId::parse("stranger").unwrap(),
        audience: "recipients".into(),
        method: Channel::Push,
        phones: Vec::new(),
        devices: Vec::new(),
    };
    world.records.put_user(&stranger).await.unwrap();
    let fleet = world.start(&ALL).await;
    for user in ["nobody", "stranger"] {
        let outcome = world.challenge(&fleet_domain::UserId::parse(user).unwrap()).await;
        assert_eq!(
            (outcome.result, outcome.reason),
            (ChallengeResult::Failed, Some(Reason::NoMethod)),
            "{user}"
        );
        assert!(outcome.attempts.is_empty() && outcome.alternatives.is_empty());
    }
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_of_a_request_does_not_give_its_digits_away() {
    let world = World::new("").await;
    let frank = world.app_user("frank", &[(DEVICE, "swarm-1")]).await;
    let fleet = world.start(&[Service::Push]).await;
    let draft = world.portal.draft(frank).showing(NumberMatch::parse("42").unwrap());
    let id = world.ask(&draft).await;
    until("it is accepted", || async { world.stored(id).await.is_some() }).await;
    let stored = world.stored(id).await.unwrap().request.body_hash;
    // Whoever reads the table knows all of it but the digits, and can try them all.
    let guess = format!(r#"{{"challenge_id":"{id}","number_match":"42","user_id":"frank"}}"#);
    assert_ne!(stored, fleet_keys::sha256(guess.as_bytes()));
    let parts = [PORTAL.as_bytes(), id.as_bytes().as_slice(), guess.as_bytes()];
    assert_eq!(
        stored,
        keys(&world.environment).keyed_digest("request_body", &parts),
        "only a key of the fleet tells"
    );
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_the_portal_may_not_use_and_a_device_of_somebody_else_reach_nobody() {
    let world = World::new("").await;
    let policy = Policy { channels: vec![Channel::Push], approve_only: true, ..Policy::default() };
    world.register(policy).await;
    let frank = world.app_user("frank", &[(DEVICE, "swarm-1")]).await;
    let fleet = world.start(&ALL).await;
    let other = Target::Device(DeviceId::parse("00000000-0000-8000-8000-000000000002").unwrap());
    for (draft, reason) in [
        (world.portal.draft(frank.clone()).by(Channel::Voice), Reason::MethodNotAllowed),
        (world.portal.draft(frank).to(other), Reason::NoDevice),
    ] {
        let id = world.ask(&draft).await;
        assert_eq!(world.outcome(id).await.reason, Some(reason));
    }
    assert!(world.facts("push").await.is_empty() && world.facts("call_created").await.is_empty());
    assert!(fleet.stop().await);
}
