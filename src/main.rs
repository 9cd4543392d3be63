//! The program: parses the command line, starts logging, runs the command, and turns an error into one line and an exit code.

use auscult::app::cli::{Cli, run};
use auscult::app::{log, report};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log::start();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(report(&error)),
    }
}
