//! What the rest of the fleet asks about requests to change an enrollment.

use fleet_domain::{ChallengeKey, Enrollment, RequestKey, Timestamp, UserId};

use super::Records;
use crate::{Beside, CommittedEnrollment, Error, OpenedEnrollment, StoredEnrollment, enrollments};

impl Records {
    /// Stores a request to change an enrollment, unless there is one under its key or its proof was spent before.
    pub async fn open_enrollment(
        &self,
        new: &Enrollment,
        beside: Beside<'_>,
    ) -> Result<OpenedEnrollment, Error> {
        let _place = self.beside("opening an enrollment request").await?;
        enrollments::open(&self.0.connections, new, beside, &self.0.keys).await
    }

    /// Commits the next version of a request and its act, if the row is still in the version that was read; where the
    /// request is done by it, the change is stored in the same commit. After an error, load the request to see what has
    /// become of it.
    pub async fn commit_enrollment(
        &self,
        before: &Enrollment,
        after: &Enrollment,
    ) -> Result<CommittedEnrollment, Error> {
        let _place = self.beside("committing an enrollment request").await?;
        enrollments::commit(&self.0.connections, before, after, &self.0.keys).await
    }

    /// The request as it is stored.
    pub async fn enrollment(&self, key: &RequestKey) -> Result<Option<StoredEnrollment>, Error> {
        let _place = self.beside("reading enrollment requests").await?;
        enrollments::load(&self.0.connections, key).await
    }

    /// The request whose test under way is this challenge.
    pub async fn enrollment_of_test(&self, test: &ChallengeKey) -> Result<Option<StoredEnrollment>, Error> {
        let _place = self.beside("reading enrollment requests").await?;
        enrollments::of_test(&self.0.connections, test).await
    }

    /// The user's open request.
    pub async fn open_enrollment_of(&self, user: &UserId) -> Result<Option<StoredEnrollment>, Error> {
        let _place = self.beside("reading enrollment requests").await?;
        enrollments::open_of(&self.0.connections, user).await
    }

    /// Open requests for which something is due at `now`: their time is over, their change is still to be stored, their
    /// test has ended, or their user was blocked.
    pub async fn due_enrollments(&self, now: Timestamp, limit: u16) -> Result<Vec<StoredEnrollment>, Error> {
        let _place = self.beside("reading enrollment requests").await?;
        enrollments::due(&self.0.connections, now, limit.into()).await
    }

    /// Requests of which the portal is not known to be told everything.
    pub async fn untold_enrollments(&self, limit: u16) -> Result<Vec<StoredEnrollment>, Error> {
        let _place = self.beside("reading enrollment requests").await?;
        enrollments::untold(&self.0.connections, limit.into()).await
    }

    /// Requests whose outcome is still to be collected, by the time until which it is; `after` is the last one of the page
    /// before, `None` for those that are still to be collected at `now`.
    pub async fn collectable_enrollments(
        &self,
        now: Timestamp,
        after: Option<&Enrollment>,
        limit: u16,
    ) -> Result<Vec<StoredEnrollment>, Error> {
        let _place = self.beside("reading enrollment requests").await?;
        let place = after.map_or((now, uuid::Uuid::nil(), ""), |last| {
            (last.request.collect_by, last.key.id.uuid(), last.key.portal.as_str())
        });
        enrollments::to_collect(&self.0.connections, place, limit.into()).await
    }

    /// Notes that the portal was told of this version of a request.
    pub async fn mark_enrollment_told(&self, key: &RequestKey, version: u32) -> Result<(), Error> {
        let _place = self.beside("marking an enrollment request as told").await?;
        enrollments::mark_told(&self.0.connections, key, version).await
    }
}
