//! Runs scenarios against private servers and writes the report; or is one process of the fleet under test.
#![expect(clippy::print_stdout, reason = "a command line prints")]

mod audit;
mod chaos;
mod codes;
mod load;
mod people;
mod process;
mod scenario;
mod servers;
mod site;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use fleet_faults::report::Report;
use tokio::time::Instant;

use scenario::Stage;
use scenario::stores::Store;
use servers::Servers;

/// Hurts a fleet and audits what is left. `./ops/faults` starts the servers that this needs and calls it.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs scenarios and writes the report.
    Run(RunArgs),
    /// Is one process of the fleet under test; `run` starts it.
    #[command(hide = true)]
    Process(process::ProcessArgs),
}

#[derive(Args)]
struct RunArgs {
    /// What to run; everything unless given.
    #[arg(long = "scenario")]
    scenarios: Vec<Name>,
    /// The small form that fits into a test run.
    #[arg(long)]
    short: bool,
    /// The seed of every choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where report, figures and logs go.
    #[arg(long)]
    out: PathBuf,
    /// When the run began, as the report says it.
    #[arg(long, default_value = "")]
    date: String,
    /// What else the report says of the run, as name=value. May be repeated.
    #[arg(long = "fact", value_parser = fact)]
    facts: Vec<(String, String)>,
    #[command(flatten)]
    servers: Servers,
}

fn fact(text: &str) -> Result<(String, String), String> {
    let split = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    split.ok_or_else(|| format!("'{text}' is not name=value"))
}

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Processes die at named points and at random moments.
    Kills,
    /// A process dies at every named point of every kind of change of an enrollment.
    Enrollment,
    /// PostgreSQL is killed, frozen, cut off and slowed down.
    Postgresql,
    /// Redis is killed, emptied, frozen, cut off and made read-only.
    Redis,
    /// RabbitMQ is killed, frozen, blocked and cut off.
    Rabbitmq,
    /// Redis loses 50,000 open outcomes.
    Refill,
    /// A thousand hostile messages come among ten thousand good ones.
    Hostile,
    /// FCM refuses, fails before and after it has delivered, and resets its connections.
    Pushes,
    /// Each node of a RabbitMQ cluster is killed and frozen.
    Cluster,
}

fn main() -> ExitCode {
    fleet_keys::install_tls_provider();
    match Cli::parse().command {
        Command::Process(args) => process::be(&args),
        Command::Run(args) => match run(args) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                println!("the harness itself failed: {error:#}");
                ExitCode::from(70)
            }
        },
    }
}

/// Whether every promise was kept.
#[tokio::main]
async fn run(args: RunArgs) -> anyhow::Result<bool> {
    let began = Instant::now();
    let mut scenarios = args.scenarios;
    if scenarios.is_empty() {
        scenarios = Name::value_variants().to_vec();
        // Three nodes take half a minute to come up alone.
        scenarios.retain(|name| !args.short || *name != Name::Cluster);
    }
    let stage = Stage { servers: args.servers, folder: args.out.clone(), seed: args.seed, short: args.short };
    let mut report = Report {
        title: "What a fleet under fire keeps".into(),
        date: args.date,
        seed: args.seed,
        facts: args.facts,
        ..Report::default()
    };
    for name in scenarios {
        let started = Instant::now();
        println!("{name:?}, seed {}", args.seed);
        let (mut scenario, rows) = match name {
            Name::Kills => (scenario::kills::run(&stage).await?, Vec::new()),
            Name::Enrollment => (scenario::enrollment::run(&stage).await?, Vec::new()),
            Name::Postgresql => scenario::stores::run(&stage, Store::Postgresql).await?,
            Name::Redis => scenario::stores::run(&stage, Store::Redis).await?,
            Name::Rabbitmq => scenario::stores::run(&stage, Store::Rabbitmq).await?,
            Name::Refill => scenario::refill::run(&stage).await?,
            Name::Hostile => (scenario::hostile::run(&stage).await?, Vec::new()),
            Name::Pushes => (scenario::pushes::run(&stage).await?, Vec::new()),
            Name::Cluster => scenario::stores::run(&stage, Store::Cluster).await?,
        };
        report.store_faults.extend(rows);
        scenario.took = started.elapsed();
        for violation in &scenario.violations {
            println!("  ✗ {violation}");
        }
        println!(
            "  {} challenges, {} faults, {} violations, {:?}",
            scenario.challenges,
            scenario.faults(),
            scenario.violations.len(),
            scenario.took
        );
        report.scenarios.push(scenario);
    }
    report.took = began.elapsed();
    let path = report.write(&args.out)?;
    println!("report: {}", path.display());
    Ok(report.passed())
}
