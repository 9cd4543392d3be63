//! Disk space: what the store takes, what the file system has left, and which rows are refused for it.
//!
//! Details (intervals, messages, reports) are refused first, calls and streams last; nothing that is stored is deleted:
//! that is retention's part. Refused rows are counted.

use super::counters::DropReason;
use crate::rows::Table;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Time between two looks at the least; a look takes no more than a twentieth of the time.
const EVERY: Duration = Duration::from_secs(5);

/// Time between checks whether the writer is still there.
const NAP: Duration = Duration::from_millis(250);

/// Measures what is used and free.
pub type Measure = dyn Fn(&DiskLimits) -> io::Result<DiskUse> + Send + Sync;

/// Bounds of disk space.
#[derive(Clone)]
pub struct DiskLimits {
    /// Directory of the embedded store. A server's disk is its own matter.
    pub store: Option<PathBuf>,
    /// A directory on the file system that must not run full.
    pub data: PathBuf,
    /// Bytes the embedded store may take; unset, as much as there is.
    pub cap: Option<u64>,
    /// Bytes of the file system that stay free of details; calls and streams are refused below a quarter of it.
    pub keep_free: u64,
    /// How both are measured.
    pub measure: Arc<Measure>,
    /// Time between two looks.
    pub every: Duration,
}

impl DiskLimits {
    pub fn new(store: Option<PathBuf>, data: PathBuf, cap: Option<u64>, keep_free: u64) -> DiskLimits {
        DiskLimits { store, data, cap, keep_free, measure: Arc::new(measure_disk), every: EVERY }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskUse {
    /// Bytes the embedded store takes on disk.
    pub store: u64,
    /// Bytes that this user may still write.
    pub free: u64,
}

/// Which rows are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    Open,
    /// Only calls and streams are taken: the store has reached its cap.
    DetailsOverCap,
    /// Only calls and streams are taken: the file system is nearly full.
    DetailsDiskFull,
    /// Nothing is taken: the store is beyond its cap by more than a twentieth.
    AllOverCap,
    /// Nothing is taken: the file system is full but for a rest.
    AllDiskFull,
}

impl Stage {
    const ALL: [Stage; 5] =
        [Stage::Open, Stage::DetailsOverCap, Stage::DetailsDiskFull, Stage::AllOverCap, Stage::AllDiskFull];

    /// The stage that follows from a measurement. What was refused is taken again only a twentieth below the bound, so
    /// that the stage does not change with every batch.
    pub fn of(limits: &DiskLimits, used: DiskUse, before: Stage) -> Stage {
        let over = |bound: u64, was: bool| used.store > if was { bound - bound / 20 } else { bound };
        let short = |bound: u64, was: bool| used.free < if was { bound + bound / 20 } else { bound };
        let cap = limits.cap.unwrap_or(u64::MAX);
        let (details, all) = (before != Stage::Open, matches!(before, Stage::AllOverCap | Stage::AllDiskFull));
        if short(limits.keep_free / 4, all) {
            Stage::AllDiskFull
        } else if over(cap.saturating_add(cap / 20), all) {
            Stage::AllOverCap
        } else if short(limits.keep_free, details) {
            Stage::DetailsDiskFull
        } else if over(cap, details) {
            Stage::DetailsOverCap
        } else {
            Stage::Open
        }
    }

    /// Why rows of a table are refused; `None` while they are taken.
    pub fn reason(self, table: Table) -> Option<DropReason> {
        match self {
            Stage::Open => None,
            Stage::DetailsOverCap => (!table.is_summary()).then_some(DropReason::StoreCap),
            Stage::DetailsDiskFull => (!table.is_summary()).then_some(DropReason::DiskFull),
            Stage::AllOverCap => Some(DropReason::StoreCap),
            Stage::AllDiskFull => Some(DropReason::DiskFull),
        }
    }

    pub fn refuses(self, table: Table) -> bool {
        self.reason(table).is_some()
    }
}

/// The stage of this moment and the figures behind it.
#[derive(Debug, Default)]
pub struct DiskState {
    stage: AtomicU8,
    store: AtomicU64,
    free: AtomicU64,
}

impl DiskState {
    pub fn stage(&self) -> Stage {
        Stage::ALL.get(usize::from(self.stage.load(Relaxed))).copied().unwrap_or_default()
    }

    /// The last measurement; zeros before the first.
    pub fn used(&self) -> DiskUse {
        DiskUse { store: self.store.load(Relaxed), free: self.free.load(Relaxed) }
    }

    /// Why rows are refused now, with figures and what to do; `None` while all are taken.
    pub fn problem(&self) -> Option<String> {
        let DiskUse { store, free } = self.used();
        let (what, which) = match self.stage() {
            Stage::Open => return None,
            Stage::DetailsOverCap => (false, "rows of intervals, messages and reports are dropped"),
            Stage::DetailsDiskFull => (true, "rows of intervals, messages and reports are dropped"),
            Stage::AllOverCap => (false, "all rows are dropped"),
            Stage::AllDiskFull => (true, "all rows are dropped"),
        };
        let mib = |bytes: u64| bytes >> 20;
        Some(match what {
            true => format!(
                "{} MiB are free on the file system of store.data: {which}; make space or shorten retention",
                mib(free)
            ),
            false => format!(
                "the store takes {} MiB, more than store.disk_mib: {which}; raise it or shorten retention",
                mib(store)
            ),
        })
    }

    /// Takes a measurement over; says whether the stage changed.
    fn set(&self, limits: &DiskLimits, used: DiskUse) -> bool {
        self.store.store(used.store, Relaxed);
        self.free.store(used.free, Relaxed);
        let stage = Stage::of(limits, used, self.stage());
        self.stage.swap(stage as u8, Relaxed) != stage as u8
    }
}

/// Measures by the file system: the sizes of all files below the store's directory, and what is free for this user.
pub fn measure_disk(limits: &DiskLimits) -> io::Result<DiskUse> {
    let about = rustix::fs::statvfs(&limits.data)?;
    let store = match (&limits.store, limits.cap) {
        (Some(dir), Some(_)) => bytes_below(dir),
        _ => 0,
    };
    Ok(DiskUse { store, free: about.f_bavail.saturating_mul(about.f_frsize) })
}

/// Bytes on disk of the files below a directory. Files that vanish meanwhile (merges remove parts) count as nothing.
fn bytes_below(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    let mut left = vec![dir.to_path_buf()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(about) if about.is_dir() => left.push(entry.path()),
                Ok(about) => total += about.blocks() * 512,
                Err(_) => {}
            }
        }
    }
    total
}

/// Looks at the disk until the writer is gone.
#[allow(clippy::disallowed_methods, reason = "time between looks at the real disk")]
pub(super) fn watch(state: Weak<DiskState>, limits: DiskLimits) {
    let look = move || {
        let mut next = Instant::now();
        loop {
            let Some(state) = state.upgrade() else { return };
            let began = Instant::now();
            if began >= next {
                match (limits.measure)(&limits) {
                    Ok(used) => {
                        if state.set(&limits, used) {
                            match state.problem() {
                                Some(problem) => tracing::error!("{problem}"),
                                None => tracing::info!("there is disk space again, all rows are taken"),
                            }
                        }
                    }
                    Err(error) => tracing::warn!(%error, "cannot ask the file system for its free space"),
                }
                next = began + limits.every.max(began.elapsed() * 20);
            }
            drop(state);
            std::thread::sleep(NAP.min(limits.every));
        }
    };
    if let Err(error) = std::thread::Builder::new().name("store-disk".to_owned()).spawn(look) {
        tracing::error!(%error, "cannot watch the disk space");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn limits(cap: Option<u64>) -> DiskLimits {
        DiskLimits::new(Some("/store".into()), "/".into(), cap, 1000 * MIB)
    }

    #[test]
    fn details_go_first_and_come_back_later() {
        let limits = limits(Some(2000 * MIB));
        let mut stage = Stage::Open;
        for (store, free, expected) in [
            (2000, 9000, Stage::Open),
            (2001, 9000, Stage::DetailsOverCap),
            (1950, 9000, Stage::DetailsOverCap),
            (1900, 9000, Stage::Open),
            (2101, 9000, Stage::AllOverCap),
            (2050, 9000, Stage::AllOverCap),
            (1990, 9000, Stage::DetailsOverCap),
            (100, 999, Stage::DetailsDiskFull),
            (100, 1040, Stage::DetailsDiskFull),
            (100, 249, Stage::AllDiskFull),
            (100, 255, Stage::AllDiskFull),
            (100, 300, Stage::DetailsDiskFull),
            (100, 1051, Stage::Open),
        ] {
            stage = Stage::of(&limits, DiskUse { store: store * MIB, free: free * MIB }, stage);
            assert_eq!(stage, expected, "{store} MiB stored, {free} MiB free");
        }
    }

    #[test]
    fn without_a_cap_only_the_free_space_counts() {
        let used = DiskUse { store: u64::MAX, free: 2000 * MIB };
        assert_eq!(Stage::of(&limits(None), used, Stage::Open), Stage::Open);
    }

    #[test]
    fn calls_and_streams_are_taken_while_details_are_not() {
        assert_eq!(Stage::DetailsOverCap.reason(Table::SipMessages), Some(DropReason::StoreCap));
        assert_eq!(Stage::DetailsDiskFull.reason(Table::CaptureIntervals), Some(DropReason::DiskFull));
        assert_eq!(Stage::DetailsDiskFull.reason(Table::Calls), None);
        assert_eq!(Stage::AllDiskFull.reason(Table::Calls), Some(DropReason::DiskFull));
        assert_eq!(Stage::AllOverCap.reason(Table::Streams), Some(DropReason::StoreCap));
    }

    #[test]
    fn a_directory_is_measured_with_all_below_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/one"), vec![1; 300_000]).unwrap();
        std::fs::write(dir.path().join("two"), vec![1; 100_000]).unwrap();
        let limits = DiskLimits::new(Some(dir.path().into()), dir.path().into(), Some(MIB), 0);
        let used = measure_disk(&limits).unwrap();
        assert!((400_000..500_000).contains(&used.store) && used.free > 0, "{used:?}");
    }
}
