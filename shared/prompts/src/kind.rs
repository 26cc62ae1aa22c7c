//! The kinds of text, and what may stand in braces in each of them.

/// Declares the kinds; their doc comments are what `ops/reference/prompts.md` says of them.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident $text:literal,)+) => {
        /// A kind of text: one sentence or a few that are said together.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($(#[doc = $doc])+ $variant,)+ }

        impl Kind {
            /// Every kind, in the order in which a call comes to them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name in the book and in a portal's policy.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// When it is said.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii_start(),)+ }
            }
        }
    };
}

kinds! {
    /// How the key `#` is called: `{pound}` in all others.
    Pound "pound",
    /// First, to whoever answers.
    Greeting "greeting",
    /// What to key, where the key alone is asked for.
    AskKey "ask_key",
    /// What to key, where the PIN is asked for.
    AskPin "ask_pin",
    /// What to key, where the number on the screen is asked for.
    AskNumber "ask_number",
    /// After the greeting and what to key: how to report fraud.
    OfferFraud "offer_fraud",
    /// Before it is asked again: what was keyed did not count, or nothing was keyed.
    Sorry "sorry",
    /// After it was asked again: how to get no more calls.
    OfferNeverAgain "offer_never_again",
    /// After `0#`: how to confirm the report.
    ConfirmFraud "confirm_fraud",
    /// After `9#`: how to confirm that no more calls are wanted.
    ConfirmNeverAgain "confirm_never_again",
    /// After either of them: how to take it back.
    GoBack "go_back",
    /// Last: approved.
    ByeApproved "bye_approved",
    /// Last: nothing was keyed, or never the pound key.
    ByeNoKey "bye_no_key",
    /// Last: not the number on the screen.
    ByeWrongNumber "bye_wrong_number",
    /// Last: not the PIN.
    ByeWrongPin "bye_wrong_pin",
    /// Last: the PIN is older than the policy allows.
    ByeOldPin "bye_old_pin",
    /// Last: too many wrong PINs.
    ByeLockedOut "bye_locked_out",
    /// Last: fraud was reported.
    ByeFraud "bye_fraud",
    /// Last: no more calls are wanted.
    ByeNeverAgain "bye_never_again",
    /// Last: it ended in another way meanwhile.
    ByeOver "bye_over",
}

impl Kind {
    /// The kind of this name, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// What may stand in it. Whoever answers a call may be anybody: what tells something of the user or of the challenge
    /// must not be among the placeholders of a kind that is said before a key was pressed (V4).
    #[must_use]
    pub const fn may_hold(self) -> &'static [Placeholder] {
        match self {
            Self::Pound => &[],
            Self::Greeting
            | Self::AskKey
            | Self::AskPin
            | Self::AskNumber
            | Self::OfferFraud
            | Self::Sorry
            | Self::OfferNeverAgain
            | Self::ConfirmFraud
            | Self::ConfirmNeverAgain
            | Self::GoBack
            | Self::ByeApproved
            | Self::ByeNoKey
            | Self::ByeWrongNumber
            | Self::ByeWrongPin
            | Self::ByeOldPin
            | Self::ByeLockedOut
            | Self::ByeFraud
            | Self::ByeNeverAgain
            | Self::ByeOver => &[Placeholder::Organisation, Placeholder::Pound],
        }
    }
}

/// What stands in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `{organisation}`: the portal's title.
    Organisation,
    /// `{pound}`: how the key `#` is called.
    Pound,
}

impl Placeholder {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "organisation" => Some(Self::Organisation),
            "pound" => Some(Self::Pound),
            _ => None,
        }
    }
}
