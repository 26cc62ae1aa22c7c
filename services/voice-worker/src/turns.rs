//! Calls that wait for their turn at the carrier. They wait in the database, and any voice-worker claims the first ones
//! when their slots are near: who accepted them does not matter, nor whether that process still lives.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet_domain::{Effect, owed};
use fleet_engine::Error;
use fleet_lifecycle::{Stop, Tasks};
use fleet_records::{Claimed, Place, Slot};
use tokio::sync::Semaphore;

use crate::effects::VoiceHands;
use crate::pacing::attempt_owed;

/// Between two looks at who waits: a fraction of how far ahead slots are given out.
const PAUSE: Duration = Duration::from_millis(100);
/// Looks from one measurement of how many wait to the next.
const LOOKS_PER_MEASUREMENT: u32 = 50;

impl VoiceHands {
    /// Dials those whose turn it is, until the stop.
    pub(crate) async fn serve_turns(self, places: u16, tasks: Tasks, stop: Stop) -> anyhow::Result<()> {
        let turns = Turns {
            hands: self,
            places: Arc::new(Semaphore::new(places.into())),
            done: Arc::default(),
            failing: false,
        };
        turns.serve(&tasks, &stop).await;
        Ok(())
    }

    async fn dial_claimed(&self, claimed: &Claimed) -> Result<(), Error> {
        let Some(stored) = self.engine.records().load(&claimed.key).await? else { return Ok(()) };
        let is_owed = owed(&stored.challenge).contains(&Effect::Dial);
        if !is_owed || attempt_owed(&stored.challenge) != claimed.attempt {
            return Ok(());
        }
        match claimed.slot {
            Slot::At(slot) => match self.ready(stored).await? {
                Some((stored, call)) => self.dial_at(stored, call, slot).await,
                None => Ok(()),
            },
            Slot::TooLate(expected) | Slot::Waits(expected) => self.no_slot(stored, expected).await,
        }
    }
}

/// Who waits for a turn at the carrier, as this process serves them.
struct Turns {
    hands: VoiceHands,
    /// Calls that may be dialed at once.
    places: Arc<Semaphore>,
    /// Places that can be given up. A std mutex: it is never held over an await.
    done: Arc<Mutex<Vec<Place>>>,
    failing: bool,
}

impl Turns {
    async fn serve(mut self, tasks: &Tasks, stop: &Stop) {
        let mut looks = 0;
        while tokio::time::timeout(PAUSE, stop.soft()).await.is_err() {
            for claimed in self.claim(self.places.available_permits()).await {
                self.dial_soon(claimed, tasks);
            }
            if looks == 0 {
                self.measure().await;
            }
            looks = (looks + 1) % LOOKS_PER_MEASUREMENT;
        }
        // What was dialed meanwhile need not be claimed again by others.
        self.claim(0).await;
    }

    async fn claim(&mut self, most: usize) -> Vec<Claimed> {
        let done = std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner));
        let pace = &self.hands.pace;
        let error = match pace.records.claim_slots(&pace.carrier, most, &done).await {
            Ok(claimed) => {
                if self.failing {
                    tracing::info!("waiting calls are claimed again");
                }
                self.failing = false;
                return claimed;
            }
            Err(error) => error,
        };
        if !self.failing {
            tracing::warn!(%error, "waiting calls can't be claimed; it is tried again and again");
        }
        self.failing = true;
        self.done.lock().unwrap_or_else(PoisonError::into_inner).extend(done);
        Vec::new()
    }

    /// How many wait, in all.
    async fn measure(&self) {
        let pace = &self.hands.pace;
        if let Ok(carriers) = pace.records.carriers().await
            && let Some(carrier) = carriers.iter().find(|carrier| carrier.name == pace.carrier.name)
        {
            pace.metrics.waiting(carrier, self.hands.engine.now());
        }
    }

    fn dial_soon(&self, claimed: Claimed, tasks: &Tasks) {
        let (hands, done) = (self.hands.clone(), Arc::clone(&self.done));
        let place = Arc::clone(&self.places).try_acquire_owned();
        tasks.spawn_detail("dial", async move {
            match hands.dial_claimed(&claimed).await {
                Ok(()) => done.lock().unwrap_or_else(PoisonError::into_inner).push(claimed.place),
                // It is claimed again.
                Err(error) => {
                    tracing::debug!(challenge = %claimed.key, %error, "a call could not be dialed in its turn");
                }
            }
            drop(place);
        });
    }
}
