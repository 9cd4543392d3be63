//! Rings of several interfaces and workers into one stream of frames in order of time.
//!
//! Each worker empties its ring on its own thread and never waits: when its queue is full, the batch is dropped and its
//! frames are counted as missed by the queue, at the time they had. One thread takes the batches of all workers and
//! merges them: a frame is handed on when every other worker has one that is later, or has said that it has none that
//! is earlier. So the engine sees one order, however many workers there are, and one worker never waits for another.

use super::config;
use anyhow::bail;
use auscult_capture::live::{LiveCapture, LiveConfig, LiveWorker, StopHandle};
use auscult_capture::sandbox::{ThreadKind, restrict_thread};
use auscult_capture::{CaptureError, Frame, drop_privileges, may_run_on, run_on};
use auscult_core::engine::Missed;
use auscult_core::model::TimestampSource;
use auscult_core::units::{Nanos, Timestamp};
use auscult_core::wire::LinkType;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::Duration;

/// Frames of a batch.
const BATCH_FRAMES: usize = 256;
/// A worker has a place in its queue for each so many bytes of room, a third of a batch of G.711.
const BYTES_A_PLACE: usize = 16 << 10;
/// Batches taken before the clock is looked at.
const AT_ONCE: usize = 64;
/// Empty batches kept for the next frames, and the room one may keep.
const SPARE_BATCHES: usize = 64;
const SPARE_BYTES: usize = 1 << 20;
/// A worker that is silent for this long is not waited for; its frames then come out of order. Workers of quiet
/// interfaces say so many times a second.
const PATIENCE: Nanos = Nanos::from_secs(1);
/// More between two looks is no silence of the workers: the whole program was stopped, or the host.
const LONGEST_LOOK: Nanos = Nanos::from_millis(200);

/// What comes out of the rings, with the number of its interface.
pub enum Seen<'a> {
    Frame(usize, Frame<'a>),
    Lost(usize, Loss),
    /// So many frames were refused for their time.
    Refused(usize, u64),
    /// The interface went down, or is up again.
    Link(usize, bool),
}

/// Frames missed at some time between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    pub from: Timestamp,
    pub until: Timestamp,
    pub missed: Missed,
}

pub struct LiveSource {
    interfaces: Vec<String>,
    stamped_by: TimestampSource,
    resolution_ns: u32,
    lanes: Vec<Lane>,
    queued: Arc<AtomicUsize>,
    bell: Receiver<()>,
    stops: Vec<StopHandle>,
    threads: Vec<std::thread::JoinHandle<()>>,
    looked: Timestamp,
}

/// The reading end of one worker.
struct Lane {
    interface: usize,
    batches: Receiver<Result<Batch, CaptureError>>,
    spare: SyncSender<Batch>,
    head: Option<Batch>,
    next: usize,
    complete: Timestamp,
    /// How long it has said nothing.
    silent: Nanos,
    /// The worker is gone.
    gone: bool,
}

/// Frames copied out of a ring, and what was missed since the batch before.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    frames: Vec<Meta>,
    losses: Vec<Loss>,
    /// Frames refused for their time.
    refused: u64,
    /// All frames with an earlier time are in this batch or in those before it.
    complete: Timestamp,
    link: Option<bool>,
}

struct Meta {
    at: Timestamp,
    link: LinkType,
    start: u32,
    end: u32,
    wire_len: u32,
}

impl Batch {
    fn push(&mut self, frame: &Frame<'_>) {
        // A batch is far below 4 GiB: 256 records of at most 256 KiB.
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(frame.bytes);
        let Frame { at, link, wire_len, .. } = *frame;
        self.frames.push(Meta { at, link, start, end: self.bytes.len() as u32, wire_len });
    }

    fn frame(&self, n: usize) -> Option<Frame<'_>> {
        let Meta { at, link, start, end, wire_len } = *self.frames.get(n)?;
        Some(Frame { at, link, interface: 0, bytes: self.bytes.get(start as usize..end as usize)?, wire_len })
    }

    /// Bytes it takes up in a queue.
    fn size(&self) -> usize {
        self.bytes.len() + self.frames.len() * mem::size_of::<Meta>()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(SPARE_BYTES);
        self.frames.clear();
        self.losses.clear();
        self.refused = 0;
        self.link = None;
    }
}

/// Rings that are open and fill up, and no threads yet.
pub struct OpenRings {
    capture: config::Capture,
    workers: Vec<(usize, LiveWorker)>,
}

impl OpenRings {
    /// Opens all interfaces, then becomes the configured user. Root must become one.
    pub fn open(capture: &config::Capture) -> anyhow::Result<OpenRings> {
        if capture.user.is_none() && rustix::process::geteuid().is_root() {
            bail!(
                "live capture does not go on as root: name in capture.user whom to become once the interfaces are open, or start it as \
                 another user with cap_net_raw (`setcap cap_net_raw+ep`, or AmbientCapabilities of systemd)"
            );
        }
        for cpu in capture.cpus.iter().chain(&capture.measure_cpu) {
            may_run_on(*cpu)?;
        }
        let mut workers = Vec::new();
        for (number, interface) in capture.interfaces.iter().enumerate() {
            let mut config = LiveConfig::new(interface);
            config.workers = capture.threads;
            config.promiscuous = capture.promiscuous;
            config.filter = capture.filter.clone();
            config.ring_bytes = capture.ring_bytes.unwrap_or(config.ring_bytes);
            config.snap_len = capture.snap_len.unwrap_or(config.snap_len);
            config.adapter_stamps = capture.adapter_stamps;
            workers.extend(LiveCapture::open(&config)?.into_iter().map(|worker| (number, worker)));
        }
        if let Some(user) = &capture.user {
            drop_privileges(user)?;
        }
        Ok(OpenRings { capture: capture.clone(), workers })
    }
}

impl LiveSource {
    /// Starts a thread for each ring.
    pub fn start(OpenRings { capture, workers }: OpenRings) -> anyhow::Result<LiveSource> {
        let (ring_bell, bell) = sync_channel(1);
        let mut source = LiveSource {
            interfaces: capture.interfaces.clone(),
            stamped_by: if capture.adapter_stamps { TimestampSource::Adapter } else { TimestampSource::Kernel },
            resolution_ns: workers.iter().map(|(_, w)| w.resolution_ns()).max().unwrap_or(1),
            lanes: Vec::new(),
            queued: Arc::default(),
            bell,
            stops: workers.iter().map(|(_, w)| w.stop_handle()).collect(),
            threads: Vec::new(),
            looked: super::wall_clock(),
        };
        for (i, (interface, worker)) in workers.into_iter().enumerate() {
            let (lane, queue) = Lane::new(interface, capture.queue_bytes, &source.queued, &ring_bell);
            let speaks = source.lanes.last().is_none_or(|before| before.interface != interface);
            source.lanes.push(lane);
            let cpu = (!capture.cpus.is_empty()).then(|| capture.cpus[i % capture.cpus.len()]);
            let thread = std::thread::Builder::new().name(format!("ring-{i}"));
            source.threads.push(thread.spawn(move || empty(worker, &queue, cpu, speaks))?);
        }
        Ok(source)
    }

    pub fn interfaces(&self) -> &[String] {
        &self.interfaces
    }

    pub fn stamped_by(&self) -> TimestampSource {
        self.stamped_by
    }

    pub fn resolution_ns(&self) -> u32 {
        self.resolution_ns
    }

    /// Hands on what there is, in order of time; waits for it up to `wait`.
    pub fn take(&mut self, wait: Duration, each: &mut dyn FnMut(Seen<'_>)) -> Result<(), CaptureError> {
        let now = super::wall_clock();
        let since = (now - self.looked).clamp(Nanos::ZERO, LONGEST_LOOK);
        self.looked = now;
        for lane in self.lanes.iter_mut().filter(|lane| lane.head.is_none()) {
            lane.silent += since;
        }
        if self.merge(each)? == 0 {
            let _ = self.bell.recv_timeout(wait);
            self.merge(each)?;
        }
        // A worker ends with an error, or because it was stopped, and after a stop this is not called.
        match self.lanes.iter().position(|lane| lane.gone && lane.head.is_none()) {
            Some(lane) => Err(CaptureError::Live {
                interface: self.interfaces.get(self.lanes[lane].interface).cloned().unwrap_or_default(),
                what: super::signals::defect("its capture thread", &super::panics::last_of(&format!("ring-{lane}"))),
            }),
            None => Ok(()),
        }
    }

    /// Every frame with an earlier time was handed on.
    pub fn complete_until(&self) -> Timestamp {
        self.lanes.iter().filter(|lane| lane.counts()).map(Lane::earliest).min().unwrap_or(Timestamp::MIN)
    }

    /// Closes the rings; hands on what they had handed over before.
    pub fn stop(mut self, each: &mut dyn FnMut(Seen<'_>)) {
        for stop in &self.stops {
            stop.stop();
        }
        while self.threads.iter().any(|thread| !thread.is_finished()) {
            let _ = self.merge(each);
            std::thread::sleep(Duration::from_millis(1));
        }
        // What the queues hold is all there is, and an error of one worker changes nothing now.
        while !matches!(self.merge(each), Ok(0)) {}
    }

    /// Hands on some frames, and returns how many batches that ended.
    fn merge(&mut self, each: &mut dyn FnMut(Seen<'_>)) -> Result<usize, CaptureError> {
        let mut ended = 0;
        while ended < AT_ONCE {
            for lane in &mut self.lanes {
                lane.refill(&self.queued, each)?;
            }
            let ready = self.lanes.iter().enumerate().filter(|(_, lane)| lane.head.is_some());
            let Some((first, _)) = ready.min_by_key(|(_, lane)| lane.earliest()) else { break };
            let others = self.lanes.iter().enumerate().filter(|(i, lane)| *i != first && lane.counts());
            let limit = others.map(|(_, lane)| lane.earliest()).min().unwrap_or(Timestamp::MAX);
            let lane = &mut self.lanes[first];
            if lane.earliest() > limit {
                break;
            }
            ended += usize::from(lane.hand_on(limit, &self.queued, each));
        }
        Ok(ended)
    }
}

impl Lane {
    fn new(interface: usize, room: usize, queued: &Arc<AtomicUsize>, bell: &SyncSender<()>) -> (Lane, Queue) {
        let (sender, batches) = sync_channel(room / BYTES_A_PLACE);
        let (spare, spares) = sync_channel(SPARE_BATCHES);
        let queue = Queue { room, sender, spares, queued: queued.clone(), bell: bell.clone() };
        (
            Lane {
                interface,
                batches,
                spare,
                head: None,
                next: 0,
                complete: Timestamp::MIN,
                silent: Nanos::ZERO,
                gone: false,
            },
            queue,
        )
    }

    /// No frame that is still to come is earlier.
    fn earliest(&self) -> Timestamp {
        let next = self.head.as_ref().and_then(|head| head.frames.get(self.next));
        next.map_or(self.complete, |frame| frame.at)
    }

    /// Whether others wait for it.
    fn counts(&self) -> bool {
        self.head.is_some() || self.silent < PATIENCE
    }

    /// Takes the next batch with frames when the one before has ended.
    fn refill(&mut self, queued: &AtomicUsize, each: &mut dyn FnMut(Seen<'_>)) -> Result<(), CaptureError> {
        while self.head.is_none() {
            let batch = match self.batches.try_recv() {
                Ok(batch) => batch?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => {
                    self.complete = Timestamp::MAX;
                    self.gone = true;
                    return Ok(());
                }
            };
            self.silent = Nanos::ZERO;
            for loss in &batch.losses {
                each(Seen::Lost(self.interface, *loss));
            }
            if batch.refused > 0 {
                each(Seen::Refused(self.interface, batch.refused));
            }
            if let Some(up) = batch.link {
                each(Seen::Link(self.interface, up));
            }
            self.complete = batch.complete;
            if batch.frames.is_empty() {
                self.give_back(batch, queued);
            } else {
                self.next = 0;
                self.head = Some(batch);
            }
        }
        Ok(())
    }

    /// Frames up to a time; whether the batch has ended.
    fn hand_on(&mut self, limit: Timestamp, queued: &AtomicUsize, each: &mut dyn FnMut(Seen<'_>)) -> bool {
        let Some(batch) = self.head.take() else { return false };
        while let Some(frame) = batch.frame(self.next) {
            if frame.at > limit {
                self.head = Some(batch);
                return false;
            }
            self.next += 1;
            each(Seen::Frame(self.interface, frame));
        }
        self.give_back(batch, queued);
        true
    }

    fn give_back(&self, mut batch: Batch, queued: &AtomicUsize) {
        queued.fetch_sub(batch.size(), Relaxed);
        batch.clear();
        let _ = self.spare.try_send(batch);
    }
}

/// The writing end of one worker.
struct Queue {
    /// Bytes that all workers together may have in flight.
    room: usize,
    sender: SyncSender<Result<Batch, CaptureError>>,
    spares: Receiver<Batch>,
    queued: Arc<AtomicUsize>,
    bell: SyncSender<()>,
}

impl Queue {
    /// Hands a batch over, or gives it back when there is no room.
    fn offer(&self, batch: Batch) -> Result<(), Option<Batch>> {
        let bytes = batch.size();
        if bytes > 0 && self.queued.load(Relaxed) + bytes > self.room {
            return Err(Some(batch));
        }
        self.queued.fetch_add(bytes, Relaxed);
        let offered = self.sender.try_send(Ok(batch));
        if offered.is_err() {
            self.queued.fetch_sub(bytes, Relaxed);
        }
        // Full means that it has rung already.
        let _ = self.bell.try_send(());
        offered.map_err(|e| match e {
            TrySendError::Full(batch) => batch.ok(),
            TrySendError::Disconnected(_) => None,
        })
    }
}

/// Empties one ring until it is stopped, the program leaves, or the interface fails. One worker reports for the interface.
fn empty(mut worker: LiveWorker, queue: &Queue, cpu: Option<usize>, speaks: bool) {
    if let Err(e) = cpu.map_or(Ok(()), run_on).and_then(|()| restrict_thread(ThreadKind::Capture)) {
        let _ = queue.sender.send(Err(e));
        return;
    }
    let stop = worker.stop_handle();
    let mut unreported = Losses::default();
    let mut refused_before = 0;
    let mut up = worker.is_up();
    let mut batch = Batch::default();
    while !stop.is_stopped() {
        batch.clear();
        let read = worker.next_batch(BATCH_FRAMES, &mut |frame| batch.push(&frame));
        let read = read.and_then(|frames| Ok((frames, worker.counters()?)));
        let (frames, counted) = match read {
            Ok(read) => read,
            Err(e) => {
                let _ = queue.sender.send(Err(e));
                let _ = queue.bell.try_send(());
                return;
            }
        };
        let ring = Missed { ring: counted.ring_dropped, ..Missed::default() };
        unreported.add(Loss { from: counted.from, until: counted.until, missed: ring });
        if let Some(nic) = counted.nic {
            let interface = Missed { interface: nic.total(), ..Missed::default() };
            unreported.add(Loss { from: nic.from, until: nic.until, missed: interface });
        }
        let was = up;
        if frames == 0 {
            up = worker.is_up();
        }
        batch.losses.append(&mut unreported.0);
        batch.refused = counted.refused_times + mem::take(&mut refused_before);
        batch.complete = worker.complete_until();
        batch.link = up.filter(|_| speaks && up != was);
        match queue.offer(batch) {
            Ok(()) => batch = queue.spares.try_recv().unwrap_or_default(),
            Err(Some(refused)) => {
                unreported.0.extend(refused.losses.iter().copied());
                refused_before = refused.refused;
                let times = || refused.frames.iter().map(|f| f.at);
                if let (Some(from), Some(until)) = (times().min(), times().max()) {
                    let queue = Missed { queue: refused.frames.len() as u64, ..Missed::default() };
                    unreported.add(Loss { from, until, missed: queue });
                }
                up = if refused.link.is_some() { was } else { up };
                batch = refused;
            }
            Err(None) => return,
        }
    }
}

/// What the next batch has to say, at most one loss for each place.
#[derive(Default)]
struct Losses(Vec<Loss>);

impl Losses {
    fn add(&mut self, loss: Loss) {
        if loss.missed.total() == 0 {
            return;
        }
        let place = |m: &Missed| (m.ring > 0, m.interface > 0, m.queue > 0);
        match self.0.iter_mut().find(|l| place(&l.missed) == place(&loss.missed)) {
            Some(known) => {
                known.from = known.from.min(loss.from);
                known.until = known.until.max(loss.until);
                known.missed.add(loss.missed);
            }
            None => self.0.push(loss),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use auscult_core::wire::LinkType;
    use std::sync::atomic::AtomicU64;

    fn at(ms: i64) -> Timestamp {
        Timestamp(ms * 1_000_000)
    }

    fn batch(times: &[i64], complete: i64) -> Batch {
        let mut batch = Batch { complete: at(complete), ..Batch::default() };
        for ms in times {
            let bytes = &ms.to_be_bytes();
            batch.push(&Frame { at: at(*ms), link: LinkType(1), interface: 0, bytes, wire_len: 8 });
        }
        batch
    }

    /// A source whose workers are the test.
    fn source(workers: usize, room: usize) -> (LiveSource, Vec<Queue>) {
        let (ring_bell, bell) = sync_channel(1);
        let queued = Arc::default();
        let (lanes, queues) = (0..workers).map(|i| Lane::new(i, room, &queued, &ring_bell)).unzip();
        let source = LiveSource {
            interfaces: (0..workers).map(|i| format!("eth{i}")).collect(),
            stamped_by: TimestampSource::Kernel,
            resolution_ns: 1,
            lanes,
            queued,
            bell,
            stops: Vec::new(),
            threads: Vec::new(),
            looked: super::super::wall_clock(),
        };
        (source, queues)
    }

    /// A source of which each worker makes frames as fast as its queue takes them, until it is stopped; at most some
    /// millions, for a program that does not stop it. `made` counts those that are in a queue or were. Returns how many
    /// all queues hold, too.
    pub fn pouring(workers: usize, made: &Arc<AtomicU64>) -> (LiveSource, u64) {
        let room = 1 << 20;
        let (mut source, queues) = source(workers, room);
        let stop = StopHandle::default();
        source.stops.push(stop.clone());
        for queue in queues {
            let (stop, made) = (stop.clone(), made.clone());
            source.threads.push(std::thread::spawn(move || {
                let mut ms = 1_000_000;
                while !stop.is_stopped() && made.load(Relaxed) < 8_000_000 {
                    match queue.offer(batch(&[ms; BATCH_FRAMES], ms)) {
                        Ok(()) => {
                            made.fetch_add(BATCH_FRAMES as u64, Relaxed);
                            ms += 1;
                        }
                        Err(_) => std::thread::yield_now(),
                    }
                }
            }));
        }
        (source, (workers * (room / BYTES_A_PLACE) * BATCH_FRAMES) as u64)
    }

    /// The most frames one [`LiveSource::take`] hands on.
    pub const TAKEN_AT_ONCE: u64 = (AT_ONCE * BATCH_FRAMES) as u64;

    /// Interface and time of each frame there is.
    fn taken(source: &mut LiveSource) -> Vec<(usize, i64)> {
        let mut seen = Vec::new();
        let took = source.take(Duration::ZERO, &mut |s| {
            if let Seen::Frame(interface, frame) = s {
                assert_eq!(frame.bytes, (frame.at.0 / 1_000_000).to_be_bytes());
                seen.push((interface, frame.at.0 / 1_000_000));
            }
        });
        took.expect("no worker failed");
        seen
    }

    #[test]
    fn frames_of_several_workers_come_in_order_of_time() {
        let (mut source, queues) = source(3, 1 << 20);
        assert!(queues[0].offer(batch(&[10, 20, 30], 30)).is_ok());
        assert!(queues[1].offer(batch(&[15, 25], 25)).is_ok());
        assert_eq!(taken(&mut source), [], "the third may still have earlier ones");
        assert!(queues[2].offer(batch(&[], 22)).is_ok());
        assert_eq!(taken(&mut source), [(0, 10), (1, 15), (0, 20)]);
        assert_eq!(source.complete_until(), at(22));
        assert!(queues[2].offer(batch(&[23], 40)).is_ok());
        assert_eq!(taken(&mut source), [(2, 23), (1, 25)], "the second is complete until 25");
        assert!(queues[1].offer(batch(&[], 60)).is_ok());
        assert_eq!(taken(&mut source), [(0, 30)]);
    }

    /// Its frames would be missing without a word, and its end would be taken for the end of time.
    #[test]
    fn a_worker_that_ends_by_itself_ends_the_capture_with_an_error() {
        let (mut source, mut queues) = source(2, 1 << 20);
        assert!(queues[1].offer(batch(&[5], 5)).is_ok());
        drop(queues.pop());
        assert!(queues[0].offer(batch(&[9], 9)).is_ok());
        let mut seen = Vec::new();
        let mut each = |s: Seen<'_>| {
            if let Seen::Frame(interface, frame) = s {
                seen.push((interface, frame.at));
            }
        };
        let error = source.take(Duration::ZERO, &mut each).expect_err("a worker is gone").to_string();
        assert!(error.starts_with("cannot capture on eth1: its capture thread failed"), "{error}");
        assert_eq!(seen, [(1, at(5)), (0, at(9))], "what it had handed over is measured");
        assert!(!source.complete_until().is_measurable() || source.complete_until() <= at(9));
    }

    #[test]
    fn frames_refused_for_their_time_are_told() {
        let (mut source, queues) = source(1, 1 << 20);
        assert!(queues[0].offer(Batch { refused: 3, ..batch(&[], 6) }).is_ok());
        let mut refused = 0;
        let took = source.take(Duration::ZERO, &mut |s| {
            if let Seen::Refused(0, n) = s {
                refused += n;
            }
        });
        assert!(took.is_ok() && refused == 3);
    }

    #[test]
    fn one_worker_waits_for_nobody() {
        let (mut source, queues) = source(1, 1 << 20);
        assert!(queues[0].offer(batch(&[1, 2, 3], 3)).is_ok());
        assert_eq!(taken(&mut source).len(), 3);
        assert_eq!(source.complete_until(), at(3));
        assert_eq!(source.queued.load(Relaxed), 0);
    }

    #[test]
    fn a_worker_that_says_nothing_is_not_waited_for_and_may_come_back() {
        let (mut source, queues) = source(2, 1 << 20);
        assert!(queues[0].offer(batch(&[10, 20], 20)).is_ok());
        assert_eq!(taken(&mut source), []);
        source.lanes[1].silent = PATIENCE;
        assert_eq!(taken(&mut source), [(0, 10), (0, 20)]);
        assert_eq!(source.complete_until(), at(20));
        assert!(queues[1].offer(batch(&[12], 12)).is_ok());
        assert_eq!(taken(&mut source), [(1, 12)], "late, and handed on all the same");
        assert!(queues[0].offer(batch(&[30], 30)).is_ok());
        assert_eq!(taken(&mut source), [], "it counts again");
    }

    #[test]
    fn a_program_that_was_stopped_does_not_blame_its_workers() {
        let (mut source, queues) = source(2, 1 << 20);
        assert!(queues[0].offer(batch(&[10], 10)).is_ok());
        source.looked = source.looked - Nanos::from_secs(3600);
        assert_eq!(taken(&mut source), []);
        assert!(source.lanes[1].silent <= LONGEST_LOOK);
    }

    #[test]
    fn a_queue_without_room_gives_the_batch_back() {
        let (mut source, queues) = source(1, 64 << 10);
        let offered = std::iter::repeat_with(|| queues[0].offer(batch(&[5; 256], 5)));
        assert_eq!(offered.take(100).filter(Result::is_ok).count(), 4, "places in the queue");
        assert_eq!(taken(&mut source).len(), 4 * 256);
        let long = Batch { bytes: vec![0; 65 << 10], ..batch(&[5], 5) };
        let refused = queues[0].offer(long).expect_err("more than there is room for").expect("the batch");
        assert_eq!((refused.frames.len(), source.queued.load(Relaxed)), (1, 0));
        let losses = Batch {
            losses: vec![Loss { from: at(1), until: at(2), missed: Missed { queue: 1, ..Missed::default() } }],
            ..batch(&[], 6)
        };
        assert!(queues[0].offer(losses).is_ok());
        let mut lost = 0;
        source
            .take(Duration::ZERO, &mut |s| lost += u64::from(matches!(s, Seen::Lost(0, l) if l.missed.queue == 1)))
            .expect("taken");
        assert_eq!(lost, 1);
    }

    #[test]
    fn losses_of_one_place_become_one() {
        let mut losses = Losses::default();
        let ring = |n| Missed { ring: n, ..Missed::default() };
        losses.add(Loss { from: at(1), until: at(2), missed: ring(0) });
        losses.add(Loss { from: at(2), until: at(3), missed: ring(5) });
        losses.add(Loss { from: at(2), until: at(3), missed: Missed { queue: 1, ..Missed::default() } });
        losses.add(Loss { from: at(3), until: at(9), missed: ring(2) });
        assert_eq!(losses.0.len(), 2);
        assert_eq!(losses.0[0], Loss { from: at(2), until: at(9), missed: ring(7) });
    }
}
