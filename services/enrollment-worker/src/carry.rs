//! Carrying a request on: every event is stepped over the row as it stands and committed, and what it owes then is done.

use fleet_domain::{
    ChallengeKey, Enrollment, EnrollmentEffect, EnrollmentEvent, EnrollmentResult, Purpose, RequestKey,
    owed_enrollment, step_enrollment, test_challenge,
};
use fleet_engine::Error;
use fleet_lifecycle::{CrashPoint, crash_point};
use fleet_records::{CommittedEnrollment, ErrorClass, Stored, StoredEnrollment};

use crate::worker::Worker;

/// How often an event is stepped over a row that other processes change meanwhile.
const TRIES: u32 = 6;

/// What came of an event.
pub(crate) enum Stepped {
    /// It counted.
    Changed(StoredEnrollment),
    /// It changed nothing.
    Unchanged(StoredEnrollment),
}

impl Stepped {
    pub(crate) fn stored(self) -> StoredEnrollment {
        match self {
            Self::Changed(stored) | Self::Unchanged(stored) => stored,
        }
    }
}

impl Worker {
    /// Applies an event until it is either committed or refused. Idempotent by the rules.
    pub(crate) async fn step(
        &self,
        key: &RequestKey,
        mut known: Option<StoredEnrollment>,
        event: &EnrollmentEvent,
    ) -> Result<Stepped, Error> {
        let mut event = event.clone();
        for _ in 0..TRIES {
            let stored = match known.take() {
                Some(known) => known,
                None => self.records().enrollment(key).await?.ok_or(Error::Unknown)?,
            };
            let after = match step_enrollment(&stored.enrollment, &event, self.now()?) {
                Ok(after) => after,
                Err(_refused) => return Ok(Stepped::Unchanged(stored)),
            };
            match self.records().commit_enrollment(&stored.enrollment, &after).await? {
                CommittedEnrollment::Stored => {
                    if after.result() == EnrollmentResult::Done {
                        crash_point(CrashPoint::ChangeStored);
                    }
                    self.metrics.stepped(&after);
                    let stored = StoredEnrollment { enrollment: after, told: stored.told };
                    self.tell_soon(stored.clone());
                    return Ok(Stepped::Changed(stored));
                }
                CommittedEnrollment::Contended => {}
                CommittedEnrollment::Unfit(reason) => event = EnrollmentEvent::Refuse(reason),
            }
        }
        Err(Error::Contended(TRIES))
    }

    /// Does what a request owes, until nothing is left that is not somebody else's turn. Idempotent by the row.
    pub(crate) async fn carry_on(&self, mut stored: StoredEnrollment) -> Result<StoredEnrollment, Error> {
        loop {
            let key = stored.enrollment.key.clone();
            let event = match owed_enrollment(&stored.enrollment) {
                Some(EnrollmentEffect::Test(_)) => {
                    let Some(ended) = self.test(&stored.enrollment).await? else {
                        crash_point(CrashPoint::TestBegun);
                        return Ok(stored);
                    };
                    ended
                }
                Some(EnrollmentEffect::Apply) => {
                    crash_point(CrashPoint::ChangePassed);
                    match self.apply(stored).await? {
                        Ok(applied) => return Ok(applied),
                        Err((unfit, event)) => {
                            stored = unfit;
                            event
                        }
                    }
                }
                Some(EnrollmentEffect::EndTest(_)) | None => return Ok(stored),
            };
            stored = self.step(&key, Some(stored), &event).await?.stored();
        }
    }

    /// Sees to it that the test is under way. Gives its end where it has ended.
    async fn test(&self, enrollment: &Enrollment) -> Result<Option<EnrollmentEvent>, Error> {
        let portal = self.engine.portal(&enrollment.key.portal)?;
        let Some(challenge) = test_challenge(enrollment, &portal, self.now()?) else { return Ok(None) };
        let stored = self.engine.begin_test(challenge).await?;
        Ok(ended(enrollment, &stored))
    }

    /// Stores the change. A change that PostgreSQL can never take fails its request, so that nothing waits for it.
    async fn apply(
        &self,
        stored: StoredEnrollment,
    ) -> Result<Result<StoredEnrollment, (StoredEnrollment, EnrollmentEvent)>, Error> {
        let key = stored.enrollment.key.clone();
        match self.step(&key, Some(stored.clone()), &EnrollmentEvent::Apply).await {
            Ok(stepped) => Ok(Ok(stepped.stored())),
            Err(Error::Records(error)) if error.class() == ErrorClass::Culprit => {
                tracing::error!(request = %key, error = %error, "a change can't be stored; its request fails");
                Ok(Err((stored, EnrollmentEvent::Fail)))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes up the end of a test.
    pub(crate) async fn test_has_ended(&self, test: &Stored) -> Result<(), Error> {
        let Some(stored) = self.records().enrollment_of_test(&test.challenge.key).await? else {
            return Ok(());
        };
        let Some(event) = ended(&stored.enrollment, test) else { return Ok(()) };
        let key = stored.enrollment.key.clone();
        let stepped = self.step(&key, Some(stored), &event).await?;
        self.carry_on(stepped.stored()).await.map(drop)
    }
}

/// The end of a request's test. A challenge that is no test of this user, under an id that somebody has guessed, proves
/// nothing: its request fails.
fn ended(enrollment: &Enrollment, stored: &Stored) -> Option<EnrollmentEvent> {
    let challenge = &stored.challenge;
    let request = &challenge.request;
    let is_its_own = request.purpose == Purpose::EnrollmentTest
        && request.user.as_ref() == Some(&enrollment.request.user)
        && request.body_hash == enrollment.request.body_hash;
    if !is_its_own {
        return Some(EnrollmentEvent::Fail);
    }
    let end = challenge.live.end.as_ref()?;
    Some(EnrollmentEvent::TestEnded { id: challenge.key.id, reason: end.reason })
}

/// The challenge of a test.
pub(crate) fn test_key(enrollment: &Enrollment) -> Option<ChallengeKey> {
    let test = enrollment.live_test()?;
    Some(ChallengeKey { id: test.id, portal: enrollment.key.portal.clone() })
}
