//! Random numbers that are the same on every host: xoshiro256++ seeded by SplitMix64, and distributions made of
//! exactly rounded operations only (no platform `ln` or `sin`).

/// A generator. Everything random in a world comes from one seed through [`Rng::fork`].
#[derive(Clone, Debug)]
pub struct Rng {
    s: [u64; 4],
}

impl Rng {
    pub fn new(seed: u64) -> Rng {
        let mut x = seed;
        Rng { s: std::array::from_fn(|_| split_mix(&mut x)) }
    }

    /// An independent generator for a named part, so that a change in one part leaves the others as they were.
    pub fn fork(&self, label: u64) -> Rng {
        let mut x = self.s[0] ^ self.s[2].rotate_left(17) ^ label.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        Rng { s: std::array::from_fn(|_| split_mix(&mut x)) }
    }

    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.s;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// In `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// In `low..=high`.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1).max(1) as u64) as i64
    }

    /// In `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// Exponentially distributed with the given mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * ln(1.0 - self.unit())
    }

    /// Gamma distributed with a whole shape: the sum of `shape` exponentials.
    pub fn gamma(&mut self, shape: u32, scale: f64) -> f64 {
        (0..shape).map(|_| self.exponential(scale)).sum()
    }

    /// Close to standard normal: twelve uniforms (Irwin-Hall), so never beyond 6.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

fn split_mix(x: &mut u64) -> u64 {
    *x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *x;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Natural logarithm of a normal positive number, from operations that IEEE 754 rounds exactly.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7FF) as i64 - 1023;
    let mut m = f64::from_bits((bits & 0x000F_FFFF_FFFF_FFFF) | (1023 << 52));
    if m > std::f64::consts::SQRT_2 {
        m /= 2.0;
        exponent += 1;
    }
    let z = (m - 1.0) / (m + 1.0);
    let mut term = z;
    let mut sum = 0.0;
    for k in 0..20 {
        sum += term / f64::from(2 * k + 1);
        term *= z * z;
    }
    2.0 * sum + exponent as f64 * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_numbers_stay() {
        let mut rng = Rng::new(1);
        let got: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        let mut again = Rng::new(1);
        assert_eq!(got, (0..3).map(|_| again.next_u64()).collect::<Vec<_>>());
        // SplitMix64 of seed 0, from its author's reference program.
        let mut x = 0;
        assert_eq!(split_mix(&mut x), 0xE220_A839_7B1D_CDAF);
        assert_eq!(split_mix(&mut x), 0x6E78_9E6A_A1B9_65F4);
        assert_ne!(Rng::new(1).fork(1).next_u64(), Rng::new(1).fork(2).next_u64());
    }

    #[test]
    fn ln_agrees_with_the_platform() {
        for x in [1e-9, 0.1, 0.5, 0.999, 1.0, 1.5, 2.0, 10.0, 12345.678] {
            assert!((ln(x) - f64::ln(x)).abs() < 1e-13, "{x}");
        }
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut rng = Rng::new(7);
        let n = 20_000;
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let exp: Vec<f64> = (0..n).map(|_| rng.exponential(3.0)).collect();
        let gamma: Vec<f64> = (0..n).map(|_| rng.gamma(2, 1.5)).collect();
        let normal: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        assert!((mean(&exp) - 3.0).abs() < 0.1);
        assert!((mean(&gamma) - 3.0).abs() < 0.1);
        assert!(mean(&normal).abs() < 0.05);
        assert!((mean(&normal.iter().map(|x| x * x).collect::<Vec<_>>()) - 1.0).abs() < 0.05);
        assert!((0..n).all(|_| (5..=9).contains(&rng.range(5, 9))));
    }
}
