//! A process of the fleet under test: what it does when it is one, and how the harness starts, kills and reads one.
//!
//! The harness starts itself anew: the services and the engine are those of `fleet`, and what is added is only where
//! the process may die.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use fleet_lifecycle::{Armed, CrashPoint, arm};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// A service of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Service {
    /// `voice-worker`
    Voice,
    /// `push-worker`
    Push,
    /// `enrollment-worker`
    Enrollment,
    /// `gateway`
    Gateway,
}

impl Service {
    fn word(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::Push => "push",
            Self::Enrollment => "enrollment",
            Self::Gateway => "gateway",
        }
    }
}

/// What the process is and where it dies.
#[derive(Args)]
pub(crate) struct ProcessArgs {
    /// The services that run in it.
    #[arg(required = true)]
    services: Vec<Service>,
    /// The crash point at which it dies, such as `c4-posting`.
    #[arg(long, value_parser = crash_point)]
    crash: Option<CrashPoint>,
    /// At which pass of the point, from 1.
    #[arg(long, default_value_t = 1)]
    pass: u32,
    /// How far into the point, where it has a length.
    #[arg(long, default_value_t = 0)]
    after_ms: u64,
}

fn crash_point(name: &str) -> Result<CrashPoint, String> {
    CrashPoint::all().find(|point| point.name() == name).ok_or_else(|| {
        let names: Vec<_> = CrashPoint::all().map(CrashPoint::name).collect();
        format!("is one of {}", names.join(", "))
    })
}

/// Is that process, until it is stopped, killed, or dies at its crash point.
pub(crate) fn be(args: &ProcessArgs) -> ExitCode {
    if let Some(point) = args.crash {
        arm(Armed { point, pass: args.pass, after: Duration::from_millis(args.after_ms) });
    }
    let defaults = defaults();
    fleet_engine::serve(&defaults, async |assembly, settings| {
        // The gateway first: the workers' first call may call back at once.
        for wanted in [Service::Gateway, Service::Voice, Service::Push, Service::Enrollment] {
            match wanted {
                _ if !args.services.contains(&wanted) => {}
                Service::Gateway => fleet_gateway::start(&assembly, settings).await?,
                Service::Voice => fleet_voice_worker::start(&assembly, settings)?,
                Service::Push => fleet_push_worker::start(&assembly, settings)?,
                Service::Enrollment => fleet_enrollment_worker::start(&assembly, settings)?,
            }
        }
        Ok(())
    })
}

/// The sections of the services.
pub(crate) fn defaults() -> Vec<&'static str> {
    let services = [
        &fleet_voice_worker::DEFAULTS[..],
        &fleet_push_worker::DEFAULTS[..],
        &fleet_enrollment_worker::DEFAULTS[..],
        &fleet_gateway::DEFAULTS[..],
    ];
    services.concat()
}

/// Where a process is to die.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    pub(crate) point: CrashPoint,
    pub(crate) pass: u32,
    pub(crate) after_ms: u64,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at pass {}", self.point.name(), self.pass)
    }
}

/// How to start a process of the fleet.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// What the report calls it.
    pub(crate) name: String,
    pub(crate) services: Vec<Service>,
    pub(crate) environment: Vec<(String, String)>,
    /// Where its log goes.
    pub(crate) logs: PathBuf,
}

/// A process that runs, or has just ended. It is killed with this value.
pub(crate) struct Process {
    pub(crate) death: Option<Death>,
    pub(crate) started: Instant,
    child: Child,
    log: PathBuf,
}

impl Recipe {
    /// Whether it is a gateway.
    pub(crate) fn is_gateway(&self) -> bool {
        self.services.contains(&Service::Gateway)
    }

    /// Starts the process. Its log begins where those of its predecessors end.
    pub(crate) fn start(&self, death: Option<Death>) -> anyhow::Result<Process> {
        let log = self.logs.join(format!("{}.log", self.name));
        let file = File::options().create(true).append(true).open(&log).context("a process's log")?;
        let mut command = Command::new(std::env::current_exe().context("this program's own path")?);
        command.arg("process").args(self.services.iter().map(|service| service.word()));
        if let Some(death) = death {
            command.args(["--crash", death.point.name()]);
            command.args(["--pass", &death.pass.to_string(), "--after-ms", &death.after_ms.to_string()]);
        }
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        let child = command.spawn().context("starting a process of the fleet")?;
        Ok(Process { death, started: Instant::now(), child, log })
    }
}

impl Process {
    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until it has ended by itself, for so long at most; says whether it has.
    pub(crate) async fn ends_within(&mut self, patience: Duration) -> anyhow::Result<Option<ExitStatus>> {
        match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(status) => Ok(Some(status?)),
            Err(_) => Ok(None),
        }
    }

    /// Whether it has ended at its crash point: by SIGABRT, and with the point's name as its last words.
    pub(crate) fn died_as_wanted(&self, status: ExitStatus) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        let Some(death) = self.death else { return false };
        let last_words = format!("crash point {}", death.point.name());
        status.signal() == Some(6) && last_line(&self.log).is_some_and(|line| line == last_words)
    }

    /// SIGKILL, and the wait for the end.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// SIGTERM: asks for a soft stop.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            std::process::Command::new("kill").args(["-s", "TERM", &pid.to_string()]).status()?;
        }
        Ok(())
    }

    /// Asks for a soft stop and says whether it came within the grace period, with exit code 0.
    pub(crate) async fn stop(mut self) -> anyhow::Result<bool> {
        self.terminate()?;
        let status = tokio::time::timeout(Duration::from_secs(40), self.child.wait()).await;
        Ok(status.is_ok_and(|status| status.is_ok_and(|status| status.success())))
    }
}

fn last_line(path: &Path) -> Option<String> {
    let text = std::fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4_096)..]).into_owned();
    text.lines().next_back().map(str::to_owned)
}
