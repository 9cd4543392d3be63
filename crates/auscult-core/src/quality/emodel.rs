//! The E-model: transmission rating factor R on the narrowband (G.107, 06/2015), wideband (G.107.1, 06/2019 with
//! Cor.1) and fullband (G.107.2) scale.
//!
//! `R = Ro - Is - Id - Ie_eff + A`. Ratings of different scales never compare; each value here carries its scale.
//! Times are milliseconds and levels decibels, as the Recommendations write them.

pub use super::rating::{g109_class, mos_from_r, opinion_shares, r_from_mos};

pub use crate::model::Scale;

use serde::{Deserialize, Serialize};

use std::sync::LazyLock;

impl Scale {
    /// R with every parameter at its default and no codec, loss or delay: 93.206 (nb), 128.846 (wb), 148 (fb).
    ///
    /// The 0.154 between 129 and the wideband figure is `Idle` at zero delay, which the formula counts.
    pub fn clean_max(self) -> f64 {
        let clean = Inputs { scale: self, ..Inputs::default() };
        assemble(&clean, 0.0).r
    }

    /// The factor that brings this scale to 0..100: 1, 1.29, 1.48.
    pub fn factor(self) -> f64 {
        match self {
            Scale::Nb => 1.0,
            Scale::Wb => 1.29,
            Scale::Fb => 1.48,
        }
    }

    /// What `Ie_eff` tends to under total loss: 95 (G.107, and unchanged in G.107.1), 132 (G.107.2).
    pub fn ie_ceiling(self) -> f64 {
        match self {
            Scale::Nb | Scale::Wb => 95.0,
            Scale::Fb => 132.0,
        }
    }
}

/// How the echo path follows from the delay.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Echo {
    /// Perfect echo control: T = 0, Tr = 0. Only `Idd` grows with delay.
    #[default]
    Free,
    /// T = Ta, Tr = 2 Ta with TELR and WEPL as given (65 and 110 dB by default).
    Default,
    /// Any other mean one-way echo path T and round trip of the four-wire loop Tr, ms.
    Path { t_ms: f64, tr_ms: f64 },
}

impl Echo {
    pub fn name(self) -> &'static str {
        match self {
            Echo::Free => "free",
            Echo::Default => "default",
            Echo::Path { .. } => "path",
        }
    }
}

/// How much users mind delay (G.107 table 1): sT and mT.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sensitivity {
    /// sT, without unit.
    pub s_t: f64,
    /// mT, smallest delay users perceive, ms.
    pub m_t: f64,
}

impl Sensitivity {
    pub const DEFAULT: Sensitivity = Sensitivity { s_t: 1.0, m_t: 100.0 };
}

/// Which reading of the echo reference `Roe` the wideband model uses. G.107.1 leaves `No,WB` undefined.
///
/// Both agree without an echo path (T = 0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WbRoe {
    /// Reading (a), after Cor.1: Roe = Ro = 129.
    #[default]
    Cor1,
    /// Reading (b): Roe = -1.5 (No - RLR) with a noise floor Nfor of -96 dBmp, which is 106.208.
    Noise,
}

/// Parameters of the E-model with the defaults of G.107 table 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inputs {
    pub scale: Scale,
    /// Codec impairment Ie on the same scale, 0..=95 (nb, wb) or 0..=132 (fb).
    pub ie: f64,
    /// Loss robustness Bpl, above 0; `None` where nobody published one.
    pub bpl: Option<f64>,
    /// Ppl, loss after the jitter buffer in percent, 0..=100.
    pub loss_pct: f64,
    /// BurstR, 1 or more; 1 is random loss. The text of G.107.1 and G.107.2 has none: leave it at 1 to stay with them.
    pub burst_ratio: f64,
    /// Ta, absolute one-way mouth-to-ear delay, ms.
    pub delay_ms: f64,
    pub echo: Echo,
    pub sensitivity: Sensitivity,
    /// Advantage factor A, 0..=20.
    pub advantage: f64,
    pub wb_roe: WbRoe,
    /// Send and receive loudness ratings, dB.
    pub slr: f64,
    pub rlr: f64,
    /// Sidetone masking rating, dB; the listener sidetone rating is STMR + Dr.
    pub stmr: f64,
    /// D-factors of the telephone, send and receive side, dB.
    pub ds: f64,
    pub dr: f64,
    /// Talker echo loudness rating and weighted echo path loss, dB.
    pub telr: f64,
    pub wepl: f64,
    /// Quantising distortion units.
    pub qdu: f64,
    /// Circuit noise at the 0 dBr point, dBm0p; noise floor at the receive side, dBmp.
    pub nc: f64,
    pub nfor: f64,
    /// Room noise at send and receive side, dB(A).
    pub ps: f64,
    pub pr: f64,
}

impl Default for Inputs {
    fn default() -> Self {
        Inputs {
            scale: Scale::Nb,
            ie: 0.0,
            bpl: None,
            loss_pct: 0.0,
            burst_ratio: 1.0,
            delay_ms: 0.0,
            echo: Echo::Free,
            sensitivity: Sensitivity::DEFAULT,
            advantage: 0.0,
            wb_roe: WbRoe::Cor1,
            slr: 8.0,
            rlr: 2.0,
            stmr: 15.0,
            ds: 3.0,
            dr: 3.0,
            telr: 65.0,
            wepl: 110.0,
            qdu: 1.0,
            nc: -70.0,
            nfor: -64.0,
            ps: 35.0,
            pr: 35.0,
        }
    }
}

/// A rating and the terms it is the sum of: `r = ro - is - (idte + idle + idd) - ie_eff + A`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rating {
    pub scale: Scale,
    /// Not clamped: heavy loss takes it below 0.
    pub r: f64,
    /// 1.0..=4.5.
    pub mos: f64,
    pub ro: f64,
    pub is: f64,
    pub idte: f64,
    pub idle: f64,
    pub idd: f64,
    pub ie_eff: f64,
}

/// Why there is no rating.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum EmodelError {
    #[error("packets are lost but the codec has no known loss robustness (Bpl): give one")]
    NoLossRobustness,
    #[error("{name} is {value}, outside {low} to {high}")]
    OutOfRange { name: &'static str, value: f64, low: f64, high: f64 },
}

/// The E-model for `inputs`.
///
/// Errors: a parameter outside its range or not a number, and loss with an unknown Bpl (a guess would be no rating).
pub fn rate(inputs: &Inputs) -> Result<Rating, EmodelError> {
    check(inputs)?;
    let ie_eff = effective_ie(inputs, inputs.loss_pct)?;
    Ok(assemble(inputs, ie_eff))
}

/// R points a connection loses against the clean one, by cause.
///
/// Attribution is sequential: codec first, then network loss alone, then late packets on top of that loss, then
/// delay. Loss and late packets share one curve that flattens, so the later one of the two looks cheaper than
/// it would alone; the order is the one in which an engineer can act on them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RBudget {
    /// R of the same connection without codec impairment, loss and delay.
    pub clean_max: f64,
    /// Ie.
    pub codec: f64,
    /// Ie_eff at the network loss, less Ie.
    pub loss: f64,
    /// Ie_eff with the late packets counted as lost too, less Ie_eff at the network loss.
    pub late: f64,
    /// Idte + Idle + Idd, less their value at zero delay.
    pub delay: f64,
    /// Sum of the four: the distance of R from `clean_max`.
    pub total: f64,
}

/// Splits the distance from the clean rating by cause. `inputs.loss_pct` is the network's loss, `late_pct` what a
/// jitter buffer discards on top, both in percent of the expected packets; their sum counts up to 100.
pub fn r_budget(inputs: &Inputs, late_pct: f64) -> Result<RBudget, EmodelError> {
    check(inputs)?;
    within("late_pct", late_pct, 0.0, 100.0)?;
    let lossy = effective_ie(inputs, inputs.loss_pct)?;
    let lossy_and_late = effective_ie(inputs, (inputs.loss_pct + late_pct).min(100.0))?;
    let clean = assemble(&undelayed(inputs), 0.0);
    let delayed = assemble(inputs, 0.0);
    let (codec, loss, late) = (inputs.ie, lossy - inputs.ie, lossy_and_late - lossy);
    let delay = clean.r - delayed.r;
    Ok(RBudget { clean_max: clean.r, codec, loss, late, delay, total: codec + loss + late + delay })
}

/// The same connection at zero delay: what listening quality is computed from.
pub fn undelayed(inputs: &Inputs) -> Inputs {
    Inputs { delay_ms: 0.0, echo: Echo::Free, ..*inputs }
}

/// `Ie + (ceiling - Ie) Ppl / (Ppl/BurstR + Bpl)`, Ie at zero loss.
fn effective_ie(i: &Inputs, loss_pct: f64) -> Result<f64, EmodelError> {
    if loss_pct == 0.0 {
        return Ok(i.ie);
    }
    let bpl = i.bpl.ok_or(EmodelError::NoLossRobustness)?;
    Ok(i.ie + (i.scale.ie_ceiling() - i.ie) * loss_pct / (loss_pct / i.burst_ratio + bpl))
}

fn assemble(i: &Inputs, ie_eff: f64) -> Rating {
    let (t, tr) = match i.echo {
        Echo::Free => (0.0, 0.0),
        Echo::Default => (i.delay_ms, 2.0 * i.delay_ms),
        Echo::Path { t_ms, tr_ms } => (t_ms, tr_ms),
    };
    let Terms { ro, is, idte, idle } = match standard(i) {
        Some(terms) if t == 0.0 && tr == 0.0 => *terms,
        _ => terms(i, t, tr),
    };
    let idd = i.scale.factor() * absolute_delay(i.delay_ms, i.sensitivity);
    let r = ro - is - (idte + idle + idd) - ie_eff + i.advantage;
    Rating { scale: i.scale, r, mos: mos_from_r(i.scale, r), ro, is, idte, idle, idd, ie_eff }
}

/// What a rating is made of besides codec, loss and delay.
#[derive(Clone, Copy)]
struct Terms {
    ro: f64,
    is: f64,
    idte: f64,
    idle: f64,
}

fn terms(i: &Inputs, t: f64, tr: f64) -> Terms {
    let (ro, is, idte, idle) = match i.scale {
        Scale::Nb => {
            let no = noise(i, i.nfor);
            let ro = 15.0 - 1.5 * (i.slr + no);
            let (iolr, ist, iq) = simultaneous(i, no, ro, t);
            (ro, iolr + ist + iq, talker_echo_nb(i, no, ist, t), listener_echo(i, ro, tr))
        }
        Scale::Wb => {
            let roe = match i.wb_roe {
                WbRoe::Cor1 => 129.0,
                WbRoe::Noise => -1.5 * (noise(i, WB_NOISE_FLOOR) - i.rlr),
            };
            (129.0, 0.0, talker_echo_wb(i, roe, t), listener_echo(i, 129.0, tr))
        }
        Scale::Fb => (148.0, 0.0, 0.0, 0.0),
    };
    Terms { ro, is, idte, idle }
}

/// The terms without delay where all inputs but codec, loss and delay have their default values. They are computed once: nearly
/// all ratings use them, and each time they take thirty powers and logarithms.
fn standard(i: &Inputs) -> Option<&'static Terms> {
    static STANDARD: LazyLock<[Terms; 3]> = LazyLock::new(|| {
        [Scale::Nb, Scale::Wb, Scale::Fb].map(|scale| terms(&Inputs { scale, ..Inputs::default() }, 0.0, 0.0))
    });
    let usual = Inputs::default();
    let same = Inputs {
        scale: usual.scale,
        ie: usual.ie,
        bpl: usual.bpl,
        loss_pct: usual.loss_pct,
        burst_ratio: usual.burst_ratio,
        delay_ms: usual.delay_ms,
        echo: usual.echo,
        sensitivity: usual.sensitivity,
        advantage: usual.advantage,
        ..*i
    } == usual;
    let [nb, wb, fb] = &*STANDARD;
    same.then_some(match i.scale {
        Scale::Nb => nb,
        Scale::Wb => wb,
        Scale::Fb => fb,
    })
}

/// Nfor of reading (b) of the wideband model, dBmp.
const WB_NOISE_FLOOR: f64 = -96.0;

/// No: power sum of circuit noise, room noise of both sides and the noise floor, dBm0p (G.107 section 7.2).
fn noise(i: &Inputs, nfor: f64) -> f64 {
    let olr = i.slr + i.rlr;
    let lstr = i.stmr + i.dr;
    let nos = i.ps - i.slr - i.ds - 100.0 + 0.004 * (i.ps - olr - i.ds - 14.0).powi(2);
    let pre = i.pr + 10.0 * (1.0 + db(10.0 - lstr)).log10();
    let nor = i.rlr - 121.0 + pre + 0.008 * (pre - 35.0).powi(2);
    let nfo = nfor + i.rlr;
    10.0 * (db(i.nc) + db(nos) + db(nor) + db(nfo)).log10()
}

/// Iolr, Ist, Iq (G.107 section 7.3).
fn simultaneous(i: &Inputs, no: f64, ro: f64, t: f64) -> (f64, f64, f64) {
    let x = (i.slr + i.rlr + 0.2 * (64.0 + no - i.rlr)) / 8.0;
    let iolr = 20.0 * (knee(x, 8.0) - x);
    let stmro = -10.0 * (db(-i.stmr) + (-t / 4.0).exp() * db(-i.telr)).log10();
    let ist = 12.0 * knee((stmro - 13.0) / 6.0, 8.0)
        - 28.0 * knee((stmro + 1.0) / 19.4, 35.0)
        - 13.0 * knee((stmro - 3.0) / 33.0, 13.0)
        + 29.0;
    let q = 37.0 - 15.0 * i.qdu.log10();
    let g = 1.07 + 0.258 * q + 0.0602 * q * q;
    let y = (ro - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0;
    let z = 46.0 / 30.0 - g / 40.0;
    let iq = 15.0 * (1.0 + 10f64.powf(y) + 10f64.powf(z)).log10();
    (iolr, ist, iq)
}

/// Idte of the narrowband model with its sidetone corrections (G.107 section 7.4).
fn talker_echo_nb(i: &Inputs, no: f64, ist: f64, t: f64) -> f64 {
    let mut terv = echo_rating(i.telr, t);
    if i.stmr < 9.0 {
        terv += ist / 2.0;
    }
    let idte = talker_echo(-1.5 * (no - i.rlr), 80.0 + 2.5 * (terv - 14.0), t);
    if i.stmr > 20.0 { idte.hypot(ist) } else { idte }
}

/// Idte of the wideband model (G.107.1 section 7.4). Ist is 0 there, so sidetone corrects nothing.
fn talker_echo_wb(i: &Inputs, roe: f64, t: f64) -> f64 {
    let k = if t < 100.0 { 0.08 * t + 10.0 } else { 18.0 };
    talker_echo(roe, 80.0 + 3.0 * (echo_rating(i.telr, t) + k - 14.0), t)
}

/// TERV.
fn echo_rating(telr: f64, t: f64) -> f64 {
    telr - 40.0 * ((1.0 + t / 10.0) / (1.0 + t / 150.0)).log10() + 6.0 * (-0.3 * t * t).exp()
}

/// Zero below 1 ms; near 1 to 3 ms it may be about -0.1, which is kept.
fn talker_echo(roe: f64, re: f64, t: f64) -> f64 {
    if t < 1.0 {
        return 0.0;
    }
    let half = (roe - re) / 2.0;
    (half + (half * half + 100.0).sqrt() - 1.0) * (1.0 - (-t).exp())
}

/// Idle.
fn listener_echo(i: &Inputs, ro: f64, tr: f64) -> f64 {
    let rle = 10.5 * (i.wepl + 7.0) * (tr + 1.0).powf(-0.25);
    let half = (ro - rle) / 2.0;
    half + (half * half + 169.0).sqrt()
}

/// Idd on the narrowband scale.
fn absolute_delay(ta: f64, sensitivity: Sensitivity) -> f64 {
    let Sensitivity { s_t, m_t } = sensitivity;
    if ta <= m_t {
        return 0.0;
    }
    let x = (ta / m_t).log2();
    25.0 * (knee(x, 6.0 * s_t) - 3.0 * knee(x / 3.0, 6.0 * s_t) + 2.0)
}

/// `(1 + x^n)^(1/n)`.
fn knee(x: f64, n: f64) -> f64 {
    (1.0 + x.powf(n)).powf(1.0 / n)
}

/// A level in decibels as a ratio.
fn db(level: f64) -> f64 {
    10f64.powf(level / 10.0)
}

fn check(i: &Inputs) -> Result<(), EmodelError> {
    const MANY: f64 = 1e6;
    within("ie", i.ie, 0.0, i.scale.ie_ceiling())?;
    if let Some(bpl) = i.bpl {
        within("bpl", bpl, f64::MIN_POSITIVE, MANY)?;
    }
    within("loss_pct", i.loss_pct, 0.0, 100.0)?;
    within("burst_ratio", i.burst_ratio, 1.0, MANY)?;
    within("delay_ms", i.delay_ms, 0.0, MANY)?;
    if let Echo::Path { t_ms, tr_ms } = i.echo {
        within("t_ms", t_ms, 0.0, MANY)?;
        within("tr_ms", tr_ms, 0.0, MANY)?;
    }
    within("sT", i.sensitivity.s_t, 0.1, 10.0)?;
    within("mT", i.sensitivity.m_t, 1.0, 1000.0)?;
    within("advantage", i.advantage, 0.0, 20.0)?;
    within("SLR", i.slr, 0.0, 18.0)?;
    within("RLR", i.rlr, -5.0, 14.0)?;
    within("STMR", i.stmr, 0.0, 40.0)?;
    within("Ds", i.ds, -3.0, 3.0)?;
    within("Dr", i.dr, -3.0, 3.0)?;
    within("TELR", i.telr, 5.0, 65.0)?;
    within("WEPL", i.wepl, 5.0, 110.0)?;
    within("qdu", i.qdu, 1.0, 14.0)?;
    within("Nc", i.nc, -80.0, -40.0)?;
    within("Nfor", i.nfor, -120.0, -40.0)?;
    within("Ps", i.ps, 35.0, 85.0)?;
    within("Pr", i.pr, 35.0, 85.0)
}

fn within(name: &'static str, value: f64, low: f64, high: f64) -> Result<(), EmodelError> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(EmodelError::OutOfRange { name, value, low, high }) }
}
