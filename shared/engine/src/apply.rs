//! Load, step, commit: how every event reaches a challenge.

use std::time::Duration;

use fleet_domain::{AttemptState, Challenge, ChallengeKey, Event, Reason, Refused, step};
use fleet_lifecycle::{CrashPoint, crash_point};
use fleet_records::{Actor, Committed, Lane, Line, Note, Stored, Transition};

use crate::{Engine, Error};

/// How often an event is stepped over a row that other processes change meanwhile.
const TRIES: u32 = 4;
/// The pauses between the tries, each up to twice as long: together longer than a commit takes, and scattered, so that
/// those who met once do not meet again.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(2), Duration::from_millis(10), Duration::from_millis(50)];

/// What came of an event.
#[derive(Clone, Debug)]
pub enum Applied {
    /// The event counted.
    Changed {
        /// The challenge before it.
        before: Challenge,
        /// The challenge as it is now stored.
        after: Stored,
    },
    /// The event changed nothing.
    Unchanged {
        /// The challenge as it is.
        stored: Stored,
        /// Why.
        refused: Refused,
    },
}

impl Applied {
    /// The challenge as it is now stored, whether the event counted or not.
    pub fn stored(&self) -> &Stored {
        match self {
            Self::Changed { after, .. } => after,
            Self::Unchanged { stored, .. } => stored,
        }
    }

    /// Whether this event, and no other, moved the attempt into the state: what only one process may do is
    /// done by the one that gets `true` here.
    pub fn moved_to(&self, state: AttemptState) -> bool {
        match self {
            Self::Changed { before, after } => after.challenge.live.attempts.last().is_some_and(|attempt| {
                attempt.state == state
                    && before.attempt(attempt.number).is_none_or(|earlier| earlier.state != state)
            }),
            Self::Unchanged { .. } => false,
        }
    }
}

/// An event that is to be applied.
pub struct Apply<'a> {
    /// To which challenge.
    pub key: &'a ChallengeKey,
    /// How urgent: digits, answers and cancels go before everything else.
    pub lane: Lane,
    /// From whom it came.
    pub actor: Actor,
    /// The challenge as the caller last saw it, if it has; saves a read.
    pub known: Option<Stored>,
    /// The line that a call takes.
    pub line: Option<Line>,
}

impl<'a> Apply<'a> {
    /// An urgent event from `actor` for the challenge.
    pub fn urgent(key: &'a ChallengeKey, actor: Actor) -> Self {
        Self { key, lane: Lane::Urgent, actor, known: None, line: None }
    }

    /// An event from `actor` for the challenge, in its turn.
    pub fn bulk(key: &'a ChallengeKey, actor: Actor) -> Self {
        Self { key, lane: Lane::Bulk, actor, known: None, line: None }
    }

    /// With the challenge as the caller last saw it.
    #[must_use]
    pub fn knowing(mut self, stored: Stored) -> Self {
        self.known = Some(stored);
        self
    }

    /// With the line that the call takes.
    #[must_use]
    pub fn taking(mut self, line: Line) -> Self {
        self.line = Some(line);
        self
    }
}

impl Engine {
    /// Applies the event that `event` makes of the challenge as it stands, over and over until it is either
    /// committed or refused. A challenge that is overdue is expired by whatever event comes.
    ///
    /// Fails as long as the database's time was not measured.
    ///
    /// Idempotent by the rules: an event that was applied before is refused as `Unchanged`.
    pub async fn apply(
        &self,
        mut apply: Apply<'_>,
        event: impl Fn(&Challenge) -> Event,
    ) -> Result<Applied, Error> {
        let mut line_busy = false;
        let mut pauses = PAUSES.into_iter();
        for _ in 0..TRIES {
            let stored = match apply.known.take() {
                Some(known) => known,
                None => self.inner.records.load(apply.key).await?.ok_or(Error::Unknown)?,
            };
            let event = if line_busy {
                Event::Halt { reason: Reason::CallInProgress }
            } else {
                event(&stored.challenge)
            };
            let after = match step(&stored.challenge, &event, self.inner.records.now()?) {
                Ok(after) => after,
                Err(refused) => return Ok(Applied::Unchanged { stored, refused }),
            };
            let line = if line_busy { None } else { apply.line };
            match self.commit(&stored, &after, (&apply, &event, line)).await? {
                Committed::Done => {
                    let after = Stored { challenge: after, told: stored.told };
                    if stored.challenge.is_open() && !after.challenge.is_open() {
                        crash_point(CrashPoint::Ended);
                    }
                    self.inner.metrics.observe(Some(&stored.challenge), &after.challenge);
                    if !is_told_anyway(&stored, &after.challenge) {
                        self.tell_soon(after.clone());
                    }
                    return Ok(Applied::Changed { before: stored.challenge, after });
                }
                Committed::Conflict => {
                    if let Some(pause) = pauses.next() {
                        tokio::time::sleep(scattered(pause)).await;
                    }
                }
                Committed::LineBusy => line_busy = true,
            }
        }
        Err(Error::Contended(TRIES))
    }

    async fn commit(
        &self,
        before: &Stored,
        after: &Challenge,
        (apply, event, line): (&Apply<'_>, &Event, Option<Line>),
    ) -> Result<Committed, Error> {
        // Only a call that is about to be placed takes a line; whatever else an overdue challenge came to
        // needs none.
        let dials = after.live.attempts.last().is_some_and(|a| a.state == AttemptState::Dialing);
        let transition = Transition {
            before,
            after,
            note: Note { event: event.word(), actor: apply.actor.clone() },
            line: line.filter(|_| dials && after.is_open()),
        };
        Ok(self.inner.records.commit(apply.lane, transition).await?)
    }
}

/// Whether this is a late fact of a challenge whose end is not marked as told yet: whoever tells the end does so now, or
/// the sweep will, which then tells this as well. Telling it here would tell the end twice.
fn is_told_anyway(before: &Stored, after: &Challenge) -> bool {
    !before.challenge.is_open() && after.live.end.as_ref().is_some_and(|end| before.told < end.version)
}

/// Between once and twice the pause.
fn scattered(pause: Duration) -> Duration {
    let part = u16::from_le_bytes(fleet_keys::random_bytes());
    pause + pause * u32::from(part) / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_lies_between_once_and_twice_its_length() {
        for pause in PAUSES {
            let scattered = scattered(pause);
            assert!(pause <= scattered && scattered <= pause * 2, "{scattered:?}");
        }
    }
}
