//! What was in the sealed box of a request: held against the rules, and made ready to be stored. What a rule refuses is a
//! flaw that the outcome tells.

use fleet_contracts::{Invalid, SecretPhone, Secrets};
use fleet_domain::{
    Account, Change, EnrollmentReason, Extension, Flaw, Phone, PhoneKind, PhoneNumber, PhoneRole, PinRule,
    Portal, RequestId, StoredAnswer, UserId, weak_pin,
};
use fleet_engine::Error;
use fleet_keys::Pin;

use crate::worker::Worker;

/// The path under which portals know the box.
pub(crate) const PATH: &str = "data.sealed";

/// What a box comes to.
#[derive(Default)]
pub(crate) struct Prepared {
    pub(crate) phone: Option<Phone>,
    pub(crate) backup: Option<Phone>,
    pub(crate) pin: Option<String>,
    pub(crate) answers: Vec<StoredAnswer>,
}

/// Whose secrets these are, and what they are for.
pub(crate) struct Purpose<'a> {
    pub(crate) user: &'a UserId,
    pub(crate) change: Change,
    pub(crate) role: PhoneRole,
    pub(crate) account: &'a Account,
    pub(crate) portal: &'a Portal,
}

/// A body that breaks its contract in a way that only the fleet can see.
pub(crate) fn invalid(request: RequestId, field: &str, rule: impl Into<String>) -> Invalid {
    Invalid {
        field: field.to_owned(),
        rule: rule.into(),
        challenge_id: None,
        request_id: Some(request.to_string()),
        known_fields: Vec::new(),
    }
}

impl Worker {
    /// Checks the secrets and makes them ready to be stored; the first flaw that is found refuses all of them.
    pub(crate) async fn prepare(
        &self,
        secrets: Secrets,
        of: &Purpose<'_>,
    ) -> Result<Result<Prepared, Flaw>, Error> {
        let mut prepared = Prepared::default();
        for (secret, role, field) in [
            (secrets.phone.as_ref(), of.role, "data.sealed.phone"),
            (secrets.backup.as_ref(), PhoneRole::Backup, "data.sealed.backup"),
        ] {
            let Some(secret) = secret else { continue };
            let phone = match self.phone(secret, (role, field), of).await? {
                Ok(phone) => phone,
                Err(flaw) => return Ok(Err(flaw)),
            };
            if field == "data.sealed.phone" {
                prepared.phone = Some(phone);
            } else {
                prepared.backup = Some(phone);
            }
        }
        if let Some(pin) = &secrets.pin {
            match self.pin(pin, &secrets, of).await? {
                Ok(hash) => prepared.pin = Some(hash),
                Err(flaw) => return Ok(Err(flaw)),
            }
        }
        if of.change == Change::Questions || !secrets.answers.is_empty() {
            match self.answers(&secrets, of).await? {
                Ok(answers) => prepared.answers = answers,
                Err(flaw) => return Ok(Err(flaw)),
            }
        }
        Ok(Ok(prepared))
    }

    async fn phone(
        &self,
        secret: &SecretPhone,
        (role, field): (PhoneRole, &str),
        of: &Purpose<'_>,
    ) -> Result<Result<Phone, Flaw>, Error> {
        let number = match checked_number(secret, field, of.portal) {
            Ok(number) => number,
            Err(flaw) => return Ok(Err(flaw)),
        };
        let extension = match checked_extension(secret, field, of.portal) {
            Ok(extension) => extension,
            Err(flaw) => return Ok(Err(flaw)),
        };
        if self.records().is_opted_out(&number).await? {
            let asked = "asked never to be called again";
            let field = format!("{field}.number");
            return Ok(Err(Flaw::new(EnrollmentReason::DestinationNotAllowed, &field, asked)));
        }
        let kind = secret.kind.unwrap_or(PhoneKind::Mobile);
        Ok(Ok(self.records().sealed_phone((of.user, role), (&number, extension.as_ref()), kind)))
    }

    async fn pin(
        &self,
        pin: &str,
        secrets: &Secrets,
        of: &Purpose<'_>,
    ) -> Result<Result<String, Flaw>, Error> {
        const FIELD: &str = "data.sealed.pin";
        let policy = &of.portal.policy;
        if policy.pin == PinRule::Off {
            let rule = "must be absent: this portal asks for no PIN";
            return Ok(Err(Flaw::new(EnrollmentReason::PinNotAllowed, FIELD, rule)));
        }
        let rules = &policy.enrollment.pin_rules;
        let stored = self.own_numbers(of);
        let given = [secrets.phone.as_ref(), secrets.backup.as_ref()].into_iter().flatten();
        let numbers: Vec<&str> =
            given.map(|phone| phone.number.as_str()).chain(stored.iter().map(String::as_str)).collect();
        if let Some(flaw) = weak_pin(pin, rules, &numbers) {
            let rule = format!("is refused ({flaw}): {}", flaw.meaning());
            return Ok(Err(Flaw::new(EnrollmentReason::PinWeak, FIELD, rule)));
        }
        let Ok(checked) = Pin::parse(pin) else {
            return Ok(Err(Flaw::new(EnrollmentReason::PinWeak, FIELD, "must be 4 to 16 digits")));
        };
        let earlier = self.records().pins(of.user, rules.history).await?;
        if self.hashing.is_one_of(of.user, pin.to_owned(), earlier).await? {
            let rule = "was used before: choose another one";
            return Ok(Err(Flaw::new(EnrollmentReason::PinReused, FIELD, rule)));
        }
        Ok(Ok(self.hashing.pin(of.user, checked).await?.as_str().to_owned()))
    }

    /// The numbers of the user's phones; one that can't be opened is left out.
    fn own_numbers(&self, of: &Purpose<'_>) -> Vec<String> {
        let phones = of.account.user.iter().flat_map(|user| &user.phones);
        let numbers = phones.filter_map(|phone| self.records().reveal(of.user, phone).ok());
        numbers.map(|(number, _)| number.e164().to_owned()).collect()
    }

    async fn answers(
        &self,
        secrets: &Secrets,
        of: &Purpose<'_>,
    ) -> Result<Result<Vec<StoredAnswer>, Flaw>, Error> {
        let answers: Vec<(&str, &str)> =
            secrets.answers.iter().map(|one| (one.question.as_str(), one.answer.as_str())).collect();
        match of.portal.policy.enrollment.questions.check_answers(&answers) {
            Ok(answers) => Ok(Ok(self.hashing.answers(of.user, answers).await?)),
            Err(flaw) => {
                let about =
                    flaw.question.map(|id| format!(" (question {})", id.as_str())).unwrap_or_default();
                let rule = format!("are refused ({}){about}: {}", flaw.rule, flaw.rule.meaning());
                Ok(Err(Flaw::new(EnrollmentReason::QuestionsInvalid, "data.sealed.answers", rule)))
            }
        }
    }
}

fn checked_number(secret: &SecretPhone, field: &str, portal: &Portal) -> Result<PhoneNumber, Flaw> {
    let field = format!("{field}.number");
    let flaw = |reason, rule: &str| Err(Flaw::new(reason, &field, rule));
    let number = match PhoneNumber::parse(&secret.number) {
        Ok(number) => number,
        Err(error) => return flaw(EnrollmentReason::InvalidNumber, &error.to_string()),
    };
    let Some(facts) = fleet_numbers::facts(&number) else {
        return flaw(
            EnrollmentReason::InvalidNumber,
            "is in no country's numbering plan: look for a missing or a wrong digit",
        );
    };
    let policy = &portal.policy.enrollment;
    if !policy.countries.contains(&facts.country()) {
        let rule = format!("must be of one of the countries {}", policy.countries.join(", "));
        return flaw(EnrollmentReason::DestinationNotAllowed, &rule);
    }
    if !policy.line_types.contains(&facts.line) {
        let allowed: Vec<&str> = policy.line_types.iter().map(|line| line.as_str()).collect();
        let rule = format!("must be of one of the kinds {}", allowed.join(", "));
        return flaw(EnrollmentReason::DestinationNotAllowed, &rule);
    }
    Ok(number)
}

fn checked_extension(secret: &SecretPhone, field: &str, portal: &Portal) -> Result<Option<Extension>, Flaw> {
    let Some(text) = &secret.extension else { return Ok(None) };
    let field = format!("{field}.extension");
    if !portal.policy.enrollment.extensions {
        let rule = "must be absent: this portal takes no extensions";
        return Err(Flaw::new(EnrollmentReason::ExtensionNotAllowed, &field, rule));
    }
    let parsed = Extension::parse(text);
    parsed.map(Some).map_err(|error| Flaw::new(EnrollmentReason::InvalidExtension, &field, error.to_string()))
}

/// Whether the box has a part that this change does not take.
pub(crate) fn surplus(secrets: &Secrets, change: Change, role: PhoneRole) -> Option<&'static str> {
    let (phone, backup, pin, answers) = match change {
        Change::Enroll => (true, true, true, true),
        Change::Method => (true, false, true, false),
        Change::Phone => (true, role == PhoneRole::Primary, role == PhoneRole::Primary, false),
        Change::Pin => (false, false, true, false),
        Change::Questions => (false, false, false, true),
        Change::PhoneRemove
        | Change::PhoneTest
        | Change::DeviceRevoke
        | Change::Recovery
        | Change::Read
        | Change::DeviceLost
        | Change::Block
        | Change::Unblock
        | Change::Bypass
        | Change::Delete
        | Change::DeviceActivate => (false, false, false, false),
    };
    [
        ("data.sealed.phone", secrets.phone.is_some(), phone),
        ("data.sealed.backup", secrets.backup.is_some(), backup),
        ("data.sealed.pin", secrets.pin.is_some(), pin),
        ("data.sealed.answers", !secrets.answers.is_empty(), answers),
    ]
    .into_iter()
    .find(|(_, is_there, is_taken)| *is_there && !is_taken)
    .map(|(field, ..)| field)
}
