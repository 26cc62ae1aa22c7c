//! `fleetctl demo-data`.

use std::path::Path;

use crate::error::Error;
use crate::exit::Exit;
use crate::people::People;
use crate::print::Screen;
use crate::session::{Session, records_error};
use crate::settings::Sections;

pub(super) async fn run(file: &Path, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let people = People::read(file)?;
    let session = Session::new();
    let records = session.records(sections).await?;
    let stored = store(&records, &people).await;
    drop(records);
    session.end().await;
    stored.map_err(|error| records_error(&error))?;
    let count = |part: fn(&fleet_records::NewUser) -> usize| people.users.iter().map(part).sum::<usize>();
    screen.line(&format!(
        "loaded {} portals and {} users with {} phones and {} devices",
        people.portals.len(),
        people.users.len(),
        count(|user| user.phones.len()),
        count(|user| user.devices.len()),
    ))?;
    Ok(Exit::Done)
}

async fn store(records: &fleet_records::Records, people: &People) -> Result<(), fleet_records::Error> {
    for portal in &people.portals {
        records.put_portal(portal).await?;
    }
    records.put_users(&people.users).await
}
