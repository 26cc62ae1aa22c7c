//! Playing one scenario: as its portal, from the request to the end.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet_contracts::{EnrollmentOutcome, Outcome};
use fleet_domain::{ChallengeId, EnrollmentResult, NextStep, Progress, RequestId, Timestamp, UserId};
use fleet_keys::EnrollmentPublicKey;
use fleet_lifecycle::Clock;
use fleet_portal_client::{EnrollmentDraft, PortalClient};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::apps::Apps;
use super::standing;
use crate::error::{Asked, Error};
use crate::portal::{self, client_error};
use crate::scenario::{Challenge, Part, Scenario, TypedCode, Wish};
use crate::settings::Sections;

/// How long the outcome of a change is waited for whose time is not known yet.
const FIRST: Duration = Duration::from_secs(30);
/// How long after its time it may take.
const MARGIN: Duration = Duration::from_secs(5);
/// Between two looks while nothing is known.
const LOOK: Duration = Duration::from_millis(100);

/// What a scenario has come to.
#[derive(Debug)]
pub(super) enum Ended {
    Challenge(Box<Outcome>),
    Change(Box<EnrollmentOutcome>),
}

pub(super) type End = Result<Ended, Error>;

/// What is told of a scenario while it goes on.
pub(super) enum Heard {
    Begins,
    Challenge(Box<Outcome>),
    Change(Box<EnrollmentOutcome>),
}

/// By what a later scenario names one that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Id {
    Challenge(ChallengeId),
    Change(RequestId),
}

impl Ended {
    const fn id(&self) -> Id {
        match self {
            Self::Challenge(outcome) => Id::Challenge(outcome.challenge_id),
            Self::Change(outcome) => Id::Change(outcome.request_id),
        }
    }
}

/// What a scenario is played with.
pub(super) struct Stage<'a> {
    pub(super) client: PortalClient,
    pub(super) sections: &'a Sections,
    /// Where people get the app.
    pub(super) apps: Option<&'a Apps>,
    /// Those that must have ended, by their places. Each is closed when it has, and then has its id if it came to an outcome.
    pub(super) before: Vec<(usize, watch::Receiver<Option<Id>>)>,
    /// Closed, by being dropped, when this one has.
    pub(super) over: watch::Sender<Option<Id>>,
    pub(super) tell: UnboundedSender<(usize, Heard)>,
}

type Earlier = BTreeMap<usize, Id>;

/// Plays one scenario.
pub(super) async fn play(at: usize, scenario: &Scenario, stage: Stage<'_>) -> (usize, End) {
    let Stage { client, sections, apps, before, over, tell } = stage;
    let mut earlier = Earlier::new();
    for (place, mut before) in before {
        // An error is the news: its sender is gone.
        while before.changed().await.is_ok() {}
        earlier.extend(before.borrow().map(|id| (place, id)));
    }
    // Nobody hears it only when the show was broken off.
    let tell = move |heard| drop(tell.send((at, heard)));
    tell(Heard::Begins);
    let end = match &scenario.part {
        Part::Challenge(challenge) => challenged(challenge, (&client, sections), &earlier, &tell).await,
        Part::Change(wish) => {
            changed((wish, &scenario.user), (&client, sections, apps), &earlier, &tell).await
        }
    };
    if let Ok(ended) = &end {
        over.send_replace(Some(ended.id()));
    }
    drop(over);
    (at, end)
}

async fn challenged(
    challenge: &Challenge,
    (client, sections): (&PortalClient, &Sections),
    earlier: &Earlier,
    tell: &impl Fn(Heard),
) -> End {
    let draft = portal::draft(client, &challenge.ask);
    let come_so_far = Notify::new();
    let (awaited, awaiting) = watch::channel(None);
    let heard = |outcome: &Outcome| {
        if outcome.progress == Progress::AwaitingCode {
            let wrong = outcome.attempts.last().and_then(|attempt| attempt.wrong_codes);
            awaited.send_replace(Some(wrong.unwrap_or(0)));
        }
        if challenge.block == Some(outcome.progress) {
            come_so_far.notify_one();
        }
        tell(Heard::Challenge(Box::new(outcome.clone())));
    };
    let follow = portal::follow(client, &draft, challenge.ask.within, challenge.cancel, heard);
    tokio::pin!(follow);
    let aside = async {
        if let Some(code) = &challenge.code {
            return type_codes((code, draft.id()), awaiting, client, earlier).await;
        }
        come_so_far.notified().await;
        standing::block_user(&challenge.ask.user, ("played", None), sections).await.map(drop)
    };
    let outcome = tokio::select! {
        end = &mut follow => end,
        done = aside => match done {
            Ok(()) => follow.await,
            Err(error) => Err(error),
        },
    }?;
    Ok(Ended::Challenge(Box::new(portal::settle(client, outcome).await)))
}

/// Types a code as soon as one is awaited, and another one after each that was wrong.
async fn type_codes(
    (code, id): (&TypedCode, ChallengeId),
    mut awaiting: watch::Receiver<Option<u8>>,
    client: &PortalClient,
    earlier: &Earlier,
) -> Result<(), Error> {
    let used_at = match code {
        TypedCode::Used(_, place) => ended_at(earlier.get(place).copied(), client).await?,
        TypedCode::Digits(_) | TypedCode::Right(_) | TypedCode::Wrong(_) => None,
    };
    let mut typed = 0;
    // An error means that the challenge is followed no more.
    while awaiting.changed().await.is_ok() {
        let wrong = *awaiting.borrow_and_update();
        if wrong == Some(typed) {
            // A scenario whose code was to be used came to nothing: nothing is typed.
            let Some(code) = code.at(seconds(Clock::system().now()), used_at) else { break };
            portal::enter_code(client, id, &code).await?;
            typed += 1;
        }
    }
    Ok(())
}

/// When the challenge ended, in seconds since 1970.
async fn ended_at(id: Option<Id>, client: &PortalClient) -> Result<Option<u64>, Error> {
    let Some(Id::Challenge(id)) = id else { return Ok(None) };
    let outcome = client.outcome(id).await.map_err(|error| client_error(&error))?;
    let attempt = outcome.and_then(|outcome| outcome.attempts.into_iter().next_back());
    Ok(attempt.and_then(|attempt| attempt.ended_at).map(seconds))
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_secs()).unwrap_or(0)
}

async fn changed(
    (wish, user): (&Wish, &UserId),
    (client, sections, apps): (&PortalClient, &Sections, Option<&Apps>),
    earlier: &Earlier,
    tell: &impl Fn(Heard),
) -> End {
    let key = sections.enrollment_key(None)?;
    let draft = drafted((wish, user), client, earlier).seal(&key);
    let began = Instant::now();
    let id = client.enroll(&draft).await.map_err(|error| client_error(&error))?;
    let (mut deadline, mut seq) = (began + FIRST, 0);
    while Instant::now() < deadline {
        let mut pause = LOOK;
        if let Some(outcome) = client.enrollment_outcome(id).await.map_err(|error| client_error(&error))? {
            pause = Duration::from_millis(outcome.poll_after_ms.into());
            if outcome.seq > seq {
                seq = outcome.seq;
                tell(Heard::Change(Box::new(outcome.clone())));
                if outcome.result != EnrollmentResult::Pending {
                    settle(client, &outcome).await;
                    return Ok(Ended::Change(Box::new(outcome)));
                }
                deadline = Instant::now() + outcome.respond_by.since(Clock::system().now()) + MARGIN;
                go_on((wish, user), &outcome, (client, &key, apps)).await?;
            }
        }
        sleep(pause).await;
    }
    Err(Error::NoOutcome {
        what: Asked::Request,
        id: id.to_string(),
        waited: Duration::from_secs(began.elapsed().as_secs()),
    })
}

/// What is asked for. A scenario that came to no outcome proves nothing, which the fleet then says.
fn drafted((wish, user): (&Wish, &UserId), client: &PortalClient, earlier: &Earlier) -> EnrollmentDraft {
    let mut draft = client.enrollment(user.clone(), wish.change);
    if let Some(method) = wish.method {
        draft = draft.method(method);
    }
    if let Some(phone) = &wish.phone {
        draft = draft.phone(phone.clone());
    }
    if let Some(pin) = &wish.pin {
        draft = draft.pin(pin);
    }
    if wish.unreached.is_none() {
        draft = wish.answers.iter().fold(draft, |draft, (question, answer)| draft.answer(question, answer));
    }
    let found = |place: Option<usize>| place.and_then(|place| earlier.get(&place)).copied();
    draft = match found(wish.proof) {
        Some(Id::Challenge(id)) => draft.proved_by(id),
        Some(Id::Change(id)) => draft.proved_by_request(id),
        None => draft,
    };
    if let Some(Id::Challenge(id)) = found(wish.unreached) {
        draft = draft.after(id);
    }
    if let Some((actor, reason)) = &wish.operator {
        draft = draft.by_operator(actor, reason);
    }
    if let Some(ticket) = &wish.ticket {
        draft = draft.ticket(ticket);
    }
    if let Some(seconds) = wish.seconds {
        draft = draft.seconds(seconds);
    }
    if let Some(locale) = &wish.locale { draft.locale(locale) } else { draft }
}

/// What comes next: the person scans the code, the portal begins the test, gives the answers that are asked for, and calls off
/// what nobody is reached for.
async fn go_on(
    (wish, user): (&Wish, &UserId),
    outcome: &EnrollmentOutcome,
    (client, key, apps): (&PortalClient, &EnrollmentPublicKey, Option<&Apps>),
) -> Result<(), Error> {
    let id = outcome.request_id;
    let qr = outcome.activation.as_ref().and_then(|activation| activation.qr.as_deref());
    if let (Some(script), Some(qr), Some(apps)) = (&wish.app, qr, apps) {
        return apps.activate(qr, script).await;
    }
    let sent = if outcome.next_step == Some(NextStep::BeginTest) {
        client.test_again(id, wish.shows.clone()).await
    } else if outcome.next_step == Some(NextStep::AnswerQuestions) {
        let asked = |question: &str| outcome.questions.iter().any(|asked| asked == question);
        let given: Vec<(&str, &str)> = wish
            .answers
            .iter()
            .filter(|(question, _)| asked(question))
            .map(|(question, answer)| (question.as_str(), answer.as_str()))
            .collect();
        client.answer((id, user), &given, key).await
    } else if outcome.next_step == Some(NextStep::RetryTest) {
        client.cancel_enrollment(id).await
    } else {
        Ok(())
    };
    sent.map_err(|error| client_error(&error))
}

/// Waits until the call of the last test is over, since until then its line is taken.
async fn settle(client: &PortalClient, outcome: &EnrollmentOutcome) {
    if let Some(test) = outcome.tests.last()
        && let Ok(Some(test)) = client.outcome(test.challenge_id).await
    {
        portal::settle(client, test).await;
    }
}
