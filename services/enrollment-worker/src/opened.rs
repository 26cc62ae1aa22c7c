//! A request becomes a row: read, its secrets opened and checked, its proof found, its duplicates settled.

use std::sync::Arc;

use fleet_broker::{Delivery, Poison, Verdict};
use fleet_contracts::{self as contracts, EnrollmentRefusedEvent, EnrollmentRequest, Invalid, Secrets};
use fleet_domain::{
    Account, ChallengeKey, Change, Enrollment, EnrollmentAsk, EnrollmentEvent, EnrollmentReason, Flaw,
    NewTest, NotOpened, OperatorCause, PhoneRole, Portal, Refusal, RequestKey, UserId, Wanted, authority,
    open_enrollment, step_enrollment,
};
use fleet_engine::Error;
use fleet_keys::Keys;
use fleet_lifecycle::{CrashPoint, crash_point};
use fleet_records::{Beside, OpenedEnrollment, StoredEnrollment};

use crate::proof::Found;
use crate::sealed_box::open_box;
use crate::secrets::{Prepared, Purpose, invalid, surplus};
use crate::worker::Worker;

/// How often a request is opened over what other processes change meanwhile.
const TRIES: u32 = 4;

/// A request that is there, or what becomes of its message.
pub(crate) type Opened = Result<StoredEnrollment, Verdict>;

impl Worker {
    /// Takes a request. Idempotent by (portal, request id): the same request again finds the same row; another one under the
    /// same id is refused as `conflict`.
    pub(crate) async fn open(
        &self,
        request: EnrollmentRequest,
        canonical: &[u8],
        portal: &Arc<Portal>,
    ) -> Result<Opened, Error> {
        let key = RequestKey { id: request.request_id, portal: portal.name.clone() };
        let body_hash = self.body_hash(&key, canonical);
        if let Some(stored) = self.records().enrollment(&key).await? {
            return self.known(stored, &body_hash).await;
        }
        if portal.policy.enrollment.operators && (request.actor.is_none() || request.reason.is_none()) {
            let rule = "and data.reason are required of an operators' portal";
            return self.refuse(&portal.name, &invalid(key.id, "data.actor", rule)).await.map(Err);
        }
        let secrets = match self.opened_box(&request) {
            Ok(secrets) => secrets,
            Err(invalid) => return self.refuse(&portal.name, &invalid).await.map(Err),
        };
        for _ in 0..TRIES {
            let tried = self.try_open(&request, secrets.clone(), (&key, body_hash), portal).await?;
            if let Some(opened) = tried {
                return Ok(opened);
            }
        }
        Err(Error::Contended(TRIES))
    }

    fn opened_box(&self, request: &EnrollmentRequest) -> Result<Secrets, Invalid> {
        let of = (request.request_id, &request.user_id);
        let Some(sealed) = &request.sealed else {
            return Ok(Secrets::new(request.request_id, request.user_id.clone()));
        };
        let secrets = open_box(&self.boxes, of, sealed)?;
        match surplus(&secrets, request.change, request.phone.unwrap_or(PhoneRole::Primary)) {
            Some(field) => {
                let rule = format!("must be absent for the change {}", request.change);
                Err(invalid(request.request_id, field, rule))
            }
            None => Ok(secrets),
        }
    }

    /// `None` where it must be tried again.
    async fn try_open(
        &self,
        request: &EnrollmentRequest,
        secrets: Secrets,
        (key, body_hash): (&RequestKey, [u8; 32]),
        portal: &Arc<Portal>,
    ) -> Result<Option<Opened>, Error> {
        let account = self.records().account(&request.user_id).await?;
        let found = self.find_proof(request.proof.as_ref(), &request.user_id, portal).await?;
        let policy = &portal.policy.enrollment;
        let is_allowed =
            authority((request.change, request.phone), &account.seen_by(portal), found.shown, policy).is_ok();
        // Who may not ask costs no hashes, and learns nothing about what was asked.
        let prepared = if is_allowed {
            self.prepared(request, secrets, &account, portal).await?
        } else {
            Ok(Prepared::default())
        };
        let (prepared, flaw) = match prepared {
            Ok(prepared) => (prepared, None),
            Err(flaw) => (Prepared::default(), Some(flaw)),
        };
        let ask = self.ask(request, prepared, (key, body_hash), (&account, portal))?;
        let mut spent = false;
        loop {
            let shown = if spent { Found::NOTHING } else { found };
            let opened = open_enrollment(&ask, flaw.clone(), (&account, shown.shown), portal, self.now()?);
            let new = match opened {
                Ok(new) => new,
                Err(why) => return self.refuse_not_opened(key, &why).await.map(|verdict| Some(Err(verdict))),
            };
            match self.store(&new, shown).await? {
                OpenedEnrollment::New => {
                    crash_point(CrashPoint::EnrollmentOpened);
                    self.metrics.opened(&new);
                    return Ok(Some(Ok(StoredEnrollment { enrollment: new, told: 0 })));
                }
                OpenedEnrollment::Exists(stored) => return self.known(*stored, &body_hash).await.map(Some),
                OpenedEnrollment::ProofSpent if !spent => spent = true,
                OpenedEnrollment::ProofSpent | OpenedEnrollment::Contended => return Ok(None),
            }
        }
    }

    /// Stores the new request; an open one of the same user gives way in the same commit.
    async fn store(&self, new: &Enrollment, found: Found) -> Result<OpenedEnrollment, Error> {
        let gives_way = match self.records().open_enrollment_of(&new.request.user).await? {
            Some(open) if new.is_open() && open.enrollment.key != new.key => Some(open.enrollment),
            Some(_) | None => None,
        };
        let after = gives_way.as_ref().and_then(|open| {
            step_enrollment(open, &EnrollmentEvent::Supersede, new.request.accepted_at).ok()
        });
        let beside = Beside {
            superseded: gives_way.as_ref().zip(after.as_ref()),
            proof: found.spends.filter(|_| new.is_open()),
        };
        let opened = self.records().open_enrollment(new, beside).await?;
        if let (OpenedEnrollment::New, Some(after)) = (&opened, after) {
            crash_point(CrashPoint::RequestSuperseded);
            self.metrics.stepped(&after);
            self.tell_soon(StoredEnrollment { enrollment: after, told: 0 });
        }
        Ok(opened)
    }

    async fn prepared(
        &self,
        request: &EnrollmentRequest,
        secrets: Secrets,
        account: &Account,
        portal: &Arc<Portal>,
    ) -> Result<Result<Prepared, Flaw>, Error> {
        if request.change == Change::Recovery && !self.may_recover(request, portal).await? {
            let rule = "must be a challenge of this user that could not reach the person, or waits for more than a minute";
            return Ok(Err(Flaw::new(EnrollmentReason::NotPermitted, "data.after", rule)));
        }
        if request.change == Change::Pin && secrets.pin.is_none() {
            let rule = "is required for the change pin_change";
            return Ok(Err(Flaw::new(EnrollmentReason::PinRequired, "data.sealed.pin", rule)));
        }
        let of = Purpose {
            user: &request.user_id,
            change: request.change,
            role: request.phone.unwrap_or(PhoneRole::Primary),
            account,
            portal,
        };
        self.prepare(secrets, &of).await
    }

    fn ask(
        &self,
        request: &EnrollmentRequest,
        prepared: Prepared,
        (key, body_hash): (&RequestKey, [u8; 32]),
        (account, portal): (&Account, &Portal),
    ) -> Result<EnrollmentAsk, Error> {
        let cause = match (&request.actor, &request.reason) {
            (Some(actor), Some(reason)) => Some(OperatorCause {
                actor: actor.clone(),
                reason: reason.clone(),
                ticket: request.ticket.clone(),
            }),
            _ => None,
        };
        let test_id = Self::new_test_id(self.now()?);
        let test_key = ChallengeKey { id: test_id, portal: key.portal.clone() };
        let number_match =
            request.number_match.as_ref().map(|digits| self.engine.number_hash(&test_key, digits.reveal()));
        Ok(EnrollmentAsk {
            key: key.clone(),
            user: request.user_id.clone(),
            audience: request.audience.clone(),
            change: request.change,
            wanted: Wanted {
                method: request.method,
                role: request.phone,
                phone: prepared.phone,
                backup: prepared.backup,
                pin: prepared.pin,
                answers: prepared.answers,
                device: request.device,
                asked: if request.change == Change::Recovery {
                    questions(self.engine.keys(), &request.user_id, account, portal)
                } else {
                    Vec::new()
                },
                until: request.until,
                seconds: request.seconds,
                cause,
            },
            test: NewTest { id: test_id, number_match },
            locale: request.locale.clone(),
            body_hash,
        })
    }

    async fn known(&self, stored: StoredEnrollment, body_hash: &[u8; 32]) -> Result<Opened, Error> {
        if &stored.enrollment.request.body_hash == body_hash {
            return Ok(Ok(stored));
        }
        let conflict = NotOpened {
            refusal: Refusal::Conflict,
            field: "request_id",
            rule: "came before with another body: a request's id is used once",
        };
        self.refuse_not_opened(&stored.enrollment.key, &conflict).await.map(Err)
    }

    /// What is stored of a request's body, to tell it from another one under the same id. Keyed, as a challenge's is.
    fn body_hash(&self, key: &RequestKey, canonical: &[u8]) -> [u8; 32] {
        let parts = [key.portal.as_str().as_bytes(), key.id.as_bytes().as_slice(), canonical];
        self.engine.keys().keyed_digest("enrollment_body", &parts)
    }

    /// Tells the sender, where the id of its request can be read, and parks the message without its values.
    pub(crate) async fn refuse(
        &self,
        portal: &fleet_domain::PortalName,
        invalid: &Invalid,
    ) -> Result<Verdict, Error> {
        self.metrics.refused(Refusal::InvalidRequest.as_str());
        if let Some(refused) = EnrollmentRefusedEvent::of_invalid(invalid) {
            let id = contracts::event_id(portal, &refused.request_id, 0);
            let event = contracts::Message::EnrollmentRefused(refused);
            self.engine.publish_event(portal, id, event).await?;
        }
        let known = invalid.known_fields.clone();
        Ok(Verdict::Poison(Poison::hash_only("invalid_request", invalid.to_string(), known)))
    }

    pub(crate) async fn refuse_not_opened(
        &self,
        key: &RequestKey,
        why: &NotOpened,
    ) -> Result<Verdict, Error> {
        self.metrics.refused(why.refusal.as_str());
        let id = contracts::event_id(&key.portal, key.id, 0);
        let refused = EnrollmentRefusedEvent::of_not_opened(key.id, why);
        self.engine.publish_event(&key.portal, id, contracts::Message::EnrollmentRefused(refused)).await?;
        Ok(Verdict::Done)
    }
}

/// The questions to ask: as many of the user's own as the portal asks for, without those that it approves no more. Which ones
/// is chosen by a keyed hash: nobody can tell beforehand, and who asks again is asked the same, so that nobody can go on
/// asking until the questions suit.
fn questions(keys: &Keys, user: &UserId, account: &Account, portal: &Portal) -> Vec<String> {
    let policy = &portal.policy.enrollment.questions;
    let approved = |id: &&String| policy.questions.iter().any(|question| question.id.as_str() == id.as_str());
    let mut drawn: Vec<([u8; 16], &String)> = account
        .questions
        .iter()
        .filter(approved)
        .map(|id| (keys.keyed_hash("asked_question", &[user.as_str().as_bytes(), id.as_bytes()]), id))
        .collect();
    drawn.sort_unstable();
    drawn.into_iter().take(policy.to_ask.into()).map(|(_, id)| id.clone()).collect()
}

/// The request of a delivery, with the canonical form of its data.
pub(crate) enum Asked {
    Change(Box<EnrollmentRequest>, Vec<u8>),
    GoesOn(contracts::EnrollmentContinue),
}

pub(crate) fn read(delivery: &Delivery) -> Result<Asked, Invalid> {
    let envelope = contracts::parse(&delivery.body)?;
    let canonical = contracts::canonical(envelope.data)?;
    match envelope.event.message {
        contracts::Message::EnrollmentRequested(request) => Ok(Asked::Change(request, canonical)),
        contracts::Message::EnrollmentContinued(goes_on) => Ok(Asked::GoesOn(goes_on)),
        other @ (contracts::Message::ChallengeRequested(_)
        | contracts::Message::CancelRequested(_)
        | contracts::Message::CodeEntered(_)
        | contracts::Message::ResendRequested(_)
        | contracts::Message::ChallengeResolved(_)
        | contracts::Message::ChallengeRefused(_)
        | contracts::Message::FraudReported(_)
        | contracts::Message::EnrollmentChanged(_)
        | contracts::Message::EnrollmentRefused(_)
        | contracts::Message::TestEnded(_)
        | contracts::Message::DialOwed(_)
        | contracts::Message::HangUpOwed(_)
        | contracts::Message::SendOwed(_)) => Err(Invalid {
            field: "type".into(),
            rule: format!("does not belong here: this queue takes no {}", other.event_type()),
            challenge_id: None,
            request_id: None,
            known_fields: Vec::new(),
        }),
    }
}
