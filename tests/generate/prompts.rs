//! The reference of prompts: every kind, when it is said, and what it says where a portal says nothing else.

use std::fmt::Write as _;

use fleet_prompts::{Kind, LANGUAGES, LONGEST, LONGEST_TITLE, speaking_time, text};

pub(crate) fn reference() -> anyhow::Result<String> {
    let mut page = format!(
        "# Prompts\n\n\
         Generated from `shared/prompts`; do not edit. What calls say, by kind, and about how long that takes. A portal changes\n\
         it by `prompt_texts` in its policy; [fleet-prompts](../../shared/prompts/README.md) says which text is said, and the rules.\n\
         `{{organisation}}` is the portal's title, at most {LONGEST_TITLE} characters of it. What is said in one go takes at most\n\
         {} s.\n",
        LONGEST.as_secs()
    );
    for language in &LANGUAGES {
        write!(page, "\n## {}\n\n| kind | when | says | s |\n|---|---|---|---:|\n", language.code)?;
        for kind in Kind::ALL {
            let said = text(language, *kind);
            let (name, meaning, time) = (kind.as_str(), kind.meaning(), speaking_time(said).as_secs_f64());
            writeln!(page, "| `{name}` | {meaning} | {said} | {time:.1} |")?;
        }
    }
    Ok(page)
}
