//! The planning calculator: a rating from a codec, a loss and a delay, without any capture.

use anyhow::{Context, bail};
use auscult_core::quality::burst::burst_ratio_is_valid;
use auscult_core::quality::codecs::{CodecQuery, CodecTable};
use auscult_core::quality::emodel::{Echo, EmodelError, Inputs, Rating, Scale, g109_class, opinion_shares, rate};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::io::Write;

/// Rate a planned connection with the E-model (ITU-T G.107, G.107.1, G.107.2).
#[derive(Args, Clone, Debug)]
pub struct EmodelArgs {
    /// Codec by its SDP name, such as PCMU, G729, AMR-WB or opus
    #[arg(long, value_name = "NAME", conflicts_with_all = ["scale", "ie", "bpl"])]
    pub codec: Option<String>,

    /// Bit rate of the codec in kbit/s, where it has several
    #[arg(long, value_name = "KBIT", requires = "codec")]
    pub bit_rate: Option<f64>,

    /// Receivers do not conceal lost G.711 packets
    #[arg(long, requires = "codec")]
    pub no_plc: bool,

    /// Scale of --ie: narrowband, wideband or fullband
    #[arg(long, value_enum, default_value = "nb")]
    pub scale: ScaleArg,

    /// Codec impairment Ie on that scale
    #[arg(long, value_name = "X")]
    pub ie: Option<f64>,

    /// Loss robustness Bpl; needed with --ie when there is loss
    #[arg(long, value_name = "Y")]
    pub bpl: Option<f64>,

    /// Packets lost or too late for the jitter buffer, percent
    #[arg(long, value_name = "PCT", default_value_t = 0.0)]
    pub loss: f64,

    /// Burst ratio of the loss, 1 is random
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub burst_ratio: f64,

    /// One-way mouth-to-ear delay in milliseconds: network, jitter buffer, packet time and look-ahead
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    pub delay_ms: f64,

    /// Echo path: none (perfect control), or as long as the delay with the default losses
    #[arg(long, value_enum, default_value = "free")]
    pub echo: EchoArg,

    #[arg(long, value_enum, default_value = "text")]
    pub format: FormatArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScaleArg {
    Nb,
    Wb,
    Fb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EchoArg {
    Free,
    Default,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    Text,
    Json,
}

/// Rates and prints. Errors: unknown codec, a value outside its range, loss without a known Bpl, output.
pub fn run(args: EmodelArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let plan = Plan::new(&args)?;
    let rating = match rate(&plan.inputs) {
        Ok(rating) => rating,
        Err(EmodelError::NoLossRobustness) => match &plan.codec {
            Some(codec) => bail!(
                "no loss robustness (Bpl) is published for {codec}: leave out --loss, or give --scale {} --ie {} --bpl Y",
                plan.inputs.scale.name(),
                plan.inputs.ie
            ),
            None => bail!("--loss needs --bpl beside --ie"),
        },
        Err(e @ EmodelError::OutOfRange { .. }) => return Err(e).context("cannot rate this connection"),
    };
    match args.format {
        FormatArg::Json => write_json(&plan, &rating, out)?,
        FormatArg::Text => write_text(&plan, &rating, out)?,
    }
    out.flush()?;
    Ok(())
}

struct Plan {
    inputs: Inputs,
    /// The codec asked for, and the row its figures are from.
    codec: Option<String>,
    figures: Option<String>,
    source: String,
    status: Option<&'static str>,
}

impl Plan {
    fn new(args: &EmodelArgs) -> anyhow::Result<Plan> {
        let mut inputs = Inputs {
            loss_pct: args.loss,
            burst_ratio: args.burst_ratio,
            delay_ms: args.delay_ms,
            echo: match args.echo {
                EchoArg::Free => Echo::Free,
                EchoArg::Default => Echo::Default,
            },
            ..Inputs::default()
        };
        let Some(name) = &args.codec else {
            inputs.scale = match args.scale {
                ScaleArg::Nb => Scale::Nb,
                ScaleArg::Wb => Scale::Wb,
                ScaleArg::Fb => Scale::Fb,
            };
            inputs.ie = args.ie.context("nothing to rate: give --codec NAME, or --ie X with its --scale")?;
            inputs.bpl = args.bpl;
            return Ok(Plan { inputs, codec: None, figures: None, source: "given".to_owned(), status: None });
        };
        if args.bit_rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            bail!("--bit-rate must be above 0");
        }
        let table = CodecTable::default().with_g711_plc(!args.no_plc);
        let quality = table.lookup(&CodecQuery { name, kbit_s: args.bit_rate, ..CodecQuery::default() })?;
        inputs.scale = quality.scale;
        inputs.ie = quality.ie;
        inputs.bpl = quality.bpl;
        Ok(Plan {
            inputs,
            codec: Some(name.clone()),
            figures: Some(quality.name.into_owned()),
            source: quality.source.into_owned(),
            status: Some(quality.status.name()),
        })
    }
}

fn write_json(plan: &Plan, rating: &Rating, out: &mut impl Write) -> anyhow::Result<()> {
    let (class, users) = g109_class(rating.scale, rating.r);
    let document = json!({
        "scale": rating.scale.name(),
        "codec": plan.codec,
        "figures": plan.figures,
        "status": plan.status,
        "source": plan.source,
        "ie": plan.inputs.ie,
        "bpl": plan.inputs.bpl,
        "loss_pct": plan.inputs.loss_pct,
        "burst_ratio": plan.inputs.burst_ratio,
        "delay_ms": plan.inputs.delay_ms,
        "echo": plan.inputs.echo.name(),
        "r": rating.r,
        "mos": rating.mos,
        "ro": rating.ro,
        "is": rating.is,
        "idte": rating.idte,
        "idle": rating.idle,
        "idd": rating.idd,
        "ie_eff": rating.ie_eff,
        "class": class,
        "users": users,
    });
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)?;
    Ok(())
}

fn write_text(plan: &Plan, rating: &Rating, out: &mut impl Write) -> anyhow::Result<()> {
    let i = &plan.inputs;
    let scale = match rating.scale {
        Scale::Nb => "narrowband, G.107",
        Scale::Wb => "wideband, G.107.1",
        Scale::Fb => "fullband, G.107.2",
    };
    let (class, users) = g109_class(rating.scale, rating.r);
    let (good, poor) = opinion_shares(rating.scale, rating.r);
    let bpl = i.bpl.map_or("unknown".to_owned(), |b| format!("{b}"));
    if let (Some(codec), Some(figures), Some(status)) = (&plan.codec, &plan.figures, plan.status) {
        writeln!(out, "Codec           {codec}, rated as {figures}")?;
        writeln!(out, "Figures         {status}: {}", plan.source)?;
    }
    writeln!(out, "Ie / Bpl        {} / {bpl}", i.ie)?;
    writeln!(out, "Loss            {} %, burst ratio {}", i.loss_pct, i.burst_ratio)?;
    if !burst_ratio_is_valid(i.burst_ratio, i.loss_pct) {
        writeln!(out, "                G.107 does not vouch for a burst ratio above 2 at 2 % loss and more")?;
    }
    writeln!(out, "Delay           {} ms one way, echo {}", i.delay_ms, i.echo.name())?;
    writeln!(out)?;
    writeln!(out, "Ro              {:8.2}", rating.ro)?;
    writeln!(out, "- Is            {:8.2}  levels and noise", rating.is)?;
    writeln!(out, "- Idte          {:8.2}  talker echo", rating.idte)?;
    writeln!(out, "- Idle          {:8.2}  listener echo", rating.idle)?;
    writeln!(out, "- Idd           {:8.2}  delay", rating.idd)?;
    writeln!(out, "- Ie_eff        {:8.2}  codec and loss", rating.ie_eff)?;
    writeln!(out, "= R             {:8.2}  on the {} scale ({scale})", rating.r, rating.scale.name())?;
    writeln!(out, "MOS             {:8.2}  {class} (G.109): {users}", rating.mos)?;
    writeln!(out, "Good or better  {good:8.1} %  poor or worse {poor:.1} %")?;
    Ok(())
}
