//! Rings of several interfaces and workers into one bounded queue of batches.
//!
//! Each worker empties its ring on its own thread and never waits: when the queue is full, the batch is dropped and
//! its frames are counted as missed by the queue, on the rows of that interval.

use super::config;
use crate::capture::live::{CaptureCounters, LiveCapture, LiveConfig, LiveWorker, StopHandle};
use crate::capture::{CaptureError, Frame, drop_privileges};
use crate::engine::Missed;
use crate::model::TimestampSource;
use crate::units::Timestamp;
use crate::wire::LinkType;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Batches in flight; with [`BATCH_FRAMES`] about a second of a busy gigabit port.
const QUEUE: usize = 1024;
const BATCH_FRAMES: usize = 256;

pub struct LiveSource {
    name: String,
    stamped_by: TimestampSource,
    resolution_ns: u32,
    batches: Receiver<Result<Batch, CaptureError>>,
    stops: Vec<StopHandle>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// Frames copied out of a ring, and what was missed since the batch before.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    frames: Vec<Meta>,
    pub missed: Missed,
}

struct Meta {
    at: Timestamp,
    link: LinkType,
    end: usize,
    wire_len: u32,
}

impl Batch {
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let starts = std::iter::once(0).chain(self.frames.iter().map(|f| f.end));
        self.frames.iter().zip(starts).map(|(f, start)| Frame {
            at: f.at,
            link: f.link,
            interface: 0,
            bytes: self.bytes.get(start..f.end).unwrap_or_default(),
            wire_len: f.wire_len,
        })
    }

    fn push(&mut self, frame: &Frame<'_>) {
        self.bytes.extend_from_slice(frame.bytes);
        self.frames.push(Meta { at: frame.at, link: frame.link, end: self.bytes.len(), wire_len: frame.wire_len });
    }
}

impl LiveSource {
    /// Opens all interfaces, gives up privileges, then starts the threads.
    pub fn open(capture: &config::Capture) -> anyhow::Result<LiveSource> {
        let mut workers = Vec::new();
        for interface in &capture.interfaces {
            let mut config = LiveConfig::new(interface);
            config.promiscuous = capture.promiscuous;
            config.filter = capture.filter.clone();
            config.ring_bytes = capture.ring_bytes.unwrap_or(config.ring_bytes);
            config.snap_len = capture.snap_len.unwrap_or(config.snap_len);
            config.adapter_stamps = capture.adapter_stamps;
            workers.extend(LiveCapture::open(&config)?);
        }
        if let Some(user) = &capture.user {
            drop_privileges(user)?;
        }
        let resolution_ns = workers.iter().map(LiveWorker::resolution_ns).max().unwrap_or(1);
        let stops = workers.iter().map(LiveWorker::stop_handle).collect();
        let (sender, batches) = sync_channel(QUEUE);
        let mut threads = Vec::new();
        for (i, worker) in workers.into_iter().enumerate() {
            let sender = sender.clone();
            threads.push(std::thread::Builder::new().name(format!("ring-{i}")).spawn(move || empty(worker, &sender))?);
        }
        let stamped_by = if capture.adapter_stamps { TimestampSource::Adapter } else { TimestampSource::Kernel };
        Ok(LiveSource { name: capture.interfaces.join(","), stamped_by, resolution_ns, batches, stops, threads })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn stamped_by(&self) -> TimestampSource {
        self.stamped_by
    }

    pub fn resolution_ns(&self) -> u32 {
        self.resolution_ns
    }

    /// The next batch, or an empty one after `wait`.
    pub fn next_batch(&mut self, wait: Duration) -> Result<Batch, CaptureError> {
        match self.batches.recv_timeout(wait) {
            Ok(batch) => batch,
            Err(RecvTimeoutError::Timeout) => Ok(Batch::default()),
            Err(RecvTimeoutError::Disconnected) => {
                Err(CaptureError::Live { interface: self.name.clone(), what: "all rings were closed".to_owned() })
            }
        }
    }

    /// Closes the rings; what they had handed over before is still to be measured.
    pub fn stop(self) -> Vec<Batch> {
        for stop in &self.stops {
            stop.stop();
        }
        // Ends when the last thread has left and dropped its end of the queue.
        let rest = self.batches.iter().flatten().collect();
        for thread in self.threads {
            let _ = thread.join();
        }
        rest
    }
}

/// Empties one ring until it is stopped, the program leaves, or the interface fails.
fn empty(mut worker: LiveWorker, queue: &SyncSender<Result<Batch, CaptureError>>) {
    let stop = worker.stop_handle();
    let mut unreported = Missed::default();
    while !stop.is_stopped() {
        let mut batch = Batch::default();
        let read = worker.next_batch(BATCH_FRAMES, &mut |frame| batch.push(&frame));
        let counters = worker.counters();
        let counted = match (read, counters) {
            (Ok(_), Ok(counters)) => counters,
            (Err(e), _) | (_, Err(e)) => {
                let _ = queue.send(Err(e));
                return;
            }
        };
        add(&mut unreported, &counted);
        if batch.frames.is_empty() && unreported == Missed::default() {
            continue;
        }
        batch.missed = std::mem::take(&mut unreported);
        match queue.try_send(Ok(batch)) {
            Ok(()) => {}
            Err(TrySendError::Full(Ok(batch))) => {
                unreported = batch.missed;
                unreported.queue += batch.frames.len() as u64;
            }
            Err(_) => return,
        }
    }
}

fn add(missed: &mut Missed, counted: &CaptureCounters) {
    missed.ring += counted.ring_dropped;
    missed.interface += counted.nic.map_or(0, |nic| nic.total());
}
