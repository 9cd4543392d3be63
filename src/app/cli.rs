//! The command line. Stable: other tools read it.

use super::access::{
    self,
    command::{AuditCommand, TokenCommand, UserCommand},
};
use super::alerts;
use super::alerts::command::AlertsCommand;
use super::analyze::{self, AnalyzeArgs};
use super::config::Config;
use super::doctor::{self, DoctorArgs};
use super::emodel::{self, EmodelArgs};
use super::erase::{self, EraseArgs};
use super::privacy::{self, PrivacyCommand};
use super::run::{self, RunArgs};
use super::spool_command::{self, SpoolCommand};
use super::tls;
use anyhow::Context;
use auscult_core::model::Policy;
use auscult_store::endpoint::{EndpointArgs, run_endpoint};
use auscult_store::schema::{self, Dialect};
use clap::{CommandFactory, Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;

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
    /// Capture or replay, store, and serve API and page.
    Run(RunArgs),
    /// Print the tables the program would make.
    Schema {
        /// For a cluster of this name: replicated tables and distributed ones over them.
        #[arg(long)]
        cluster: Option<String>,
    },
    /// Check a configuration file and say what is wrong with it.
    CheckConfig { file: PathBuf },
    /// Say what this host lacks for capture, store and page, and what a running program lost; each with what to do.
    Doctor(DoctorArgs),
    /// Show what waits for the store and what was set aside, and deliver it again.
    Spool {
        #[command(subcommand)]
        command: SpoolCommand,
    },
    /// Remove the rows of one person or one call from store and spool, and count what is left.
    Erase(EraseArgs),
    /// What is stored of persons, and the keys that numbers are stored by.
    Privacy {
        #[command(subcommand)]
        command: PrivacyCommand,
    },
    /// Rules of alerts: list them, check files, test them, run them over history.
    Alerts {
        #[command(subcommand)]
        command: AlertsCommand,
    },
    /// Users who may sign in: add, list, change, remove.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// API tokens for programs: add, list, revoke.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// The audit log: verify its chain, print its rows.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Print shell completions.
    Completions { shell: clap_complete::Shell },
    /// Print the manual page (roff).
    Man,
    /// Serve the store of a directory as a ClickHouse server would.
    #[command(hide = true)]
    StoreEndpoint {
        #[arg(long)]
        data: PathBuf,
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: std::net::SocketAddr,
        #[arg(long)]
        token: String,
        #[arg(long)]
        writable: bool,
        #[arg(long, requires = "tls_key")]
        tls_certificate: Option<PathBuf>,
        #[arg(long, requires = "tls_certificate")]
        tls_key: Option<PathBuf>,
    },
}

/// Runs the command; the error is one line for the user.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    match cli.command {
        Command::Analyze(args) => analyze::run(&args, &Policy::default(), &mut out),
        Command::Emodel(args) => emodel::run(args, &mut out),
        Command::Run(args) => run::run(&args),
        Command::Schema { cluster } => {
            let dialect = cluster.map_or(Dialect::Server, |name| Dialect::Cluster { name });
            Ok(write!(out, "{}", schema::render(&dialect, "auscult"))?)
        }
        Command::CheckConfig { file } => {
            let config = Config::load(&file)?;
            tls::check_addresses(&config).with_context(|| file.display().to_string())?;
            access::check_reach(&config).with_context(|| file.display().to_string())?;
            for warning in &config.warnings {
                writeln!(out, "{}: warning: {warning}", file.display())?;
            }
            if let Some(line) = super::sandbox::rights(&config) {
                writeln!(out, "{}: {line}", file.display())?;
            }
            writeln!(out, "{}: good", file.display())?;
            Ok(writeln!(out, "memory of the tables: {}", super::config::memory(&config.limits))?)
        }
        Command::Doctor(args) => doctor::run(&args, &mut out),
        Command::Spool { command } => {
            let done = spool_command::run(&command, &mut out);
            out.flush()?;
            done
        }
        Command::Privacy { command } => {
            let done = privacy::run(&command, &mut out);
            out.flush()?;
            done
        }
        Command::Erase(args) => erase::run(&args),
        Command::Alerts { command } => {
            let done = alerts::command::run(&command, &mut out);
            out.flush()?;
            done
        }
        Command::User { command } => access::command::user(&command, &mut out),
        Command::Token { command } => access::command::token(&command, &mut out),
        Command::Audit { command } => access::command::audit(&command, &mut out),
        Command::StoreEndpoint { data, listen, token, writable, tls_certificate, tls_key } => {
            let identity = tls::of_command(tls_certificate.as_deref(), tls_key.as_deref())?;
            Ok(run_endpoint(&EndpointArgs { data_dir: data, library: None, listen, token, writable, identity })?)
        }
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
