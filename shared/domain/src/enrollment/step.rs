//! `step_enrollment`: the one way from one version of a request to the next, and what is owed for it.

use alloc::sync::Arc;
use core::time::Duration;

use super::activation;
use super::request::{ActivatedDevice, Enrollment, EnrollmentEnd, NewTest, Test};
use super::words::{Change, EnrollmentReason, EnrollmentState, NextStep};
use crate::challenge::{Challenge, Live};
use crate::ids::{ChallengeId, ChallengeKey};
use crate::open::COLLECT;
use crate::portal::Portal;
use crate::request::{Context, Request, Step};
use crate::step::await_code;
use crate::time::Timestamp;
use crate::words::{ChallengeResult, Purpose, Reason};

/// How often a change may be tested before its request ends.
pub const MAX_TESTS: usize = 5;
/// A test that had less time than this could not be answered.
pub const LEAST_TEST: Duration = Duration::from_secs(15);

/// Something that happened to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrollmentEvent {
    /// The portal asks for the test once more.
    Retry(NewTest),
    /// The challenge of a test has ended.
    TestEnded {
        /// The challenge.
        id: ChallengeId,
        /// How.
        reason: Reason,
    },
    /// All questions that were asked were answered, and this is what the answers are.
    Answered(Answers),
    /// The portal asks for another activation code; the one before is void.
    NewCode,
    /// The app was activated on a device with the code of this counter.
    Activated {
        /// Which of the request's codes was used.
        counter: u8,
        /// The device.
        device: ActivatedDevice,
    },
    /// The change is being stored, in the same commit.
    Apply,
    /// The portal calls it off.
    Cancel,
    /// A newer request of the same user takes its place.
    Supersede,
    /// Its time is over.
    Expire,
    /// What allowed it holds no more: its user was blocked, or what it builds on is gone.
    Refuse(EnrollmentReason),
    /// It can't be carried out: the fleet's own fault.
    Fail,
}

/// What answers to security questions turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// All are right.
    Right,
    /// At least one is wrong; which, nobody is told.
    Wrong,
    /// Too many were wrong: they were not looked at.
    LockedOut,
}

/// Why an event changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrollmentRefused {
    /// It has ended.
    #[error("the request has ended")]
    Ended,
    /// The event belongs to a test that is not under way.
    #[error("the test is not under way")]
    OtherTest,
    /// The event does not fit the state.
    #[error("the event does not fit the state")]
    NotNow,
    /// The activation code is void or over.
    #[error("the activation code counts no more")]
    CodeOver,
    /// The activation code was used.
    #[error("the activation code was used")]
    CodeUsed,
}

/// The next version of a request, or why there is none. Past its time, every event but the end of a test expires it.
pub fn step_enrollment(
    enrollment: &Enrollment,
    event: &EnrollmentEvent,
    now: Timestamp,
) -> Result<Enrollment, EnrollmentRefused> {
    if !enrollment.is_open() {
        return Err(EnrollmentRefused::Ended);
    }
    let mut next = enrollment.clone();
    next.version += 1;
    next.live.at = now;
    let overdue = now > enrollment.request.respond_by;
    let state = enrollment.live.state;
    match event {
        // What was proved in time takes effect, however late that comes to be known.
        EnrollmentEvent::Apply if state == EnrollmentState::TestPassed => enrolled(&mut next, now),
        EnrollmentEvent::TestEnded { id, reason } => test_ended(&mut next, (*id, *reason), now)?,
        EnrollmentEvent::Fail => end(&mut next, EnrollmentReason::Internal, now),
        EnrollmentEvent::Refuse(reason) => end(&mut next, *reason, now),
        _ if state == EnrollmentState::TestPassed => return Err(EnrollmentRefused::NotNow),
        _ if overdue => end(&mut next, timeout(enrollment), now),
        EnrollmentEvent::Retry(test) => retry(&mut next, *test, now)?,
        EnrollmentEvent::Answered(answers) => answered(&mut next, *answers, now)?,
        EnrollmentEvent::NewCode => activation::new_code(&mut next, now)?,
        EnrollmentEvent::Activated { counter, device } => {
            activation::activated(&mut next, (*counter, device), now)?;
        }
        EnrollmentEvent::Cancel => end(&mut next, EnrollmentReason::CallerCanceled, now),
        EnrollmentEvent::Supersede => end(&mut next, EnrollmentReason::Superseded, now),
        EnrollmentEvent::Apply | EnrollmentEvent::Expire => return Err(EnrollmentRefused::NotNow),
    }
    Ok(next)
}

/// What a request ends with whose time is over.
const fn timeout(enrollment: &Enrollment) -> EnrollmentReason {
    match enrollment.live.next_step {
        Some(NextStep::ActivateDevice) => EnrollmentReason::ActivationExpired,
        _ => EnrollmentReason::TestTimeout,
    }
}

fn end(next: &mut Enrollment, reason: EnrollmentReason, now: Timestamp) {
    next.live.end = Some(EnrollmentEnd { reason, field: None, rule: None, at: now, version: next.version });
    next.live.next_step = None;
    if reason != EnrollmentReason::Ok {
        next.live.state = EnrollmentState::Refused;
    }
}

/// `enrolled` is reached from `test_passed` alone, in the commit that stores the change.
fn enrolled(next: &mut Enrollment, now: Timestamp) {
    end(next, EnrollmentReason::Ok, now);
    next.live.next_step = next.request.afterwards;
    let prepared_only = next.request.change == Change::Enroll && next.request.test.is_none();
    next.live.state =
        if prepared_only { EnrollmentState::PendingUserData } else { EnrollmentState::Enrolled };
}

fn test_ended(
    next: &mut Enrollment,
    (id, reason): (ChallengeId, Reason),
    now: Timestamp,
) -> Result<(), EnrollmentRefused> {
    let tests = next.live.tests.len();
    let test = next.live.tests.last_mut().filter(|test| test.id == id && test.ended.is_none());
    test.ok_or(EnrollmentRefused::OtherTest)?.ended = Some(reason);
    if reason.result() == ChallengeResult::Approved {
        next.live.state = EnrollmentState::TestPassed;
        next.live.next_step = next.request.afterwards;
    } else if !may_retry(reason) || tests >= MAX_TESTS {
        end(next, EnrollmentReason::TestFailed, now);
    } else if now.plus(LEAST_TEST) > next.request.respond_by {
        end(next, EnrollmentReason::TestTimeout, now);
    } else {
        next.live.next_step = Some(NextStep::RetryTest);
    }
    Ok(())
}

/// Whether the person may try again: not after a report of fraud, and not where the next test would end just so.
const fn may_retry(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::FraudReported
            | Reason::UserBlocked
            | Reason::LockedOut
            | Reason::NumberOptedOut
            | Reason::DestinationNotAllowed
            | Reason::InvalidNumber
            | Reason::InvalidExtension
            | Reason::Revoked
    )
}

fn retry(next: &mut Enrollment, test: NewTest, now: Timestamp) -> Result<(), EnrollmentRefused> {
    if !matches!(next.live.next_step, Some(NextStep::RetryTest | NextStep::BeginTest)) {
        return Err(EnrollmentRefused::NotNow);
    }
    if now.plus(LEAST_TEST) > next.request.respond_by {
        end(next, EnrollmentReason::TestTimeout, now);
        return Ok(());
    }
    next.live.tests.push(Test { id: test.id, number_match: test.number_match, ended: None });
    next.live.next_step = Some(NextStep::AnswerTest);
    Ok(())
}

fn answered(next: &mut Enrollment, answers: Answers, now: Timestamp) -> Result<(), EnrollmentRefused> {
    if next.live.next_step != Some(NextStep::AnswerQuestions) {
        return Err(EnrollmentRefused::NotNow);
    }
    match answers {
        Answers::Right => {
            next.live.state = EnrollmentState::TestPassed;
            next.live.next_step = next.request.afterwards;
        }
        Answers::Wrong => end(next, EnrollmentReason::AnswersMismatch, now),
        Answers::LockedOut => end(next, EnrollmentReason::LockedOut, now),
    }
    Ok(())
}

/// Something that is to be done for a request, beside telling its portal of a version not yet told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrollmentEffect {
    /// See to it that this challenge is there, and find out how it ended.
    Test(ChallengeId),
    /// Store the change.
    Apply,
    /// End this challenge: nobody waits for it any more.
    EndTest(ChallengeId),
}

/// What is owed. It follows from the state alone, so any process can finish what another began.
#[must_use]
pub fn owed_enrollment(enrollment: &Enrollment) -> Option<EnrollmentEffect> {
    let test = enrollment.live_test().map(|test| test.id);
    if !enrollment.is_open() {
        return test.map(EnrollmentEffect::EndTest);
    }
    match enrollment.live.state {
        EnrollmentState::TestPassed => Some(EnrollmentEffect::Apply),
        EnrollmentState::PendingUserData
        | EnrollmentState::AwaitingTest
        | EnrollmentState::Enrolled
        | EnrollmentState::Refused => test.map(EnrollmentEffect::Test),
    }
}

/// A device that was activated for the request is the one that is tested.
fn tested_step(enrollment: &Enrollment, planned: &Step) -> Step {
    match (enrollment.activated(), planned) {
        (Some(device), Step::Push { timeout_ms, .. }) => {
            Step::Push { device: Some(device), timeout_ms: *timeout_ms }
        }
        (Some(_) | None, step) => step.clone(),
    }
}

/// The challenge of a request's test, in version 1; the same whoever makes it. `None` where no test is under way.
#[must_use]
pub fn test_challenge(enrollment: &Enrollment, portal: &Portal, now: Timestamp) -> Option<Challenge> {
    let (test, plan) = (enrollment.live_test()?, enrollment.request.test.as_ref()?);
    let request = &enrollment.request;
    let answer_within = Duration::from_secs(u64::from(portal.policy.answer_within_s));
    let answer_by = now.plus(answer_within).min(request.respond_by);
    let asked = Request {
        user: Some(request.user.clone()),
        purpose: Purpose::EnrollmentTest,
        steps: alloc::vec![tested_step(enrollment, &plan.step)],
        mode: plan.mode,
        number_match: test.number_match,
        accepted_at: now,
        answer_by,
        collect_by: answer_by.plus(COLLECT),
        locale: request.locale.clone(),
        context: Context::default(),
        alternatives: alloc::vec::Vec::new(),
        prompts: portal.policy.prompts,
        // That of no challenge that a portal asks for: one under this id is a conflict.
        body_hash: request.body_hash,
        pin: plan.pin.clone(),
        user_verification: portal.policy.user_verification,
        skipped: alloc::vec::Vec::new(),
    };
    let key = ChallengeKey { id: test.id, portal: enrollment.key.portal.clone() };
    let mut challenge = Challenge { key, version: 1, request: Arc::new(asked), live: Live::default() };
    await_code(&mut challenge, now);
    Some(challenge)
}
