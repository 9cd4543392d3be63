//! Frames from a live interface: one ring per worker, the kernel dealing flows out to them, and what was missed.
//!
//! libpcap without immediate mode uses a TPACKET_V3 ring: the kernel hands over whole blocks, at the latest after
//! [`LiveConfig::latency`]. A fan-out group gives a flow, both directions of it, one worker for life.

use super::{CaptureError, Frame, link_type};
use auscult_core::units::{Nanos, Timestamp};
use auscult_core::wire::LinkType;
use pcap::{Active, Capture, Inactive, Precision, TimestampType};
use std::ffi::{CStr, CString, c_int, c_void};
use std::fs::File;
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The pseudo-interface that is all of them.
const ANY: &str = "any";

/// Where the kernel keeps the counters of every interface. Not all containers have it.
const INTERFACES: &str = "/sys/class/net";

/// Most workers of one interface: the kernel's limit for a fan-out group.
const MAX_WORKERS: u16 = 256;

/// Drop counters of an interface are files; they are read this often, and once in each second of the clock.
const NIC_EVERY: Nanos = Nanos::from_millis(50);
const SECOND: Nanos = Nanos::from_secs(1);

/// Errors in a row before an interface that is up counts as broken: with [`wait_a_little`] a second.
const FAILURES: u32 = 50;

/// A timer of the kernel may be this late.
const TIMER_SLACK: Nanos = Nanos::from_millis(50);

/// What to capture, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveConfig {
    /// Name of the interface, for example `eth1`; `any` for all (cooked frames).
    pub interface: String,
    /// Rings and workers, 1 to 256.
    pub workers: u16,
    /// See frames for others as well: what a mirror port sends.
    pub promiscuous: bool,
    /// Bytes kept of each frame.
    pub snap_len: u32,
    /// Bytes of each worker's ring.
    pub ring_bytes: u32,
    /// Take the adapter's time stamps instead of the kernel's.
    pub adapter_stamps: bool,
    /// A pcap filter; it is made to see through VLAN tags. `None` takes everything.
    pub filter: Option<String>,
    /// Longest time a frame waits in the ring, and longest time a worker waits for frames before it comes back.
    pub latency: Nanos,
}

impl LiveConfig {
    /// Everything an interface sees, with one worker.
    pub fn new(interface: &str) -> LiveConfig {
        LiveConfig {
            interface: interface.to_owned(),
            workers: 1,
            promiscuous: true,
            snap_len: super::MAX_RECORD as u32,
            ring_bytes: 64 * 1024 * 1024,
            adapter_stamps: false,
            filter: None,
            latency: Nanos::from_millis(50),
        }
    }
}

/// Opens interfaces.
pub struct LiveCapture;

/// One ring and what is needed to empty it. Made to be moved to its own thread.
pub struct LiveWorker {
    interface: String,
    /// Number of the interface when it was opened; another one by the same name is not it.
    index: Option<u32>,
    capture: Capture<Active>,
    link: LinkType,
    nanos_per_fraction: i64,
    wait_ms: c_int,
    stop: StopHandle,
    /// Frames from before the fan-out group was complete went to several rings and are left out.
    not_before: Timestamp,
    /// Errors in a row while the interface is up.
    failed: u32,
    latency: Nanos,
    complete: Timestamp,
    counted: Timestamp,
    /// Frames refused for their time, not reported yet.
    refused_times: u64,
    /// Counters of the interface as a whole are the first worker's to report.
    nic: Option<Nic>,
}

/// Stops all workers of a capture, from any thread.
#[derive(Clone, Debug, Default)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a ring and its interface have counted since the last time they were asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureCounters {
    /// Frames the kernel took for this ring, those it then had to drop among them. On `lo` it sees each frame twice.
    pub received: u64,
    /// Frames dropped because the ring was full.
    pub ring_dropped: u64,
    /// Frames whose time is not measurable, as an adapter's clock that is broken stamps them; they were not handed over.
    pub refused_times: u64,
    /// The time between the two readings.
    pub from: Timestamp,
    pub until: Timestamp,
    /// Frames dropped before the kernel saw them, over the whole interface. Only the first worker asks, and not every time.
    pub nic: Option<NicDrops>,
}

/// Drops of an interface; `None` where its driver does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NicDrops {
    /// The time between the two readings.
    pub from: Timestamp,
    pub until: Timestamp,
    /// Discarded by the driver, or by the kernel's backlog before a ring could have it (`rx_dropped`).
    pub rx_dropped: Option<u64>,
    /// No buffer was free on the host (`rx_missed_errors`).
    pub rx_missed: Option<u64>,
    /// The interface's own queue ran over (`rx_fifo_errors`).
    pub rx_fifo: Option<u64>,
    /// The ring of receive buffers ran over (`rx_over_errors`).
    pub rx_no_buffer: Option<u64>,
}

impl NicDrops {
    /// Frames dropped in all, as far as known. Drivers that show one loss in several counters make this too high.
    pub fn total(&self) -> u64 {
        let all = [self.rx_dropped, self.rx_missed, self.rx_fifo, self.rx_no_buffer];
        all.into_iter().flatten().fold(0, u64::saturating_add)
    }
}

impl LiveCapture {
    /// Opens an interface for [`LiveConfig::workers`] workers.
    ///
    /// # Errors
    /// [`CaptureError::NoSuchInterface`] with those there are, [`CaptureError::NotPermitted`] with what to do,
    /// [`CaptureError::Filter`], and [`CaptureError::Live`] for everything else.
    pub fn open(config: &LiveConfig) -> Result<Vec<LiveWorker>, CaptureError> {
        if config.interface != ANY && index_of(&config.interface).is_none() {
            let available = interfaces().join(", ");
            return Err(CaptureError::NoSuchInterface { name: config.interface.clone(), available });
        }
        if !(1..=MAX_WORKERS).contains(&config.workers) {
            return Err(failed(config, format!("{} workers, there can be 1 to {MAX_WORKERS}", config.workers)));
        }
        let stop = StopHandle::default();
        let mut workers = Vec::with_capacity(usize::from(config.workers));
        let mut group = None;
        for number in 0..config.workers {
            let mut worker = LiveWorker::open(config, &stop)?;
            if config.workers > 1 {
                let joined = join_fanout(worker.capture.as_raw_fd(), group);
                group = Some(joined.map_err(|e| failed(config, format!("no fan-out to several workers: {e}")))?);
            }
            worker.nic = (number == 0).then(|| Nic::open(&config.interface, worker.counted));
            workers.push(worker);
        }
        if config.workers > 1 {
            let complete = now();
            workers.iter_mut().for_each(|w| w.not_before = complete);
        }
        Ok(workers)
    }
}

impl LiveWorker {
    fn open(config: &LiveConfig, stop: &StopHandle) -> Result<LiveWorker, CaptureError> {
        let refused = |e: pcap::Error| not_opened(config, &e);
        let wait_ms = c_int::try_from(config.latency.0 / 1_000_000).unwrap_or(c_int::MAX).max(1);
        let inactive = Capture::from_device(config.interface.as_str()).map_err(refused)?;
        if config.adapter_stamps && !take_adapter_stamps(&inactive) {
            let advice = "the adapter cannot stamp frames; leave capture.timestamps at \"kernel\"";
            return Err(failed(config, advice.to_owned()));
        }
        let mut capture = inactive
            .promisc(config.promiscuous && config.interface != ANY)
            .snaplen(c_int::try_from(config.snap_len).unwrap_or(c_int::MAX))
            .buffer_size(c_int::try_from(config.ring_bytes).unwrap_or(c_int::MAX))
            .immediate_mode(false)
            .timeout(wait_ms)
            .precision(Precision::Nano)
            .open()
            .and_then(Capture::setnonblock)
            .map_err(refused)?;
        let link = link_type(u32::try_from(capture.get_datalink().0).unwrap_or(u32::MAX));
        if let Some(filter) = &config.filter {
            set_filter(&mut capture, link, filter)?;
        }
        // The first reading sets the kernel's counters to zero.
        ring_counters(capture.as_raw_fd()).map_err(|e| failed(config, format!("the ring cannot be asked: {e}")))?;
        Ok(LiveWorker {
            interface: config.interface.clone(),
            index: index_of(&config.interface),
            nanos_per_fraction: if has_nanoseconds(&capture) { 1 } else { 1000 },
            capture,
            link,
            wait_ms,
            stop: stop.clone(),
            not_before: Timestamp::MIN,
            failed: 0,
            latency: config.latency,
            complete: Timestamp::MIN,
            counted: now(),
            refused_times: 0,
            nic: None,
        })
    }

    /// Hands over what is in the ring, at most `max` frames, and says how many. Waits up to [`LiveConfig::latency`]
    /// when there is nothing; 0 is "nothing ready yet", and then it is time to tick.
    ///
    /// # Errors
    /// [`CaptureError::Live`] when the interface has gone.
    pub fn next_batch(&mut self, max: usize, sink: &mut dyn FnMut(Frame<'_>)) -> Result<usize, CaptureError> {
        if self.stop.is_stopped() {
            return Ok(0);
        }
        let ready = self.dispatch(max, sink)?;
        if ready > 0 {
            return Ok(ready);
        }
        wait_readable(self.capture.as_raw_fd(), self.wait_ms);
        let asked = now();
        let ready = self.dispatch(max, sink)?;
        if ready == 0 {
            // The kernel's timer closes a block that is not full when it comes by for the second time.
            self.complete = self.complete.max(asked - self.latency - self.latency - TIMER_SLACK);
        }
        Ok(ready)
    }

    /// Every frame of this ring with an earlier time has been handed over.
    pub fn complete_until(&self) -> Timestamp {
        self.complete
    }

    fn dispatch(&mut self, max: usize, sink: &mut dyn FnMut(Frame<'_>)) -> Result<usize, CaptureError> {
        let (link, per_fraction, not_before) = (self.link, self.nanos_per_fraction, self.not_before);
        let max = max.min(c_int::MAX as usize);
        let mut delivered = 0;
        let mut newest = Timestamp::MIN;
        let mut refused = 0;
        let handled = self.capture.dispatch(Some(max), |packet| {
            let at = Timestamp::from_secs_nanos(packet.header.ts.tv_sec, packet.header.ts.tv_usec * per_fraction);
            if !at.is_measurable() {
                refused += 1;
                return;
            }
            newest = newest.max(at);
            if at >= not_before {
                let wire_len = packet.header.len.max(packet.header.caplen);
                sink(Frame { at, link, interface: 0, bytes: packet.data, wire_len });
                delivered += 1;
            }
        });
        self.refused_times += refused;
        self.complete = self.complete.max(newest);
        if newest >= self.not_before {
            // The start is over, and a clock set back later must not hide frames.
            self.not_before = Timestamp::MIN;
        }
        match handled {
            Ok(_) => {
                self.failed = 0;
                Ok(delivered)
            }
            // Down, but there: the ring goes on when the interface comes up again.
            Err(_) if self.goes_on() => {
                wait_a_little();
                Ok(delivered)
            }
            Err(e) => Err(CaptureError::Live { interface: self.interface.clone(), what: said(&e) }),
        }
    }

    /// Whether an error is only that the interface is down, or was a moment ago.
    fn goes_on(&mut self) -> bool {
        self.failed = if self.is_up() == Some(false) { 0 } else { self.failed + 1 };
        self.failed < FAILURES
            && self.index.is_some()
            && self.index == index_by(self.capture.as_raw_fd(), &self.interface)
    }

    /// Whether the interface is up and has a carrier; `None` for `any` and where the kernel does not say.
    pub fn is_up(&self) -> Option<bool> {
        self.index?;
        is_running(self.capture.as_raw_fd(), &self.interface)
    }

    /// What was received and missed since the last call (the first time: since opening).
    ///
    /// # Errors
    /// [`CaptureError::Live`] when the ring cannot be asked any more.
    pub fn counters(&mut self) -> Result<CaptureCounters, CaptureError> {
        let counted = ring_counters(self.capture.as_raw_fd());
        let (received, ring_dropped) = counted
            .map_err(|e| CaptureError::Live { interface: self.interface.clone(), what: format!("ring: {e}") })?;
        let (from, until) = (self.counted, now());
        self.counted = until;
        let nic = self.nic.as_mut().filter(|nic| nic.counted.is_due(until)).map(|nic| nic.since(until));
        let refused_times = mem::take(&mut self.refused_times);
        Ok(CaptureCounters { received, ring_dropped, refused_times, from, until, nic })
    }

    /// A handle that stops this worker and those opened with it: they come back empty-handed from then on.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    pub fn link(&self) -> LinkType {
        self.link
    }

    /// Step of the time stamps in nanoseconds: 1, or 1000 where only microseconds are to be had.
    pub fn resolution_ns(&self) -> u32 {
        self.nanos_per_fraction as u32
    }
}

/// A filter that finds what it asks for also behind one and two VLAN tags. Everything to the right of `vlan` is looked
/// for one tag further in, hence the nesting.
pub fn behind_vlan_tags(filter: &str) -> String {
    format!("({filter}) or (vlan and (({filter}) or (vlan and ({filter}))))")
}

/// Names of the interfaces there are, in order.
pub fn interfaces() -> Vec<String> {
    let mut names = Vec::new();
    // SAFETY: the list ends at an entry without a name, is read only before it is freed, and freed once.
    unsafe {
        let list = libc::if_nameindex();
        let mut entry = list;
        while !entry.is_null() && !(*entry).if_name.is_null() {
            names.push(CStr::from_ptr((*entry).if_name).to_string_lossy().into_owned());
            entry = entry.add(1);
        }
        if !list.is_null() {
            libc::if_freenameindex(list);
        }
    }
    names.sort();
    names
}

fn index_of(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name is a string that ends in zero.
    Some(unsafe { libc::if_nametoindex(name.as_ptr()) }).filter(|index| *index != 0)
}

fn set_filter(capture: &mut Capture<Active>, link: LinkType, filter: &str) -> Result<(), CaptureError> {
    const ETHERNET: LinkType = LinkType(1);
    let refused = |e: pcap::Error| CaptureError::Filter { filter: filter.to_owned(), what: said(&e) };
    capture.compile(filter, true).map_err(refused)?;
    let tagged = behind_vlan_tags(filter);
    if link == ETHERNET && capture.filter(&tagged, true).is_ok() {
        return Ok(());
    }
    capture.filter(filter, true).map_err(refused)
}

fn failed(config: &LiveConfig, what: String) -> CaptureError {
    CaptureError::Live { interface: config.interface.clone(), what }
}

fn not_opened(config: &LiveConfig, e: &pcap::Error) -> CaptureError {
    let what = said(e);
    let lower = what.to_ascii_lowercase();
    if ["permission", "cap_net_raw", "not permitted"].iter().any(|sign| lower.contains(sign)) {
        let program = std::env::current_exe().map_or_else(|_| "auscult".into(), |p| p.display().to_string());
        let needed = if config.adapter_stamps { "cap_net_raw,cap_net_admin" } else { "cap_net_raw" };
        let advice = format!(
            "it takes {needed}; give that with `setcap {needed}+ep {program}`, or start as root and name in capture.user whom to become"
        );
        return CaptureError::NotPermitted { interface: config.interface.clone(), advice };
    }
    let hint = match lower.contains("not up") {
        true => format!("; bring it up with `ip link set {} up`", config.interface),
        false => String::new(),
    };
    failed(config, what + &hint)
}

/// What libpcap says, on one line.
fn said(e: &pcap::Error) -> String {
    match e {
        pcap::Error::PcapError(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

#[expect(clippy::disallowed_methods, reason = "frames carry the host's clock, and the start is measured by it")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

unsafe extern "C" {
    fn pcap_get_tstamp_precision(capture: *mut c_void) -> c_int;
    fn pcap_set_tstamp_type(capture: *mut c_void, kind: c_int) -> c_int;
}

/// Asks for stamps of the adapter: moved to the host's clock where a driver does that, else its own clock's as they
/// are. What libpcap accepts and the driver then refuses fails when the capture is activated.
fn take_adapter_stamps(capture: &Capture<Inactive>) -> bool {
    let kinds = [TimestampType::Adapter, TimestampType::AdapterUnsynced];
    // SAFETY: the handle is open and lives as long as the reference.
    kinds.into_iter().any(|kind| unsafe { pcap_set_tstamp_type(capture.as_ptr().cast(), kind as c_int) } == 0)
}

fn has_nanoseconds(capture: &Capture<Active>) -> bool {
    // SAFETY: the handle is open and lives as long as the reference.
    unsafe { pcap_get_tstamp_precision(capture.as_ptr().cast()) == Precision::Nano as c_int }
}

/// Between two looks at an interface that is down: its socket is ready all the time, to say so.
fn wait_a_little() {
    std::thread::sleep(std::time::Duration::from_millis(20));
}

/// Waits until the ring has frames, an error, or nothing for so long.
fn wait_readable(fd: c_int, wait_ms: c_int) {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, on the stack. A failure (a signal) only means to look into the ring early.
    unsafe { libc::poll(&raw mut poll, 1, wait_ms) };
}

/// Puts a packet socket into a fan-out group that deals out by flow; fragments go where their datagram goes. Makes a
/// group with a number nobody uses when there is none yet, and returns its number.
fn join_fanout(fd: c_int, group: Option<u32>) -> std::io::Result<u32> {
    let new = group.map_or(libc::PACKET_FANOUT_FLAG_UNIQUEID, |_| 0);
    let mode = libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_DEFRAG | new;
    let mut value: u32 = group.unwrap_or(0) | mode << 16;
    let mut len = mem::size_of::<u32>() as libc::socklen_t;
    // SAFETY: the option takes and gives 32 bits, and `len` says so.
    let (set, got) = unsafe {
        let at = (&raw mut value).cast();
        let set = libc::setsockopt(fd, libc::SOL_PACKET, libc::PACKET_FANOUT, at, len);
        let got =
            if set == 0 { libc::getsockopt(fd, libc::SOL_PACKET, libc::PACKET_FANOUT, at, &raw mut len) } else { 0 };
        (set, got)
    };
    if set != 0 || got != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(value & 0xffff)
}

/// Frames a ring was offered and, of these, dropped since the last time. The kernel sets them to 0 when they are read.
fn ring_counters(fd: c_int) -> std::io::Result<(u64, u64)> {
    let mut stats = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
    let mut len = mem::size_of::<libc::tpacket_stats_v3>() as libc::socklen_t;
    let at = (&raw mut stats).cast();
    // SAFETY: the option gives this structure, or the first two words of it, and `len` says how large it is.
    match unsafe { libc::getsockopt(fd, libc::SOL_PACKET, libc::PACKET_STATISTICS, at, &raw mut len) } {
        0 => Ok((u64::from(stats.tp_packets), u64::from(stats.tp_drops))),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Whether an interface is up and has a carrier, asked in the network the socket is in.
fn is_running(fd: c_int, interface: &str) -> Option<bool> {
    let answer = asked(fd, libc::SIOCGIFFLAGS, interface)?;
    // SAFETY: the request fills in the flags.
    let flags = c_int::from(unsafe { answer.ifr_ifru.ifru_flags });
    let wanted = libc::IFF_UP | libc::IFF_RUNNING;
    Some(flags & wanted == wanted)
}

/// Number of an interface, asked by a socket that is open: a capture thread may open none.
fn index_by(fd: c_int, interface: &str) -> Option<u32> {
    let answer = asked(fd, libc::SIOCGIFINDEX, interface)?;
    // SAFETY: the request fills in the number.
    u32::try_from(unsafe { answer.ifr_ifru.ifru_ifindex }).ok()
}

/// The answer to a request about an interface.
fn asked(fd: c_int, what: libc::c_ulong, interface: &str) -> Option<libc::ifreq> {
    // SAFETY: numbers and arrays of them may all be zero.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name.iter_mut().take(room).zip(interface.bytes()) {
        *to = from as _;
    }
    // SAFETY: the call reads the name, which ends in zero, and writes the answer.
    (unsafe { libc::ioctl(fd, what as _, &raw mut request) } == 0).then_some(request)
}

/// The files of an interface's drop counters, open since the interface was, and what they said last.
struct Nic {
    files: [Option<File>; 4],
    counted: NicCounters,
}

impl Nic {
    const FILES: [&str; 4] = ["rx_dropped", "rx_missed_errors", "rx_fifo_errors", "rx_over_errors"];

    fn open(interface: &str, at: Timestamp) -> Nic {
        let open = |name: &str| File::open(Path::new(INTERFACES).join(interface).join("statistics").join(name)).ok();
        let files = Nic::FILES.map(open);
        Nic { counted: NicCounters { at, counts: files.each_ref().map(count_in) }, files }
    }

    /// What has been counted since last time.
    fn since(&mut self, at: Timestamp) -> NicDrops {
        self.counted.since(NicCounters { at, counts: self.files.each_ref().map(count_in) })
    }
}

/// The number in a file, as the kernel writes it anew for each reading from the start.
fn count_in(file: &Option<File>) -> Option<u64> {
    let mut text = [0; 32];
    let length = file.as_ref()?.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(text.get(..length)?).ok()?.trim().parse().ok()
}

/// Drop counters of an interface, from its start, and when they were read.
#[derive(Clone, Copy, Debug, Default)]
struct NicCounters {
    at: Timestamp,
    /// Discarded by driver or backlog, no buffer on the host, queue of the interface over, receive buffers over.
    counts: [Option<u64>; 4],
}

impl NicCounters {
    /// Frames of a new second must not be handed over before what was missed in the old one is known.
    fn is_due(&self, now: Timestamp) -> bool {
        now - self.at >= NIC_EVERY || now < self.at || now.floor_to(SECOND) != self.at.floor_to(SECOND)
    }

    /// What has been counted since last time. A counter that starts again (driver reload) counts from zero.
    fn since(&mut self, now: NicCounters) -> NicDrops {
        let delta = |i: usize| {
            let (before, now) = (self.counts[i]?, now.counts[i]?);
            Some(now.checked_sub(before).unwrap_or(now))
        };
        let [rx_dropped, rx_missed, rx_fifo, rx_no_buffer] = [0, 1, 2, 3].map(delta);
        let drops = NicDrops { from: self.at, until: now.at, rx_dropped, rx_missed, rx_fifo, rx_no_buffer };
        *self = now;
        drops
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap::Linktype;

    /// An Ethernet frame with a UDP datagram behind some VLAN tags.
    fn tagged(tags: &[u16], port: u16) -> Vec<u8> {
        let mut frame = vec![2; 12];
        for tag in tags {
            frame.extend(tag.to_be_bytes());
            frame.extend([0, 7]);
        }
        frame.extend([0x08, 0x00]);
        frame.extend([0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        frame.extend([port.to_be_bytes(), port.to_be_bytes()].concat());
        frame.extend([0, 8, 0, 0]);
        frame
    }

    #[test]
    fn filters_see_through_no_one_and_two_vlan_tags() {
        let ethernet = Capture::dead(Linktype::ETHERNET).expect("libpcap");
        let program = ethernet.compile(&behind_vlan_tags("udp port 5060"), true).expect("a filter");
        for tags in [&[][..], &[0x8100], &[0x8100, 0x8100], &[0x88a8, 0x8100]] {
            assert!(program.filter(&tagged(tags, 5060)), "{tags:04x?}");
            assert!(!program.filter(&tagged(tags, 5061)), "{tags:04x?}");
        }
        let plain = ethernet.compile("udp port 5060", true).expect("a filter");
        assert!(!plain.filter(&tagged(&[0x8100], 5060)), "the plain filter would have missed it");
    }

    #[test]
    fn filters_with_or_inside_stay_one_filter() {
        let ethernet = Capture::dead(Linktype::ETHERNET).expect("libpcap");
        let program = ethernet.compile(&behind_vlan_tags("udp port 1 or tcp port 2"), true).expect("a filter");
        assert!(program.filter(&tagged(&[0x8100], 1)));
        assert!(!program.filter(&tagged(&[0x8100], 2)));
    }

    #[test]
    fn unknown_interfaces_are_answered_with_those_there_are() {
        for name in ["eth99nowhere", "", "../net/lo"] {
            let Err(error) = LiveCapture::open(&LiveConfig::new(name)) else { panic!("opened {name:?}") };
            let CaptureError::NoSuchInterface { available, .. } = &error else { panic!("{error}") };
            assert_eq!(*available, interfaces().join(", "));
        }
    }

    #[test]
    fn interface_counters_are_differences_and_unknown_stays_unknown() {
        let at = |ms: i64, missed, fifo| NicCounters {
            at: Timestamp(ms * 1_000_000),
            counts: [Some(7), missed, fifo, None],
        };
        let mut nic = at(0, Some(100), Some(5));
        let drops = nic.since(at(60, Some(130), Some(2)));
        assert_eq!(
            (drops.rx_dropped, drops.rx_missed, drops.rx_fifo, drops.rx_no_buffer),
            (Some(0), Some(30), Some(2), None)
        );
        assert_eq!((drops.from, drops.until), (Timestamp(0), Timestamp(60_000_000)));
        assert_eq!((drops.total(), nic.since(at(70, Some(130), None)).rx_fifo), (32, None));
        assert!(!nic.is_due(Timestamp(110_000_000)) && nic.is_due(Timestamp(120_000_000)));
        nic.at = Timestamp(990_000_000);
        assert!(nic.is_due(Timestamp(1_000_000_000)), "a new second");
    }

    #[test]
    fn missing_permission_says_what_to_give() {
        let denied = pcap::Error::PcapError(
            "eth0: You don't have permission to perform this capture on that device\n(socket: Operation not permitted)"
                .to_owned(),
        );
        let line = not_opened(&LiveConfig::new("eth0"), &denied).to_string();
        assert!(line.starts_with("no permission to capture on eth0: "), "{line}");
        assert!(line.contains("setcap cap_net_raw+ep /"), "{line}");
        let adapter = LiveConfig { adapter_stamps: true, ..LiveConfig::new("eth0") };
        assert!(not_opened(&adapter, &denied).to_string().contains("setcap cap_net_raw,cap_net_admin+ep /"));
        assert!(!line.contains('\n'), "{line}");
    }
}
