//! The append-only log: one JSON object per line, `n` and `at` first, then the fact.
//!
//! Facts are written into one buffer under a short lock; a single task takes whatever has gathered to
//! the file. What is in the log, and how a restart reads it, is in `journal/facts.rs`.

mod facts;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fleet_lifecycle::{Clock, Stop};
use tokio::sync::{Notify, watch};

pub(crate) use facts::{Fact, PushFact, RememberedCall, remembered_calls};

use crate::dates;

/// One line in this many has its place in the file noted, so that reading on is a seek.
const LINES_PER_MARK: u64 = 1_000;

/// The log; clones write to the same file.
#[derive(Clone)]
pub(crate) struct Journal(Arc<Inner>);

struct Inner {
    path: PathBuf,
    clock: Clock,
    buffer: Mutex<Buffer>,
    /// Wakes the writer.
    gathered: Notify,
    /// The number of the last line that is in the file.
    written: watch::Sender<u64>,
}

struct Buffer {
    /// Lines that are not in the file yet.
    pending: Vec<u8>,
    /// The number of the last line.
    lines: u64,
    /// Length of the file with everything pending.
    bytes: u64,
    /// Where line 1, 1001, 2001 and so on begin.
    marks: Vec<u64>,
}

impl Journal {
    /// Opens the log, counts what is there, and closes a line that a crash cut short.
    pub(crate) fn open(path: &Path, clock: Clock) -> io::Result<(Self, File)> {
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        let mut buffer = Buffer { pending: Vec::new(), lines: 0, bytes: 0, marks: Vec::new() };
        let mut reader = BufReader::new(File::open(path)?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            if line.last() != Some(&b'\n') {
                file.write_all(b"\n")?;
                line.push(b'\n');
            }
            buffer.count(line.len());
            line.clear();
        }
        let written = watch::Sender::new(buffer.lines);
        let inner = Inner {
            path: path.to_owned(),
            clock,
            buffer: Mutex::new(buffer),
            gathered: Notify::new(),
            written,
        };
        Ok((Self(Arc::new(inner)), file))
    }

    /// Appends a fact. It is in the file moments later; a kill of the process can lose those moments.
    pub(crate) fn record(&self, fact: &Fact<'_>) {
        let at = dates::rfc3339(self.0.clock.now().as_micros());
        let mut buffer = self.buffer();
        let start = buffer.pending.len();
        let number = buffer.lines + 1;
        // Writing to memory can't fail, and facts hold nothing that JSON lacks.
        let _ = write!(buffer.pending, r#"{{"n":{number},"at":"{at}""#);
        let brace = buffer.pending.len();
        let _ = serde_json::to_writer(&mut buffer.pending, fact);
        // The fact's own opening brace becomes the comma that joins it to `n` and `at`.
        if let Some(byte) = buffer.pending.get_mut(brace) {
            *byte = b',';
        }
        buffer.pending.push(b'\n');
        let length = buffer.pending.len() - start;
        buffer.count(length);
        drop(buffer);
        self.0.gathered.notify_one();
    }

    /// Takes what gathers to the file, until all other tasks have ended after the stop.
    pub(crate) async fn write_out(self, mut file: File, stop: Stop) -> anyhow::Result<()> {
        let mut done = false;
        loop {
            let (bytes, lines) = {
                let mut buffer = self.buffer();
                (std::mem::take(&mut buffer.pending), buffer.lines)
            };
            if !bytes.is_empty() {
                file = tokio::task::spawn_blocking(move || file.write_all(&bytes).map(|()| file)).await??;
                self.0.written.send_replace(lines);
            } else if done {
                return Ok(());
            } else {
                tokio::select! {
                    () = self.0.gathered.notified() => {}
                    () = stop.others_done() => done = true,
                }
            }
        }
    }

    /// At most `limit` lines after line `after`, as they are in the file.
    pub(crate) async fn lines_after(&self, after: u64, limit: usize) -> anyhow::Result<Vec<u8>> {
        let (lines, offset, skip) = {
            let buffer = self.buffer();
            let mark = usize::try_from(after / LINES_PER_MARK)?;
            (buffer.lines, buffer.marks.get(mark).copied(), after % LINES_PER_MARK)
        };
        let Some(offset) = offset else { return Ok(Vec::new()) };
        self.0.written.subscribe().wait_for(|written| *written >= lines).await?;
        let whole = usize::try_from(lines.saturating_sub(after))?;
        let path = self.0.path.clone();
        let read = move || -> io::Result<Vec<u8>> {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut reader = BufReader::new(file);
            for _ in 0..skip {
                reader.skip_until(b'\n')?;
            }
            let mut found = Vec::new();
            // Behind the last line that is known to be written there may be a part of the next one.
            for _ in 0..limit.min(whole) {
                if reader.read_until(b'\n', &mut found)? == 0 {
                    break;
                }
            }
            Ok(found)
        };
        Ok(tokio::task::spawn_blocking(read).await??)
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    fn count(&mut self, length_bytes: usize) {
        if self.lines.is_multiple_of(LINES_PER_MARK) {
            self.marks.push(self.bytes);
        }
        self.lines += 1;
        self.bytes += length_bytes as u64;
    }
}
