//! `fleetctl outcome`.

use fleet_contracts::Outcome;
use fleet_outcomes::{SignedDocument, Watcher};

use super::challenge::print_summary;
use crate::cli::OutcomeArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::portal::redis_error;
use crate::print::{Screen, Style};
use crate::session::Session;
use crate::settings::Sections;

pub(super) async fn run(args: &OutcomeArgs, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let (portal, id) = (&args.challenge.portal, args.challenge.id);
    let settings = sections.outcomes(portal, &args.challenge.access)?;
    let keys = if args.verify { Some(sections.keys()?) } else { None };
    let session = Session::new();
    let watcher = Watcher::start(&settings, &session.context.tasks).map_err(|error| redis_error(&error))?;
    let found = watcher.get(portal, id).await;
    drop(watcher);
    session.end().await;
    let document = found.map_err(|error| redis_error(&error))?.ok_or_else(|| Error::NotFound {
        what: format!("nothing is known of challenge {id} of portal {portal}"),
        advice: "it may not have been accepted yet, or its time to be collected is over; `fleetctl history` knows more",
    })?;
    let outcome = Outcome::from_json(&document.json)
        .filter(|outcome| outcome.challenge_id == id && outcome.portal == *portal)
        .ok_or_else(|| forged(&id.to_string(), "it is no outcome of this challenge"))?;
    if let Some(keys) = keys {
        verify(&keys.outcome_jwk(), &document, &id.to_string())?;
    }
    if args.json {
        screen.line(&document.json)?;
    } else {
        print_summary(&outcome, screen)?;
        if args.verify {
            let holds = (Style::Good, "holds".to_owned());
            screen.spans(&[(Style::Bold, "signature  ".to_owned()), holds])?;
        }
    }
    Ok(Exit::of(outcome.result))
}

fn verify(jwk: &str, document: &SignedDocument, id: &str) -> Result<(), Error> {
    let signature = document.signature.as_deref().ok_or_else(|| forged(id, "there is none"))?;
    fleet_keys::verify_outcome(jwk, document.json.as_bytes(), signature)
        .map_err(|error| forged(id, &error.to_string()))
}

fn forged(id: &str, why: &str) -> Error {
    Error::Signature { what: format!("the outcome of {id}"), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_keys::Keys;

    #[test]
    fn a_signature_holds_for_its_own_document_only() {
        let keys = Keys::for_tests();
        let signed = |json: &str, of: &str| SignedDocument {
            json: json.to_owned(),
            signature: Some(keys.sign_outcome(of.as_bytes())),
        };
        let jwk = keys.outcome_jwk();
        verify(&jwk, &signed("{}", "{}"), "1").unwrap();
        for document in [signed("{ }", "{}"), SignedDocument { json: "{}".to_owned(), signature: None }] {
            let error = verify(&jwk, &document, "1").unwrap_err();
            assert_eq!(error.exit(), Exit::Data);
            assert!(error.line().unwrap().ends_with("do not act on this outcome"));
        }
    }
}
