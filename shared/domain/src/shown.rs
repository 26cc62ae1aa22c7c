//! Which characters a text may have that is shown to people.

/// Control characters, line and paragraph separators, and the marks that turn the direction of text around: with those a sign-in
/// or a device could be shown to the person as something else than it is.
#[must_use]
pub fn misleads(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
