//! The built-in texts, and which text is said: a portal's own or the built-in one, in which language.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use fleet_domain::{Portal, PromptTexts};

use crate::kind::{Kind, Placeholder};
use crate::speech::{LONGEST_TITLE, is_speakable};
use crate::utterance::Utterance;

/// Something to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The `language` attribute of `<Say>`, one of the carrier's list.
    pub language: &'static str,
    /// The texts in order, as plain text: they are yet to be escaped.
    pub sentences: Vec<String>,
}

/// A language that is spoken.
pub struct Language {
    /// Its code, the first part of its locales.
    pub code: &'static str,
    /// The voice of its locales that have none of their own.
    voice: &'static str,
    source: &'static str,
}

/// The languages that are spoken. The first is the last resort.
pub const LANGUAGES: [Language; 2] = [
    Language { code: "en", voice: "en-US", source: include_str!("../en.toml") },
    Language { code: "es", voice: "es-US", source: include_str!("../es.toml") },
];

static BUILT_IN: LazyLock<PromptTexts> = LazyLock::new(|| {
    let read = |language: &Language| {
        // Compiled in, and read by the test every_kind_is_there_in_every_language.
        toml::from_str::<PromptTexts>(language.source).unwrap_or_else(|_| unreachable!("it is TOML"))
    };
    LANGUAGES.iter().flat_map(read).collect()
});

/// The built-in locales of a language, beside the language itself.
pub(crate) fn built_in_locales(language: &str) -> impl Iterator<Item = &'static str> {
    BUILT_IN
        .keys()
        .map(String::as_str)
        .filter(move |locale| locale.split_once('-').is_some_and(|(of, _)| of == language))
}

/// The language of a locale, if it is spoken.
pub(crate) fn language_of(locale: &str) -> Option<&'static Language> {
    let code = locale.split('-').next().unwrap_or_default();
    LANGUAGES.iter().find(|language| language.code.eq_ignore_ascii_case(code))
}

/// The texts of a locale in the order in which they are asked.
pub(crate) struct Shelf<'a> {
    sections: [Option<&'a BTreeMap<String, String>>; 4],
    voice: &'static str,
}

/// A text, and whether it is the portal's own.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) text: &'a str,
    pub(crate) own: bool,
}

impl<'a> Shelf<'a> {
    pub(crate) fn of(locale: &str, language: &Language, own: &'a PromptTexts) -> Self {
        let built_in: &'a PromptTexts = &BUILT_IN;
        let section = |texts: &'a PromptTexts, name: &str| {
            texts.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, section)| section)
        };
        let voice = built_in_locales(language.code).find(|known| known.eq_ignore_ascii_case(locale));
        Self {
            sections: [
                section(own, locale),
                section(own, language.code),
                section(built_in, locale),
                section(built_in, language.code),
            ],
            voice: voice.unwrap_or(language.voice),
        }
    }

    pub(crate) fn find(&self, kind: Kind) -> Found<'a> {
        let mut with_place = self.sections.iter().enumerate();
        let found = with_place.find_map(|(place, section)| Some((place, (*section)?.get(kind.as_str())?)));
        // The built-in language has every kind.
        found.map_or(Found { text: "", own: false }, |(place, text)| Found { text, own: place < 2 })
    }

    /// The text with its placeholders filled in, without what cannot be said.
    pub(crate) fn fill(&self, text: &str, organisation: &str) -> String {
        let mut filled = String::with_capacity(text.len() + organisation.len());
        for part in parts(text) {
            match part {
                Part::Plain(plain) => filled.push_str(plain),
                Part::Braced(name) => match Placeholder::parse(name) {
                    Some(Placeholder::Organisation) => {
                        filled.extend(organisation.chars().take(LONGEST_TITLE));
                    }
                    Some(Placeholder::Pound) => filled.push_str(self.find(Kind::Pound).text),
                    None => {}
                },
            }
        }
        filled.retain(is_speakable);
        filled
    }
}

/// What a call of this portal says to somebody with this locale.
///
/// The language is that of the locale; where it is not spoken, that of the portal's own locale; else English. Within it each
/// text is the portal's for the locale, the portal's for the language, the built-in one for the locale, the built-in one
/// for the language: the first that there is.
#[must_use]
pub fn say(utterance: Utterance, locale: &str, portal: &Portal) -> Prompt {
    let spoken = [locale, &portal.policy.locale]
        .into_iter()
        .find_map(|l| language_of(l).map(|language| (l, language)));
    let (locale, language) = spoken.unwrap_or((LANGUAGES[0].code, &LANGUAGES[0]));
    let shelf = Shelf::of(locale, language, &portal.policy.prompt_texts);
    let sentences =
        utterance.kinds().into_iter().map(|kind| shelf.fill(shelf.find(kind).text, &portal.title));
    Prompt { language: shelf.voice, sentences: sentences.collect() }
}

/// The built-in text of a kind, for the reference.
#[must_use]
pub fn text(language: &Language, kind: Kind) -> &'static str {
    static NONE: PromptTexts = PromptTexts::new();
    Shelf::of(language.code, language, &NONE).find(kind).text
}

/// A part of a text.
pub(crate) enum Part<'a> {
    Plain(&'a str),
    /// What stands between braces.
    Braced(&'a str),
}

/// The parts of a text. A brace without its other half is plain.
pub(crate) fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some(open) = rest.strip_prefix('{')
            && let Some((name, after)) = open.split_once('}')
        {
            rest = after;
            return Some(Part::Braced(name));
        }
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let end = rest[first..].find('{').map_or(rest.len(), |at| first + at);
        let (plain, after) = rest.split_at(end);
        rest = after;
        Some(Part::Plain(plain))
    })
}

#[cfg(test)]
mod tests;
