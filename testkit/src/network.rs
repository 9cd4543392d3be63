//! A network of its own for one thread: two ends of a cable that nobody else sees.

use std::io;
use std::process::Command;

/// Moves the calling thread, and programs it starts from now on, into a network with its own loopback interface and the
/// ends of a cable, `cable0` and `cable1`; `/sys` shows these and no others. Says why when the host has none to give.
///
/// # Errors
/// Without the right to do so, or without the program `ip`.
pub fn own_network() -> Result<(), String> {
    isolate().map_err(|e| format!("no network namespace to be had: {e}"))?;
    // Frames of the system's own making would be counted with those of the test.
    for end in ["all", "default"] {
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6"), "1");
    }
    ip("link add cable0 type veth peer name cable1")?;
    ["link set lo up", "link set cable0 up", "link set cable1 up"].into_iter().try_for_each(ip)
}

/// Runs `ip` in this network.
///
/// # Errors
/// When it is not there, or refuses.
pub fn ip(arguments: &str) -> Result<(), String> {
    let done = Command::new("ip").args(arguments.split_whitespace()).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("ip {arguments}: {status}")),
        Err(e) => Err(format!("ip: {e}")),
    }
}

fn isolate() -> io::Result<()> {
    let check = |code: libc::c_int| if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    let none = std::ptr::null();
    // SAFETY: calls that take numbers, and strings that end in zero. They change this thread only.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS))?;
        check(libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()))?;
        check(libc::mount(c"own".as_ptr(), c"/sys".as_ptr(), c"sysfs".as_ptr(), 0, none.cast()))
    }
}
