//! The list of refused lines: number, field and rule as CSV. No value of a line is ever in it.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Refusal;

/// A list that begins with its first line, so that an import without one leaves no file.
pub(crate) struct Rejects {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
}

impl Rejects {
    /// Begins anew, or goes on after so many bytes: what was written later was not committed.
    pub(crate) fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        let mut rejects = Self { path: path.to_owned(), file: None, bytes: 0 };
        if bytes > 0 {
            let mut file = OpenOptions::new().write(true).open(path)?;
            let bytes = bytes.min(file.metadata()?.len());
            file.set_len(bytes)?;
            file.seek(SeekFrom::End(0))?;
            rejects.file = Some(file);
            rejects.bytes = bytes;
        } else if path.exists() {
            std::fs::remove_file(path)?;
        }
        Ok(rejects)
    }

    pub(crate) fn add(&mut self, line: u64, refusal: &Refusal) -> io::Result<()> {
        let mut row = csv::Writer::from_writer(Vec::new());
        if self.file.is_none() {
            row.write_record(["line", "field", "rule"])?;
        }
        row.write_record([line.to_string().as_str(), refusal.field, &refusal.rule])?;
        let row = row.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(File::create(&self.path)?),
        };
        file.write_all(&row)?;
        self.bytes += row.len() as u64;
        Ok(())
    }

    /// How long the list is.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}
