//! What is left of a challenge when its person is erased: what happened and when, without to whom.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::attempt::Attempt;
use crate::challenge::{Challenge, End, Live};
use crate::request::{Context, Request};
use crate::time::Timestamp;

impl Challenge {
    /// Whether nobody has anything left to do for it: it has ended, and no call of it may still ring. Once its outcome can't be
    /// collected any more it is settled in any case. Only then may its person be erased: the provider's id is what a call is
    /// hung up by.
    #[must_use]
    pub fn is_settled(&self, now: Timestamp) -> bool {
        let watched = |attempt: &Attempt| attempt.check_at.is_some() || attempt.may_ring();
        !self.is_open() && (self.request.collect_by <= now || !self.live.attempts.iter().any(watched))
    }

    /// The next version, in which neither the person nor anything that leads to the person is named: no user, phones, devices,
    /// digits, context, provider's ids. The result with its reason, the attempts and all times stay. Its body can't be compared
    /// any more: the same request again counts as known.
    #[must_use]
    pub fn without_person(&self) -> Self {
        let request = &*self.request;
        let bare = |attempt: &Attempt| Attempt { sid: None, talk: None, codes: None, ..attempt.clone() };
        let attempts = self.live.attempts.iter().map(bare);
        Self {
            key: self.key.clone(),
            version: self.version.saturating_add(1),
            request: Arc::new(Request {
                user: None,
                steps: Vec::new(),
                number_match: None,
                pin: None,
                context: Context::default(),
                alternatives: Vec::new(),
                skipped: Vec::new(),
                body_hash: [0; 32],
                locale: request.locale.clone(),
                ..*request
            }),
            live: Live {
                end: self.live.end.clone().map(|end| End { device: None, ..end }),
                attempts: attempts.collect(),
                ..self.live
            },
        }
    }
}
