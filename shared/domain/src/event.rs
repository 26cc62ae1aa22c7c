//! What can happen to a challenge. Everything that needs a clock, a key or a socket has been found out
//! before; an event carries only the findings.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::attempt::CallerId;
use crate::ids::DeviceId;
use crate::words::{Assurance, Command, Reason};

/// Something that happened to a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This process is about to POST the call: only whoever commits this may do so.
    Dial {
        /// The step that it was prepared for: by the time this counts, another one may be gone.
        step: u8,
        /// The caller ID to send.
        caller_id: CallerId,
        /// Whether the caller-ID plan has another one, should this be rejected.
        has_next_caller_id: bool,
        /// After what time without news the attempt is looked at.
        check_after: Duration,
    },
    /// The call's turn at its carrier would come too late for anybody to answer.
    NoSlot {
        /// The step that it was to be.
        step: u8,
        /// How much later than it may its turn would come.
        retry_after: Duration,
    },
    /// The provider took the call.
    Placed {
        /// The attempt.
        attempt: u8,
        /// The provider's id.
        sid: String,
        /// How long the provider expects to hold it in its queue before it dials; zero where that is over or not said.
        queue: Duration,
        /// After what time without news the attempt is looked at.
        check_after: Duration,
    },
    /// The provider, or the network before it, proved that no call was placed.
    NotPlaced {
        /// The attempt.
        attempt: u8,
        /// Why.
        reason: Reason,
        /// The provider's code.
        provider_code: Option<u32>,
        /// After what time the same step may be tried again; `None` when that would fail again.
        again_after: Option<Duration>,
    },
    /// The POST's answer was unclear: a call may exist.
    Unclear {
        /// The attempt.
        attempt: u8,
        /// After what time without news the attempt is looked at.
        check_after: Duration,
    },
    /// The phone rings.
    Ringing {
        /// The attempt.
        attempt: u8,
        /// The provider's id.
        sid: String,
    },
    /// The call was answered.
    Answered {
        /// The attempt.
        attempt: u8,
        /// The provider's id.
        sid: String,
    },
    /// A machine answered, or a fax: nobody is there to be asked.
    MachineAnswered {
        /// The attempt.
        attempt: u8,
        /// The provider's id.
        sid: String,
    },
    /// The provider fetched the first prompt.
    Prompted {
        /// The attempt.
        attempt: u8,
        /// The provider's id.
        sid: String,
    },
    /// The person keyed something at a prompt, or nothing in time.
    Keyed {
        /// The attempt.
        attempt: u8,
        /// Which prompt it answers, from 1: an answer to an earlier one is stale.
        round: u8,
        /// What was keyed.
        entry: Entry,
    },
    /// A PIN was keyed, and is about to be compared: the try is taken before, so that it counts whatever becomes of
    /// the comparison. Only whoever commits this may compare.
    PinKeyed {
        /// The attempt.
        attempt: u8,
        /// Which prompt it answers, from 1.
        round: u8,
    },
    /// What came of the comparison.
    PinJudged {
        /// The attempt.
        attempt: u8,
        /// The round of its [`Event::PinKeyed`].
        round: u8,
        /// The finding.
        verdict: PinVerdict,
    },
    /// A code was typed into the portal, and is about to be compared: the try is taken before, so that it counts whatever
    /// becomes of the comparison.
    CodeEntered {
        /// The attempt.
        attempt: u8,
        /// What tells this try from others: see [`CodeTry`](crate::CodeTry).
        id: [u8; 16],
    },
    /// What came of the comparison.
    CodeJudged {
        /// The attempt.
        attempt: u8,
        /// The try of its [`Event::CodeEntered`].
        id: [u8; 16],
        /// The finding.
        verdict: CodeVerdict,
    },
    /// The call is over.
    CallEnded {
        /// The attempt.
        attempt: u8,
        /// The provider's id.
        sid: String,
        /// Why it failed; `None` when media flowed and the call completed.
        reason: Option<Reason>,
        /// The SIP status.
        sip: Option<u16>,
        /// How long it lasted, in seconds.
        duration_s: Option<u32>,
    },
    /// The call was looked up at the provider and is still alive.
    StillAlive {
        /// The attempt.
        attempt: u8,
        /// When to look again.
        check_after: Duration,
    },
    /// The provider was asked for the call, and knows of none.
    Unfound {
        /// The attempt.
        attempt: u8,
        /// When to ask once more.
        check_after: Duration,
    },
    /// The call must be over by now, and nobody can say what became of it: the attempt is given up.
    Lost {
        /// The attempt.
        attempt: u8,
    },
    /// The end of a call was asked for at the provider.
    HangUpSent {
        /// The attempt.
        attempt: u8,
        /// When to look whether it has ended.
        check_after: Duration,
    },
    /// A push is about to be sent.
    Send {
        /// After what time without news the attempt is looked at; `None` where a message in the broker
        /// keeps watch instead.
        check_after: Option<Duration>,
    },
    /// The push is about to be sent once more, under the same collapse id: only whoever commits this may do so.
    Resend {
        /// The attempt.
        attempt: u8,
    },
    /// The person asks for the push once more.
    ResendAsked,
    /// The push service took the push for at least one device.
    Pushed {
        /// The attempt.
        attempt: u8,
        /// How many devices it was put to, those that only poll among them.
        devices: u8,
    },
    /// The push may not have reached some devices, and may fare better later.
    Unreached {
        /// The attempt.
        attempt: u8,
        /// Which sending of it, from 1: once it is sent again, an earlier one says nothing any more.
        round: u8,
        /// Which devices.
        devices: Vec<DeviceId>,
        /// The pause that the push service is to be given.
        again_after: Duration,
        /// The provider's HTTP status or code.
        provider_code: Option<u32>,
    },
    /// There was nothing to send: every device only polls.
    OnlyListed {
        /// The attempt.
        attempt: u8,
    },
    /// No device took the push.
    PushFailed {
        /// The attempt.
        attempt: u8,
        /// Which sending of it, from 1: once it is sent again, an earlier one says nothing any more.
        round: u8,
        /// Why.
        reason: Reason,
        /// The provider's HTTP status or code.
        provider_code: Option<u32>,
    },
    /// The devices that did not answer were told that the challenge is over.
    Withdrawn,
    /// The app shows the challenge.
    Opened,
    /// A device answered, with a valid signature.
    Decided {
        /// The device.
        device: DeviceId,
        /// Its answer.
        decision: Decision,
    },
    /// A rule stops the challenge.
    Halt {
        /// Which.
        reason: Reason,
    },
    /// The portal called it off.
    Cancel,
    /// The step's own time is over, or an attempt was not heard of: look at the attempt that is due.
    Check {
        /// The attempt.
        attempt: u8,
    },
    /// The time for the answer is over.
    Expire,
}

impl Event {
    /// The event's word in the audit.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Dial { .. } => "dial",
            Self::NoSlot { .. } => "no_slot",
            Self::Placed { .. } => "placed",
            Self::NotPlaced { .. } => "not_placed",
            Self::Unclear { .. } => "unclear",
            Self::Ringing { .. } => "ringing",
            Self::Answered { .. } => "answered",
            Self::MachineAnswered { .. } => "machine_answered",
            Self::Prompted { .. } => "prompted",
            Self::Keyed { .. } => "keyed",
            Self::PinKeyed { .. } => "pin_keyed",
            Self::PinJudged { .. } => "pin_judged",
            Self::CodeEntered { .. } => "code_entered",
            Self::CodeJudged { .. } => "code_judged",
            Self::CallEnded { .. } => "call_ended",
            Self::StillAlive { .. } => "still_alive",
            Self::Unfound { .. } => "unfound",
            Self::Lost { .. } => "lost",
            Self::HangUpSent { .. } => "hang_up_sent",
            Self::Send { .. } => "send",
            Self::Resend { .. } => "resend",
            Self::ResendAsked => "resend_asked",
            Self::Pushed { .. } => "pushed",
            Self::Unreached { .. } => "unreached",
            Self::OnlyListed { .. } => "only_listed",
            Self::PushFailed { .. } => "push_failed",
            Self::Withdrawn => "withdrawn",
            Self::Opened => "opened",
            Self::Decided { .. } => "decided",
            Self::Halt { .. } => "halt",
            Self::Cancel => "cancel",
            Self::Check { .. } => "check",
            Self::Expire => "expire",
        }
    }
}

/// What was keyed at a prompt, compared already where there is something to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing within the prompt's time.
    Nothing,
    /// `#` alone.
    Confirm,
    /// The number on the portal's screen, then `#`.
    Match,
    /// A command, whole: `0#` or `9#`.
    Command(Command),
    /// `1#`, which confirms a command.
    Yes,
    /// Other digits, then `#`.
    Other,
    /// Digits without `#`.
    Unfinished,
}

/// What a PIN that was keyed turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinVerdict {
    /// The user's.
    Right,
    /// Another one.
    Wrong,
    /// The user's, but older than the portal allows.
    Expired,
    /// It was not compared: there were too many wrong ones.
    LockedOut,
    /// The user has none any more.
    NoPin,
}

/// What a code that was typed turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeVerdict {
    /// This device's, and taken for this try: no other one can have it any more.
    Right(DeviceId),
    /// No device's, or one that was taken before.
    Wrong,
    /// It was not compared: there were too many wrong ones.
    LockedOut,
    /// The user has no device any more whose codes can be checked.
    NoDevice,
}

/// A device's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Approve {
        /// Whether the number on the portal's screen was typed rightly; `None` when none was typed.
        number: Option<bool>,
        /// How strong the proof is.
        assurance: Assurance,
    },
    /// "It is not me."
    NotMe,
    /// No, by mistake or without a reason.
    Decline,
    /// "I do not want this any more."
    Cancel,
}
