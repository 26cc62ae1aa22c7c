//! The canonical form of a request's `data`: what makes two requests the same.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::invalid::{Fault, Invalid};

/// `data` in the JSON Canonicalization Scheme (RFC 8785): the same bytes whatever the order of fields, the
/// white space or the escapes. Their hash tells a repeated request from another one under the same id.
///
/// Fails only for JSON that no contract of ours admits: nested too deeply, or with a number that is no
/// double.
pub fn canonical(data: &RawValue) -> Result<Vec<u8>, Invalid> {
    let fault = || Fault::new("data", "must have a canonical form (RFC 8785)").alone();
    let value: Value = serde_json::from_str(data.get()).map_err(|_| fault())?;
    serde_json_canonicalizer::to_vec(&value).map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical_text(json: &str) -> Option<String> {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        canonical(&raw).ok().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn order_white_space_and_escapes_do_not_matter() {
        let one = canonical_text(r#"{ "b": "\u00e9\/", "a": [30.0, 1e2] }"#);
        assert_eq!(one.as_deref(), Some(r#"{"a":[30,100],"b":"é/"}"#));
        assert_eq!(one, canonical_text("{\"a\":[30,100],\"b\":\"é/\"}"));
    }

    #[test]
    fn names_are_ordered_by_utf_16_code_units() {
        // The example of RFC 8785, section 3.2.3, shortened: U+1F600 stands before U+FB33.
        assert_eq!(
            canonical_text("{\"\u{fb33}\":1,\"\u{1f600}\":2,\"\u{20ac}\":3,\"1\":4}").as_deref(),
            Some("{\"1\":4,\"\u{20ac}\":3,\"\u{1f600}\":2,\"\u{fb33}\":1}")
        );
    }

    #[test]
    fn what_has_no_canonical_form_is_an_error() {
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        for json in ["1e999", deep.as_str()] {
            assert_eq!(canonical_text(json), None);
        }
    }
}
