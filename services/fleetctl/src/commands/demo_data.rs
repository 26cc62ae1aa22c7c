//! `fleetctl demo-data`.

use std::path::Path;

use fleet_keys::Keys;
use fleet_records::Cause;

use crate::error::Error;
use crate::exit::Exit;
use crate::people::People;
use crate::print::Screen;
use crate::session::{Session, records_error};
use crate::settings::Sections;

pub(super) async fn run(file: &Path, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let people = People::read(file)?;
    let session = Session::new();
    let (records, keys) = (session.records(sections).await?, sections.keys()?);
    let stored = store(&records, &keys, &people).await;
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

async fn store(
    records: &fleet_records::Records,
    keys: &Keys,
    people: &People,
) -> Result<(), fleet_records::Error> {
    for portal in &people.portals {
        records.put_portal(portal).await?;
    }
    records.put_users(&people.users).await?;
    let pins = people
        .pins
        .iter()
        .map(|(user, pin)| (user.clone(), pin.as_ref().map(|pin| keys.hash_pin(user.as_str(), pin))));
    records.set_pins(&pins.collect::<Vec<_>>()).await?;
    stand(records, people).await
}

/// Undoes what was done to these users and their numbers since the last time, but for what the file says.
async fn stand(records: &fleet_records::Records, people: &People) -> Result<(), fleet_records::Error> {
    let cause = Cause::operator("demo data");
    for user in &people.users {
        let wanted = people.blocked.contains(&user.id);
        let is_blocked = records.standing(&user.id).await?.is_some_and(|standing| standing.blocked);
        if wanted && !is_blocked {
            records.block(&user.id, None, &cause).await?;
        } else if is_blocked && !wanted {
            records.unblock(&user.id, &cause).await?;
        }
        for phone in &user.phones {
            records.opt_in(&phone.number, &cause).await?;
        }
    }
    Ok(())
}
