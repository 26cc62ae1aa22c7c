//! Users in files: CSV or JSON lines, read a line at a time in a bounded amount of memory, however long a line is.
//!
//! Each line stands for itself: one that is refused has a field and a rule, never its value, and its neighbours are good.

pub(crate) mod checkpoint;
pub(crate) mod columns;
pub(crate) mod entry;
pub(crate) mod format;
pub(crate) mod lines;
pub(crate) mod meter;
pub(crate) mod rejects;
pub(crate) mod writer;

use std::borrow::Cow;

/// Why a line is refused. Never holds what stands in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The field at fault; `line` where it is none of them.
    pub(crate) field: &'static str,
    /// The rule, a clause that follows the field's name.
    pub(crate) rule: Cow<'static, str>,
}

impl Refusal {
    pub(crate) fn new(field: &'static str, rule: impl Into<Cow<'static, str>>) -> Self {
        Self { field, rule: rule.into() }
    }

    /// The line as a whole is wrong.
    pub(crate) fn line(rule: &'static str) -> Self {
        Self::new("line", rule)
    }
}
