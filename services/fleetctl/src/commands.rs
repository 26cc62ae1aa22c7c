//! One module for each command.

mod app;
mod audit;
mod carriers;
mod challenge;
mod change;
mod code;
mod dead;
mod demo_data;
mod export;
mod go_on;
mod history;
mod import;
mod keys;
mod outcome;
mod person;
mod play;
mod queues;
mod request;
mod standing;

use fleet_telemetry::{LogFormat, LogSettings};

use crate::cli::{AuditAct, CarriersAct, Cli, Command, Dead, PhoneAct, UserAct};
use crate::error::Error;
use crate::exit::Exit;
use crate::portal;
use crate::print::Screen;
use crate::session::records_error;
use crate::settings::Sections;

/// Runs the command.
pub async fn run(cli: Cli) -> Result<Exit, Error> {
    if cli.verbose {
        // The client library would log whole messages that came back.
        let filter = "info,fleet_broker=debug,fleet_outcomes=debug,lapin::returned_messages=off".to_owned();
        fleet_telemetry::init_logs(&LogSettings { filter, format: LogFormat::Text });
    }
    let mut screen = Screen::stdout();
    let screen = &mut screen;
    // An app knows nothing of a fleet's settings.
    if let Command::App(args) = cli.command {
        return app::run(*args, screen).await;
    }
    if matches!(cli.command, Command::Keys) {
        return keys::run(screen);
    }
    let sections = Sections::load()?;
    match cli.command {
        Command::Keys => keys::run(screen),
        Command::App(args) => app::run(*args, screen).await,
        Command::Migrate => migrate(&sections, screen).await,
        Command::DemoData { file } => demo_data::run(&file, &sections, screen).await,
        Command::Challenge(args) => challenge::run(&args, &sections, screen).await,
        Command::Cancel(args) => {
            let client = portal::connect(&args.portal, &args.access, &sections)?;
            portal::cancel(&client, args.id).await?;
            Ok(Exit::Done)
        }
        Command::Code { challenge, code } => code::run(&challenge, code, &sections).await,
        Command::Resend(args) => {
            let client = portal::connect(&args.portal, &args.access, &sections)?;
            portal::resend(&client, args.id).await?;
            Ok(Exit::Done)
        }
        Command::Outcome(args) => outcome::run(&args, &sections, screen).await,
        Command::History { portal, id } => history::run(portal, id, &sections, screen).await,
        Command::Dead { act } => dead(act, &sections, screen).await,
        Command::User { act } => user(act, &sections, screen).await,
        Command::Audit { act: AuditAct::Verify { since } } => audit::verify(since, &sections, screen).await,
        Command::Audit { act: AuditAct::List { limit } } => audit::list(limit, &sections, screen).await,
        Command::Phone { act: PhoneAct::OptIn { number, reason } } => {
            standing::opt_in(&number, &reason, &sections, screen).await
        }
        Command::Carriers { act: None } => carriers::show(&sections, screen).await,
        Command::Carriers { act: Some(CarriersAct::Rate { carrier, calls_per_second, reason }) } => {
            carriers::set_rate((&carrier, calls_per_second), &reason, &sections, screen).await
        }
        Command::Queues => queues::run(&sections, screen).await,
        Command::Play(args) => play::run(&args, &sections, screen).await,
    }
}

async fn user(act: UserAct, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    match act {
        UserAct::Block { user, reason, lasting } => {
            standing::block(&user, (&reason, lasting), sections, screen).await
        }
        UserAct::Unblock { user, reason } => standing::unblock(&user, &reason, sections, screen).await,
        UserAct::Show { user } => standing::show(&user, sections, screen).await,
        UserAct::Export { user, out } => person::export(&user, out.as_deref(), sections, screen).await,
        UserAct::Erase { user, reason, yes } => person::erase(&user, (&reason, yes), sections, screen).await,
        UserAct::Change(args) => change::run(&args, sections, screen).await,
        UserAct::Continue(args) => go_on::run(&args, sections, screen).await,
        UserAct::Import(args) => import::run(&args, sections, screen).await,
        UserAct::ExportAll(args) => export::run(&args, sections, screen).await,
    }
}

async fn dead(act: Dead, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    match act {
        Dead::List { limit } => dead::list(limit, sections, screen).await,
        Dead::Show { id } => dead::show(&id, sections, screen).await,
        Dead::Replay { id } => dead::replay(&id, sections, screen).await,
        Dead::Drop { id, all: _, reason, older_than, yes } => {
            let which = match &id {
                Some(id) => dead::Which::Named(id),
                None => dead::Which::All { reason: reason.as_deref(), older_than },
            };
            dead::discard(which, yes, sections, screen).await
        }
    }
}

async fn migrate(sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let settings = sections.records()?;
    let applied = fleet_records::Records::migrate(&settings).await.map_err(|error| records_error(&error))?;
    for name in &applied {
        screen.line(&format!("applied {name}"))?;
    }
    if applied.is_empty() {
        screen.line("nothing to apply: the tables are up to date")?;
    }
    Ok(Exit::Done)
}
