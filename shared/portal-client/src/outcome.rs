//! Whether a document is what the fleet wrote for this challenge.

use fleet_contracts::{EnrollmentOutcome, Outcome};
use fleet_domain::{ChallengeId, ChallengeResult, EnrollmentResult, PortalName, RequestId};
use fleet_outcomes::SignedDocument;

use crate::Error;

/// What documents are held against.
pub(crate) struct Authentic {
    pub(crate) portal: PortalName,
    pub(crate) jwk: Option<String>,
}

impl Authentic {
    /// Reads a document that was read together with its signature.
    pub(crate) fn read(&self, id: ChallengeId, document: &SignedDocument) -> Result<Outcome, Error> {
        let outcome = self.read_unsigned(id, &document.json)?;
        if is_final(&outcome) {
            self.check_signature(document)?;
        }
        Ok(outcome)
    }

    /// Reads what became of an enrollment request, together with its signature.
    pub(crate) fn read_enrollment(
        &self,
        id: RequestId,
        document: &SignedDocument,
    ) -> Result<EnrollmentOutcome, Error> {
        let outcome = EnrollmentOutcome::from_json(&document.json)
            .ok_or(Error::Forged("it is no outcome that this version can read"))?;
        if outcome.request_id != id || outcome.portal != self.portal {
            return Err(Error::Forged("it is another request's"));
        }
        if outcome.result != EnrollmentResult::Pending {
            self.check_signature(document)?;
        }
        Ok(outcome)
    }

    fn check_signature(&self, document: &SignedDocument) -> Result<(), Error> {
        let Some(jwk) = &self.jwk else { return Ok(()) };
        let signature = document.signature.as_deref().ok_or(Error::Forged("it has no signature"))?;
        fleet_keys::verify_outcome(jwk, document.json.as_bytes(), signature)
            .map_err(|_| Error::Forged("its signature does not fit"))
    }

    /// Reads a document as it was published. What it says of the end is not proved.
    pub(crate) fn read_unsigned(&self, id: ChallengeId, json: &str) -> Result<Outcome, Error> {
        let outcome =
            Outcome::from_json(json).ok_or(Error::Forged("it is no outcome that this version can read"))?;
        // Under a genuine signature, another challenge's approval would be worth as much as this one's.
        if outcome.challenge_id != id || outcome.portal != self.portal {
            return Err(Error::Forged("it is another challenge's"));
        }
        Ok(outcome)
    }
}

/// Whether nothing but late facts can change any more.
pub(crate) fn is_final(outcome: &Outcome) -> bool {
    outcome.result != ChallengeResult::Pending
}
