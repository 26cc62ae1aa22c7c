//! Security questions, and the one change that they allow.

use fleet_domain::{
    Authority, Change, Channel, EnrollmentPolicy, EnrollmentReason, EnrollmentResult, NextStep,
    QuestionPolicy, Reason, UserId,
};
use fleet_portal_client::EnrollmentDraft;

use super::{DONE, PATIENCE, PEOPLE, end, mobile, policy, refused, their_own};
use crate::world::{ALL, World};

const ANSWERS: [(&str, &str); 4] =
    [("street", "Elm Street"), ("teacher", "Señora Gómez"), ("pet", "Rex"), ("city", "Raleigh")];

fn with_questions() -> EnrollmentPolicy {
    let questions = serde_json::json!({ "questions": [
        { "id": "street", "texts": { "en-US": "Where did you grow up?" } },
        { "id": "teacher", "texts": { "en-US": "Who taught you first?" } },
        { "id": "pet", "texts": { "en-US": "What was your first animal called?" } },
        { "id": "city", "texts": { "en-US": "Where were you born?" } },
        { "id": "book", "texts": { "en-US": "What did you read first?" } },
    ] });
    let questions: QuestionPolicy = serde_json::from_value(questions).unwrap();
    EnrollmentPolicy { questions, ..their_own() }
}

fn answered(draft: EnrollmentDraft, answers: &[(&str, &str)]) -> EnrollmentDraft {
    answers.iter().fold(draft, |draft, (question, answer)| draft.answer(question, answer))
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_s4_s26_s27_exactly_four_answers_are_set_and_a_partial_set_changes_nothing() {
    let world = World::new(PEOPLE).await;
    world.register(policy(with_questions())).await;
    let fleet = world.start(&ALL).await;
    let user = world.caller("alice", "+19195550101").await;
    let proof = world.proof(&user).await;
    let change = || world.change(&user, Change::Questions).proved_by(proof);
    for wrong in [
        &ANSWERS[..3],
        &[ANSWERS[0], ANSWERS[1], ANSWERS[2], ANSWERS[3], ("book", "Moby Dick")],
        &[ANSWERS[0], ANSWERS[1], ANSWERS[2], ("street", "Oak Street")],
        &[ANSWERS[0], ANSWERS[1], ANSWERS[2], ("city", "  ")],
    ] {
        let outcome = world.change_now(answered(change(), wrong)).await;
        assert_eq!(end(&outcome), refused(EnrollmentReason::QuestionsInvalid));
        assert_eq!(outcome.field.as_deref(), Some("data.sealed.answers"));
    }
    assert!(world.records.account(&user).await.unwrap().questions.is_empty());
    assert_eq!(end(&world.change_now(answered(change(), &ANSWERS)).await), DONE);
    assert_eq!(world.records.account(&user).await.unwrap().questions.len(), 4);
    // S1: what is enrolled is read in the same way, and shows no number.
    let read = world.change_now(world.change(&user, Change::Read)).await;
    let enrolled = read.enrolled.unwrap();
    assert_eq!((enrolled.questions.len(), enrolled.pin, enrolled.blocked), (4, false, false));
    assert_eq!(enrolled.phones[0].number, "+1919*****01");
    assert!(fleet.stop().await);
}

/// Begins a recovery after a challenge that could not reach the person.
async fn begin(world: &World, user: &UserId) -> (fleet_domain::RequestId, Vec<String>) {
    let missed = world.ask(&world.portal.draft(user.clone())).await;
    assert_eq!(world.outcome(missed).await.reason, Some(Reason::NoAnswer));
    let id = world.enroll(world.change(user, Change::Recovery).after(missed)).await;
    let asked = world
        .portal
        .wait_enrollment(id, PATIENCE, |outcome| outcome.next_step == Some(NextStep::AnswerQuestions))
        .await
        .unwrap();
    assert_eq!((asked.questions.len(), asked.result), (2, EnrollmentResult::Pending));
    (id, asked.questions)
}

async fn answer(world: &World, id: fleet_domain::RequestId, user: &UserId, asked: &[String], wrong: bool) {
    let given: Vec<(&str, &str)> = ANSWERS
        .iter()
        .filter(|(question, _)| asked.iter().any(|id| id == question))
        .map(|(question, answer)| (*question, if wrong { "no idea" } else { *answer }))
        .collect();
    world.portal.answer((id, user), &given, &world.enrollment_key()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn s30_r4_e8_right_answers_allow_one_change_of_the_method_and_wrong_ones_are_not_told_apart_and_lock() {
    let world = World::new(PEOPLE).await;
    world.register(policy(with_questions())).await;
    let fleet = world.start(&ALL).await;
    let user = world.caller("alice", "+19195550105").await;
    let stored = ANSWERS.map(|(question, answer)| {
        let normal = fleet_domain::NormalAnswer::of(answer).unwrap();
        let hash = world.keys().hash_answer("alice", question, normal.reveal());
        format!("('alice', '{question}', '{}')", hash.as_str())
    });
    world.scratch.sql(&format!("INSERT INTO answers VALUES {}", stored.join(", "))).await;

    let (id, asked) = begin(&world, &user).await;
    answer(&world, id, &user, &asked, false).await;
    let recovered = world.changed(id).await;
    assert_eq!((end(&recovered), recovered.next_step), (DONE, Some(NextStep::ChangeMethod)));
    // Good for the method, once, and for nothing else.
    let phone = world.change(&user, Change::Phone).phone(mobile("+19195550102")).proved_by_request(id);
    assert_eq!(end(&world.change_now(phone).await), refused(EnrollmentReason::ProofRequired));
    let method = || {
        let change = world.change(&user, Change::Method).method(Channel::Voice);
        change.phone(mobile("+19195550102")).proved_by_request(id)
    };
    let changed = world.change_now(method()).await;
    assert_eq!((end(&changed), changed.authority), (DONE, Authority::Recovery));
    assert_eq!(end(&world.change_now(method()).await), refused(EnrollmentReason::ProofRequired));
    world.proof(&user).await;

    world.user("alice", Channel::Voice, vec![phone_of("+19195550105")], Vec::new()).await;
    for _ in 0..3 {
        let (id, asked_again) = begin(&world, &user).await;
        assert_eq!(asked_again, asked, "who asks again is not asked others");
        answer(&world, id, &user, &asked_again, true).await;
        let outcome = world.changed(id).await;
        assert_eq!(end(&outcome), refused(EnrollmentReason::AnswersMismatch));
        assert_eq!((outcome.field, outcome.rule, outcome.questions.len()), (None, None, 0), "no hint");
    }
    let missed = world.ask(&world.portal.draft(user.clone())).await;
    world.outcome(missed).await;
    let locked = world.change_now(world.change(&user, Change::Recovery).after(missed)).await;
    assert_eq!(end(&locked), refused(EnrollmentReason::LockedOut));
    assert!(fleet.stop().await);
}

fn phone_of(number: &str) -> fleet_records::NewPhone {
    fleet_records::NewPhone {
        role: fleet_domain::PhoneRole::Primary,
        kind: fleet_domain::PhoneKind::Mobile,
        number: fleet_domain::PhoneNumber::parse(number).unwrap(),
        extension: None,
        verified: true,
    }
}
