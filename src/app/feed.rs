//! The one loop between frames and events, for replay and live alike.

use super::alerts::{AlertService, OwnedInput};
use super::config::{self, Config};
use super::fail_point::FailPoint;
use super::progress::Doing;
use super::reload::{Handover, Settings};
use super::replay::Stored;
use super::retention::EmergencyCalls;
use super::telemetry::ProgramTelemetry;
use auscult_api::LiveFeed;
use auscult_capture::Timeline;
use auscult_capture::pace::{Pacer, SystemClock};
use auscult_capture::sandbox::{ThreadKind, restrict_thread};
use auscult_core::alert::CaptureSums;
use auscult_core::engine::{Engine, Sink};
use auscult_core::groups::{Group, Groups};
use auscult_core::model::{CaptureInterval, Cut, Event, Labels, TimestampSource, TrunkMatch};
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::StoreSender;
use auscult_store::rows::Record;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::{info, warn};

#[cfg(feature = "live")]
use super::live_source::{LiveSource, OpenRings, Seen};

/// How long the events of the end wait for the store's writer in all, milliseconds; what it cannot take by then is counted
/// as dropped.
const LAST_WAIT_MS: u32 = 10_000;

/// Records the store's writer may be behind before a replay waits for it.
const REPLAY_DEPTH: usize = 16_384;
/// Age of the engine's counters as telemetry shows them.
#[cfg(feature = "live")]
const COUNTERS_EVERY: Nanos = Nanos::from_secs(1);
/// Longest sleep of a paced replay between looks at the stop mark.
const NAP: Nanos = Nanos::from_millis(100);

/// Where frames come from.
pub enum Source {
    None,
    Replay(Box<Replay>),
    #[cfg(feature = "live")]
    Live(LiveSource),
}

pub struct Replay {
    timeline: Timeline,
    name: String,
    files: usize,
    real_pace: bool,
}

/// A source before the sandbox: interfaces are open, as that takes privileges; files are not, as a stranger's bytes are in them.
pub enum Prepared {
    None,
    Replay {
        files: Vec<PathBuf>,
        real_pace: bool,
    },
    #[cfg(feature = "live")]
    Live(OpenRings),
}

/// How a source came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Read to the last frame, or a live capture that was stopped: what was open is finished.
    Complete,
    /// A replay that was stopped. What was open is not finished: those calls did not end there.
    Paused,
}

impl Prepared {
    /// Opens interfaces, and gives up privileges where a user is configured.
    pub fn open(files: &[PathBuf], real_pace: bool, capture: &config::Capture) -> anyhow::Result<Prepared> {
        if !files.is_empty() {
            return Ok(Prepared::Replay { files: files.to_vec(), real_pace });
        }
        if capture.interfaces.is_empty() {
            return Ok(Prepared::None);
        }
        Prepared::live(capture)
    }

    #[cfg(feature = "live")]
    fn live(capture: &config::Capture) -> anyhow::Result<Prepared> {
        Ok(Prepared::Live(OpenRings::open(capture)?))
    }

    #[cfg(not(feature = "live"))]
    fn live(_: &config::Capture) -> anyhow::Result<Prepared> {
        anyhow::bail!(
            "this program was built without live capture; install libpcap-dev and build it again with `make build`"
        )
    }
}

impl Source {
    /// Opens files, or starts the threads of open interfaces.
    pub fn start(prepared: Prepared) -> anyhow::Result<Source> {
        Ok(match prepared {
            Prepared::None => Source::None,
            Prepared::Replay { files, real_pace } => Source::Replay(Box::new(Replay {
                timeline: Timeline::open(&files)?,
                name: files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "),
                files: files.len(),
                real_pace,
            })),
            #[cfg(feature = "live")]
            Prepared::Live(rings) => Source::Live(LiveSource::start(rings)?),
        })
    }

    /// Whether frames come as time goes by.
    pub fn is_live(&self) -> bool {
        #[cfg(feature = "live")]
        return matches!(self, Source::Live(_));
        #[cfg(not(feature = "live"))]
        return false;
    }

    /// Gives a replay the name its rows have since it was begun, however the files are called now.
    pub fn rename(&mut self, name: String) {
        if let Source::Replay(replay) = self {
            replay.name = name;
        }
    }
}

/// The loop: frames to the engine, its events to the [`EventRouter`].
pub struct CaptureLoop {
    engine: Engine,
    out: EventRouter,
    telemetry: Arc<ProgramTelemetry>,
    stop: Arc<AtomicBool>,
    handover: Arc<Handover>,
    /// Settings that take effect at the end of the interval in which they came.
    next: Option<(Timestamp, Settings)>,
    fail_point: FailPoint,
    #[cfg(feature = "live")]
    measure_cpu: Option<usize>,
}

/// Hands each event to the live view and the store as it comes to be: a list of the events of one boundary of a hundred
/// thousand streams would take as much memory as the store's queue.
struct EventRouter {
    labels: Labels,
    groups: Groups,
    sender: StoreSender,
    live: Arc<LiveFeed>,
    telemetry: Arc<ProgramTelemetry>,
    stored: Option<Stored>,
    stop: Arc<AtomicBool>,
    /// For a store that is behind. Live capture never waits: the store's queue then drops, and counts what it drops.
    waits: bool,
    /// How long the events of the end may still wait for a store that is behind, in milliseconds; 0 before the end. They
    /// also wait after a stop: what was open is handed over whole.
    last_wait_ms: u32,
    /// There were events since telemetry was updated.
    news: bool,
    /// Codes of the findings of the capture that were logged last.
    findings: Vec<&'static str>,
    /// Start of the interval whose capture came last.
    captured_from: Timestamp,
    /// The store's writer has not got the labels yet.
    relabel: bool,
    emergency: EmergencyCalls,
    /// Rules of alerts; a replay has its own times and none.
    alerts: Option<AlertService>,
}

/// Who gets what is measured.
pub struct Consumers {
    pub sender: StoreSender,
    pub live: Arc<LiveFeed>,
    pub telemetry: Arc<ProgramTelemetry>,
}

impl CaptureLoop {
    pub fn new(config: &Config, consumers: Consumers, stored: Option<Stored>, handover: Arc<Handover>) -> CaptureLoop {
        let Consumers { sender, live, telemetry } = consumers;
        let stop = Arc::new(AtomicBool::new(false));
        let labels = config.labels.clone();
        live.expect_trunks(&labels);
        CaptureLoop {
            engine: Engine::new(config.limits.clone(), config.policy.clone(), 1, super::random_seed()),
            out: EventRouter {
                labels,
                groups: Groups::new(&config.limits, &config.policy),
                sender,
                live,
                telemetry: telemetry.clone(),
                stored,
                stop: stop.clone(),
                waits: true,
                last_wait_ms: 0,
                news: false,
                findings: Vec::new(),
                captured_from: Timestamp::MIN,
                relabel: false,
                emergency: EmergencyCalls::new(config.retention.emergency_numbers.clone(), &config.policy.privacy),
                alerts: None,
            },
            telemetry,
            stop,
            handover,
            next: None,
            fail_point: FailPoint::new(),
            #[cfg(feature = "live")]
            measure_cpu: config.capture.measure_cpu,
        }
    }

    /// Hands sums of live capture to the rules of alerts, too.
    pub fn with_alerts(mut self, alerts: Option<AlertService>) -> CaptureLoop {
        self.out.alerts = alerts;
        self
    }

    /// Set to end the loop; what is open is then finished and handed over.
    pub fn stop_handle(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Until the source ends or somebody stops it.
    pub fn run(mut self, source: Source) -> anyhow::Result<Ended> {
        self.telemetry.progress().begins(Doing::Measuring);
        let (ended, cut) = match source {
            Source::None => return Ok(Ended::Complete),
            Source::Replay(replay) => (self.replay(replay), Cut::CaptureEnded),
            #[cfg(feature = "live")]
            Source::Live(live) => (self.live(live), Cut::ProbeStopped),
        };
        if !matches!(ended, Ok(Ended::Paused)) {
            self.telemetry.progress().begins(Doing::Measuring);
            self.out.waits = true;
            self.out.last_wait_ms = LAST_WAIT_MS;
            self.engine.finish_by(cut, &mut self.out);
            let mut groups = Vec::new();
            self.out.groups.finish(&mut |group| groups.push(group));
            self.out.hand_over_groups(groups);
            self.telemetry.engine(self.engine.counters());
            self.tell_streams();
        }
        self.telemetry.progress().begins(Doing::Nothing);
        ended
    }

    fn replay(&mut self, mut replay: Box<Replay>) -> anyhow::Result<Ended> {
        restrict_thread(ThreadKind::Replay)?;
        self.engine.set_source(&replay.name, TimestampSource::CaptureFile, replay.timeline.resolution_ns());
        let mut progress = Progress::new(&replay);
        let mut pacer = replay.real_pace.then(|| Pacer::new(SystemClock::start(), 1.0));
        let mut frames = 0u64;
        let mut refused = 0;
        loop {
            if frames & 0xfff == 0 {
                self.telemetry.engine(self.engine.counters());
                self.refused_times(&replay, &mut refused);
            }
            if pacer.is_some() || frames & 0xfff == 0 {
                progress.at(replay.timeline.position());
            }
            self.telemetry.progress().begins(Doing::Reading);
            let Some(frame) = replay.timeline.next_frame()? else { break };
            frames += 1;
            if let Some(pacer) = &mut pacer {
                self.telemetry.progress().begins(Doing::Waiting);
                while !self.stopped() && !pacer.wait(frame.at, NAP) {
                    self.telemetry.progress().step();
                }
            }
            if self.stopped() {
                progress.end(None);
                return Ok(Ended::Paused);
            }
            self.telemetry.progress().begins(Doing::Measuring);
            self.fail_point.pass();
            self.apply_settings_at(frame.at);
            self.telemetry.frames(1, frame.at);
            self.engine.frame(frame.at, frame.link, frame.bytes, frame.wire_len as usize, &mut self.out);
            self.close_groups();
            self.tell_streams();
        }
        self.refused_times(&replay, &mut refused);
        progress.end(Some(frames));
        if refused > 0 {
            super::print_status(format_args!(
                "{refused} records have a time before 1970 or after 2105, or none that can be read; they were left out"
            ));
        }
        for truncation in replay.timeline.truncations() {
            super::print_status(format_args!(
                "{}: {}; everything before it was used",
                truncation.name, truncation.truncation
            ));
        }
        Ok(Ended::Complete)
    }

    /// Counts the records that the reader has refused for their time since the last call.
    fn refused_times(&mut self, replay: &Replay, known: &mut u64) {
        let now = replay.timeline.oddities().time_out_of_range;
        let more = now - std::mem::replace(known, now);
        if more > 0 {
            self.engine.refused_times(more);
            self.telemetry.refused_times(more);
        }
    }

    /// Applies new settings where an interval ends, before anything at `at` or later is measured.
    #[inline]
    fn apply_settings_at(&mut self, at: Timestamp) {
        if self.handover.is_waiting() || self.next.is_some() {
            self.apply_settings(at);
        }
    }

    #[cold]
    fn apply_settings(&mut self, at: Timestamp) {
        if let Some(settings) = self.handover.take() {
            // Nothing was measured before the first frame: they take effect at once.
            let end = self.engine.interval_end();
            let from = self.next.as_ref().map_or(end, |(from, _)| *from);
            self.next = Some((if end == Timestamp::MAX { Timestamp::MIN } else { from }, settings));
        }
        let due = self.next.take_if(|(from, _)| *from <= at && at.is_measurable());
        if let Some((from, settings)) = due {
            self.engine.tick(from, &mut self.out);
            self.close_groups();
            self.out.emergency.set_privacy(&settings.privacy);
            self.engine.set_privacy(settings.privacy, settings.messages);
            if settings.labels != self.out.labels {
                self.out.groups.relabelled();
                self.out.live.expect_trunks(&settings.labels);
                self.out.labels = settings.labels;
                self.out.relabel = true;
            }
        }
    }

    #[cfg(feature = "live")]
    fn live(&mut self, mut live: LiveSource) -> anyhow::Result<Ended> {
        if let Some(cpu) = self.measure_cpu {
            auscult_capture::run_on(cpu)?;
        }
        restrict_thread(ThreadKind::Measuring)?;
        self.out.waits = false;
        let names = live.interfaces().iter().map(String::as_str);
        self.engine.set_sources(names, live.stamped_by(), live.resolution_ns());
        let interfaces = live.interfaces().to_vec();
        let mut counted = Timestamp::MIN;
        while !self.stopped() {
            let mut frames = Frames::default();
            live.take(Duration::from_millis(100), &mut |seen| self.see(&interfaces, &mut frames, seen))?;
            self.telemetry.frames(frames.count, frames.last);
            self.telemetry.progress().step();
            let complete = live.complete_until();
            self.apply_settings_at(complete);
            self.engine.tick(complete, &mut self.out);
            self.close_groups();
            let now = super::wall_clock();
            if now >= counted + COUNTERS_EVERY {
                counted = now;
                self.telemetry.engine(self.engine.counters());
            }
            self.tell_streams();
        }
        let mut frames = Frames::default();
        live.stop(&mut |seen| self.see(&interfaces, &mut frames, seen));
        self.telemetry.frames(frames.count, frames.last);
        Ok(Ended::Complete)
    }

    #[cfg(feature = "live")]
    #[inline]
    fn see(&mut self, interfaces: &[String], frames: &mut Frames, seen: Seen<'_>) {
        match seen {
            Seen::Frame(interface, frame) => {
                frames.count += 1;
                frames.last = frame.at;
                self.telemetry.progress().step();
                self.fail_point.pass();
                self.apply_settings_at(frame.at);
                self.engine.from_source(interface);
                self.engine.frame(frame.at, frame.link, frame.bytes, frame.wire_len as usize, &mut self.out);
            }
            Seen::Lost(interface, loss) => {
                self.engine.missed(interface, loss.from, loss.until, loss.missed);
                self.telemetry.missed(interface, loss.missed);
            }
            Seen::Refused(interface, count) => {
                self.engine.from_source(interface);
                self.engine.refused_times(count);
                self.telemetry.refused_times(count);
            }
            Seen::Link(interface, up) => super::print_status(format_args!(
                "{} {}",
                interfaces.get(interface).map_or("", String::as_str),
                if up { "is up again" } else { "is down; nothing is captured until it is up again" }
            )),
        }
    }

    /// Hands over the groups of intervals that have ended since the last call.
    #[inline]
    fn close_groups(&mut self) {
        let mut groups = Vec::new();
        self.out.groups.close_before(self.engine.interval_end(), &mut |group| groups.push(group));
        if !groups.is_empty() {
            self.out.hand_over_groups(groups);
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Streams as telemetry shows them, when they may have changed.
    #[inline]
    fn tell_streams(&mut self) {
        if std::mem::take(&mut self.out.news) {
            self.telemetry.streams(self.engine.active_streams());
            self.telemetry.related(self.engine.relations());
        }
    }
}

impl Sink for EventRouter {
    fn push(&mut self, event: Event) {
        self.news = true;
        let progress = self.telemetry.progress();
        progress.step();
        let trunk = trunk(&self.labels, &event);
        self.live.publish(&event, trunk.name);
        let mut full = Vec::new();
        self.groups.event(&event, trunk, &mut |group| full.push(group));
        if let Event::Capture(capture) = &event {
            self.captured(capture);
        }
        self.emergency.see(&event);
        if let Some(record) = Record::from_event(event) {
            self.hand_over(record);
        }
        if !full.is_empty() {
            self.hand_over_groups(full);
        }
    }
}

impl EventRouter {
    /// An interval of the capture ended: what changed about it is logged once.
    fn captured(&mut self, capture: &CaptureInterval) {
        if let Some(alerts) = &self.alerts {
            alerts.send(OwnedInput::Capture(CaptureSums::from(capture)));
        }
        // Counts are on the row of the first interface.
        if std::mem::replace(&mut self.captured_from, capture.start) == capture.start {
            return;
        }
        let findings = capture.condition.findings();
        for (code, text) in findings.iter().filter(|(code, _)| !self.findings.contains(code)) {
            warn!(finding = *code, "this capture {text}; `auscult doctor` says what to do");
        }
        // These happen at one moment and do not last.
        let lasts = |code: &&&str| !matches!(**code, "blackout" | "clock_steps");
        for code in self.findings.iter().filter(|old| !findings.iter().any(|(code, _)| code == *old)).filter(lasts) {
            info!(finding = *code, "the capture has this finding no more");
        }
        self.findings = findings.into_iter().map(|(code, _)| code).collect();
    }

    #[cold]
    fn hand_over_groups(&mut self, groups: Vec<Group>) {
        self.telemetry.grouped_as_other(self.groups.in_other());
        for group in groups {
            self.live.publish_group(&group);
            if let Some(alerts) = &self.alerts {
                alerts.send(match &group {
                    Group::Media(group) => OwnedInput::Media(group.clone()),
                    Group::Calls(group) => OwnedInput::Calls(group.clone()),
                });
            }
            self.hand_over(group.into());
        }
    }

    fn hand_over(&mut self, record: Record) {
        let progress = self.telemetry.progress();
        if self.stored.as_ref().is_some_and(|stored| stored.has(&record)) {
            return;
        }
        if self.waits && self.sender.is_behind(REPLAY_DEPTH) {
            progress.begins(Doing::Waiting);
            while self.sender.is_behind(REPLAY_DEPTH) && (self.last_wait_ms > 0 || !self.stop.load(Ordering::Relaxed)) {
                std::thread::sleep(Duration::from_millis(1));
                self.last_wait_ms = self.last_wait_ms.saturating_sub(1);
            }
            progress.begins(Doing::Measuring);
        }
        if self.relabel {
            self.relabel = !self.sender.relabel(&self.labels);
            if self.relabel {
                // Behind the new labels, or not at all: a row must not have the old trunk where the page has the new one.
                return self.sender.refuse(&record);
            }
        }
        self.sender.try_send_of(self.emergency.kind(&record), record);
    }
}

/// Frames handed to the engine, and the time of the last of them.
#[cfg(feature = "live")]
struct Frames {
    count: u64,
    last: Timestamp,
}

#[cfg(feature = "live")]
impl Default for Frames {
    fn default() -> Frames {
        Frames { count: 0, last: Timestamp::MIN }
    }
}

/// The trunk of an event.
pub(super) fn trunk<'a>(labels: &'a Labels, event: &Event) -> TrunkMatch<'a> {
    match event {
        Event::CallChanged(call) | Event::CallEnded(call) => labels.trunk_of_call(call),
        Event::StreamStarted(stream) | Event::StreamEnded(stream) => labels.trunk_of(stream.src, stream.dst),
        Event::Interval(interval) => labels.trunk_of(interval.src, interval.dst),
        Event::SipMessage(_) | Event::Rtcp(_) | Event::Capture(_) => TrunkMatch::default(),
    }
}

/// What is said while a replay runs: a bar on a terminal, a line now and then elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    began: Timestamp,
    said: Timestamp,
}

/// Time between two lines where there is no terminal.
const SAY_EVERY: Nanos = Nanos::from_secs(5);

impl Progress {
    fn new(replay: &Replay) -> Progress {
        let total = replay.timeline.position().1;
        let size = total.map_or_else(String::new, |bytes| format!(", {}", HumanBytes(bytes)));
        let (n, pace) = (replay.files, if replay.real_pace { " as fast as it was recorded" } else { "" });
        super::print_status(format_args!("replaying {n} capture{}{size}{pace}", if n == 1 { "" } else { "s" }));
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("replaying {wide_bar} {bytes}/{total_bytes} {eta}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            total.map_or_else(ProgressBar::new_spinner, ProgressBar::new).with_style(style)
        });
        let now = super::wall_clock();
        Progress { bar, began: now, said: now }
    }

    fn at(&mut self, (read, total): (u64, Option<u64>)) {
        if let Some(bar) = &self.bar {
            return bar.set_position(read);
        }
        let now = super::wall_clock();
        if now - self.said < SAY_EVERY {
            return;
        }
        self.said = now;
        match total {
            Some(total) if total > 0 => {
                super::print_status(format_args!("replayed {} %", read.min(total) * 100 / total))
            }
            _ => super::print_status(format_args!("replayed {}", HumanBytes(read))),
        }
    }

    /// `frames` when all were read.
    fn end(&self, frames: Option<u64>) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if let Some(frames) = frames {
            let took = (super::wall_clock() - self.began).as_secs_f64();
            super::print_status(format_args!("replayed {frames} frames in {took:.1} s"));
        }
    }
}

#[cfg(all(test, feature = "live"))]
mod tests {
    use super::super::live_source::tests::{TAKEN_AT_ONCE, pouring};
    use super::*;
    use auscult_store::{Backend, StoreOptions, StoreWriter};
    use std::sync::atomic::AtomicU64;

    /// The measuring thread with a store that never answers.
    fn feed(dir: &std::path::Path) -> (CaptureLoop, Arc<ProgramTelemetry>, StoreWriter) {
        let config = Config::default_config().unwrap();
        let nobody = Backend::Server {
            url: "http://127.0.0.1:1".to_owned(),
            user: String::new(),
            password: String::new(),
            database: "auscult".to_owned(),
            cluster: None,
            tls: Default::default(),
        };
        let options = StoreOptions::new(crate::app::wall_clock);
        let (sender, writer) = StoreWriter::start(nobody.open().unwrap(), dir, config.labels.clone(), options).unwrap();
        let telemetry = Arc::new(ProgramTelemetry::new(writer.counters(), writer.disk(), &config));
        let live = Arc::new(LiveFeed::new(&config.limits));
        let consumers = Consumers { sender, live, telemetry: telemetry.clone() };
        (CaptureLoop::new(&config, consumers, None, Arc::default()), telemetry, writer)
    }

    /// Shutting down costs what is queued, however much still comes: a second at most for a queue of the usual size.
    #[test]
    fn what_still_pours_in_after_the_signal_is_left_and_what_was_queued_is_measured() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _inside = runtime.enter();
        let dir = tempfile::tempdir().unwrap();
        let (feed, telemetry, _writer) = feed(dir.path());
        let stop = feed.stop_handle();
        let made = Arc::new(AtomicU64::new(0));
        let workers = 2;
        let (source, queues_hold) = pouring(workers, &made);
        let measuring = std::thread::spawn(move || feed.run(Source::Live(source)));
        while telemetry.frames_read() < 10 * TAKEN_AT_ONCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
        let made_before = made.load(Ordering::Relaxed);
        assert_eq!(measuring.join().unwrap().unwrap(), Ended::Complete);
        let (read, made) = (telemetry.frames_read(), made.load(Ordering::Relaxed));
        assert_eq!(read, made, "frames that were handed over are measured");
        // The queues may fill up, and again by what is taken from them before the mark is seen, and each worker ends
        // the batch it is at.
        let after = queues_hold + TAKEN_AT_ONCE + 256 * workers as u64;
        assert!(
            read - made_before <= after,
            "{} frames after the signal, {after} were to be expected",
            read - made_before
        );
    }
}
