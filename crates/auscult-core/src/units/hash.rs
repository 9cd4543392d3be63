//! Hashing for tables whose keys a sender chooses.

use std::hash::{BuildHasher, Hasher};

/// Makes hashers from a secret. Both factors of every multiplication hold secret bits: where one of them is public, as in
/// hashers with constants of their own, a sender who puts that constant into an address makes the product 0 and the hash of
/// all its packets the same, whatever the seed.
#[derive(Clone, Debug)]
pub struct Seeded {
    start: u64,
    key: u64,
}

impl Seeded {
    /// All of the secret comes from `seed`: it must be one that senders cannot guess.
    pub const fn new(seed: u64) -> Seeded {
        Seeded { start: scramble(seed), key: scramble(scramble(seed) ^ seed.rotate_left(32)) | 1 }
    }
}

impl BuildHasher for Seeded {
    type Hasher = SeededHasher;

    #[inline(always)]
    fn build_hasher(&self) -> SeededHasher {
        SeededHasher { state: self.start, key: self.key, held: 0, bits: 0 }
    }
}

/// Small writes are held until they fill 128 bits, then both halves are multiplied and folded.
#[derive(Clone, Debug)]
pub struct SeededHasher {
    state: u64,
    key: u64,
    held: u128,
    bits: u32,
}

impl SeededHasher {
    #[inline(always)]
    fn block(&self, x: u128) -> u64 {
        fold(x as u64 ^ self.state, (x >> 64) as u64 ^ self.key)
    }

    #[inline(always)]
    fn append(&mut self, x: u128, bits: u32) {
        if self.bits + bits > 128 {
            self.state = self.block(self.held);
            (self.held, self.bits) = (x, bits);
        } else {
            self.held |= x << self.bits;
            self.bits += bits;
        }
    }
}

impl Hasher for SeededHasher {
    #[inline(always)]
    fn write_u8(&mut self, x: u8) {
        self.append(u128::from(x), 8);
    }

    #[inline(always)]
    fn write_u16(&mut self, x: u16) {
        self.append(u128::from(x), 16);
    }

    #[inline(always)]
    fn write_u32(&mut self, x: u32) {
        self.append(u128::from(x), 32);
    }

    #[inline(always)]
    fn write_u64(&mut self, x: u64) {
        self.append(u128::from(x), 64);
    }

    #[inline(always)]
    fn write_usize(&mut self, x: usize) {
        self.append(x as u128, usize::BITS);
    }

    #[inline(always)]
    fn write_u128(&mut self, x: u128) {
        self.state = self.block(x);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.write_usize(bytes.len());
        for chunk in bytes.chunks(16) {
            let mut block = [0; 16];
            block[..chunk.len()].copy_from_slice(chunk);
            self.write_u128(u128::from_le_bytes(block));
        }
    }

    #[inline(always)]
    fn finish(&self) -> u64 {
        let last = if self.bits > 0 { self.block(self.held) } else { self.state };
        // One multiplication turns keys in steps into hashes in steps, which crowd a table for some secrets.
        fold(last, self.key)
    }
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): every bit of the seed reaches every bit of the result.
const fn scramble(seed: u64) -> u64 {
    let x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Key = (u128, u128, u16, u16, u32);

    /// How many keys a full table looks at to find each of its keys, in a table of 1/8 spare room probed line by line.
    fn probes(keys: impl Iterator<Item = Key>, hasher: &Seeded) -> u64 {
        let keys: Vec<Key> = keys.collect();
        let slots = (keys.len() * 8 / 7).next_power_of_two();
        let mut taken = vec![false; slots];
        let mut probes = 0;
        for key in &keys {
            let mut at = hasher.hash_one(key) as usize & (slots - 1);
            while std::mem::replace(&mut taken[at], true) {
                at = (at + 1) & (slots - 1);
                probes += 1;
            }
            probes += 1;
        }
        probes
    }

    const V4: u128 = 0xFFFF << 32;

    /// Keys as a sender may choose them without the seed: in steps, in one field alone, and such that a multiplication by
    /// a public constant of well-known hashers is one by 0.
    #[test]
    fn chosen_keys_cost_no_more_than_random_ones() {
        const N: u64 = 20_000;
        let n = || 0..N;
        let wiping = [0x243F_6A88_85A3_08D3_u64, 0xC0AC_29B7_C97C_50DD, 0x9E37_79B9_7F4A_7C15, 0];
        for seed in [0, 1, 2, 3, 4, 5, 0xDEAD_BEEF, u64::MAX] {
            let hasher = Seeded::new(seed);
            let mut x = seed ^ 0x5EED;
            let mut next = || {
                x = scramble(x);
                x
            };
            let random: Vec<Key> = n()
                .map(|_| {
                    let (a, b, c) = (next(), next(), next());
                    (V4 | u128::from(a as u32), V4 | u128::from(b as u32), c as u16, (c >> 16) as u16, (c >> 32) as u32)
                })
                .collect();
            let plain = probes(random.into_iter(), &hasher);
            let check = |name: &str, keys: &mut dyn Iterator<Item = Key>| {
                let chosen = probes(keys, &hasher);
                assert!(2 * chosen <= 3 * plain, "{name}, seed {seed}: {chosen} probes, random keys {plain}");
            };
            let base: Key = (V4 | 1, V4 | 2, 4000, 5000, 7);
            check("SSRC counts up", &mut n().map(|i| (base.0, base.1, base.2, base.3, i as u32)));
            check("SSRC in steps of 65536", &mut n().map(|i| (base.0, base.1, base.2, base.3, (i as u32) << 16 | 1)));
            check("address counts up", &mut n().map(|i| (base.0 + u128::from(i), base.1, base.2, base.3, base.4)));
            check("port and address", &mut n().map(|i| (base.0 + u128::from(i >> 8), base.1, i as u16 & 255, 5000, 7)));
            check(
                "address and SSRC cancel",
                &mut n().map(|i| (base.0 ^ u128::from(i), base.1, 4000, 5000, 7 ^ i as u32)),
            );
            check(
                "both addresses cancel",
                &mut n().map(|i| (base.0 ^ u128::from(i), base.1 ^ u128::from(i), 4000, 5000, 7)),
            );
            check(
                "both addresses the same",
                &mut n().map(|i| (u128::from(i) << 64 | u128::from(i), u128::from(i) << 64, 0, 0, 0)),
            );
            for constant in wiping {
                let prefix = u128::from(constant) << 64;
                check("prefix", &mut n().map(|i| (prefix | u128::from(i), base.1, 4000, 5000, 7)));
                check(
                    "host part",
                    &mut n().map(|i| (u128::from(i) << 64 | u128::from(constant), base.1, 4000, 5000, 7)),
                );
            }
        }
    }

    #[test]
    fn seeds_differ_and_every_field_counts() {
        let base: Key = (1, 2, 3, 4, 5);
        let hash = |key: Key| Seeded::new(9).hash_one(key);
        for other in
            [(2, 2, 3, 4, 5), (1, 3, 3, 4, 5), (1, 2, 4, 4, 5), (1, 2, 3, 5, 5), (1, 2, 3, 4, 6), (2, 1, 3, 4, 5)]
        {
            assert_ne!(hash(base), hash(other));
        }
        assert_ne!(Seeded::new(1).hash_one(base), Seeded::new(2).hash_one(base));
        let bytes = |b: &[u8]| {
            let mut hasher = Seeded::new(9).build_hasher();
            hasher.write(b);
            hasher.finish()
        };
        assert_ne!(bytes(b"a"), bytes(b"a\0"));
        assert_ne!(bytes(&[0; 16]), bytes(&[0; 32]));
    }
}
