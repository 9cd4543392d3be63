//! `auscult analyze`: captures in, a table, JSON or CSV out.

use super::analysis_results::AnalysisResults;
use super::document::Document;
use super::indented;
use super::table;
use anyhow::Context;
use auscult_capture::Timeline;
use auscult_core::engine::Engine;
use auscult_core::model::{Limits, MessagePolicy, Messages, Policy, TimestampSource};
use auscult_core::units::text::clean;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Worst calls first, one line a stream, verdict in words.
    Table,
    /// One document; its schema is schemas/analyze.schema.json.
    Json,
    /// One line a stream.
    Csv,
}

#[derive(Debug, Args)]
pub struct AnalyzeArgs {
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Shards the streams are spread over; changes no result.
    #[arg(long, hide = true, default_value_t = 1)]
    pub shards: usize,
    /// pcap or pcapng, also gzip or zstd; '-' is standard input. Several files are one timeline.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

/// Frames between two looks at the progress.
const PROGRESS_EVERY: u64 = 1 << 16;

pub fn run(args: &AnalyzeArgs, policy: &Policy, out: &mut impl Write) -> anyhow::Result<()> {
    let document = analyze(args, policy)?;
    let written = match args.format {
        Format::Json => indented::write(out, &document).map_err(std::io::Error::from).and_then(|()| writeln!(out)),
        Format::Csv => table::csv(&document, out),
        Format::Table => table::table(&document, out, table::Style::of_stdout()),
    };
    match written.and_then(|()| out.flush()) {
        // The reader went away (`| head`): not an error of ours.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write the result"),
    }
}

/// Runs the engine over the files.
pub fn analyze(args: &AnalyzeArgs, policy: &Policy) -> anyhow::Result<Document> {
    let mut timeline = Timeline::open(&args.files)?;
    // The document has no messages.
    let policy = Policy { messages: MessagePolicy::all(Messages::Off), ..policy.clone() };
    let mut engine = Engine::new(Limits::default(), policy, args.shards, super::random_seed());
    let name = clean(&args.files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "), usize::MAX);
    engine.set_source(&name, TimestampSource::CaptureFile, timeline.resolution_ns());
    let progress = progress(&timeline);
    let mut kept = AnalysisResults::default();
    let mut frames = 0u64;
    loop {
        if frames.is_multiple_of(PROGRESS_EVERY) {
            progress.set_position(timeline.position().0);
        }
        let Some(frame) = timeline.next_frame()? else { break };
        frames += 1;
        engine.frame(frame.at, frame.link, frame.bytes, frame.wire_len as usize, &mut kept);
    }
    let refused = timeline.oddities().time_out_of_range;
    engine.refused_times(refused);
    frames += refused;
    engine.finish(&mut kept);
    progress.finish_and_clear();
    let truncations = timeline.truncations().iter().map(|t| format!("{}: {}", t.name, t.truncation)).collect();
    let outcomes = engine.outcomes();
    // The document of a large capture needs the room.
    drop(engine);
    Ok(Document::new(frames, &outcomes, truncations, kept, &name))
}

/// Shown on a terminal only, and only when reading takes longer than a second.
fn progress(timeline: &Timeline) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = |template| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    match timeline.position().1 {
        Some(total) => ProgressBar::new(total).with_style(style("reading {wide_bar} {bytes}/{total_bytes} {eta}")),
        None => ProgressBar::new_spinner().with_style(style("reading {bytes} {spinner}")),
    }
}
