//! From the command line to the exit code.

use std::process::ExitCode;

use clap::Parser;
use fleet_ctl::{Cli, Exit};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no mistake; a closed one is not either.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    fleet_keys::install_tls_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&fleet_ctl::Error::Output(error)),
    };
    let end = runtime.block_on(fleet_ctl::run(cli));
    // What is still connecting is not waited for.
    runtime.shutdown_background();
    end.map_or_else(|error| fail(&error), ExitCode::from)
}

#[expect(clippy::print_stderr, reason = "this is where errors go")]
fn fail(error: &fleet_ctl::Error) -> ExitCode {
    if let Some(line) = error.line() {
        eprintln!("{line}");
    }
    error.exit().into()
}
