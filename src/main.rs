//! The program: parses the command line, starts logging, runs the command, and turns an error into one line and an exit code.

use auscult::app::cli::{Cli, run};
use auscult::app::log;
use auscult::capture::CaptureError;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log::start();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("auscult: {}", one_line(&error));
            // 2: the input is not what the command takes; 1: everything else.
            ExitCode::from(if error.downcast_ref::<CaptureError>().is_some() { 2 } else { 1 })
        }
    }
}

/// The error and its causes, each once: many errors name their cause in their own words already.
fn one_line(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |line, cause| match line.as_str() {
        "" => cause,
        line if line.ends_with(&cause) => line.to_owned(),
        line => format!("{line}: {cause}"),
    })
}
