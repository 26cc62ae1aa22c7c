//! `fleetctl user continue`.

use std::time::Duration;

use fleet_contracts::{EnrollmentOutcome, OneTimeCode};
use fleet_domain::{ChallengeId, ChallengeResult, EnrollmentResult, NextStep};
use fleet_portal_client::PortalClient;
use tokio::time::{Instant, sleep};

use super::code;
use super::request::{self, FIRST, LOOK, follow, waits_for_code};
use crate::cli::{GoOnArgs, GoOnWith};
use crate::error::Error;
use crate::exit::Exit;
use crate::input;
use crate::portal::{self, client_error};
use crate::print::Screen;
use crate::settings::Sections;

/// An app's activation is told within a second: what is not due may be in a moment.
const TOLD: Duration = Duration::from_secs(2);

pub(super) async fn run(args: &GoOnArgs, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    if args.show.is_some() && args.with != GoOnWith::Test {
        return Err(refused("--show", "goes with a test alone".to_owned()));
    }
    let client = portal::connect(&args.portal, &args.access, sections)?;
    let until = Instant::now() + TOLD;
    let before = loop {
        let before = find(args, &client).await?;
        if before.result != EnrollmentResult::Pending {
            return request::end(&before, args.json, screen);
        }
        if is_due(args.with, &before) {
            break before;
        }
        // What is not due would change nothing.
        if Instant::now() > until {
            let waits = before.next_step.map_or("nothing", NextStep::as_str);
            let rule = format!("is not what the request waits for: that is {waits}");
            return Err(refused(args.with.as_str(), rule));
        }
        sleep(LOOK).await;
    };
    if let Some(outcome) = send(args, &client, (&before, sections), screen).await? {
        return request::end(&outcome, args.json, screen);
    }
    let outcome = follow(&client, (args.id, before.seq), (args.json, screen)).await?;
    request::end(&outcome, args.json, screen)
}

async fn find(args: &GoOnArgs, client: &PortalClient) -> Result<EnrollmentOutcome, Error> {
    let found = client.enrollment_outcome(args.id).await.map_err(|error| client_error(&error))?;
    found.ok_or_else(|| Error::NotFound {
        what: format!("nothing is known of a request {} of {}", args.id, args.portal),
        advice: "compare the id and --portal with what `fleetctl user change` said; it is forgotten some time after its end",
    })
}

fn refused(field: &str, rule: String) -> Error {
    Error::Refused { field: field.to_owned(), rule }
}

fn is_due(with: GoOnWith, before: &EnrollmentOutcome) -> bool {
    match with {
        GoOnWith::Test => matches!(before.next_step, Some(NextStep::BeginTest | NextStep::RetryTest)),
        GoOnWith::Code => waits_for_code(before),
        GoOnWith::Answers => before.next_step == Some(NextStep::AnswerQuestions),
        // Also where a device has used a code and is not under test: it may be the wrong one.
        GoOnWith::Activation => {
            let steps = [NextStep::ActivateDevice, NextStep::BeginTest, NextStep::RetryTest];
            before.activation.is_some() && before.next_step.is_some_and(|step| steps.contains(&step))
        }
        GoOnWith::Cancel => true,
    }
}

/// Sends it; an outcome where nothing is to be followed.
async fn send(
    args: &GoOnArgs,
    client: &PortalClient,
    (before, sections): (&EnrollmentOutcome, &Sections),
    screen: &mut Screen,
) -> Result<Option<EnrollmentOutcome>, Error> {
    let sent = match args.with {
        GoOnWith::Test => client.test_again(args.id, args.show.clone()).await,
        GoOnWith::Activation => client.new_activation_code(args.id).await,
        GoOnWith::Cancel => client.cancel_enrollment(args.id).await,
        GoOnWith::Answers => {
            let key = sections.enrollment_key(args.enrollment_key.as_deref())?;
            let answers = request::answers(&before.questions)?;
            let pairs: Vec<_> = answers.iter().map(|(id, answer)| (id.as_str(), answer.as_str())).collect();
            client.answer((args.id, &before.user_id), &pairs, &key).await
        }
        GoOnWith::Code => {
            // `waits_for_code` has seen a test.
            let Some(test) = before.tests.last().map(|test| test.challenge_id) else { return Ok(None) };
            let typed = code::parse(&input::secret("code")?)?;
            if was_right(client, test, &typed).await? {
                return Ok(None);
            }
            if !args.json {
                screen.line("wrong code")?;
            }
            return Ok(Some(before.clone()));
        }
    };
    sent.map_err(|error| client_error(&error))?;
    Ok(None)
}

/// Whether the code has ended the test; a wrong one leaves it open, which only the test's own outcome tells.
async fn was_right(client: &PortalClient, test: ChallengeId, code: &OneTimeCode) -> Result<bool, Error> {
    let wrong = async || -> Result<Option<u8>, Error> {
        let outcome = client.outcome(test).await.map_err(|error| client_error(&error))?;
        let open = outcome.filter(|outcome| outcome.result == ChallengeResult::Pending);
        Ok(open.map(|open| open.attempts.last().and_then(|attempt| attempt.wrong_codes).unwrap_or(0)))
    };
    let before = wrong().await?.unwrap_or(0);
    portal::enter_code(client, test, code).await?;
    let until = Instant::now() + FIRST;
    while Instant::now() < until {
        match wrong().await? {
            Some(now) if now > before => return Ok(false),
            Some(_) => sleep(LOOK).await,
            None => return Ok(true),
        }
    }
    Ok(true)
}
