//! The one loop between frames and facts, for replay and live alike.

use super::config::{self, Config};
use super::replay::Stored;
use super::telemetry::ProgramTelemetry;
use crate::api::LiveFeed;
use crate::capture::Timeline;
use crate::capture::pace::{Pacer, SystemClock};
use crate::engine::Engine;
use crate::model::Event;
use crate::store::rows::Record;
use crate::store::{Labels, StoreSender};
use crate::units::Nanos;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[cfg(feature = "live")]
use super::live_source::LiveSource;

/// Facts the store's writer may be behind before a replay waits for it.
const REPLAY_DEPTH: usize = 16_384;
/// How far behind the wall clock a live watermark is: frames of other rings may still come.
#[cfg(feature = "live")]
const LIVE_SLACK: Nanos = Nanos::from_secs(1);
/// Longest sleep of a paced replay between looks at the stop mark.
const NAP: Nanos = Nanos::from_millis(100);

/// Where frames come from.
pub enum Source {
    None,
    Replay(Replay),
    #[cfg(feature = "live")]
    Live(LiveSource),
}

pub struct Replay {
    timeline: Timeline,
    name: String,
    real_pace: bool,
}

impl Source {
    /// Opens files or interfaces, and gives up privileges where a user is configured.
    pub fn open(files: &[PathBuf], real_pace: bool, capture: &config::Capture) -> anyhow::Result<Source> {
        if !files.is_empty() {
            let name = files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ");
            return Ok(Source::Replay(Replay { timeline: Timeline::open(files)?, name, real_pace }));
        }
        if capture.interfaces.is_empty() {
            return Ok(Source::None);
        }
        Source::live(capture)
    }

    #[cfg(feature = "live")]
    fn live(capture: &config::Capture) -> anyhow::Result<Source> {
        Ok(Source::Live(LiveSource::open(capture)?))
    }

    #[cfg(not(feature = "live"))]
    fn live(_: &config::Capture) -> anyhow::Result<Source> {
        anyhow::bail!(
            "this program was built without live capture; install libpcap-dev and build it again with `make build`"
        )
    }
}

/// Everything the loop hands facts to.
pub struct Feed {
    engine: Engine,
    labels: Labels,
    sender: StoreSender,
    live: Arc<LiveFeed>,
    telemetry: Arc<ProgramTelemetry>,
    stored: Option<Stored>,
    stop: Arc<AtomicBool>,
    events: Vec<Event>,
}

impl Feed {
    pub fn new(
        config: &Config,
        sender: StoreSender,
        live: Arc<LiveFeed>,
        telemetry: Arc<ProgramTelemetry>,
        stored: Option<Stored>,
    ) -> Feed {
        Feed {
            engine: Engine::new(config.limits.clone(), config.policy.clone(), 1, super::random_seed()),
            labels: config.labels.clone(),
            sender,
            live,
            telemetry,
            stored,
            stop: Arc::new(AtomicBool::new(false)),
            events: Vec::new(),
        }
    }

    /// Set to end the loop; what is open is then finished and handed over.
    pub fn stop_handle(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Until the source ends or somebody stops it.
    pub fn run(mut self, source: Source) -> anyhow::Result<()> {
        match source {
            Source::None => return Ok(()),
            Source::Replay(replay) => self.replay(replay)?,
            #[cfg(feature = "live")]
            Source::Live(live) => self.live(live)?,
        }
        self.engine.finish(&mut self.events);
        self.hand_over(true);
        Ok(())
    }

    fn replay(&mut self, mut replay: Replay) -> anyhow::Result<()> {
        self.engine.set_source(&replay.name, replay.timeline.resolution_ns());
        let progress = progress(&replay.timeline);
        let mut pacer = replay.real_pace.then(|| Pacer::new(SystemClock::start(), 1.0));
        let mut frames = 0u64;
        loop {
            if frames & 0xfff == 0 {
                progress.set_position(replay.timeline.position().0);
                if self.stopped() {
                    break;
                }
            }
            let Some(frame) = replay.timeline.next_frame()? else { break };
            frames += 1;
            if let Some(pacer) = &mut pacer {
                while !pacer.wait(frame.at, NAP) && !self.stop.load(Ordering::Relaxed) {}
            }
            self.telemetry.frame(frame.at);
            self.engine.frame(frame.at, frame.link, frame.bytes, frame.wire_len as usize, &mut self.events);
            self.hand_over(true);
        }
        progress.finish_and_clear();
        for truncation in replay.timeline.truncations() {
            println!("{}: {}; everything before it was used", truncation.name, truncation.truncation);
        }
        if self.stopped() {
            anyhow::bail!("the replay was stopped before its end; the next start goes on with it");
        }
        Ok(())
    }

    #[cfg(feature = "live")]
    fn live(&mut self, mut live: LiveSource) -> anyhow::Result<()> {
        self.engine.set_source(live.name(), live.resolution_ns());
        while !self.stopped() {
            let batch = live.next_batch(Duration::from_millis(100))?;
            self.engine.missed(batch.missed);
            self.telemetry.missed(batch.missed);
            for frame in batch.frames() {
                self.telemetry.frame(frame.at);
                self.engine.frame(frame.at, frame.link, frame.bytes, frame.wire_len as usize, &mut self.events);
            }
            self.engine.tick(super::wall_clock() - LIVE_SLACK, &mut self.events);
            self.hand_over(false);
        }
        live.stop();
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Facts to the live view and the store. A replay waits for the store; live capture never does.
    #[inline]
    fn hand_over(&mut self, wait: bool) {
        if self.events.is_empty() {
            return;
        }
        for event in self.events.drain(..) {
            let trunk = self.labels.trunk(addresses(&event));
            self.live.publish(&event, trunk);
            let Some(record) = Record::from_event(event) else { continue };
            if self.stored.as_ref().is_some_and(|stored| stored.has(&record)) {
                continue;
            }
            while wait && self.sender.depth() > REPLAY_DEPTH && !self.stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.sender.try_send(record);
        }
        self.telemetry.streams(self.engine.active_streams());
        self.telemetry.related(self.engine.relations());
    }
}

/// Addresses a fact's trunk is found by.
fn addresses(event: &Event) -> impl Iterator<Item = IpAddr> + use<> {
    let pair: [Option<SocketAddr>; 2] = match event {
        Event::CallChanged(c) | Event::CallEnded(c) => [c.signalling_src, c.signalling_dst],
        Event::StreamStarted(s) | Event::StreamEnded(s) => [Some(s.src), Some(s.dst)],
        Event::Interval(i) => [Some(i.src), Some(i.dst)],
        _ => [None, None],
    };
    pair.into_iter().flatten().map(|a| a.ip())
}

fn progress(timeline: &Timeline) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("replaying {wide_bar} {bytes}/{total_bytes} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    timeline.position().1.map_or_else(ProgressBar::new_spinner, ProgressBar::new).with_style(style)
}
