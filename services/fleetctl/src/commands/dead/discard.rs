//! `fleetctl dead drop`: a letter is removed for good, after it was shown and that was confirmed.

use std::time::Duration;

use fleet_broker::{Broker, Letter, LetterBox};
use fleet_domain::Timestamp;
use fleet_lifecycle::Clock;

use super::{HEADS, cells, go_through, name, no_such};
use crate::error::Error;
use crate::exit::Exit;
use crate::print::Screen;
use crate::settings::Sections;
use crate::table;

/// Which letters are dropped.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) enum Which<'a> {
    /// Those of this id.
    Named(&'a str),
    /// All that fit.
    All {
        /// Given up for this reason; any if absent.
        reason: Option<&'a str>,
        /// Published longer ago than this, by their senders' clocks; any if absent.
        older_than: Option<Duration>,
    },
}

impl Which<'_> {
    fn takes(self, letter: &Letter, now: Timestamp) -> bool {
        match self {
            Self::Named(id) => name(letter) == id,
            Self::All { reason, older_than } => {
                reason.is_none_or(|reason| letter.reason == reason)
                    && older_than.is_none_or(|age| letter.published_at.is_some_and(|at| at.plus(age) < now))
            }
        }
    }
}

pub(in crate::commands) async fn discard(
    which: Which<'_>,
    confirmed: bool,
    sections: &Sections,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let now = Clock::system().now();
    let mut rows = Vec::new();
    let drop_one = async |_: &Broker, letter_box: LetterBox, letter: &Letter| {
        let taken = which.takes(letter, now);
        if taken {
            rows.push(cells(letter_box, letter));
        }
        Ok((taken && confirmed).then_some(()))
    };
    let dropped = go_through(sections, drop_one).await;
    if let (Ok(_), true, Which::Named(id)) = (&dropped, rows.is_empty(), which) {
        return Err(no_such(id));
    }
    if !rows.is_empty() {
        table::print(screen, &HEADS, &rows)?;
    }
    match (dropped?.len(), rows.len()) {
        (0, 0) => screen.line("no message fits: nothing was dropped")?,
        (0, count) => return Err(Error::Unconfirmed { count }),
        (count, _) => screen.line(&format!("dropped for good: {count}"))?,
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::super::tests::letter;
    use super::*;

    #[test]
    fn letters_are_chosen_by_id_or_by_reason_and_age() {
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        let hour = Duration::from_hours(1);
        let old = Letter { published_at: Some(now.minus(hour * 2)), ..letter("{}") };
        let young = Letter { published_at: Some(now), ..letter("{}") };
        let dateless = letter("{}");
        let all = |reason, older_than| Which::All { reason, older_than };
        for (which, letters) in [
            (Which::Named("0193"), [true, true, true]),
            (Which::Named("019"), [false, false, false]),
            (all(None, None), [true, true, true]),
            (all(Some("schema_violation"), None), [true, true, true]),
            (all(Some("oversize"), None), [false, false, false]),
            (all(None, Some(hour)), [true, false, false]),
            (all(Some("schema_violation"), Some(hour * 3)), [false, false, false]),
        ] {
            let found = [&old, &young, &dateless].map(|letter| which.takes(letter, now));
            assert_eq!(found, letters, "{which:?}");
        }
    }
}
