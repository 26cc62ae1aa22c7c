//! When a call's POST is made: at its slot, of which the carrier's row in the database gives out so many a second.
//!
//! A call that finds no slot in the next moments waits for its turn there: `turns.rs`.

use std::time::Duration;

use fleet_domain::{Challenge, Event, LEAST_STEP, Timestamp};
use fleet_engine::{Apply, Error};
use fleet_records::{Actor, PacedCarrier, Records, Slot, SlotAsk, Stored};
use tokio::time::sleep;

use crate::effects::VoiceHands;
use crate::metrics::VoiceMetrics;

/// How long before its slot an attempt is committed as `dialing`: a commit is over by then, also on a busy machine.
pub(crate) const COMMIT_AHEAD: Duration = Duration::from_millis(300);
/// How much later than its slot a call may be POSTed. Later, it would come too close to the next ones.
const LATE_MOST: Duration = Duration::from_millis(20);
/// For how long after its first slot an attempt may miss further ones: less than the margin after which others look at
/// it. Where its POST then takes all of its own time too, the attempt is `unknown` for a moment, until the answer binds it.
const MISSING_FOR: Duration = Duration::from_millis(1_500);

/// Slots of the carrier.
#[derive(Clone)]
pub(crate) struct Pace {
    pub(crate) records: Records,
    pub(crate) carrier: PacedCarrier,
    pub(crate) metrics: VoiceMetrics,
}

impl Pace {
    /// A slot for the call that the challenge owes.
    pub(crate) async fn take(&self, challenge: &Challenge) -> Result<Slot, Error> {
        Ok(self.records.take_slot(self.ask(challenge, attempt_owed(challenge), false)).await?)
    }

    /// Waits for the slot of an attempt that is committed as `dialing`. Where it was missed, another one is taken.
    /// `None` where that does not come in time, or can't be had: then the call is not to be POSTed.
    pub(crate) async fn wait(
        &self,
        challenge: &Challenge,
        attempt: u8,
        (mut slot, now): (Timestamp, impl Fn() -> Timestamp),
    ) -> Option<()> {
        let until = slot.plus(MISSING_FOR);
        loop {
            sleep(slot.since(now())).await;
            if now().since(slot) <= LATE_MOST {
                return Some(());
            }
            self.metrics.missed_slot();
            if now() > until {
                return None;
            }
            slot = match self.records.take_slot(self.ask(challenge, attempt, true)).await {
                Ok(Slot::At(slot)) => slot,
                Ok(Slot::Waits(_) | Slot::TooLate(_)) => return None,
                Err(error) => {
                    tracing::warn!(challenge = %challenge.key, attempt, %error, "a call that missed its slot got no other one");
                    return None;
                }
            };
        }
    }

    fn ask(&self, challenge: &Challenge, attempt: u8, missed: bool) -> SlotAsk {
        SlotAsk {
            carrier: self.carrier.clone(),
            key: challenge.key.clone(),
            attempt,
            begin_by: begin_by(challenge),
            missed,
        }
    }
}

/// After that nobody has the time to answer the call.
pub(crate) fn begin_by(challenge: &Challenge) -> Timestamp {
    challenge.request.answer_by.minus(LEAST_STEP)
}

/// The attempt that a call which is owed is or will be.
pub(crate) fn attempt_owed(challenge: &Challenge) -> u8 {
    let next = u8::try_from(challenge.live.attempts.len() + 1).unwrap_or(u8::MAX);
    challenge.live_attempt().map_or(next, |attempt| attempt.number)
}

impl VoiceHands {
    /// The call's turn comes too late: the next step follows, or the challenge ends as throttled.
    pub(crate) async fn no_slot(&self, stored: Stored, expected: Timestamp) -> Result<(), Error> {
        let key = stored.challenge.key.clone();
        let step = stored.challenge.live.step;
        let retry_after = expected.since(begin_by(&stored.challenge));
        let apply = Apply::bulk(&key, Actor::Fleet).knowing(stored);
        let applied = self.engine.apply(apply, |_| Event::NoSlot { step, retry_after }).await?;
        self.carry_out_all(applied.stored()).await
    }
}
