//! What can be wrong with settings, each as one line for people. No error holds a value.

use std::{fmt, io, path::PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// The `settings.toml` of a crate.
    Default,
    /// The settings file.
    File(PathBuf),
    /// The environment variable of this name.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("its default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
        }
    }
}

/// A value that its type accepts and its crate does not.
#[derive(Clone, Debug, thiserror::Error, Eq, PartialEq)]
#[error("{setting}: allowed is {allowed}")]
pub struct NotAllowed {
    /// The setting, such as `broker.prefetch`.
    pub setting: &'static str,
    /// What is allowed, such as "1 to 1000".
    pub allowed: String,
}

impl NotAllowed {
    /// Names the setting and what is allowed instead.
    pub fn new(setting: &'static str, allowed: impl Into<String>) -> Self {
        Self { setting, allowed: allowed.into() }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// No crate of this service has the setting.
    #[error("{setting} ({origin}): no such setting{}", did_you_mean(nearest.as_deref()))]
    Unknown {
        /// The setting as it was written.
        setting: String,
        /// Where it came from.
        origin: String,
        /// The known setting whose name is nearest, written as the origin writes it, if one is near.
        nearest: Option<String>,
    },
    /// The value has the wrong type or range.
    #[error("{setting} ({origin}): {problem}")]
    Value {
        /// The setting.
        setting: String,
        /// Where its value came from.
        origin: String,
        /// What is allowed, or what is wrong.
        problem: String,
    },
    /// The file that holds the value of a setting cannot be read.
    #[error("{setting} ({origin}): cannot read {}: {source}", path.display())]
    SecretFile {
        /// The setting.
        setting: String,
        /// Where the name of the file came from.
        origin: String,
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// The settings file cannot be read.
    #[error("FLEET_CONFIG: cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// The settings file is not TOML with one level of sections.
    #[error("{}, line {line}: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line of the mistake, counted from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// The compiled-in defaults are wrong, which is a mistake of the program.
    #[error("built-in defaults: {problem}")]
    Defaults {
        /// What is wrong with them.
        problem: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}
