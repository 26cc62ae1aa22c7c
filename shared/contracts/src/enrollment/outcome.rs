//! What became of an enrollment request, as a document that portals poll in Redis.

mod activation;
mod enrolled;

use fleet_domain::{
    Authority, ChallengeId, Change, Channel, Enrollment, EnrollmentReason, EnrollmentResult, EnrollmentState,
    NextStep, PhoneRole, Portal, PortalName, Reason, RequestId, Timestamp, UserId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::activation::{ActivationReport, DeviceReport};
pub use self::enrolled::{EnrolledApp, EnrolledPhone, EnrolledReport};
use crate::form::{Text, not_null};

/// What became of a request to change an enrollment, in one version of its row.
///
/// `seq` is the first field in the JSON text, where the script in Redis that keeps the highest one reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnrollmentOutcome {
    /// The version of the request's row, from 1: readers keep the document with the highest.
    #[schemars(range(min = 1))]
    pub seq: u32,
    /// What became of the request; everything but `pending` is final.
    #[schemars(with = "Text<EnrollmentResult>")]
    pub result: EnrollmentResult,
    /// How far it has come.
    #[schemars(with = "Text<EnrollmentState>")]
    pub state: EnrollmentState,
    /// Why it ended; absent while it is pending.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<EnrollmentReason>")]
    pub reason: Option<EnrollmentReason>,
    /// The path of the field at fault, such as `data.sealed.phone.number`.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub field: Option<String>,
    /// The rule that it breaks, a clause that follows the field's name.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub rule: Option<String>,
    /// What the user, or the portal for the user, does next.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<NextStep>")]
    pub next_step: Option<NextStep>,
    /// Whole seconds that were left when this version was made; 0 once it has ended.
    pub seconds_left: u32,
    /// What is changed.
    #[schemars(with = "Text<Change>")]
    pub change: Change,
    /// The request.
    #[serde(with = "Text::<RequestId>")]
    pub request_id: RequestId,
    /// The portal that asked for it.
    #[serde(with = "Text::<PortalName>")]
    pub portal: PortalName,
    /// Whose enrollment.
    #[serde(with = "Text::<UserId>")]
    pub user_id: UserId,
    /// What allowed the change.
    #[schemars(with = "Text<Authority>")]
    pub authority: Authority,
    /// The method before and after.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MethodReport")]
    pub method: Option<MethodReport>,
    /// The phones as they are after the change, numbers with their middle hidden.
    pub phones: Vec<PhoneReport>,
    /// The tests so far, oldest first.
    pub tests: Vec<TestReport>,
    /// What is enrolled; only for `read`.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "EnrolledReport")]
    pub enrolled: Option<EnrolledReport>,
    /// The activation of a device, where the request needs one.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ActivationReport")]
    pub activation: Option<ActivationReport>,
    /// The questions to be answered for a recovery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<String>,
    /// What the portal wants a person to be told whose request was refused or has expired.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub help: Option<String>,
    /// Until when its test must have passed.
    #[serde(with = "Text::<Timestamp>")]
    pub respond_by: Timestamp,
    /// Until when this document can be read.
    #[serde(with = "Text::<Timestamp>")]
    pub collect_by: Timestamp,
    /// After how many milliseconds to look again; 0 when nothing more will change.
    pub poll_after_ms: u32,
}

/// The user's method before and after a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct MethodReport {
    /// The one before; absent for a user who is new.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<Channel>")]
    pub before: Option<Channel>,
    /// The one after.
    #[schemars(with = "Text<Channel>")]
    pub after: Channel,
}

/// A phone that is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct PhoneReport {
    /// Which one.
    #[schemars(with = "Text<PhoneRole>")]
    pub phone: PhoneRole,
    /// Its number, the middle hidden.
    pub number: String,
    /// Whether the change leaves it verified; until then it is not called in a sign-in.
    pub verified: bool,
}

/// A live test: a challenge of its own, whose outcome can be read like any other's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct TestReport {
    /// The challenge.
    #[serde(with = "Text::<ChallengeId>")]
    pub challenge_id: ChallengeId,
    /// How it ended; absent while it is under way.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<Reason>")]
    pub reason: Option<Reason>,
}

impl EnrollmentOutcome {
    /// What is to be told of this version of the request.
    #[must_use]
    pub fn of(enrollment: &Enrollment, portal: &Portal) -> Self {
        let Enrollment { key, version, request, live } = enrollment;
        let result = enrollment.result();
        let end = live.end.as_ref();
        let phone = |phone: &fleet_domain::Phone| PhoneReport {
            phone: phone.role,
            number: phone.masked.clone(),
            verified: phone.verified,
        };
        let method = request.patch.method.map(|after| MethodReport { before: request.method_before, after });
        Self {
            seq: *version,
            result,
            state: live.state,
            reason: end.map(|end| end.reason),
            field: end.and_then(|end| end.field.clone()),
            rule: end.and_then(|end| end.rule.clone()),
            next_step: live.next_step,
            seconds_left: enrollment.seconds_left(),
            change: request.change,
            request_id: key.id,
            portal: key.portal.clone(),
            user_id: request.user.clone(),
            authority: request.authority,
            method,
            phones: request.patch.phones.iter().map(phone).collect(),
            tests: live
                .tests
                .iter()
                .map(|test| TestReport { challenge_id: test.id, reason: test.ended })
                .collect(),
            activation: ActivationReport::of(enrollment, portal),
            enrolled: request.seen.as_ref().map(EnrolledReport::from),
            questions: if enrollment.is_open() { request.asked.clone() } else { Vec::new() },
            help: match result {
                EnrollmentResult::Refused | EnrollmentResult::Expired => {
                    portal.policy.help(&request.locale).map(str::to_owned)
                }
                EnrollmentResult::Pending | EnrollmentResult::Done | EnrollmentResult::Canceled => None,
            },
            respond_by: request.respond_by,
            collect_by: request.collect_by,
            poll_after_ms: poll_after_ms(live.state, result),
        }
    }

    /// The document as it stands in Redis; it begins with `{"seq":`.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of them: there is nothing in it that JSON cannot say.
        serde_json::to_string(self).unwrap_or_else(|_| unreachable!("outcomes are plain data"))
    }

    /// Reads a document; `None` for what is none, or has a word that this version does not know.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// After how many milliseconds a portal should look again.
const fn poll_after_ms(state: EnrollmentState, result: EnrollmentResult) -> u32 {
    match (result, state) {
        (EnrollmentResult::Pending, EnrollmentState::PendingUserData) => 2_000,
        (EnrollmentResult::Pending, _) => 500,
        (
            EnrollmentResult::Done
            | EnrollmentResult::Refused
            | EnrollmentResult::Expired
            | EnrollmentResult::Canceled,
            _,
        ) => 0,
    }
}
