//! A `settings.toml` of a crate: sections, keys, defaults, and the comments above them.

use toml::Value;

use crate::SettingsError;

/// One setting of a fragment.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) section: String,
    pub(crate) key: String,
    pub(crate) default: Value,
    /// The comment lines right above the key, joined; empty if there are none.
    pub(crate) comment: String,
}

/// Reads all fragments, in the order in which their settings are written.
pub(crate) fn read(fragments: &[&str]) -> Result<Vec<Declared>, SettingsError> {
    let mut all: Vec<Declared> = Vec::new();
    for fragment in fragments {
        for declared in read_one(fragment)? {
            if all.iter().any(|other| (&other.section, &other.key) == (&declared.section, &declared.key)) {
                return Err(mistake(format!("{}.{} is declared twice", declared.section, declared.key)));
            }
            all.push(declared);
        }
    }
    Ok(all)
}

fn read_one(fragment: &str) -> Result<Vec<Declared>, SettingsError> {
    let table: toml::Table = toml::from_str(fragment).map_err(|error| mistake(error.message().to_owned()))?;
    let mut settings = Vec::new();
    for (section, keys) in table {
        let Value::Table(keys) = keys else {
            return Err(mistake(format!("{section} stands outside a section")));
        };
        for (key, default) in keys {
            let comment = comment_above(fragment, &section, &key);
            settings.push(Declared { section: section.clone(), key, default, comment });
        }
    }
    let position = |declared: &Declared| key_line(fragment, &declared.section, &declared.key);
    settings.sort_by_key(position);
    Ok(settings)
}

fn mistake(problem: String) -> SettingsError {
    SettingsError::Defaults { problem }
}

/// The number of the line `key = …` within `[section]`.
fn key_line(fragment: &str, section: &str, key: &str) -> Option<usize> {
    let mut in_section = false;
    fragment.lines().position(|line| {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            in_section = header.trim() == section;
        }
        in_section && line.split_once('=').is_some_and(|(name, _)| name.trim() == key)
    })
}

fn comment_above(fragment: &str, section: &str, key: &str) -> String {
    let Some(position) = key_line(fragment, section, key) else { return String::new() };
    let lines: Vec<&str> = fragment.lines().take(position).collect();
    let comments = lines.iter().rev().map_while(|line| line.trim().strip_prefix('#'));
    let mut words: Vec<&str> = comments.map(str::trim).collect();
    words.reverse();
    words.join(" ")
}
