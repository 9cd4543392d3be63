//! CPU time and memory of this process, from the kernel.

use rustix::time::{ClockId, clock_gettime};

/// CPU time of all threads so far, in seconds.
pub fn cpu() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

/// Bytes in memory now.
pub fn resident() -> u64 {
    status("VmRSS:")
}

/// Most bytes in memory so far.
pub fn peak() -> u64 {
    status("VmHWM:")
}

fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}
