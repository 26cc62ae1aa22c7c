//! Users to a file, in the form in which an import reads them.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use fleet_domain::{Extension, PhoneRole};
use fleet_keys::Keys;
use fleet_records::BulkUser;
use serde_json::{Map, Value};

use super::columns::Column;
use super::format::Format;

/// A file that comes to its name only when it is whole. Only its owner may read it: it has numbers and hashes.
pub(crate) struct Writer {
    path: PathBuf,
    unfinished: PathBuf,
    form: Form,
}

enum Form {
    Csv(Box<csv::Writer<File>>),
    Jsonl(BufWriter<File>),
}

impl Writer {
    pub(crate) fn create(path: &Path, format: Format) -> io::Result<Self> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        // One that was left lying around may be open to others: it makes room for a new one.
        if unfinished.exists() {
            std::fs::remove_file(&unfinished)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&unfinished)?;
        let form = match format {
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(file);
                csv.write_record(Column::ALL.map(Column::name))?;
                Form::Csv(Box::new(csv))
            }
            Format::Jsonl => Form::Jsonl(BufWriter::new(file)),
        };
        Ok(Self { path: path.to_owned(), unfinished, form })
    }

    /// Writes a user; says whether everything of it could be written: a PIN of another master key cannot.
    pub(crate) fn add(&mut self, keys: &Keys, user: &BulkUser) -> io::Result<bool> {
        let pin = user.pin.as_ref().map(|pin| keys.exported_pin(user.id.as_str(), pin));
        let is_whole = !matches!(pin, Some(None));
        let pin = pin.flatten();
        let value = |column: Column| value(user, column, pin.as_ref().map_or("", |pin| pin.as_str()));
        match &mut self.form {
            Form::Csv(csv) => csv.write_record(Column::ALL.map(value))?,
            Form::Jsonl(out) => {
                let members = Column::ALL.map(|column| (column, value(column)));
                let members = members.into_iter().filter(|(_, value)| !value.is_empty());
                let members: Map<String, Value> = members
                    .map(|(column, value)| {
                        let value = match (column, value) {
                            (Column::Verified | Column::BackupVerified, "true") => Value::Bool(true),
                            (Column::Verified | Column::BackupVerified, _) => Value::Bool(false),
                            (_, text) => Value::String(text.to_owned()),
                        };
                        (column.name().to_owned(), value)
                    })
                    .collect();
                serde_json::to_writer(&mut *out, &members)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(is_whole)
    }

    /// Gives the file its name.
    pub(crate) fn finish(self) -> io::Result<()> {
        let file = match self.form {
            Form::Csv(csv) => csv.into_inner().map_err(|error| io::Error::other(error.to_string()))?,
            Form::Jsonl(out) => out.into_inner().map_err(io::IntoInnerError::into_error)?,
        };
        file.sync_all()?;
        std::fs::rename(&self.unfinished, &self.path)
    }
}

fn value<'a>(user: &'a BulkUser, column: Column, pin: &'a str) -> &'a str {
    let phone = |role| user.phones.iter().find(|phone| phone.role == role);
    let (primary, backup) = (phone(PhoneRole::Primary), phone(PhoneRole::Backup));
    let yes_or_no = |verified: bool| if verified { "true" } else { "false" };
    match column {
        Column::Id => user.id.as_str(),
        Column::Audience => &user.audience,
        Column::Method => user.method.as_str(),
        Column::Phone => primary.map_or("", |phone| phone.number.e164()),
        Column::Extension => primary.and_then(|phone| phone.extension.as_ref()).map_or("", Extension::as_str),
        Column::PhoneKind => primary.map_or("", |phone| phone.kind.as_str()),
        Column::Verified => primary.map_or("", |phone| yes_or_no(phone.verified)),
        Column::BackupPhone => backup.map_or("", |phone| phone.number.e164()),
        Column::BackupExtension => {
            backup.and_then(|phone| phone.extension.as_ref()).map_or("", Extension::as_str)
        }
        Column::BackupKind => backup.map_or("", |phone| phone.kind.as_str()),
        Column::BackupVerified => backup.map_or("", |phone| yes_or_no(phone.verified)),
        Column::PinHash => pin,
    }
}
