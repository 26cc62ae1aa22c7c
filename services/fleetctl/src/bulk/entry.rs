//! From the values of a line to a user, by the rules of each field.

use fleet_domain::{Channel, Extension, PhoneKind, PhoneNumber, PhoneRole, UserId};
use fleet_keys::Keys;
use fleet_records::{BulkUser, NewPhone};

use super::Refusal;
use super::columns::{Column, Record};

const AUDIENCE_LONGEST: usize = 64;

/// How lines are read.
pub(crate) struct Rules {
    pub(crate) keys: Keys,
    /// Whether a number of digits alone gets its `+` back.
    pub(crate) add_plus: bool,
}

/// The columns of a phone.
struct PhoneColumns {
    role: PhoneRole,
    number: Column,
    extension: Column,
    kind: Column,
    verified: Column,
}

const PHONES: [PhoneColumns; 2] = [
    PhoneColumns {
        role: PhoneRole::Primary,
        number: Column::Phone,
        extension: Column::Extension,
        kind: Column::PhoneKind,
        verified: Column::Verified,
    },
    PhoneColumns {
        role: PhoneRole::Backup,
        number: Column::BackupPhone,
        extension: Column::BackupExtension,
        kind: Column::BackupKind,
        verified: Column::BackupVerified,
    },
];

impl Rules {
    /// The user of a line, or the first rule that a field breaks.
    pub(crate) fn user(&self, record: &Record) -> Result<BulkUser, Refusal> {
        let needed =
            |column: Column| record.get(column).ok_or_else(|| Refusal::new(column.name(), "is missing"));
        let id = UserId::parse(needed(Column::Id)?)
            .map_err(|rule| Refusal::new(Column::Id.name(), rule.to_string()))?;
        let audience = needed(Column::Audience)?;
        if audience.chars().count() > AUDIENCE_LONGEST || audience.chars().any(char::is_control) {
            let rule = "must be 1 to 64 characters without control characters";
            return Err(Refusal::new(Column::Audience.name(), rule));
        }
        let method = Channel::parse(needed(Column::Method)?);
        let method =
            method.ok_or_else(|| Refusal::new(Column::Method.name(), "must be voice, push or totp"))?;
        let mut phones = Vec::new();
        for columns in &PHONES {
            phones.extend(self.phone(record, columns)?);
        }
        let pin = record.get(Column::PinHash).map(|hash| self.keys.imported_pin(id.as_str(), hash));
        let pin = pin.transpose().map_err(|rule| Refusal::new(Column::PinHash.name(), rule.to_string()))?;
        Ok(BulkUser { id, audience: audience.to_owned(), method, phones, pin })
    }

    fn phone(&self, record: &Record, columns: &PhoneColumns) -> Result<Option<NewPhone>, Refusal> {
        let Some(number) = record.get(columns.number) else {
            // A kind alone says nothing, and spreadsheets fill it down.
            return match record.get(columns.extension) {
                Some(_) => Err(Refusal::new(columns.extension.name(), "has no phone to belong to")),
                None => Ok(None),
            };
        };
        let number = self.number(number).map_err(|rule| Refusal::new(columns.number.name(), rule))?;
        let extension = record.get(columns.extension).map(Extension::parse).transpose();
        let extension = extension.map_err(|rule| Refusal::new(columns.extension.name(), rule.to_string()))?;
        let kind = match record.get(columns.kind) {
            Some(word) => PhoneKind::parse(word)
                .ok_or_else(|| Refusal::new(columns.kind.name(), "must be mobile or office"))?,
            // Behind an extension is a desk.
            None if extension.is_some() => PhoneKind::Office,
            None => PhoneKind::Mobile,
        };
        let verified = match record.get(columns.verified).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false" | "no" | "0") => false,
            Some("true" | "yes" | "1") => true,
            Some(_) => return Err(Refusal::new(columns.verified.name(), "must be true or false")),
        };
        Ok(Some(NewPhone { role: columns.role, kind, number, extension, verified }))
    }

    /// A spreadsheet takes `+19195550100` for a sum and writes 19195550100, or 1.91956E+10. The first can be undone where
    /// somebody says that all numbers are international; the second has lost its digits.
    fn number(&self, text: &str) -> Result<PhoneNumber, String> {
        let only_digits = text.bytes().all(|b| b.is_ascii_digit());
        let parsed = if only_digits && self.add_plus {
            PhoneNumber::parse(&format!("+{text}"))
        } else {
            PhoneNumber::parse(text)
        };
        parsed.map_err(|rule| {
            let upper = text.to_ascii_uppercase();
            if upper.contains("E+") || upper.contains('.') {
                format!("{rule}; a spreadsheet has rounded it: export the column again, as text")
            } else if only_digits && !self.add_plus {
                format!("{rule}; if a spreadsheet has eaten the '+', --add-plus puts it back")
            } else {
                rule.to_string()
            }
        })
    }
}

/// Whether the user lacks what the method needs: it is then asked for before anything is called. Devices and codes are
/// never in a file.
pub(crate) fn lacks_data(user: &BulkUser) -> bool {
    match user.method {
        Channel::Voice => !user.phones.iter().any(|phone| phone.role == PhoneRole::Primary),
        Channel::Push | Channel::Totp => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2b$05$jjopjJOVmLhVGa4NiHMv0ubHZAo99C4pSxqi2zMHZzNo7vfcvQSXO";

    fn read(add_plus: bool, changes: &[(Column, &str)]) -> Result<BulkUser, Refusal> {
        let mut record = Record::default();
        for (column, value) in [(Column::Id, "ann"), (Column::Audience, "staff"), (Column::Method, "voice")]
            .iter()
            .chain(changes)
        {
            record.set(*column, value);
        }
        Rules { keys: Keys::for_tests(), add_plus }.user(&record)
    }

    #[test]
    fn a_line_with_everything_is_a_user_with_everything() {
        let user = read(
            false,
            &[
                (Column::Phone, "+19195550100"),
                (Column::Extension, ",,4123#"),
                (Column::Verified, "TRUE"),
                (Column::BackupPhone, "+442079460000"),
                (Column::PinHash, BCRYPT),
            ],
        )
        .unwrap();
        let [primary, backup] = user.phones.as_slice() else { panic!("two phones") };
        assert_eq!(
            (primary.role, primary.kind, primary.verified),
            (PhoneRole::Primary, PhoneKind::Office, true)
        );
        assert_eq!(
            (backup.role, backup.kind, backup.verified),
            (PhoneRole::Backup, PhoneKind::Mobile, false)
        );
        assert!(Keys::for_tests().pin_matches("ann", "8250", &user.pin.unwrap()));
    }

    #[test]
    fn a_method_without_its_data_is_a_user_to_be_asked_for_it() {
        assert!(lacks_data(&read(false, &[]).unwrap()));
        assert!(lacks_data(
            &read(false, &[(Column::Method, "push"), (Column::Phone, "+19195550100")]).unwrap()
        ));
        assert!(lacks_data(&read(false, &[(Column::BackupPhone, "+19195550100")]).unwrap()));
        assert!(!lacks_data(&read(false, &[(Column::Phone, "+19195550100")]).unwrap()));
    }

    #[test]
    fn each_bad_field_is_named_with_its_rule_and_without_its_value() {
        for (column, value, part) in [
            (Column::Id, "", "is missing"),
            (Column::Id, "an n", "must be"),
            (Column::Audience, "", "is missing"),
            (Column::Audience, "a\u{1b}b", "without control characters"),
            (Column::Method, "carrier-pigeon", "must be voice, push or totp"),
            (Column::Phone, "0919-5550100", "E.164"),
            (Column::Phone, "19195550100", "--add-plus puts it back"),
            (Column::Phone, "1.91955E+10", "rounded"),
            (Column::Phone, "'+19195550100", "E.164"),
            (Column::PhoneKind, "fax-7", "must be mobile or office"),
            (Column::Verified, "maybe", "must be true or false"),
            (Column::BackupExtension, "41", "has no phone to belong to"),
            (Column::PinHash, "8250", "PHC string"),
            (
                Column::PinHash,
                "$2b$31$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "costs too much",
            ),
            (Column::PinHash, "fleet:AAAA", "another user"),
        ] {
            let phone = [(Column::Phone, "+19195550111")];
            let changes: Vec<_> = phone.into_iter().chain([(column, value)]).collect();
            let refusal = read(false, &changes).unwrap_err();
            assert_eq!(refusal.field, column.name(), "{value}");
            assert!(refusal.rule.contains(part), "{value}: {}", refusal.rule);
            // The example of the form is no value.
            let rule = refusal.rule.replace("such as +19195550100", "");
            assert!(value.is_empty() || value == "41" || !rule.contains(value), "{rule}");
        }
        let odd = read(false, &[(Column::Phone, "+19195550111"), (Column::Extension, "4x")]).unwrap_err();
        assert_eq!(odd.field, "extension");
    }

    #[test]
    fn a_plus_that_a_spreadsheet_ate_is_put_back_where_somebody_says_so() {
        let number = |add_plus, text| {
            read(add_plus, &[(Column::Phone, text)]).map(|user| user.phones[0].number.clone())
        };
        assert_eq!(number(true, "19195550100").unwrap().e164(), "+19195550100");
        assert_eq!(number(true, "+19195550100").unwrap().e164(), "+19195550100");
        assert!(number(true, "09195550100").is_err(), "no number begins with 0");
        assert!(number(true, "1.91955E+10").unwrap_err().rule.contains("rounded"));
    }
}
