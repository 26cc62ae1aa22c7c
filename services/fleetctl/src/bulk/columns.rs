//! The fields of a user in a file, whatever its format.

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Column {
    Id,
    Audience,
    Method,
    Phone,
    Extension,
    PhoneKind,
    Verified,
    BackupPhone,
    BackupExtension,
    BackupKind,
    BackupVerified,
    PinHash,
}

impl Column {
    /// All, in the order in which an export has them.
    pub(crate) const ALL: [Self; 12] = [
        Self::Id,
        Self::Audience,
        Self::Method,
        Self::Phone,
        Self::Extension,
        Self::PhoneKind,
        Self::Verified,
        Self::BackupPhone,
        Self::BackupExtension,
        Self::BackupKind,
        Self::BackupVerified,
        Self::PinHash,
    ];

    /// Those without which there is no user.
    pub(crate) const NEEDED: [Self; 3] = [Self::Id, Self::Audience, Self::Method];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Audience => "audience",
            Self::Method => "method",
            Self::Phone => "phone",
            Self::Extension => "extension",
            Self::PhoneKind => "phone_kind",
            Self::Verified => "verified",
            Self::BackupPhone => "backup_phone",
            Self::BackupExtension => "backup_extension",
            Self::BackupKind => "backup_kind",
            Self::BackupVerified => "backup_verified",
            Self::PinHash => "pin_hash",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    /// The names of all, for errors.
    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

/// The values of one line. An empty one is as good as none. Not printed: it has numbers and hashes.
#[derive(Default)]
pub(crate) struct Record([Option<String>; 12]);

impl Record {
    pub(crate) fn set(&mut self, column: Column, value: &str) {
        let value = value.trim_matches([' ', '\t']);
        self.0[column as usize] = (!value.is_empty()).then(|| value.to_owned());
    }

    pub(crate) fn get(&self, column: Column) -> Option<&str> {
        self.0[column as usize].as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_has_its_own_place_and_its_name_leads_back() {
        let mut record = Record::default();
        for (at, column) in Column::ALL.into_iter().enumerate() {
            assert_eq!(Column::parse(column.name()), Some(column));
            record.set(column, &format!(" {at}\t"));
        }
        for (at, column) in Column::ALL.into_iter().enumerate() {
            assert_eq!(record.get(column), Some(at.to_string().as_str()));
        }
        record.set(Column::Phone, "  ");
        assert_eq!(record.get(Column::Phone), None);
        assert_eq!(Column::parse("ID"), None);
    }
}
