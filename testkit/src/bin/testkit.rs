//! Command line of the testkit: sample captures, bulk captures, random worlds, load on a wire.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use testkit::call_load::CallLoad;
use testkit::flood::{Flood, Kind};
use testkit::world::START;
use testkit::{World, bulk, pcap, samples, send};

const USAGE: &str = "usage:
  testkit samples DIR                                   write the sample captures into DIR
  testkit bulk --streams N --seconds S [--lose-every K] OUT.pcap
                                                        N simultaneous G.729 streams for S seconds
  testkit calls --calls N --per-second R --seconds S OUT.pcap
                                                        N answered calls of S seconds, R begun in a second
  testkit flood --streams N OUT.pcap                    N streams of four packets each, every one from another address,
                                                        100,000 packets a second
  testkit send --streams N --seconds S INTERFACE        N simultaneous G.711 streams for S seconds, 50 packets a second
                                                        each, onto a wire
  testkit null IN.pcap                                  read a capture, look at nothing: the floor for any reader
  testkit world --seed N --calls K OUT.pcap TRUTH.json  K random calls and what is true about them
OUT may end in .gz or .zst (not for bulk).";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Err(message) = run(&args) {
        eprintln!("testkit: {message}");
        std::process::exit(2);
    }
}

fn run(args: &[String]) -> Result<(), String> {
    let Some((command, rest)) = args.split_first() else { return Err(USAGE.into()) };
    let (options, files) = split(rest)?;
    let number = |name: &str| -> Result<u64, String> {
        let text = options
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| *v)
            .ok_or(format!("{command} needs {name}\n{USAGE}"))?;
        text.parse().map_err(|_| format!("{name} {text}: not a whole number"))
    };
    let small =
        |name: &str| number(name).and_then(|n| u32::try_from(n).map_err(|_| format!("{name} {n} is too large")));
    match (command.as_str(), files.as_slice()) {
        ("samples", [dir]) => {
            fs::create_dir_all(dir).map_err(|e| format!("{dir}: {e}"))?;
            for (name, bytes) in samples::files() {
                put(&Path::new(dir).join(&name), &bytes)?;
                println!("{name}: {} bytes", bytes.len());
            }
            Ok(())
        }
        ("bulk", [out]) => {
            let lose_every = if options.iter().any(|(n, _)| *n == "--lose-every") { small("--lose-every")? } else { 0 };
            let plan = bulk::Streams { lose_every, ..bulk::Streams::new(small("--streams")?, small("--seconds")?) };
            if plan.streams > 1 << 24 {
                return Err(format!("--streams {}: at most {}", plan.streams, 1 << 24));
            }
            let mut file = BufWriter::with_capacity(1 << 20, File::create(out).map_err(|e| format!("{out}: {e}"))?);
            let frames =
                plan.write_pcap(&mut file).and_then(|n| file.flush().map(|()| n)).map_err(|e| format!("{out}: {e}"))?;
            println!("{out}: {frames} frames");
            Ok(())
        }
        ("calls", [out]) => {
            let load =
                CallLoad { calls: small("--calls")?, per_second: small("--per-second")?, seconds: small("--seconds")? };
            if load.calls > 1 << 22 || load.per_second == 0 || load.seconds > 3_600 {
                return Err(format!("at most {} calls of an hour each, and at least one a second", 1 << 22));
            }
            let mut file = BufWriter::with_capacity(1 << 20, File::create(out).map_err(|e| format!("{out}: {e}"))?);
            let frames =
                load.write_pcap(&mut file).and_then(|n| file.flush().map(|()| n)).map_err(|e| format!("{out}: {e}"))?;
            let (messages, packets) = load.totals();
            println!("{out}: {frames} frames, {messages} SIP messages, {packets} RTP packets");
            Ok(())
        }
        ("flood", [out]) => {
            let streams = number("--streams")?;
            let mut flood = Flood::new(Kind::Streams, 1);
            let mut file = BufWriter::with_capacity(1 << 20, File::create(out).map_err(|e| format!("{out}: {e}"))?);
            let written = file.write_all(&pcap::header()).and_then(|()| {
                (0..4 * streams).try_for_each(|n| {
                    let frame = flood.next_frame();
                    pcap::record(&mut file, START + n as i64 * 10_000, frame.len() as u32, frame)
                })
            });
            written.and_then(|()| file.flush()).map_err(|e| format!("{out}: {e}"))?;
            println!("{out}: {} frames", 4 * streams);
            Ok(())
        }
        ("send", [interface]) => {
            let plan = bulk::Streams { payload: 160, ..bulk::Streams::new(small("--streams")?, small("--seconds")?) };
            let sent = send::send(&plan, interface).map_err(|e| format!("{interface}: {e}"))?;
            println!(
                "{interface}: {} frames in {:.2} s, {:.0} a second; {} tried again, at most {:.1} ms late",
                sent.frames,
                sent.took.as_secs_f64(),
                sent.frames as f64 / sent.took.as_secs_f64(),
                sent.retries,
                sent.late_max.as_secs_f64() * 1e3
            );
            Ok(())
        }
        ("null", [file]) => {
            let (frames, bytes) =
                File::open(file).and_then(|mut f| pcap::walk(&mut f)).map_err(|e| format!("{file}: {e}"))?;
            println!("{file}: {frames} frames, {bytes} bytes");
            Ok(())
        }
        ("world", [out, truth]) => {
            let capture = World::random(number("--seed")?, small("--calls")? as usize).build();
            let packed = pcap::pack(out, &capture.pcap()).map_err(|e| format!("{out}: {e}"))?;
            put(Path::new(out), &packed)?;
            put(Path::new(truth), capture.truth.to_json().as_bytes())?;
            println!("{out}: {} frames, {} streams", capture.frames.len(), capture.truth.streams.len());
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

/// A name and its value.
type Pair<'a> = (&'a str, &'a str);

/// Options with their values, and the rest.
fn split(args: &[String]) -> Result<(Vec<Pair<'_>>, Vec<&str>), String> {
    let (mut options, mut files) = (Vec::new(), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg.starts_with("--") {
            options.push((arg.as_str(), args.next().ok_or(format!("{arg} needs a value"))?.as_str()));
        } else {
            files.push(arg.as_str());
        }
    }
    Ok((options, files))
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|e| format!("{}: {e}", path.display()))
}
