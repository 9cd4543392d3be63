//! The program: parses the command line, runs the command, and turns an error into one line and an exit code.

use auscult::app::cli::{Cli, run};
use auscult::app::report;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(report(&error)),
    }
}
