#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod advice;
mod attempt;
mod caller_id;
mod challenge;
mod erased;
mod event;
mod failure;
mod ids;
mod open;
mod owed;
mod phone;
mod portal;
mod request;
mod step;
mod time;
mod user;
mod words;

pub use advice::Offer;
pub use attempt::{Attempt, CallerId, Talk, rank};
pub use caller_id::{
    CallerIdFinding, CallerIds, PlannedCallerId, UsedCallerId, plan_caller_id, used_caller_ids,
};
pub use challenge::{Challenge, End, Live, Unreadable};
pub use event::{Decision, Entry, Event, PinVerdict};
pub use failure::FailureClass;
pub use ids::{ChallengeId, ChallengeKey, DeviceId, InvalidId, PortalName, TAKEN_NAMES, UserId};
pub use open::{AHEAD_ID, COLLECT, LONGEST, NotOpened, OLDEST_ID, open, tombstone};
pub use owed::{Effect, Watch, owed, watch_changes};
pub use phone::{Extension, InvalidExtension, InvalidNumber, PhoneNumber};
pub use portal::{InvalidPolicy, Policy, Portal, PromptTexts};
pub use request::{Alternative, Ask, AskedStep, Context, Field, Request, Step, Target};
pub use step::{
    CALLBACK_CHECK, HANG_UP_CHECK, LEAST_STEP, MAX_ATTEMPTS, MAX_CALLER_IDS, MAX_TRIES, NETWORK_DECLINES,
    Question, RESERVED_CHECK, Refused, UNFOUND_CHECK, UNKNOWN_CHECK, question, step,
};
pub use time::Timestamp;
pub use user::{Device, Phone, PushToken, User};
pub use words::{
    Assurance, AttemptState, CallMode, CallerIdStep, ChallengeResult, Channel, Command, Detection, Factor,
    PhoneKind, PhoneRole, PinRule, Progress, Purpose, Reason, Refusal,
};
