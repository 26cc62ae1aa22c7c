//! `fleetctl user change`.

use std::io::{BufRead as _, stdin};
use std::time::Duration;

use fleet_contracts::{ActivationReport, EnrollmentOutcome};
use fleet_domain::{EnrollmentResult, NextStep, PhoneKind};
use fleet_lifecycle::Clock;
use fleet_portal_client::{EnrollmentDraft, GivenPhone, PortalClient, RequestId};
use tokio::time::{Instant, sleep};

use super::app::draw;
use crate::cli::ChangeArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::portal::{self, client_error};
use crate::print::{Screen, Style, clean};
use crate::qr::{Qr, TooLong};
use crate::settings::Sections;

/// How long an outcome is waited for whose time is not known yet.
const FIRST: Duration = Duration::from_secs(30);
/// How long after its time an outcome may take.
const MARGIN: Duration = Duration::from_secs(5);
/// Between two looks while nothing is known.
const LOOK: Duration = Duration::from_millis(250);

pub(super) async fn run(args: &ChangeArgs, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let key = sections.enrollment_key(args.enrollment_key.as_deref())?;
    let client = portal::connect(&args.portal, &args.access, sections)?;
    let draft = completed(client.enrollment(args.user.clone(), args.change), args)?.seal(&key);
    let id = client.enroll(&draft).await.map_err(|error| client_error(&error))?;
    if !args.json {
        screen.line(&format!("{} of {} by {}, id {id}", args.change, args.user, args.portal))?;
    }
    let outcome = follow(&client, id, (args.json, screen)).await?;
    if args.json {
        screen.line(&outcome.to_json())?;
    } else {
        summary(&outcome, screen)?;
    }
    Ok(exit_of(outcome.result))
}

fn completed(mut draft: EnrollmentDraft, args: &ChangeArgs) -> Result<EnrollmentDraft, Error> {
    if let Some(method) = args.method {
        draft = draft.method(method);
    }
    if let Some(audience) = &args.audience {
        draft = draft.audience(audience);
    }
    if let Some(role) = args.role {
        draft = draft.of(role);
    }
    if let Some(number) = &args.number {
        let kind = args.kind.unwrap_or(PhoneKind::Mobile);
        draft = draft.phone(GivenPhone { number: number.clone(), extension: args.extension.clone(), kind });
    }
    if args.pin {
        draft = draft.pin(&read_pin()?);
    }
    if let Some(device) = args.device {
        draft = draft.device(device);
    }
    if let Some(proof) = args.proof {
        draft = draft.proved_by(proof);
    }
    if let Some(after) = args.after {
        draft = draft.after(after);
    }
    if let Some(number) = &args.show {
        draft = draft.showing(number.clone());
    }
    if let Some(seconds) = args.seconds {
        draft = draft.seconds(seconds);
    }
    if let Some(lasting) = args.lasting {
        draft = draft.until(Clock::system().now().plus(lasting));
    }
    if let Some(reason) = &args.reason {
        // Who asks is whom RabbitMQ has proved.
        draft = draft.by_operator(args.portal.as_str(), reason);
    }
    if let Some(ticket) = &args.ticket {
        draft = draft.ticket(ticket);
    }
    Ok(draft)
}

fn read_pin() -> Result<String, Error> {
    let mut line = String::new();
    let read = stdin().lock().read_line(&mut line);
    match read {
        Ok(1..) => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
        Ok(0) | Err(_) => Err(Error::Refused {
            field: "--pin".to_owned(),
            rule: "wants the PIN on standard input".to_owned(),
        }),
    }
}

/// Follows the change to its end, and shows each new state.
async fn follow(
    client: &PortalClient,
    id: RequestId,
    (quiet, screen): (bool, &mut Screen),
) -> Result<EnrollmentOutcome, Error> {
    let began = Instant::now();
    let mut deadline = began + FIRST;
    let mut seq = 0;
    while Instant::now() < deadline {
        let mut pause = LOOK;
        if let Some(outcome) = client.enrollment_outcome(id).await.map_err(|error| client_error(&error))? {
            pause = Duration::from_millis(outcome.poll_after_ms.into()).max(LOOK);
            if outcome.seq > seq && !quiet {
                screen.spans(&[
                    (Style::Dim, format!("{:>7}  ", crate::print::seconds(began.elapsed()))),
                    (Style::Plain, progress(&outcome)),
                ])?;
            }
            seq = outcome.seq;
            if outcome.result != EnrollmentResult::Pending || waits_for_more(&outcome) {
                return Ok(outcome);
            }
            deadline = Instant::now() + outcome.respond_by.since(Clock::system().now()) + MARGIN;
        }
        sleep(pause).await;
    }
    Err(Error::NoOutcome { id: id.to_string(), waited: Duration::from_secs(began.elapsed().as_secs()) })
}

/// Whether only another message brings it on.
fn waits_for_more(outcome: &EnrollmentOutcome) -> bool {
    outcome.next_step.is_some_and(|next| next != NextStep::AnswerTest)
        && outcome.tests.last().is_none_or(|test| test.reason.is_some())
}

fn progress(outcome: &EnrollmentOutcome) -> String {
    let next = outcome.next_step.map(|next| format!(", next {next}")).unwrap_or_default();
    let left =
        if outcome.seconds_left > 0 { format!(", {} s left", outcome.seconds_left) } else { String::new() };
    let test = outcome.tests.last().and_then(|test| test.reason);
    let test = test.map(|reason| format!(", test {reason}")).unwrap_or_default();
    format!("{}{test}{next}{left}", outcome.state)
}

fn summary(outcome: &EnrollmentOutcome, screen: &mut Screen) -> Result<(), Error> {
    let style = match outcome.result {
        EnrollmentResult::Done => Style::Good,
        EnrollmentResult::Pending => Style::Plain,
        EnrollmentResult::Refused | EnrollmentResult::Expired | EnrollmentResult::Canceled => Style::Bad,
    };
    let reason = outcome.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
    let result = (style, format!("{}{reason}", outcome.result));
    screen.spans(&[(Style::Bold, "result     ".to_owned()), result])?;
    if let (Some(field), Some(rule)) = (&outcome.field, &outcome.rule) {
        screen.spans(&[
            (Style::Bold, "why        ".to_owned()),
            (Style::Plain, clean(&format!("{field} {rule}"))),
        ])?;
    }
    for phone in &outcome.phones {
        let verified = if phone.verified { "verified" } else { "not verified" };
        screen.spans(&[
            (Style::Bold, "phone      ".to_owned()),
            (Style::Plain, format!("{} {} {verified}", phone.phone, phone.number)),
        ])?;
    }
    if let Some(activation) = &outcome.activation {
        show_codes(activation, screen)?;
    }
    if let Some(help) = &outcome.help {
        screen.spans(&[(Style::Bold, "help       ".to_owned()), (Style::Plain, clean(help))])?;
    }
    Ok(())
}

/// What the user gives the app: both codes, where one can be used still.
fn show_codes(activation: &ActivationReport, screen: &mut Screen) -> Result<(), Error> {
    let (Some(code), Some(url), Some(qr)) = (&activation.code, &activation.url, &activation.qr) else {
        return Ok(());
    };
    for (name, value) in [("code       ", code), ("url        ", url)] {
        screen.spans(&[(Style::Bold, name.to_owned()), (Style::Plain, clean(value))])?;
    }
    match Qr::of(qr) {
        Ok(qr) => draw(&qr, screen),
        // The code can still be typed.
        Err(TooLong) => Ok(()),
    }
}

const fn exit_of(result: EnrollmentResult) -> Exit {
    match result {
        EnrollmentResult::Pending => Exit::NoOutcome,
        EnrollmentResult::Done => Exit::Done,
        EnrollmentResult::Refused => Exit::Denied,
        EnrollmentResult::Expired => Exit::Expired,
        EnrollmentResult::Canceled => Exit::Canceled,
    }
}
