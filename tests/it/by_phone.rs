//! The phone call, from a portal's message to its outcome.

use std::time::Duration;

use fleet_domain::{
    Assurance, CallerIdStep, ChallengeId, ChallengeResult, Channel, Detection, Progress, Reason, Target,
};
use serde_json::json;

use crate::world::{ALL, World, until};

const PEOPLE: &str = r##"
[[person]]
name = "presses the key"
number = "+19195550101"
answers = { after = "2s" }
presses = ["#"]
[[person]]
name = "never answers"
number = "+19195550102"
no_answer = true
[[person]]
name = "is on the phone"
number = "+19195550103"
busy = true
[[person]]
name = "hangs up"
number = "+19195550104"
answers = { after = "1s" }
presses = [{ hang_up_after = "2s" }]
[[person]]
name = "keys nothing"
number = "+19195550105"
answers = { after = "1s" }
[[person]]
name = "lets it ring"
number = "+19195550106"
answers = { after = "100s" }
[[person]]
name = "keys a wrong number thrice"
number = "+19195550107"
answers = { after = "1s" }
presses = ["7#", "123456789#", "7#"]
[[person]]
name = "rejects"
number = "+19195550108"
rejects = true
[[person]]
name = "out of reach"
number = "+19195550109"
unreachable = true
[[person]]
name = "has a machine"
number = "+19195550111"
voicemail = true
answers = { after = "2s" }
[[person]]
name = "sits behind a switchboard"
number = "+19195550112"
answers = { after = "2s" }
presses = ["#"]
[[person]]
name = "a number that is none"
number = "+19195550121"
api_error = 21211
[[person]]
name = "in a country that is not allowed"
number = "+19195550122"
api_error = 21215
[[person]]
name = "whom our caller ID does not reach"
number = "+19195550123"
api_error = 21210
[[person]]
name = "whom no route leads to"
number = "+19195550124"
api_error = 21214
[[person]]
name = "while our account is closed"
number = "+19195550125"
api_error = 20003
[[person]]
name = "whose exchange is broken"
number = "+19195550126"
fails = { sip = 503 }
[[person]]
name = "whose number is gone"
number = "+19195550127"
fails = { sip = 404 }
[[person]]
name = "presses the key too"
number = "+19195550110"
answers = { after = "2s" }
presses = ["#"]
"##;

#[tokio::test(flavor = "multi_thread")]
async fn s5_a_challenge_by_phone_places_exactly_one_call_and_the_key_approves() {
    let world = World::new(PEOPLE).await;
    let alice = world.caller("alice", "+19195550101").await;
    let fleet = world.start(&ALL).await;
    let outcome = world.challenge(&alice).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Approved, Some(Reason::OkKey)));
    assert_eq!(outcome.assurance, Some(Assurance::Key));
    let attempt = &outcome.attempts[0];
    assert_eq!(attempt.to.as_deref(), Some("+1919*****01"));
    let caller_id = outcome.caller_id.as_ref().unwrap();
    assert_eq!((caller_id.sent.as_str(), caller_id.step), ("+19195550100", CallerIdStep::Local));
    assert!(!caller_id.guaranteed);
    // A callback may overtake the answer to the order, and the pick-up the ringing.
    let answered_at = attempt.answered_at.unwrap();
    assert!(
        attempt.reserved_at <= answered_at && attempt.placed_at >= Some(attempt.reserved_at),
        "{attempt:?}"
    );
    assert!(attempt.ringing_at.is_none_or(|rang_at| rang_at <= answered_at), "{attempt:?}");
    let calls = world.facts("call_created").await;
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0]["from"], "+19195550100");
    // The call's own end is a late fact: it fills the attempt and changes nothing else.
    until("the call's length is told", || async {
        let later = world.portal.outcome(outcome.challenge_id).await.unwrap().unwrap();
        later.attempts[0].duration_s.is_some() && later.reason == outcome.reason && later.seq > outcome.seq
    })
    .await;
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_every_way_a_call_can_fail_has_its_own_outcome() {
    let world = World::new(PEOPLE).await;
    let fleet = world.start(&ALL).await;
    let expected = [
        ("+19195550102", ChallengeResult::Failed, Reason::NoAnswer),
        ("+19195550103", ChallengeResult::Failed, Reason::Busy),
        ("+19195550104", ChallengeResult::Denied, Reason::HungUp),
        ("+19195550105", ChallengeResult::Denied, Reason::NoInput),
        ("+19195550108", ChallengeResult::Failed, Reason::RejectedCall),
        ("+19195550109", ChallengeResult::Failed, Reason::Unreachable),
        ("+19195550111", ChallengeResult::Failed, Reason::Voicemail),
    ];
    let mut ids = Vec::new();
    for (number, result, reason) in expected {
        let user = world.caller(&format!("user-of-{}", &number[10..]), number).await;
        ids.push((world.ask(&world.portal.draft(user)).await, result, reason));
    }
    for (id, result, reason) in ids {
        let outcome = world.outcome(id).await;
        assert_eq!((outcome.result, outcome.reason), (result, Some(reason)));
        assert_eq!(outcome.assurance, None);
        let found = (reason == Reason::Voicemail).then_some(Detection::Machine);
        assert_eq!(outcome.attempts[0].amd, found, "V5: {reason}");
    }
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn o3_every_way_a_carrier_fails_has_its_outcome_with_the_carriers_own_code() {
    let world = World::new(PEOPLE).await;
    let fleet = world.start(&ALL).await;
    let mut ids = Vec::new();
    for (number, reason, code, sip) in [
        ("+19195550121", Reason::InvalidNumber, Some(21211), None),
        ("+19195550122", Reason::DestinationNotAllowed, Some(21215), None),
        ("+19195550123", Reason::CarrierRejectedCallerId, Some(21210), None),
        ("+19195550124", Reason::Unreachable, Some(21214), None),
        ("+19195550125", Reason::Misconfigured, Some(20003), None),
        ("+19195550126", Reason::CarrierError, None, Some(503)),
        ("+19195550127", Reason::InvalidNumber, None, Some(404)),
    ] {
        let user = world.caller(&format!("user-of-{}", &number[10..]), number).await;
        ids.push((world.ask(&world.portal.draft(user)).await, reason, code, sip));
    }
    for (id, reason, code, sip) in ids {
        let outcome = world.outcome(id).await;
        assert_eq!((outcome.result, outcome.reason), (reason.result(), Some(reason)));
        let attempt = &outcome.attempts[0];
        assert_eq!((attempt.provider_code, attempt.sip_status), (code, sip), "{reason}");
    }
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s9_an_extension_is_dialed_after_the_answer_and_no_machine_is_looked_for() {
    let world = World::new(PEOPLE).await;
    let phone = fleet_records::NewPhone {
        role: fleet_domain::PhoneRole::Primary,
        kind: fleet_domain::PhoneKind::Office,
        number: fleet_domain::PhoneNumber::parse("+19195550112").unwrap(),
        extension: Some(fleet_domain::Extension::parse(",,4123#").unwrap()),
        verified: true,
    };
    let user = world.user("olga", Channel::Voice, vec![phone], Vec::new()).await;
    let fleet = world.start(&ALL).await;
    let outcome = world.challenge(&user).await;
    assert_eq!(outcome.reason, Some(Reason::OkKey));
    assert_eq!(outcome.attempts[0].amd, Some(Detection::Unavailable));
    let sent = world.facts("digits_sent").await;
    assert_eq!(sent.iter().map(|fact| fact["digits"].clone()).collect::<Vec<_>>(), ["ww4123#"]);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_after_voicemail_the_next_step_of_the_workflow_follows() {
    let world = World::new(PEOPLE).await;
    let phone = |role, number: &str| fleet_records::NewPhone {
        role,
        kind: fleet_domain::PhoneKind::Mobile,
        number: fleet_domain::PhoneNumber::parse(number).unwrap(),
        extension: None,
        verified: true,
    };
    let phones = vec![
        phone(fleet_domain::PhoneRole::Primary, "+19195550111"),
        phone(fleet_domain::PhoneRole::Backup, "+19195550101"),
    ];
    let user = world.user("pat", Channel::Voice, phones, Vec::new()).await;
    let fleet = world.start(&ALL).await;
    let draft = world.portal.draft(user);
    let draft =
        draft.then_by(Channel::Voice, Target::Primary, None).then_by(Channel::Voice, Target::Backup, None);
    let id = world.ask(&draft).await;
    let outcome = world.outcome(id).await;
    assert_eq!((outcome.reason, outcome.attempts.len()), (Some(Reason::OkKey), 2));
    assert_eq!(outcome.attempts[0].reason, Some(Reason::Voicemail));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_while_it_rings_ends_the_challenge_and_hangs_up() {
    let world = World::new(PEOPLE).await;
    let ivan = world.caller("ivan", "+19195550106").await;
    let fleet = world.start(&ALL).await;
    let id = world.ask(&world.portal.draft(ivan)).await;
    until("it rings", || async {
        world.portal.outcome(id).await.unwrap().is_some_and(|outcome| outcome.progress == Progress::Ringing)
    })
    .await;
    world.portal.cancel(id).await.unwrap();
    let outcome = world.outcome(id).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Canceled, Some(Reason::CallerCanceled)));
    until("the call is ended at the carrier", || async { !world.facts("ended").await.is_empty() }).await;
    assert!(world.facts("answered").await.is_empty());
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s33_a_number_on_the_screen_is_keyed_and_three_wrong_ones_deny() {
    let world = World::new(PEOPLE).await;
    let user = world.caller("nina", "+19195550107").await;
    let fleet = world.start(&ALL).await;
    let wrong = world.ask(&world.portal.draft(user.clone()).with_number()).await;
    let outcome = world.outcome(wrong).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Denied, Some(Reason::NumberMismatch)));
    until("the first call is over and its line free", || async { world.facts("ended").await.len() == 1 })
        .await;
    until("that is known", || async {
        let later = world.portal.outcome(wrong).await.unwrap().unwrap();
        later.attempts[0].ended_at.is_some()
    })
    .await;
    // Now the person keys what the portal shows.
    let draft = world.portal.draft(user).with_number();
    let people = json!({
        "person": [{
            "name": "keys the number",
            "number": "+19195550107",
            "answers": { "after": "1s" },
            "presses": [format!("{}#", draft.number().unwrap())],
        }]
    });
    let client = reqwest::Client::builder().build().unwrap();
    let url = format!("{}/sim/people", world.simulator_url);
    client.post(url).json(&people).send().await.unwrap().error_for_status().unwrap();
    let outcome = {
        let id = world.ask(&draft).await;
        world.outcome(id).await
    };
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Approved, Some(Reason::OkNumberMatch)));
    assert_eq!(outcome.assurance, Some(Assurance::NumberMatch));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn v12_a_second_call_to_a_ringing_phone_is_refused_and_never_rides_on_the_first() {
    let world = World::new(PEOPLE).await;
    let user = world.caller("ivan", "+19195550106").await;
    let fleet = world.start(&ALL).await;
    let first = world.ask(&world.portal.draft(user.clone())).await;
    until("the first is dialed", || async { !world.facts("call_created").await.is_empty() }).await;
    let second = world.challenge(&user).await;
    assert_eq!((second.result, second.reason), (ChallengeResult::Denied, Some(Reason::CallInProgress)));
    assert_eq!(world.facts("call_created").await.len(), 1);
    world.portal.cancel(first).await.unwrap();
    world.outcome(first).await;
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s34_a_failed_call_names_the_alternatives_and_the_portals_help() {
    let world = World::new(PEOPLE).await;
    let mut policy = fleet_domain::Policy { ring_s: 20, ..fleet_domain::Policy::default() };
    policy.help.insert("en-US".into(), "Call the help desk.".into());
    world.register(policy).await;
    let phone = |role, number: &str| fleet_records::NewPhone {
        role,
        kind: fleet_domain::PhoneKind::Office,
        number: fleet_domain::PhoneNumber::parse(number).unwrap(),
        extension: None,
        verified: true,
    };
    let phones = vec![
        phone(fleet_domain::PhoneRole::Primary, "+19195550103"),
        phone(fleet_domain::PhoneRole::Backup, "+19195550101"),
    ];
    let carol = world.user("carol", Channel::Voice, phones, Vec::new()).await;
    let fleet = world.start(&ALL).await;
    let outcome = world.challenge(&carol).await;
    assert_eq!(outcome.reason, Some(Reason::Busy));
    assert_eq!(outcome.help.as_deref(), Some("Call the help desk."));
    assert_eq!(outcome.alternatives.len(), 1);
    assert_eq!(outcome.alternatives[0].target, Target::Backup);
    // S29: she tries again by selecting that phone.
    let again = world.ask(&world.portal.draft(carol).to(Target::Backup)).await;
    assert_eq!(world.outcome(again).await.reason, Some(Reason::OkKey));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_answer_is_unclear_is_never_placed_twice() {
    let world = World::new(PEOPLE).await;
    let alice = world.caller("alice", "+19195550101").await;
    let fleet = world.start(&ALL).await;
    world.faults(&json!({ "rules": [{ "place": "call_create", "fault": "error_after", "count": 1 }] })).await;
    let outcome = world.challenge(&alice).await;
    // The call was placed although the carrier said 500: its callbacks bind it, and the key approves.
    assert_eq!(outcome.reason, Some(Reason::OkKey));
    assert_eq!(world.facts("call_created").await.len(), 1);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_callbacks_are_made_up_for_by_looking_the_call_up() {
    let world = World::new(PEOPLE).await;
    let bob = world.caller("bob", "+19195550103").await;
    let fleet = world.start(&ALL).await;
    world.faults(&json!({ "rules": [{ "place": "callback", "fault": "lost" }] })).await;
    let id = world.ask(&world.portal.draft(bob).answer_within(Duration::from_mins(1))).await;
    let outcome = world.outcome_within(id, Duration::from_secs(70)).await;
    assert_eq!(outcome.reason, Some(Reason::Busy));
    assert!(fleet.stop().await);
}

async fn is_approved_at_the_second_attempt(world: &World, id: ChallengeId) {
    let outcome = world.outcome_within(id, Duration::from_secs(70)).await;
    assert_eq!((outcome.reason, outcome.attempts.len()), (Some(Reason::OkKey), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_carrier_asks_a_pause_for_is_placed_after_the_pause() {
    let world = World::new(PEOPLE).await;
    let alice = world.caller("alice", "+19195550101").await;
    let fleet = world.start(&ALL).await;
    world.faults(&json!({ "rules": [{ "place": "call_create", "fault": "too_many", "count": 1 }] })).await;
    let id = world.ask(&world.portal.draft(alice).answer_within(Duration::from_mins(1))).await;
    is_approved_at_the_second_attempt(&world, id).await;
    assert_eq!(world.facts("call_created").await.len(), 1);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_never_placed_is_searched_for_twice_and_then_placed() {
    let world = World::new(PEOPLE).await;
    let alice = world.caller("alice", "+19195550101").await;
    let bob = world.caller("bob", "+19195550110").await;
    let fleet = world.start(&ALL).await;
    // Neither a reset nor a server error tells the fleet that nothing was done.
    world
        .faults(&json!({ "rules": [
            { "place": "call_create", "fault": "reset_before", "count": 1 },
            { "place": "call_create", "fault": "error_before", "count": 1 },
        ] }))
        .await;
    for id in [
        world.ask(&world.portal.draft(alice).answer_within(Duration::from_mins(1))).await,
        world.ask(&world.portal.draft(bob).answer_within(Duration::from_mins(1))).await,
    ] {
        is_approved_at_the_second_attempt(&world, id).await;
    }
    assert_eq!(world.facts("call_created").await.len(), 2);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_answer_and_callbacks_are_lost_is_found_at_the_carrier() {
    let world = World::new(PEOPLE).await;
    let busy = world.caller("busy", "+19195550103").await;
    let silent = world.caller("silent", "+19195550102").await;
    let fleet = world.start(&ALL).await;
    world
        .faults(&json!({ "rules": [
            { "place": "callback", "fault": "lost" },
            { "place": "call_create", "fault": "timeout_after", "count": 1 },
            { "place": "call_create", "fault": "error_after", "count": 1 },
        ] }))
        .await;
    let mut ids = Vec::new();
    for (user, reason) in [(busy, Reason::Busy), (silent, Reason::NoAnswer)] {
        let draft = world.portal.draft(user).answer_within(Duration::from_mins(1));
        ids.push((world.ask(&draft).await, reason));
    }
    for (id, reason) in ids {
        let outcome = world.outcome_within(id, Duration::from_secs(70)).await;
        assert_eq!((outcome.reason, outcome.attempts.len()), (Some(reason), 1));
    }
    assert_eq!(world.facts("call_created").await.len(), 2);
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_could_not_be_told_what_to_say_ends_as_a_fault_of_ours() {
    let mut world = World::new(PEOPLE).await;
    let alice = world.caller("alice", "+19195550101").await;
    // Nobody is there: the carrier gets neither TwiML nor rid of a callback.
    world.set("FLEET_ENGINE__PUBLIC_URL", "http://127.0.0.1:9");
    let fleet = world.start(&ALL).await;
    let id = world.ask(&world.portal.draft(alice).answer_within(Duration::from_mins(1))).await;
    let outcome = world.outcome_within(id, Duration::from_secs(70)).await;
    assert_eq!((outcome.result, outcome.reason), (ChallengeResult::Failed, Some(Reason::Internal)));
    assert!(fleet.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_is_unclear_twice_is_given_up() {
    let world = World::new(PEOPLE).await;
    let alice = world.caller("alice", "+19195550101").await;
    let fleet = world.start(&ALL).await;
    world.faults(&json!({ "rules": [{ "place": "call_create", "fault": "error_before" }] })).await;
    let id = world.ask(&world.portal.draft(alice).answer_within(Duration::from_mins(1))).await;
    let outcome = world.outcome_within(id, Duration::from_secs(70)).await;
    let end = (outcome.result, outcome.reason, outcome.attempts.len());
    assert_eq!(end, (ChallengeResult::Failed, Some(Reason::ProviderUnavailable), 2));
    assert!(world.facts("call_created").await.is_empty());
    assert!(fleet.stop().await);
}
