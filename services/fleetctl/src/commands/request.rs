//! A change of an enrollment on its way: followed to its end or to where only another message brings it on, and shown.

use std::time::Duration;

use fleet_contracts::{ActivationReport, EnrolledReport, EnrollmentOutcome};
use fleet_domain::{Authority, Channel, EnrollmentResult, EnrollmentState, NextStep};
use fleet_lifecycle::Clock;
use fleet_portal_client::{PortalClient, RequestId};
use tokio::time::{Instant, sleep};

use super::app::draw;
use crate::error::{Asked, Error};
use crate::exit::Exit;
use crate::input;
use crate::portal::client_error;
use crate::print::{Screen, Style, clean};
use crate::qr::{Qr, TooLong};

/// How long an outcome is waited for whose time is not known yet.
pub(super) const FIRST: Duration = Duration::from_secs(30);
/// How long after its time an outcome may take.
const MARGIN: Duration = Duration::from_secs(5);
/// Between two looks while nothing is known.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// Follows the request from after this version, and shows each new one. What waits for another message is given back, also
/// where there was no new version in time.
pub(super) async fn follow(
    client: &PortalClient,
    (id, after): (RequestId, u32),
    (quiet, screen): (bool, &mut Screen),
) -> Result<EnrollmentOutcome, Error> {
    let began = Instant::now();
    let (mut deadline, mut seq, mut newest) = (began + FIRST, after, None);
    while Instant::now() < deadline {
        let mut pause = LOOK;
        if let Some(outcome) = client.enrollment_outcome(id).await.map_err(|error| client_error(&error))? {
            pause = Duration::from_millis(outcome.poll_after_ms.into()).max(LOOK);
            let (is_new, waits) = (outcome.seq > after, waits_for_more(&outcome));
            if outcome.seq > seq {
                seq = outcome.seq;
                if !quiet {
                    screen.spans(&[
                        (Style::Dim, format!("{:>7}  ", crate::print::seconds(began.elapsed()))),
                        (Style::Plain, progress(&outcome)),
                    ])?;
                }
                if !waits {
                    deadline = Instant::now() + outcome.respond_by.since(Clock::system().now()) + MARGIN;
                }
            }
            if outcome.result != EnrollmentResult::Pending || (is_new && waits) {
                return Ok(outcome);
            }
            newest = Some(outcome).filter(|_| waits);
        }
        sleep(pause).await;
    }
    let waited = Duration::from_secs(began.elapsed().as_secs());
    newest.ok_or_else(|| Error::NoOutcome { what: Asked::Request, id: id.to_string(), waited })
}

/// Whether only another message brings it on. Once the test has passed, the next step is what follows the change.
fn waits_for_more(outcome: &EnrollmentOutcome) -> bool {
    match outcome.next_step {
        None => false,
        Some(NextStep::AnswerTest) => waits_for_code(outcome),
        Some(_) => outcome.state != EnrollmentState::TestPassed,
    }
}

/// Whether the test that is under way is a code that the person types.
pub(super) fn waits_for_code(outcome: &EnrollmentOutcome) -> bool {
    outcome.next_step == Some(NextStep::AnswerTest)
        && outcome.method.as_ref().is_some_and(|method| method.after == Channel::Totp)
}

/// Asks for the answer to each of these questions: a line each.
pub(super) fn answers(questions: &[String]) -> Result<Vec<(String, String)>, Error> {
    questions.iter().map(|question| Ok((question.clone(), input::secret(&clean(question))?))).collect()
}

/// Shows how it stands, and what follows from that for the shell.
pub(super) fn end(outcome: &EnrollmentOutcome, json: bool, screen: &mut Screen) -> Result<Exit, Error> {
    if json {
        screen.line(&outcome.to_json())?;
    } else {
        summary(outcome, screen)?;
    }
    Ok(exit_of(outcome.result))
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
    screen.spans(&[(Style::Bold, format!("{:11}", "result")), result])?;
    for (name, value) in facts(outcome) {
        screen.spans(&[(Style::Bold, format!("{name:11}")), (Style::Plain, clean(&value))])?;
    }
    if let Some(activation) = &outcome.activation {
        show_codes(activation, screen)?;
    }
    for command in ways_on(outcome) {
        screen.spans(&[(Style::Bold, format!("{:11}", "go on")), (Style::Plain, command)])?;
    }
    Ok(())
}

fn facts(outcome: &EnrollmentOutcome) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let (Some(field), Some(rule)) = (&outcome.field, &outcome.rule) {
        facts.push(("why", format!("{field} {rule}")));
    }
    for phone in &outcome.phones {
        facts.push(("phone", format!("{} {} {}", phone.phone, phone.number, verified(phone.verified))));
    }
    if let Some(enrolled) = &outcome.enrolled {
        facts.extend(enrolled_facts(enrolled));
    }
    if let Some(device) = outcome.activation.as_ref().and_then(|activation| activation.device.as_ref()) {
        facts.push(("device", format!("{} {} ({})", device.device_id, device.name, device.platform)));
    }
    if !outcome.questions.is_empty() {
        facts.push(("questions", outcome.questions.join(", ")));
    }
    facts.extend(outcome.help.clone().map(|help| ("help", help)));
    facts
}

fn enrolled_facts(enrolled: &EnrolledReport) -> Vec<(&'static str, String)> {
    let yes_or_no = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let mut facts = vec![("method", enrolled.method.to_string())];
    for phone in &enrolled.phones {
        let extension = if phone.extension { " with an extension" } else { "" };
        let is = verified(phone.verified);
        facts.push(("phone", format!("{} {} {}{extension} {is}", phone.phone, phone.kind, phone.number)));
    }
    for device in &enrolled.devices {
        let app = enrolled.apps.iter().find(|app| app.device_id == *device);
        let name = app.and_then(|app| app.name.as_deref()).unwrap_or_default();
        facts.push(("device", format!("{device} {name}").trim_end().to_owned()));
    }
    facts.push(("PIN", yes_or_no(enrolled.pin)));
    if !enrolled.questions.is_empty() {
        facts.push(("questions", enrolled.questions.join(", ")));
    }
    facts.push(("blocked", yes_or_no(enrolled.blocked)));
    facts
}

const fn verified(is: bool) -> &'static str {
    if is { "verified" } else { "not verified" }
}

/// The commands that bring it on, or that do what the user still lacks.
fn ways_on(outcome: &EnrollmentOutcome) -> Vec<String> {
    let EnrollmentOutcome { request_id: id, portal, user_id: user, .. } = outcome;
    let goes_on =
        |with: &str, when: &str| format!("fleetctl user continue {id} {with} --portal {portal}{when}");
    let is_operators = outcome.authority == Authority::Operator;
    let proof = if is_operators { "--reason WHY".to_owned() } else { format!("--proof-request {id}") };
    let change = |what: &str| format!("fleetctl user change {user} {what} --portal {portal} {proof}");
    let mut ways = match outcome.next_step {
        Some(NextStep::AnswerTest) if waits_for_code(outcome) => vec![goes_on("code", "")],
        None | Some(NextStep::AnswerTest) => Vec::new(),
        Some(NextStep::BeginTest | NextStep::RetryTest) => {
            vec![goes_on("test", "  (--show DIGITS where the person is to key or type some)")]
        }
        Some(NextStep::ActivateDevice) => vec![
            goes_on("test", "  (once the app has used the code)"),
            goes_on("activation", "  (another code)"),
        ],
        Some(NextStep::AnswerQuestions) => vec![goes_on("answers", "")],
        Some(NextStep::ProvidePhone) => vec![change("phone_change --number NUMBER")],
        Some(NextStep::SetPin) => vec![change("pin_change --pin")],
        Some(NextStep::SetQuestions) => vec![change("questions_change --questions ID,ID")],
        Some(NextStep::ChangeMethod) => vec![change("method_change --method METHOD")],
        Some(NextStep::TestBackup) => vec![change("phone_test")],
    };
    if outcome.result == EnrollmentResult::Pending && !ways.is_empty() {
        ways.push(goes_on("cancel", "  (call it off)"));
    }
    ways
}

/// What the user gives the app: both codes, where one can be used still.
fn show_codes(activation: &ActivationReport, screen: &mut Screen) -> Result<(), Error> {
    let (Some(code), Some(url), Some(qr)) = (&activation.code, &activation.url, &activation.qr) else {
        return Ok(());
    };
    for (name, value) in [("code", code), ("url", url)] {
        screen.spans(&[(Style::Bold, format!("{name:11}")), (Style::Plain, clean(value))])?;
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
