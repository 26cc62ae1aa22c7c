//! One attempt: one call, one push to the user's devices, or one wait for a code.

use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::DeviceId;
use crate::time::Timestamp;
use crate::words::{AttemptState, CallerIdStep, Channel, Command, Reason};

/// One attempt to reach the person. Times are milliseconds since the challenge was accepted.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them can hold together"
)]
pub struct Attempt {
    /// Its number within the challenge, from 1.
    #[n(0)]
    pub number: u8,
    /// Its channel.
    #[n(1)]
    pub channel: Channel,
    /// The step of the request that it belongs to, from 0.
    #[n(2)]
    pub step: u8,
    /// Where it stands.
    #[n(3)]
    pub state: AttemptState,
    /// When it was reserved.
    #[n(4)]
    pub reserved_ms: u32,
    /// When it must be looked at again if nothing else happens.
    #[n(5)]
    pub check_at: Option<Timestamp>,
    /// When the provider took it.
    #[n(6)]
    pub placed_ms: Option<u32>,
    /// When the phone rang, or the app showed the challenge.
    #[n(7)]
    pub ringing_ms: Option<u32>,
    /// When it was answered.
    #[n(8)]
    pub answered_ms: Option<u32>,
    /// When it was over.
    #[n(9)]
    pub ended_ms: Option<u32>,
    /// The provider's id of the call.
    #[n(10)]
    pub sid: Option<String>,
    /// The caller ID that was sent.
    #[n(11)]
    pub caller_id: Option<CallerId>,
    /// How many prompts were served; for a push, how often it was sent.
    #[n(12)]
    pub rounds: u8,
    /// How it ended, where it was this attempt that ended and not the challenge.
    #[n(13)]
    pub reason: Option<Reason>,
    /// The provider's own code.
    #[n(14)]
    pub provider_code: Option<u32>,
    /// The SIP status.
    #[n(15)]
    pub sip: Option<u16>,
    /// How long the call lasted, in seconds.
    #[n(16)]
    pub duration_s: Option<u32>,
    /// Whether its end was asked for, by TwiML or at the provider.
    #[n(17)]
    pub hang_up_sent: bool,
    /// How often it was looked at in vain where it stands now: offered and not taken up, not found at the
    /// provider, told to end and not heard of.
    #[n(18)]
    #[cbor(default)]
    pub looks: u8,
    /// Before this time it is not to be begun: the provider asked for a pause, or could not be reached.
    #[n(19)]
    pub not_before: Option<Timestamp>,
    /// When its POST was begun.
    #[n(20)]
    pub dialed_ms: Option<u32>,
    /// What was keyed so far; `None` where nothing was that changes what is asked next.
    #[n(21)]
    pub talk: Option<Talk>,
    /// Whether the caller-ID plan had another one when it was dialed: it is tried should this one be rejected.
    #[n(22)]
    #[cbor(default)]
    pub has_next_caller_id: bool,
    /// How many devices may show the push, or poll for it; 0 while that is not known, `u8::MAX` where nobody will ever know.
    #[n(23)]
    #[cbor(default)]
    pub devices: u8,
    /// Whether the devices that did not answer were told that it is over.
    #[n(24)]
    #[cbor(default)]
    pub withdrawn: bool,
    /// Whether the person asked for the push once more.
    #[n(25)]
    #[cbor(default)]
    pub resend_asked: bool,
    /// The re-send that the push service's failure calls for; `None` where there was none.
    #[n(26)]
    pub resend: Option<Resend>,
    /// What was typed where a code is awaited; `None` where nothing was.
    #[n(27)]
    pub codes: Option<Codes>,
    /// Whether the push was sent and no device took it. Where all devices only poll, nothing is sent.
    #[n(28)]
    #[cbor(default)]
    pub undelivered: bool,
}

/// A push that is to be sent once more, or was.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Resend {
    /// Before this time the push service is left alone.
    #[n(0)]
    pub not_before: Timestamp,
    /// The devices that it may not have reached.
    #[n(1)]
    pub devices: Vec<DeviceId>,
}

/// What was typed where a code is awaited. The codes themselves are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Codes {
    /// The tries, oldest first; at most as many as a challenge has.
    #[n(0)]
    pub tries: Vec<CodeTry>,
    /// Whether this challenge is known to be counted among the user's wrong ones. Where that is in doubt it is counted again.
    #[n(1)]
    pub counted: bool,
}

/// A code that was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct CodeTry {
    /// A keyed hash of the message that brought it: a second delivery is no second try.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub id: [u8; 16],
    /// Whether it was found wrong. Otherwise it is being compared, or was when its process died.
    #[n(1)]
    pub wrong: bool,
}

/// What was keyed in a call, as far as it decides what is asked next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Talk {
    /// Prompts that were answered with nothing that counts.
    #[n(0)]
    pub misses: u8,
    /// Commands that were begun.
    #[n(1)]
    pub asides: u8,
    /// The round whose PIN is being compared, or was when its process died; 0 for none.
    #[n(2)]
    pub comparing: u8,
    /// Whether this call is known to be counted among the user's wrong ones. Where that is in doubt it is counted again.
    #[n(3)]
    pub counted: bool,
    /// Whether the PIN was keyed rightly.
    #[n(4)]
    pub pin_proved: bool,
    /// The command that waits to be confirmed.
    #[n(5)]
    pub confirming: Option<Command>,
}

/// A caller ID and how it was chosen.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct CallerId {
    /// The number of the pool that was sent, in E.164 form: the fleet's own, not a person's.
    #[n(0)]
    pub number: String,
    /// The step of the caller-ID plan.
    #[n(1)]
    pub step: CallerIdStep,
}

impl Attempt {
    /// A new attempt that nothing was done for yet.
    #[must_use]
    pub fn new(number: u8, channel: Channel, step: u8, reserved_ms: u32) -> Self {
        Self {
            number,
            channel,
            step,
            state: AttemptState::Reserved,
            reserved_ms,
            check_at: None,
            placed_ms: None,
            ringing_ms: None,
            answered_ms: None,
            ended_ms: None,
            sid: None,
            caller_id: None,
            rounds: 0,
            reason: None,
            provider_code: None,
            sip: None,
            duration_s: None,
            hang_up_sent: false,
            looks: 0,
            not_before: None,
            dialed_ms: None,
            talk: None,
            has_next_caller_id: false,
            codes: None,
            devices: 0,
            withdrawn: false,
            resend_asked: false,
            resend: None,
            undelivered: false,
        }
    }

    /// Whether it is neither over nor fenced.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        !matches!(self.state, AttemptState::Ended | AttemptState::Superseded)
    }

    /// Whether the code of this try is still to be compared.
    #[must_use]
    pub fn compares(&self, id: &[u8; 16]) -> bool {
        self.state == AttemptState::AwaitingCode
            && self.codes.iter().flat_map(|codes| &codes.tries).any(|one| one.id == *id && !one.wrong)
    }

    /// How many of the codes that were typed were wrong.
    #[must_use]
    pub fn wrong_codes(&self) -> usize {
        self.codes.iter().flat_map(|codes| &codes.tries).filter(|one| one.wrong).count()
    }

    /// Whether its call may exist at the provider, for all that is known: then its line is kept leased.
    #[must_use]
    pub const fn may_ring(&self) -> bool {
        matches!(self.channel, Channel::Voice)
            && matches!(
                self.state,
                AttemptState::Dialing
                    | AttemptState::Unknown
                    | AttemptState::Placed
                    | AttemptState::Ringing
                    | AttemptState::Answered
                    | AttemptState::AwaitingInput
            )
    }
}

/// How far an attempt's state is along its way; an event never moves an attempt back.
#[must_use]
pub const fn rank(state: AttemptState) -> u8 {
    match state {
        AttemptState::Reserved => 0,
        AttemptState::Dialing | AttemptState::Unknown | AttemptState::Sending => 1,
        AttemptState::Placed | AttemptState::Pushed | AttemptState::PushFailed => 2,
        AttemptState::Ringing => 3,
        AttemptState::Answered | AttemptState::Opened => 4,
        AttemptState::AwaitingInput | AttemptState::AwaitingCode => 5,
        AttemptState::Superseded => 6,
        AttemptState::Ended => 7,
    }
}
