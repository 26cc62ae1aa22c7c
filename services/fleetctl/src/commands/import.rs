//! `fleetctl user import`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet_records::{BulkUser, ErrorClass, Existing, Imported, Records};
use tokio::time::Instant;

use crate::bulk::Refusal;
use crate::bulk::checkpoint::{Checkpoint, Counts, Fingerprint, Manner, beside};
use crate::bulk::entry::{Rules, lacks_data};
use crate::bulk::format::{Csv, Format, read_json};
use crate::bulk::lines::{Line, Lines};
use crate::bulk::meter::Meter;
use crate::bulk::rejects::Rejects;
use crate::cli::ImportArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::file::mistake;
use crate::print::Screen;
use crate::session::{Session, records_error};
use crate::settings::Sections;

/// Users that share a commit: many enough to be fast, few enough that a challenge hardly waits behind them.
const CHUNK: usize = 100;
/// How often a chunk is tried while PostgreSQL is away or busy, a second apart.
const TRIES: u32 = 30;

pub(super) async fn run(args: &ImportArgs, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let (begin, rules) = (Begin::of(args)?, Rules { keys: sections.keys()?, add_plus: args.add_plus });
    if let Some(line) = begin.resumed() {
        screen.line(&format!("going on after line {line}"))?;
    }
    if args.dry_run {
        return Import::start(args, begin, &rules, None)?.run(screen).await;
    }
    let session = Session::new();
    let records = session.records(sections).await?;
    let ended = match Import::start(args, begin, &rules, Some(&records)) {
        Ok(import) => import.run(screen).await,
        Err(error) => Err(error),
    };
    drop(records);
    session.end().await;
    ended
}

/// Where an import begins: at the first line, or where one was killed.
struct Begin {
    checkpoint: Checkpoint,
    checkpoint_path: PathBuf,
}

impl Begin {
    fn of(args: &ImportArgs) -> Result<Self, Error> {
        let path = &args.file;
        let format = args.format.or_else(|| Format::of(path));
        let format = format.ok_or_else(|| {
            mistake(path, "has a name that tells no format: say --format csv or --format jsonl".to_owned())
        })?;
        let manner = Manner { format, update: args.existing.is_update(), add_plus: args.add_plus };
        let file = Fingerprint::of(path).map_err(|error| unreadable(path, &error))?;
        let checkpoint_path = beside(path);
        let old = Checkpoint::read(&checkpoint_path).map_err(|problem| mistake(&checkpoint_path, problem))?;
        let checkpoint = match old {
            Some(old) if args.resume => {
                check_same(&old, &file, &manner).map_err(|problem| mistake(&checkpoint_path, problem))?;
                old
            }
            Some(old) => {
                let problem = format!(
                    "an import of this file stopped after line {}: --resume goes on there; remove this file to begin again",
                    old.line
                );
                return Err(mistake(&checkpoint_path, problem));
            }
            None => Checkpoint {
                file,
                manner,
                run: fleet_keys::sha256_hex(&fleet_keys::random_bytes::<16>())[..8].to_owned(),
                line: 0,
                offset: 0,
                rejects_bytes: 0,
                counts: Counts::default(),
            },
        };
        Ok(Self { checkpoint, checkpoint_path })
    }

    fn resumed(&self) -> Option<u64> {
        Some(self.checkpoint.line).filter(|line| *line > 0)
    }
}

fn check_same(old: &Checkpoint, file: &Fingerprint, manner: &Manner) -> Result<(), String> {
    if old.file != *file {
        return Err(
            "the file has changed since its import stopped: remove this file to begin again".to_owned()
        );
    }
    if old.manner != *manner {
        return Err(
            "the import was begun with another --format, --existing or --add-plus: say the same again"
                .to_owned(),
        );
    }
    Ok(())
}

/// An import under way.
struct Import<'a> {
    args: &'a ImportArgs,
    rules: &'a Rules,
    /// None where lines are only checked.
    records: Option<&'a Records>,
    lines: Lines<BufReader<File>>,
    csv: Option<Csv>,
    checkpoint: Checkpoint,
    checkpoint_path: PathBuf,
    rejects: Rejects,
    chunk: Vec<BulkUser>,
    in_chunk: HashSet<String>,
}

impl<'a> Import<'a> {
    fn start(
        args: &'a ImportArgs,
        begin: Begin,
        rules: &'a Rules,
        records: Option<&'a Records>,
    ) -> Result<Self, Error> {
        let Begin { mut checkpoint, checkpoint_path } = begin;
        let path = &args.file;
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let mut lines = Lines::at(BufReader::with_capacity(256 * 1024, file), (0, 0));
        let csv = match checkpoint.manner.format {
            Format::Csv => Some(names(&mut lines, path)?),
            Format::Jsonl => None,
        };
        if checkpoint.offset > lines.offset {
            let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
            file.seek(SeekFrom::Start(checkpoint.offset)).map_err(|error| unreadable(path, &error))?;
            lines =
                Lines::at(BufReader::with_capacity(256 * 1024, file), (checkpoint.line, checkpoint.offset));
        } else {
            (checkpoint.line, checkpoint.offset) = (lines.number, lines.offset);
        }
        let rejects_path = rejects_path(args);
        if is_same_file(&rejects_path, path) {
            return Err(mistake(
                &rejects_path,
                "is the imported file: name another one for --rejects".to_owned(),
            ));
        }
        let rejects = Rejects::open(&rejects_path, checkpoint.rejects_bytes);
        let rejects =
            rejects.map_err(|error| mistake(&rejects_path, format!("cannot be written: {error}")))?;
        let (chunk, in_chunk) = (Vec::with_capacity(CHUNK), HashSet::new());
        Ok(Self { args, rules, records, lines, csv, checkpoint, checkpoint_path, rejects, chunk, in_chunk })
    }

    async fn run(mut self, screen: &mut Screen) -> Result<Exit, Error> {
        let mut meter = Meter::begin("lines", self.share());
        let first = self.lines.number;
        loop {
            let read = self.next()?;
            let is_over = matches!(read, Read::End);
            if let Read::User(user) = read {
                self.take(user).await?;
            }
            if is_over || self.chunk.len() >= CHUNK {
                self.commit(true).await?;
                let refused = self.checkpoint.counts.refused;
                let remark = if refused > 0 { format!("{refused} refused") } else { String::new() };
                meter.show(screen, (self.share(), self.lines.number - first), &remark)?;
            }
            if is_over {
                break;
            }
        }
        meter.end(screen)?;
        self.tell(screen)
    }

    /// Whoever stands twice in the file is stored twice, in its order.
    async fn take(&mut self, user: BulkUser) -> Result<(), Error> {
        let id = user.id.as_str().to_owned();
        if self.in_chunk.contains(&id) {
            self.commit(false).await?;
        }
        self.in_chunk.insert(id);
        self.checkpoint.counts.pending += u64::from(lacks_data(&user));
        self.chunk.push(user);
        Ok(())
    }

    /// Reads the next line. What is refused is noted.
    fn next(&mut self) -> Result<Read, Error> {
        let path = &self.args.file;
        let read = match self.lines.next().map_err(|error| unreadable(path, &error))? {
            None => return Ok(Read::End),
            Some(Line::TooLong) => Err(Refusal::line("is longer than 64 KiB")),
            Some(Line::Whole(line)) if line.iter().all(u8::is_ascii_whitespace) => return Ok(Read::Nothing),
            Some(Line::Whole(line)) => match &mut self.csv {
                Some(csv) => csv.read(line),
                None => read_json(line),
            },
        };
        match read.and_then(|record| self.rules.user(&record)) {
            Ok(user) => Ok(Read::User(user)),
            Err(refusal) => {
                self.checkpoint.counts.refused += 1;
                let noted = self.rejects.add(self.lines.number, &refusal);
                noted.map_err(|error| {
                    mistake(&rejects_path(self.args), format!("cannot be written: {error}"))
                })?;
                Ok(Read::Nothing)
            }
        }
    }

    /// Stores what has gathered. Whether everything that was read is in it decides if the place is noted.
    async fn commit(&mut self, everything: bool) -> Result<(), Error> {
        let began = Instant::now();
        if !self.chunk.is_empty() {
            let imported = self.store().await?;
            let counts = &mut self.checkpoint.counts;
            counts.added += imported.added;
            counts.updated += imported.updated;
            counts.kept += imported.kept;
        }
        self.chunk.clear();
        self.in_chunk.clear();
        if self.records.is_none() {
            return Ok(());
        }
        if everything {
            (self.checkpoint.line, self.checkpoint.offset) = (self.lines.number, self.lines.offset);
            self.checkpoint.rejects_bytes = self.rejects.bytes();
            let written = self.checkpoint.write(&self.checkpoint_path);
            written.map_err(|error| mistake(&self.checkpoint_path, format!("cannot be written: {error}")))?;
        }
        // The database is everybody's: the rest of the time is for challenges.
        let share = u32::from(self.args.share);
        tokio::time::sleep(began.elapsed() * (100 - share) / share).await;
        Ok(())
    }

    async fn store(&self) -> Result<Imported, Error> {
        let Some(records) = self.records else { return Ok(Imported::default()) };
        let existing = if self.checkpoint.manner.update { Existing::Update } else { Existing::Skip };
        let name = self.args.file.file_name().unwrap_or_default().to_string_lossy();
        let name: String = crate::print::clean(&name).chars().take(150).collect();
        let reason = format!("import of {name}, run {}", self.checkpoint.run);
        let mut tries = 1;
        loop {
            match records.import_users(&self.chunk, existing, &reason).await {
                Ok(imported) => return Ok(imported),
                Err(error) if error.class() == ErrorClass::Retry && tries < TRIES => {
                    tracing::debug!(%error, tries, "a chunk is tried again");
                    tries += 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => return Err(records_error(&error)),
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    fn share(&self) -> f64 {
        self.lines.offset as f64 / self.checkpoint.file.size().max(1) as f64
    }

    fn tell(self, screen: &mut Screen) -> Result<Exit, Error> {
        let counts = self.checkpoint.counts;
        if self.records.is_some() {
            let removed = std::fs::remove_file(&self.checkpoint_path);
            removed.map_err(|error| mistake(&self.checkpoint_path, format!("cannot be removed: {error}")))?;
            screen.line(&format!(
                "{} users added, {} updated, {} left as they were",
                counts.added, counts.updated, counts.kept
            ))?;
        } else {
            screen.line("nothing was stored: this was a dry run")?;
        }
        if counts.pending > 0 {
            screen.line(&format!(
                "{} lines have a method without its data (pending_user_data): nobody is called before it is given",
                counts.pending
            ))?;
        }
        if counts.refused == 0 {
            return Ok(Exit::Done);
        }
        let path = rejects_path(self.args);
        screen.line(&format!(
            "{} lines were refused: {} says which and why",
            counts.refused,
            path.display()
        ))?;
        Ok(Exit::Data)
    }
}

/// What a line came to.
enum Read {
    User(BulkUser),
    /// It is empty, or was refused.
    Nothing,
    End,
}

/// The line of names.
fn names(lines: &mut Lines<BufReader<File>>, path: &Path) -> Result<Csv, Error> {
    let first = match lines.next().map_err(|error| unreadable(path, &error))? {
        Some(Line::Whole(line)) => Csv::under(line),
        Some(Line::TooLong) => Err("is longer than 64 KiB".to_owned()),
        None => Err("is missing: it names the columns".to_owned()),
    };
    first.map_err(|rule| mistake(path, format!("line 1 {rule}")))
}

/// Where refused lines are listed.
fn rejects_path(args: &ImportArgs) -> PathBuf {
    args.rejects.clone().unwrap_or_else(|| {
        let mut name = args.file.as_os_str().to_owned();
        name.push(".rejects.csv");
        PathBuf::from(name)
    })
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    mistake(path, format!("cannot be read: {error}"))
}
