//! What a portal sends while its request is open: the test once more, answers, or the end.

use std::sync::Arc;

use fleet_broker::Verdict;
use fleet_contracts::{EnrollmentContinue, Invalid, SecretAnswer, With};
use fleet_domain::{
    Answers, ChallengeKey, Channel, Enrollment, EnrollmentEvent, Factor, NewTest, NextStep, NormalAnswer,
    Portal, RequestKey,
};
use fleet_engine::Error;

use crate::sealed_box::open_box;
use crate::secrets::{PATH, invalid};
use crate::worker::Worker;

impl Worker {
    /// Carries a request on. What comes when it is not due changes nothing: the outcome says what is.
    pub(crate) async fn go_on(
        &self,
        goes_on: EnrollmentContinue,
        portal: &Arc<Portal>,
    ) -> Result<Verdict, Error> {
        let key = RequestKey { id: goes_on.request_id, portal: portal.name.clone() };
        let Some(stored) = self.records().enrollment(&key).await? else {
            let unknown = invalid(key.id, "data.request_id", "is no request of this portal");
            return self.refuse(&portal.name, &unknown).await;
        };
        let event = match goes_on.with {
            With::Cancel => Ok(EnrollmentEvent::Cancel),
            With::Activation => Ok(EnrollmentEvent::NewCode),
            With::Test => self.new_test(&stored.enrollment, &goes_on, portal),
            With::Answers => match self.answered(&stored.enrollment, &goes_on).await? {
                Ok(Some(answers)) => Ok(EnrollmentEvent::Answered(answers)),
                Ok(None) => return Ok(Verdict::Done),
                Err(invalid) => Err(invalid),
            },
        };
        let event = match event {
            Ok(event) => event,
            Err(invalid) => return self.refuse(&portal.name, &invalid).await,
        };
        let was_right = event == EnrollmentEvent::Answered(Answers::Right);
        let user = stored.enrollment.request.user.clone();
        let stepped = self.step(&key, Some(stored), &event).await?;
        self.carry_on(stepped.stored()).await?;
        if was_right {
            self.records().forget_wrong(&user, Factor::Answers).await?;
        }
        Ok(Verdict::Done)
    }

    fn new_test(
        &self,
        enrollment: &Enrollment,
        goes_on: &EnrollmentContinue,
        portal: &Portal,
    ) -> Result<EnrollmentEvent, Invalid> {
        let now = self.engine.now();
        let id = Self::new_test_id(now);
        let key = ChallengeKey { id, portal: portal.name.clone() };
        let digits = goes_on.number_match.as_ref();
        let number_match = digits.map(|digits| self.engine.number_hash(&key, digits.reveal()));
        let channel = enrollment.request.test.as_ref().map(|test| test.step.channel());
        let asked_before = enrollment.live.tests.iter().any(|test| test.number_match.is_some());
        let pushes = channel == Some(Channel::Push) && !portal.policy.approve_only;
        if number_match.is_none() && (asked_before || pushes) {
            let rule = "is required, as for the first test: the digits that the portal's page shows";
            return Err(invalid(enrollment.key.id, "data.number_match", rule));
        }
        Ok(EnrollmentEvent::Retry(NewTest { id, number_match }))
    }

    /// What the answers are, if they are due. The guess is counted before anything is compared, so that it counts whatever
    /// becomes of the comparison.
    async fn answered(
        &self,
        enrollment: &Enrollment,
        goes_on: &EnrollmentContinue,
    ) -> Result<Result<Option<Answers>, Invalid>, Error> {
        let request = &enrollment.request;
        let Some(sealed) = &goes_on.sealed else { return Ok(Ok(None)) };
        let secrets = match open_box(&self.boxes, (enrollment.key.id, &request.user), sealed) {
            Ok(secrets) => secrets,
            Err(invalid) => return Ok(Err(invalid)),
        };
        if !enrollment.is_open() || enrollment.live.next_step != Some(NextStep::AnswerQuestions) {
            return Ok(Ok(None));
        }
        if !answers_what_is_asked(&secrets.answers, &request.asked) {
            let rule = "must have one answer to each question that was asked, and no other";
            return Ok(Err(invalid(enrollment.key.id, &format!("{PATH}.answers"), rule)));
        }
        let limit = self.settings.answers_limit();
        if !self.records().count_guess(&request.user, Factor::Answers, limit).await? {
            return Ok(Ok(Some(Answers::LockedOut)));
        }
        let stored = self.records().answers(&request.user, &request.asked).await?;
        let pairs: Vec<_> = stored
            .into_iter()
            .filter_map(|(question, hash)| {
                let given = secrets.answers.iter().find(|given| given.question == question)?;
                Some((question, NormalAnswer::of(&given.answer).ok()?, hash))
            })
            .collect();
        // An answer that can't be compared, or a question that was changed meanwhile, is a wrong one.
        let whole = pairs.len() == request.asked.len();
        let right = self.hashing.all_match(&request.user, pairs).await? && whole;
        Ok(Ok(Some(if right { Answers::Right } else { Answers::Wrong })))
    }
}

fn answers_what_is_asked(given: &[SecretAnswer], asked: &[String]) -> bool {
    given.len() == asked.len() && asked.iter().all(|id| given.iter().any(|answer| answer.question == *id))
}
