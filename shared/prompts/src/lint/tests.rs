use super::*;

fn texts(entries: &[(&str, &str, &str)]) -> PromptTexts {
    let mut texts = PromptTexts::new();
    for (locale, kind, text) in entries {
        texts.entry((*locale).into()).or_default().insert((*kind).into(), (*text).into());
    }
    texts
}

/// What the lint says of one text.
fn said_of(locale: &str, kind: &str, text: &str) -> String {
    lint(&texts(&[(locale, kind, text)]))
        .map_or_else(|complaint| complaint.to_string(), |()| "fine".to_owned())
}

#[test]
fn v11_a_text_that_breaks_a_rule_is_named_with_locale_kind_and_rule() {
    let long = "palabra ".repeat(60);
    let huge = "x".repeat(64 * 1024);
    for (locale, kind, text, expected) in [
        ("es-MX", "greeting", "Hola, le llama {organisation}.", "fine"),
        ("en", "ask_key", "Smith & Sons ask for {pound}. ]]&lt;", "fine"),
        ("es-419", "pound", "la tecla gato", "fine"),
        ("fr-FR", "greeting", "Bonjour.", "prompt_texts.fr-FR must be a language that is spoken"),
        ("es_MX", "greeting", "Hola.", "prompt_texts.es_MX must be a language that is spoken"),
        ("ES-mx", "greeting", "Hola.", "prompt_texts.ES-mx must be a language that is spoken"),
        ("es-MX\n", "greeting", "Hola.", "prompt_texts.es-MX? must be a language that is spoken"),
        (
            "en",
            "greting",
            "Hello.",
            "prompt_texts.en.greting is no kind of text; there are pound, greeting, ask_key,",
        ),
        ("en", "greeting", " ", "prompt_texts.en.greeting must say something"),
        ("en", "greeting", "Hello\u{0}.", "prompt_texts.en.greeting must be plain text"),
        ("en", "greeting", "Hello\nyou.", "prompt_texts.en.greeting must be plain text"),
        ("en", "greeting", "Hello\u{ffff}.", "prompt_texts.en.greeting must be plain text"),
        ("en", "greeting", "]]><Dial>+19005550100</Dial>", "prompt_texts.en.greeting must be plain text"),
        ("en", "sorry", "Wait <break time=\"1s\"/>.", "prompt_texts.en.sorry must be plain text"),
        ("en", "pound", "{pound}", "prompt_texts.en.pound may hold nothing in braces"),
        (
            "en",
            "greeting",
            "Hello {organisation",
            "prompt_texts.en.greeting may hold organisation and pound in braces",
        ),
        ("en", "greeting", "Hello }", "prompt_texts.en.greeting may hold organisation and pound in braces"),
        (
            "en",
            "greeting",
            "{{organisation}}",
            "prompt_texts.en.greeting may hold organisation and pound in braces",
        ),
        ("es-MX", "greeting", &long, "prompt_texts.es-MX.greeting takes 32 s to say"),
        ("en", "bye_over", &huge, "prompt_texts.en.bye_over takes 4369 s to say"),
    ] {
        let found = said_of(locale, kind, text);
        assert!(found.starts_with(expected), "{found}\n{expected}");
        assert!(
            found == "fine" || text.len() < 20 || !found.contains(text),
            "the text is not repeated: {found}"
        );
        assert!(found.len() < 500, "{found}");
    }
}

#[test]
fn v4_nothing_about_the_user_the_number_or_the_sign_in_can_be_said() {
    for kind in Kind::ALL {
        for secret in ["user", "number", "code", "pin", "application", "client_ip", "place", "challenge", ""]
        {
            let found = said_of("en", kind.as_str(), &format!("This is {{{secret}}}."));
            assert!(found.contains(" in braces and no other brace"), "{kind:?} {secret}: {found}");
        }
    }
}

#[test]
fn v11_the_time_counts_what_is_said_with_a_text_in_every_voice_of_its_language() {
    // 16 s alone, and the built-in words come to that.
    let long = texts(&[("en", "greeting", &format!("{}.", "word ".repeat(38)))]);
    assert_eq!(
        lint(&long).unwrap_err().to_string().split(';').next(),
        Some("prompt_texts.en.greeting takes 25 s to say, with what is said before and after it")
    );
    // Of several texts that are too long together the longest is at fault, under the locale where it stands.
    let both = texts(&[
        ("es", "offer_fraud", &format!("{}.", "voz ".repeat(10))),
        ("es-MX", "greeting", &format!("{}.", "voz ".repeat(34))),
    ]);
    let (kept, complaints) = usable(both);
    let named: Vec<_> = complaints.iter().map(|c| (c.locale.as_str(), c.kind.as_deref())).collect();
    assert_eq!(named, [("es-MX", Some("greeting"))]);
    assert!(kept["es"].contains_key("offer_fraud") && kept["es-MX"].is_empty());
    // How the key is called is said again and again.
    let (_, complaints) = usable(texts(&[("en-GB", "pound", &"key ".repeat(40))]));
    assert_eq!(complaints[0].kind.as_deref(), Some("pound"));
}

#[test]
fn what_is_wrong_goes_and_what_is_right_stays() {
    let (kept, complaints) = usable(texts(&[
        ("en", "greeting", "Hello from {organisation}."),
        ("en", "sorry", "\u{7}"),
        ("en", "nonsense", "x"),
        ("xx", "greeting", "x"),
    ]));
    assert_eq!(kept, texts(&[("en", "greeting", "Hello from {organisation}.")]));
    assert_eq!(complaints.len(), 3);
    assert_eq!(usable(kept.clone()), (kept, Vec::new()));
}
