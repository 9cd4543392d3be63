//! A seeded mutator: the same inputs for the same corpus, target and number of runs, on every host.

use crate::Target;
use std::path::Path;

/// xorshift64*: small, fast and the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `n`; 0 for 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.number() % n as u64) as usize }
    }
}

/// The files of a target's corpus, by name. Empty where there are none.
pub fn corpus(dir: &Path, target: &str) -> std::io::Result<Vec<Vec<u8>>> {
    let dir = dir.join(target);
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut names: Vec<_> = std::fs::read_dir(dir)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    names.sort();
    names.iter().map(std::fs::read).collect()
}

/// Runs a target on its corpus, then on `runs` inputs made from it; each `round` makes others. `before` sees each input with
/// its number first.
pub fn drive(target: &Target, corpus: &[Vec<u8>], runs: u32, round: u64, mut before: impl FnMut(u32, &[u8])) {
    let seed =
        target.name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let mut random = Random::new(seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for (n, input) in corpus.iter().enumerate() {
        before(n as u32, input);
        (target.run)(input);
    }
    let mut input = Vec::new();
    for n in 0..runs {
        input.clear();
        if let Some(base) = corpus.get(random.below(corpus.len())) {
            input.extend(base);
        }
        for _ in 0..1 + random.below(6) {
            mutate(&mut input, corpus, target, &mut random);
        }
        input.truncate(target.max_len);
        before(n + corpus.len() as u32, &input);
        (target.run)(&input);
    }
}

/// Numbers at which something usually goes wrong.
const EDGES: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], target: &Target, random: &mut Random) {
    let at = random.below(input.len() + 1);
    let len = 1 + random.below(16).min(input.len().saturating_sub(at));
    match random.below(12) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.number() as u8,
        2 => drop(input.splice(at..at, (0..len).map(|_| random.number() as u8))),
        3 => drop(input.drain(at..(at + len).min(input.len()))),
        4 => {
            let piece: Vec<u8> = input.iter().skip(at).take(4 * len).copied().collect();
            let to = random.below(input.len() + 1);
            drop(input.splice(to..to, piece));
        }
        5 => {
            // A number of two, four or eight bytes in either order.
            let number = EDGES[random.below(EDGES.len())].wrapping_sub(random.below(3) as u64);
            let width = [2, 4, 8][random.below(3)];
            let big = number.to_be_bytes();
            let bytes: Vec<u8> =
                if random.below(2) == 0 { big[8 - width..].to_vec() } else { number.to_le_bytes()[..width].to_vec() };
            let end = (at + width).min(input.len());
            drop(input.splice(at..end, bytes));
        }
        6 | 7 if !target.words.is_empty() => {
            let word = target.words[random.below(target.words.len())];
            drop(input.splice(at..at, word.bytes()));
        }
        8 => {
            // The end of another file.
            if let Some(other) = corpus.get(random.below(corpus.len())) {
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend(&other[from..]);
            }
        }
        9 => input.truncate(at),
        10 => {
            // Decimal digits become other ones, or many.
            if let Some(digit) = input.iter().skip(at).position(u8::is_ascii_digit) {
                let digits = ["0", "-1", "65536", "4294967296", "99999999999999999999", "1e309"][random.below(6)];
                drop(input.splice(at + digit..at + digit + 1, digits.bytes()));
            }
        }
        _ => {
            let byte = random.number() as u8;
            let many = 1 << random.below(9);
            drop(input.splice(at..at, std::iter::repeat_n(byte, many)));
        }
    }
}
