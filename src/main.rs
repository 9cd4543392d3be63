//! The program: parses the command line, runs the command, and turns an error into one line and an exit code.

use auscult::app::cli::{Cli, run};
use auscult::capture::CaptureError;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("auscult: {error:#}");
            // 2: the input is not what the command takes; 1: everything else.
            ExitCode::from(if error.downcast_ref::<CaptureError>().is_some() { 2 } else { 1 })
        }
    }
}
