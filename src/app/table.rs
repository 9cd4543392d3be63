//! The table and CSV forms of a document: what an engineer wants to read first.

use super::document::Document;
use auscult_api::{CallJson, StreamJson};
use auscult_core::model::{CallClass, DiagnosisCode, StreamId};
use auscult_core::units::text::clean;
use std::io::{self, IsTerminal, Write};
use unicode_width::UnicodeWidthStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Colour,
}

impl Style {
    /// Colour on a terminal, unless `NO_COLOR` is set to anything.
    pub fn of_stdout() -> Style {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        if io::stdout().is_terminal() && !refused { Style::Colour } else { Style::Plain }
    }

    fn paint(self, class: CallClass, text: &str) -> String {
        match (self, class) {
            (Style::Plain, _) | (_, CallClass::Unrated | CallClass::NotAnswered) => text.to_owned(),
            (_, CallClass::Good) => format!("\x1b[32m{text}\x1b[0m"),
            (_, CallClass::Fair) => format!("\x1b[33m{text}\x1b[0m"),
            (_, CallClass::Poor | CallClass::Failed) => format!("\x1b[31m{text}\x1b[0m"),
        }
    }
}

pub fn table(document: &Document, out: &mut impl Write, style: Style) -> io::Result<()> {
    summary(document, out)?;
    let mut calls: Vec<usize> = (0..document.calls.len()).collect();
    calls.sort_by_cached_key(|call| {
        let call = document.calls.at(*call);
        std::cmp::Reverse((call.badness, call.diagnoses.len()))
    });
    let places = document.streams.places();
    let mut alone = vec![true; document.streams.len()];
    for place in calls {
        let call = document.calls.at(place);
        writeln!(out)?;
        writeln!(out, "{}", call_line(&call, document.calls.class_of(place), style))?;
        for diagnosis in &call.diagnoses {
            let sure = (diagnosis.confidence * 100.0).round();
            writeln!(out, "    {}: {} (confidence {sure:.0} %)", diagnosis.code.replace('_', " "), diagnosis.evidence)?;
        }
        let streams = places_of(document.calls.streams_of(place), &places);
        streams.iter().for_each(|place| alone[*place] = false);
        stream_lines(document, &streams, out, style)?;
    }
    let alone: Vec<usize> = (0..alone.len()).filter(|place| alone[*place]).collect();
    if !alone.is_empty() {
        writeln!(out, "\nRTP without a call in this capture")?;
        stream_lines(document, &alone, out, style)?;
    }
    Ok(())
}

/// Where the streams of a call are in the list, in its order. `places` has all streams, ordered by identity.
fn places_of(ids: &[StreamId], places: &[(StreamId, usize)]) -> Vec<usize> {
    let of = |id: &StreamId| {
        let from = places.partition_point(|(other, _)| other < id);
        let id = *id;
        places[from..].iter().take_while(move |(other, _)| *other == id).map(|(_, place)| *place)
    };
    let mut found: Vec<usize> = ids.iter().flat_map(of).collect();
    found.sort_unstable();
    found.dedup();
    found
}

pub fn csv(document: &Document, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "id,call_id,src,dst,ssrc,codec,clock_rate,ptime_ms,first_at,last_at,packets,unique,expected,lost,loss_pct,\
         duplicates_probe,duplicates_network,reordered,restarts,longest_loss_run,jitter_mean_ms,jitter_max_ms,\
         pdv_p50_ms,pdv_p95_ms,pdv_p99_ms,pdv_max_ms,max_gap_ms,rtt_ms,r,mos_lq,mos_cq,mos_scale,mos_reason_null,loss_source"
    )?;
    for s in (0..document.streams.len()).map(|place| document.streams.at(place)) {
        let cells = [
            s.id.clone(),
            s.call_id.clone().unwrap_or_default(),
            s.src.clone(),
            s.dst.clone(),
            s.ssrc.clone(),
            s.codec.clone().unwrap_or_default(),
            number(s.clock_rate),
            number(s.ptime_ms),
            s.first_at.clone(),
            s.last_at.clone(),
            s.packets.to_string(),
            s.unique.to_string(),
            s.expected.to_string(),
            s.lost.to_string(),
            number(s.loss_pct),
            s.duplicates_probe.to_string(),
            s.duplicates_network.to_string(),
            s.reordered.to_string(),
            s.restarts.to_string(),
            s.longest_loss_run.to_string(),
            number(s.jitter_ms.mean),
            number(s.jitter_ms.max),
            number(s.delay_variation_ms.p50),
            number(s.delay_variation_ms.p95),
            number(s.delay_variation_ms.p99),
            number(s.delay_variation_ms.max),
            number(s.max_gap_ms),
            number(s.rtt_ms),
            number(s.r),
            number(s.mos.lq),
            number(s.mos.cq),
            s.mos.scale.as_deref().unwrap_or_default().to_owned(),
            s.mos.reason_null.clone().unwrap_or_default(),
            s.quality.loss_source.clone().unwrap_or_default(),
        ];
        writeln!(out, "{}", cells.map(|c| csv_cell(&c)).join(","))?;
    }
    Ok(())
}

fn summary(document: &Document, out: &mut impl Write) -> io::Result<()> {
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    writeln!(
        out,
        "{} frames: {}, {}",
        document.frames,
        plural(document.calls.len(), "call"),
        plural(document.streams.len(), "stream")
    )?;
    let outcomes: Vec<String> = document.outcomes.iter().map(|(name, n)| format!("{name} {n}")).collect();
    writeln!(out, "  {}", outcomes.join(", "))?;
    for truncation in &document.truncations {
        writeln!(out, "  cut: {truncation}; everything before it was used")?;
    }
    for finding in &document.capture.findings {
        writeln!(out, "  capture: {}", finding.text)?;
    }
    Ok(())
}

fn call_line(call: &CallJson, class: CallClass, style: Style) -> String {
    let mark = match class {
        CallClass::Poor | CallClass::Failed => "✗",
        CallClass::Fair => "!",
        CallClass::Good => "✓",
        CallClass::NotAnswered | CallClass::Unrated => "·",
    };
    let verdict = verdict(call, class);
    let code = call.final_code.map(|c| format!(" {c}")).unwrap_or_default();
    let mos = call
        .mos_worst
        .map(|m| format!("  worst minute MOS-LQ {m:.2} ({})", call.mos_scale.as_deref().unwrap_or_default()))
        .unwrap_or_default();
    let times = [("pdd", call.pdd_ms), ("setup", call.setup_ms), ("talk", call.duration_ms)]
        .into_iter()
        .filter_map(|(name, ms)| Some(format!("  {name} {:.2} s", ms? / 1000.0)))
        .collect::<String>();
    let released = match call.released_by.as_deref() {
        None => String::new(),
        Some("capture_ended") => "  no end captured".to_owned(),
        Some("probe_stopped") => "  probe stopped".to_owned(),
        Some("timeout") => "  ended: timeout".to_owned(),
        Some(by) => format!("  released by {by}"),
    };
    let head = format!("{mark} {} -> {}", one_line(&call.from), one_line(&call.to));
    style.paint(class, &format!("{head}  {verdict}"))
        + &format!("\n    {}{code}{times}{released}{mos}  {}", call.state, one_line(&call.call_id))
}

/// The first reason found, or in words why there is none.
fn verdict(call: &CallJson, class: CallClass) -> String {
    match (call.diagnosis.as_deref(), call.state.as_str()) {
        (Some(code), _) if code == DiagnosisCode::SetupFailed.name() => failed(call.final_code),
        (Some(code), _) => code.replace('_', " "),
        (None, "failed") => person(call.final_code, call.final_reason.as_deref().unwrap_or_default()),
        (None, "cancelled") => "cancelled by caller".to_owned(),
        (None, "unfinished") if call.duration_ms.is_none() => "no final answer in this capture".to_owned(),
        (None, "mid_call") => "began before this capture".to_owned(),
        (None, _) => match class {
            CallClass::Good => "no fault found".to_owned(),
            CallClass::Fair | CallClass::Poor | CallClass::Failed => "low MOS, cause unclear".to_owned(),
            CallClass::Unrated | CallClass::NotAnswered => "not rated".to_owned(),
        },
    }
}

fn failed(code: Option<u16>) -> String {
    code.map_or_else(|| "call failed (no final answer)".to_owned(), |code| format!("call failed ({code})"))
}

/// The outcome that a person or a directory gave.
fn person(code: Option<u16>, reason: &str) -> String {
    let word = match code {
        Some(486 | 600) => "busy",
        Some(603) => "declined",
        Some(480) => "unavailable",
        Some(404 | 604) => "unknown number",
        Some(484) => "incomplete number",
        Some(487) => "cancelled",
        _ => return format!("not answered: {}", one_line(reason).to_lowercase()),
    };
    code.map_or_else(|| word.to_owned(), |code| format!("{word} ({code})"))
}

/// A line for each stream at these places. Their cells are made twice, once to know how wide the columns are: of tens of
/// thousands of streams they would take more memory than the streams.
fn stream_lines(document: &Document, places: &[usize], out: &mut impl Write, style: Style) -> io::Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    let head =
        ["", "from", "to", "codec", "packets", "lost", "longest", "jitter", "pdv p95", "pdv max", "MOS-LQ", "notes"]
            .map(str::to_owned);
    let rows = places
        .iter()
        .map(|place| document.streams.at(*place))
        .map(|s| (CallClass::of_mos(s.mos.lq.map(|lq| lq as f32)), cells(&s)));
    let rows = std::iter::once((CallClass::Unrated, head)).chain(rows);
    let mut widths = [0; 12];
    for (_, row) in rows.clone() {
        for (width, cell) in widths.iter_mut().zip(&row) {
            *width = (*width).max(cell.width());
        }
    }
    for (class, row) in rows {
        let mut line = String::from("   ");
        for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
            let numeric = (4..=9).contains(&i);
            line += " ";
            let blanks = " ".repeat(width.saturating_sub(cell.width()));
            line += &if numeric { format!("{blanks}{cell} ") } else { format!("{cell}{blanks} ") };
        }
        writeln!(out, "{}", style.paint(class, line.trim_end()))?;
    }
    Ok(())
}

fn cells(s: &StreamJson) -> [String; 12] {
    [
        s.ssrc.clone(),
        s.src.clone(),
        s.dst.clone(),
        s.codec.clone().unwrap_or_else(|| format!("pt {}", s.payload_types.first().copied().unwrap_or(0))),
        s.packets.to_string(),
        s.loss_pct.map_or_else(|| "-".to_owned(), |pct| format!("{} ({pct:.1} %)", s.lost)),
        s.longest_loss_run.to_string(),
        unit(s.jitter_ms.mean),
        unit(s.delay_variation_ms.p95),
        unit(s.delay_variation_ms.max),
        s.mos.lq.map_or_else(
            || s.mos.reason_null.as_deref().unwrap_or("-").replace('_', " "),
            |m| format!("{m:.2} {}", s.mos.scale.as_deref().unwrap_or_default()),
        ),
        notes(s),
    ]
}

/// What makes the figures of a stream special, or less to be trusted.
fn notes(s: &StreamJson) -> String {
    let count = |n: u64, what: &str| (n > 0).then(|| format!("{n} {what}"));
    [
        count(s.duplicates_network, "duplicates"),
        count(s.duplicates_probe, "mirror copies removed"),
        count(s.reordered, "reordered"),
        count(u64::from(s.restarts), "restarts"),
        count(s.sent_elsewhere, "redirected"),
        count(s.quality.capture_drops, "frames missed by the probe"),
        s.quality.one_sided.then(|| "one direction seen".to_owned()),
        s.quality.sampled_one_of.map(|one_of| format!("one of {one_of:.1} packets captured")),
        s.quality.timestamp_error_ms.filter(|ms| *ms > 0.0).map(|ms| format!("times wrong by up to {ms:.1} ms")),
        s.quality.snap_cut.then(|| "cut by snap length".to_owned()),
        (s.clock_source.as_deref() == Some("inferred")).then(|| "clock rate inferred".to_owned()),
        s.clock_rate_signalled.zip(s.clock_rate).map(|(said, shown)| format!("clock {shown} Hz, SDP says {said}")),
        s.clock_source.is_none().then(|| "clock rate unknown".to_owned()),
        s.rtt_ms.map(|rtt| format!("rtt {rtt:.0} ms")),
        s.tunnel.as_ref().map(|t| format!("in {t}")),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(", ")
}

/// One line of at most 120 characters. The text is clean already ([`auscult_core::units::text`]); this holds it to the line.
fn one_line(text: &str) -> String {
    clean(text, usize::MAX).chars().take(120).collect()
}

/// Lower bound of the open bucket of the delay histogram, 2^32 ns.
const TOP_MS: f64 = 4_294.967_296;

fn unit(ms: Option<f64>) -> String {
    match ms {
        None => "-".to_owned(),
        // A percentile in the open bucket at the top of the histogram.
        Some(v) if (v - TOP_MS).abs() < 0.005 => "> 4.29 s".to_owned(),
        Some(v) => format!("{v:.1} ms"),
    }
}

fn number<T: ToString>(value: Option<T>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// A cell of CSV (RFC 4180) that no spreadsheet takes for a formula, also one that splits at semicolons. `'` goes before a
/// character that begins a formula, at the start of the cell and after each semicolon. A sign before digits alone is a
/// number and stays: telephone numbers begin with `+`.
fn csv_cell(text: &str) -> String {
    let text = one_line(text);
    let mut safe = String::with_capacity(text.len() + 2);
    for (n, part) in text.split(';').enumerate() {
        if n > 0 {
            safe.push(';');
        }
        if begins_formula(part) {
            safe.push('\'');
        }
        safe += part;
    }
    if safe.contains([',', '"', ';']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

/// Full-width forms too: spreadsheets of East Asian locales read them as the narrow ones.
fn begins_formula(text: &str) -> bool {
    let text = text.trim_start();
    let mut rest = text.chars();
    match rest.next() {
        Some('=' | '@' | '\u{ff1d}' | '\u{ff20}' | '\u{ff0b}' | '\u{ff0d}') => true,
        Some('+' | '-') => {
            let number = rest.as_str();
            let digits = number.bytes().filter(u8::is_ascii_digit).count();
            digits == 0 || digits + usize::from(number.contains('.')) != number.len()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_telephone_numbers_stay() {
        for (text, cell) in [
            ("PCMA", "PCMA"),
            ("5b1c02@192.0.2.10", "5b1c02@192.0.2.10"),
            ("+493012345678", "+493012345678"),
            ("-12.5", "-12.5"),
            ("+", "'+"),
            ("+49 30 1234", "'+49 30 1234"),
            ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
            ("-1.2.3", "'-1.2.3"),
            ("=1+1", "'=1+1"),
            ("  =1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'=1"),
            ("\u{ff1d}1+1", "'\u{ff1d}1+1"),
            ("a=b", "a=b"),
            ("x;=1+1", "\"x;'=1+1\""),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""),
            ("a\r\nb", "a b"),
        ] {
            assert_eq!(csv_cell(text), cell, "{text:?}");
        }
    }

    #[test]
    fn columns_are_counted_as_a_terminal_draws_them() {
        assert_eq!(["PCMA", "語音", "e\u{301}", "\u{fffd}"].map(|cell| cell.width()), [4, 4, 1, 1]);
    }
}
