//! A change of an enrollment before it is asked for, and asking for it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleet_broker::Message;
use fleet_contracts::{
    BoxText, EnrollmentContinue, EnrollmentOutcome, EnrollmentRequest, Event, Invalid, KeyId, NumberMatch,
    Proof, Sealed, SecretAnswer, SecretPhone, Secrets, With,
};
use fleet_domain::{
    ChallengeId, Change, Channel, DeviceId, EnrollmentResult, PhoneKind, PhoneRole, PortalName, RequestId,
    Timestamp, UserId,
};
use fleet_keys::{EnrollmentPublicKey, random_bytes};
use tokio::time::{Instant, sleep};

use crate::draft::{request, source};
use crate::{Error, PortalClient};

/// A change to be asked for. Its id and times are fixed when it is made, and its secrets are sealed when it is complete, so
/// sending the same change again is harmless.
#[derive(Clone, Debug)]
pub struct EnrollmentDraft {
    request: EnrollmentRequest,
    secrets: Secrets,
    made_at: Timestamp,
}

/// A phone as a person gives it. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct GivenPhone {
    /// The number in E.164 form.
    pub number: String,
    /// What is keyed after the answer.
    pub extension: Option<String>,
    /// Where it stands.
    pub kind: PhoneKind,
}

impl std::fmt::Debug for GivenPhone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GivenPhone(***)")
    }
}

impl From<GivenPhone> for SecretPhone {
    fn from(given: GivenPhone) -> Self {
        Self { number: given.number, extension: given.extension, kind: Some(given.kind) }
    }
}

/// A change whose secrets are sealed, ready to be asked for.
#[derive(Clone, Debug)]
pub struct SealedDraft {
    request: EnrollmentRequest,
    made_at: Timestamp,
}

impl EnrollmentDraft {
    fn new(user: UserId, change: Change, now: Timestamp) -> Self {
        let id = RequestId::from_parts(now, random_bytes());
        Self {
            request: EnrollmentRequest::new(id, user.clone(), change),
            secrets: Secrets::new(id, user),
            made_at: now,
        }
    }

    /// To this method.
    #[must_use]
    pub fn method(mut self, method: Channel) -> Self {
        self.request.method = Some(method);
        self
    }

    /// For a new user of this audience.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        self.request.audience = Some(audience.to_owned());
        self
    }

    /// Of this phone rather than the primary one.
    #[must_use]
    pub fn of(mut self, role: PhoneRole) -> Self {
        self.request.phone = Some(role);
        self
    }

    /// To this phone.
    #[must_use]
    pub fn phone(mut self, phone: GivenPhone) -> Self {
        self.secrets.phone = Some(phone.into());
        self
    }

    /// With this backup phone beside it.
    #[must_use]
    pub fn backup(mut self, phone: GivenPhone) -> Self {
        self.secrets.backup = Some(phone.into());
        self
    }

    /// With this PIN.
    #[must_use]
    pub fn pin(mut self, pin: &str) -> Self {
        self.secrets.pin = Some(pin.to_owned());
        self
    }

    /// With this answer to this question.
    #[must_use]
    pub fn answer(mut self, question: &str, answer: &str) -> Self {
        self.secrets.answers.push(SecretAnswer { question: question.to_owned(), answer: answer.to_owned() });
        self
    }

    /// Of this device.
    #[must_use]
    pub fn device(mut self, device: DeviceId) -> Self {
        self.request.device = Some(device);
        self
    }

    /// Proved by this challenge, which the user has just answered.
    #[must_use]
    pub fn proved_by(mut self, challenge: ChallengeId) -> Self {
        self.request.proof = Some(Proof::challenge(challenge));
        self
    }

    /// Proved by this request, whose test the user has just passed, or which is a recovery.
    #[must_use]
    pub fn proved_by_request(mut self, request: RequestId) -> Self {
        self.request.proof = Some(Proof::request(request));
        self
    }

    /// Because this challenge could not reach the user.
    #[must_use]
    pub fn after(mut self, challenge: ChallengeId) -> Self {
        self.request.after = Some(challenge);
        self
    }

    /// With digits that the portal shows during the test.
    #[must_use]
    pub fn showing(mut self, number: NumberMatch) -> Self {
        self.request.number_match = Some(number);
        self
    }

    /// Asked for by this operator for this reason.
    #[must_use]
    pub fn by_operator(mut self, actor: &str, reason: &str) -> Self {
        self.request.actor = Some(actor.to_owned());
        self.request.reason = Some(reason.to_owned());
        self
    }

    /// Under this number of the help desk.
    #[must_use]
    pub fn ticket(mut self, ticket: &str) -> Self {
        self.request.ticket = Some(ticket.to_owned());
        self
    }

    /// A bypass of so many seconds.
    #[must_use]
    pub fn seconds(mut self, seconds: u16) -> Self {
        self.request.seconds = Some(seconds);
        self
    }

    /// A block until then.
    #[must_use]
    pub fn until(mut self, until: Timestamp) -> Self {
        self.request.until = Some(until);
        self
    }

    /// The language of prompts and help (BCP 47).
    #[must_use]
    pub fn locale(mut self, locale: &str) -> Self {
        self.request.locale = Some(locale.to_owned());
        self
    }

    /// The request's id.
    pub fn id(&self) -> RequestId {
        self.request.request_id
    }

    /// Complete: whatever is secret in it is sealed to the fleet's key, and can't be read here any more.
    #[must_use]
    pub fn seal(mut self, key: &EnrollmentPublicKey) -> SealedDraft {
        let nothing = Secrets::new(self.request.request_id, self.request.user_id.clone());
        if self.secrets != nothing {
            self.request.sealed = Some(sealed(&self.secrets, key));
        }
        SealedDraft { request: self.request, made_at: self.made_at }
    }
}

impl SealedDraft {
    /// The request's id.
    pub fn id(&self) -> RequestId {
        self.request.request_id
    }

    fn message(&self, portal: &PortalName) -> Result<Message, Invalid> {
        let asked = fleet_contracts::Message::EnrollmentRequested(Box::new(self.request.clone()));
        let mut event = Event::new(self.id().to_string(), &source(portal), self.made_at, asked);
        event.subject = Some(self.request.user_id.as_str().to_owned());
        request("enrollment.request", &event)
    }
}

fn sealed(secrets: &Secrets, key: &EnrollmentPublicKey) -> Sealed {
    let text = URL_SAFE_NO_PAD.encode(key.seal(secrets.to_json().as_bytes()));
    Sealed { key_id: KeyId(key.id().to_owned()), sealed: BoxText(text) }
}

/// While nothing is known yet.
const FIRST_LOOK: Duration = Duration::from_millis(250);

impl PortalClient {
    /// A change of this user's enrollment, to be completed, sealed and given to `enroll`.
    pub fn enrollment(&self, user: UserId, change: Change) -> EnrollmentDraft {
        EnrollmentDraft::new(user, change, self.clock.now())
    }

    /// Asks for the change and returns once RabbitMQ has stored the request.
    pub async fn enroll(&self, draft: &SealedDraft) -> Result<RequestId, Error> {
        let message = draft.message(self.portal()).map_err(Error::Invalid)?;
        self.publisher.publish(message).await.map_err(Error::NotConfirmed)?;
        Ok(draft.id())
    }

    /// Asks for the test, for the first time or once more, with the digits that the portal shows where it shows any.
    pub async fn test_again(&self, id: RequestId, number: Option<NumberMatch>) -> Result<(), Error> {
        self.go_on(EnrollmentContinue {
            request_id: id,
            with: With::Test,
            number_match: number,
            sealed: None,
        })
        .await
    }

    /// Asks for another activation code; the one before is void.
    pub async fn new_activation_code(&self, id: RequestId) -> Result<(), Error> {
        self.go_on(EnrollmentContinue {
            request_id: id,
            with: With::Activation,
            number_match: None,
            sealed: None,
        })
        .await
    }

    /// Gives the answers to the questions that a recovery asks.
    pub async fn answer(
        &self,
        (id, user): (RequestId, &UserId),
        answers: &[(&str, &str)],
        key: &EnrollmentPublicKey,
    ) -> Result<(), Error> {
        let mut secrets = Secrets::new(id, user.clone());
        secrets.answers = answers
            .iter()
            .map(|(question, answer)| SecretAnswer {
                question: (*question).to_owned(),
                answer: (*answer).to_owned(),
            })
            .collect();
        let sealed = Some(sealed(&secrets, key));
        self.go_on(EnrollmentContinue { request_id: id, with: With::Answers, number_match: None, sealed })
            .await
    }

    /// Calls the change off. An end that came first stands.
    pub async fn cancel_enrollment(&self, id: RequestId) -> Result<(), Error> {
        self.go_on(EnrollmentContinue {
            request_id: id,
            with: With::Cancel,
            number_match: None,
            sealed: None,
        })
        .await
    }

    async fn go_on(&self, goes_on: EnrollmentContinue) -> Result<(), Error> {
        let id = format!("{}/{}", goes_on.request_id, uuid_text());
        let message = fleet_contracts::Message::EnrollmentContinued(goes_on);
        let event = Event::new(id, &source(self.portal()), self.clock.now(), message);
        let message = request("enrollment.continue", &event).map_err(Error::Invalid)?;
        self.publisher.publish(message).await.map_err(Error::NotConfirmed)
    }

    /// What has become of a request. `None` means "not known yet".
    pub async fn enrollment_outcome(&self, id: RequestId) -> Result<Option<EnrollmentOutcome>, Error> {
        match self.watcher.get(self.portal(), id).await {
            Ok(Some(document)) => self.authentic.read_enrollment(id, &document).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(Error::Unreadable(error)),
        }
    }

    /// The first outcome for which `enough` says so, polled as the outcome asks for.
    pub async fn wait_enrollment(
        &self,
        id: RequestId,
        patience: Duration,
        enough: impl Fn(&EnrollmentOutcome) -> bool,
    ) -> Result<EnrollmentOutcome, Error> {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            let pause = match self.enrollment_outcome(id).await {
                Ok(Some(outcome)) if enough(&outcome) => return Ok(outcome),
                Ok(Some(outcome)) if outcome.result != EnrollmentResult::Pending => {
                    return Err(Error::Unanswered);
                }
                Ok(Some(outcome)) => Duration::from_millis(outcome.poll_after_ms.into()),
                Ok(None) | Err(Error::Unreadable(fleet_outcomes::Error::Unavailable)) => FIRST_LOOK,
                Err(error) => return Err(error),
            };
            sleep(pause).await;
        }
        Err(Error::Unanswered)
    }
}

/// Something that tells one message from another of the same request.
fn uuid_text() -> String {
    u64::from_le_bytes(random_bytes()).to_string()
}
