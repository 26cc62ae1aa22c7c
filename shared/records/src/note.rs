//! Audit rows: what each version of a challenge was, who caused it and what it changed.

use fleet_domain::{
    Assurance, AttemptState, CallerId, Challenge, ChallengeResult, Channel, DeviceId, Progress, Reason,
    Timestamp,
};

use crate::Error;

/// The longest event word that an audit row takes, in characters.
pub const EVENT_LONGEST: usize = 24;

/// What the caller says of a transition. Everything else in the audit row follows from the two versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The event's word, such as `placed`; at most [`EVENT_LONGEST`] characters.
    pub event: &'static str,
    /// Who caused it.
    pub actor: Actor,
}

/// Who caused a transition.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum Actor {
    /// The fleet itself: a worker or a sweep.
    #[n(0)]
    Fleet,
    /// The portal that asked.
    #[n(1)]
    Portal,
    /// A carrier or push service.
    #[n(2)]
    Provider,
    /// The person who was asked.
    #[n(3)]
    Person,
    /// An operator, by login.
    #[n(4)]
    Operator(#[n(0)] String),
}

/// One row of a challenge's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// When it was committed, by the database's clock.
    pub at: Timestamp,
    /// The version that it made.
    pub version: u32,
    /// The result in this version.
    pub result: ChallengeResult,
    /// The event's word.
    pub event: String,
    /// Everything else.
    pub detail: Detail,
}

/// What an audit row says beside its columns.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Detail {
    /// Who caused it.
    #[n(0)]
    pub actor: Actor,
    /// How far the challenge had come in this version.
    #[n(1)]
    pub progress: Progress,
    /// The result in the version before; `None` for the first one.
    #[n(2)]
    pub previous: Option<ChallengeResult>,
    /// The attempts that this version changed, as they stood in it.
    #[n(3)]
    pub attempts: Vec<AttemptNote>,
    /// Wrong answers so far.
    #[n(4)]
    pub tries: u8,
    /// Why the challenge ended, in the version that ended it.
    #[n(5)]
    pub reason: Option<Reason>,
    /// How strong the proof was.
    #[n(6)]
    pub assurance: Option<Assurance>,
    /// The device that decided.
    #[n(7)]
    pub device: Option<DeviceId>,
}

/// An attempt in an audit row.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct AttemptNote {
    /// Its number.
    #[n(0)]
    pub number: u8,
    /// Its channel.
    #[n(1)]
    pub channel: Channel,
    /// Where it stood.
    #[n(2)]
    pub state: AttemptState,
    /// Why it ended.
    #[n(3)]
    pub reason: Option<Reason>,
    /// The provider's id of the call, in the version that learned it.
    #[n(4)]
    pub sid: Option<String>,
    /// The provider's code.
    #[n(5)]
    pub provider_code: Option<u32>,
    /// The SIP status.
    #[n(6)]
    pub sip: Option<u16>,
    /// How long the call lasted, in seconds.
    #[n(7)]
    pub duration_s: Option<u32>,
    /// The caller ID, in the version that dialed.
    #[n(8)]
    pub caller_id: Option<CallerId>,
}

impl Detail {
    /// What `after` changed.
    pub(crate) fn of(before: Option<&Challenge>, after: &Challenge, actor: &Actor) -> Self {
        let ended = after.live.end.as_ref().filter(|_| before.is_none_or(Challenge::is_open));
        let earlier = |number| before.and_then(|challenge| challenge.attempt(number));
        let attempts = after.live.attempts.iter().filter_map(|attempt| {
            let was = earlier(attempt.number);
            let sid_known = was.is_some_and(|was| was.sid.is_some());
            let caller_id_known = was.is_some_and(|was| was.caller_id.is_some());
            (was != Some(attempt)).then(|| AttemptNote {
                number: attempt.number,
                channel: attempt.channel,
                state: attempt.state,
                reason: attempt.reason,
                sid: attempt.sid.clone().filter(|_| !sid_known),
                provider_code: attempt.provider_code,
                sip: attempt.sip,
                duration_s: attempt.duration_s,
                caller_id: attempt.caller_id.clone().filter(|_| !caller_id_known),
            })
        });
        Self {
            actor: actor.clone(),
            progress: after.progress(),
            previous: before.map(Challenge::result),
            attempts: attempts.collect(),
            tries: after.live.tries,
            reason: ended.map(|end| end.reason),
            assurance: ended.and_then(|end| end.assurance),
            device: ended.and_then(|end| end.device),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        match minicbor::encode(self, &mut bytes) {
            Ok(()) => bytes,
            // Writing into a Vec cannot fail, and no field's own encoder returns an error.
            Err(_) => unreachable!("encoding into memory"),
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        minicbor::decode(bytes).map_err(Error::corrupt)
    }
}
