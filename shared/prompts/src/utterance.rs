//! What is said in one go, of which kinds.

use fleet_domain::{Command, Question, Reason};

use crate::kind::Kind;

/// Something that a call says, up to the next key or the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Utterance {
    /// The first prompt of a call. Nothing else is said before a key was pressed: whoever answers may be anybody.
    First(Question),
    /// A further prompt, after an entry that did not count, or none, or a command.
    Again(Question),
    /// The number is asked for, after the PIN was right.
    ThenNumber,
    /// The last words of a call whose challenge ended for this reason.
    Goodbye(Reason),
}

/// What the first prompt of a call can ask.
const FIRST: [Question; 3] = [Question::Key, Question::Pin, Question::Number];
/// What is asked after a command.
const CONFIRM: [Question; 2] =
    [Question::Confirm(Command::ReportFraud), Question::Confirm(Command::NeverAgain)];

impl Utterance {
    /// Everything that can be said.
    pub fn all() -> impl Iterator<Item = Self> {
        let again = FIRST.into_iter().chain(CONFIRM).map(Self::Again);
        let prompts = FIRST.into_iter().map(Self::First).chain(again).chain([Self::ThenNumber]);
        prompts.chain(Reason::ALL.iter().copied().map(Self::Goodbye))
    }

    /// Its texts, in order.
    #[must_use]
    pub fn kinds(self) -> Vec<Kind> {
        match self {
            Self::First(question) => vec![Kind::Greeting, ask(question), Kind::OfferFraud],
            Self::Again(question @ Question::Confirm(_)) => vec![ask(question), Kind::GoBack],
            Self::Again(question @ (Question::Key | Question::Pin | Question::Number)) => {
                vec![Kind::Sorry, ask(question), Kind::OfferNeverAgain]
            }
            Self::ThenNumber => vec![Kind::AskNumber],
            Self::Goodbye(reason) => vec![goodbye(reason)],
        }
    }
}

const fn ask(question: Question) -> Kind {
    match question {
        Question::Key => Kind::AskKey,
        Question::Pin => Kind::AskPin,
        Question::Number => Kind::AskNumber,
        Question::Confirm(Command::ReportFraud) => Kind::ConfirmFraud,
        Question::Confirm(Command::NeverAgain) => Kind::ConfirmNeverAgain,
    }
}

const fn goodbye(reason: Reason) -> Kind {
    match reason {
        Reason::OkKey
        | Reason::OkPin
        | Reason::OkNumberMatch
        | Reason::OkCode
        | Reason::OkPush
        | Reason::OkTotp
        | Reason::OkBypass => Kind::ByeApproved,
        Reason::NoInput | Reason::TerminatorMissing => Kind::ByeNoKey,
        Reason::NumberMismatch => Kind::ByeWrongNumber,
        Reason::PinMismatch => Kind::ByeWrongPin,
        Reason::PinExpired => Kind::ByeOldPin,
        Reason::LockedOut => Kind::ByeLockedOut,
        Reason::FraudReported => Kind::ByeFraud,
        Reason::NumberOptedOut => Kind::ByeNeverAgain,
        Reason::NoAnswer
        | Reason::Busy
        | Reason::Unreachable
        | Reason::RejectedCall
        | Reason::Voicemail
        | Reason::HungUp
        | Reason::CodeMismatch
        | Reason::TotpMismatch
        | Reason::VerificationMissing
        | Reason::UserDeclined
        | Reason::UserCanceled
        | Reason::UserBlocked
        | Reason::Throttled
        | Reason::BudgetExhausted
        | Reason::DestinationNotAllowed
        | Reason::FraudGuard
        | Reason::CallInProgress
        | Reason::InvalidNumber
        | Reason::InvalidExtension
        | Reason::ExtensionNotAllowed
        | Reason::NoMethod
        | Reason::NoDevice
        | Reason::MethodNotAllowed
        | Reason::PushUndeliverable
        | Reason::DeviceUnregistered
        | Reason::NoResponse
        | Reason::NotStarted
        | Reason::CarrierRejectedCallerId
        | Reason::CarrierError
        | Reason::ProviderUnavailable
        | Reason::Misconfigured
        | Reason::Internal
        | Reason::Superseded
        | Reason::Revoked
        | Reason::CallerCanceled => Kind::ByeOver,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_approval_is_thanked_for() {
        for reason in Reason::ALL {
            let thanked = Utterance::Goodbye(*reason).kinds() == [Kind::ByeApproved];
            assert_eq!(thanked, reason.as_str().starts_with("ok_"), "{reason}");
        }
    }

    #[test]
    fn every_kind_is_said() {
        let said: Vec<Kind> = Utterance::all().flat_map(Utterance::kinds).collect();
        for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Pound) {
            assert!(said.contains(kind), "{kind:?}");
        }
    }

    /// Silence may be followed by another prompt and by a goodbye: these too are heard by whoever has pressed no key.
    #[test]
    fn v4_nothing_that_is_said_before_a_key_can_hold_more_than_the_organisation_and_the_key() {
        use crate::kind::Placeholder::{Organisation, Pound};
        let asking = [Question::Key, Question::Pin, Question::Number];
        let prompts =
            asking.into_iter().flat_map(|question| [Utterance::First(question), Utterance::Again(question)]);
        for kind in prompts.chain([Utterance::Goodbye(Reason::NoInput)]).flat_map(Utterance::kinds) {
            assert!(kind.may_hold().iter().all(|held| [Organisation, Pound].contains(held)), "{kind:?}");
        }
    }
}
