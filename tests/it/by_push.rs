//! The push, from a portal's message to the app's answer.

mod app;

use std::fmt::Write as _;
use std::time::Duration;

use fleet_domain::{
    Assurance, ChallengeId, ChallengeResult, Channel, PhoneKind, PhoneNumber, PhoneRole, Policy, Reason,
    Target, UserId,
};
use fleet_records::{DeviceAlg, NewDevice, NewPhone};

use self::app::App;
use crate::world::{ALL, Running, World, until};

/// The simulator's swarm: its devices approve, and share one key.
const DEVICE_1: &str = "00000000-0000-8000-8000-000000000001";
const DEVICE_2: &str = "00000000-0000-8000-8000-000000000002";

/// One person by phone, for what follows a push; and a device whose token FCM does not know.
const PEOPLE: &str = r##"
[[person]]
name = "presses the key"
number = "+19195550101"
answers = { after = "1s" }
presses = ["#"]
"##;

fn primary(number: &str) -> NewPhone {
    NewPhone {
        role: PhoneRole::Primary,
        kind: PhoneKind::Mobile,
        number: PhoneNumber::parse(number).unwrap(),
        extension: None,
        verified: true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_a_challenge_by_push_reaches_every_device_once_and_the_first_answer_decides() {
    let world = World::new(PEOPLE).await;
    let frank = world.app_user("frank", &[(DEVICE_1, "swarm-1"), (DEVICE_2, "swarm-2")]).await;
    let fleet = world.start(&ALL).await;
    let outcome = world.challenge(&frank).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Approved, Some(Reason::OkPush)));
    // A tap alone is named for what it is.
    assert_eq!(outcome.assurance, Some(Assurance::Approve));
    until("both are asked", || async { delivered(&world, "challenge").await == ["swarm-1", "swarm-2"] })
        .await;
    // The second app's answer may come too late, it may find its list empty, or be told before it has one.
    until("one has answered, and the other knows that it is over", || async {
        let mut devices = std::collections::BTreeSet::new();
        for fact in ["app_answered", "app_listed", "app_withdrawn"] {
            let facts = world.facts(fact).await.into_iter();
            let is_done = |fact: &serde_json::Value| fact["open"] != true;
            devices.extend(facts.filter(is_done).map(|fact| fact["device"].to_string()));
        }
        devices.len() == 2
    })
    .await;
    let results = world.facts("app_answered").await;
    let accepted = results.iter().filter(|answer| answer["status"] == 200).count();
    assert_eq!(accepted, 1, "one answer decides: {results:?}");
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_push_without_the_portals_number_is_refused_unless_the_portal_allows_a_tap() {
    let world = World::new(PEOPLE).await;
    world.register(Policy::default()).await;
    let frank = world.app_user("frank", &[(DEVICE_1, "swarm-1")]).await;
    let fleet = world.start(&ALL).await;
    let id = world.ask(&world.portal.draft(frank)).await;
    until("it is refused", || async {
        fleet.count("mfa_challenges_refused_total", &["reason=\"invalid_request\""]) == 1
    })
    .await;
    assert_eq!(world.portal.outcome(id).await.unwrap(), None, "a refusal is no outcome");
    assert!(world.facts("push").await.is_empty());
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_a_token_that_is_gone_is_retired_and_the_phone_follows_at_once() {
    let people = format!(
        "{PEOPLE}\n[[device]]\ndevice_id = \"{DEVICE_1}\"\nuser = \"heidi\"\nfcm_token = \"gone\"\n\
         private_key = \"{}\"\ntoken_fault = \"UNREGISTERED\"\n",
        fleet_simulator::new_device_key().unwrap().0
    );
    let world = World::new(&people).await;
    let device = NewDevice {
        id: fleet_domain::DeviceId::parse(DEVICE_1).unwrap(),
        alg: DeviceAlg::Es256,
        public_key: vec![4; 65],
        push_token: Some(fleet_domain::PushToken::new("gone".into())),
        totp: None,
    };
    let heidi = world.user("heidi", Channel::Push, vec![primary("+19195550101")], vec![device]).await;
    let fleet = world.start(&ALL).await;
    let draft = world
        .portal
        .draft(heidi.clone())
        .then_by(Channel::Push, Target::Primary, Some(Duration::from_secs(30)))
        .then_by(Channel::Voice, Target::Primary, None);
    let id = world.ask(&draft).await;
    let outcome = world.outcome(id).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Approved, Some(Reason::OkKey)));
    let [push, call] = outcome.attempts.as_slice() else { panic!("{outcome:?}") };
    assert_eq!(push.reason, Some(Reason::DeviceUnregistered));
    // An answer may overtake the ringing that it ended.
    let rang_at = call.ringing_at.or(call.answered_at).unwrap();
    let rang_after = rang_at.since(push.ended_at.unwrap());
    println!("UNREGISTERED to a ringing phone: {rang_after:?}");
    // The step's own time would have been 30 s.
    assert!(rang_after < Duration::from_secs(10), "{rang_after:?}");
    // The token is gone for good: the next sign-in sends nothing, and waits for nothing either.
    until("that is counted", || async { is_counted(&fleet, "mfa_push_tokens_retired_total 1") }).await;
    let outcome = world.outcome(world.ask(&draft).await).await;
    assert_eq!(outcome.reason, Some(Reason::OkKey));
    let [push, call] = outcome.attempts.as_slice() else { panic!("{outcome:?}") };
    assert_eq!(push.reason, Some(Reason::DeviceUnregistered));
    assert!(call.reserved_at.since(push.reserved_at) < Duration::from_secs(10), "{outcome:?}");
    assert_eq!(world.facts("push").await.len(), 1);
    // With a new token the app is back.
    let device = fleet_domain::DeviceId::parse(DEVICE_1).unwrap();
    let fresh = fleet_domain::PushToken::new("swarm-1".into());
    assert!(world.records.refresh_push_token(device, Some(&fresh), 1).await.unwrap());
    let id = world.ask(&world.portal.draft(heidi)).await;
    until("it has the push", || async { delivered(&world, "challenge").await == ["swarm-1"] }).await;
    world.portal.cancel(id).await.unwrap();
    assert_eq!(world.outcome(id).await.reason, Some(Reason::CallerCanceled));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_nobody_answers_expires_on_time() {
    let people = format!(
        "{PEOPLE}\n[[device]]\ndevice_id = \"{DEVICE_1}\"\nuser = \"mallory\"\nfcm_token = \"ignored\"\n\
         private_key = \"{}\"\nignores = true\n",
        fleet_simulator::new_device_key().unwrap().0
    );
    let world = World::new(&people).await;
    let mallory = world.app_user("mallory", &[(DEVICE_1, "ignored")]).await;
    let fleet = world.start(&ALL).await;
    let id = world.ask(&world.portal.draft(mallory).answer_within(Duration::from_secs(8))).await;
    let outcome = world.outcome(id).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Expired, Some(Reason::NoResponse)));
    let history = world
        .records
        .history(&fleet_domain::ChallengeKey {
            id,
            portal: fleet_domain::PortalName::parse(crate::world::PORTAL).unwrap(),
        })
        .await
        .unwrap();
    let ended_at = history.last().unwrap().at;
    assert!(
        ended_at.since(outcome.answer_by) <= Duration::from_secs(1),
        "late by {:?}",
        ended_at.since(outcome.answer_by)
    );
    assert!(fleet.stop().await);
}

/// One device of the simulator that is pushed to and does nothing.
fn ignoring(device: &str, token: &str) -> String {
    let (private_key, _) = fleet_simulator::new_device_key().unwrap();
    format!(
        "[[device]]\ndevice_id = \"{device}\"\nuser = \"{token}\"\nfcm_token = \"{token}\"\n\
         private_key = \"{private_key}\"\nignores = true\n"
    )
}

/// The tokens that were sent a push with this event, one for each that was delivered.
async fn delivered(world: &World, event: &str) -> Vec<String> {
    let facts = world.facts("push").await;
    let delivered = facts.iter().filter(|push| push["event"] == event && push["error"].is_null());
    let mut tokens: Vec<String> = delivered.map(|push| push["token"].as_str().unwrap().to_owned()).collect();
    tokens.sort();
    tokens
}

/// Whether a metric without labels stands so.
fn is_counted(fleet: &Running, line: &str) -> bool {
    fleet.assembly.metrics.render().lines().any(|counted| counted == line)
}

async fn is_resent(world: &World, id: ChallengeId) -> bool {
    world.portal.outcome(id).await.unwrap().is_some_and(|outcome| outcome.attempts.iter().any(|a| a.resent))
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_person_gets_one_re_send_and_every_device_is_told_when_the_challenge_is_called_off() {
    let world =
        World::new(&format!("{PEOPLE}\n{}{}", ignoring(DEVICE_1, "one"), ignoring(DEVICE_2, "two"))).await;
    let mallory = world.app_user("mallory", &[(DEVICE_1, "one"), (DEVICE_2, "two")]).await;
    let fleet = world.start(&ALL).await;
    let id = world.ask(&world.portal.draft(mallory).answer_within(Duration::from_mins(1))).await;
    until("both have it", || async { delivered(&world, "challenge").await == ["one", "two"] }).await;
    world.portal.resend(id).await.unwrap();
    until("both have it again", || async {
        delivered(&world, "challenge").await == ["one", "one", "two", "two"]
    })
    .await;
    until("its portal sees that", || async { is_resent(&world, id).await }).await;
    world.portal.resend(id).await.unwrap();
    world.portal.cancel(id).await.unwrap();
    assert_eq!(world.outcome(id).await.reason, Some(Reason::CallerCanceled));
    until("both are told", || async { delivered(&world, "ended").await == ["one", "two"] }).await;
    until("that is noted", || async {
        world.stored(id).await.is_some_and(|challenge| challenge.live.attempts[0].withdrawn)
    })
    .await;
    assert_eq!(delivered(&world, "challenge").await.len(), 4, "the second wish was not due");
    assert_eq!(fleet.count("mfa_push_resends_total", &["cause=\"asked\""]), 1);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_device_whose_push_may_have_arrived_is_sent_it_once_more_and_the_other_is_not() {
    let world =
        World::new(&format!("{PEOPLE}\n{}{}", ignoring(DEVICE_1, "one"), ignoring(DEVICE_2, "two"))).await;
    let mallory = world.app_user("mallory", &[(DEVICE_1, "one"), (DEVICE_2, "two")]).await;
    let after_delivery = serde_json::json!({ "rules": [
        { "place": "push", "fault": "error_after", "status": 503, "retry_after": "2s", "count": 1 },
    ] });
    world.faults(&after_delivery).await;
    let fleet = world.start(&ALL).await;
    let id = world.ask(&world.portal.draft(mallory).answer_within(Duration::from_secs(40))).await;
    until("it is sent again", || async { delivered(&world, "challenge").await.len() == 3 }).await;
    until("its portal sees that", || async { is_resent(&world, id).await }).await;
    assert_eq!(fleet.count("mfa_push_resends_total", &["cause=\"unreached\""]), 1);
    let struck = world.facts("push").await.into_iter().find(|push| !push["fault"].is_null()).unwrap();
    let twice = struck["token"].as_str().unwrap();
    let tokens = delivered(&world, "challenge").await;
    assert_eq!(tokens.iter().filter(|token| *token == twice).count(), 2, "{tokens:?}");
    world.portal.cancel(id).await.unwrap();
    world.outcome(id).await;
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_what_came_of_a_push_is_kept_while_the_database_does_not_take_it() {
    let world = World::new(&format!("{PEOPLE}\n{}", ignoring(DEVICE_1, "one"))).await;
    let mallory = world.app_user("mallory", &[(DEVICE_1, "one")]).await;
    let slow = serde_json::json!({ "rules": [{ "place": "push", "fault": "slow", "delay": "2s" }] });
    world.faults(&slow).await;
    let fleet = world.start(&ALL).await;
    let id = world.ask(&world.portal.draft(mallory).answer_within(Duration::from_mins(1))).await;
    until("the device has it", || async { delivered(&world, "challenge").await == ["one"] }).await;
    // FCM has not answered yet. No statement waits for as long as this.
    let sql = "DO $$ BEGIN LOCK TABLE challenges IN EXCLUSIVE MODE; PERFORM pg_sleep(6); END $$";
    world.scratch.sql(sql).await;
    let is_pushed = async || {
        world.stored(id).await.is_some_and(|c| c.live.attempts[0].state == fleet_domain::AttemptState::Pushed)
    };
    until("it is stored", &is_pushed).await;
    assert_eq!(world.stored(id).await.unwrap().live.attempts[0].rounds, 1);
    assert_eq!(delivered(&world, "challenge").await, ["one"], "nobody was prompted again");
    world.portal.cancel(id).await.unwrap();
    world.outcome(id).await;
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_an_app_that_only_polls_has_its_steps_time_before_the_phone_rings() {
    let world = World::new(PEOPLE).await;
    let device = NewDevice {
        id: fleet_domain::DeviceId::parse(DEVICE_1).unwrap(),
        alg: DeviceAlg::Es256,
        public_key: vec![4; 65],
        push_token: None,
        totp: None,
    };
    let ivan = world.user("ivan", Channel::Push, vec![primary("+19195550101")], vec![device]).await;
    let fleet = world.start(&ALL).await;
    let draft = world
        .portal
        .draft(ivan.clone())
        .then_by(Channel::Push, Target::Primary, Some(Duration::from_secs(5)))
        .then_by(Channel::Voice, Target::Primary, None);
    let outcome = world.outcome(world.ask(&draft).await).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Approved, Some(Reason::OkKey)));
    let [push, call] = outcome.attempts.as_slice() else { panic!("{outcome:?}") };
    assert_eq!(push.reason, Some(Reason::NoResponse));
    assert!(call.reserved_at.since(push.reserved_at) >= Duration::from_secs(5), "{outcome:?}");
    // Nothing was sent that could not be delivered: without another step, nobody has answered.
    let alone = world.ask(&world.portal.draft(ivan).answer_within(Duration::from_secs(3))).await;
    let outcome = world.outcome(alone).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Expired, Some(Reason::NoResponse)));
    assert!(world.facts("push").await.is_empty());
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_while_fcm_fails_the_phone_follows_without_waiting_for_it() {
    let world = World::new(PEOPLE).await;
    let device = NewDevice {
        id: fleet_domain::DeviceId::parse(DEVICE_1).unwrap(),
        alg: DeviceAlg::Es256,
        public_key: vec![4; 65],
        push_token: Some(fleet_domain::PushToken::new("swarm-1".into())),
        totp: None,
    };
    let judy = world.user("judy", Channel::Push, vec![primary("+19195550101")], vec![device]).await;
    let frank = world.app_user("frank", &[(DEVICE_2, "swarm-2")]).await;
    world
        .faults(
            &serde_json::json!({ "rules": [{ "place": "push", "fault": "error_before", "status": 503 }] }),
        )
        .await;
    let fleet = world.start(&ALL).await;
    let draft = world
        .portal
        .draft(judy)
        .then_by(Channel::Push, Target::Primary, Some(Duration::from_secs(30)))
        .then_by(Channel::Voice, Target::Primary, None);
    let outcome = world.outcome(world.ask(&draft).await).await;
    assert_eq!(outcome.reason, Some(Reason::OkKey));
    let [push, call] = outcome.attempts.as_slice() else { panic!("{outcome:?}") };
    assert_eq!((push.reason, push.provider_code), (Some(Reason::PushUndeliverable), Some(503)));
    // The step's own time would have been 30 s, and FCM's pause 10 s.
    assert!(call.reserved_at.since(push.reserved_at) < Duration::from_secs(10), "{outcome:?}");
    let facts = world.facts("push").await;
    let tries = facts.iter().filter(|push| push["event"] == "challenge").count();
    assert_eq!(tries, 1, "nobody waited to send it again");
    let alone = world.ask(&world.portal.draft(frank).answer_within(Duration::from_secs(8))).await;
    assert_eq!(world.outcome(alone).await.reason, Some(Reason::PushUndeliverable));
    assert!(fleet.stop().await);
}

/// Users whose one device is played by the simulator's swarm, and approves.
async fn swarm(world: &World, count: usize) -> Vec<UserId> {
    let mut people = Vec::new();
    for number in 1..=count {
        let (device, token) = (format!("00000000-0000-8000-8000-{number:012x}"), format!("swarm-{number}"));
        people.push(world.app_user(&format!("user-{number}"), &[(&device, &token)]).await);
    }
    people
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_while_fcm_hangs_challenges_are_accepted_and_their_pushes_follow_once_it_answers() {
    const PREFETCH: usize = 20;
    const CHALLENGES: usize = 2 * PREFETCH;
    let mut world = World::new(PEOPLE).await;
    world.set("FLEET_PUSH_WORKER__PREFETCH", &PREFETCH.to_string());
    let people = swarm(&world, CHALLENGES).await;
    let hangs = serde_json::json!({ "rules": [{ "place": "push", "fault": "timeout_before" }] });
    world.faults(&hangs).await;
    let fleet = world.start(&ALL).await;
    let mut ids = Vec::new();
    for person in people {
        ids.push(world.ask(&world.portal.draft(person).answer_within(Duration::from_mins(2))).await);
    }
    // No request to FCM has timed out by then.
    until("all are accepted", || async {
        fleet.count("mfa_challenges_accepted_total", &["channel=\"push\""]) == CHALLENGES as u64
    })
    .await;
    assert_eq!(fleet.count("mfa_push_sends_total", &["result=\"unclear\""]), 0);
    until("FCM is left alone", || async { is_counted(&fleet, "mfa_push_breaker_open 1") }).await;
    world.faults(&serde_json::json!({ "rules": [] })).await;
    for id in ids {
        assert_eq!(world.outcome_within(id, Duration::from_mins(1)).await.reason, Some(Reason::OkPush));
    }
    assert!(is_counted(&fleet, "mfa_push_breaker_open 0"));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_in_a_rush_the_deliveries_that_accept_challenges_send_their_pushes_as_well() {
    const PREFETCH: usize = 20;
    const CHALLENGES: usize = 10 * PREFETCH;
    let mut world = World::new(PEOPLE).await;
    world.set("FLEET_PUSH_WORKER__PREFETCH", &PREFETCH.to_string());
    let people = swarm(&world, CHALLENGES).await;
    assert!(world.start(&ALL).await.stop().await, "the queues are there");
    let drafts: Vec<_> =
        people.into_iter().map(|person| world.portal.draft(person).by(Channel::Push)).collect();
    let ids = futures_util::future::join_all(drafts.iter().map(|draft| world.ask(draft))).await;
    let fleet = world.start(&ALL).await;
    for id in ids {
        assert_eq!(world.outcome(id).await.reason, Some(Reason::OkPush));
    }
    let handed_over = fleet.count("mfa_broker_deliveries_total", &["queue=\"push.send\""]);
    assert!(handed_over < CHALLENGES as u64 / 4, "{handed_over} pushes were sent by another delivery");
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_of_two_devices_that_answer_at_the_same_moment_one_wins_and_the_other_is_told_so() {
    const CHALLENGES: usize = 100;
    let (phones, tokens) = ([App::new(DEVICE_1), App::new(DEVICE_2)], ["one", "two"]);
    let world =
        World::new(&format!("{PEOPLE}\n{}{}", ignoring(DEVICE_1, "one"), ignoring(DEVICE_2, "two"))).await;
    let devices = phones.iter().zip(tokens).map(|(phone, token)| phone.enrolled(token)).collect();
    let olga = world.user("olga", Channel::Push, Vec::new(), devices).await;
    let fleet = world.start(&ALL).await;
    let asking = (0..CHALLENGES).map(|_| async {
        world.ask(&world.portal.draft(olga.clone()).answer_within(Duration::from_mins(2))).await
    });
    let ids = futures_util::future::join_all(asking).await;
    let all = 2 * CHALLENGES;
    until("every device has all of them", || async { delivered(&world, "challenge").await.len() == all })
        .await;
    let mut lost = Vec::new();
    for id in ids {
        let (first, second) = tokio::join!(phones[0].approve(&world, id), phones[1].approve(&world, id));
        let mut answers = [(first, "two"), (second, "one")];
        answers.sort();
        let [((won, result), loser), ((refused, code), _)] = answers;
        assert_eq!((won, result.as_str(), refused, code.as_str()), (200, "approved", 409, "ended"), "{id}");
        assert_eq!(world.outcome(id).await.reason, Some(Reason::OkPush));
        lost.push(loser.to_owned());
    }
    lost.sort();
    println!("the first device won {} of {CHALLENGES}", lost.iter().filter(|loser| *loser == "two").count());
    until("who lost is told", || async { delivered(&world, "ended").await == lost }).await;
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_every_way_to_say_no_in_the_app_has_its_outcome() {
    let mut people = String::new();
    let mut devices = Vec::new();
    for (conduct, reason) in [
        ("denies = \"mistake\"", Reason::UserDeclined),
        ("denies = \"canceled\"", Reason::UserCanceled),
        ("denies = \"not_me\"", Reason::FraudReported),
        ("token_fault = \"UNREGISTERED\"", Reason::DeviceUnregistered),
    ] {
        let device = format!("00000000-0000-8000-8000-00000000010{}", devices.len());
        let (private_key, public_key) = fleet_simulator::new_device_key().unwrap();
        write!(
            people,
            "[[device]]\ndevice_id = \"{device}\"\nuser = \"{reason}\"\nfcm_token = \"{reason}\"\n\
             private_key = \"{private_key}\"\n{conduct}\n"
        )
        .unwrap();
        devices.push((device, public_key, reason));
    }
    let world = World::new(&people).await;
    let fleet = world.start(&ALL).await;
    for (device, public_key, reason) in devices {
        let device = NewDevice {
            id: fleet_domain::DeviceId::parse(&device).unwrap(),
            alg: DeviceAlg::Es256,
            public_key: crate::world::decoded(&public_key),
            push_token: Some(fleet_domain::PushToken::new(reason.to_string())),
            totp: None,
        };
        let user = world.user(reason.as_str(), Channel::Push, Vec::new(), vec![device]).await;
        let id = world.ask(&world.portal.draft(user).answer_within(Duration::from_secs(20))).await;
        assert_eq!(world.outcome(id).await.reason, Some(reason));
    }
    assert!(fleet.stop().await);
}
