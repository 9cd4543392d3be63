//! Bounds of what was measured, counted over independent samples: streams or calls, never packets.

/// Quantile of the standard normal distribution by the rational approximation of Acklam (relative error under 1.2e-9), for
/// `p` in 0.5..1.
#[expect(clippy::excessive_precision, reason = "the coefficients as published")]
pub fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.383577518672690e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 5] =
        [-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 4] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];
    let polynomial = |c: &[f64], x: f64| c.iter().fold(0.0, |sum, c| sum * x + c);
    let p = p.clamp(0.5, 1.0 - 1e-12);
    if p <= 0.97575 {
        let q = p - 0.5;
        let r = q * q;
        return polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0);
    }
    let q = (-2.0 * (1.0 - p).ln()).sqrt();
    -polynomial(&C, q) / (polynomial(&D, q) * q + 1.0)
}

/// One-sided Wilson score bounds of a share `p` (0..=1) seen over `n` samples (Wilson 1927): with `confidence` the true share is
/// above the first, and with the same confidence below the second.
pub fn wilson(p: f64, n: u64, confidence: f64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let (p, n, z) = (p.clamp(0.0, 1.0), n as f64, normal_quantile(confidence));
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

/// One-sided bounds of the mean of a Poisson count (Byar's approximation of the exact chi-square bounds, within 1 % from a
/// count of 5 on).
pub fn poisson(count: u64, confidence: f64) -> (f64, f64) {
    let z = normal_quantile(confidence);
    let bound = |n: f64, sign: f64| n * (1.0 - 1.0 / (9.0 * n) + sign * z / (3.0 * n.sqrt())).powi(3);
    let low = if count == 0 { 0.0 } else { bound(count as f64, -1.0).max(0.0) };
    (low, bound(count as f64 + 1.0, 1.0))
}

/// Samples above which the rank of a quantile is taken from the normal approximation of the binomial distribution.
const EXACT: u64 = 2_000;

/// Ranks that bound quantile `q` of `n` samples, each as a quantile of what was measured: with `confidence` the true quantile is
/// at or above the first, and with the same confidence at or below the second (order statistics, Hahn and Meeker). The first is
/// never above `q`, the second never below; the second is `None` where even the largest of the samples bounds nothing.
pub fn rank_bounds(q: f64, n: u64, confidence: f64) -> (f64, Option<f64>) {
    if n == 0 {
        return (0.0, None);
    }
    let size = n as f64;
    let (low, high) = if n > EXACT {
        let half = normal_quantile(confidence) * (size * q * (1.0 - q)).sqrt();
        ((size * q - half).floor().max(0.0) as u64, Some((size * q + half).ceil() as u64 + 1))
    } else {
        exact_ranks(q, n, confidence)
    };
    let share = |rank: u64| rank as f64 / size;
    (share(low).min(q), high.filter(|rank| *rank <= n).map(|rank| share(rank).max(q)))
}

/// The largest rank `r` with P(B >= r) >= confidence, and the smallest `s` with P(B < s) >= confidence, for a binomial B.
fn exact_ranks(q: f64, n: u64, confidence: f64) -> (u64, Option<u64>) {
    let (mut below, mut low, mut high) = (0.0f64, 0, None);
    let mut log_pmf = n as f64 * (1.0 - q).ln();
    for k in 0..=n {
        // `below` is P(B < k).
        if 1.0 - below >= confidence {
            low = k;
        }
        if high.is_none() && below >= confidence {
            high = Some(k);
        }
        below += log_pmf.exp();
        log_pmf += ((n - k) as f64 / (k + 1) as f64).ln() + (q / (1.0 - q)).ln();
    }
    (low, high)
}

/// Median of some values; `None` without any.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => None,
        _ if n % 2 == 1 => Some(values[n / 2]),
        _ => Some((values[n / 2 - 1] + values[n / 2]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_quantiles_are_those_of_the_tables() {
        for (p, z) in [(0.5, 0.0), (0.9, 1.281_552), (0.95, 1.644_854), (0.975, 1.959_964), (0.99, 2.326_348)] {
            assert!((normal_quantile(p) - z).abs() < 1e-5, "{p}: {}", normal_quantile(p));
        }
    }

    /// Two-sided 95 % intervals of textbooks.
    #[test]
    fn wilson_bounds_are_those_of_the_textbooks() {
        for (bad, n, low) in [(2, 10, 5.7), (3, 20, 5.2), (5, 30, 7.3), (5, 50, 4.3), (8, 100, 4.1), (15, 300, 3.1)] {
            let bound = 100.0 * wilson(f64::from(bad) / n as f64, n, 0.975).0;
            assert!((bound - low).abs() < 0.06, "{bad} of {n}: {bound}");
        }
        assert_eq!(wilson(0.5, 0, 0.95), (0.0, 1.0));
        assert_eq!(wilson(0.0, 10, 0.95).0, 0.0);
    }

    #[test]
    fn few_streams_judge_at_a_lower_rank() {
        for (n, judged) in [(5, 0.80), (20, 0.85), (60, 0.90), (200, 0.925), (1_000, 0.938), (50_000, 0.9484)] {
            let (low, _) = rank_bounds(0.95, n, 0.95);
            assert!((low - judged).abs() < 0.002, "{n}: {low}");
        }
        assert_eq!(rank_bounds(0.95, 58, 0.95).1, None, "59 samples are the least that bound p95 from above");
        assert!(rank_bounds(0.95, 60, 0.95).1.is_some());
        assert_eq!(rank_bounds(0.95, 1, 0.95).0, 0.95, "never above the quantile itself");
        assert_eq!(rank_bounds(0.95, 0, 0.95), (0.0, None));
    }

    #[test]
    fn poisson_bounds_are_near_the_exact_ones() {
        for (count, low, high) in [(0, 0.0, 2.996), (5, 1.970, 10.51), (20, 13.25, 29.06), (100, 84.1, 118.1)] {
            let (l, h) = poisson(count, 0.95);
            assert!((l - low).abs() <= 0.02 * low + 0.01 && (h - high).abs() < 0.02 * high + 0.1, "{count}: {l} {h}");
        }
    }

    #[test]
    fn median_of_even_and_odd() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
