//! `fleetctl user export-all`.

use std::io;
use std::path::Path;

use fleet_records::Records;

use crate::bulk::format::Format;
use crate::bulk::writer::Writer;
use crate::cli::ExportArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::file::mistake;
use crate::print::Screen;
use crate::session::{Session, records_error};
use crate::settings::Sections;

/// Users that are read by one statement.
const PAGE: usize = 500;

pub(super) async fn run(args: &ExportArgs, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let format = args.format.or_else(|| Format::of(&args.out)).ok_or_else(|| {
        mistake(&args.out, "has a name that tells no format: say --format csv or --format jsonl".to_owned())
    })?;
    let session = Session::new();
    let (records, keys) = (session.records(sections).await?, sections.keys()?);
    let written = write(&records, &keys, (&args.out, format)).await;
    drop(records);
    session.end().await;
    let (users, without_pin) = written?;
    screen.line(&format!("{users} users written to {}", args.out.display()))?;
    if without_pin > 0 {
        screen.line(&format!(
            "the PINs of {without_pin} of them can't be read under this master key, and were left out"
        ))?;
    }
    Ok(Exit::Done)
}

/// Writes all users, and says how many there are, and how many of them lack their PIN in the file.
async fn write(
    records: &Records,
    keys: &fleet_keys::Keys,
    (path, format): (&Path, Format),
) -> Result<(u64, u64), Error> {
    let unwritable = |error: io::Error| mistake(path, format!("cannot be written: {error}"));
    let mut writer = Writer::create(path, format).map_err(unwritable)?;
    let (mut users, mut without_pin, mut after) = (0, 0, None);
    loop {
        let page = records.export_users(after.as_ref(), PAGE).await.map_err(|error| records_error(&error))?;
        for user in &page {
            users += 1;
            without_pin += u64::from(!writer.add(keys, user).map_err(unwritable)?);
        }
        match page.into_iter().next_back() {
            Some(last) => after = Some(last.id),
            None => break,
        }
    }
    writer.finish().map_err(unwritable)?;
    Ok((users, without_pin))
}
