//! Values of the form `file:/run/secrets/x`, replaced by the content of the file.

use std::path::PathBuf;

use toml::Value;

use crate::{SettingsError, layers::Setting};

const FORM: &str = "file:";

/// The value with its files read. `name` is the setting's, for the error.
pub(crate) fn resolve(name: &str, setting: &Setting) -> Result<Value, SettingsError> {
    match &setting.value {
        Value::String(text) => match text.strip_prefix(FORM) {
            Some(path) => Ok(Value::String(read(name, setting, path)?)),
            None => Ok(Value::String(text.clone())),
        },
        Value::Array(items) => {
            let mut resolved = Vec::with_capacity(items.len());
            for item in items {
                match item.as_str().and_then(|text| text.strip_prefix(FORM)) {
                    Some(path) => {
                        let content = read(name, setting, path)?;
                        resolved.extend(content.split(',').map(|text| Value::String(text.trim().to_owned())));
                    }
                    None => resolved.push(item.clone()),
                }
            }
            Ok(Value::Array(resolved))
        }
        Value::Table(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
            Ok(setting.value.clone())
        }
    }
}

fn read(name: &str, setting: &Setting, path: &str) -> Result<String, SettingsError> {
    let content = std::fs::read_to_string(path).map_err(|source| SettingsError::SecretFile {
        setting: name.to_owned(),
        origin: setting.origin.to_string(),
        path: PathBuf::from(path),
        source,
    })?;
    match content.trim() {
        "" => Err(SettingsError::Value {
            setting: name.to_owned(),
            origin: setting.origin.to_string(),
            problem: format!("{path} is empty"),
        }),
        text => Ok(text.to_owned()),
    }
}
