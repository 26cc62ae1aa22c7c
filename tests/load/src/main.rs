#![doc = include_str!("../README.md")]
#![expect(clippy::print_stdout, reason = "a command line prints")]

mod drain;
mod limit;
mod measured;
mod paced;
mod portal;
mod processes;
mod report;
mod scrape;
mod seed;
mod surroundings;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Loads the fleet and measures it. `./ops/bench` starts what this needs and calls it.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Registers the portal `bench` and users whose devices are the simulator's swarm.
    Seed {
        /// How many users.
        #[arg(long)]
        users: u64,
        /// The public key that the swarm's devices share, base64url.
        #[arg(long)]
        public_key: String,
    },
    /// Publishes challenges and ends; the fleet need not run.
    Fill {
        /// How many challenges.
        #[arg(long)]
        count: u64,
        /// How many users there are.
        #[arg(long)]
        users: u64,
    },
    /// Waits until the fleet has dispatched, or ended, a number of challenges, and measures it meanwhile.
    Drain {
        /// Until what has come of each challenge.
        #[arg(long)]
        until: drain::Until,
        /// How many challenges.
        #[arg(long)]
        count: u64,
        #[command(flatten)]
        probe: Probe,
    },
    /// Publishes at a fixed rate and measures how long each challenge takes.
    Paced {
        /// Challenges per second.
        #[arg(long)]
        rate: u64,
        /// For how many seconds.
        #[arg(long)]
        seconds: u64,
        /// How many users there are.
        #[arg(long)]
        users: u64,
        /// The simulator's log, where the arrival of each push stands.
        #[arg(long)]
        simulator_log: PathBuf,
        #[command(flatten)]
        probe: Probe,
    },
    /// A bare consume, POST, Redis loop over the same servers: the speed to compare with.
    Limit {
        /// How many messages.
        #[arg(long)]
        count: u64,
        /// The push service's URL.
        #[arg(long)]
        push_url: String,
        /// The service account's JSON.
        #[arg(long)]
        credentials: PathBuf,
        #[command(flatten)]
        probe: Probe,
    },
    /// Prints the table of all measurements in a folder and draws them.
    Report {
        /// The folder.
        folder: PathBuf,
        /// Where to draw.
        #[arg(long)]
        svg: PathBuf,
    },
}

/// What is watched during a measurement, and where its result goes.
#[derive(Args, Clone)]
pub(crate) struct Probe {
    /// The delay of the provider in this run, in milliseconds: a label.
    #[arg(long)]
    delay_ms: u64,
    /// The fleet's metrics page.
    #[arg(long, default_value = "http://127.0.0.1:9464/metrics")]
    metrics_url: String,
    /// A process to watch with all its children, as name=pid. May be repeated.
    #[arg(long = "process", value_parser = processes::named)]
    processes: Vec<processes::Named>,
    /// Where to write what was measured.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    fleet_keys::install_tls_provider();
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Seed { users, public_key } => seed::seed(users, &public_key).await,
            Command::Fill { count, users } => portal::fill(count, users).await,
            Command::Drain { until, count, probe } => drain::drain(until, count, &probe).await,
            Command::Paced { rate, seconds, users, simulator_log, probe } => {
                paced::paced(paced::Load { rate, seconds, users }, &simulator_log, &probe).await
            }
            Command::Limit { count, push_url, credentials, probe } => {
                limit::limit(count, &push_url, &credentials, &probe).await
            }
            Command::Report { folder, svg } => {
                println!("{}", report::report(&folder, &svg)?);
                Ok(())
            }
        }
    })
}
