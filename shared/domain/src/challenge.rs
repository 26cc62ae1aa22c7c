//! A challenge: what was asked, what has become of it, and how both are told.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::attempt::Attempt;
use crate::ids::{ChallengeKey, DeviceId};
use crate::request::{Request, Step};
use crate::time::Timestamp;
use crate::words::{Assurance, AttemptState, ChallengeResult, Channel, Progress, Reason};

/// A challenge as one version of its row holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Portal and id.
    pub key: ChallengeKey,
    /// The row's version: 1 when it was accepted, one more with each transition. Readers order by it.
    pub version: u32,
    /// What was asked; never changes.
    pub request: Arc<Request>,
    /// What has become of it.
    pub live: Live,
}

/// Everything about a challenge that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Live {
    /// How it ended; `None` while it is open. Once set it never changes.
    #[n(0)]
    pub end: Option<End>,
    /// The step that is being gone, from 0.
    #[n(1)]
    pub step: u8,
    /// Wrong answers so far, with PINs and codes that are being compared.
    #[n(2)]
    pub tries: u8,
    /// All attempts, oldest first; at most one of them is live.
    #[n(3)]
    pub attempts: Vec<Attempt>,
}

/// How a challenge ended. Frozen.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct End {
    /// Why.
    #[n(0)]
    pub reason: Reason,
    /// How strong the proof was, where it was approved.
    #[n(1)]
    pub assurance: Option<Assurance>,
    /// When.
    #[n(2)]
    pub at: Timestamp,
    /// The version with which it ended: the one that the event `challenge.resolved` belongs to.
    #[n(3)]
    pub version: u32,
    /// The device that decided, or whose code was typed, where one did or was.
    #[n(4)]
    pub device: Option<DeviceId>,
    /// After how many seconds a new challenge may fare better, where this one was throttled.
    #[n(5)]
    pub retry_after_s: Option<u32>,
}

impl End {
    /// The device that answered its push. One whose code was typed may show its push still.
    #[must_use]
    pub fn answered_by(&self) -> Option<DeviceId> {
        self.device.filter(|_| self.reason != Reason::OkTotp)
    }
}

/// What the decoded bytes of a row are not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored challenge cannot be read: {0}")]
pub struct Unreadable(pub String);

impl Challenge {
    /// Whether it has not ended yet.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.live.end.is_none()
    }

    /// What has become of it.
    #[must_use]
    pub fn result(&self) -> ChallengeResult {
        self.live.end.as_ref().map_or(ChallengeResult::Pending, |end| end.reason.result())
    }

    /// The attempt that is under way.
    #[must_use]
    pub fn live_attempt(&self) -> Option<&Attempt> {
        self.live.attempts.iter().rev().find(|attempt| attempt.is_live())
    }

    /// The attempt by which the challenge stands where it does: that of the push which a device has answered, whichever
    /// step was live then, or else the last one.
    #[must_use]
    pub fn telling_attempt(&self) -> Option<&Attempt> {
        let mut newest_first = self.live.attempts.iter().rev();
        match self.live.end.as_ref().and_then(End::answered_by) {
            Some(_) => newest_first.find(|attempt| attempt.channel == Channel::Push),
            None => newest_first.next(),
        }
    }

    /// The attempt with this number.
    #[must_use]
    pub fn attempt(&self, number: u8) -> Option<&Attempt> {
        self.live.attempts.iter().find(|attempt| attempt.number == number)
    }

    /// The step that is being gone; `None` when the challenge had none.
    #[must_use]
    pub fn current_step(&self) -> Option<&Step> {
        self.request.steps.get(usize::from(self.live.step))
    }

    /// The steps that have been gone, and the one that is being gone.
    pub fn begun_steps(&self) -> impl Iterator<Item = &Step> {
        self.request.steps.iter().take(usize::from(self.live.step) + 1)
    }

    /// How long the phone of this attempt rings; nothing for other channels or where there is no such attempt.
    #[must_use]
    pub fn ring_time(&self, number: u8) -> Duration {
        let step = self.attempt(number).and_then(|attempt| self.request.steps.get(usize::from(attempt.step)));
        match step {
            Some(Step::Voice { ring_s, .. }) => Duration::from_secs(u64::from(*ring_s)),
            Some(Step::Push { .. } | Step::Totp { .. }) | None => Duration::ZERO,
        }
    }

    /// Whether a push was ever on its way: from then on the app's list shows the challenge.
    #[must_use]
    pub fn has_push(&self) -> bool {
        self.live.attempts.iter().any(|attempt| attempt.channel == Channel::Push)
    }

    /// The attempt that waits for a code.
    #[must_use]
    pub fn awaiting_code(&self) -> Option<&Attempt> {
        let last = self.live.attempts.last().filter(|attempt| attempt.state == AttemptState::AwaitingCode);
        last.filter(|_| self.is_open())
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        if !self.is_open() {
            return Progress::Ended;
        }
        let Some(attempt) = self.live.attempts.last() else { return Progress::Queued };
        match attempt.state {
            AttemptState::Reserved if attempt.step > 0 => Progress::FallingBack,
            AttemptState::Reserved | AttemptState::Dialing | AttemptState::Unknown | AttemptState::Placed => {
                if attempt.channel == Channel::Push {
                    Progress::Pushing
                } else {
                    Progress::Dialing
                }
            }
            AttemptState::Ringing => Progress::Ringing,
            AttemptState::Answered => Progress::Answered,
            AttemptState::AwaitingInput => Progress::AwaitingInput,
            AttemptState::AwaitingCode => Progress::AwaitingCode,
            AttemptState::Sending => Progress::Pushing,
            AttemptState::Pushed => Progress::Pushed,
            AttemptState::PushFailed => Progress::PushFailed,
            AttemptState::Opened => Progress::Opened,
            AttemptState::Superseded | AttemptState::Ended => Progress::FallingBack,
        }
    }

    /// Milliseconds from acceptance to `now`, as attempts store their times.
    #[must_use]
    pub fn elapsed_ms(&self, now: Timestamp) -> u32 {
        u32::try_from(now.since(self.request.accepted_at).as_millis()).unwrap_or(u32::MAX)
    }

    /// The point in time that an attempt stored as milliseconds since acceptance.
    #[must_use]
    pub fn time_of(&self, elapsed_ms: u32) -> Timestamp {
        self.request.accepted_at.plus(Duration::from_millis(u64::from(elapsed_ms)))
    }

    /// The changing part in its stored form: CBOR (RFC 8949), arrays with numbered fields.
    #[must_use]
    pub fn encode_live(&self) -> Vec<u8> {
        encode(&self.live)
    }

    /// The request in its stored form.
    #[must_use]
    pub fn encode_request(&self) -> Vec<u8> {
        encode(&*self.request)
    }

    /// Reads a stored row.
    pub fn decode(key: ChallengeKey, version: u32, request: &[u8], live: &[u8]) -> Result<Self, Unreadable> {
        let unreadable = |e: minicbor::decode::Error| Unreadable(alloc::format!("{e}"));
        Ok(Self {
            key,
            version,
            request: Arc::new(minicbor::decode(request).map_err(unreadable)?),
            live: minicbor::decode(live).map_err(unreadable)?,
        })
    }
}

pub(crate) fn encode<T: minicbor::Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    match minicbor::encode(value, &mut bytes) {
        Ok(()) => bytes,
        // Writing into a Vec cannot fail, and no field's own encoder returns an error.
        Err(_) => unreachable!("encoding into memory"),
    }
}
