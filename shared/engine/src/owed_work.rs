//! Taking internal messages: something is owed for a challenge; what, its row says.

use fleet_broker::{Delivery, Poison, PoisonBody, Verdict};
use fleet_contracts::{self as contracts, Message};
use fleet_domain::ChallengeKey;
use fleet_records::Stored;

use crate::{Engine, Error};

impl Engine {
    /// The challenge that a message of the fleet's own is about; or what becomes of a message that is about
    /// none.
    pub async fn load_owed(&self, delivery: &Delivery) -> Result<Result<Stored, Verdict>, Error> {
        let key = match read_owed(&delivery.body) {
            Ok(key) => key,
            Err(verdict) => return Ok(Err(verdict)),
        };
        Ok(self.inner.records.load(&key).await?.ok_or(Verdict::Done))
    }
}

/// What becomes of owed work whose handling failed so. It passed its schema and names a challenge, nothing else: where it
/// can't be handled it is parked whole, so that an operator can replay it.
pub fn owed_verdict(error: &Error) -> Verdict {
    match error.verdict() {
        Verdict::Poison(poison) => Verdict::Poison(Poison { body: PoisonBody::Whole, ..poison }),
        other @ (Verdict::Done | Verdict::RetryIn(_)) => other,
    }
}

/// The challenge that is named in an internal message.
fn read_owed(body: &[u8]) -> Result<ChallengeKey, Verdict> {
    let poison =
        |detail: String, known| Verdict::Poison(Poison::hash_only("invalid_internal", detail, known));
    match contracts::parse(body) {
        Err(invalid) => Err(poison(invalid.to_string(), invalid.known_fields)),
        Ok(envelope) => match envelope.event.message {
            Message::DialOwed(owed)
            | Message::HangUpOwed(owed)
            | Message::SendOwed(owed)
            | Message::TestEnded(owed) => Ok(owed.key()),
            other @ (Message::ChallengeRequested(_)
            | Message::CancelRequested(_)
            | Message::CodeEntered(_)
            | Message::ResendRequested(_)
            | Message::ChallengeResolved(_)
            | Message::ChallengeRefused(_)
            | Message::FraudReported(_)
            | Message::EnrollmentRequested(_)
            | Message::EnrollmentContinued(_)
            | Message::EnrollmentChanged(_)
            | Message::EnrollmentRefused(_)) => {
                Err(poison(format!("an internal queue takes no {}", other.event_type()), Vec::new()))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owed_work_that_cannot_be_handled_is_kept_whole_and_other_ends_stay() {
        let Verdict::Poison(poison) = owed_verdict(&Error::UnknownPortal) else { panic!("it is parked") };
        assert_eq!((poison.reason, poison.body), ("unknown_portal", PoisonBody::Whole));
        for error in [Error::Unknown, Error::Contended(3), Error::PortalsNotLoaded] {
            assert_eq!(owed_verdict(&error), error.verdict());
        }
    }
}
