//! Carries out what is owed by voice: places a call, ends one.
//!
//! The POST of a call belongs to the process whose commit moved its attempt to `dialing`, and is made once.

use std::pin::Pin;
use std::time::Duration;

use fleet_domain::{
    AttemptState, CALLBACK_CHECK, CallerId, Challenge, ChallengeKey, Effect, Event, FailureClass,
    HANG_UP_CHECK, LEAST_STEP, PhoneNumber, PlannedCallerId, Portal, RESERVED_CHECK, Reason, Step, Timestamp,
    UNKNOWN_CHECK, UserId, owed,
};
use fleet_engine::{Applied, Apply, Engine, Error, Hands};
use fleet_lifecycle::{CrashPoint, crash_during, crash_point};
use fleet_records::{Actor, Slot, Stored};
use fleet_twilio::{CallError, Carrier, CreateCall};

use crate::caller_ids::CallerIdPlans;
use crate::pacing::{COMMIT_AHEAD, Pace, begin_by};

/// How much longer than the POST's own time-out an attempt is left alone.
const POST_MARGIN: Duration = Duration::from_secs(2);
/// For so long after a challenge was accepted its user need not be read again: whoever blocks a user ends what was
/// accepted meanwhile.
const JUST_ACCEPTED: Duration = Duration::from_secs(1);
/// The worker's hands: a carrier for voice, queues for everything else.
#[derive(Clone)]
pub(crate) struct VoiceHands {
    pub(crate) engine: Engine,
    pub(crate) carrier: Carrier,
    pub(crate) pace: Pace,
    pub(crate) caller_ids: CallerIdPlans,
}

impl Hands for VoiceHands {
    const ASK_CARRIERS: bool = true;

    async fn carry_out(&self, stored: Stored, effect: Effect) -> Result<(), Error> {
        match effect {
            Effect::Dial => self.dial(stored).await,
            Effect::HangUp { attempt, sid } => self.hang_up(&stored.challenge, attempt, &sid).await,
            Effect::Push | Effect::Resend | Effect::Withdraw => {
                self.engine.hand_over(&stored.challenge.key, &effect).await
            }
        }
    }

    async fn look(&self, stored: Stored, attempt: u8) -> Result<(), Error> {
        self.look_up(stored, attempt).await
    }
}

impl VoiceHands {
    /// Carries out all that the challenge owes. Boxed, because a call that ends while it is being placed owes
    /// its hang-up in turn.
    pub(crate) fn carry_out_all<'a>(
        &'a self,
        stored: &'a Stored,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>> {
        Box::pin(async move {
            for effect in owed(&stored.challenge) {
                self.carry_out(stored.clone(), effect).await?;
            }
            Ok(())
        })
    }

    async fn dial(&self, stored: Stored) -> Result<(), Error> {
        let Some((stored, call)) = self.ready(stored).await? else { return Ok(()) };
        let now = self.engine.now();
        if begin_by(&stored.challenge) < now {
            // Its time is over whatever the carrier's rate: it is taken up, not POSTed, and so needs no slot.
            return self.dial_at(stored, call, now).await;
        }
        match self.pace.take(&stored.challenge).await? {
            Slot::At(slot) => self.dial_at(stored, call, slot).await,
            // It waits for its turn, and is claimed then: by this process or another one.
            Slot::Waits(_) => Ok(()),
            Slot::TooLate(expected) => self.no_slot(stored, expected).await,
        }
    }

    /// Everything that a call needs; `None` where there can't be one, which then has ended the challenge.
    pub(crate) async fn ready(&self, stored: Stored) -> Result<Option<(Stored, PreparedCall)>, Error> {
        let prepared = match self.barred(&stored.challenge).await? {
            Some(reason) => Err(reason),
            None => self.prepare(&stored.challenge, &*self.engine.portal(&stored.challenge.key.portal)?),
        };
        let reason = match prepared {
            Ok(call) => return Ok(Some((stored, call))),
            Err(reason) => reason,
        };
        let key = stored.challenge.key.clone();
        let step = stored.challenge.live.step;
        let is_due = |c: &Challenge| c.live.step == step && owed(c).contains(&Effect::Dial);
        let halt = Apply::bulk(&key, Actor::Fleet).knowing(stored);
        // Should the row have changed meanwhile, it is for whoever takes up what it owes then.
        self.engine.apply(halt, |c| if is_due(c) { Event::Halt { reason } } else { Event::Expire }).await?;
        Ok(None)
    }

    /// Commits the attempt as `dialing` shortly before the slot, and POSTs its call at the slot.
    pub(crate) async fn dial_at(
        &self,
        stored: Stored,
        call: PreparedCall,
        slot: Timestamp,
    ) -> Result<(), Error> {
        tokio::time::sleep(slot.minus(COMMIT_AHEAD).since(self.engine.now())).await;
        let key = stored.challenge.key.clone();
        let line = self.engine.records().line(&call.to, call.extension.is_some(), &call.caller_id.number);
        let check_after = self.carrier.profile().request_timeout() + POST_MARGIN;
        let dial = Event::Dial {
            step: stored.challenge.live.step,
            caller_id: call.caller_id.clone(),
            has_next_caller_id: call.has_next_caller_id,
            check_after,
        };
        let apply = Apply::bulk(&key, Actor::Fleet).knowing(stored).taking(line);
        let applied = self.engine.apply(apply, |_| dial.clone()).await?;
        if applied.moved_to(AttemptState::Dialing)
            && let Some(attempt) = applied.stored().challenge.live_attempt().map(|attempt| attempt.number)
        {
            self.post(applied, attempt, (&call, slot)).await?;
        }
        Ok(())
    }

    /// Why the person is not called, where that has become so since the challenge was accepted.
    async fn barred(&self, challenge: &Challenge) -> Result<Option<Reason>, Error> {
        let (Some(Step::Voice { phone, .. }), Some(user)) =
            (challenge.current_step(), challenge.request.user.as_ref())
        else {
            return Ok(None);
        };
        if self.engine.now().since(challenge.request.accepted_at) < JUST_ACCEPTED {
            return Ok(None);
        }
        let user = self.engine.records().user(user).await?;
        Ok(user.map_or(Some(Reason::NoMethod), |user| user.barred(phone.role)))
    }

    /// Opens what the call needs; the reason to halt when it cannot be placed at all.
    fn prepare(&self, challenge: &Challenge, portal: &Portal) -> Result<PreparedCall, Reason> {
        let (Some(Step::Voice { phone, ring_s }), Some(user)) =
            (challenge.current_step(), challenge.request.user.as_ref())
        else {
            return Err(Reason::Internal);
        };
        let (to, extension) = self.reveal(user, phone)?;
        let numbers = self.carrier.profile().caller_ids();
        let PlannedCallerId { caller_id, has_next: has_next_caller_id } =
            self.caller_ids.next(challenge, portal, (numbers, &to))?;
        let from = PhoneNumber::parse(&caller_id.number).map_err(|_| Reason::Misconfigured)?;
        let ring = Duration::from_secs(u64::from(*ring_s));
        Ok(PreparedCall { to, from, extension, caller_id, has_next_caller_id, ring })
    }

    /// A phone's number and extension.
    pub(crate) fn reveal(
        &self,
        user: &UserId,
        phone: &fleet_domain::Phone,
    ) -> Result<(PhoneNumber, Option<fleet_domain::Extension>), Reason> {
        self.engine.records().reveal(user, phone).map_err(|error| {
            tracing::error!(%error, "a stored phone number cannot be opened; is keys.master the one that sealed it?");
            Reason::Misconfigured
        })
    }

    async fn post(
        &self,
        dialing: Applied,
        attempt: u8,
        (call, slot): (&PreparedCall, Timestamp),
    ) -> Result<(), Error> {
        let stored = dialing.stored().clone();
        let key = stored.challenge.key.clone();
        let left = stored.challenge.request.answer_by.since(self.engine.now());
        if left < LEAST_STEP {
            // Nobody could answer in time: the phone need not ring for it.
            let reason = if attempt == 1 { Reason::NotStarted } else { Reason::NoResponse };
            let event = Event::NotPlaced { attempt, reason, provider_code: None, again_after: None };
            self.engine.apply(Apply::bulk(&key, Actor::Fleet).knowing(stored), |_| event.clone()).await?;
            return Ok(());
        }
        let ring = call.ring.min(left);
        let links = self.engine.links();
        let mut create = CreateCall::new(
            call.to.clone(),
            call.from.clone(),
            links.twiml_url(&key, attempt),
            links.status_url(&key, attempt),
            ring,
        )
        // A gateway that dies over an answer is not asked again; the fallback asks the person once more instead.
        .fallback_url(links.twiml_again_url(&key, attempt, 1));
        let portal = self.engine.records().portal(&key.portal);
        if let Some(extension) = &call.extension {
            create = create.extension(extension);
        } else if portal.is_some_and(|portal| portal.policy.detect_machines) {
            create = create.detecting_machines();
        }
        crash_point(CrashPoint::Committed);
        if self.pace.wait(&stored.challenge, attempt, (slot, || self.engine.now())).await.is_none() {
            let again_after = Some(RESERVED_CHECK);
            let event =
                Event::NotPlaced { attempt, reason: Reason::Throttled, provider_code: None, again_after };
            return self.engine.commit_happened(stored, &event).await.map(drop);
        }
        let posting = crash_during(CrashPoint::Posting, self.carrier.create_call(&create));
        let event = match posting.await {
            Ok(placed) => {
                let queue = placed.queue_time.unwrap_or_default();
                Event::Placed { attempt, sid: placed.sid, queue, check_after: ring + CALLBACK_CHECK }
            }
            Err(error) => not_placed(&key, attempt, &error),
        };
        crash_point(CrashPoint::Posted);
        let applied = self.engine.commit_happened(stored, &event).await?;
        crash_point(CrashPoint::Stored);
        // It may have ended meanwhile: then the call that was just placed is owed a hang-up.
        self.carry_out_all(applied.stored()).await
    }

    /// Asks the carrier to end a call, and commits that it was asked.
    pub(crate) async fn hang_up(&self, challenge: &Challenge, attempt: u8, sid: &str) -> Result<(), Error> {
        let key = &challenge.key;
        let ended = if is_queued(challenge, attempt) {
            tracing::warn!(challenge = %key, attempt, "the carrier would dial a call too late; it is taken out of its queue");
            self.carrier.cancel_call(sid).await
        } else {
            self.carrier.end_call(sid).await
        };
        let check_after = match ended {
            Ok(_) => HANG_UP_CHECK,
            Err(error) => {
                // The check looks the call up and ends it then.
                tracing::warn!(challenge = %key, %error, "a call could not be ended; it is looked up shortly");
                POST_MARGIN
            }
        };
        let apply = Apply::bulk(key, Actor::Fleet);
        self.engine.apply(apply, |_| Event::HangUpSent { attempt, check_after }).await?;
        Ok(())
    }
}

/// Whether the call waits at its carrier, as far as anybody knows: then it is canceled. Should it have been dialed
/// all the same, it gets no prompt, and the next time it is ended however it stands.
fn is_queued(challenge: &Challenge, attempt: u8) -> bool {
    challenge
        .attempt(attempt)
        .is_some_and(|attempt| attempt.reason == Some(Reason::Throttled) && attempt.looks == 0)
}

/// A call with everything in it that its POST says.
pub(crate) struct PreparedCall {
    to: PhoneNumber,
    from: PhoneNumber,
    extension: Option<fleet_domain::Extension>,
    caller_id: CallerId,
    has_next_caller_id: bool,
    ring: Duration,
}

/// What a failed POST means for the attempt: an unclear one is never repeated.
fn not_placed(key: &ChallengeKey, attempt: u8, error: &CallError) -> Event {
    tracing::warn!(challenge = %key, attempt, %error, "the carrier did not take a call");
    let again_after = match error.class() {
        FailureClass::MaybeHappened => return Event::Unclear { attempt, check_after: UNKNOWN_CHECK },
        FailureClass::Transient => Some(RESERVED_CHECK),
        FailureClass::Throttled { after } => Some(after.unwrap_or_default().max(RESERVED_CHECK)),
        FailureClass::Permanent => None,
    };
    Event::NotPlaced {
        attempt,
        reason: error.reason(),
        provider_code: error.code(),
        again_after: again_after.map(|after| after + jitter()),
    }
}

/// Up to a second, so that those who were refused together do not come back together.
fn jitter() -> Duration {
    Duration::from_millis(u64::from(u16::from_ne_bytes(fleet_keys::random_bytes()) % 1_000))
}
