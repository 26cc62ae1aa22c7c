//! One message in, one verdict out.

use fleet_broker::{Delivery, Handler, Verdict};
use fleet_domain::{Channel, Effect, owed};
use fleet_engine::{Accepted, Begin, owed_verdict};

use crate::dispatch::Dispatch;
use crate::hands::QueueHands;

/// Takes challenges; acks when their push is committed as `pushed`, or whatever else is owed is handed over. The push is
/// handed over too where FCM is so slow that sending it here would hold up what is still to be accepted.
/// Idempotent by (portal, challenge id): a second delivery finds the row, and `turn` says what is left to do.
pub(crate) struct ChallengeHandler {
    pub(crate) dispatch: Dispatch,
    /// The channel that the queue stands for; `None` for the user's own method.
    pub(crate) channel: Option<Channel>,
}

impl Handler for ChallengeHandler {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        let place = self.dispatch.place().await;
        let begin = if place.is_some() { Begin::Sending } else { Begin::Queued };
        let accepted = match self.dispatch.engine().accept(&delivery, self.channel, begin).await {
            Ok(accepted) => accepted,
            Err(error) => return error.verdict(),
        };
        let carried_on = match accepted {
            Accepted::New { stored, .. } | Accepted::Known(stored)
                if place.is_none() && owed(&stored.challenge).contains(&Effect::Push) =>
            {
                self.dispatch.hand_over_owed(&stored).await
            }
            Accepted::New { stored, user } => self.dispatch.carry_on_accepted(stored, user, &delivery).await,
            Accepted::Known(stored) => self.dispatch.carry_on(stored, &delivery).await,
            Accepted::Refused(verdict) => return verdict,
        };
        carried_on.unwrap_or_else(|error| error.verdict())
    }

    async fn give_up(&self, delivery: Delivery) -> Verdict {
        let engine = self.dispatch.engine();
        engine.give_up(&delivery, &QueueHands::new(engine.clone())).await
    }
}

/// Takes owed pushes: whatever the challenge's row says is owed is done. Idempotent by the row.
pub(crate) struct OwedHandler {
    pub(crate) dispatch: Dispatch,
}

impl Handler for OwedHandler {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        let carried_on = match self.dispatch.engine().load_owed(&delivery).await {
            Ok(Ok(stored)) => self.dispatch.carry_on(stored, &delivery).await,
            Ok(Err(verdict)) => return verdict,
            Err(error) => Err(error),
        };
        carried_on.unwrap_or_else(|error| owed_verdict(&error))
    }
}
