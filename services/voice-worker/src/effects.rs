//! Carries out what is owed by voice: places a call, ends one, looks one up.
//!
//! The POST of a call belongs to the process whose commit moved its attempt to `dialing`, and is made once.

use std::pin::Pin;
use std::time::Duration;

use fleet_domain::{
    AttemptState, CallerId, Challenge, ChallengeKey, Effect, Event, HANG_UP_CHECK, PhoneNumber, Reason, Step,
    UNKNOWN_CHECK, UserId, choose_caller_id,
};
use fleet_engine::{Applied, Apply, Engine, Error, Hands};
use fleet_records::{Actor, Stored};
use fleet_twilio::{CallError, CallErrorKind, CallStatus, Carrier, CreateCall, end_reason};

/// How long after its ringing has ended a call may go without a callback before it is looked up.
const CALLBACK_MARGIN: Duration = Duration::from_secs(10);
/// How much longer than the POST's own time-out an attempt is left alone.
const POST_MARGIN: Duration = Duration::from_secs(2);

/// The worker's hands: a carrier for voice, queues for everything else.
#[derive(Clone)]
pub(crate) struct VoiceHands {
    pub(crate) engine: Engine,
    pub(crate) carrier: Carrier,
}

impl Hands for VoiceHands {
    async fn carry_out(&self, stored: Stored, effect: Effect) -> Result<(), Error> {
        match effect {
            Effect::Dial => self.dial(stored).await,
            Effect::HangUp { attempt, sid } => self.hang_up(&stored.challenge.key, attempt, &sid).await,
            Effect::Push => self.engine.hand_over(&stored.challenge.key, &effect).await,
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
            for effect in fleet_domain::owed(&stored.challenge) {
                self.carry_out(stored.clone(), effect).await?;
            }
            Ok(())
        })
    }

    async fn dial(&self, stored: Stored) -> Result<(), Error> {
        let key = stored.challenge.key.clone();
        let call = match self.prepare(&stored.challenge) {
            Ok(call) => call,
            Err(reason) => {
                let halt = Apply::bulk(&key, Actor::Fleet).knowing(stored);
                self.engine.apply(halt, |_| Event::Halt { reason }).await?;
                return Ok(());
            }
        };
        let line = self.engine.records().line(&call.to, call.extension.is_some(), &call.caller_id.number);
        let check_after = self.carrier.profile().request_timeout() + POST_MARGIN;
        let apply = Apply::bulk(&key, Actor::Fleet).knowing(stored).taking(line);
        let applied = self
            .engine
            .apply(apply, |_| Event::Dial { caller_id: call.caller_id.clone(), check_after })
            .await?;
        if applied.moved_to(AttemptState::Dialing)
            && let Some(attempt) = applied.stored().challenge.live_attempt().map(|attempt| attempt.number)
        {
            self.post(applied, attempt, &call).await?;
        }
        Ok(())
    }

    /// Opens what the call needs; the reason to halt when it cannot be placed at all.
    fn prepare(&self, challenge: &Challenge) -> Result<PreparedCall, Reason> {
        let (Some(Step::Voice { phone, ring_s }), Some(user)) =
            (challenge.current_step(), challenge.request.user.as_ref())
        else {
            return Err(Reason::Internal);
        };
        let (to, extension) = self.reveal(user, phone)?;
        let pool = self.carrier.profile().caller_ids();
        let caller_id = choose_caller_id(pool, &to).ok_or(Reason::Misconfigured)?;
        let from = PhoneNumber::parse(&caller_id.number).map_err(|_| Reason::Misconfigured)?;
        Ok(PreparedCall { to, from, extension, caller_id, ring: Duration::from_secs(u64::from(*ring_s)) })
    }

    fn reveal(
        &self,
        user: &UserId,
        phone: &fleet_domain::Phone,
    ) -> Result<(PhoneNumber, Option<fleet_domain::Extension>), Reason> {
        self.engine.records().reveal(user, phone).map_err(|error| {
            tracing::error!(%error, "a stored phone number cannot be opened; is keys.master the one that sealed it?");
            Reason::Misconfigured
        })
    }

    async fn post(&self, dialing: Applied, attempt: u8, call: &PreparedCall) -> Result<(), Error> {
        let stored = dialing.stored().clone();
        let key = stored.challenge.key.clone();
        let left = stored.challenge.request.answer_by.since(self.engine.now());
        let ring = call.ring.min(left).max(Duration::from_secs(1));
        let links = self.engine.links();
        let mut create = CreateCall::new(
            call.to.clone(),
            call.from.clone(),
            links.twiml_url(&key, attempt),
            links.status_url(&key, attempt),
            ring,
        );
        if let Some(extension) = &call.extension {
            create = create.extension(extension);
        }
        let event = match self.carrier.create_call(&create).await {
            Ok(placed) => Event::Placed { attempt, sid: placed.sid, check_after: ring + CALLBACK_MARGIN },
            Err(error) => not_placed(&key, attempt, &error),
        };
        let apply = Apply::bulk(&key, Actor::Provider).knowing(stored);
        let applied = self.engine.apply(apply, |_| event.clone()).await?;
        // It may have ended meanwhile: then the call that was just placed is owed a hang-up.
        self.carry_out_all(applied.stored()).await
    }

    async fn hang_up(&self, key: &ChallengeKey, attempt: u8, sid: &str) -> Result<(), Error> {
        let check_after = match self.carrier.end_call(sid).await {
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

    /// Asks the carrier what became of a call whose callbacks did not come.
    async fn look_up(&self, stored: Stored, number: u8) -> Result<(), Error> {
        let key = stored.challenge.key.clone();
        let Some(attempt) = stored.challenge.attempt(number) else { return Ok(()) };
        let Some(sid) = attempt.sid.clone() else {
            // Nobody called back within the time that an unclear attempt is given. Its call, if there is one,
            // is fenced: whenever it turns up, it hears a hang-up.
            return self.settle(stored, &key, Event::Lost { attempt: number }).await;
        };
        let event = match self.carrier.fetch_call(&sid).await {
            Ok(call) => {
                let Some(status) = call.status else { return self.still_alive(stored, number).await };
                if !stored.challenge.is_open() && !is_over(status) {
                    return self.hang_up(&key, number, &sid).await;
                }
                match status {
                    CallStatus::Queued | CallStatus::Initiated => {
                        return self.still_alive(stored, number).await;
                    }
                    CallStatus::Ringing => Event::Ringing { attempt: number, sid },
                    CallStatus::InProgress => Event::Answered { attempt: number, sid },
                    CallStatus::Completed
                    | CallStatus::Busy
                    | CallStatus::Failed
                    | CallStatus::NoAnswer
                    | CallStatus::Canceled => Event::CallEnded {
                        attempt: number,
                        sid,
                        reason: end_reason(status, None),
                        sip: None,
                        duration_s: call.duration.and_then(|d| u32::try_from(d.as_secs()).ok()),
                    },
                }
            }
            Err(error) if error.kind() == CallErrorKind::NotFound => Event::Lost { attempt: number },
            Err(error) => {
                tracing::warn!(challenge = %key, %error, "a call could not be looked up; it is tried again");
                return self.still_alive(stored, number).await;
            }
        };
        self.settle(stored, &key, event).await
    }

    async fn settle(&self, stored: Stored, key: &ChallengeKey, event: Event) -> Result<(), Error> {
        let apply = Apply::bulk(key, Actor::Provider).knowing(stored);
        let applied = self.engine.apply(apply, |_| event.clone()).await?;
        if let Applied::Unchanged { stored, .. } = &applied
            && let Some(attempt) = stored.challenge.live.attempts.last()
            && attempt.check_at.is_some_and(|at| at <= self.engine.now())
        {
            return self.still_alive(stored.clone(), attempt.number).await;
        }
        self.carry_out_all(applied.stored()).await
    }

    async fn still_alive(&self, stored: Stored, attempt: u8) -> Result<(), Error> {
        let key = stored.challenge.key.clone();
        let apply = Apply::bulk(&key, Actor::Provider).knowing(stored);
        self.engine.apply(apply, |_| Event::StillAlive { attempt, check_after: UNKNOWN_CHECK }).await?;
        Ok(())
    }
}

struct PreparedCall {
    to: PhoneNumber,
    from: PhoneNumber,
    extension: Option<fleet_domain::Extension>,
    caller_id: CallerId,
    ring: Duration,
}

/// What a failed POST means for the attempt: an unclear one is never repeated.
fn not_placed(key: &ChallengeKey, attempt: u8, error: &CallError) -> Event {
    tracing::warn!(challenge = %key, attempt, %error, "the carrier did not take a call");
    match error.class() {
        fleet_domain::FailureClass::MaybeHappened => Event::Unclear { attempt, check_after: UNKNOWN_CHECK },
        fleet_domain::FailureClass::Transient
        | fleet_domain::FailureClass::Throttled { .. }
        | fleet_domain::FailureClass::Permanent => {
            Event::NotPlaced { attempt, reason: error.reason(), provider_code: error.code() }
        }
    }
}

const fn is_over(status: CallStatus) -> bool {
    match status {
        CallStatus::Completed
        | CallStatus::Busy
        | CallStatus::Failed
        | CallStatus::NoAnswer
        | CallStatus::Canceled => true,
        CallStatus::Queued | CallStatus::Initiated | CallStatus::Ringing | CallStatus::InProgress => false,
    }
}
