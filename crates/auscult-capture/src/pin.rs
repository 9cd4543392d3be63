//! Threads bound to processors.

use super::CaptureError;
use std::io;
use std::mem;

/// Checks that a thread of this program may be bound to a processor.
///
/// # Errors
/// [`CaptureError::Cpu`] with the processors there are.
pub fn may_run_on(cpu: usize) -> Result<(), CaptureError> {
    let allowed = allowed().map_err(|e| CaptureError::Cpu { cpu, what: e.to_string() })?;
    if allowed.contains(&cpu) {
        return Ok(());
    }
    let list = allowed.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    Err(CaptureError::Cpu { cpu, what: format!("this program may use {list}") })
}

/// Binds the calling thread to a processor.
///
/// # Errors
/// [`CaptureError::Cpu`] when the system refuses.
pub fn run_on(cpu: usize) -> Result<(), CaptureError> {
    may_run_on(cpu)?;
    // SAFETY: a set of bits may be all zero, and `cpu` was found in such a set.
    let set = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        set
    };
    // SAFETY: the set is as long as is said; 0 is the calling thread.
    match unsafe { libc::sched_setaffinity(0, mem::size_of::<libc::cpu_set_t>(), &raw const set) } {
        0 => Ok(()),
        _ => Err(CaptureError::Cpu { cpu, what: io::Error::last_os_error().to_string() }),
    }
}

fn allowed() -> io::Result<Vec<usize>> {
    // SAFETY: a set of bits may be all zero, the call fills it in, and every number asked for is within it.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        if libc::sched_getaffinity(0, mem::size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &set)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_goes_where_it_is_sent_and_nowhere_else() {
        std::thread::spawn(|| {
            let there = allowed().expect("a set");
            let last = *there.last().expect("at least one");
            run_on(last).expect("one of ours");
            assert_eq!(allowed().expect("a set"), [last]);
            let refused = run_on(5000).expect_err("no such processor").to_string();
            assert_eq!(refused, format!("cannot run a thread on CPU 5000: this program may use {last}"));
        })
        .join()
        .expect("a thread");
    }
}
