//! Real signals and real exit codes. A signal to a test would reach its neighbours too, so this program has no test
//! harness: without an argument it starts itself once for each case, as the service that the argument names.

use std::{
    env,
    io::{BufRead, BufReader, Write, stdout},
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use fleet_lifecycle::{Context, exit_bad_settings, run};

const SERVE: &str = "--serve=";

/// The service, the signals it gets when it has started, and the exit code it owes.
const CASES: [(&str, &[&str], i32); 7] = [
    ("obedient", &["TERM"], 0),
    ("obedient", &["INT"], 0),
    ("hanging", &["TERM", "INT"], 1),
    ("impatient", &["TERM"], 1),
    ("panicking", &[], 1),
    ("badly set", &[], 78),
    // A stack that overflows ends a process by SIGABRT, without an exit code.
    ("deep", &[], 0),
];

fn main() -> anyhow::Result<ExitCode> {
    let service = env::args().find_map(|argument| argument.strip_prefix(SERVE).map(str::to_owned));
    if let Some(service) = service {
        return if service == "deep" { recurse() } else { serve(&service) };
    }
    for (service, signals, code) in CASES {
        let actual = exit_code(service, signals).with_context(|| service.to_owned())?;
        ensure!(actual == Some(code), "{service} after {signals:?}: exit code {actual:?} instead of {code}");
    }
    Ok(ExitCode::SUCCESS)
}

fn exit_code(service: &str, signals: &[&str]) -> anyhow::Result<Option<i32>> {
    let mut child = Command::new(env::current_exe()?)
        .env_remove("RUST_MIN_STACK")
        .arg(format!("{SERVE}{service}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = child.stdout.take().context("no output")?;
    BufReader::new(output).read_line(&mut String::new())?;
    for signal in signals {
        send(signal, &child)?;
    }
    Ok(child.wait()?.code())
}

fn send(signal: &str, child: &Child) -> anyhow::Result<()> {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status()?;
    ensure!(sent.success(), "signal {signal} was not sent");
    Ok(())
}

/// Needs a stack of at least 5 MiB in a thread that sets none, as libraries start them.
fn recurse() -> anyhow::Result<ExitCode> {
    fleet_lifecycle::deepen_stacks()?;
    let thread = std::thread::spawn(|| descend(5_000));
    let depth = thread.join().ok().context("the thread panicked")?;
    writeln!(stdout(), "{depth}").context("nobody listens")?;
    Ok(ExitCode::SUCCESS)
}

fn descend(levels: u64) -> u64 {
    let filling = std::hint::black_box([levels; 128]);
    if levels == 0 { 0 } else { descend(levels - 1) + u64::from(filling[0] > 0) }
}

#[tokio::main]
async fn serve(service: &str) -> anyhow::Result<ExitCode> {
    let minute = Duration::from_mins(1);
    Ok(match service {
        "obedient" => run(async |context: Context| start(&context, true), minute).await,
        "hanging" => run(async |context: Context| start(&context, false), minute).await,
        "impatient" => run(async |context: Context| start(&context, false), Duration::ZERO).await,
        "panicking" => run(async |context: Context| start_panicking(&context), minute).await,
        "badly set" => exit_bad_settings(&"broker.prefetch: expected an integer"),
        other => bail!("no service {other}"),
    })
}

/// One task, which ends at the soft stop or never. Beside it a blocking call that never ends, as a name lookup may.
fn start(context: &Context, obedient: bool) -> anyhow::Result<()> {
    let stop = context.stop.clone();
    context.tasks.spawn("worker", async move {
        if !obedient {
            tokio::task::spawn_blocking(|| {
                loop {
                    std::thread::park();
                }
            })
            .await?;
        }
        stop.soft().await;
        Ok(())
    });
    writeln!(stdout(), "started").context("nobody listens")
}

fn start_panicking(context: &Context) -> anyhow::Result<()> {
    #[expect(clippy::panic, reason = "this service is to panic")]
    context.tasks.spawn("worker", async { panic!("a bug") });
    writeln!(stdout(), "started").context("nobody listens")
}
