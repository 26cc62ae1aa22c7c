//! One message in, one verdict out.

use fleet_broker::{Delivery, Handler, Verdict};
use fleet_domain::{Channel, Effect};
use fleet_engine::{Accepted, Begin, Error, Hands, owed_verdict};
use fleet_records::Stored;

use crate::effects::VoiceHands;

/// Takes challenges; acks when their call is placed or settled otherwise. Idempotent by (portal, challenge
/// id): a second delivery finds the row and carries out what is left.
pub(crate) struct ChallengeHandler {
    pub(crate) hands: VoiceHands,
    /// The channel that the queue stands for; `None` for the user's own method.
    pub(crate) channel: Option<Channel>,
}

impl Handler for ChallengeHandler {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        let accepted = match self.hands.engine.accept(&delivery, self.channel, Begin::Queued).await {
            Ok(accepted) => accepted,
            Err(error) => return error.verdict(),
        };
        let carried_out = match accepted {
            Accepted::New { stored, .. } => self.hands.carry_out_all(&stored).await,
            Accepted::Known(stored) => self.carry_on(&stored).await,
            Accepted::Refused(verdict) => return verdict,
        };
        carried_out.map_or_else(|error| error.verdict(), |()| Verdict::Done)
    }

    async fn give_up(&self, delivery: Delivery) -> Verdict {
        self.hands.engine.give_up(&delivery, &self.hands).await
    }
}

impl ChallengeHandler {
    /// Carries on with a challenge that came before. On the queue of all channels it may be a push-worker's, which died or has
    /// sent the delivery to rest: what was to come of the push depends on this very delivery, so it is handed over.
    async fn carry_on(&self, stored: &Stored) -> Result<(), Error> {
        self.hands.carry_out_all(stored).await?;
        let challenge = &stored.challenge;
        let live = challenge.live_attempt().filter(|_| challenge.is_open());
        if live.is_some_and(|attempt| attempt.channel == Channel::Push) {
            self.hands.engine.hand_over(&challenge.key, &Effect::Push).await?;
        }
        Ok(())
    }
}

/// Takes owed voice work: whatever the challenge's row says is owed or due is done. Idempotent by the row.
pub(crate) struct OwedHandler {
    pub(crate) hands: VoiceHands,
}

impl Handler for OwedHandler {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        let stored = match self.hands.engine.load_owed(&delivery).await {
            Ok(Ok(stored)) => stored,
            Ok(Err(verdict)) => return verdict,
            Err(error) => return owed_verdict(&error),
        };
        let now = self.hands.engine.now();
        let due = stored
            .challenge
            .live
            .attempts
            .iter()
            .find(|a| a.may_ring() && a.check_at.is_some_and(|at| at <= now));
        let done = match due {
            Some(attempt) => self.hands.look(stored.clone(), attempt.number).await,
            None => self.hands.carry_out_all(&stored).await,
        };
        match done {
            Ok(()) => Verdict::Done,
            Err(error) => owed_verdict(&error),
        }
    }
}
