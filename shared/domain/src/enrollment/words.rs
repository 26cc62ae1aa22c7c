//! The closed lists of enrollments: the same words in events, records, metric labels, SQL and logs.

use crate::words::words;

words! {
    /// What a request asks to be changed.
    Change {
        /// Everything at once: method, phones, PIN, answers.
        Enroll = 1 "enroll",
        /// The method, with the phone for it where one is given.
        Method = 2 "method_change",
        /// The primary or the backup phone.
        Phone = 3 "phone_change",
        /// The backup phone is given up.
        PhoneRemove = 4 "phone_remove",
        /// A phone that is stored already is tested, and verified by that.
        PhoneTest = 5 "phone_test",
        /// The PIN.
        Pin = 6 "pin_change",
        /// The security questions with their answers.
        Questions = 7 "questions_change",
        /// A device is given up by its user.
        DeviceRevoke = 8 "device_revoke",
        /// The user answers security questions, to be allowed one change of the method.
        Recovery = 9 "recovery",
        /// Nothing: the portal shows its user what is enrolled.
        Read = 10 "read",
        /// The app is activated on a device, which is added to those that the user has.
        DeviceActivate = 11 "device_activate",
        /// A device, or all of them, was lost or stolen.
        DeviceLost = 20 "device_lost",
        /// Nobody signs in as this user any more.
        Block = 21 "block",
        /// A block and every lockout is lifted.
        Unblock = 22 "unblock",
        /// The next challenge of this user is approved unasked, once.
        Bypass = 23 "bypass",
        /// The user is removed.
        Delete = 24 "delete",
    }
}

impl Change {
    /// Whether only operators may ask for it: help desk, never a person at a portal.
    #[must_use]
    pub const fn is_operators(self) -> bool {
        match self {
            Self::DeviceLost | Self::Block | Self::Unblock | Self::Bypass | Self::Delete => true,
            Self::Enroll
            | Self::Method
            | Self::Phone
            | Self::PhoneRemove
            | Self::PhoneTest
            | Self::Pin
            | Self::Questions
            | Self::DeviceRevoke
            | Self::Recovery
            | Self::Read
            | Self::DeviceActivate => false,
        }
    }
}

words! {
    /// What became of a request.
    EnrollmentResult {
        /// It is still open.
        Pending = 0 "pending",
        /// It has taken effect.
        Done = 1 "done",
        /// A rule or a test said no; nothing has changed.
        Refused = 2 "refused",
        /// What was missing did not come in time; nothing has changed.
        Expired = 3 "expired",
        /// It was called off, or a newer request took its place; nothing has changed.
        Canceled = 4 "canceled",
    }
}

words! {
    /// How far an enrollment has come.
    EnrollmentState {
        /// Something is missing that only the user can give.
        PendingUserData = 1 "pending_user_data",
        /// A live test must pass before anything changes.
        AwaitingTest = 2 "awaiting_test",
        /// The test has passed; the change is about to take effect.
        TestPassed = 3 "test_passed",
        /// The change has taken effect.
        Enrolled = 4 "enrolled",
        /// Nothing has changed, and nothing will.
        Refused = 5 "refused",
    }
}

words! {
    /// What the user, or the portal for the user, does next.
    NextStep {
        /// Answer the call or the push, or type the code that the app shows into the portal.
        AnswerTest = 1 "answer_test",
        /// Ask for the test once more.
        RetryTest = 2 "retry_test",
        /// Give a phone number.
        ProvidePhone = 3 "provide_phone",
        /// Activate the app on a device.
        ActivateDevice = 4 "activate_device",
        /// Set a PIN.
        SetPin = 5 "set_pin",
        /// Choose security questions and answer them.
        SetQuestions = 6 "set_questions",
        /// Answer the questions that are named.
        AnswerQuestions = 7 "answer_questions",
        /// Change the method, with this request as proof.
        ChangeMethod = 8 "change_method",
        /// Have the backup phone tested.
        TestBackup = 9 "test_backup",
        /// Ask for the test: what is to be tested is there now.
        BeginTest = 10 "begin_test",
    }
}

words! {
    /// Why a request ended as it did.
    EnrollmentReason {
        /// It has taken effect.
        Ok = 1 "ok",
        /// The text is no phone number in E.164 form, or no number that can exist.
        InvalidNumber = 2 "invalid_number",
        /// The extension has a character that can't be keyed, or too many.
        InvalidExtension = 3 "invalid_extension",
        /// This portal takes no extensions.
        ExtensionNotAllowed = 4 "extension_not_allowed",
        /// The number's country or kind of line is not called, or the number asked never to be called.
        DestinationNotAllowed = 5 "destination_not_allowed",
        /// This portal asks for a PIN, and none was given.
        PinRequired = 6 "pin_required",
        /// The PIN is easily guessed; the rule says why.
        PinWeak = 7 "pin_weak",
        /// The PIN was used before.
        PinReused = 8 "pin_reused",
        /// This portal asks for no PIN.
        PinNotAllowed = 9 "pin_not_allowed",
        /// The questions or answers break a rule; which, the rule says.
        QuestionsInvalid = 10 "questions_invalid",
        /// No device was activated in time.
        ActivationExpired = 11 "activation_expired",
        /// The activation code was used. *Not produced*: the app is told so, and the request goes on.
        ActivationUsed = 12 "activation_used",
        /// The user has as many devices as the portal allows.
        DeviceLimit = 13 "device_limit",
        /// The user has no such device.
        DeviceUnknown = 14 "device_unknown",
        /// The change must be proved by the old factor, and was not.
        ProofRequired = 15 "proof_required",
        /// The live test failed.
        TestFailed = 16 "test_failed",
        /// At least one answer was wrong.
        AnswersMismatch = 17 "answers_mismatch",
        /// Too many wrong answers: nothing is taken for a while.
        LockedOut = 18 "locked_out",
        /// There were too many of these.
        Throttled = 19 "throttled",
        /// No test passed in time.
        TestTimeout = 20 "test_timeout",
        /// The portal called it off.
        CallerCanceled = 21 "caller_canceled",
        /// This portal may not ask for this.
        NotPermitted = 22 "not_permitted",
        /// There is no such user.
        UserUnknown = 23 "user_unknown",
        /// A newer request of the same user took its place.
        Superseded = 24 "superseded",
        /// The fleet's own fault.
        Internal = 25 "internal",
    }
}

impl EnrollmentReason {
    /// What it makes of the request that ends with it.
    #[must_use]
    pub const fn result(self) -> EnrollmentResult {
        match self {
            Self::Ok => EnrollmentResult::Done,
            Self::TestTimeout | Self::ActivationExpired => EnrollmentResult::Expired,
            Self::CallerCanceled | Self::Superseded => EnrollmentResult::Canceled,
            Self::InvalidNumber
            | Self::InvalidExtension
            | Self::ExtensionNotAllowed
            | Self::DestinationNotAllowed
            | Self::PinRequired
            | Self::PinWeak
            | Self::PinReused
            | Self::PinNotAllowed
            | Self::QuestionsInvalid
            | Self::ActivationUsed
            | Self::DeviceLimit
            | Self::DeviceUnknown
            | Self::ProofRequired
            | Self::TestFailed
            | Self::AnswersMismatch
            | Self::LockedOut
            | Self::Throttled
            | Self::NotPermitted
            | Self::UserUnknown
            | Self::Internal => EnrollmentResult::Refused,
        }
    }
}

words! {
    /// What a request was allowed by.
    Authority {
        /// The user had nothing yet that could prove anything.
        First = 1 "first",
        /// A challenge of the old factor that was approved.
        SignIn = 2 "sign_in",
        /// A test of another request of the same user that has just passed.
        Test = 3 "test",
        /// Security questions that were answered.
        Recovery = 4 "recovery",
        /// An operator.
        Operator = 5 "operator",
        /// Nothing: this change needs no proof.
        None = 6 "none",
    }
}

words! {
    /// What kind of line a number is, by its numbering plan.
    LineType {
        /// A mobile phone.
        Mobile = 1 "mobile",
        /// A fixed line.
        Fixed = 2 "fixed",
        /// One of these two: the plan does not tell them apart.
        FixedOrMobile = 3 "fixed_or_mobile",
        /// Telephony over the Internet.
        Voip = 4 "voip",
        /// Free for who calls.
        TollFree = 5 "toll_free",
        /// Costs more than a call.
        Premium = 6 "premium_rate",
        /// Costs are shared with who is called.
        SharedCost = 7 "shared_cost",
        /// Everything else: pagers, personal and universal numbers, voicemail.
        Other = 8 "other",
    }
}
