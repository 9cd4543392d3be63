//! The command line. Stable: other tools read it.

use super::analyze::{self, AnalyzeArgs};
use super::emodel::{self, EmodelArgs};
use crate::model::Policy;
use clap::{CommandFactory, Parser, Subcommand};
use std::io::Write;

/// Passive RTP, RTCP and SIP call-quality monitor.
#[derive(Debug, Parser)]
#[command(name = "auscult", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure captures and print calls and streams.
    Analyze(AnalyzeArgs),
    /// Planning calculator: R and MOS for a codec, loss and delay (G.107, G.107.1, G.107.2).
    Emodel(EmodelArgs),
    /// Print shell completions.
    Completions { shell: clap_complete::Shell },
    /// Print the manual page (roff).
    Man,
}

/// Runs the command; the error is one line for the user.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match cli.command {
        Command::Analyze(args) => analyze::run(&args, &Policy::default(), &mut out),
        Command::Emodel(args) => emodel::run(args, &mut out),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "auscult", &mut out);
            Ok(out.flush()?)
        }
        Command::Man => {
            clap_mangen::Man::new(Cli::command()).render(&mut out)?;
            Ok(out.flush()?)
        }
    }
}
