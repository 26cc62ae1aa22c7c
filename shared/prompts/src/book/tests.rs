use std::collections::BTreeSet;

use fleet_domain::{Command, Policy, PortalName, Question, Reason};

use super::*;
use crate::speech::{LONGEST, speaking_time};

const MODES: [Question; 3] = [Question::Key, Question::Pin, Question::Number];

fn portal(title: &str, own_locale: &str, texts: &[(&str, &str, &str)]) -> Portal {
    let mut policy = Policy { locale: own_locale.into(), ..Policy::default() };
    for (locale, kind, text) in texts {
        let section = policy.prompt_texts.entry((*locale).into()).or_default();
        section.insert((*kind).into(), (*text).into());
    }
    Portal { name: PortalName::parse("vpn").unwrap(), title: title.into(), audiences: Vec::new(), policy }
}

/// Everything that is said in the built-in voices, with this title.
fn everything(title: &str) -> Vec<Prompt> {
    let portal = portal(title, "en-US", &[]);
    let locales = BUILT_IN.keys();
    locales
        .flat_map(|locale| Utterance::all().map(|said| say(said, locale, &portal)).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_kind_is_there_in_every_language() {
    for language in &LANGUAGES {
        let section = &BUILT_IN[language.code];
        let kinds: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(section.keys().map(String::as_str).collect::<BTreeSet<_>>(), kinds, "{}", language.code);
        assert!(BUILT_IN.contains_key(language.voice), "{}", language.code);
    }
    let codes: Vec<&str> = LANGUAGES.iter().map(|language| language.code).collect();
    assert!(BUILT_IN.keys().all(|locale| codes.contains(&&locale[..2])), "{:?}", BUILT_IN.keys());
}

#[test]
fn v11_what_is_built_in_passes_the_lint() {
    crate::lint::lint(&BUILT_IN).unwrap();
}

#[test]
fn v11_everything_is_said_within_20_seconds() {
    let longest_title = "The Very Long Name of an Organisation That Its Founders Did Not Think Over Twice";
    assert_eq!(longest_title.chars().count(), LONGEST_TITLE);
    for prompt in everything(longest_title) {
        let time = speaking_time(&prompt.sentences.join(" "));
        assert!(time <= LONGEST, "{time:?}: {prompt:?}");
    }
}

#[test]
fn nothing_that_is_said_has_a_brace_left() {
    for prompt in everything("Example") {
        for sentence in &prompt.sentences {
            assert!(!sentence.contains(['{', '}']) && sentence.ends_with('.'), "{sentence}");
        }
    }
}

#[test]
fn the_greeting_is_in_the_callers_words() {
    for (locale, language, key) in [
        ("en-US", "en-US", "the pound key"),
        ("en", "en-US", "the pound key"),
        ("en-gb", "en-GB", "the hash key"),
        ("en-JM", "en-US", "the pound key"),
        ("es", "es-US", "la tecla numeral"),
        ("es-ES", "es-ES", "la almohadilla"),
        ("es-CO", "es-US", "la tecla numeral"),
        ("de-DE", "en-US", "the pound key"),
        ("", "en-US", "the pound key"),
        ("é", "en-US", "the pound key"),
    ] {
        for mode in MODES {
            let prompt = say(Utterance::First(mode), locale, &portal("Example", "en-US", &[]));
            assert_eq!(prompt.language, language, "{locale}");
            assert!(prompt.sentences.iter().any(|sentence| sentence.contains(key)), "{prompt:?}");
        }
    }
    assert_eq!(
        say(Utterance::First(Question::Key), "en-US", &portal("Example University", "en-US", &[])).sentences,
        [
            "This is the sign-in call of Example University.",
            "Press the pound key to confirm.",
            "If it is not you who signs in, press 0, then the pound key."
        ]
    );
}

#[test]
fn v11_a_text_is_found_by_portal_and_locale_then_language_then_built_in_then_the_portals_locale() {
    let both = [
        ("es-MX", "greeting", "Hola de {organisation} en México."),
        ("es", "greeting", "Hola de {organisation}."),
        ("es", "ask_key", "Pulse {pound}."),
        ("en-GB", "pound", "the gate key"),
    ];
    let built_in = "Esta es la llamada de inicio de sesión de Example.";
    for (own_locale, texts, locale, voice, greeting, asked) in [
        ("en-US", &both[..], "es-MX", "es-MX", "Hola de Example en México.", "Pulse la tecla numeral."),
        ("en-US", &both, "es-mx", "es-MX", "Hola de Example en México.", "Pulse la tecla numeral."),
        ("en-US", &both, "es-ES", "es-ES", "Hola de Example.", "Pulse la almohadilla."),
        ("en-US", &both, "es-CO", "es-US", "Hola de Example.", "Pulse la tecla numeral."),
        ("en-US", &both[..1], "es-CO", "es-US", built_in, "Pulse la tecla numeral para confirmar."),
        ("es-MX", &both, "de-DE", "es-MX", "Hola de Example en México.", "Pulse la tecla numeral."),
        (
            "es-MX",
            &both,
            "en-GB",
            "en-GB",
            "This is the sign-in call of Example.",
            "Press the gate key to confirm.",
        ),
        (
            "fr-FR",
            &both,
            "de-DE",
            "en-US",
            "This is the sign-in call of Example.",
            "Press the pound key to confirm.",
        ),
    ] {
        let prompt = say(Utterance::First(Question::Key), locale, &portal("Example", own_locale, texts));
        assert_eq!(prompt.language, voice, "{locale}");
        assert_eq!(prompt.sentences[..2], [greeting, asked], "{locale}");
    }
}

#[test]
fn a_title_is_cut_and_cleaned_and_is_never_read_as_a_placeholder() {
    let greeting = |title: &str| {
        say(Utterance::First(Question::Key), "en-US", &portal(title, "en-US", &[])).sentences.swap_remove(0)
    };
    assert_eq!(greeting("A\u{0}\u{8}\nB\u{ffff}\u{85}"), "This is the sign-in call of AB.");
    assert_eq!(greeting("{pound} {organisation}"), "This is the sign-in call of {pound} {organisation}.");
    assert_eq!(greeting(&"x".repeat(1_000)), format!("This is the sign-in call of {}.", "x".repeat(80)));
}

#[test]
fn the_last_words_follow_the_reason() {
    let portal = portal("Example", "en-US", &[("en", "bye_over", "Adieu.")]);
    for (reason, words) in [
        (Reason::OkPin, "Thank you. You are confirmed. Goodbye."),
        (Reason::PinMismatch, "That was not your PIN. If this is you, please sign in again. Goodbye."),
        (Reason::CallerCanceled, "Adieu."),
    ] {
        assert_eq!(say(Utterance::Goodbye(reason), "en-GB", &portal).sentences, [words]);
    }
    let fraud = Utterance::Again(Question::Confirm(Command::ReportFraud));
    assert_eq!(say(fraud, "en", &portal).sentences.len(), 2);
}
