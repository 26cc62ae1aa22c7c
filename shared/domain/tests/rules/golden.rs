//! Tables and pictures that are drawn from the rules and held against what is committed.

use std::path::PathBuf;

/// A path from this crate's folder.
pub(crate) fn manifest(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a file, or the part between its markers `<!-- name -->` and `<!-- /name -->`, with what the
/// rules give; renews it when the environment asks for that.
#[expect(clippy::disallowed_methods, reason = "a test's own switch, not a setting of the fleet")]
pub(crate) fn compare(path: &PathBuf, expected: &str, marker: &str) {
    let whole = std::fs::read_to_string(path).unwrap_or_default();
    let (before, have, after) = if marker.is_empty() {
        ("", whole.as_str(), "")
    } else {
        let (open, close) = (format!("<!-- {marker} -->\n"), format!("<!-- /{marker} -->"));
        let start = whole.find(&open).expect("the opening marker") + open.len();
        let end = whole.find(&close).expect("the closing marker");
        (&whole[..start], &whole[start..end], &whole[end..])
    };
    if have == expected {
        return;
    }
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(path, format!("{before}{expected}{after}")).unwrap();
        return;
    }
    let line = have.lines().zip(expected.lines()).find(|(a, b)| a != b);
    panic!(
        "{} is not what the rules do; first difference: {line:?}. If the change is meant: UPDATE_GOLDEN=1 cargo test -p fleet-domain",
        path.display()
    );
}
