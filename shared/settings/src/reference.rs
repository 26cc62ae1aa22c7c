//! The table of all settings, made from the commented defaults.

use std::fmt::Write;

use crate::{
    fragment::{self, Declared},
    names,
};

/// A Markdown table of every setting: its name, default, environment variable and meaning.
/// Defaults that cannot be read give the text of their error; `Settings::load` refuses them.
pub fn reference(defaults: &[&str]) -> String {
    let declared = match fragment::read(defaults) {
        Ok(declared) => declared,
        Err(error) => return error.to_string(),
    };
    let mut table = "| Setting | Default | Environment variable | Meaning |\n|---|---|---|---|\n".to_owned();
    for Declared { section, key, default, comment } in declared {
        let alias = names::alias_of(&section, &key).map(|alias| format!(", `{alias}`")).unwrap_or_default();
        let variable = names::variable(&section, &key);
        let default = cell(&default.to_string());
        // Writing to a String cannot fail.
        let _ =
            writeln!(table, "| `{section}.{key}` | `{default}` | `{variable}`{alias} | {} |", cell(&comment));
    }
    table
}

/// The settings without a comment. For the test of each crate that has settings.
pub fn undocumented(defaults: &[&str]) -> Vec<String> {
    match fragment::read(defaults) {
        Ok(declared) => declared
            .into_iter()
            .filter(|setting| setting.comment.is_empty())
            .map(|setting| format!("{}.{}", setting.section, setting.key))
            .collect(),
        Err(error) => vec![error.to_string()],
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
