//! What a call says next, and what an entry means: pure, from the stored challenge.

use fleet_domain::{AttemptState, Challenge, Entry, Reason};

/// What the call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The prompt of this round, from 1.
    Ask {
        /// The round that the next entry answers.
        round: u8,
    },
    /// The challenge has ended.
    Ended(Reason),
    /// The challenge is open, but not by this attempt: it is fenced, over, or was never prompted.
    HangUp,
}

/// What follows for the call of this attempt from the challenge as it is stored.
pub(crate) fn turn(challenge: &Challenge, attempt: u8) -> Turn {
    if let Some(end) = &challenge.live.end {
        return Turn::Ended(end.reason);
    }
    match challenge.attempt(attempt) {
        Some(attempt) if attempt.state == AttemptState::AwaitingInput => Turn::Ask { round: attempt.rounds },
        Some(_) | None => Turn::HangUp,
    }
}

/// What was keyed. The carrier leaves the finishing key out of the digits, and sends neither when the time is over.
pub(crate) fn entry(
    digits: Option<&str>,
    finished_on: Option<char>,
    is_number: impl FnOnce(&str) -> Option<bool>,
) -> Entry {
    match (digits, finished_on) {
        (Some(digits), _) if is_number(digits) == Some(true) => Entry::Match,
        (Some(_), _) => Entry::Other,
        (None, Some('#')) => Entry::Confirm,
        (None, Some(_) | None) => Entry::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fleet_domain::{
        Attempt, CallMode, ChallengeId, ChallengeKey, Channel, Context, End, Live, PortalName, Purpose,
        Request, Timestamp,
    };

    use super::*;

    fn challenge(state: AttemptState, reason: Option<Reason>) -> Challenge {
        let at = Timestamp::from_micros(1_790_000_000_000_000);
        let request = Request {
            user: None,
            purpose: Purpose::SignIn,
            steps: Vec::new(),
            mode: CallMode::Key,
            number_match: None,
            accepted_at: at,
            answer_by: at,
            collect_by: at,
            locale: "en-US".into(),
            context: Context::default(),
            alternatives: Vec::new(),
            prompts: 3,
            body_hash: [0; 32],
        };
        let mut attempt = Attempt::new(1, Channel::Voice, 0, 0);
        attempt.state = state;
        attempt.rounds = 2;
        Challenge {
            key: ChallengeKey {
                id: ChallengeId::from_parts(at, [0; 10]),
                portal: PortalName::parse("vpn").unwrap(),
            },
            version: 4,
            request: Arc::new(request),
            live: Live {
                end: reason.map(|reason| End { reason, assurance: None, at, version: 4, device: None }),
                step: 0,
                tries: 0,
                attempts: vec![attempt],
            },
        }
    }

    #[test]
    fn only_an_attempt_that_awaits_input_is_asked() {
        for state in AttemptState::ALL {
            let awaits = *state == AttemptState::AwaitingInput;
            let expected = if awaits { Turn::Ask { round: 2 } } else { Turn::HangUp };
            assert_eq!(turn(&challenge(*state, None), 1), expected, "{state}");
            assert_eq!(turn(&challenge(*state, None), 2), Turn::HangUp, "{state}");
            let ended = challenge(*state, Some(Reason::OkKey));
            assert_eq!(turn(&ended, 1), Turn::Ended(Reason::OkKey), "{state}");
        }
    }

    #[test]
    fn an_entry_is_a_match_only_where_a_number_is_shown_and_it_is_that_one() {
        for (digits, key, is_number, expected) in [
            (Some("42"), Some('#'), Some(true), Entry::Match),
            (Some("42"), None, Some(true), Entry::Match),
            (Some("43"), Some('#'), Some(false), Entry::Other),
            (Some("42"), Some('#'), None, Entry::Other),
            (None, Some('#'), Some(true), Entry::Confirm),
            (None, Some('#'), None, Entry::Confirm),
            (None, Some('*'), None, Entry::Nothing),
            (None, None, None, Entry::Nothing),
        ] {
            assert_eq!(entry(digits, key, |_| is_number), expected, "{digits:?} {key:?} {is_number:?}");
        }
    }
}
