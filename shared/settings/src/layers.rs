//! Defaults, file and environment laid over each other.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use toml::Value;

use crate::{
    NotAllowed, SettingsError,
    error::Origin,
    fragment,
    names::{self, SETTINGS_FILE, Variable},
    section,
};

/// A value and where it came from. No `Debug`: the value may be a secret.
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
    /// Its kind decides how a variable of the environment is read.
    default: Value,
}

impl Setting {
    fn set_from(&mut self, variable: String, text: &str) {
        self.value = from_environment(text, &self.default);
        self.origin = Origin::Environment(variable);
    }
}

/// All settings of a service.
pub struct Settings {
    sections: BTreeMap<String, BTreeMap<String, Setting>>,
}

impl fmt::Debug for Settings {
    /// Names and origins; never a value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (section, keys) in &self.sections {
            for (key, setting) in keys {
                map.entry(&format_args!("{section}.{key}"), &format_args!("{}", setting.origin));
            }
        }
        map.finish()
    }
}

impl Settings {
    /// Reads the defaults, the file that `FLEET_CONFIG` names, and the environment of this process.
    pub fn load(defaults: &[&str]) -> Result<Self, SettingsError> {
        let file = match env::var_os(SETTINGS_FILE) {
            Some(path) => {
                let path = PathBuf::from(path);
                match std::fs::read_to_string(&path) {
                    Ok(text) => Some((path, text)),
                    Err(source) => return Err(SettingsError::File { path, source }),
                }
            }
            None => None,
        };
        let environment = env::vars_os().filter_map(utf8).collect::<Result<Vec<_>, _>>()?;
        let file = file.as_ref().map(|(path, text)| (path.as_path(), text.as_str()));
        Self::lay(defaults, file, environment.into_iter())
    }

    /// The same from given texts: `file` is the content of a settings file, not its name.
    pub fn load_from(
        defaults: &[&str],
        file: Option<&str>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        Self::lay(defaults, file.map(|text| (Path::new("settings.toml"), text)), env)
    }

    /// One section as its crate's struct. Values of the form `file:/path` are read here.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, SettingsError> {
        let Some(keys) = self.sections.get(name) else {
            return Err(SettingsError::Defaults { problem: format!("no section [{name}]") });
        };
        section::deserialize(name, keys)
    }

    /// A crate's refusal of a value, with the place where the value came from.
    pub fn refuse(&self, not_allowed: &NotAllowed) -> SettingsError {
        let setting = not_allowed.setting.split_once('.');
        let found = setting.and_then(|(section, key)| self.sections.get(section)?.get(key));
        SettingsError::Value {
            setting: not_allowed.setting.to_owned(),
            origin: found.map_or(Origin::Default, |setting| setting.origin.clone()).to_string(),
            problem: format!("allowed is {}", not_allowed.allowed),
        }
    }

    fn lay(
        defaults: &[&str],
        file: Option<(&Path, &str)>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut settings = Self { sections: BTreeMap::new() };
        for declared in fragment::read(defaults)? {
            let value = declared.default.clone();
            let setting = Setting { value, origin: Origin::Default, default: declared.default };
            settings.sections.entry(declared.section).or_default().insert(declared.key, setting);
        }
        if let Some((path, text)) = file {
            settings.lay_file(path, text)?;
        }
        // Aliases first: the variable that names the setting wins.
        let (aliases, named): (Vec<_>, Vec<_>) =
            environment.partition(|(variable, _)| names::aliased(variable).is_some());
        for (variable, text) in aliases.into_iter().chain(named) {
            settings.lay_variable(variable, &text)?;
        }
        Ok(settings)
    }

    fn lay_file(&mut self, path: &Path, text: &str) -> Result<(), SettingsError> {
        let table: toml::Table = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            SettingsError::Syntax {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                problem: error.message().to_owned(),
            }
        })?;
        for (section, keys) in table {
            let Value::Table(keys) = keys else {
                return Err(self.unknown(section, &Origin::File(path.to_owned())));
            };
            for (key, value) in keys {
                let origin = Origin::File(path.to_owned());
                match self.known(&section, &key) {
                    Some(setting) => (setting.value, setting.origin) = (value, origin),
                    None => return Err(self.unknown(format!("{section}.{key}"), &origin)),
                }
            }
        }
        Ok(())
    }

    fn lay_variable(&mut self, variable: String, text: &str) -> Result<(), SettingsError> {
        if let Some((section, key)) = names::aliased(&variable) {
            // Others may read the same variable, so it is no mistake that this service does not.
            if let Some(setting) = self.known(section, key) {
                setting.set_from(variable, text);
            }
            return Ok(());
        }
        match Variable::of(&variable) {
            Variable::Foreign => Ok(()),
            Variable::WithoutSection(name) => self.refuse_missing_underscore(variable, &name),
            Variable::Sets(section, key) => match self.known(&section, &key) {
                Some(setting) => {
                    setting.set_from(variable, text);
                    Ok(())
                }
                None => Err(self.unknown(format!("{section}.{key}"), &Origin::Environment(variable))),
            },
        }
    }

    fn known(&mut self, section: &str, key: &str) -> Option<&mut Setting> {
        self.sections.get_mut(section)?.get_mut(key)
    }

    fn refuse_missing_underscore(&self, variable: String, name: &str) -> Result<(), SettingsError> {
        let meant = self.names().find(|(section, key)| format!("{section}_{key}") == name);
        let Some((section, key)) = meant else { return Ok(()) };
        Err(SettingsError::Unknown {
            setting: variable,
            origin: "environment".to_owned(),
            nearest: Some(names::variable(section, key)),
        })
    }

    fn unknown(&self, setting: String, origin: &Origin) -> SettingsError {
        let known: Vec<String> = self.names().map(|(section, key)| format!("{section}.{key}")).collect();
        let nearest = names::nearest(&setting, known.iter().map(String::as_str)).map(|name| match origin {
            Origin::Environment(_) => {
                name.split_once('.').map_or_else(String::new, |(section, key)| names::variable(section, key))
            }
            Origin::Default | Origin::File(_) => name.to_owned(),
        });
        SettingsError::Unknown { setting, origin: origin.to_string(), nearest }
    }

    fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sections
            .iter()
            .flat_map(|(section, keys)| keys.keys().map(move |key| (section.as_str(), key.as_str())))
    }
}

/// The text of a variable as a value of the same kind as the default. Wrong kinds are reported by `section`.
fn from_environment(text: &str, default: &Value) -> Value {
    match default {
        // A password of digits is still a text.
        Value::String(_) => Value::String(text.to_owned()),
        Value::Array(known) if !text.trim_start().starts_with('[') => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            // Phone numbers would be TOML integers, so items are texts unless the default says otherwise.
            let texts = known.first().is_none_or(Value::is_str);
            let item = |item: &str| if texts { Value::String(item.to_owned()) } else { scalar(item) };
            Value::Array(items.map(item).collect())
        }
        Value::Array(_)
        | Value::Table(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_) => scalar(text),
    }
}

fn scalar(text: &str) -> Value {
    text.trim().parse::<Value>().unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Variables with foreign names may hold anything; ours must be text.
fn utf8((name, value): (OsString, OsString)) -> Option<Result<(String, String), SettingsError>> {
    let name = name.into_string().ok()?;
    match value.into_string() {
        Ok(value) => Some(Ok((name, value))),
        Err(_) if names::aliased(&name).is_none() && Variable::of(&name) == Variable::Foreign => None,
        Err(_) => Some(Err(SettingsError::Value {
            setting: name,
            origin: "environment".to_owned(),
            problem: "the value is not UTF-8".to_owned(),
        })),
    }
}
