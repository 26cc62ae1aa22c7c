//! What a portal shows a person whose challenge ended, and what it offers next: one sentence and a list for each reason.
//!
//! Whoever sits at the portal need not be the user: nothing here says more of the user than the person at the portal knows
//! already. Other languages are for the portal; its own words for those who need help are the policy's `help`.

use crate::words::{Reason, Refusal};

/// What makes sense next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The same once more.
    Again,
    /// One of the outcome's `alternatives`: the backup phone, the app.
    Alternative,
    /// The same, but not at once.
    Later,
    /// The outcome's `help`: the portal's own words about whom to ask.
    Help,
}

impl Offer {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Again => "again",
            Self::Alternative => "alternative",
            Self::Later => "later",
            Self::Help => "help",
        }
    }
}

/// Declares what is shown and offered for each word of a closed list.
macro_rules! advice {
    ($name:ident { $($variant:ident $message:literal [$($offer:ident)*],)+ }) => {
        impl $name {
            /// What to show the person, in English: a sentence or two.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$variant => $message,)+ }
            }

            /// What to offer, the best first; empty where nothing is left to do.
            #[must_use]
            pub const fn offers(self) -> &'static [Offer] {
                match self { $(Self::$variant => &[$(Offer::$offer),*],)+ }
            }
        }
    };
}

advice! {
    Reason {
        OkKey "You are confirmed." [],
        OkPin "You are confirmed." [],
        OkNumberMatch "You are confirmed." [],
        OkCode "You are confirmed." [],
        OkPush "You are confirmed." [],
        OkTotp "You are confirmed." [],
        OkBypass "You are confirmed." [],
        NoAnswer "Nobody answered the phone." [Again Alternative Help],
        Busy "The line was busy." [Again Alternative Help],
        Unreachable "The phone could not be reached. It may be switched off or have no signal." [Alternative Again Help],
        RejectedCall "The call was declined on the phone." [Again Alternative Help],
        Voicemail "A voicemail or a machine answered the call." [Again Alternative Help],
        HungUp "The call ended before you confirmed." [Again Alternative Help],
        NoInput "The call was answered, but no key was pressed." [Again Alternative Help],
        TerminatorMissing "The pound key (#) was missing at the end." [Again Help],
        PinMismatch "That was not the PIN." [Again Help],
        PinExpired "The PIN is too old. A new one has to be set." [Help],
        NumberMismatch "That was not the number on the screen." [Again Help],
        CodeMismatch "That was not the code." [Again Help],
        TotpMismatch "That was not the code, or it is not valid any more." [Again Help],
        VerificationMissing "The app did not ask for your PIN, fingerprint or face." [Again Alternative Help],
        UserDeclined "The sign-in was declined in the app." [Again Help],
        UserCanceled "The sign-in was canceled in the app." [Again Help],
        FraudReported "This sign-in was stopped." [Help],
        UserBlocked "This sign-in was stopped." [Help],
        LockedOut "There were too many wrong answers." [Later Help],
        NumberOptedOut "This phone is not called any more." [Alternative Help],
        Throttled "There were too many attempts in a short time." [Later Alternative Help],
        BudgetExhausted "Calls are not possible at the moment." [Alternative Later Help],
        DestinationNotAllowed "This phone number is not called." [Alternative Help],
        FraudGuard "Calls to this phone are not possible at the moment." [Alternative Later Help],
        CallInProgress "The phone is being called for another sign-in already. Confirm only what you began yourself." [Later Help],
        InvalidNumber "The phone number does not work." [Alternative Help],
        InvalidExtension "The phone's extension cannot be dialed." [Alternative Help],
        ExtensionNotAllowed "Phones with an extension are not called." [Alternative Help],
        NoMethod "This way to confirm is not set up." [Alternative Help],
        NoDevice "No app is set up to confirm with." [Alternative Help],
        MethodNotAllowed "This way to confirm is not offered here." [Alternative Help],
        PushUndeliverable "The app could not be reached." [Alternative Again Help],
        DeviceUnregistered "The app seems to be gone from the device. It has to be set up again." [Alternative Help],
        NoResponse "There was no answer in time." [Again Alternative Help],
        NotStarted "It took too long to begin." [Again Alternative Help],
        CarrierRejectedCallerId "The call could not be placed." [Alternative Help],
        CarrierError "The call could not be completed." [Again Alternative Help],
        ProviderUnavailable "The call could not be placed: the telephone network is disturbed." [Alternative Later Help],
        Misconfigured "Something is wrong on our side." [Alternative Help],
        Internal "Something went wrong on our side." [Again Alternative Help],
        Superseded "A newer request took the place of this one." [],
        Revoked "This sign-in was stopped." [Help],
        CallerCanceled "The sign-in was canceled." [Again],
    }
}

advice! {
    Refusal {
        InvalidRequest "Something is wrong with this page." [Help],
        Conflict "Something is wrong with this page. Begin again." [Again Help],
        NotPermitted "This page may not ask for that." [Help],
        StaleId "It took too long to begin." [Again],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::ChallengeResult;

    #[test]
    fn every_message_is_a_sentence_or_two_for_whoever_sits_there() {
        let reasons = Reason::ALL.iter().map(|reason| reason.message());
        for message in reasons.chain(Refusal::ALL.iter().map(|refusal| refusal.message())) {
            assert!(message.ends_with('.') && message.len() <= 100, "{message}");
            // A stranger at the portal is not told that the user reported them, or is known to be blocked.
            for word in ["fraud", "report", "block", "revoked", "user"] {
                assert!(!message.contains(word), "{message}");
            }
        }
    }

    #[test]
    fn what_is_offered_fits_the_end() {
        for reason in Reason::ALL {
            let (offers, result) = (reason.offers(), reason.result());
            let over = result == ChallengeResult::Approved || *reason == Reason::Superseded;
            assert_eq!(offers.is_empty(), over, "{reason}");
            let failed = matches!(result, ChallengeResult::Failed | ChallengeResult::Expired);
            assert!(
                !failed || offers.contains(&Offer::Alternative) && offers.contains(&Offer::Help),
                "{reason}"
            );
            for (at, offer) in offers.iter().enumerate() {
                assert!(!offers[..at].contains(offer), "{reason}");
            }
        }
        for stopped in [Reason::FraudReported, Reason::UserBlocked, Reason::Revoked] {
            assert_eq!(stopped.offers(), [Offer::Help], "no way around it: {stopped}");
        }
        // After a wrong PIN no other phone is tried by itself, and none is offered.
        assert!(!Reason::PinMismatch.offers().contains(&Offer::Alternative));
    }
}
