//! From the rating factor to opinion: MOS, its inverse, satisfied and dissatisfied shares, G.109 classes.
//!
//! G.107 Annex B for narrowband; wideband and fullband use the same curve on R/1.29 and R/1.48
//! (G.107.1 Annex A, G.107.2 Annex A).

use super::emodel::Scale;

/// Mean opinion score of a rating `r` on `scale`, 1.0..=4.5. Not a number gives 1.0.
///
/// `MOS = 1 + 0.035 R + R (R - 60) (100 - R) 7e-6`, 1 for R <= 0, 4.5 for R >= 100. The cubic falls below 1 for
/// 0 < R < 6.5153; it is clamped there.
pub fn mos_from_r(scale: Scale, r: f64) -> f64 {
    let r = r / scale.factor();
    if r.is_nan() || r <= 0.0 {
        return 1.0;
    }
    if r >= 100.0 {
        return 4.5;
    }
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
}

/// The rating on `scale` that gives `mos` (G.107 Annex B, closed form); `None` outside 1.0..=4.5.
///
/// 1.0 gives the highest rating with that score, 6.5153 on the narrowband scale.
pub fn r_from_mos(scale: Scale, mos: f64) -> Option<f64> {
    if !(1.0..=4.5).contains(&mos) {
        return None;
    }
    let root = (-903_522.0 + 1_113_960.0 * mos - 202_500.0 * mos * mos).max(0.0).sqrt();
    let h = (15.0 * root).atan2(18_566.0 - 6_750.0 * mos) / 3.0;
    let r = 20.0 / 3.0 * (8.0 - 226f64.sqrt() * (h + std::f64::consts::FRAC_PI_3).cos());
    Some(r * scale.factor())
}

/// Shares of users in percent who find a connection good or better, and poor or worse (G.107 Annex B).
///
/// `GoB = 100 Phi((R - 60)/16)`, `PoW = 100 Phi((45 - R)/16)` with R brought to the narrowband scale.
pub fn opinion_shares(scale: Scale, r: f64) -> (f64, f64) {
    let r = r / scale.factor();
    (100.0 * normal_cdf((r - 60.0) / 16.0), 100.0 * normal_cdf((45.0 - r) / 16.0))
}

/// G.109 speech transmission quality class and what users say of it.
///
/// G.109 is written for narrowband; a wideband or fullband rating is brought to the same MOS first.
pub fn g109_class(scale: Scale, r: f64) -> (&'static str, &'static str) {
    match r / scale.factor() {
        r if r >= 90.0 => ("best", "very satisfied"),
        r if r >= 80.0 => ("high", "satisfied"),
        r if r >= 70.0 => ("medium", "some users dissatisfied"),
        r if r >= 60.0 => ("low", "many users dissatisfied"),
        r if r >= 50.0 => ("poor", "nearly all users dissatisfied"),
        _ => ("not recommended", "nearly all users dissatisfied"),
    }
}

/// Standard normal distribution function, absolute error below 1e-14.
fn normal_cdf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let z = x.abs();
    if z > 6.0 {
        // Continued fraction of the upper tail (Laplace); 60 terms are far beyond need at z > 6.
        let fraction = (1..=60).rev().fold(0.0, |below, k| f64::from(k) / (z + below));
        let tail = density / (z + fraction);
        return if x < 0.0 { tail } else { 1.0 - tail };
    }
    // Phi(x) = 1/2 + phi(x) (x + x^3/3 + x^5/(3 5) + ...)
    let (mut sum, mut term) = (x, x);
    for k in 1..200 {
        term *= x * x / f64::from(2 * k + 1);
        sum += term;
        if term.abs() < 1e-17 * sum.abs() {
            break;
        }
    }
    0.5 + density * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table_of_g107_annex_b() {
        // R, MOS by formula, GoB, PoW
        for (r, mos, gob, pow) in [
            (90.0, 4.3390, 97.0, 0.2),
            (80.0, 4.0240, 89.4, 1.4),
            (70.0, 3.5970, 73.4, 5.9),
            (60.0, 3.1000, 50.0, 17.4),
            (50.0, 2.5750, 26.6, 37.7),
        ] {
            assert!((mos_from_r(Scale::Nb, r) - mos).abs() < 1e-9, "R {r}");
            let (good, poor) = opinion_shares(Scale::Nb, r);
            assert!((good - gob).abs() < 0.05 && (poor - pow).abs() < 0.05, "R {r}: {good} {poor}");
        }
    }

    #[test]
    fn classes_change_at_their_lower_limits() {
        assert_eq!(g109_class(Scale::Nb, 90.0).0, "best");
        assert_eq!(g109_class(Scale::Nb, 89.99).0, "high");
        assert_eq!(g109_class(Scale::Nb, 49.99).0, "not recommended");
        assert_eq!(g109_class(Scale::Wb, 1.29 * 80.5).0, "high");
    }

    #[test]
    fn ends_of_the_curve() {
        assert_eq!(mos_from_r(Scale::Nb, -3.0), 1.0);
        assert_eq!(mos_from_r(Scale::Nb, 3.222), 1.0);
        assert_eq!(mos_from_r(Scale::Nb, 6.5), 1.0);
        assert!(mos_from_r(Scale::Nb, 6.53) > 1.0);
        assert_eq!(mos_from_r(Scale::Nb, 120.0), 4.5);
        assert_eq!(mos_from_r(Scale::Wb, 129.0), 4.5);
        assert_eq!(mos_from_r(Scale::Nb, f64::NAN), 1.0);
        assert_eq!(r_from_mos(Scale::Nb, 4.6), None);
        assert_eq!(r_from_mos(Scale::Nb, 0.9), None);
        assert_eq!(r_from_mos(Scale::Nb, f64::NAN), None);
        assert!((r_from_mos(Scale::Nb, 1.0).unwrap() - 6.5153).abs() < 1e-4);
        assert!((r_from_mos(Scale::Fb, 4.5).unwrap() - 148.0).abs() < 1e-9);
    }

    #[test]
    fn normal_distribution_known_values() {
        for (x, phi) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_542_9),
            (-1.96, 0.024_997_895_148_220_43),
            (3.0, 0.998_650_101_968_369_9),
            (-6.5, 4.016_000_583_859_118e-11),
        ] {
            assert!((normal_cdf(x) - phi).abs() < 1e-14, "{x}: {}", normal_cdf(x));
        }
        assert!((normal_cdf(5.999_999) - normal_cdf(6.000_001)).abs() < 1e-13);
    }

    proptest! {
        #[test]
        fn mos_and_r_are_inverse(r in 6.6f64..100.0, scale in 0usize..3) {
            let scale = [Scale::Nb, Scale::Wb, Scale::Fb][scale];
            let r = r * scale.factor();
            let back = r_from_mos(scale, mos_from_r(scale, r)).unwrap();
            prop_assert!((back - r).abs() < 1e-11 * scale.factor() * 100.0, "{r} became {back}");
        }
    }
}
