//! The command line as other tools see it: documents, forms, exit codes, messages.

use assert_cmd::Command;
use serde_json::Value;
use std::io::{Read, Write};
use std::path::Path;

/// Where a file of `testdata/` is, as a user in the project's directory would name it.
fn sample(name: &str) -> String {
    format!("testdata/{name}")
}

fn samples() -> Vec<String> {
    let mut found: Vec<String> = std::fs::read_dir(root().join("testdata"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".pcap"))
        .map(|name| sample(&name))
        .collect();
    found.sort();
    assert!(found.len() >= 7, "{found:?}");
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn auscult(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auscult"));
    command.current_dir(root()).env("NO_COLOR", "1").args(args);
    command
}

/// What it prints when it succeeds; nothing else may be said.
fn output(args: &[&str]) -> String {
    let assert = auscult(args).assert().success();
    let output = assert.get_output();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line it prints when it fails with this exit code.
fn refusal(command: &mut Command, code: i32) -> String {
    let assert = command.assert().code(code);
    let output = assert.get_output();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(said.starts_with("auscult: ") && said.ends_with('\n') && said.lines().count() == 1, "{said:?}");
    said.trim_end().to_owned()
}

fn json(args: &[&str]) -> Value {
    let mut all = vec!["analyze", "--format", "json"];
    all.extend(args);
    let text = output(&all);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The document without the name of where it was measured.
fn measured(args: &[&str]) -> Value {
    unnamed(json(args))
}

fn unnamed(mut document: Value) -> Value {
    for rows in ["calls", "streams"] {
        for row in document[rows].as_array_mut().unwrap() {
            row["quality"]["measured_at"] = Value::Null;
        }
    }
    document
}

fn scratch(name: &str, bytes: &[u8]) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

fn schema() -> jsonschema::Validator {
    let text = std::fs::read_to_string(root().join("schemas/analyze.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap()
}

#[track_caller]
fn conforms(schema: &jsonschema::Validator, document: &Value, name: &str) {
    let errors: Vec<String> =
        schema.iter_errors(document).take(10).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{name}:\n{}", errors.join("\n"));
    let outcomes = document["outcomes"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>();
    assert_eq!(document["frames"], outcomes, "{name}: frames are the sum of outcomes");
    let ids = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect()
    };
    let streams = ids(&document["streams"]);
    for call in document["calls"].as_array().unwrap() {
        for id in call["stream_ids"].as_array().unwrap() {
            assert!(streams.iter().any(|s| id == s), "{name}: {} has a stream that is not listed", call["call_id"]);
        }
    }
    for s in document["streams"].as_array().unwrap() {
        let n = |key: &str| s[key].as_u64().unwrap();
        assert_eq!(n("lost"), n("expected").saturating_sub(n("unique")), "{name}: {}", s["ssrc"]);
        assert_eq!(n("duplicates"), n("duplicates_probe") + n("duplicates_network"), "{name}: {}", s["ssrc"]);
    }
}

#[test]
fn documents_of_the_samples_conform_to_the_schema() {
    let schema = schema();
    for file in samples() {
        let document = json(&[&file]);
        assert!(document["streams"].as_array().is_some_and(|s| !s.is_empty()), "{file}");
        conforms(&schema, &document, &file);
    }
}

#[test]
fn documents_of_real_captures_conform_to_the_schema() {
    let Some(captures) = testkit::shared("captures") else { return };
    let schema = schema();
    let mut seen = 0;
    for dir in [captures.clone(), captures.join("sipp_pcap")] {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && !path.extension().is_some_and(|e| e == "json" || e == "md") {
                let path = path.to_str().unwrap();
                conforms(&schema, &json(&[path]), path);
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "only {seen} captures");
}

#[test]
fn the_schema_is_strict() {
    let schema = schema();
    let good = json(&[&sample("05-failed-setups.pcap")]);
    type Damage = (&'static str, fn(&mut Value));
    let damages: &[Damage] = &[
        ("a property nobody knows", |d| d["calls"][0]["colour"] = "red".into()),
        ("a missing property", |d| drop(d["streams"][0].as_object_mut().unwrap().remove("lost"))),
        ("an unknown state", |d| d["calls"][0]["state"] = "gone".into()),
        ("an unknown diagnosis", |d| d["calls"][3]["diagnoses"][0]["code"] = "gremlins".into()),
        ("a time in microseconds", |d| d["streams"][0]["first_at"] = "2026-11-10T09:00:00.000000Z".into()),
        ("a time that is none", |d| d["streams"][0]["first_at"] = "2026-13-10T09:00:00.000000000Z".into()),
        ("a number as text", |d| d["streams"][0]["packets"] = "100".into()),
        ("a negative count", |d| d["streams"][0]["lost"] = (-1).into()),
        ("an SSRC as a number", |d| d["streams"][0]["ssrc"] = 7.into()),
        ("a MOS of zero", |d| d["streams"][0]["mos"]["lq"] = 0.into()),
        ("no MOS and no reason", |d| d["streams"][0]["mos"]["lq"] = Value::Null),
        ("more than everything lost in bursts", |d| d["streams"][0]["bursts"]["density_pct"] = 110.into()),
        ("a burst without its length", |d| {
            drop(d["streams"][0]["bursts"].as_object_mut().unwrap().remove("duration_ms"));
        }),
        ("a MOS without a model", |d| d["streams"][0]["mos"]["model"] = Value::Null),
        ("evidence nobody knows", |d| d["streams"][0]["quality"]["loss_evidence"] = "stars".into()),
        ("an outcome nobody knows", |d| d["outcomes"]["ignored.weather"] = 1.into()),
        ("truncated without saying where", |d| d["truncated"] = true.into()),
    ];
    for (what, damage) in damages {
        let mut bad = good.clone();
        damage(&mut bad);
        assert_ne!(bad, good, "{what}: nothing was changed");
        assert!(!schema.is_valid(&bad), "{what} was accepted");
    }
}

#[test]
fn the_table_reads_worst_first() {
    insta::assert_snapshot!("table_one_way_audio", output(&["analyze", &sample("03-one-way-audio.pcap")]));
    insta::assert_snapshot!("table_failed_setups", output(&["analyze", &sample("05-failed-setups.pcap")]));
}

#[test]
fn tables_have_no_colour_when_they_are_not_shown() {
    for colour in [None, Some("1")] {
        let mut command = auscult(&["analyze", &sample("02-bursty-wan.pcap.zst")]);
        match colour {
            None => command.env_remove("NO_COLOR"),
            Some(value) => command.env("NO_COLOR", value),
        };
        let assert = command.assert().success();
        let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        assert!(text.contains("bursty loss") && !text.contains('\x1b'), "NO_COLOR {colour:?}");
    }
}

#[test]
fn compressed_is_as_plain_and_standard_input_as_a_file() {
    let file = sample("03-one-way-audio.pcap");
    let plain = measured(&[&file]);
    let bytes = std::fs::read(root().join(&file)).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&bytes).unwrap();
    let gz = gz.finish().unwrap();
    let zst = zstd::encode_all(bytes.as_slice(), 1).unwrap();
    for packed in [&gz, &zst] {
        // What a file is, its content says, not its name.
        let (_dir, path) = scratch("capture", packed);
        assert_eq!(measured(&[&path]), plain);
    }
    for input in [&bytes, &gz, &zst] {
        let assert = auscult(&["analyze", "--format", "json", "-"]).write_stdin(input.clone()).assert().success();
        let document: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
        assert_eq!(document["streams"][0]["quality"]["measured_at"], "-");
        assert_eq!(unnamed(document), plain);
    }
}

#[test]
fn several_files_are_one_timeline() {
    let whole = sample("03-one-way-audio.pcap");
    let bytes = std::fs::read(root().join(&whole)).unwrap();
    let (header, mut rest) = bytes.split_at(24);
    // Every other record into another file, as two capture cards would.
    let mut halves = [header.to_vec(), header.to_vec()];
    let mut turn = 0;
    while let Some((head, body)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes(head[8..12].try_into().unwrap()) as usize;
        halves[turn].extend_from_slice(&rest[..16 + length]);
        rest = &body[length..];
        turn = 1 - turn;
    }
    let (_a, first) = scratch("first.pcap", &halves[0]);
    let (_b, second) = scratch("second.pcap", &halves[1]);
    let expected = measured(&[&whole]);
    assert_eq!(measured(&[&first, &second]), expected);
    assert_eq!(measured(&[&second, &first]), expected);
    assert_ne!(measured(&[&first]), expected);
}

/// A ring of files, whose names say nothing about their order: `dumpcap -b files:5` begins anew with the first.
#[test]
fn files_of_a_ring_are_read_in_the_order_of_their_times() {
    let whole = sample("06-hold-transfer-dtmf.pcap.gz");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(root().join(&whole)).unwrap()).read_to_end(&mut bytes).unwrap();
    let (header, mut rest) = bytes.split_at(24);
    let (mut files, piece) = (vec![header.to_vec()], rest.len() / 5);
    while let Some((head, body)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes(head[8..12].try_into().unwrap()) as usize;
        if files[files.len() - 1].len() > piece {
            files.push(header.to_vec());
        }
        files.last_mut().unwrap().extend_from_slice(&rest[..16 + length]);
        rest = &body[length..];
    }
    assert_eq!(files.len(), 5);
    let expected = measured(&[&whole]);
    let dir = tempfile::tempdir().unwrap();
    // The ring began anew after the second file: the first names hold the last times.
    let name = |n: usize| dir.path().join(format!("ring_{:05}.pcap", (n + 3) % 5)).to_str().unwrap().to_owned();
    for (n, file) in files.iter().enumerate() {
        std::fs::write(name(n), file).unwrap();
    }
    let mut names: Vec<String> = (0..5).map(name).collect();
    names.sort();
    for _ in 0..2 {
        let names_of: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(measured(&names_of), expected, "{names:?}");
        names = (0..5).rev().map(name).collect();
    }
    let without: Vec<String> = [0, 1, 3, 4].map(name).to_vec();
    let without: Vec<&str> = without.iter().map(String::as_str).collect();
    assert_ne!(measured(&without), expected, "a file that is missing is missed");
}

#[test]
fn two_runs_and_any_number_of_shards_give_the_same_bytes() {
    let file = sample("06-hold-transfer-dtmf.pcap.gz");
    let once = output(&["analyze", "--format", "json", &file]);
    for shards in ["1", "2", "8"] {
        assert_eq!(output(&["analyze", "--format", "json", "--shards", shards, &file]), once, "{shards} shards");
    }
}

#[test]
fn what_is_no_capture_is_refused_with_one_line() {
    let refused = |args: &[&str]| refusal(&mut auscult(&[&["analyze"], args].concat()), 2);
    let text = refused(&["testdata/README.md"]);
    assert!(text.contains("testdata/README.md is not a capture: it looks like text; "), "{text}");
    let (_dir, empty) = scratch("empty.pcap", b"");
    assert!(refused(&[&empty]).contains("is not a capture: it is empty"), "{}", refused(&[&empty]));
    assert!(refused(&["testdata"]).contains("it is a directory"));
    let missing = refused(&["testdata/nowhere.pcap"]);
    assert_eq!(missing, "auscult: cannot open testdata/nowhere.pcap: No such file or directory (os error 2)");
    let among = refused(&[&sample("03-one-way-audio.pcap"), "testdata/nowhere.pcap"]);
    assert!(among.contains("nowhere.pcap"), "{among}");
    let input = refusal(auscult(&["analyze", "-"]).write_stdin("hello"), 2);
    assert!(input.contains("standard input is not a capture"), "{input}");
    auscult(&["analyze"]).assert().code(2);
    auscult(&["analyze", "--format", "xml", &sample("03-one-way-audio.pcap")]).assert().code(2);
}

#[test]
fn a_cut_file_is_used_up_to_the_cut() {
    let file = sample("03-one-way-audio.pcap");
    let bytes = std::fs::read(root().join(&file)).unwrap();
    let schema = schema();
    let gz = {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&bytes).unwrap();
        gz.finish().unwrap()
    };
    for (name, cut) in [("cut.pcap", &bytes[..bytes.len() / 2 + 7]), ("cut.pcap.gz", &gz[..gz.len() / 2])] {
        let (_dir, path) = scratch(name, cut);
        let document = json(&[&path]);
        conforms(&schema, &document, name);
        assert_eq!(document["truncated"], true, "{name}");
        assert!(document["truncations"][0].as_str().unwrap().contains("cut off at byte "), "{name}");
        assert!(document["frames"].as_u64().is_some_and(|n| n > 500), "{name}: {}", document["frames"]);
        let table = output(&["analyze", &path]);
        assert!(table.contains(&format!("  cut: {path}: cut off at byte ")), "{name}: {table}");
    }
    assert_eq!(json(&[&file])["truncated"], false);
}

#[test]
fn csv_has_one_line_a_stream_and_no_formulas() {
    let file = sample("03-one-way-audio.pcap");
    let document = json(&[&file]);
    let (header, rows) = csv(&output(&["analyze", "--format", "csv", &file]));
    let streams = document["streams"].as_array().unwrap();
    assert_eq!(rows.len(), streams.len());
    let column = |row: &[String], name: &str| row[header.iter().position(|h| h == name).unwrap()].clone();
    for (row, stream) in rows.iter().zip(streams) {
        assert_eq!(row.len(), header.len());
        for name in ["id", "call_id", "src", "dst", "ssrc", "codec", "first_at"] {
            assert_eq!(column(row, name), stream[name].as_str().unwrap(), "{name}");
        }
        for name in ["packets", "unique", "lost", "r"] {
            assert_eq!(column(row, name).parse::<f64>().ok(), stream[name].as_f64(), "{name}");
        }
        assert_eq!(column(row, "rtt_ms").parse::<f64>().ok(), stream["rtt_ms"].as_f64(), "unknown is empty");
    }
    // A Call-ID is whatever a caller wants it to be: here a formula with a quote and a comma, of the same length.
    let bytes = std::fs::read(root().join(&file)).unwrap();
    let call_id = document["calls"][0]["call_id"].as_str().unwrap();
    let formula = format!("{:<width$}", "=cmd|\"/C,calc\"!A0", width = call_id.len());
    let (_dir, path) = scratch("formula.pcap", &replaced(&bytes, call_id.as_bytes(), formula.as_bytes()));
    let (header, rows) = csv(&output(&["analyze", "--format", "csv", &path]));
    let at = header.iter().position(|h| h == "call_id").unwrap();
    let cells: Vec<&String> = rows.iter().map(|row| &row[at]).filter(|cell| cell.contains("cmd")).collect();
    assert!(!cells.is_empty(), "the formula did not get through");
    assert!(cells.iter().all(|cell| cell.trim_end() == "'=cmd|\"/C,calc\"!A0"), "{cells:?}");
}

#[test]
fn text_from_the_wire_cannot_move_the_cursor() {
    let bytes = std::fs::read(root().join(sample("03-one-way-audio.pcap"))).unwrap();
    let call_id = "062c985a2461bcf7-0@192.0.2.10";
    let nasty = format!("{:x<width$}", "a\x1b[2J\u{202e}b", width = call_id.len() - 2);
    assert_eq!(nasty.len(), call_id.len());
    let (_dir, path) = scratch("nasty.pcap", &replaced(&bytes, call_id.as_bytes(), nasty.as_bytes()));
    for format in ["table", "csv"] {
        let text = output(&["analyze", "--format", format, &path]);
        assert!(text.contains("[2J"), "{format}: the text did not get through");
        assert!(!text.contains(['\x1b', '\u{202e}']), "{format}");
    }
}

#[test]
fn the_planning_calculator_agrees_with_the_reference() {
    let Some(path) = testkit::shared("reference/emodel_vectors.csv") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let (header, rows) = csv(&text);
    let column = |row: &[String], name: &str| row[header.iter().position(|h| h == name).unwrap()].clone();
    let mut seen = 0;
    for row in &rows {
        let get = |name| column(row, name);
        let number = |name| get(name).parse::<f64>().unwrap();
        // The calculator knows two echo paths; every twentieth of the others is enough here, `tests/quality.rs` has all.
        let echo_free = number("T") == 0.0 && number("Tr") == 0.0 && get("A") == "0.0";
        if !echo_free || number("id") as u64 % 20 != 1 && number("BurstR") == 1.0 {
            continue;
        }
        let scale = get("model").to_lowercase();
        let document: Value = serde_json::from_str(&output(&[
            "emodel",
            "--scale",
            &scale,
            "--ie",
            &get("Ie"),
            "--bpl",
            &get("Bpl"),
            "--loss",
            &get("Ppl"),
            "--burst-ratio",
            &get("BurstR"),
            "--delay-ms",
            &get("Ta"),
            "--format",
            "json",
        ]))
        .unwrap();
        assert_eq!(document["scale"], scale.as_str());
        for (key, name, within) in
            [("r", "R", 1e-3), ("mos", "MOS", 1e-3), ("ie_eff", "Ie_eff", 1e-3), ("idd", "Idd", 1e-3)]
        {
            let ours = document[key].as_f64().unwrap();
            assert!((ours - number(name)).abs() <= within, "{}: {key} {ours} instead of {}", get("id"), number(name));
        }
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} points");
}

#[test]
fn the_planning_calculator_speaks_both_forms() {
    insta::assert_snapshot!("emodel_text", output(&["emodel", "--codec", "G729", "--loss", "1", "--delay-ms", "150"]));
    let document: Value = serde_json::from_str(&output(&["emodel", "--codec", "PCMU", "--format", "json"])).unwrap();
    for key in ["r", "mos", "ie_eff", "idd", "scale"] {
        assert!(!document[key].is_null(), "{key}");
    }
    let unknown = refusal(&mut auscult(&["emodel", "--codec", "nosuch"]), 1);
    assert!(unknown.contains("nosuch"), "{unknown}");
    assert!(refusal(&mut auscult(&["emodel"]), 1).contains("--codec"));
    assert!(refusal(&mut auscult(&["emodel", "--ie", "0", "--loss", "2"]), 1).contains("--bpl"));
    assert!(refusal(&mut auscult(&["emodel", "--codec", "PCMU", "--loss", "101"]), 1).contains("loss"));
}

#[test]
fn it_says_who_it_is_and_how_it_is_used() {
    assert_eq!(output(&["--version"]), format!("auscult {}\n", env!("CARGO_PKG_VERSION")));
    let help = output(&["--help"]);
    for command in ["analyze", "emodel", "completions", "man"] {
        assert!(help.contains(&format!("  {command}")), "{command}: {help}");
        assert!(output(&[command, "--help"]).contains("Usage: auscult"), "{command}");
    }
    assert!(!output(&["analyze", "--help"]).contains("shards"), "a switch for tests is not shown");
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef auscult"), ("fish", "complete -c auscult")] {
        assert!(output(&["completions", shell]).contains(word), "{shell}");
    }
    let man = output(&["man"]);
    assert!(man.starts_with(".ie") || man.starts_with(".TH"), "{man}");
    assert!(man.contains(".SH SYNOPSIS") && man.contains("analyze"), "{man}");
    auscult(&[]).assert().code(2);
    auscult(&["nosuch"]).assert().code(2);
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    let mut times = 0;
    while let Some(i) = bytes[at..].windows(from.len()).position(|w| w == from) {
        bytes[at + i..at + i + to.len()].copy_from_slice(to);
        at += i + to.len();
        times += 1;
    }
    assert!(times > 0, "nothing to replace");
    bytes
}

/// RFC 4180, as a spreadsheet would read it: header and rows.
fn csv(text: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let mut rows = text.lines().filter(|line| !line.is_empty()).map(|line| {
        let mut cells = vec![String::new()];
        let mut quoted = false;
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            let cell = cells.last_mut().unwrap();
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    cell.push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                c => cell.push(c),
            }
        }
        cells
    });
    let header = rows.next().expect("a header");
    (header, rows.collect())
}
