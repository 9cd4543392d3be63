//! Bulk streams onto a real wire, each packet at its time: a packet socket and `sendmmsg`.

use crate::bulk::Streams;
use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Frames handed to the kernel in one call.
const AT_ONCE: usize = 32;
/// Nothing is sent earlier than its time; a sleep shorter than this is not worth it.
const NAP: Duration = Duration::from_micros(300);

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub frames: u64,
    /// Times the kernel had no room and a frame was tried again.
    pub retries: u64,
    /// The latest that a frame was.
    pub late_max: Duration,
    pub took: Duration,
}

/// A packet socket that only sends.
pub struct Wire(OwnedFd);

impl Wire {
    /// # Errors
    /// Without such an interface, or the right to open packet sockets.
    pub fn open(interface: &str) -> io::Result<Wire> {
        let name = CString::new(interface)?;
        // SAFETY: the name ends in zero.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: numbers in, a new descriptor or -1 out.
        let wire = unsafe {
            let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Wire(OwnedFd::from_raw_fd(fd))
        };
        // SAFETY: an address of numbers may be all zero, and the length given is its own.
        let bound = unsafe {
            let mut address: libc::sockaddr_ll = mem::zeroed();
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_ifindex = index.cast_signed();
            let len = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            libc::bind(wire.0.as_raw_fd(), (&raw const address).cast(), len)
        };
        if bound == 0 { Ok(wire) } else { Err(io::Error::last_os_error()) }
    }

    /// Sends frames in order, all of them; returns how often the kernel had no room for one.
    ///
    /// # Errors
    /// Any but a lack of room.
    pub fn send(&self, frames: &[&[u8]]) -> io::Result<u64> {
        let mut vectors: Vec<libc::iovec> =
            frames.iter().map(|f| libc::iovec { iov_base: f.as_ptr().cast_mut().cast(), iov_len: f.len() }).collect();
        let mut messages: Vec<libc::mmsghdr> = vectors
            .iter_mut()
            .map(|vector| {
                // SAFETY: numbers and pointers may be all zero.
                let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
                message.msg_hdr.msg_iov = vector;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        let (mut done, mut retries) = (0, 0);
        while done < messages.len() {
            let rest = &mut messages[done..];
            // SAFETY: as many messages as is said, whose vectors point to frames that outlive the call.
            let n = unsafe { libc::sendmmsg(self.0.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, 0) };
            if n >= 0 {
                done += n as usize;
                continue;
            }
            match io::Error::last_os_error() {
                e if e.raw_os_error() == Some(libc::ENOBUFS) => retries += 1,
                e if e.kind() == io::ErrorKind::Interrupted => {}
                e => return Err(e),
            }
        }
        Ok(retries)
    }
}

/// Sends all packets of a plan, each at its time since the first.
///
/// # Errors
/// As [`Wire::open`] and [`Wire::send`].
#[expect(clippy::disallowed_methods, reason = "packets go out in real time")]
pub fn send(plan: &Streams, interface: &str) -> io::Result<Sent> {
    let wire = Wire::open(interface)?;
    let mut frames = plan.frames();
    let mut sent = Sent::default();
    let begin = Instant::now();
    loop {
        let batch = frames.batch(AT_ONCE);
        let Some((first, ..)) = batch.index.first().copied() else { break };
        let due = Duration::from_nanos((first - plan.start).max(0).cast_unsigned());
        let passed = begin.elapsed();
        if due > passed + NAP {
            std::thread::sleep(due - passed);
        }
        sent.late_max = sent.late_max.max(begin.elapsed().saturating_sub(due));
        let slices: Vec<&[u8]> = batch.iter().map(|(_, bytes)| bytes).collect();
        sent.retries += wire.send(&slices)?;
        sent.frames += slices.len() as u64;
    }
    sent.took = begin.elapsed();
    Ok(sent)
}
