//! The caller-ID plan, from a portal's message to the numbers that phones see.

use std::time::Duration;

use fleet_contracts::Outcome;
use fleet_domain::{
    AttemptState, CallerIdStep, ChallengeKey, ChallengeResult, Channel, Policy, PortalName, Reason, Target,
};
use serde_json::json;

use crate::world::{ALL, PORTAL, World, until};

const RALEIGH: &str = "+19195550100";
const LONDON: &str = "+442079460001";
const BERN: &str = "+41315550105";

const PEOPLE: &str = r##"
[[person]]
name = "whose network takes the first number for a scam"
number = "+19195550101"
answers = { after = "2s" }
presses = ["#"]
blocks = [{ from = "+1", sip = 608 }]
[[person]]
name = "for whom the account may not show the first number"
number = "+19195550102"
answers = { after = "2s" }
presses = ["#"]
blocks = [{ from = "+1", code = 21210 }, { from = "+44", code = 21212 }]
[[person]]
name = "whom nothing of ours reaches"
number = "+19195550103"
blocks = [{ from = "+1", code = 32017 }, { from = "+44", sip = 607 }, { sip = 433 }]
[[person]]
name = "whose network declines at once"
number = "+19195550104"
answers = { after = "2s" }
presses = ["#"]
blocks = [{ from = "+1", sip = 603 }]
[[person]]
name = "whose network declines after a long silence"
number = "+19195550105"
blocks = [{ sip = 603, after = "60s" }]
[[person]]
name = "who declines as soon as it rings"
number = "+19195550106"
rejects = true
answers = { after = "1s" }
[[person]]
name = "in London"
number = "+447700900123"
answers = { after = "2s" }
presses = ["#"]
[[person]]
name = "in Zurich"
number = "+41435550100"
answers = { after = "2s" }
presses = ["#"]
[[person]]
name = "who lets it ring"
number = "+19195550107"
answers = { after = "100s" }
blocks = [{ from = "+1", sip = 608 }]
"##;

async fn world() -> World {
    let mut world = World::new(PEOPLE).await;
    world.set("FLEET_TWILIO__CALLER_IDS", &format!("[\"{RALEIGH}\", \"{LONDON}\", \"{BERN}\"]"));
    world
}

/// Each attempt's caller ID and how it ended.
fn trace(outcome: &Outcome) -> Vec<(&str, CallerIdStep, Option<Reason>)> {
    let attempts = outcome.attempts.iter();
    let sent = |attempt: &fleet_contracts::AttemptReport| attempt.caller_id.is_some();
    assert!(outcome.attempts.iter().all(sent), "{outcome:?}");
    attempts.filter_map(|a| a.caller_id.as_ref().map(|id| (id.sent.as_str(), id.step, a.reason))).collect()
}

/// From whom the carrier was asked to call, in turn: what it placed, and what it refused.
async fn asked_from(world: &World) -> Vec<String> {
    let mut asked = world.facts("call_created").await;
    asked.extend(world.facts("call_refused").await);
    asked.sort_by_key(|fact| fact["n"].as_u64());
    asked.iter().map(|fact| fact["from"].as_str().unwrap_or("nobody").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn s32_v9_when_a_network_rejects_the_first_number_the_second_one_rings_and_is_approved() {
    let world = world().await;
    let user = world.caller("alice", "+19195550101").await;
    let fleet = world.start(&ALL).await;
    let outcome = world.challenge(&user).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Approved, Some(Reason::OkKey)));
    assert_eq!(trace(&outcome)[..1], [(RALEIGH, CallerIdStep::Local, Some(Reason::CarrierRejectedCallerId))]);
    assert_eq!((trace(&outcome)[1].0, trace(&outcome)[1].1), (LONDON, CallerIdStep::Other));
    assert_eq!(outcome.attempts[0].sip_status, Some(608));
    // S33: the last one is told as what was sent, and as no promise.
    let told = outcome.caller_id.as_ref().unwrap();
    assert_eq!((told.sent.as_str(), told.step, told.guaranteed), (LONDON, CallerIdStep::Other, false));
    assert_eq!(asked_from(&world).await, [RALEIGH, LONDON]);
    let counted = |step: &str, outcome: &str| {
        let labels = [format!("step=\"{step}\""), format!("outcome=\"{outcome}\"")];
        fleet.count("mfa_caller_ids_total", &labels.each_ref().map(String::as_str))
    };
    for (step, sent, rang, rejected) in [("local", 1, 0, 1), ("other", 1, 1, 0), ("withheld", 0, 0, 0)] {
        let counts = (counted(step, "sent"), counted(step, "rang"), counted(step, "rejected"));
        assert_eq!(counts, (sent, rang, rejected), "{step}");
    }
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s32_v9_a_number_that_the_carrier_itself_refuses_gives_way_to_the_next_at_once() {
    let world = world().await;
    let user = world.caller("alice", "+19195550102").await;
    let fleet = world.start(&ALL).await;
    let outcome = world.challenge(&user).await;
    assert_eq!((outcome.reason, outcome.attempts.len()), (Some(Reason::OkKey), 3));
    let codes: Vec<_> = outcome.attempts.iter().map(|attempt| attempt.provider_code).collect();
    assert_eq!(codes, [Some(21_210), Some(21_212), None]);
    assert_eq!(asked_from(&world).await, [RALEIGH, LONDON, BERN]);
    assert_eq!(world.facts("call_created").await.len(), 1, "nothing was placed but the last one");
    let waited = outcome.attempts[2].reserved_at.since(outcome.attempts[0].reserved_at);
    assert!(waited < Duration::from_secs(2), "{waited:?}: no pause was asked for");
    // The audit tells who was called from where, once for each call.
    let key = ChallengeKey { id: outcome.challenge_id, portal: PortalName::parse(PORTAL).unwrap() };
    let history = world.records.history(&key).await.unwrap();
    let from: Vec<_> = history
        .iter()
        .flat_map(|row| row.detail.attempts.iter().map(move |note| (row.event.as_str(), note)))
        .filter_map(|(event, note)| note.caller_id.as_ref().map(|id| (event, id.number.as_str(), id.step)))
        .collect();
    let (local, other) = (CallerIdStep::Local, CallerIdStep::Other);
    assert_eq!(from, [("dial", RALEIGH, local), ("dial", LONDON, other), ("dial", BERN, other)]);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn v9_when_every_number_is_rejected_the_outcome_says_so_and_tells_the_way_there() {
    let world = world().await;
    let user = world.caller("alice", "+19195550103").await;
    let fleet = world.start(&ALL).await;
    let outcome = world.challenge(&user).await;
    let rejected = Some(Reason::CarrierRejectedCallerId);
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Failed, rejected));
    assert_eq!(
        trace(&outcome),
        [
            (RALEIGH, CallerIdStep::Local, rejected),
            (LONDON, CallerIdStep::Other, rejected),
            (BERN, CallerIdStep::Other, rejected),
        ]
    );
    let why: Vec<_> = outcome.attempts.iter().map(|a| (a.provider_code, a.sip_status)).collect();
    assert_eq!(why, [(Some(32_017), None), (None, Some(607)), (None, Some(433))]);
    assert!(outcome.attempts.iter().all(|attempt| attempt.state == AttemptState::Ended));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn v9_when_every_number_is_rejected_the_next_step_of_the_workflow_follows() {
    let world = world().await;
    let phone = |role, number: &str| fleet_records::NewPhone {
        role,
        kind: fleet_domain::PhoneKind::Mobile,
        number: fleet_domain::PhoneNumber::parse(number).unwrap(),
        extension: None,
        verified: true,
    };
    let phones = vec![
        phone(fleet_domain::PhoneRole::Primary, "+19195550103"),
        phone(fleet_domain::PhoneRole::Backup, "+447700900123"),
    ];
    let user = world.user("pat", Channel::Voice, phones, Vec::new()).await;
    let fleet = world.start(&ALL).await;
    let draft = world.portal.draft(user);
    let draft =
        draft.then_by(Channel::Voice, Target::Primary, None).then_by(Channel::Voice, Target::Backup, None);
    let id = world.ask(&draft).await;
    let outcome = world.outcome(id).await;
    assert_eq!((outcome.reason, outcome.attempts.len()), (Some(Reason::OkKey), 4));
    // Another phone is another matter: what the first one's network rejected is local here.
    assert_eq!((trace(&outcome)[3].0, trace(&outcome)[3].1), (LONDON, CallerIdStep::Local));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn v9_a_decline_by_the_network_steps_and_one_by_a_person_does_not() {
    let world = world().await;
    world.register(Policy { ring_s: 60, ..Policy::default() }).await;
    let fleet = world.start(&ALL).await;
    let mut ids = Vec::new();
    for (number, reason, attempts) in [
        ("+19195550104", Reason::OkKey, 2),
        ("+19195550105", Reason::RejectedCall, 1),
        ("+19195550106", Reason::RejectedCall, 1),
    ] {
        let user = world.caller(&format!("user-of-{}", &number[10..]), number).await;
        ids.push((world.ask(&world.portal.draft(user)).await, reason, attempts));
    }
    for (id, reason, attempts) in ids {
        let outcome = world.outcome(id).await;
        assert_eq!((outcome.reason, outcome.attempts.len()), (Some(reason), attempts));
        assert_eq!(outcome.attempts[0].sip_status, Some(603), "{reason}");
    }
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn v8_the_number_of_the_destinations_country_is_shown_among_those_that_the_portal_chose() {
    let world = world().await;
    let fleet = world.start(&ALL).await;
    let shown = async |user: &str, number: &str| {
        let user = world.caller(user, number).await;
        let outcome = world.challenge(&user).await;
        assert_eq!(outcome.reason, Some(Reason::OkKey));
        let caller_id = outcome.caller_id.unwrap();
        (caller_id.sent, caller_id.step)
    };
    assert_eq!(shown("lola", "+447700900123").await, (LONDON.into(), CallerIdStep::Local));
    assert_eq!(shown("zora", "+41435550100").await, (BERN.into(), CallerIdStep::Local));
    // One of its numbers is not the carrier's, and is passed over.
    let caller_ids = ["+19195550999", LONDON].map(str::to_owned).to_vec();
    world.register(Policy { caller_ids, ..Policy::default() }).await;
    let other = (LONDON.to_owned(), CallerIdStep::Other);
    until("the worker knows the new policy", || async {
        fleet
            .assembly
            .engine
            .portal(&PortalName::parse(PORTAL).unwrap())
            .is_ok_and(|portal| portal.policy.caller_ids.len() == 2)
    })
    .await;
    assert_eq!(shown("zoe", "+41435550100").await, other);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s32_a_portal_with_none_of_the_carriers_numbers_makes_no_call() {
    let world = world().await;
    let user = world.caller("alice", "+19195550101").await;
    let caller_ids = vec!["+19195550999".to_owned()];
    world.register(Policy { caller_ids, ..Policy::default() }).await;
    let fleet = world.start(&ALL).await;
    assert_eq!(world.challenge(&user).await.reason, Some(Reason::Misconfigured));
    assert_eq!(asked_from(&world).await, Vec::<String>::new());
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn v12_the_call_from_the_second_number_has_the_line_until_it_is_over() {
    let world = world().await;
    world.register(Policy { ring_s: 60, ..Policy::default() }).await;
    let user = world.caller("ivan", "+19195550107").await;
    let fleet = world.start(&ALL).await;
    let id = world.ask(&world.portal.draft(user.clone())).await;
    until("the second number rings", || async { world.facts("ringing").await.len() == 1 }).await;
    assert_eq!(asked_from(&world).await, [RALEIGH, LONDON]);
    // The phone is busy with the second number: another challenge does not ring it.
    assert_eq!(world.challenge(&user).await.reason, Some(Reason::CallInProgress));
    assert_eq!(world.facts("call_created").await.len(), 2);
    assert_eq!(world.outcome(id).await.reason, Some(Reason::NoAnswer));
    until("no line is taken any more", || async {
        world.scratch.sql("SELECT count(*) FROM calls").await == ["0"]
    })
    .await;
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn v9_a_rejection_that_is_heard_twice_steps_once() {
    let world = world().await;
    let user = world.caller("alice", "+19195550101").await;
    let fleet = world.start(&ALL).await;
    world.faults(&json!({ "rules": [{ "place": "callback_completed", "fault": "doubled" }] })).await;
    let outcome = world.challenge(&user).await;
    assert_eq!((outcome.reason, outcome.attempts.len()), (Some(Reason::OkKey), 2));
    assert_eq!(asked_from(&world).await, [RALEIGH, LONDON]);
    assert!(fleet.stop().await);
}
