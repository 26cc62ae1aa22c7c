//! Reading JSON objects field by field, so that each broken rule is told with the field's path and without
//! the value. Values stay unread text until their field is asked for: depth costs nothing.

use core::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::form::Form;
use crate::invalid::Fault;

/// The names and unread values of an object, in their order.
type Pairs<'a> = Vec<(String, &'a RawValue)>;

/// One JSON object without repeated names.
pub(crate) struct Object<'a> {
    path: String,
    pairs: Pairs<'a>,
}

impl<'a> Object<'a> {
    /// Reads the object that stands at `path`, which is empty for the body itself.
    pub(crate) fn read(text: &'a str, path: impl Into<String>) -> Result<Self, Fault> {
        let path = path.into();
        let fault = |rule| Fault::new(if path.is_empty() { "body" } else { &path }, rule);
        let (pairs, whole) = pairs(text);
        if !whole {
            return Err(fault("must be a JSON object"));
        }
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(fault("must not have two fields of one name"));
        }
        Ok(Self { path, pairs })
    }

    /// The object, if it has no other fields than these.
    pub(crate) fn only(self, names: &[&str]) -> Result<Self, Fault> {
        if self.pairs.iter().all(|(name, _)| names.contains(&name.as_str())) {
            return Ok(self);
        }
        Err(Fault::new(&self.path, format!("must have no other fields than {}", names.join(", "))))
    }

    /// The path of one of its fields.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The unread value of a field.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.pairs.iter().find(|(have, _)| have == name).map(|(_, raw)| *raw)
    }

    /// All fields, in their order.
    pub(crate) fn into_pairs(self) -> Pairs<'a> {
        self.pairs
    }

    /// The unread value of a field that must be there.
    pub(crate) fn require(&self, name: &str) -> Result<&'a RawValue, Fault> {
        self.get(name).ok_or_else(|| Fault::new(self.path_of(name), "is required"))
    }

    /// A text that must be there.
    pub(crate) fn required<T: Form>(&self, name: &str) -> Result<T, Fault> {
        let raw = self.require(name)?;
        read_text(raw, || self.path_of(name))
    }

    /// A text that may be absent.
    pub(crate) fn optional<T: Form>(&self, name: &str) -> Result<Option<T>, Fault> {
        self.get(name).map(|raw| read_text(raw, || self.path_of(name))).transpose()
    }
}

/// A value as text of its form.
pub(crate) fn read_text<T: Form>(raw: &RawValue, path: impl Fn() -> String) -> Result<T, Fault> {
    text(raw).and_then(|text| T::parse(&text)).ok_or_else(|| Fault::new(path(), T::rule()))
}

/// The value, if it is a JSON string of whole Unicode characters.
pub(crate) fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// The fields of an object as far as they can be read, and whether that was all of it.
pub(crate) fn pairs(text: &str) -> (Pairs<'_>, bool) {
    let mut pairs = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    let whole = reader.deserialize_map(Collect(&mut pairs)).is_ok() && reader.end().is_ok();
    (pairs, whole)
}

struct Collect<'v, 'a>(&'v mut Pairs<'a>);

impl<'a> Visitor<'a> for Collect<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(pair) = map.next_entry()? {
            self.0.push(pair);
        }
        Ok(())
    }
}
