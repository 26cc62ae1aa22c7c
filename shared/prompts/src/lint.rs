//! The lint: which of a portal's texts may be said, and what is wrong with the others.

use std::collections::BTreeMap;

use fleet_domain::PromptTexts;

use crate::book::{Found, Part, Shelf, built_in_locales, language_of, parts};
use crate::kind::{Kind, Placeholder};
use crate::speech::{LONGEST, LONGEST_TITLE, is_speakable, speaking_time};
use crate::utterance::Utterance;

/// A title as long as any that is spoken, in words of usual length.
const TITLE: &str = "The Very Long Name of an Organisation That Its Founders Did Not Think Over Twice";
const _: () = assert!(TITLE.len() == LONGEST_TITLE);
/// How much of a name that is wrong an error repeats, in characters.
const NAME_SHOWN: usize = 35;

/// What is wrong with a text. It never repeats the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("prompt_texts.{locale}{kind} {rule}", kind = kind.as_ref().map(|kind| format!(".{kind}")).unwrap_or_default())]
pub struct Complaint {
    /// The locale under which it stands.
    pub locale: String,
    /// Its kind; none where it is about the locale.
    pub kind: Option<String>,
    /// What it breaks.
    pub rule: Rule,
}

/// What a text can break.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// Nobody speaks it.
    #[error("must be a language that is spoken, with or without a region: en, es, en-GB, es-MX, …")]
    Locale,
    /// There is no such kind.
    #[error("is no kind of text; there are {}", Kind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", "))]
    Kind,
    /// Nothing to say.
    #[error("must say something")]
    Empty,
    /// Something that cannot be said.
    #[error("must be plain text on one line: no control characters, no markup (< or >)")]
    NotPlain,
    /// A brace that is no placeholder of its kind.
    #[error("may hold {} in braces and no other brace: nothing about the user, the number or the sign-in is said", allowed(*.0))]
    Placeholder(Kind),
    /// It takes too long.
    #[error("takes {seconds} s to say, with what is said before and after it; at most {} s are allowed", LONGEST.as_secs())]
    TooLong {
        /// How long.
        seconds: u64,
    },
}

fn allowed(kind: Kind) -> &'static str {
    match kind.may_hold() {
        [] => "nothing",
        [_, ..] => "organisation and pound",
    }
}

/// The first of the texts that may not be said.
pub fn lint(texts: &PromptTexts) -> Result<(), Complaint> {
    usable(texts.clone()).1.into_iter().next().map_or(Ok(()), Err)
}

/// The texts that may be said, and what is wrong with the others. A text that takes too long together with others goes
/// alone, the longest first.
#[must_use]
pub fn usable(texts: PromptTexts) -> (PromptTexts, Vec<Complaint>) {
    let mut complaints = Vec::new();
    let mut good = PromptTexts::new();
    for (locale, section) in texts {
        if !is_locale(&locale) {
            complaints.push(Complaint { locale: shown(&locale), kind: None, rule: Rule::Locale });
            continue;
        }
        let mut kept = BTreeMap::new();
        for (kind, text) in section {
            match check(&kind, &text) {
                Ok(()) => drop(kept.insert(kind, text)),
                Err(rule) => {
                    complaints.push(Complaint { locale: locale.clone(), kind: Some(shown(&kind)), rule });
                }
            }
        }
        good.insert(locale, kept);
    }
    while let Some(complaint) = too_long(&good) {
        let kind = complaint.kind.as_deref().unwrap_or_default();
        if good.get_mut(&complaint.locale).and_then(|section| section.remove(kind)).is_none() {
            break;
        }
        complaints.push(complaint);
    }
    (good, complaints)
}

/// A language that is spoken, or that with a region of two letters or three digits.
fn is_locale(locale: &str) -> bool {
    let is_region = |region: &str| match region.len() {
        2 => region.bytes().all(|b| b.is_ascii_uppercase()),
        3 => region.bytes().all(|b| b.is_ascii_digit()),
        _ => false,
    };
    let (code, region) = locale.split_once('-').map_or((locale, None), |(code, region)| (code, Some(region)));
    language_of(code).is_some_and(|language| language.code == code) && region.is_none_or(is_region)
}

/// A name as an error repeats it.
fn shown(name: &str) -> String {
    name.chars().take(NAME_SHOWN).map(|c| if is_speakable(c) { c } else { '?' }).collect()
}

/// What can be said of a text alone.
fn check(kind: &str, text: &str) -> Result<(), Rule> {
    let kind = Kind::parse(kind).ok_or(Rule::Kind)?;
    let alone = speaking_time(text);
    if alone > LONGEST {
        return Err(Rule::TooLong { seconds: alone.as_secs() });
    }
    if text.trim().is_empty() {
        return Err(Rule::Empty);
    }
    if !text.chars().all(|c| is_speakable(c) && !matches!(c, '<' | '>' | '\u{2028}' | '\u{2029}')) {
        return Err(Rule::NotPlain);
    }
    for part in parts(text) {
        let fits = match part {
            Part::Plain(plain) => !plain.contains(['{', '}']),
            Part::Braced(name) => {
                Placeholder::parse(name).is_some_and(|held| kind.may_hold().contains(&held))
            }
        };
        if !fits {
            return Err(Rule::Placeholder(kind));
        }
    }
    Ok(())
}

/// The longest of the portal's own texts in something that takes too long to say, in any locale.
fn too_long(own: &PromptTexts) -> Option<Complaint> {
    own.keys().find_map(|locale| {
        let code = language_of(locale)?.code;
        let mut spoken = vec![locale.as_str()];
        for voice in built_in_locales(code).filter(|_| locale == code) {
            spoken.push(voice);
        }
        spoken.into_iter().find_map(|spoken| too_long_in(own, spoken))
    })
}

fn too_long_in(own: &PromptTexts, spoken: &str) -> Option<Complaint> {
    let language = language_of(spoken)?;
    let shelf = Shelf::of(spoken, language, own);
    Utterance::all().find_map(|utterance| {
        let mut kinds = utterance.kinds();
        let said: Vec<String> = kinds.iter().map(|kind| shelf.fill(shelf.find(*kind).text, TITLE)).collect();
        let time = speaking_time(&said.join(" "));
        if time <= LONGEST {
            return None;
        }
        kinds.push(Kind::Pound);
        let own_text =
            |kind: &Kind| Some(shelf.find(*kind)).filter(|found| found.own).map(|Found { text, .. }| text);
        let (kind, text) = kinds
            .iter()
            .filter_map(|kind| Some((*kind, own_text(kind)?)))
            .max_by_key(|(_, text)| speaking_time(text))?;
        let locale = [spoken, language.code].into_iter().find(|name| {
            own.get(*name).and_then(|section| section.get(kind.as_str())).map(String::as_str) == Some(text)
        })?;
        let rule = Rule::TooLong { seconds: time.as_secs() + 1 };
        Some(Complaint { locale: locale.to_owned(), kind: Some(kind.as_str().to_owned()), rule })
    })
}

#[cfg(test)]
mod tests;
