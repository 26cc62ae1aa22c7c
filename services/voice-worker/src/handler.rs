//! One message in, one verdict out.

use fleet_broker::{Delivery, Handler, Verdict};
use fleet_domain::{AttemptState, Challenge, Channel, Effect, unsettled_push};
use fleet_engine::{Accepted, Begin, Hands, owed_verdict};

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
        match accepted {
            Accepted::New { stored, .. } | Accepted::Known(stored) => {
                let carried_out = if is_being_pushed(&stored.challenge) {
                    self.hands.engine.hand_over(&stored.challenge.key, &Effect::Push).await
                } else {
                    self.hands.carry_out_all(&stored).await
                };
                match carried_out {
                    Ok(()) => Verdict::Done,
                    Err(error) => error.verdict(),
                }
            }
            Accepted::Refused(verdict) => verdict,
        }
    }

    async fn give_up(&self, delivery: Delivery) -> Verdict {
        self.hands.engine.give_up(&delivery, &self.hands).await
    }
}

/// A push that is being sent, or is to be sent again, is watched by the delivery of its request, which may come back here
/// where it is the user's own method: then whoever sends pushes has to watch on.
fn is_being_pushed(challenge: &Challenge) -> bool {
    if unsettled_push(challenge).is_some() {
        return true;
    }
    let live = challenge.live_attempt().filter(|_| challenge.is_open());
    live.is_some_and(|attempt| attempt.channel == Channel::Push && attempt.state != AttemptState::Reserved)
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
