//! PINs that are keyed in a call: compared one after the other by few threads, each only after its try was committed
//! and its call counted.

use std::sync::Arc;

use fleet_domain::{Challenge, Event, Factor, PinVerdict, Timestamp, UserId};
use fleet_engine::{Applied, Apply};
use fleet_keys::{Pin, PinHash};
use fleet_records::{Actor, Guess, GuessLimit, Stored};
use fleet_settings::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Setback;
use crate::gateway::Gateway;

const DAY_S: u64 = 24 * 60 * 60;

/// The threads that compare: a burst of PINs must leave processors and memory to everything else.
pub(crate) struct Comparing(Arc<Semaphore>);

/// A place in which one PIN may be compared.
pub(crate) struct Place(OwnedSemaphorePermit);

/// What came of comparing a PIN.
enum Compared {
    Wrong,
    Right,
    /// Right by a hash that is to be replaced, with the one to store instead.
    RightInOldForm(PinHash),
}

impl Comparing {
    pub(crate) fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }
}

impl Gateway {
    /// A place to compare a PIN. Taken before the try is: what cannot be compared must cost no try.
    pub(crate) async fn place_to_compare(&self) -> Result<Place, Setback> {
        let waiting = self.comparing.0.clone().acquire_owned();
        let waited = tokio::time::timeout(self.settings.request_timeout / 2, waiting).await;
        let Ok(Ok(permit)) = waited else {
            self.metrics.pin("busy");
            return Err(Setback::Contended);
        };
        Ok(Place(permit))
    }

    /// Finds out what a PIN is whose try this process has just committed, and commits the finding.
    pub(crate) async fn judge(
        &self,
        stored: Stored,
        (attempt, round): (u8, u8),
        digits: SecretString,
        place: Place,
    ) -> Result<Applied, Setback> {
        let verdict = self.verdict(&stored.challenge, attempt, digits, place).await?;
        self.metrics.pin(word(verdict));
        let key = stored.challenge.key.clone();
        let user = stored.challenge.request.user.clone();
        let stored_pin = stored.challenge.request.pin.clone();
        let judged = Event::PinJudged { attempt, round, verdict };
        let apply = Apply::urgent(&key, Actor::Person).knowing(stored);
        let applied = self.engine.apply(apply, |_| judged.clone()).await?;
        let own = stored_pin.is_none();
        let was_right = own && matches!(verdict, PinVerdict::Right | PinVerdict::Expired);
        if let (true, Some(user)) = (was_right, user)
            && let Err(error) = self.engine.records().forget_wrong(&user, Factor::Pin).await
        {
            // The next right one forgets them too.
            tracing::debug!(challenge = %key, %error, "wrong PINs are not forgotten yet");
        }
        Ok(applied)
    }

    async fn verdict(
        &self,
        challenge: &Challenge,
        attempt: u8,
        digits: SecretString,
        place: Place,
    ) -> Result<PinVerdict, Setback> {
        let Some(user) = challenge.request.user.clone() else { return Ok(PinVerdict::NoPin) };
        if let Some(pin) = challenge.request.pin.clone() {
            return self.verdict_of_test(user, digits, PinHash::from_stored(pin), place).await;
        }
        let talk = challenge.attempt(attempt).and_then(|attempt| attempt.talk).unwrap_or_default();
        let counting = (!talk.counted).then_some(self.guess_limit());
        let (hash, set_at) = match self.engine.records().take_guess(&user, counting).await? {
            Guess::Compare { hash, set_at } => (hash, set_at),
            Guess::LockedOut => return Ok(PinVerdict::LockedOut),
            Guess::NoPin => return Ok(PinVerdict::NoPin),
        };
        let compared = self.compare(user.as_str().to_owned(), digits, hash.clone(), place).await?;
        if let Compared::RightInOldForm(new) = &compared {
            self.rewrite(&user, &hash, new).await;
        }
        Ok(match compared {
            Compared::Wrong => PinVerdict::Wrong,
            Compared::Right | Compared::RightInOldForm(_) if self.is_too_old(challenge, set_at) => {
                PinVerdict::Expired
            }
            Compared::Right | Compared::RightInOldForm(_) => PinVerdict::Right,
        })
    }

    /// A PIN that is being set is keyed in its test: it is nobody's yet, so no guess at it is counted. The tries of the call
    /// are all that it takes.
    async fn verdict_of_test(
        &self,
        user: UserId,
        digits: SecretString,
        hash: PinHash,
        place: Place,
    ) -> Result<PinVerdict, Setback> {
        Ok(match self.compare(user.as_str().to_owned(), digits, hash, place).await? {
            Compared::Wrong => PinVerdict::Wrong,
            Compared::Right | Compared::RightInOldForm(_) => PinVerdict::Right,
        })
    }

    /// Only now the digits are known of which our own hash can be made. The next right answer makes up for a failure.
    async fn rewrite(&self, user: &UserId, old: &PinHash, new: &PinHash) {
        if let Err(error) = self.engine.records().rewrite_pin(user, old, new).await {
            tracing::debug!(%error, "an imported PIN is kept in its old form; the next right answer replaces it");
        }
    }

    async fn compare(
        &self,
        user: String,
        digits: SecretString,
        hash: PinHash,
        place: Place,
    ) -> Result<Compared, Setback> {
        let keys = self.engine.keys().clone();
        let compared = tokio::task::spawn_blocking(move || {
            // The place is free when the thread is, whatever has become of the request.
            let _place = place.0;
            let digits = digits.expose_secret();
            if !keys.pin_matches(&user, digits, &hash) {
                return Compared::Wrong;
            }
            match Pin::parse(digits) {
                Ok(pin) if hash.needs_rehash() => Compared::RightInOldForm(keys.hash_pin(&user, &pin)),
                Ok(_) | Err(_) => Compared::Right,
            }
        });
        compared.await.map_err(|_| Setback::Fault)
    }

    fn is_too_old(&self, challenge: &Challenge, set_at: Timestamp) -> bool {
        let portal = self.engine.records().portal(&challenge.key.portal);
        let days = portal.map_or(0, |portal| u64::from(portal.policy.pin_days));
        days > 0 && self.engine.now().since(set_at).as_secs() > days * DAY_S
    }

    fn guess_limit(&self) -> GuessLimit {
        GuessLimit { calls: self.settings.lockout_calls, lock_for: self.settings.lockout_time }
    }
}

const fn word(verdict: PinVerdict) -> &'static str {
    match verdict {
        PinVerdict::Right => "right",
        PinVerdict::Wrong => "wrong",
        PinVerdict::Expired => "expired",
        PinVerdict::LockedOut => "locked_out",
        PinVerdict::NoPin => "no_pin",
    }
}
