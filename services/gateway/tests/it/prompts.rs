//! What calls say where a portal has words of its own, and where what it has cannot be said.

use fleet_domain::{Channel, Policy, PromptTexts};
use fleet_records::Error;
use serde_json::json;

use crate::calls::{gather, status_url, twiml_url, verbs};
use crate::support::{Fleet, TITLE, by, portal};

fn texts(entries: &[(&str, &str, &str)]) -> PromptTexts {
    let mut texts = PromptTexts::new();
    for (locale, kind, text) in entries {
        texts.entry((*locale).into()).or_default().insert((*kind).into(), (*text).into());
    }
    texts
}

fn in_spanish(entries: &[(&str, &str, &str)]) -> Policy {
    Policy { locale: "es-MX".into(), prompt_texts: texts(entries), ..Policy::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v11_a_portals_own_greeting_is_spoken_in_spanish_and_the_rest_is_built_in() {
    let fleet = Fleet::start().await;
    fleet
        .policy(in_spanish(&[
            ("es", "greeting", "Le llama {organisation} & compañía."),
            ("es-MX", "bye_approved", "Muy amable."),
        ]))
        .await;
    let key = fleet.dialing(None).await;
    let first = fleet.call(&twiml_url(&fleet, &key), &[]).await;
    assert!(first.body.contains("<Say language=\"es-MX\">"), "{}", first.body);
    let (input, said) = gather(&first);
    assert_eq!(
        said,
        [
            &format!("Le llama {TITLE} & compañía."),
            "Pulse la tecla numeral para confirmar.",
            "Si no es usted, pulse 0 y la tecla numeral.",
        ]
    );
    let last = fleet.call(&input, &[("FinishedOnKey", "#")]).await;
    assert_eq!(verbs(&last)[0].1, "Muy amable.");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v11_a_prompt_that_cannot_be_said_is_refused_when_it_is_written() {
    let fleet = Fleet::start().await;
    fleet.policy(in_spanish(&[("es", "greeting", "Hola.")])).await;
    let huge = "x".repeat(64 * 1024);
    for (kind, text, rule) in [
        ("greeting", "]]><Dial>+19005550100</Dial>", "prompt_texts.es.greeting must be plain text"),
        ("greeting", "Su código es {code}.", "prompt_texts.es.greeting may hold organisation and pound"),
        ("sorry", "\u{1b}[2J", "prompt_texts.es.sorry must be plain text"),
        ("bye_over", &huge, "prompt_texts.es.bye_over takes 4369 s to say"),
    ] {
        let refused = fleet.put_policy(in_spanish(&[("es", kind, text)])).await.unwrap_err();
        let Error::Rejected(why) = &refused else { panic!("{refused}") };
        assert!(why.to_string().starts_with(rule), "{why}");
    }
    let stored = fleet.engine.records().portal(&portal()).unwrap();
    assert_eq!(stored.policy.prompt_texts, texts(&[("es", "greeting", "Hola.")]), "nothing was stored");
    fleet.end().await;
}

/// Whoever writes to the table passes the check by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v11_a_prompt_in_the_table_that_cannot_be_said_never_breaks_a_call() {
    let fleet = Fleet::start().await;
    let ada = fleet.enroll("ada", &[]).await;
    let huge = "x".repeat(64 * 1024);
    let built_in = format!("This is the sign-in call of {TITLE}.");
    for hostile in [
        json!({ "en": { "greeting": "]]><Dial>+19005550100</Dial>", "ask_key": "Go {pound}." } }),
        json!({ "en": { "greeting": "a\u{7}b", "ask_key": "Go {pound}.", "nonsense": "x" } }),
        json!({ "en": { "greeting": huge, "ask_key": "Go {pound}." }, huge.as_str(): { "greeting": "x" } }),
        json!({ "en": { "greeting": "The code is {code}.", "ask_key": "Go {pound}." }, "xx": {} }),
        json!({ "en": { "greeting": ["a", "list"] } }),
        json!("no table at all"),
        json!(null),
    ] {
        let whole = hostile["en"]["ask_key"].is_string();
        let policy = json!({ "approve_only": true, "prompt_texts": hostile }).to_string();
        let scratch = fleet.scratch.as_ref().unwrap();
        scratch.sql(&format!("UPDATE portals SET policy = '{policy}'")).await;
        // Seen at the next reading: until then the call says what was said before.
        let asked = if whole { "Go the pound key." } else { "Press the pound key to confirm." };
        fleet
            .until(|fleet| {
                let portal = fleet.engine.records().portal(&portal()).unwrap();
                portal.policy.prompt_texts.contains_key("en") == whole
            })
            .await;
        let key = fleet.challenge(&ada, &[by(Channel::Voice)], None).await;
        fleet.dial(&key).await;
        let (_, said) = gather(&fleet.call(&twiml_url(&fleet, &key), &[]).await);
        assert_eq!(said[..2], [built_in.as_str(), asked], "{policy:.80}");
        fleet.call(&status_url(&fleet, &key), &[("CallStatus", "completed")]).await;
    }
    fleet.end().await;
}
