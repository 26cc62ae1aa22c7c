//! Who may change what: portal × change × user, in one place.

use super::policy::EnrollmentPolicy;
use super::request::Account;
use super::words::{Authority, Change, EnrollmentReason};
use crate::challenge::Challenge;
use crate::ids::UserId;
use crate::time::Timestamp;
use crate::words::{ChallengeResult, PhoneRole, Purpose, Reason};
use core::time::Duration;

/// What a request showed as its proof, as it was found out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing, or something that proves nothing about this user.
    Nothing,
    /// A challenge of this user that was approved a short while ago.
    SignIn,
    /// A test that this user has just passed.
    Test,
    /// Security questions that this user has just answered.
    Recovery,
}

/// What allows this portal to make this change of this user; or why it may not.
pub fn authority(
    (change, role): (Change, Option<PhoneRole>),
    account: &Account,
    shown: Shown,
    policy: &EnrollmentPolicy,
) -> Result<Authority, EnrollmentReason> {
    if !policy.requests.contains(&change) || (change.is_operators() && !policy.operators) {
        return Err(EnrollmentReason::NotPermitted);
    }
    if policy.operators {
        return Ok(Authority::Operator);
    }
    if account.user.as_ref().is_some_and(|user| user.blocked) && change != Change::Read {
        return Err(EnrollmentReason::LockedOut);
    }
    match change {
        Change::Recovery if !policy.recovery => Err(EnrollmentReason::NotPermitted),
        // They change nothing but what the person proves by them.
        Change::Recovery | Change::PhoneTest | Change::Read => Ok(Authority::None),
        Change::Enroll
        | Change::Method
        | Change::Phone
        | Change::Pin
        | Change::Questions
        | Change::DeviceActivate
            if !account.is_enrolled() =>
        {
            Ok(Authority::First)
        }
        // Who has lost the phone with the app needs another one, whatever the method is.
        Change::Method | Change::DeviceActivate => proved(shown, true, false),
        // What follows the test of a new phone on the same page: its PIN, a backup, the questions.
        Change::Pin | Change::Questions => proved(shown, false, true),
        Change::Phone => proved(shown, false, role == Some(PhoneRole::Backup)),
        Change::Enroll | Change::PhoneRemove | Change::DeviceRevoke => proved(shown, false, false),
        Change::DeviceLost | Change::Block | Change::Unblock | Change::Bypass | Change::Delete => {
            Err(EnrollmentReason::NotPermitted)
        }
    }
}

const fn proved(shown: Shown, by_recovery: bool, by_test: bool) -> Result<Authority, EnrollmentReason> {
    match shown {
        Shown::SignIn => Ok(Authority::SignIn),
        Shown::Recovery if by_recovery => Ok(Authority::Recovery),
        Shown::Test if by_test => Ok(Authority::Test),
        Shown::Nothing | Shown::Recovery | Shown::Test => Err(EnrollmentReason::ProofRequired),
    }
}

/// Whether this challenge proves that its user was there a short while ago: approved as a sign-in, and by the person, not
/// by a bypass.
#[must_use]
pub fn proves(challenge: &Challenge, user: &UserId, within: Duration, now: Timestamp) -> bool {
    let Some(end) = &challenge.live.end else { return false };
    challenge.request.user.as_ref() == Some(user)
        && challenge.request.purpose == Purpose::SignIn
        && end.reason.result() == ChallengeResult::Approved
        && end.reason != Reason::OkBypass
        && end.at.plus(within) >= now
}

/// How long a challenge is waited for before questions may take its place.
pub const RECOVERY_AFTER: Duration = Duration::from_mins(1);

/// Whether this challenge allows its user to answer security questions instead: the factor could not be reached, or has not
/// answered for a minute. Never after a report of fraud, a block, a lockout or a wrong answer.
#[must_use]
pub fn allows_recovery(challenge: &Challenge, user: &UserId, within: Duration, now: Timestamp) -> bool {
    let request = &challenge.request;
    if request.user.as_ref() != Some(user)
        || request.purpose != Purpose::SignIn
        || request.accepted_at.plus(within) < now
    {
        return false;
    }
    let Some(end) = &challenge.live.end else { return request.accepted_at.plus(RECOVERY_AFTER) <= now };
    match end.reason {
        Reason::NoAnswer
        | Reason::Busy
        | Reason::Unreachable
        | Reason::RejectedCall
        | Reason::Voicemail
        | Reason::NoInput
        | Reason::NoMethod
        | Reason::NoDevice
        | Reason::InvalidNumber
        | Reason::InvalidExtension
        | Reason::PushUndeliverable
        | Reason::DeviceUnregistered
        | Reason::NoResponse
        | Reason::NotStarted
        | Reason::CarrierRejectedCallerId
        | Reason::CarrierError
        | Reason::ProviderUnavailable => true,
        Reason::OkKey
        | Reason::OkPin
        | Reason::OkNumberMatch
        | Reason::OkCode
        | Reason::OkPush
        | Reason::OkTotp
        | Reason::OkBypass
        | Reason::HungUp
        | Reason::TerminatorMissing
        | Reason::PinMismatch
        | Reason::PinExpired
        | Reason::NumberMismatch
        | Reason::CodeMismatch
        | Reason::TotpMismatch
        | Reason::VerificationMissing
        | Reason::UserDeclined
        | Reason::UserCanceled
        | Reason::FraudReported
        | Reason::UserBlocked
        | Reason::LockedOut
        | Reason::NumberOptedOut
        | Reason::Throttled
        | Reason::BudgetExhausted
        | Reason::DestinationNotAllowed
        | Reason::FraudGuard
        | Reason::CallInProgress
        | Reason::ExtensionNotAllowed
        | Reason::MethodNotAllowed
        | Reason::Misconfigured
        | Reason::Internal
        | Reason::Superseded
        | Reason::Revoked
        | Reason::CallerCanceled => false,
    }
}
