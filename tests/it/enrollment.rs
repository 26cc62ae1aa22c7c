//! What a person may change, from a portal's message to the change's effect, over the real queues and with real calls.

mod activation;
mod devices;
mod operators;
mod phones;
mod questions;
mod refusals;

use std::time::Duration;

use fleet_contracts::EnrollmentOutcome;
use fleet_domain::{
    ChallengeId, ChallengeResult, Change, EnrollmentPolicy, EnrollmentReason, EnrollmentResult,
    EnrollmentState, PhoneKind, Policy, Reason, RequestId, UserId,
};
use fleet_keys::EnrollmentPublicKey;
use fleet_portal_client::{EnrollmentDraft, GivenPhone};
use serde_json::json;

use crate::world::World;

pub(crate) const PEOPLE: &str = r##"
[[person]]
name = "at the old phone"
number = "+19195550101"
answers = { after = "1s" }
presses = ["#"]
[[person]]
name = "at the new phone"
number = "+19195550102"
answers = { after = "1s" }
presses = ["#"]
[[person]]
name = "keys the new PIN"
number = "+19195550103"
answers = { after = "1s" }
presses = ["820571#"]
[[person]]
name = "does not answer at first"
number = "+19195550104"
answers = { after = "100s" }
presses = ["#"]
[[person]]
name = "lets it ring"
number = "+19195550105"
answers = { after = "100s" }
[[person]]
name = "reports fraud"
number = "+19195550106"
answers = { after = "1s" }
presses = ["0#", "1#"]
"##;

pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Everything that a portal may ask for on behalf of the person.
pub(crate) const THEIR_OWN: [Change; 11] = [
    Change::Enroll,
    Change::Method,
    Change::Phone,
    Change::PhoneRemove,
    Change::PhoneTest,
    Change::Pin,
    Change::Questions,
    Change::DeviceRevoke,
    Change::DeviceActivate,
    Change::Recovery,
    Change::Read,
];

pub(crate) fn policy(enrollment: EnrollmentPolicy) -> Policy {
    Policy { approve_only: true, ring_s: 20, prompts: 2, enrollment, ..Policy::default() }
}

pub(crate) fn their_own() -> EnrollmentPolicy {
    EnrollmentPolicy { requests: THEIR_OWN.to_vec(), recovery: true, ..EnrollmentPolicy::default() }
}

pub(crate) fn mobile(number: &str) -> GivenPhone {
    GivenPhone { number: number.to_owned(), extension: None, kind: PhoneKind::Mobile }
}

impl World {
    /// The key to which secrets are sealed.
    pub(crate) fn enrollment_key(&self) -> EnrollmentPublicKey {
        crate::world::enrollment_keys(&self.environment).current()
    }

    /// A change of this user, to be completed.
    pub(crate) fn change(&self, user: &UserId, change: Change) -> EnrollmentDraft {
        self.portal.enrollment(user.clone(), change)
    }

    /// Asks for a change until a queue takes it: the fleet declares its queues while it starts.
    pub(crate) async fn enroll(&self, draft: EnrollmentDraft) -> RequestId {
        let draft = draft.seal(&self.enrollment_key());
        for _ in 0..200 {
            match self.portal.enroll(&draft).await {
                Ok(id) => return id,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        panic!("no queue takes the request")
    }

    /// The final outcome of a change.
    pub(crate) async fn changed(&self, id: RequestId) -> EnrollmentOutcome {
        let is_final = |outcome: &EnrollmentOutcome| outcome.result != EnrollmentResult::Pending;
        self.portal
            .wait_enrollment(id, PATIENCE, is_final)
            .await
            .unwrap_or_else(|error| panic!("{id}: {error}"))
    }

    /// Asks for a change and waits for its final outcome.
    pub(crate) async fn change_now(&self, draft: EnrollmentDraft) -> EnrollmentOutcome {
        let id = self.enroll(draft).await;
        self.changed(id).await
    }

    /// A sign-in that the user has just answered. A line that the last call still holds is waited for.
    pub(crate) async fn proof(&self, user: &UserId) -> ChallengeId {
        for _ in 0..50 {
            let id = self.ask(&self.portal.draft(user.clone())).await;
            let outcome = self.outcome(id).await;
            match outcome.reason {
                Some(Reason::CallInProgress) => tokio::time::sleep(Duration::from_millis(50)).await,
                reason => {
                    assert_eq!(outcome.result, ChallengeResult::Approved, "{reason:?}");
                    return id;
                }
            }
        }
        panic!("the line stays busy")
    }

    /// The person at this number answers from now on, and presses the pound key.
    pub(crate) async fn answers_now(&self, number: &str) {
        let person =
            json!({ "name": "is there", "number": number, "answers": { "after": "1s" }, "presses": ["#"] });
        let client = reqwest::Client::builder().build().unwrap();
        let url = format!("{}/sim/people", self.simulator_url);
        let people = json!({ "person": [person] });
        client.post(url).json(&people).send().await.unwrap().error_for_status().unwrap();
    }

    /// The numbers that were called so far, in order.
    pub(crate) async fn called(&self) -> Vec<String> {
        let calls = self.facts("call_created").await;
        calls.iter().map(|call| call["to"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) fn end(
    outcome: &EnrollmentOutcome,
) -> (EnrollmentResult, EnrollmentState, Option<EnrollmentReason>) {
    (outcome.result, outcome.state, outcome.reason)
}

pub(crate) const DONE: (EnrollmentResult, EnrollmentState, Option<EnrollmentReason>) =
    (EnrollmentResult::Done, EnrollmentState::Enrolled, Some(EnrollmentReason::Ok));

pub(crate) const fn refused(
    reason: EnrollmentReason,
) -> (EnrollmentResult, EnrollmentState, Option<EnrollmentReason>) {
    (EnrollmentResult::Refused, EnrollmentState::Refused, Some(reason))
}
