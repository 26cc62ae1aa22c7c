//! What a call says next, and what an entry means: pure, from the stored challenge.

use fleet_domain::{AttemptState, Challenge, Command, Entry, Event, Question, Reason, question};

/// What the call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The prompt of this round, from 1.
    Ask {
        /// The round that the next entry answers.
        round: u8,
        /// What is asked.
        question: Question,
    },
    /// The challenge has ended.
    Ended(Reason),
    /// The challenge is open, but not by this attempt: it is fenced, over, or was never prompted. Or its last PIN was
    /// keyed, and nobody has said what it is.
    HangUp,
}

/// What follows for the call of this attempt from the challenge as it is stored.
pub(crate) fn turn(challenge: &Challenge, attempt: u8) -> Turn {
    if let Some(end) = &challenge.live.end {
        return Turn::Ended(end.reason);
    }
    match (challenge.attempt(attempt), question(challenge, attempt)) {
        (Some(attempt), Some(question)) => Turn::Ask { round: attempt.rounds, question },
        (Some(_) | None, _) => Turn::HangUp,
    }
}

/// What was keyed. The carrier leaves the finishing key out of the digits, and sends neither when the time is over.
pub(crate) fn entry(
    digits: Option<&str>,
    finished_on: Option<char>,
    is_number: impl FnOnce(&str) -> Option<bool>,
) -> Entry {
    match (digits, finished_on) {
        (Some(_), None) => Entry::Unfinished,
        (Some("0"), Some(_)) => Entry::Command(Command::ReportFraud),
        (Some("9"), Some(_)) => Entry::Command(Command::NeverAgain),
        (Some("1"), Some(_)) => Entry::Yes,
        (Some(digits), Some(_)) if is_number(digits) == Some(true) => Entry::Match,
        (Some(_), Some(_)) => Entry::Other,
        (None, Some('#')) => Entry::Confirm,
        (None, Some(_) | None) => Entry::Nothing,
    }
}

/// What an entry is to a challenge as it stands: where a PIN is asked for, whole digits that are no command are one.
pub(crate) fn event(challenge: &Challenge, (attempt, round): (u8, u8), entry: Entry) -> Event {
    match (question(challenge, attempt), entry) {
        (Some(Question::Pin), Entry::Match | Entry::Yes | Entry::Other) => Event::PinKeyed { attempt, round },
        (
            Some(Question::Key | Question::Pin | Question::Number | Question::Confirm(_)) | None,
            Entry::Nothing
            | Entry::Confirm
            | Entry::Match
            | Entry::Command(_)
            | Entry::Yes
            | Entry::Other
            | Entry::Unfinished,
        ) => Event::Keyed { attempt, round, entry },
    }
}

/// Whether the PIN of this round is being compared.
pub(crate) fn compares(challenge: &Challenge, (attempt, round): (u8, u8)) -> bool {
    let attempt = challenge.attempt(attempt).filter(|a| a.state == AttemptState::AwaitingInput);
    attempt.and_then(|attempt| attempt.talk).is_some_and(|talk| talk.comparing == round)
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
        in_mode(CallMode::Key, state, reason)
    }

    fn in_mode(mode: CallMode, state: AttemptState, reason: Option<Reason>) -> Challenge {
        let at = Timestamp::from_micros(1_790_000_000_000_000);
        let request = Request {
            user: None,
            purpose: Purpose::SignIn,
            steps: Vec::new(),
            mode,
            number_match: None,
            accepted_at: at,
            answer_by: at,
            collect_by: at,
            locale: "en-US".into(),
            context: Context::default(),
            alternatives: Vec::new(),
            prompts: 3,
            body_hash: [0; 32],
            pin: None,
            user_verification: fleet_domain::UserVerification::Off,
            skipped: Vec::new(),
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
                end: reason.map(|reason| End {
                    reason,
                    assurance: None,
                    at,
                    version: 4,
                    device: None,
                    retry_after_s: None,
                }),
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
            let expected =
                if awaits { Turn::Ask { round: 2, question: Question::Key } } else { Turn::HangUp };
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
            (Some("42"), None, Some(true), Entry::Unfinished),
            (Some("0"), Some('#'), Some(true), Entry::Command(Command::ReportFraud)),
            (Some("9"), Some('#'), None, Entry::Command(Command::NeverAgain)),
            (Some("9"), None, None, Entry::Unfinished),
            (Some("00"), Some('#'), None, Entry::Other),
            (Some("1"), Some('#'), None, Entry::Yes),
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

    #[test]
    fn digits_are_a_pin_only_where_one_is_asked_for() {
        let asked = in_mode(CallMode::Pin, AttemptState::AwaitingInput, None);
        let taken = Event::PinKeyed { attempt: 1, round: 2 };
        for entry in [Entry::Other, Entry::Match, Entry::Yes] {
            assert_eq!(event(&asked, (1, 2), entry), taken);
        }
        let keyed = |entry| Event::Keyed { attempt: 1, round: 2, entry };
        for entry in [Entry::Nothing, Entry::Confirm, Entry::Unfinished, Entry::Command(Command::ReportFraud)]
        {
            assert_eq!(event(&asked, (1, 2), entry), keyed(entry));
        }
        let number = in_mode(CallMode::NumberMatch, AttemptState::AwaitingInput, None);
        assert_eq!(event(&number, (1, 2), Entry::Other), keyed(Entry::Other));
    }

    #[test]
    fn a_call_whose_last_pin_nobody_has_judged_is_hung_up() {
        let mut challenge = in_mode(CallMode::Pin, AttemptState::AwaitingInput, None);
        challenge.live.tries = fleet_domain::MAX_TRIES;
        challenge.live.attempts[0].talk =
            Some(fleet_domain::Talk { comparing: 1, ..fleet_domain::Talk::default() });
        assert_eq!(turn(&challenge, 1), Turn::HangUp);
        assert!(compares(&challenge, (1, 1)) && !compares(&challenge, (1, 2)));
    }
}
