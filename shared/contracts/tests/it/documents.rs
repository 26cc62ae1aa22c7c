//! The files of this crate that are no code.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub(crate) fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

pub(crate) fn read(relative: &str) -> String {
    fs::read_to_string(path(relative)).unwrap_or_else(|e| panic!("{relative}: {e}"))
}

/// Name without extension, and content, of every JSON file of a folder.
pub(crate) fn folder(relative: &str) -> Vec<(String, Value)> {
    let mut files: Vec<PathBuf> = fs::read_dir(path(relative))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
    };
    files.into_iter().map(read).collect()
}

/// Finds the schemas that a schema refers to: by their names, in `schemas/`.
struct Schemas;

impl jsonschema::Retrieve for Schemas {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.path().as_str().trim_start_matches('/').to_owned();
        Ok(serde_json::from_str(&fs::read_to_string(path("schemas").join(name))?)?)
    }
}

/// A validator for a file of `schemas/`.
pub(crate) fn validator(file: &str) -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(&read(&format!("schemas/{file}"))).unwrap();
    jsonschema::options()
        .with_retriever(Schemas)
        .with_base_uri(format!("json-schema:///{file}"))
        .should_validate_formats(true)
        .build(&schema)
        .unwrap()
}
