//! Reading the TOML files that people write, with mistakes named by file and line.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::Error;

/// Reads a file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|error| mistake(path, format!("cannot be read: {error}")))?;
    parse(path, &text)
}

/// Reads the text of a file.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Error> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        mistake(path, format!("line {}: {}", before.matches('\n').count() + 1, error.message()))
    })
}

/// A mistake in a file.
pub(crate) fn mistake(path: &Path, problem: String) -> Error {
    Error::File { path: path.to_owned(), problem }
}
