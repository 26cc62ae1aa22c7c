//! What a request shows as its proof, found out.

use fleet_contracts::{EnrollmentRequest, Proof};
use fleet_domain::{
    Authority, ChallengeKey, Change, EnrollmentReason, EnrollmentResult, Portal, RequestKey, Shown, UserId,
    allows_recovery, proves,
};
use fleet_engine::Error;
use uuid::Uuid;

use crate::worker::Worker;

/// What was shown, and what is spent by it.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) shown: Shown,
    pub(crate) spends: Option<Uuid>,
}

impl Found {
    pub(crate) const NOTHING: Self = Self { shown: Shown::Nothing, spends: None };
}

impl Worker {
    /// What this proof proves about the user.
    pub(crate) async fn find_proof(
        &self,
        proof: Option<&Proof>,
        user: &UserId,
        portal: &Portal,
    ) -> Result<Found, Error> {
        let (now, within) = (self.now()?, portal.policy.enrollment.proof_within());
        let Some(proof) = proof else { return Ok(Found::NOTHING) };
        if let Some(id) = proof.challenge_id {
            let key = ChallengeKey { id, portal: portal.name.clone() };
            let stored = self.records().load(&key).await?;
            let is_good = stored.is_some_and(|stored| proves(&stored.challenge, user, within, now));
            let found = Found { shown: Shown::SignIn, spends: Some(id.uuid()) };
            return Ok(if is_good { found } else { Found::NOTHING });
        }
        let Some(id) = proof.request_id else { return Ok(Found::NOTHING) };
        let key = RequestKey { id, portal: portal.name.clone() };
        let Some(stored) = self.records().enrollment(&key).await? else { return Ok(Found::NOTHING) };
        let request = &stored.enrollment.request;
        let ended = stored.enrollment.live.end.as_ref();
        let is_fresh =
            ended.is_some_and(|end| end.reason == EnrollmentReason::Ok && end.at.plus(within) >= now);
        if &request.user != user || stored.enrollment.result() != EnrollmentResult::Done || !is_fresh {
            return Ok(Found::NOTHING);
        }
        let shown = if request.change == Change::Recovery {
            Shown::Recovery
        } else if request.test.is_some() && request.authority != Authority::None {
            Shown::Test
        } else {
            return Ok(Found::NOTHING);
        };
        Ok(Found { shown, spends: Some(id.uuid()) })
    }

    /// Whether the challenge that a recovery names allows it.
    pub(crate) async fn may_recover(
        &self,
        request: &EnrollmentRequest,
        portal: &Portal,
    ) -> Result<bool, Error> {
        let Some(id) = request.after else { return Ok(false) };
        let key = ChallengeKey { id, portal: portal.name.clone() };
        let (now, within) = (self.now()?, portal.policy.enrollment.proof_within());
        let stored = self.records().load(&key).await?;
        Ok(stored.is_some_and(|stored| allows_recovery(&stored.challenge, &request.user_id, within, now)))
    }
}
