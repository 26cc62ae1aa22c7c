//! Challenges that test an enrollment: begun and ended by the enrollment-worker, carried on like all others.

use fleet_domain::{Challenge, ChallengeKey, Event, Reason, Timestamp, UserId, owed};
use fleet_records::{Actor, Created, Note, Stored};

use crate::wishes::ACCEPTED_WITHIN;
use crate::{Apply, Engine, Error};

impl Engine {
    /// Sees to it that this challenge is there and that what it owes is handed over; gives it as it is stored. Idempotent by
    /// (portal, challenge id).
    pub async fn begin_test(&self, challenge: Challenge) -> Result<Stored, Error> {
        let note = Note { event: "test", actor: Actor::Fleet };
        let stored = match self.inner.records.create(&challenge, note).await? {
            Created::New => {
                let stored = Stored { challenge, told: 0 };
                self.inner.metrics.observe(None, &stored.challenge);
                self.tell_soon(stored.clone());
                stored
            }
            Created::Exists(stored) => stored,
        };
        for effect in owed(&stored.challenge) {
            self.hand_over(&stored.challenge.key, &effect).await?;
        }
        Ok(stored)
    }

    /// Ends the challenge of a test that nobody waits for any more, and hangs up what rings. One that is not there, or has
    /// ended, stays as it is.
    pub async fn end_test(&self, key: &ChallengeKey) -> Result<(), Error> {
        let halt = Apply::urgent(key, Actor::Fleet);
        let applied = match self.apply(halt, |_| Event::Halt { reason: Reason::Superseded }).await {
            Ok(applied) => applied,
            Err(Error::Unknown) => return Ok(()),
            Err(error) => return Err(error),
        };
        for effect in owed(&applied.stored().challenge) {
            self.hand_over(key, &effect).await?;
        }
        Ok(())
    }

    /// Ends what is open of a user who was blocked at that time, or whose devices were lost then, and hangs up what rings. It
    /// may be done again at any time: what was asked for later goes on.
    pub async fn end_all_of(&self, user: &UserId, reason: Reason, since: Timestamp) -> Result<usize, Error> {
        let ended =
            self.halt_asked_by(user, reason, (&Actor::Fleet, Some(since.plus(ACCEPTED_WITHIN)))).await?;
        if reason == Reason::UserBlocked && self.now() < since.plus(ACCEPTED_WITHIN) {
            self.halt_late_ones_of(user.clone());
        }
        Ok(ended)
    }
}
