//! How far an import has come, in a file beside the imported one, so that a killed import goes on where it stopped.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::format::Format;

/// How much of the beginning is looked at to know the file again.
const HEAD: u64 = 64 * 1024;

/// The file as it was when the import began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    size: u64,
    modified_ns: u64,
    head: String,
}

impl Fingerprint {
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        let mut head = Vec::new();
        file.take(HEAD).read_to_end(&mut head)?;
        let since = facts.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            size: facts.len(),
            modified_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            head: fleet_keys::sha256_hex(&head),
        })
    }

    pub(crate) const fn size(&self) -> u64 {
        self.size
    }
}

/// What has been counted since the first line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) added: u64,
    pub(crate) updated: u64,
    pub(crate) kept: u64,
    pub(crate) refused: u64,
    /// Of those that are good: users who are still to be asked for what their method needs.
    pub(crate) pending: u64,
}

/// How the lines are read and what becomes of users that are there: the same from the first line to the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manner {
    pub(crate) format: Format,
    pub(crate) update: bool,
    pub(crate) add_plus: bool,
}

/// Everything before this place is committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) file: Fingerprint,
    pub(crate) manner: Manner,
    /// What tells this import from others of the same file in the audit.
    pub(crate) run: String,
    /// Lines that are done, and where the next one begins.
    pub(crate) line: u64,
    pub(crate) offset: u64,
    /// How long the list of refused lines was.
    pub(crate) rejects_bytes: u64,
    pub(crate) counts: Counts,
}

/// Where the checkpoint of a file stands.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".checkpoint");
    PathBuf::from(name)
}

impl Checkpoint {
    /// Reads the checkpoint of a file; none where there is none. An error is a clause on the checkpoint's file.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, String> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot be read: {error}")),
        };
        let read = serde_json::from_slice(&text).map(Some);
        read.map_err(|_| "is no checkpoint of this version: remove it to begin again".to_owned())
    }

    /// Takes the place of the one before in one step: whoever is killed leaves one or the other.
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_data()?;
        fs::rename(&new, path)
    }
}
