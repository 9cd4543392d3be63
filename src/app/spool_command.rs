//! `auscult spool`: what waits for the store, what was set aside, and how it is delivered again.

use super::config::Config;
use anyhow::{Context, bail};
use auscult_store::StoreError;
use auscult_store::spool::{DeadLetter, Files, Spool, SpoolLimits, dead_letters, waiting_segments};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub enum SpoolCommand {
    /// List the segments that wait for the store and those that were set aside, with the reason.
    List(SpoolArgs),
    /// Move the segments that were set aside back, so that the next `auscult run` delivers them. No program may be running.
    Redeliver(SpoolArgs),
}

#[derive(Debug, Args)]
pub struct SpoolArgs {
    /// Configuration file.
    #[arg(short, long)]
    config: Option<PathBuf>,
    /// Directory of the embedded store and the spool, as for `run`.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

pub fn run(command: &SpoolCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        SpoolCommand::List(args) => {
            let (spool, _) = args.spool()?;
            list(&spool, args.json, out)
        }
        SpoolCommand::Redeliver(args) => {
            let (spool, limits) = args.spool()?;
            redeliver(&spool, limits, args.json, out)
        }
    }
}

impl SpoolArgs {
    /// The directory of the spool and its bounds.
    fn spool(&self) -> anyhow::Result<(PathBuf, SpoolLimits)> {
        let config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default_config()?,
        };
        let data = self.data.clone().unwrap_or(config.store.data);
        let spool = data.join("spool");
        if !spool.is_dir() {
            bail!(
                "there is no spool in {}: name the directory of `auscult run` with --data or --config",
                data.display()
            );
        }
        let usual = SpoolLimits::default();
        Ok((spool, SpoolLimits { bytes: config.store.spool_bytes.unwrap_or(usual.bytes), ..usual }))
    }
}

#[derive(Serialize)]
struct Listed {
    waiting: Vec<DeadLetter>,
    set_aside: Vec<DeadLetter>,
}

fn list(spool: &Path, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", spool.display());
    let waiting = waiting_segments(&Files, spool).with_context(cannot)?;
    let set_aside = dead_letters(&Files, spool).with_context(cannot)?;
    if json {
        serde_json::to_writer_pretty(&mut *out, &Listed { waiting, set_aside })?;
        return Ok(writeln!(out)?);
    }
    writeln!(out, "waiting for the store: {}", sum(&waiting))?;
    print(&waiting, out)?;
    writeln!(out, "set aside: {}", sum(&set_aside))?;
    print(&set_aside, out)?;
    if set_aside.iter().any(|letter| letter.damage.is_none()) {
        writeln!(
            out,
            "`auscult spool redeliver` moves those that are not damaged back, for the next start to deliver"
        )?;
    }
    Ok(())
}

fn redeliver(spool: &Path, limits: SpoolLimits, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut open = match Spool::open(spool, limits) {
        Err(StoreError::Locked { .. }) => {
            bail!("auscult is running with the spool in {}: stop it, redeliver, and start it again", spool.display())
        }
        open => open?,
    };
    let done = open.redeliver().with_context(|| format!("cannot move the dead letters of {}", spool.display()))?;
    if json {
        serde_json::to_writer_pretty(&mut *out, &done)?;
        writeln!(out)?;
    } else {
        writeln!(out, "moved back: {}", sum(&done.moved))?;
        print(&done.moved, out)?;
        if !done.moved.is_empty() {
            writeln!(out, "the next `auscult run` on this directory delivers them")?;
        }
        if !done.kept.is_empty() {
            writeln!(out, "not moved: {}", sum(&done.kept))?;
            print(&done.kept, out)?;
        }
    }
    out.flush()?;
    if !done.kept.is_empty() {
        bail!(
            "{} stay in {}: damaged, or more than store.spool_mib allows",
            sum(&done.kept),
            spool.join("dead_letter").display()
        );
    }
    Ok(())
}

fn sum(letters: &[DeadLetter]) -> String {
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    let rows: u64 = letters.iter().map(|letter| u64::from(letter.rows)).sum();
    let bytes: u64 = letters.iter().map(|letter| letter.bytes).sum();
    format!(
        "{} segment{} with {rows} row{}, {bytes} bytes",
        letters.len(),
        plural(letters.len()),
        plural(usize::try_from(rows).unwrap_or(usize::MAX))
    )
}

fn print(letters: &[DeadLetter], out: &mut dyn Write) -> anyhow::Result<()> {
    for letter in letters {
        writeln!(
            out,
            "  {:<17} {:>6} rows {:>9} bytes  {:>8}  {}",
            letter.table,
            letter.rows,
            letter.bytes,
            age(letter.stored_at, super::wall_clock().0 / 1_000_000_000),
            letter.file
        )?;
        if !letter.reason.is_empty() {
            writeln!(out, "    {}", plain(&letter.reason))?;
        }
        if let Some(damage) = &letter.damage {
            writeln!(out, "    cannot be delivered again: {}", plain(damage))?;
        }
    }
    Ok(())
}

/// How long ago, in the largest unit that fits.
fn age(stored_at: Option<u32>, now: i64) -> String {
    let Some(stored_at) = stored_at else { return "age ?".to_owned() };
    let seconds = (now - i64::from(stored_at)).max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The store's words may quote values of a row: nothing in them reaches the terminal as a control sequence.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_graphic() || c == ' ' || (c.is_alphanumeric() && !c.is_ascii()) { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit_and_reasons_no_control_sequences() {
        let ages =
            [(Some(1000), 1119), (Some(1000), 1120), (Some(0), 7200), (Some(0), 172_800), (Some(9), 3), (None, 5)];
        assert_eq!(ages.map(|(at, now)| age(at, now)), ["119 s", "2 min", "2 h", "2 d", "0 s", "age ?"]);
        assert_eq!(plain("a\u{1b}[31mb\u{202e}c\n é"), "a?[31mb?c? é");
    }
}
