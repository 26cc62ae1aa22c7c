//! What a sealed box opens to. Numbers, PIN and answers are texts here: whether they are good ones is told by the outcome,
//! not by a refusal.

use core::fmt;

use fleet_domain::{PhoneKind, RequestId, UserId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::form::{Form, Text};
use crate::invalid::{Fault, Invalid};
use crate::object::{self, Object};

/// The longest text of a number, extension, PIN or answer that is looked at, in characters.
const MAX_TEXT: usize = 512;
/// Answers that are looked at.
const MAX_ANSWERS: usize = 16;

/// Numbers, PIN and answers of a request. `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// The request that they are for: a box is worth nothing in another one.
    #[serde(with = "Text::<RequestId>")]
    pub request_id: RequestId,
    /// The user that they are for.
    #[serde(with = "Text::<UserId>")]
    pub user_id: UserId,
    /// The phone: the one that the request names, or the primary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretPhone")]
    pub phone: Option<SecretPhone>,
    /// A backup phone beside it, which is tested by a request of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretPhone")]
    pub backup: Option<SecretPhone>,
    /// The PIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = MAX_TEXT))]
    pub pin: Option<String>,
    /// Questions with their answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ANSWERS))]
    pub answers: Vec<SecretAnswer>,
}

/// A phone.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct SecretPhone {
    /// The number in E.164 form, such as `+19195550100`.
    #[schemars(length(max = MAX_TEXT))]
    pub number: String,
    /// What is keyed after the answer: digits, `*`, `#`, and the pauses `,` and `;`; at most 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = MAX_TEXT))]
    pub extension: Option<String>,
    /// Where it stands; `mobile` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<PhoneKind>")]
    pub kind: Option<PhoneKind>,
}

/// An answer to one of the portal's questions.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct SecretAnswer {
    /// The question's id in the portal's list.
    #[schemars(length(max = MAX_TEXT))]
    pub question: String,
    /// The answer. Case, accents, punctuation and spacing don't matter.
    #[schemars(length(max = MAX_TEXT))]
    pub answer: String,
}

macro_rules! hidden {
    ($($name:ident)+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(***)"))
            }
        }
    )+};
}

hidden! { Secrets SecretPhone SecretAnswer }

/// A text that may be anything, but not of any length.
struct AnyText(String);

impl Form for AnyText {
    fn rule() -> String {
        format!("must be text of at most {MAX_TEXT} characters")
    }

    fn parse(text: &str) -> Option<Self> {
        (text.len() <= 4 * MAX_TEXT && text.chars().count() <= MAX_TEXT).then(|| Self(text.to_owned()))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "maxLength": MAX_TEXT })
    }
}

impl Secrets {
    /// Secrets of this request with nothing in them.
    #[must_use]
    pub const fn new(request_id: RequestId, user_id: UserId) -> Self {
        Self { request_id, user_id, phone: None, backup: None, pin: None, answers: Vec::new() }
    }

    /// The text that is sealed.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings and lists of them: there is nothing in it that JSON cannot say.
        serde_json::to_string(self).unwrap_or_else(|_| unreachable!("secrets are plain data"))
    }

    /// Reads what a box opened to.
    pub fn read(bytes: &[u8]) -> Result<Self, Invalid> {
        Self::read_text(bytes).map_err(Fault::alone)
    }

    fn read_text(bytes: &[u8]) -> Result<Self, Fault> {
        const PATH: &str = "data.sealed";
        let text = str::from_utf8(bytes).map_err(|_| Fault::new(PATH, "must open to UTF-8"))?;
        let fields = ["request_id", "user_id", "phone", "backup", "pin", "answers"];
        let object = Object::read(text, PATH)?.only(&fields)?;
        let phone = |name| object.get(name).map(|raw| read_phone(raw, object.path_of(name))).transpose();
        Ok(Self {
            request_id: object.required("request_id")?,
            user_id: object.required("user_id")?,
            phone: phone("phone")?,
            backup: phone("backup")?,
            pin: object.optional::<AnyText>("pin")?.map(|text| text.0),
            answers: match object.get("answers") {
                None => Vec::new(),
                Some(raw) => read_answers(raw, &object.path_of("answers"))?,
            },
        })
    }
}

fn read_phone(raw: &RawValue, path: String) -> Result<SecretPhone, Fault> {
    let object = Object::read(raw.get(), path)?.only(&["number", "extension", "kind"])?;
    Ok(SecretPhone {
        number: object.required::<AnyText>("number")?.0,
        extension: object.optional::<AnyText>("extension")?.map(|text| text.0),
        kind: object.optional("kind")?,
    })
}

fn read_answers(raw: &RawValue, path: &str) -> Result<Vec<SecretAnswer>, Fault> {
    let answers: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| Fault::new(path, "must be a list of answers"))?;
    if answers.len() > MAX_ANSWERS {
        return Err(Fault::new(path, format!("must have at most {MAX_ANSWERS} answers")));
    }
    let read = |(at, raw): (usize, &&RawValue)| {
        let object = Object::read(raw.get(), format!("{path}[{at}]"))?.only(&["question", "answer"])?;
        let text = |name| -> Result<String, Fault> {
            object::read_text::<AnyText>(object.require(name)?, || object.path_of(name)).map(|text| text.0)
        };
        Ok(SecretAnswer { question: text("question")?, answer: text("answer")? })
    };
    answers.iter().enumerate().map(read).collect()
}
