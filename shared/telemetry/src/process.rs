//! Memory, CPU time, open files and threads of this process, from Linux's `/proc/self`.
//! What cannot be read there is left out.

use std::{fmt::Write, fs};

use crate::{MetricDoc, MetricKind};

/// Ticks of `/proc/self/stat` in a second: `USER_HZ`, which is 100 on every platform that Rust's Linux targets support.
const TICKS_PER_SECOND: f64 = 100.0;

/// The metrics that `render` writes, in its order.
pub(crate) const DOCS: [MetricDoc; 4] = [
    doc("mfa_process_resident_memory_bytes", MetricKind::Gauge, "Memory of the process in RAM."),
    doc("mfa_process_cpu_seconds_total", MetricKind::Counter, "User and system CPU time of the process."),
    doc("mfa_process_open_fds", MetricKind::Gauge, "Open file descriptors of the process."),
    doc("mfa_process_threads", MetricKind::Gauge, "Threads of the process."),
];

const fn doc(name: &'static str, kind: MetricKind, help: &'static str) -> MetricDoc {
    MetricDoc { name, kind, help, labels: &[] }
}

pub(crate) fn render(text: &mut String) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let values = [
        status_number(&status, "VmRSS:").map(|kilobytes| kilobytes * 1024.0),
        cpu_seconds(&stat),
        open_files(),
        status_number(&status, "Threads:"),
    ];
    for (MetricDoc { name, kind, help, .. }, value) in DOCS.iter().zip(values) {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
    }
}

fn open_files() -> Option<f64> {
    let count = u32::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?;
    // The directory is itself open while it is counted.
    Some(f64::from(count) - 1.0)
}

fn status_number(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The fields utime and stime, see proc_pid_stat(5). They are counted from the end of the program's name,
/// which may hold spaces and brackets.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Some(ticks.sum::<Result<f64, _>>().ok()? / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 903 0 0 0 250 75 0 0 20 0 3 0 100 0 0";
        assert_eq!(cpu_seconds(stat).map(f64::to_bits), Some(3.25_f64.to_bits()));
        assert_eq!(cpu_seconds(""), None);
        let status = "Name:\tfleet\nVmRSS:\t    2048 kB\nThreads:\t3\n";
        assert_eq!(status_number(status, "VmRSS:").map(f64::to_bits), Some(2048_f64.to_bits()));
        assert_eq!(status_number(status, "Pid:"), None);
    }
}
