//! Telling the portal: every version to Redis, an enrollment that has changed as an event as well. Done by whoever committed
//! the version; what fails is found by the sweep, which tells until it succeeds. What a block or a lost device means for
//! challenges that are open belongs to it, so that nobody has to live to do it.

use fleet_contracts::{self as contracts, EnrollmentChanged, EnrollmentOutcome};
use fleet_domain::{Change, Enrollment, EnrollmentEffect, EnrollmentResult, Portal, Reason, owed_enrollment};
use fleet_engine::Error;
use fleet_lifecycle::{CrashPoint, crash_point};
use fleet_outcomes::Told;
use fleet_records::StoredEnrollment;

use crate::carry::test_key;
use crate::worker::Worker;

impl Worker {
    /// Tells this version in a task of its own.
    pub(crate) fn tell_soon(&self, stored: StoredEnrollment) {
        let worker = self.clone();
        self.engine.spawn("tell enrollment", async move {
            worker.tell(&stored).await;
        });
    }

    /// Ends what may not go on after this version and tells of it, and marks the version as told once all is done. Says
    /// whether it is.
    pub(crate) async fn tell(&self, stored: &StoredEnrollment) -> bool {
        let enrollment = &stored.enrollment;
        let key = &enrollment.key;
        let portal = match self.engine.portal(&key.portal) {
            Ok(portal) => portal,
            // Nobody waits for its outcome any more; what it means for challenges counts all the same.
            Err(Error::UnknownPortal) => {
                return self.end_challenges(enrollment).await && self.mark(enrollment).await;
            }
            Err(_) => return false,
        };
        // First, and whether Redis is there or not.
        let ended = self.end_challenges(enrollment).await && self.end_test(enrollment).await;
        let shown = self.show(enrollment, &portal).await;
        let done = ended && shown && self.publish(enrollment, &portal).await;
        if done && enrollment.result() == EnrollmentResult::Done {
            crash_point(CrashPoint::ChangeTold);
        }
        done && self.mark(enrollment).await
    }

    async fn mark(&self, enrollment: &Enrollment) -> bool {
        let key = &enrollment.key;
        match self.records().mark_enrollment_told(key, enrollment.version).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(request = %key, %error, "not marked as told; it will be told again");
                false
            }
        }
    }

    /// Tells this version to Redis. Nobody needs it there after its time.
    pub(crate) async fn show(&self, enrollment: &Enrollment, portal: &Portal) -> bool {
        let told = Told {
            portal: enrollment.key.portal.clone(),
            subject: enrollment.key.id.into(),
            seq: enrollment.version,
            json: self.outcome(enrollment, portal).to_json(),
            terminal: !enrollment.is_open(),
            collect_by: enrollment.request.collect_by,
        };
        self.engine.outcomes().tell(told).await.is_ok() || self.engine.now() > enrollment.request.collect_by
    }

    fn outcome(&self, enrollment: &Enrollment, portal: &Portal) -> EnrollmentOutcome {
        let outcome = EnrollmentOutcome::of(enrollment, portal);
        let Some(activation) = &enrollment.live.activation else { return outcome };
        let code = self.records().activation_code(&enrollment.key, activation.counter);
        outcome.with_activation_code(&code.typed, &code.long, self.engine.links().public_url())
    }

    /// Blocks and lost devices count for what is open now, too (within a second, ringing calls included).
    async fn end_challenges(&self, enrollment: &Enrollment) -> bool {
        let (Some(end), Some(reason)) = (&enrollment.live.end, ends_challenges(enrollment)) else {
            return true;
        };
        match self.engine.end_all_of(&enrollment.request.user, reason, end.at).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(request = %enrollment.key, %error, "what is open of a user is not ended yet; it is tried again");
                false
            }
        }
    }

    async fn end_test(&self, enrollment: &Enrollment) -> bool {
        let Some(EnrollmentEffect::EndTest(_)) = owed_enrollment(enrollment) else { return true };
        let Some(test) = test_key(enrollment) else { return true };
        match self.engine.end_test(&test).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(challenge = %test, %error, "a test that nobody waits for is not ended yet");
                false
            }
        }
    }

    async fn publish(&self, enrollment: &Enrollment, portal: &Portal) -> bool {
        if enrollment.result() != EnrollmentResult::Done || enrollment.request.change == Change::Read {
            return true;
        }
        let key = &enrollment.key;
        let id = contracts::event_id(&key.portal, key.id, enrollment.version);
        let changed = EnrollmentChanged::of(enrollment, portal);
        let event = contracts::Message::EnrollmentChanged(Box::new(changed));
        match self.engine.publish_event(&key.portal, id, event).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(request = %key, %error, "enrollment.changed is not confirmed yet");
                false
            }
        }
    }
}

/// Why this change ends what is open of its user, if it has taken effect and does.
fn ends_challenges(enrollment: &Enrollment) -> Option<Reason> {
    if enrollment.result() != EnrollmentResult::Done {
        return None;
    }
    match enrollment.request.change {
        Change::Block | Change::Delete => Some(Reason::UserBlocked),
        Change::DeviceLost | Change::DeviceRevoke => Some(Reason::Revoked),
        Change::Enroll
        | Change::Method
        | Change::Phone
        | Change::PhoneRemove
        | Change::PhoneTest
        | Change::Pin
        | Change::Questions
        | Change::Recovery
        | Change::Read
        | Change::Unblock
        | Change::Bypass
        | Change::DeviceActivate => None,
    }
}
