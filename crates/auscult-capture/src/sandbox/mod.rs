//! What the process may still do once its sockets are open: no capabilities, no new privileges, Landlock for files and
//! ports, seccomp for system calls.
//!
//! [`enter`] is called after sockets are open and before there are threads: capabilities, Landlock and seccomp belong to
//! threads, and a thread inherits those of the thread that starts it. So the threads of the embedded engine have them too.
//! [`restrict_thread`] narrows the capture threads and the measuring thread further.
//!
//! The process has a list of what is refused ([`seccomp::refused_to_all`]): which calls the engine library makes depends on its
//! version and on the statement, and a call that it misses fails a query or an insert. The threads of this program that
//! read a stranger's bytes have a list of what they may do ([`seccomp::allowed_to`]): these are few calls, all of them known.
//! What is refused fails with EPERM and ends nothing.

mod files;
mod seccomp;

use super::{CaptureError, privileges};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub use files::kept_narrow;

/// Files and directories (with all that is below them) that stay open to the process. Those that are not there are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// To read, to write, to create in and to remove from.
    pub write: Vec<PathBuf>,
    /// To read.
    pub read: Vec<PathBuf>,
}

/// What this kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// Version of Landlock's interface: files from 1, binding TCP ports from 4, signals and abstract sockets from 6. 0 is none.
    pub landlock_abi: i32,
    pub seccomp: bool,
}

impl Support {
    /// Asks the kernel.
    pub fn of_this_kernel() -> Support {
        Support { landlock_abi: files::landlock_abi(), seccomp: seccomp::is_there() }
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.landlock_abi {
            0 => f.write_str("no Landlock (version 2) in this kernel, so files are not restricted")?,
            abi @ 1..4 => write!(f, "Landlock {abi} (files)")?,
            abi @ 4..6 => write!(f, "Landlock {abi} (files, ports)")?,
            abi => write!(f, "Landlock {abi} (files, ports, signals)")?,
        }
        f.write_str(if self.seccomp {
            ", seccomp"
        } else {
            ", no seccomp in this kernel, so system calls are not restricted"
        })
    }
}

/// A thread that may do less than the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadKind {
    /// Empties a ring that is open.
    Capture,
    /// Measures frames that other threads bring.
    Measuring,
    /// Measures frames of capture files, which it opens to read and has unpacked by threads of its own.
    Replay,
}

static ENTERED: AtomicBool = AtomicBool::new(false);

/// Whether [`enter`] was called in this process.
pub fn is_entered() -> bool {
    ENTERED.load(Relaxed)
}

/// Gives up all capabilities and the way to new ones, closes all files but those of `access`, all TCP ports to bind, other
/// processes, and the system calls that nothing in this program needs; for good, and for all threads started from now on.
/// Returns what the kernel had of it; an older kernel is no error.
///
/// # Errors
/// [`CaptureError::Sandbox`] when the kernel offers a part of it and refuses it. The program must not go on then.
pub fn enter(access: &Access) -> Result<Support, CaptureError> {
    let refused = |what: String| CaptureError::Sandbox { what };
    privileges::give_up_capabilities().map_err(refused)?;
    let support = Support::of_this_kernel();
    if support.landlock_abi > 0 {
        files::restrict(access).map_err(|e| refused(format!("Landlock: {e}")))?;
    }
    if support.seccomp {
        seccomp::restrict_process().map_err(|e| refused(format!("seccomp: {e}")))?;
    }
    ENTERED.store(true, Relaxed);
    Ok(support)
}

/// Narrows the calling thread, and those it will start, to what its kind needs. Does nothing in a process that is in no sandbox.
///
/// # Errors
/// [`CaptureError::Sandbox`] when the kernel refuses it.
pub fn restrict_thread(kind: ThreadKind) -> Result<(), CaptureError> {
    if !is_entered() || !seccomp::is_there() {
        return Ok(());
    }
    seccomp::restrict_thread(kind).map_err(|e| CaptureError::Sandbox { what: format!("seccomp: {e}") })
}
