//! CPU seconds and memory of processes with all their children, from /proc (proc(5)).

use std::collections::BTreeMap;
use std::fs;

/// Clock ticks per second; fixed to 100 for user space on Linux (`sysconf(_SC_CLK_TCK)`).
const TICKS_PER_SECOND: f64 = 100.0;

/// A process and what the report calls it.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    name: String,
    pid: u32,
}

pub(crate) fn named(text: &str) -> Result<Named, String> {
    let parsed = text.split_once('=').and_then(|(name, pid)| Some((name.to_owned(), pid.parse().ok()?)));
    parsed.map(|(name, pid)| Named { name, pid }).ok_or_else(|| format!("'{text}' is not name=pid"))
}

/// What processes have used so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// CPU seconds, user and system.
    pub(crate) cpu_s: f64,
    /// Resident memory in bytes.
    pub(crate) rss_bytes: u64,
}

struct Stat {
    parent: u32,
    cpu_ticks: u64,
    rss_pages: u64,
}

/// The usage of each process, children included.
pub(crate) fn usage(processes: &[Named]) -> BTreeMap<String, Usage> {
    let stats = all();
    let own = std::process::id();
    processes
        .iter()
        .chain(std::iter::once(&Named { name: "load generator".into(), pid: own }))
        .map(|process| (process.name.clone(), tree(&stats, process.pid)))
        .collect()
}

fn tree(stats: &BTreeMap<u32, Stat>, root: u32) -> Usage {
    let mut usage = Usage::default();
    let mut pending = vec![root];
    while let Some(pid) = pending.pop() {
        if let Some(stat) = stats.get(&pid) {
            #[expect(clippy::cast_precision_loss, reason = "ticks of a benchmark are far below 2^52")]
            let seconds = stat.cpu_ticks as f64 / TICKS_PER_SECOND;
            usage.cpu_s += seconds;
            usage.rss_bytes += stat.rss_pages * 4096;
        }
        pending.extend(stats.iter().filter(|(_, stat)| stat.parent == pid).map(|(pid, _)| *pid));
    }
    usage
}

fn all() -> BTreeMap<u32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| Some((pid, read(pid)?)))
        .collect()
}

/// The fields after the command's name, which may itself hold spaces and parentheses.
fn read(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // utime, stime, and cutime, cstime of children that have ended: PostgreSQL's backends come and go.
    let cpu_ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, cpu_ticks, rss_pages: number(21)? })
}
