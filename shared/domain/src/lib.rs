#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod advice;
mod attempt;
mod caller_id;
mod challenge;
mod common_pins;
mod enrollment;
mod erased;
mod event;
mod failure;
mod ids;
mod open;
mod owed;
mod phone;
mod pin_rules;
mod portal;
mod questions;
mod request;
mod shown;
mod step;
mod time;
mod user;
mod words;

pub use advice::Offer;
pub use attempt::{Attempt, CallerId, CodeTry, Codes, Resend, Talk, rank};
pub use caller_id::{
    CallerIdFinding, CallerIds, PlannedCallerId, UsedCallerId, plan_caller_id, used_caller_ids,
};
pub use challenge::{Challenge, End, Live, Unreadable};
pub use enrollment::{
    ACTIVATION, Account, ActivatedDevice, Activation, Answers, Authority, COLLECT_ENROLLMENT, Change,
    DevicesOut, Enrollment, EnrollmentAsk, EnrollmentEffect, EnrollmentEnd, EnrollmentEvent, EnrollmentLive,
    EnrollmentPolicy, EnrollmentReason, EnrollmentRefused, EnrollmentRequest, EnrollmentResult,
    EnrollmentState, Flaw, LEAST_TEST, LineType, MAX_CODES, MAX_TESTS, MistypedCode, NewTest, NextStep,
    OperatorCause, Patch, RECOVERY_AFTER, Seen, SeenApp, SeenPhone, Shown, StandingChange, StoredAnswer,
    Test, TestPlan, TypedCode, Wanted, allows_recovery, authority, open_enrollment, owed_enrollment, proves,
    step_enrollment, test_challenge,
};
pub use event::{CodeVerdict, Decision, Entry, Event, PinVerdict};
pub use failure::FailureClass;
pub use ids::{
    ChallengeId, ChallengeKey, DeviceId, InvalidId, PortalName, RequestId, RequestKey, TAKEN_NAMES, UserId,
};
pub use open::{AHEAD_ID, COLLECT, LONGEST, NotOpened, OLDEST_ID, bypass, may_bypass, open, tombstone};
pub use owed::{Effect, Watch, owed, unsettled_push, watch_changes};
pub use phone::{Extension, InvalidExtension, InvalidNumber, PhoneNumber};
pub use pin_rules::{PinFlaw, PinRules, weak_pin};
pub use portal::{InvalidPolicy, MAX_STEPS, Policy, PolicyStep, Portal, PromptTexts, STEP_S};
pub use questions::{
    ANSWER_BYTES_MAX, InvalidQuestionId, NormalAnswer, QuestionId, QuestionPolicy, QuestionsFlaw,
    QuestionsRule, SecurityQuestion,
};
pub use request::{Alternative, Ask, AskedStep, Context, Field, Request, Skipped, Step, Target};
pub use shown::misleads;
pub use step::{
    CALLBACK_CHECK, HANG_UP_CHECK, LEAST_STEP, MAX_ATTEMPTS, MAX_CALLER_IDS, MAX_TRIES, NETWORK_DECLINES,
    PUSH_ANSWER, Question, RESERVED_CHECK, Refused, UNFOUND_CHECK, UNKNOWN_CHECK, has_resend_left,
    push_ttl_s, question, step,
};
pub use time::Timestamp;
pub use user::{Device, Phone, PushToken, User};
pub use words::{
    Assurance, AttemptState, CallMode, CallerIdStep, ChallengeResult, Channel, Command, Detection, Factor,
    PhoneKind, PhoneRole, PinRule, Progress, Purpose, Reason, Refusal, UserVerification,
};
