//! TwiML documents (<https://www.twilio.com/docs/voice/twiml>). Values are escaped by the templates.

use std::borrow::Cow;
use std::time::Duration;

use askama::Template;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use fleet_prompts::Prompt;

const HANG_UP: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Hangup/></Response>";

/// A document, ready to be sent. No `Debug`: its URLs hold the attempt's token.
pub(crate) struct Twiml(Cow<'static, str>);

#[derive(Template)]
#[template(path = "ask.xml")]
struct Ask<'a> {
    prompt: &'a Prompt,
    input_url: &'a str,
    timeout_s: u64,
}

#[derive(Template)]
#[template(path = "goodbye.xml")]
struct Goodbye<'a> {
    prompt: &'a Prompt,
}

#[derive(Template)]
#[template(path = "again.xml")]
struct Again<'a> {
    url: &'a str,
    pause_s: u64,
}

impl Twiml {
    /// Ends the call without a word.
    pub(crate) const fn hang_up() -> Self {
        Self(Cow::Borrowed(HANG_UP))
    }

    /// Says the prompt and gathers keys up to `#`. What was keyed goes to `input_url`, and so does the news
    /// that nothing was keyed: `#` alone counts as no input with the carrier.
    pub(crate) fn ask(prompt: &Prompt, input_url: &str, timeout: Duration) -> Self {
        Self::rendered(&Ask { prompt, input_url, timeout_s: timeout.as_secs() })
    }

    /// Says the prompt and ends the call.
    pub(crate) fn goodbye(prompt: &Prompt) -> Self {
        Self::rendered(&Goodbye { prompt })
    }

    /// Lets the carrier ask again after a pause of whole seconds.
    pub(crate) fn again(url: &str, pause: Duration) -> Self {
        Self::rendered(&Again { url, pause_s: pause.as_secs() })
    }

    fn rendered(template: &impl Template) -> Self {
        // Writing into a String does not fail; if it ever did, the call must not go on.
        template.render().map_or_else(|_| Self::hang_up(), |text| Self(Cow::Owned(text)))
    }
}

impl IntoResponse for Twiml {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, "text/xml; charset=utf-8")], self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::*;

    fn prompt(first: &str) -> Prompt {
        let sentences = [first, "Press the pound key.", "Or hang up."];
        Prompt { language: "es-ES", sentences: sentences.map(str::to_owned).into() }
    }

    const URL: &str = "https://mfa.example.org/twilio/calls/vpn/1/2/t/input/1";

    #[test]
    fn a_question_gathers_up_to_the_pound_key_and_posts_even_nothing() {
        let prompt = prompt("Hello.");
        let twiml = Twiml::ask(&prompt, URL, Duration::from_secs(8));
        let document = Document::parse(&twiml.0).unwrap();
        let verbs: Vec<_> = document.root_element().children().filter(roxmltree::Node::is_element).collect();
        assert_eq!(
            verbs.iter().map(|verb| verb.tag_name().name()).collect::<Vec<_>>(),
            ["Gather", "Redirect"]
        );
        let attributes: Vec<_> = verbs[0].attributes().map(|a| (a.name(), a.value())).collect();
        assert_eq!(
            attributes,
            [
                ("input", "dtmf"),
                ("finishOnKey", "#"),
                ("timeout", "8"),
                ("actionOnEmptyResult", "true"),
                ("method", "POST"),
                ("action", URL),
            ]
        );
        assert_eq!(verbs[1].text(), Some(URL));
        let spoken: Vec<_> =
            verbs[0].children().filter_map(|say| say.text().filter(|_| say.is_element())).collect();
        assert_eq!(spoken, prompt.sentences);
    }

    #[test]
    fn a_hostile_text_stays_text() {
        for text in ["\"]]><Dial>+1</Dial>", "</Say></Gather><Dial/>", "&amp;&#0;<!--", "'<![CDATA["] {
            let prompt = prompt(text);
            let twiml = Twiml::ask(&prompt, "https://h/?a=1&b=\"<2>'", Duration::from_secs(1));
            let document = Document::parse(&twiml.0).unwrap();
            let names: Vec<_> = document
                .descendants()
                .filter(roxmltree::Node::is_element)
                .map(|node| node.tag_name().name())
                .collect();
            assert_eq!(names, ["Response", "Gather", "Say", "Say", "Say", "Redirect"], "{text}");
            let said =
                document.descendants().find(|node| node.has_tag_name("Say")).and_then(|say| say.text());
            assert_eq!(said, Some(prompt.sentences[0].as_str()));
            let gather = document.descendants().find(|node| node.has_tag_name("Gather")).unwrap();
            assert_eq!(gather.attribute("action"), Some("https://h/?a=1&b=\"<2>'"));
        }
    }

    #[test]
    fn the_other_documents_are_well_formed() {
        let bye = Twiml::goodbye(&prompt("Adiós."));
        for (twiml, last) in
            [(Twiml::hang_up(), "Hangup"), (bye, "Hangup"), (Twiml::again(URL, Duration::ZERO), "Redirect")]
        {
            let document = Document::parse(&twiml.0).unwrap();
            let verb = document.root_element().children().rfind(roxmltree::Node::is_element).unwrap();
            assert_eq!(verb.tag_name().name(), last);
            assert!(twiml.0.starts_with("<?xml"));
        }
    }
}
