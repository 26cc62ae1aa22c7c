//! What goes into a commit and what comes out of it.

use fleet_domain::Challenge;

use crate::Note;

/// A challenge as its row holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The challenge.
    pub challenge: Challenge,
    /// The highest version that its portal was told of, as far as that was marked.
    pub told: u32,
}

/// The next version of a challenge, to be committed if the row is still as it was read.
#[derive(Clone, Debug)]
pub struct Transition<'a> {
    /// The row as it was read, with the highest version that its portal was told of since.
    pub before: &'a Stored,
    /// What it is to become: the next version.
    pub after: &'a Challenge,
    /// What the audit row says of it.
    pub note: Note,
    /// The line that the last attempt of `after` needs; only the transition that is about to dial has one.
    pub line: Option<Line>,
}

/// A line to a phone, as the keyed indexes of its two numbers: at most one live call holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// The called number.
    pub to: [u8; 16],
    /// The caller ID.
    pub from: [u8; 16],
    /// Whether people share the called number behind extensions: then it takes one live call from each
    /// caller ID, else one live call in all.
    pub shared: bool,
}

/// Which committer takes the transition. Each works on its own, so a full one delays nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Somebody waits on the line or in the app: digits, answers, cancels.
    Urgent,
    /// Everything else.
    Bulk,
}

impl Lane {
    /// The value of the metric's label `lane`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Bulk => "bulk",
        }
    }
}

/// What became of a new challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is stored.
    New,
    /// There was one under this key already; nothing was stored.
    Exists(Stored),
}

/// What became of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is stored, with its audit row.
    Done,
    /// The row is not as it was read, or is being changed at this moment: load it and step again.
    Conflict,
    /// Another live call holds the line; nothing was stored.
    LineBusy,
}

impl Committed {
    /// The value of the metric's label `outcome`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Conflict => "conflict",
            Self::LineBusy => "line_busy",
        }
    }
}
