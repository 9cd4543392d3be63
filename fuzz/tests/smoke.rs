//! A fixed number of seeded inputs into every target. `make fuzz-smoke` runs these; they are ignored otherwise.
//! `AUSCULT_FUZZ_ROUNDS=N` runs N times as many, each round with inputs of its own.

use auscult_fuzz::{TARGETS, Target, mutate, target};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

fn smoke(name: &str) {
    let target: &Target = target(name).unwrap_or_else(|| panic!("no target {name}"));
    let corpus = mutate::corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"), name).expect("the corpus");
    assert!(!corpus.is_empty(), "fuzz/corpus/{name} is empty");
    let rounds = std::env::var("AUSCULT_FUZZ_ROUNDS").map_or(1, |n| n.parse().expect("a number of rounds"));
    let mut last = (0, Vec::new());
    let ran = catch_unwind(AssertUnwindSafe(|| {
        for round in 0..rounds {
            mutate::drive(target, &corpus, target.smoke, round, |n, input| last = (n, input.to_vec()));
        }
    }));
    if let Err(why) = ran {
        let (n, input) = last;
        let file = std::env::temp_dir().join(format!("auscult-fuzz-{name}-{n}"));
        let _ = std::fs::write(&file, &input);
        println!(
            "{name}: input {n} of {} bytes is in {}: {:?}",
            input.len(),
            file.display(),
            String::from_utf8_lossy(&input)
        );
        resume_unwind(why);
    }
    println!(
        "fuzz-smoke: {name}: {} files of the corpus, {} inputs made from them",
        corpus.len(),
        u64::from(target.smoke) * rounds
    );
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
    segment, api_query, config, secrets,
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
