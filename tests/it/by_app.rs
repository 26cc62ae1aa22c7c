//! What apps of all kinds do, from the simulator to the gateway: honest ones that type and look, and hostile ones.

use std::fmt::Write as _;
use std::time::Duration;

use fleet_domain::{Assurance, ChallengeResult, Channel, Policy, PushToken, Reason, UserId};
use fleet_records::{DeviceAlg, NewDevice};
use serde_json::{Value, json};

use crate::world::{ALL, World, decoded, until};

/// A device of the simulator's file, and what the fleet stores of it.
struct App {
    id: String,
    token: Option<&'static str>,
    public_key: String,
}

/// Adds a device with this script to a file of people.
fn app(people: &mut String, token: Option<&'static str>, script: &str) -> App {
    let (private_key, public_key) = fleet_simulator::new_device_key().unwrap();
    let id = format!("00000000-0000-4000-8000-{:012}", people.matches("[[device]]").count());
    let address = token.map(|token| format!("fcm_token = \"{token}\"\n")).unwrap_or_default();
    write!(people, "[[device]]\ndevice_id = \"{id}\"\n{address}private_key = \"{private_key}\"\n{script}\n")
        .unwrap();
    App { id, token, public_key }
}

async fn holder(world: &World, user: &str, apps: &[&App]) -> UserId {
    let device = |app: &&App| NewDevice {
        id: fleet_domain::DeviceId::parse(&app.id).unwrap(),
        alg: DeviceAlg::Es256,
        public_key: decoded(&app.public_key),
        push_token: app.token.map(|token| PushToken::new(token.to_owned())),
        totp: None,
    };
    world.user(user, Channel::Push, Vec::new(), apps.iter().map(device).collect()).await
}

/// What became of the answers that a device sent, once it has sent so many.
async fn results(world: &World, app: &App, count: usize) -> Vec<String> {
    let answers = || async {
        let mut answers = world.facts("app_answered").await;
        answers.retain(|answer| answer["device"] == app.id);
        answers
    };
    until("it has answered", || async { answers().await.len() >= count }).await;
    answers().await.iter().map(|answer| answer["result"].as_str().unwrap().to_owned()).collect()
}

async fn types(world: &World, app: &App, number: &str) {
    let url = format!("{}/sim/apps/{}/types", world.simulator_url, app.id);
    let client = reqwest::Client::builder().build().unwrap();
    client.post(url).json(&json!({ "number": number })).send().await.unwrap().error_for_status().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_the_number_on_the_screen_is_typed_in_the_app_and_a_wrong_one_ends_the_challenge() {
    let mut people = String::new();
    let phone =
        app(&mut people, Some("phone"), "approves = true\nopens = true\ntypes = \"wait\"\nafter = \"0s\"");
    let world = World::new(&people).await;
    world.register(Policy::default()).await;
    let avery = holder(&world, "avery", &[&phone]).await;
    let fleet = world.start(&ALL).await;
    for (change, reason) in [(0, Reason::OkPush), (1, Reason::NumberMismatch)] {
        let draft = world.portal.draft(avery.clone()).with_number();
        let id = world.ask(&draft).await;
        let number: u32 = draft.number().unwrap().parse().unwrap();
        types(&world, &phone, &(number + change).to_string()).await;
        let outcome = world.outcome(id).await;
        assert_eq!(outcome.reason, Some(reason));
        assert_eq!(outcome.assurance, (change == 0).then_some(Assurance::NumberMatch));
    }
    let opened: Vec<Value> =
        world.facts("app_opened").await.iter().map(|fact| fact["status"].clone()).collect();
    assert_eq!(opened, [204, 204]);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_another_key_signed_counts_for_nothing_and_the_honest_one_decides() {
    let mut people = String::new();
    let forger = app(&mut people, Some("forger"), "approves = true\nsigns_badly = true\nafter = \"0s\"");
    let honest = app(&mut people, Some("honest"), "denies = \"mistake\"\nafter = \"40s\"");
    let world = World::new(&people).await;
    let avery = holder(&world, "avery", &[&forger, &honest]).await;
    let fleet = world.start(&ALL).await;
    let outcome = world.challenge(&avery).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Denied, Some(Reason::UserDeclined)));
    assert_eq!(results(&world, &forger, 1).await, ["unauthorized"]);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_good_once_and_for_its_own_challenge_only() {
    let mut people = String::new();
    let phone = app(&mut people, Some("phone"), "approves = true\nreplays = true\nafter = \"0s\"");
    let world = World::new(&people).await;
    let avery = holder(&world, "avery", &[&phone]).await;
    let fleet = world.start(&ALL).await;
    for answers in [2, 5] {
        assert_eq!(world.challenge(&avery).await.reason, Some(Reason::OkPush));
        results(&world, &phone, answers).await;
    }
    assert_eq!(results(&world, &phone, 5).await, ["approved", "ended", "malformed", "approved", "ended"]);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_too_late_is_refused() {
    let mut people = String::new();
    let phone = app(&mut people, Some("phone"), "approves = true\nanswers_late = true\nafter = \"0s\"");
    let world = World::new(&people).await;
    let avery = holder(&world, "avery", &[&phone]).await;
    let fleet = world.start(&ALL).await;
    let draft = world.portal.draft(avery).answer_within(Duration::from_secs(8));
    let id = world.ask(&draft).await;
    assert_eq!(world.outcome(id).await.result, ChallengeResult::Expired);
    assert_eq!(results(&world, &phone, 1).await, ["ended"]);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_gets_no_push_finds_its_challenge_by_asking() {
    let mut people = String::new();
    let pushed = app(&mut people, Some("pushed"), "ignores = true");
    let polls = app(&mut people, None, "approves = true\npolls = \"10s\"\nafter = \"0s\"");
    let world = World::new(&people).await;
    let avery = holder(&world, "avery", &[&pushed, &polls]).await;
    let fleet = world.start(&ALL).await;
    let outcome = world.challenge(&avery).await;
    assert_eq!(outcome.reason, Some(Reason::OkPush));
    assert_eq!(results(&world, &polls, 1).await, ["approved"]);
    // What tells the other device that it was answered asks nobody.
    let facts = world.facts("push").await;
    let asking = facts.iter().filter(|push| push["event"] == "challenge");
    let devices: Vec<Value> = asking.map(|push| push["device"].clone()).collect();
    assert_eq!(devices, [json!(pushed.id)], "the push went to the other device alone");
    assert!(fleet.stop().await);
}
