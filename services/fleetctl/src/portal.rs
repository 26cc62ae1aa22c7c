//! Acting as a portal: asking, calling off, and following a challenge to its end.

use std::time::Duration;

use fleet_contracts::{OneTimeCode, Outcome};
use fleet_domain::{AttemptState, ChallengeId, ChallengeResult, Context, PortalName};
use fleet_lifecycle::Clock;
use fleet_portal_client::{Draft, PortalClient, PortalSettings};
use fleet_settings::ExposeSecret;
use tokio::time::{Instant, interval, sleep_until};

use crate::ask::Ask;
use crate::cli::PortalAccess;
use crate::error::{Asked, Error, Server};
use crate::scenario::Cancel;
use crate::settings::{Sections, portal_amqp_urls};

/// How long an outcome is waited for whose deadline is not known yet: longer than the policies of most portals.
const UNKNOWN_DEADLINE: Duration = Duration::from_secs(150);
/// How long after its deadline an outcome may take.
const MARGIN: Duration = Duration::from_secs(5);
/// Between two looks at a call that should be over soon, and how many there are.
const LOOK: Duration = Duration::from_millis(500);
const SETTLE_LOOKS: u32 = 40;

/// Connects as a portal.
pub(crate) fn connect(
    portal: &PortalName,
    access: &PortalAccess,
    sections: &Sections,
) -> Result<PortalClient, Error> {
    let amqp_urls = portal_amqp_urls(portal, access)?;
    let outcomes = sections.outcomes(portal, access)?;
    let mut settings = PortalSettings::new(portal.clone(), &amqp_urls, outcomes.url.expose_secret());
    settings.key_prefix = outcomes.key_prefix;
    settings.broker_namespace = sections.broker()?.namespace;
    if let Some(keys) = sections.keys_if_set()? {
        settings = settings.verifying(keys.outcome_jwk());
    }
    PortalClient::connect(&settings).map_err(|error| client_error(&error))
}

/// What is asked for, with a new id.
pub(crate) fn draft(client: &PortalClient, ask: &Ask) -> Draft {
    let mut draft = client.draft(ask.user.clone());
    if let Some(channel) = ask.method.channel() {
        draft = draft.by(channel);
    }
    if let Some(target) = ask.target {
        draft = draft.to(target);
    }
    if let Some(number) = &ask.number {
        draft = draft.showing(number.clone());
    }
    if let Some(within) = ask.within {
        draft = draft.answer_within(within);
    }
    if let Some(locale) = &ask.locale {
        draft = draft.locale(locale);
    }
    draft.context(Context { application: ask.application.clone(), ..Context::default() })
}

/// Asks for the challenge, and returns its id.
pub(crate) async fn ask(client: &PortalClient, draft: &Draft) -> Result<ChallengeId, Error> {
    client.challenge(draft).await.map_err(|error| client_error(&error))
}

/// Calls a challenge off.
pub(crate) async fn cancel(client: &PortalClient, id: ChallengeId) -> Result<(), Error> {
    client.cancel(id).await.map_err(|error| client_error(&error))
}

/// Hands on a code that was typed.
pub(crate) async fn enter_code(
    client: &PortalClient,
    id: ChallengeId,
    code: &OneTimeCode,
) -> Result<(), Error> {
    client.enter_code(id, code).await.map_err(|error| client_error(&error))
}

/// Has a challenge's push sent once more.
pub(crate) async fn resend(client: &PortalClient, id: ChallengeId) -> Result<(), Error> {
    client.resend(id).await.map_err(|error| client_error(&error))
}

/// Asks for the challenge and follows it to its end; `heard` sees every change. Fails when there is no end in time.
pub(crate) async fn follow(
    client: &PortalClient,
    draft: &Draft,
    within: Option<Duration>,
    cancel_at: Option<Cancel>,
    mut heard: impl FnMut(&Outcome),
) -> Result<Outcome, Error> {
    let began = Instant::now();
    let mut deadline = began + within.unwrap_or(UNKNOWN_DEADLINE) + MARGIN;
    // Before it is asked for, so that nothing is missed.
    let mut watch = client.watch(draft.id());
    let id = ask(client, draft).await?;
    let mut off = Off::new(cancel_at, Instant::now());
    loop {
        tokio::select! {
            found = watch.next() => match found {
                None => return Err(no_outcome(id, began)),
                Some(Err(error)) => return Err(client_error(&error)),
                Some(Ok(outcome)) => {
                    heard(&outcome);
                    if outcome.result != ChallengeResult::Pending {
                        return Ok(outcome);
                    }
                    deadline = Instant::now() + outcome.answer_by.since(Clock::system().now()) + MARGIN;
                    off.hear(&outcome);
                }
            },
            () = sleep_until(off.at.unwrap_or(deadline)), if off.at.is_some() => {
                off.at = None;
                cancel(client, id).await?;
            }
            () = sleep_until(deadline) => return Err(no_outcome(id, began)),
        }
    }
}

/// Waits until the calls of an ended challenge are over, since until then their lines are taken: somebody may still be told
/// goodbye. Returns the newest outcome; after a while also without that, because nothing depends on it.
pub(crate) async fn settle(client: &PortalClient, outcome: Outcome) -> Outcome {
    let mut newest = outcome;
    let mut looks = interval(LOOK);
    for _ in 0..SETTLE_LOOKS {
        if !newest.attempts.iter().any(|attempt| is_in_the_air(attempt.state)) {
            break;
        }
        looks.tick().await;
        if let Ok(Some(found)) = client.outcome(newest.challenge_id).await {
            newest = found;
        }
    }
    newest
}

const fn is_in_the_air(state: AttemptState) -> bool {
    match state {
        AttemptState::Dialing
        | AttemptState::Unknown
        | AttemptState::Placed
        | AttemptState::Ringing
        | AttemptState::Answered
        | AttemptState::AwaitingInput => true,
        AttemptState::Reserved
        | AttemptState::Sending
        | AttemptState::Pushed
        | AttemptState::PushFailed
        | AttemptState::Opened
        | AttemptState::AwaitingCode
        | AttemptState::Superseded
        | AttemptState::Ended => false,
    }
}

fn no_outcome(id: ChallengeId, began: Instant) -> Error {
    Error::NoOutcome {
        what: Asked::Challenge,
        id: id.to_string(),
        waited: Duration::from_secs(began.elapsed().as_secs()),
    }
}

/// Whether and when the challenge is to be called off, once.
struct Off {
    at: Option<Instant>,
    when: Option<fleet_domain::Progress>,
}

impl Off {
    fn new(cancel: Option<Cancel>, now: Instant) -> Self {
        match cancel {
            None => Self { at: None, when: None },
            Some(Cancel::After(after)) => Self { at: Some(now + after), when: None },
            Some(Cancel::When(progress)) => Self { at: None, when: Some(progress) },
        }
    }

    fn hear(&mut self, outcome: &Outcome) {
        if self.when == Some(outcome.progress) {
            self.when = None;
            self.at = Some(Instant::now());
        }
    }
}

/// What the answer means here.
pub(crate) fn client_error(error: &fleet_portal_client::Error) -> Error {
    use fleet_portal_client::Error as Client;
    let problem = Error::chain(error);
    match error {
        Client::Settings(_) => Error::Setting(problem),
        Client::Invalid(invalid) => {
            Error::Refused { field: invalid.field.clone(), rule: invalid.rule.clone() }
        }
        Client::NotConfirmed(fault) => match fault {
            fleet_broker::PublishError::Refused
            | fleet_broker::PublishError::Unroutable
            | fleet_broker::PublishError::TooLong(_) => {
                Error::Forbidden { server: Server::PortalRabbitMq, problem }
            }
            fleet_broker::PublishError::Nacked
            | fleet_broker::PublishError::TimedOut
            | fleet_broker::PublishError::NotConnected => {
                Error::Unavailable { server: Server::PortalRabbitMq, problem }
            }
        },
        Client::Unreadable(fault) => redis_error(fault),
        Client::Forged(why) => Error::Signature { what: "the outcome".to_owned(), why: (*why).to_owned() },
        Client::Unanswered => Error::Unavailable { server: Server::Redis, problem },
    }
}

/// What Redis's answer means here.
pub(crate) fn redis_error(error: &fleet_outcomes::Error) -> Error {
    let problem = Error::chain(error);
    match error {
        fleet_outcomes::Error::Setting(_) => Error::Setting(problem),
        fleet_outcomes::Error::Unavailable => Error::Unavailable { server: Server::Redis, problem },
        fleet_outcomes::Error::Refused { .. } | fleet_outcomes::Error::Misnumbered => {
            Error::Forbidden { server: Server::Redis, problem }
        }
    }
}
