//! How single values are written as JSON text: for each, its rule in words, its reader, its writer and its
//! schema, side by side, so that they can be seen to say the same. Lists of words are here.

use core::fmt;
use core::marker::PhantomData;

use fleet_domain::{
    Assurance, AttemptState, Authority, CallerIdStep, ChallengeResult, Change, Channel, Detection,
    EnrollmentReason, EnrollmentResult, EnrollmentState, NextStep, PhoneKind, PhoneRole, Progress, Purpose,
    Reason, Refusal,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

mod ids;
mod texts;
mod time;

pub(crate) use ids::{AnyUuid, FieldName, any_uuid};
pub(crate) use texts::{ClientIp, JsonContent, Label, Locale, SpecVersion, Traceparent};

/// A value that is written as a JSON string.
pub(crate) trait Form: Sized {
    /// The rule as a clause that follows the field's name.
    fn rule() -> String;
    /// Reads the text; `None` if it breaks the rule.
    fn parse(text: &str) -> Option<Self>;
    /// Writes the text.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
    /// The same rule as a JSON Schema.
    fn schema() -> Schema;
}

/// For `#[serde(with = "Text::<T>")]`: a field in its form.
pub(crate) struct Text<T>(PhantomData<T>);

/// For `#[serde(with = "OptionalText::<T>", default, skip_serializing_if = "Option::is_none")]`.
pub(crate) struct OptionalText<T>(PhantomData<T>);

struct Shown<'a, T>(&'a T);

impl<T: Form> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}

impl<T: Form> Text<T> {
    pub(crate) fn serialize<S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&Shown(value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
        let text = String::deserialize(d)?;
        T::parse(&text).ok_or_else(|| D::Error::custom(T::rule()))
    }
}

impl<T: Form> OptionalText<T> {
    #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
    pub(crate) fn serialize<S: Serializer>(value: &Option<T>, s: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => Text::serialize(value, s),
            None => s.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<T>, D::Error> {
        Text::deserialize(d).map(Some)
    }
}

/// For `#[serde(default, deserialize_with = "not_null")]`: what is absent is left out. serde would take a null for it, and no
/// schema does.
pub(crate) fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

macro_rules! form_schemas {
    ($($name:ident,)+) => {$(
        impl<T: Form> JsonSchema for $name<T> {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                "Text".into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                T::schema()
            }
        }
    )+};
}

form_schemas! { Text, OptionalText, }

pub(crate) fn one_of(words: &[&str]) -> String {
    format!("must be one of {}", words.join(", "))
}

macro_rules! word_forms {
    ($($word:ty,)+) => {$(
        impl Form for $word {
            fn rule() -> String {
                one_of(&Self::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>())
            }

            fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text)
            }

            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }

            fn schema() -> Schema {
                let words: Vec<_> = Self::ALL.iter().map(|word| word.as_str()).collect();
                json_schema!({ "type": "string", "enum": words })
            }
        }
    )+};
}

word_forms! {
    Assurance, AttemptState, Authority, CallerIdStep, ChallengeResult, Change, Channel, Detection, EnrollmentReason,
    EnrollmentResult, EnrollmentState, NextStep, PhoneKind, PhoneRole, Progress, Purpose, Reason, Refusal,
    crate::envelope::EventType,
}

#[cfg(test)]
mod tests;
