//! Giving up what opening an interface needed, once it is open.

use super::CaptureError;
use std::ffi::{CString, c_ulong};
use std::io;
use std::mem::MaybeUninit;

/// Highest capability number asked for; the kernel refuses those it does not have.
const CAPABILITIES: c_ulong = 64;

/// Becomes an ordinary user for good: no capability, no other group, and no way to get any of it back by starting a
/// program. For root this is the change to `user`; for a program with file capabilities, already that user, it is
/// giving up the capabilities.
///
/// To be called after the sockets are open and before other threads are started: capabilities belong to threads.
///
/// # Errors
/// [`CaptureError::Privileges`] when there is no such user, when only root could change to it, and when the system
/// refuses a step. The program must not go on then.
pub fn drop_privileges(user: &str) -> Result<(), CaptureError> {
    let refused = |what: String| CaptureError::Privileges { user: user.to_owned(), what };
    let account = account(user).map_err(refused)?;
    if account.uid == 0 {
        return Err(refused("that is root".to_owned()));
    }
    // SAFETY: calls that take and return numbers.
    let (real, effective) = unsafe { (libc::getuid(), libc::geteuid()) };
    no_new_privileges().map_err(|e| refused(format!("no_new_privs: {e}")))?;
    if effective == 0 {
        bound_capabilities().map_err(|e| refused(format!("bounding capabilities: {e}")))?;
        change_to(&account).map_err(|e| refused(format!("changing to it: {e}")))?;
    } else if real != account.uid {
        return Err(refused("only root can change to another user".to_owned()));
    }
    clear_capabilities().map_err(|e| refused(format!("clearing capabilities: {e}")))?;
    // SAFETY: a call that takes and returns numbers.
    if unsafe { libc::setuid(0) } == 0 {
        return Err(refused("root could be had back".to_owned()));
    }
    Ok(())
}

/// Empties every set of capabilities of this thread, for good: the one that started programs could ever get, too, where the
/// program may change it. A program that may not has no way to start one with more (`no_new_privs`).
pub(super) fn give_up_capabilities() -> Result<(), String> {
    no_new_privileges().map_err(|e| format!("no_new_privs: {e}"))?;
    match bound_capabilities() {
        Err(e) if e.raw_os_error() != Some(libc::EPERM) => return Err(format!("bounding capabilities: {e}")),
        _ => {}
    }
    clear_capabilities().map_err(|e| format!("clearing capabilities: {e}"))
}

struct Account {
    uid: libc::uid_t,
    gid: libc::gid_t,
}

fn account(user: &str) -> Result<Account, String> {
    const LARGEST: usize = 1024 * 1024;
    let name = CString::new(user).map_err(|_| "no such user".to_owned())?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers are to live values, and the length is that of the buffer.
        let code = unsafe {
            libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &raw mut found)
        };
        match code {
            libc::ERANGE if buffer.len() < LARGEST => buffer.resize(buffer.len() * 2, 0),
            0 if found.is_null() => return Err("no such user".to_owned()),
            0 => {
                // SAFETY: found is set, so the entry is filled in.
                let entry = unsafe { entry.assume_init() };
                return Ok(Account { uid: entry.pw_uid, gid: entry.pw_gid });
            }
            code => return Err(io::Error::from_raw_os_error(code).to_string()),
        }
    }
}

/// Only the group of the account, then its user: saved and effective ones too, in all threads.
fn change_to(account: &Account) -> io::Result<()> {
    let Account { uid, gid } = *account;
    // SAFETY: calls that take numbers, but for one group read from where it is.
    let done = unsafe {
        libc::setgroups(1, &raw const gid) == 0
            && libc::setresgid(gid, gid, gid) == 0
            && libc::setresuid(uid, uid, uid) == 0
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn no_new_privileges() -> io::Result<()> {
    // SAFETY: a call that takes numbers.
    match unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as c_ulong, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes every capability out of the set that started programs could ever get.
fn bound_capabilities() -> io::Result<()> {
    for capability in 0..CAPABILITIES {
        // SAFETY: a call that takes numbers.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            let e = io::Error::last_os_error();
            match e.raw_os_error() {
                Some(libc::EINVAL) => break,
                _ => return Err(e),
            }
        }
    }
    Ok(())
}

/// Empties the effective, permitted and inheritable sets of this thread.
fn clear_capabilities() -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`: two words of 32 capabilities for each of the three sets.
    const VERSION: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION, 0];
    let sets = [0u32; 6];
    // SAFETY: both point to as many words as this version of the call reads.
    match unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
