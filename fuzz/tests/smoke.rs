//! A fixed number of seeded inputs into every target. `make fuzz-smoke` runs these; they are ignored otherwise.
//! `AUSCULT_FUZZ_ROUNDS=N` runs N times as many, each round with inputs of its own.

use auscult_fuzz::{TARGETS, Target, mutate, target};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The input a target is at, and its number.
type Present = Mutex<(u32, Vec<u8>)>;

/// An input that takes longer than this does not end.
const STANDS_STILL: Duration = Duration::from_secs(120);

fn smoke(name: &'static str) {
    let target: &Target = target(name).unwrap_or_else(|| panic!("no target {name}"));
    let corpus = mutate::corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"), name).expect("the corpus");
    assert!(!corpus.is_empty(), "fuzz/corpus/{name} is empty");
    let rounds = std::env::var("AUSCULT_FUZZ_ROUNDS").map_or(1, |n| n.parse().expect("a number of rounds"));
    let present = Arc::new(Present::default());
    let watched = Arc::clone(&present);
    std::thread::spawn(move || watch(name, &watched));
    let ran = catch_unwind(AssertUnwindSafe(|| {
        for round in 0..rounds {
            mutate::drive(target, &corpus, target.smoke, round, |n, input| {
                let mut present = present.lock().unwrap_or_else(PoisonError::into_inner);
                present.0 = n;
                present.1.clear();
                present.1.extend_from_slice(input);
            });
        }
    }));
    if let Err(why) = ran {
        report(name, &present);
        resume_unwind(why);
    }
    let made = u64::from(target.smoke) * rounds;
    println!("fuzz-smoke: {name}: {} files of the corpus, {made} inputs made from them", corpus.len());
}

/// Ends the process when the target does not come to its next input.
fn watch(name: &str, present: &Present) {
    let look = || present.lock().unwrap_or_else(PoisonError::into_inner).clone();
    loop {
        let before = look();
        std::thread::sleep(STANDS_STILL);
        if look() == before {
            println!("{name}: an input does not end");
            report(name, present);
            std::process::exit(1);
        }
    }
}

/// Leaves the input in a file and says where.
fn report(name: &str, present: &Present) {
    let (n, input) = present.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let file = std::env::temp_dir().join(format!("auscult-fuzz-{name}-{n}"));
    let written = std::fs::write(&file, &input);
    let text = String::from_utf8_lossy(&input);
    println!("{name}: input {n} of {} bytes is in {} ({written:?}): {text:?}", input.len(), file.display());
}

macro_rules! smoke {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        #[ignore = "run by make fuzz-smoke"]
        fn $name() {
            smoke(stringify!($name));
        })*

        const SMOKED: &[&str] = &[$(stringify!($name)),*];
    };
}

smoke! {
    sip_msg, sdp, rtp_rtcp, frame, vq_report, text, tcp, pcap, pcapng, timeline, replay, engine_seq, clickhouse_frames, request,
    statement, segment, api_query, config, secrets,
}

#[test]
fn every_target_is_smoked_and_has_a_corpus_that_is_small() {
    let targets: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
    assert_eq!(targets, SMOKED);
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let bytes: usize = targets
        .iter()
        .map(|name| {
            let files = mutate::corpus(&dir, name).expect("the corpus");
            assert!(!files.is_empty(), "{name}");
            files.iter().map(Vec::len).sum::<usize>()
        })
        .sum();
    assert!(bytes < 1_000_000, "{bytes} bytes of corpus");
}

#[test]
fn inputs_are_the_same_every_time() {
    let seen = || {
        let mut seen = Vec::new();
        let target = Target { name: "any", run: |_| {}, smoke: 50, max_len: 64, words: &["word"] };
        mutate::drive(&target, &[b"INVITE 1".to_vec(), vec![0; 30]], 50, 0, |_, input| seen.push(input.to_vec()));
        seen
    };
    let first = seen();
    assert_eq!(first, seen());
    assert!(first.iter().all(|input| input.len() <= 64));
    let mut distinct = first.clone();
    distinct.sort();
    distinct.dedup();
    assert!(distinct.len() > 40, "{} of {}", distinct.len(), first.len());
}
