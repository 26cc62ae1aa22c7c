//! `fleetctl user change`.

use fleet_domain::PhoneKind;
use fleet_lifecycle::Clock;
use fleet_portal_client::{EnrollmentDraft, GivenPhone};

use super::request;
use crate::cli::ChangeArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::input;
use crate::portal::{self, client_error};
use crate::print::Screen;
use crate::settings::Sections;

pub(super) async fn run(args: &ChangeArgs, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let key = sections.enrollment_key(args.enrollment_key.as_deref())?;
    let client = portal::connect(&args.portal, &args.access, sections)?;
    let draft = completed(client.enrollment(args.user.clone(), args.change), args)?.seal(&key);
    let id = client.enroll(&draft).await.map_err(|error| client_error(&error))?;
    if !args.json {
        screen.line(&format!("{} of {} by {}, id {id}", args.change, args.user, args.portal))?;
    }
    let outcome = request::follow(&client, (id, 0), (args.json, screen)).await?;
    request::end(&outcome, args.json, screen)
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
        draft = draft.pin(&input::secret("PIN")?);
    }
    for (question, answer) in request::answers(&args.questions)? {
        draft = draft.answer(&question, &answer);
    }
    if let Some(device) = args.device {
        draft = draft.device(device);
    }
    if let Some(proof) = args.proof {
        draft = draft.proved_by(proof);
    }
    if let Some(request) = args.proof_request {
        draft = draft.proved_by_request(request);
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
