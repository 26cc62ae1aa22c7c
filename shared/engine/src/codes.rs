//! Codes that people type into portals: each a try that is committed before anything is compared.
//!
//! The code itself is neither stored nor logged, and a message that carried one is parked, if it must be, without it.

use std::time::Duration;

use fleet_broker::{Delivery, Handler, Verdict};
use fleet_contracts::{self as contracts, CodeEntered, Invalid, Message, OneTimeCode};
use fleet_domain::{
    AHEAD_ID, Attempt, Challenge, ChallengeKey, CodeVerdict, DeviceId, Event, Factor, NotOpened, Refusal,
    Step, UserId, owed,
};
use fleet_lifecycle::{CrashPoint, crash_point};
use fleet_records::{Actor, CodeDevice, GuessLimit, Stored};

use crate::accept::unexpected;
use crate::{Applied, Apply, Engine, Error, Hands};

/// How long after the time in its challenge's id a code may be there before the challenge is: it comes by another queue.
const AHEAD_OF_CHALLENGE: Duration = Duration::from_secs(30);
/// How long such a code rests before it is looked at again.
const PAUSE: Duration = Duration::from_secs(2);

/// Takes the queue `challenge.code`. Idempotent by (portal, challenge id, id of the event, code): the same message again goes
/// on with the try that it took.
pub struct CodeHandler<H> {
    engine: Engine,
    hands: H,
}

impl<H: Hands> CodeHandler<H> {
    /// What is owed after the end is carried out by `hands`.
    pub fn new(engine: Engine, hands: H) -> Self {
        Self { engine, hands }
    }

    async fn take(&self, delivery: &Delivery) -> Result<Verdict, Error> {
        let portal = match self.engine.portal_of(delivery)? {
            Ok(portal) => portal,
            Err(verdict) => return Ok(verdict),
        };
        let (event_id, entered) = match read_code(&delivery.body) {
            Ok(read) => read,
            Err(invalid) => return self.engine.refuse_invalid(&portal.name, &invalid).await,
        };
        let key = ChallengeKey { id: entered.challenge_id, portal: portal.name.clone() };
        let Some(stored) = self.engine.records().load(&key).await? else {
            return self.engine.code_without_challenge(&key).await;
        };
        let stored = self.engine.take_code(stored, &event_id, &entered.code).await?;
        for effect in owed(&stored.challenge) {
            self.hands.carry_out(stored.clone(), effect).await?;
        }
        Ok(Verdict::Done)
    }
}

impl<H: Hands> Handler for CodeHandler<H> {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        self.take(&delivery).await.unwrap_or_else(|error| error.verdict())
    }

    async fn give_up(&self, delivery: Delivery) -> Verdict {
        self.engine.give_up(&delivery, &self.hands).await
    }
}

/// What comparing a code has found.
enum Found {
    Right(DeviceId),
    Wrong,
    /// It was right, but taken before.
    Replayed,
    LockedOut,
    NoDevice,
}

impl Found {
    const fn verdict(&self) -> CodeVerdict {
        match self {
            Self::Right(device) => CodeVerdict::Right(*device),
            Self::Wrong | Self::Replayed => CodeVerdict::Wrong,
            Self::LockedOut => CodeVerdict::LockedOut,
            Self::NoDevice => CodeVerdict::NoDevice,
        }
    }

    const fn word(&self) -> &'static str {
        match self {
            Self::Right(_) => "right",
            Self::Wrong => "wrong",
            Self::Replayed => "replayed",
            Self::LockedOut => "locked_out",
            Self::NoDevice => "no_device",
        }
    }
}

impl Engine {
    /// Takes a try for the code, compares it and commits the finding. Gives the challenge as it then stands; one that waits
    /// for no code stays as it is.
    async fn take_code(&self, stored: Stored, event_id: &str, code: &OneTimeCode) -> Result<Stored, Error> {
        let key = stored.challenge.key.clone();
        let id = self.code_try(&key, event_id, code);
        let apply = Apply::urgent(&key, Actor::Person).knowing(stored);
        let entered = self.apply(apply, |challenge| match challenge.awaiting_code() {
            Some(attempt) => Event::CodeEntered { attempt: attempt.number, id },
            // It does what is due anyway, and nothing else.
            None => Event::Expire,
        });
        let entered = entered.await?;
        let stored = entered.stored().clone();
        let Some(attempt) = stored.challenge.awaiting_code().filter(|attempt| attempt.compares(&id)) else {
            self.inner.metrics.code("late");
            return Ok(stored);
        };
        crash_point(CrashPoint::CodeTried);
        let found = self.compare_code(&stored.challenge, attempt, (&id, code)).await?;
        crash_point(CrashPoint::CodeCompared);
        self.inner.metrics.code(found.word());
        let judged = Event::CodeJudged { attempt: attempt.number, id, verdict: found.verdict() };
        let user = stored.challenge.request.user.clone();
        let apply = Apply::urgent(&key, Actor::Person).knowing(stored);
        let applied: Applied = self.apply(apply, |_| judged.clone()).await?;
        if let (Found::Right(_), Some(user)) = (&found, user)
            && let Err(error) = self.records().forget_wrong(&user, Factor::Totp).await
        {
            // The next right one forgets them too.
            tracing::debug!(challenge = %key, %error, "wrong codes are not forgotten yet");
        }
        Ok(applied.stored().clone())
    }

    /// What is stored of a try. Another code under the same id is another try: else it would be compared without one.
    fn code_try(&self, key: &ChallengeKey, event_id: &str, code: &OneTimeCode) -> [u8; 16] {
        let parts = [
            key.portal.as_str().as_bytes(),
            key.id.as_bytes().as_slice(),
            event_id.as_bytes(),
            code.reveal().as_bytes(),
        ];
        self.keys().keyed_hash("code_try", &parts)
    }

    async fn compare_code(
        &self,
        challenge: &Challenge,
        attempt: &Attempt,
        (by, code): (&[u8; 16], &OneTimeCode),
    ) -> Result<Found, Error> {
        let Some(user) = &challenge.request.user else { return Ok(Found::NoDevice) };
        let devices = self.devices_with_codes(user, challenge.current_step()).await?;
        if devices.is_empty() {
            return Ok(Found::NoDevice);
        }
        let took = |device: &&CodeDevice| device.taken_by.as_deref() == Some(by);
        if let Some(device) = devices.iter().find(took) {
            // A process has died since, and the code may be too old by now.
            return Ok(Found::Right(device.id));
        }
        let is_counted = attempt.codes.as_ref().is_some_and(|codes| codes.counted);
        if !is_counted && !self.records().count_guess(user, Factor::Totp, self.code_limit()).await? {
            return Ok(Found::LockedOut);
        }
        let now = u64::try_from(self.now().as_secs()).unwrap_or(0);
        let mut found = Found::Wrong;
        for CodeDevice { id, secret, .. } in devices {
            let Some(step) = secret.matching_step(code.reveal(), now) else { continue };
            if self.records().take_code((id, step), by).await? {
                return Ok(Found::Right(id));
            }
            found = Found::Replayed;
        }
        Ok(found)
    }

    /// The devices with codes that the step is open to.
    async fn devices_with_codes(&self, user: &UserId, step: Option<&Step>) -> Result<Vec<CodeDevice>, Error> {
        let only = match step {
            Some(Step::Totp { device, .. }) => *device,
            Some(Step::Voice { .. } | Step::Push { .. }) | None => return Ok(Vec::new()),
        };
        let mut devices = self.records().code_devices(user).await?;
        devices.retain(|device| only.is_none_or(|only| only == device.id));
        Ok(devices)
    }

    fn code_limit(&self) -> GuessLimit {
        GuessLimit {
            calls: self.inner.settings.lockout_challenges,
            lock_for: self.inner.settings.lockout_time,
        }
    }

    /// The challenge may still be on its way, for a while after the time in its id. Then there is none for this portal,
    /// whatever others have.
    async fn code_without_challenge(&self, key: &ChallengeKey) -> Result<Verdict, Error> {
        let (made, now) = (key.id.created_at(), self.now());
        if made <= now.plus(AHEAD_ID) && now.since(made) < AHEAD_OF_CHALLENGE {
            return Ok(Verdict::RetryIn(PAUSE));
        }
        self.inner.metrics.code("unknown");
        let unknown = NotOpened {
            refusal: Refusal::InvalidRequest,
            field: "challenge_id",
            rule: "must be that of a challenge which this portal has asked for",
        };
        self.refuse_not_opened(key, &unknown).await
    }
}

/// The id of the event, and what was typed.
fn read_code(body: &[u8]) -> Result<(String, CodeEntered), Invalid> {
    let event = contracts::parse(body)?.event;
    let event_type = event.message.event_type();
    if let Message::CodeEntered(entered) = event.message {
        Ok((event.id, entered))
    } else {
        Err(unexpected(event_type))
    }
}
