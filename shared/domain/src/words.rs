//! The closed lists: the same words in events, records, HTTP answers, metric labels, SQL and logs.
//!
//! Each word has its text (`as_str`), which is public and stable, and a small code, which is how a row
//! stores it; neither may change once released. `Reason::result` says which result a reason belongs to.

/// Declares a closed list of words with texts and storage codes.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $meaning:literal])+ $variant:ident = $code:literal $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[doc = $meaning])+ $variant = $code,)+ }

        impl $name {
            /// Every word of the list, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The public text of the word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// What the word means.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+).trim_ascii_start(),)+ }
            }

            /// The word with this text, if there is one.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }

            /// The code under which rows store the word.
            #[must_use]
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// The word stored under this code, if there is one.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = alloc::borrow::Cow::<'de, str>::deserialize(d)?;
                Self::parse(&text).ok_or_else(|| {
                    serde::de::Error::unknown_variant(&text, &[$($text,)+])
                })
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.u8(self.code())?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                let code = d.u8()?;
                Self::from_code(code)
                    .ok_or_else(|| minicbor::decode::Error::message("a code that this version does not know"))
            }
        }
    };
}

pub(crate) use words;

words! {
    /// What became of a challenge.
    ChallengeResult {
        /// It is still open.
        Pending = 0 "pending",
        /// The person is there.
        Approved = 1 "approved",
        /// The person or a rule said no.
        Denied = 2 "denied",
        /// Nobody answered in time.
        Expired = 3 "expired",
        /// It was called off.
        Canceled = 4 "canceled",
        /// The fleet or the provider could not ask.
        Failed = 5 "failed",
    }
}

words! {
    /// How far an open challenge has come.
    Progress {
        /// Accepted; nothing was sent yet.
        Queued = 0 "queued",
        /// A call is being placed.
        Dialing = 1 "dialing",
        /// The phone rings.
        Ringing = 2 "ringing",
        /// The call was answered.
        Answered = 3 "answered",
        /// The extension is being dialed.
        DialingExtension = 4 "dialing_extension",
        /// The prompt was played; a key is awaited.
        AwaitingInput = 5 "awaiting_input",
        /// The portal's user types a code: one that was read out, or one that the app shows.
        AwaitingCode = 6 "awaiting_code",
        /// The push is being sent.
        Pushing = 7 "pushing",
        /// The push service took the push.
        Pushed = 8 "pushed",
        /// No push could be sent; the app's own list still shows the challenge.
        PushFailed = 9 "push_failed",
        /// The app shows the challenge.
        Opened = 10 "opened",
        /// One step has failed and the next follows.
        FallingBack = 11 "falling_back",
        /// The challenge has ended.
        Ended = 12 "ended",
    }
}

words! {
    /// Why a challenge ended as it did.
    Reason {
        /// `#` was pressed.
        OkKey = 1 "ok_key",
        /// The right PIN was keyed.
        OkPin = 2 "ok_pin",
        /// The number on the screen was keyed or typed.
        OkNumberMatch = 3 "ok_number_match",
        /// The code that was read out was typed into the portal.
        OkCode = 4 "ok_code",
        /// The app approved.
        OkPush = 5 "ok_push",
        /// The right TOTP code was given.
        OkTotp = 6 "ok_totp",
        /// A bypass was granted.
        OkBypass = 7 "ok_bypass",
        /// The phone rang out.
        NoAnswer = 10 "no_answer",
        /// The line was busy.
        Busy = 11 "busy",
        /// The phone could not be reached.
        Unreachable = 12 "unreachable",
        /// The person rejected the call.
        RejectedCall = 13 "rejected_call",
        /// A machine answered.
        Voicemail = 14 "voicemail",
        /// The person hung up.
        HungUp = 15 "hung_up",
        /// Nothing was keyed.
        NoInput = 16 "no_input",
        /// A PIN was keyed without `#`.
        TerminatorMissing = 17 "terminator_missing",
        /// A wrong PIN was keyed.
        PinMismatch = 18 "pin_mismatch",
        /// The PIN is too old.
        PinExpired = 19 "pin_expired",
        /// A wrong number was keyed or typed.
        NumberMismatch = 20 "number_mismatch",
        /// A wrong code was typed.
        CodeMismatch = 21 "code_mismatch",
        /// A wrong TOTP code was given.
        TotpMismatch = 22 "totp_mismatch",
        /// The app did not prove who holds it.
        VerificationMissing = 23 "verification_missing",
        /// The person declined by mistake or without a reason.
        UserDeclined = 24 "user_declined",
        /// The person called it off in the app.
        UserCanceled = 25 "user_canceled",
        /// The person reported fraud.
        FraudReported = 26 "fraud_reported",
        /// The user is blocked.
        UserBlocked = 27 "user_blocked",
        /// Too many wrong answers.
        LockedOut = 28 "locked_out",
        /// This number asked never to be called.
        NumberOptedOut = 29 "number_opted_out",
        /// Too many requests.
        Throttled = 30 "throttled",
        /// The budget for calls is spent.
        BudgetExhausted = 31 "budget_exhausted",
        /// This destination is not called.
        DestinationNotAllowed = 32 "destination_not_allowed",
        /// The fraud guard stopped the call.
        FraudGuard = 33 "fraud_guard",
        /// Another call to this number is under way.
        CallInProgress = 34 "call_in_progress",
        /// The number is not valid.
        InvalidNumber = 40 "invalid_number",
        /// The extension is not valid.
        InvalidExtension = 41 "invalid_extension",
        /// Extensions are not allowed here.
        ExtensionNotAllowed = 42 "extension_not_allowed",
        /// The user has no such method.
        NoMethod = 43 "no_method",
        /// The user has no active device.
        NoDevice = 44 "no_device",
        /// The portal may not use this method.
        MethodNotAllowed = 45 "method_not_allowed",
        /// No device took the push.
        PushUndeliverable = 46 "push_undeliverable",
        /// The app is gone from the device.
        DeviceUnregistered = 47 "device_unregistered",
        /// The person did not respond in time.
        NoResponse = 50 "no_response",
        /// The time was over before anything could be sent.
        NotStarted = 51 "not_started",
        /// The carrier did not take the caller ID.
        CarrierRejectedCallerId = 60 "carrier_rejected_caller_id",
        /// The carrier failed the call.
        CarrierError = 61 "carrier_error",
        /// The provider could not be reached, or its answer stayed unclear.
        ProviderUnavailable = 62 "provider_unavailable",
        /// An account, a key or a setting is wrong.
        Misconfigured = 63 "misconfigured",
        /// A fault of the fleet itself.
        Internal = 64 "internal",
        /// A newer request took its place.
        Superseded = 70 "superseded",
        /// The device or user was revoked.
        Revoked = 71 "revoked",
        /// The portal called it off.
        CallerCanceled = 72 "caller_canceled",
    }
}

impl Reason {
    /// The result that this reason belongs to; never `Pending`.
    #[must_use]
    pub const fn result(self) -> ChallengeResult {
        match self {
            Self::OkKey
            | Self::OkPin
            | Self::OkNumberMatch
            | Self::OkCode
            | Self::OkPush
            | Self::OkTotp
            | Self::OkBypass => ChallengeResult::Approved,
            Self::HungUp
            | Self::NoInput
            | Self::TerminatorMissing
            | Self::PinMismatch
            | Self::PinExpired
            | Self::NumberMismatch
            | Self::CodeMismatch
            | Self::TotpMismatch
            | Self::VerificationMissing
            | Self::UserDeclined
            | Self::UserCanceled
            | Self::FraudReported
            | Self::UserBlocked
            | Self::LockedOut
            | Self::NumberOptedOut
            | Self::Throttled
            | Self::BudgetExhausted
            | Self::DestinationNotAllowed
            | Self::FraudGuard
            | Self::CallInProgress => ChallengeResult::Denied,
            Self::NoResponse | Self::NotStarted => ChallengeResult::Expired,
            Self::Superseded | Self::Revoked | Self::CallerCanceled => ChallengeResult::Canceled,
            Self::NoAnswer
            | Self::Busy
            | Self::Unreachable
            | Self::RejectedCall
            | Self::Voicemail
            | Self::InvalidNumber
            | Self::InvalidExtension
            | Self::ExtensionNotAllowed
            | Self::NoMethod
            | Self::NoDevice
            | Self::MethodNotAllowed
            | Self::PushUndeliverable
            | Self::DeviceUnregistered
            | Self::CarrierRejectedCallerId
            | Self::CarrierError
            | Self::ProviderUnavailable
            | Self::Misconfigured
            | Self::Internal => ChallengeResult::Failed,
        }
    }
}

words! {
    /// Why a request was refused before a challenge existed.
    Refusal {
        /// A field breaks its rule; the refusal names it.
        InvalidRequest = 1 "invalid_request",
        /// The same id came before with another body.
        Conflict = 2 "conflict",
        /// The sender may not ask for this.
        NotPermitted = 3 "not_permitted",
        /// The id's own time is too old or too far ahead.
        StaleId = 4 "stale_id",
    }
}

words! {
    /// A way to reach the person.
    Channel {
        /// A phone call.
        Voice = 1 "voice",
        /// A push to the authenticator app.
        Push = 2 "push",
        /// A one-time code by time (RFC 6238).
        Totp = 3 "totp",
    }
}

words! {
    /// What a challenge is for.
    Purpose {
        /// Someone signs in.
        SignIn = 1 "sign_in",
        /// An enrollment is being tested; only enrollment-worker asks for it.
        EnrollmentTest = 2 "enrollment_test",
    }
}

words! {
    /// How strong the proof was. The words that are named weak in the docs: `key`, `pin`, `approve`.
    Assurance {
        /// `#` was pressed on the phone.
        Key = 1 "key",
        /// The PIN was keyed.
        Pin = 2 "pin",
        /// The number on the screen was keyed or typed.
        NumberMatch = 3 "number_match",
        /// The PIN, then the number on the screen.
        PinNumberMatch = 4 "pin+number_match",
        /// A spoken code was typed into the portal.
        Code = 5 "code",
        /// The app's button was tapped.
        Approve = 6 "approve",
        /// The app's button, and the PIN.
        ApprovePin = 7 "approve+pin",
        /// The app's button, and a fingerprint or face.
        ApproveBiometric = 8 "approve+biometric",
        /// The number typed into the app, and the PIN.
        NumberMatchPin = 9 "number_match+pin",
        /// The number typed into the app, and a fingerprint or face.
        NumberMatchBiometric = 10 "number_match+biometric",
        /// A time-based code.
        Totp = 11 "totp",
        /// A bypass.
        Bypass = 12 "bypass",
    }
}

words! {
    /// What the called person is asked to key.
    CallMode {
        /// `#`.
        Key = 1 "key",
        /// The PIN, then `#`.
        Pin = 2 "pin",
        /// The number on the screen, then `#`.
        NumberMatch = 3 "number_match",
        /// The PIN, then the number.
        PinNumberMatch = 4 "pin+number_match",
        /// `#` to hear a code.
        SpokenCode = 5 "spoken_code",
    }
}

words! {
    /// What a called person can ask for instead of answering.
    Command {
        /// `0#`: somebody else is signing in.
        ReportFraud = 1 "report_fraud",
        /// `9#`: never call this number again.
        NeverAgain = 2 "never_again",
    }
}

words! {
    /// What is guessed at, each with a lockout of its own.
    Factor {
        /// The PIN, by phone or in the app.
        Pin = 1 "pin",
        /// The answers to security questions.
        Answers = 2 "answers",
        /// One-time codes by time (RFC 6238).
        Totp = 3 "totp",
    }
}

words! {
    /// Whether the called person has to key a PIN.
    PinRule {
        /// No PIN is asked for.
        Off = 0 "off",
        /// Without a PIN nobody is called.
        Required = 1 "required",
    }
}

words! {
    /// Whether an app must make sure of who holds it before it approves (user verification).
    UserVerification {
        /// It need not.
        Off = 0 "off",
        /// By either way.
        Any = 1 "any",
        /// By the PIN of the app.
        Pin = 2 "pin",
        /// By fingerprint or face.
        Biometric = 3 "biometric",
    }
}

#[expect(clippy::derivable_impls, reason = "the macro that declares the words marks no variant")]
impl Default for UserVerification {
    fn default() -> Self {
        Self::Off
    }
}

impl UserVerification {
    /// Whether an approval of this strength comes with the verification that is demanded.
    #[must_use]
    pub const fn is_met_by(self, assurance: Assurance) -> bool {
        let (pin, biometric) = match assurance {
            Assurance::ApprovePin | Assurance::NumberMatchPin => (true, false),
            Assurance::ApproveBiometric | Assurance::NumberMatchBiometric => (false, true),
            Assurance::Key
            | Assurance::Pin
            | Assurance::NumberMatch
            | Assurance::PinNumberMatch
            | Assurance::Code
            | Assurance::Approve
            | Assurance::Totp
            | Assurance::Bypass => (false, false),
        };
        match self {
            Self::Off => true,
            Self::Any => pin || biometric,
            Self::Pin => pin,
            Self::Biometric => biometric,
        }
    }
}

words! {
    /// What machine detection could do for a call.
    Detection {
        /// Nothing: digits are sent for an extension, and the key that is pressed is the only proof of a person.
        Unavailable = 1 "unavailable",
        /// It found a machine.
        Machine = 2 "machine",
    }
}

words! {
    /// Which of the user's phones.
    PhoneRole {
        /// The one that is called first.
        Primary = 1 "primary",
        /// The one to fall back to.
        Backup = 2 "backup",
    }
}

words! {
    /// Where a phone stands, as the help desk knows it.
    PhoneKind {
        /// Carried along.
        Mobile = 1 "mobile",
        /// On a desk.
        Office = 2 "office",
    }
}

words! {
    /// Where an attempt (one call, one push to the user's devices, or one wait for a code) stands.
    AttemptState {
        /// Its place is kept; another process will act.
        Reserved = 1 "reserved",
        /// The call's POST may be under way.
        Dialing = 2 "dialing",
        /// The POST's answer was unclear: a call may exist.
        Unknown = 3 "unknown",
        /// The provider took the call.
        Placed = 4 "placed",
        /// The phone rings.
        Ringing = 5 "ringing",
        /// Someone, or something, answered.
        Answered = 6 "answered",
        /// The prompt was served; a key is awaited.
        AwaitingInput = 7 "awaiting_input",
        /// The push is under way.
        Sending = 8 "sending",
        /// The push service took the push.
        Pushed = 9 "pushed",
        /// No push could be sent; the app's list still shows the challenge.
        PushFailed = 10 "push_failed",
        /// The app shows the challenge.
        Opened = 11 "opened",
        /// Fenced: a newer attempt took its place.
        Superseded = 12 "superseded",
        /// Over.
        Ended = 13 "ended",
        /// Nothing is sent: a code is awaited that the person types into the portal.
        AwaitingCode = 14 "awaiting_code",
    }
}

words! {
    /// How a caller ID was chosen: the steps of the caller-ID plan.
    CallerIdStep {
        /// A number of the pool in the destination's country.
        Local = 1 "local",
        /// Another number of the pool.
        Other = 2 "other",
        /// A number of another carrier.
        OtherCarrier = 3 "other_carrier",
        /// No number shown.
        Withheld = 4 "withheld",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_from_its_text_and_its_code() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
        for state in AttemptState::ALL {
            assert_eq!(AttemptState::parse(state.as_str()), Some(*state));
            assert_eq!(AttemptState::from_code(state.code()), Some(*state));
        }
        assert_eq!(Channel::parse("sms"), None);
    }

    #[test]
    fn no_reason_leaves_a_challenge_pending() {
        for reason in Reason::ALL {
            assert_ne!(reason.result(), ChallengeResult::Pending, "{reason}");
            assert_eq!(
                reason.as_str().starts_with("ok_"),
                reason.result() == ChallengeResult::Approved,
                "{reason}"
            );
        }
    }
}
