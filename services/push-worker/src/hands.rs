//! What the sweep, cancels and dead letters find owed goes into the queues, pushes too: a push may take seconds,
//! and whatever waits behind it in a sweep would be late.

use fleet_domain::Effect;
use fleet_engine::{Engine, Error, Hands};
use fleet_records::Stored;

/// Hands everything over. Idempotent by the challenge's row, as is whoever takes it up.
#[derive(Clone)]
pub(crate) struct QueueHands {
    engine: Engine,
}

impl QueueHands {
    pub(crate) const fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

impl Hands for QueueHands {
    const ASK_CARRIERS: bool = false;

    async fn carry_out(&self, stored: Stored, effect: Effect) -> Result<(), Error> {
        self.engine.hand_over(&stored.challenge.key, &effect).await
    }

    async fn look(&self, stored: Stored, _attempt: u8) -> Result<(), Error> {
        self.engine.hand_over_look(&stored.challenge.key).await
    }
}
