//! Bytes looked at by the scanners of text and streams, counted in tests only: what one message costs must grow with its
//! length and not with its square. In a build without tests it is nothing.

#[cfg(test)]
thread_local! {
    static SCANNED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Notes that `bytes` bytes were looked at.
#[inline(always)]
pub(super) fn scanned(bytes: usize) {
    #[cfg(test)]
    SCANNED.with(|total| total.set(total.get() + bytes as u64));
    #[cfg(not(test))]
    let _ = bytes;
}

/// Bytes that this thread looked at inside of `work`.
#[cfg(test)]
pub(crate) fn scanned_by(work: impl FnOnce()) -> u64 {
    let total = || SCANNED.with(std::cell::Cell::get);
    let before = total();
    work();
    total() - before
}
