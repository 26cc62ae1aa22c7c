//! What a person asked for by the way in which a challenge ended: a report of fraud blocks the user, and a number that
//! is never to be called again is opted out. It belongs to telling the end, so whoever tells it does it, and what
//! nobody has done the sweep does. Also what a help desk does to users while challenges are under way.

use std::time::Duration;

use fleet_contracts::{self as contracts, FraudReported};
use fleet_domain::{
    Challenge, ChallengeKey, Channel, Command, End, Event, Portal, Purpose, Reason, Step, Timestamp, UserId,
    owed,
};
use fleet_records::{Actor, Cause};

use crate::{Apply, Engine, Error};

const DAY: Duration = Duration::from_hours(24);
/// A challenge that was being accepted while its user was blocked is stored by then.
pub(crate) const ACCEPTED_WITHIN: Duration = Duration::from_secs(2);
/// How often a user's open challenges are listed at most: each time, the newest of them are ended.
const LISTS: usize = 50;

impl Engine {
    /// Does what the person asked for by this end. Idempotent by the challenge.
    pub(crate) async fn carry_out_wishes(&self, challenge: &Challenge, portal: &Portal) -> Result<(), Error> {
        let (Some(end), Some(user)) = (&challenge.live.end, &challenge.request.user) else { return Ok(()) };
        if end.reason == Reason::FraudReported {
            self.report_fraud(challenge, (user, end), portal).await
        } else if end.reason == Reason::NumberOptedOut {
            self.opt_out(challenge, user).await
        } else {
            Ok(())
        }
    }

    async fn report_fraud(
        &self,
        challenge: &Challenge,
        (user, end): (&UserId, &End),
        portal: &Portal,
    ) -> Result<(), Error> {
        let key = &challenge.key;
        let mut days = u32::from(portal.policy.fraud_block_days);
        if !self.is_enrolled_what_answered(challenge, (user, end)).await? {
            days = 0;
        }
        let blocked_until = (days > 0).then(|| end.at.plus(DAY * days));
        let cause = Cause::person(key, "fraud reported");
        let channel = challenge.telling_attempt().map_or(Channel::Voice, |attempt| attempt.channel);
        let is_first = match blocked_until {
            Some(until) => self.inner.records.block(user, Some(until), &cause).await?,
            None => self.inner.records.leave_unblocked(user, &cause).await?,
        };
        if is_first {
            tracing::warn!(challenge = %key, blocked = days > 0, "a person reported fraud");
            self.inner.metrics.fraud_reported(channel.as_str(), days > 0);
        }
        if days > 0 {
            self.halt_open_of(user, Reason::UserBlocked, &Actor::Fleet).await?;
            if is_first {
                self.halt_late_ones_of(user.clone());
            }
        }
        let reported = FraudReported {
            challenge_id: key.id,
            portal: key.portal.clone(),
            user_id: user.clone(),
            channel,
            reported_at: end.at,
            blocked_until,
        };
        // Another event of the same version: its id must be another one.
        let id = format!("{}/fraud", contracts::event_id(&key.portal, key.id, end.version));
        self.publish_event(&key.portal, id, contracts::Message::FraudReported(reported)).await
    }

    /// Whether the phone or device that reported is the user's. One that is only being tested may be a stranger's, by a wrong
    /// digit or a code that was photographed: the report ends its request, and blocks nobody.
    async fn is_enrolled_what_answered(
        &self,
        challenge: &Challenge,
        (user, end): (&UserId, &End),
    ) -> Result<bool, Error> {
        if challenge.request.purpose != Purpose::EnrollmentTest {
            return Ok(true);
        }
        let records = &self.inner.records;
        let Some(found) = records.user(user).await? else { return Ok(false) };
        if let Some(answered) = end.device {
            return Ok(found.devices.iter().any(|device| device.id == answered));
        }
        let step = challenge.live.attempts.last().map_or(0, |attempt| usize::from(attempt.step));
        let Some(Step::Voice { phone: called, .. }) = challenge.request.steps.get(step) else {
            return Ok(true);
        };
        let (called, _) = records.reveal(user, called)?;
        let mut is_known = false;
        for phone in found.phones.iter().filter(|phone| phone.verified) {
            is_known |= records.reveal(user, phone)?.0 == called;
        }
        Ok(is_known)
    }

    /// Only a call in which that was keyed opts its number out: others end so because it was opted out before.
    async fn opt_out(&self, challenge: &Challenge, user: &UserId) -> Result<(), Error> {
        let asked =
            challenge.live.attempts.iter().find(|attempt| {
                attempt.talk.is_some_and(|talk| talk.confirming == Some(Command::NeverAgain))
            });
        let step = asked.and_then(|attempt| challenge.request.steps.get(usize::from(attempt.step)));
        let Some(Step::Voice { phone, .. }) = step else { return Ok(()) };
        let cause = Cause::person(&challenge.key, "asked never to be called again");
        if self.inner.records.opt_out(user, phone, &cause).await? {
            self.inner.metrics.opted_out();
        }
        Ok(())
    }

    /// Blocks a user for a help desk: what is open ends, and calls that ring are hung up. `None` where there is no such
    /// user; else how many challenges it ended.
    pub async fn block(
        &self,
        user: &UserId,
        until: Option<Timestamp>,
        (actor, reason): (&Actor, &str),
    ) -> Result<Option<usize>, Error> {
        if !self.inner.records.block(user, until, &Cause::operator(reason)).await? {
            return Ok(None);
        }
        let ended = self.halt_open_of(user, Reason::UserBlocked, actor).await?;
        tokio::time::sleep(ACCEPTED_WITHIN).await;
        Ok(Some(ended + self.halt_open_of(user, Reason::UserBlocked, actor).await?))
    }

    /// Once more a little later, where the user is still blocked, or gone.
    pub(crate) fn halt_late_ones_of(&self, user: UserId) {
        let engine = self.clone();
        self.inner.tasks.spawn_detail("halt late ones", async move {
            if engine.stops_within(ACCEPTED_WITHIN).await {
                return;
            }
            let halted = async {
                let found = engine.inner.records.user(&user).await?;
                if found.is_none_or(|user| user.blocked) {
                    engine.halt_open_of(&user, Reason::UserBlocked, &Actor::Fleet).await?;
                }
                Ok::<(), Error>(())
            };
            if let Err(error) = halted.await {
                tracing::warn!(%error, "open challenges of a blocked user may not have been ended");
            }
        });
    }

    /// Ends all open challenges of a user, and hands over what they owe. Says how many.
    pub(crate) async fn halt_open_of(
        &self,
        user: &UserId,
        reason: Reason,
        actor: &Actor,
    ) -> Result<usize, Error> {
        self.halt_asked_by(user, reason, (actor, None)).await
    }

    /// The same of those that were asked for by then.
    pub(crate) async fn halt_asked_by(
        &self,
        user: &UserId,
        reason: Reason,
        (actor, asked_by): (&Actor, Option<Timestamp>),
    ) -> Result<usize, Error> {
        let mut ended = 0;
        for _ in 0..LISTS {
            let mut open = self.inner.records.open_challenges_of(user, self.now()).await?;
            open.retain(|stored| asked_by.is_none_or(|by| stored.challenge.request.accepted_at <= by));
            if open.is_empty() {
                break;
            }
            for stored in open {
                let key = stored.challenge.key.clone();
                let halt = Apply::urgent(&key, actor.clone()).knowing(stored);
                let applied = self.apply(halt, |_| Event::Halt { reason }).await?;
                self.hand_over_all(&key, &applied.stored().challenge).await;
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// What cannot be handed over is found by the watch over its attempt.
    async fn hand_over_all(&self, key: &ChallengeKey, challenge: &Challenge) {
        for effect in owed(challenge) {
            if let Err(error) = self.hand_over(key, &effect).await {
                tracing::warn!(challenge = %key, %error, "not handed over; left to the sweep");
            }
        }
    }
}
